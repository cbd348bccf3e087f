-- Announcements are numbered without a gap up to the account's counter, and events are published in
-- order. Changes of the balance follow one another up to the last entry and say what the account's numbers
-- were after theirs. Rows published long ago may be gone, one by one; after a row that is unpublished or
-- was published within half an hour none can be, because rows are kept for an hour at least. $1 shard.
with placed as (
    select account_id, number, published_at, in_order, tenant, account, from_seq, to_seq, held, frozen, debt,
           (body is null) <> (num_nonnulls(source, tenant, account, from_seq, to_seq, held, frozen, debt) = 8)
               or (body is null) <> (routing_key is null) as is_unsound, lead(number) over w as next,
           coalesce(published_at > clock_timestamp() - interval '30 minutes', true) as is_young
    from outbox where shard = $1 window w as (partition by account_id order by number)
), published as (
    select account_id, min(number) filter (where published_at is null) as first_unpublished,
           max(number) filter (where published_at is not null) as last_published
    from placed where in_order group by account_id
), changes as (
    select *, lead(from_seq) over w as next_from
    from placed where from_seq is not null or to_seq is not null window w as (partition by account_id order by number)
), after as (
    select account_id, seq, sum(held_change) over w as held, sum(frozen_change) over w as frozen, sum(debt_change) over w as debt
    from entries where shard = $1 window w as (partition by account_id order by seq)
)
select a.tenant || '/' || a.account as account, v.what as check, coalesce(trim_scale(v.stored)::text, 'none') as stored,
       coalesce(trim_scale(v.computed)::text, 'none') as computed
from (
    select account_id, 'announcements are numbered without a gap after ' || number as what, next::numeric as stored,
           number + 1::numeric as computed
    from placed where is_young and next is not null
    union all
    select account_id, 'announcements are published in order: last published < first unpublished', last_published,
           first_unpublished - 1
    from published where last_published > first_unpublished
    union all
    select account_id, 'event_count = last announcement', event_count, number
    from placed join accounts using (account_id) where accounts.shard = $1 and is_young and next is null
    union all
    select account_id, 'parts missing of announcement ' || number, 1, 0 from placed where is_unsound
    union all
    select changes.account_id, 'other names than its account''s in announcement ' || number, 1, 0
    from changes join accounts a on a.shard = $1 and a.account_id = changes.account_id
    where (changes.tenant, changes.account) is distinct from (a.tenant, a.account)
    union all
    select account_id, 'announcement ' || number || ' tells of 1 to 100 entries', to_seq - from_seq + 1,
           least(greatest(to_seq - from_seq + 1, 1), 100)
    from changes
    union all
    select account_id, 'the announcement of entries after ' || number || ' begins after it', next_from, to_seq + 1
    from changes where is_young and next_from is not null
    union all
    select account_id, 'the last announcement ends at the last entry', to_seq, last_seq
    from changes join accounts using (account_id) where accounts.shard = $1 and is_young and next_from is null
    union all
    select changes.account_id, name || ' of announcement ' || number || ' = sum of entries', stored, computed
    from changes left join after on after.account_id = changes.account_id and after.seq = changes.to_seq
    cross join lateral (values ('held', changes.held, after.held), ('frozen', changes.frozen, after.frozen),
                               ('debt', changes.debt, after.debt)) as numbers (name, stored, computed)
) as v (account_id, what, stored, computed)
join accounts a on a.shard = $1 and a.account_id = v.account_id
where v.stored is distinct from v.computed
