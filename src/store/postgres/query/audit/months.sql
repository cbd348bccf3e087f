-- What was bought in a month is the sum of what its payments count for. $1 shard.
with computed as (
    select account_id, counted_month as month, sum(counted_net) as net from payments
    where shard = $1 and counted_month is not null group by account_id, counted_month
), stored as (
    select account_id, month, net from purchase_months where shard = $1
), compared as (
    select account_id, month, coalesce(stored.net, 0) as stored, coalesce(computed.net, 0) as computed
    from stored full join computed using (account_id, month)
)
select coalesce(a.tenant || '/' || a.account, c.account_id::text) as account, 'purchases of ' || to_char(c.month, 'YYYY-MM') as check,
       trim_scale(c.stored)::text as stored, trim_scale(c.computed)::text as computed
from compared c left join accounts a on a.shard = $1 and a.account_id = c.account_id
where c.stored <> c.computed
