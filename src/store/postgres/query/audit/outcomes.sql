-- Outcomes against the entries they name, both ways. $1 shard. Entries of the ledger's own making
-- (what was due) have no outcome; a reset's outcome names them.
with caused as (
    select account_id, cause_source as source, cause_id as id, count(*) as entries, min(seq) as first, max(seq) as last
    from entries where shard = $1 and cause_source <> 'credit-ledger' group by account_id, cause_source, cause_id
), recorded as (
    select account_id, source, id, message_key, outcome, first_seq, last_seq,
           encode(substring(sha256(convert_to(source, 'UTF8') || '\x00' || convert_to(id, 'UTF8')) for 16), 'hex')::uuid as key
    from outcomes where shard = $1
), paired as (
    select p.*, f.cause_source = 'credit-ledger' as first_was_due, l.cause_source = 'credit-ledger' as last_was_due,
           f.seq is not null and l.seq is not null as found
    from (recorded full join caused using (account_id, source, id)) as p
    left join entries f on f.shard = $1 and f.account_id = p.account_id and f.seq = p.first_seq
    left join entries l on l.shard = $1 and l.account_id = p.account_id and l.seq = p.last_seq
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || p.account_id) as account,
       v.what || p.source || ' ' || p.id || v.rule as check, v.stored, v.computed
from paired p left join accounts a on a.shard = $1 and a.account_id = p.account_id
cross join lateral (values
    ('the key of message ', ' = hash of its source and id', p.message_key::text, p.key::text, p.message_key is distinct from p.key),
    ('entries of message ', ' have an applied outcome', p.first || '..' || p.last, coalesce(p.outcome, 'none'),
     p.entries is not null and p.outcome is distinct from 'applied'),
    ('entries of outcome ', ' exist', coalesce(p.first_seq::text, 'none') || '..' || coalesce(p.last_seq::text, 'none'),
     '1..' || coalesce(a.last_seq, 0),
     (p.first_seq is null) <> (p.last_seq is null) or p.first_seq > p.last_seq or p.first_seq is not null and not p.found),
    ('entries of outcome ', ' are caused by its message', coalesce(p.first_seq || '..' || p.last_seq, 'none'),
     coalesce(p.first || '..' || p.last || ' (' || p.entries || ')', 'none'),
     p.outcome is not null and case
         when p.entries is null then p.found and not (p.first_was_due and p.last_was_due)
         else p.last_seq is distinct from p.last or p.first_seq > p.first
              or p.entries <> p.last - p.first + 1
              or p.first_seq < p.first and not coalesce(p.first_was_due, false) end)
) as v (what, rule, stored, computed, differs)
where v.differs
union all
select coalesce(a.tenant || '/' || a.account, 'account row ' || w.account_id),
       'message ' || w.source || ' ' || w.id || ' waits and has no outcome', 'waiting', o.outcome
from waiting w join outcomes o on o.shard = $1 and o.account_id = w.account_id and o.message_key = w.message_key
left join accounts a on a.shard = $1 and a.account_id = w.account_id
where w.shard = $1
