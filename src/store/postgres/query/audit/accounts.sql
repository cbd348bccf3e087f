-- Account rows against entries, grants, debts and the tables their counters count. $1 shard.
with summed as (
    select account_id, count(*) as entries, max(seq) as last,
           sum(case direction when 'in' then amount when 'out' then -amount else 0 end) as balance,
           sum(held_change) as held, sum(frozen_change) as frozen, sum(debt_change) as debt
    from entries where shard = $1 group by account_id
), granted as (
    select account_id, count(*) as grants, sum(remaining) filter (where status = 'active') as remaining,
           sum(frozen) filter (where status = 'active') as frozen, max(ended_at) as ended
    from grants where shard = $1 group by account_id
), owed as (
    select account_id, count(*) as debts, sum(remaining) as remaining, count(*) filter (where remaining > 0) as open
    from debts where shard = $1 group by account_id
), asked as (
    select account_id, count(*) as open from credit_requests where shard = $1 and status = 'pending' group by account_id
), subscribed as (
    select account_id, count(*) as open from subscriptions where shard = $1 and not is_ended group by account_id
), waits as (
    select account_id, count(*) as open from waiting where shard = $1 group by account_id
), due as (
    select account_id, min(at) as at from (
        select account_id, case status when 'pending' then effective_at else least(expires_at, refill_at) end
        from grants where shard = $1 and is_open and status <> 'ended'
        union all select account_id, cycle_end from subscriptions where shard = $1 and not is_ended
        union all select account_id, expires_at from credit_requests where shard = $1 and status = 'pending'
        union all select account_id, due_at from waiting where shard = $1
    ) as dates (account_id, at) group by account_id
)
select a.tenant || '/' || a.account as account, v.what as check,
       coalesce(v.stored, 'none') as stored, coalesce(v.computed, 'none') as computed
from accounts a
left join tenants t using (tenant)
left join summed using (account_id) left join granted using (account_id) left join owed using (account_id)
left join asked using (account_id) left join subscribed using (account_id) left join waits using (account_id)
left join due using (account_id)
left join entries e on e.shard = a.shard and e.account_id = a.account_id and e.seq = a.last_seq
cross join lateral (
    select what, trim_scale(stored)::text, trim_scale(computed)::text from (values
        ('balance = sum of entries', a.balance, coalesce(summed.balance, 0)),
        ('balance = balance_after of the last entry', a.balance, coalesce(e.balance_after, 0)),
        ('balance = remaining of active grants', a.balance, coalesce(granted.remaining, 0)),
        ('held = sum of entries', a.held, coalesce(summed.held, 0)),
        ('frozen = sum of entries', a.frozen, coalesce(summed.frozen, 0)),
        ('frozen = frozen of active grants', a.frozen, coalesce(granted.frozen, 0)),
        ('debt = sum of entries', a.debt, coalesce(summed.debt, 0)),
        ('debt = remaining of debts', a.debt, coalesce(owed.remaining, 0)),
        ('last_seq = last entry', a.last_seq::numeric, coalesce(summed.last, 0)::numeric),
        ('last_seq = number of entries', a.last_seq::numeric, coalesce(summed.entries, 0)::numeric),
        ('grant_count = number of grants', a.grant_count::numeric, coalesce(granted.grants, 0)::numeric),
        ('debt_count = number of debts', a.debt_count::numeric, coalesce(owed.debts, 0)::numeric),
        ('open_debts = debts still owed', a.open_debts::numeric, coalesce(owed.open, 0)::numeric),
        ('open_requests = pending requests', a.open_requests::numeric, coalesce(asked.open, 0)::numeric),
        ('open_subscriptions = running subscriptions', a.open_subscriptions::numeric, coalesce(subscribed.open, 0)::numeric),
        ('open_waiting = waiting messages', a.open_waiting::numeric, coalesce(waits.open, 0)::numeric)
    ) as numbers (what, stored, computed) where stored is distinct from computed
    union all
    select what, stored::text, computed::text from (values
        ('next_due_at = the first of what is due', a.next_due_at, due.at),
        ('last_ended_at = the last end of a grant', a.last_ended_at, granted.ended),
        ('recorded_at is not before the last entry', a.recorded_at, greatest(a.recorded_at, e.recorded_at)),
        -- A test clock may be anywhere; nothing was ever recorded about a tenant's own row.
        ('recorded_at is not ahead of the clock', a.recorded_at,
         case when t.test_clock or a.recorded_at is null then a.recorded_at else least(a.recorded_at, clock_timestamp() + interval '1 minute') end)
    ) as instants (what, stored, computed) where stored is distinct from computed
    union all
    select 'last_hash = hash of the last entry', encode(a.last_hash, 'hex'), encode(head.hash, 'hex')
    from (values (coalesce(e.hash, decode(repeat('00', 32), 'hex')))) as head (hash) where a.last_hash is distinct from head.hash
) as v (what, stored, computed)
where a.shard = $1
