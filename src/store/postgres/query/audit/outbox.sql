-- Announcements are numbered without a gap up to the account's counter, and events are published in
-- order. Rows published long ago may be gone, one by one; after a row that is unpublished or was
-- published within half an hour none can be, because rows are kept for an hour at least. $1 shard.
with placed as (
    select account_id, number, published_at, in_order, lead(number) over w as next,
           coalesce(published_at > clock_timestamp() - interval '30 minutes', true) as is_young
    from outbox where shard = $1 window w as (partition by account_id order by number)
), published as (
    select account_id, min(number) filter (where published_at is null) as first_unpublished,
           max(number) filter (where published_at is not null) as last_published
    from placed where in_order group by account_id
)
select a.tenant || '/' || a.account as account, v.what as check, v.stored::text as stored, v.computed::text as computed
from (
    select account_id, 'announcements are numbered without a gap after ' || number as what, next as stored, number + 1 as computed
    from placed where is_young and next is not null
    union all
    select account_id, 'announcements are published in order: last published < first unpublished', last_published,
           first_unpublished - 1
    from published where last_published > first_unpublished
    union all
    select account_id, 'event_count = last announcement', event_count, number
    from placed join accounts using (account_id) where accounts.shard = $1 and is_young and next is null
) as v (account_id, what, stored, computed)
join accounts a on a.shard = $1 and a.account_id = v.account_id
where v.stored is distinct from v.computed
