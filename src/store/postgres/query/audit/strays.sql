-- What foreign keys would say within a shard: every row has its account, and what rows name exists. $1 shard.
with strays as (
    select account_id, 'entries' as name, count(*) as rows from entries t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'grants' as name, count(*) as rows from grants t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'outcomes' as name, count(*) as rows from outcomes t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'outbox' as name, count(*) as rows from outbox t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'debts' as name, count(*) as rows from debts t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'payments' as name, count(*) as rows from payments t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'payment_aliases' as name, count(*) as rows from payment_aliases t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'payment_details' as name, count(*) as rows from payment_details t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'payers' as name, count(*) as rows from payers t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'purchase_months' as name, count(*) as rows from purchase_months t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'refunds' as name, count(*) as rows from refunds t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'disputes' as name, count(*) as rows from disputes t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'credit_requests' as name, count(*) as rows from credit_requests t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'charges' as name, count(*) as rows from charges t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'subscriptions' as name, count(*) as rows from subscriptions t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'high_waters' as name, count(*) as rows from high_waters t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'resets' as name, count(*) as rows from resets t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
    union all
    select account_id, 'waiting' as name, count(*) as rows from waiting t
    where shard = $1 and not exists (select from accounts a where a.shard = $1 and a.account_id = t.account_id) group by account_id
), missing as (
    select account_id, 'subscription ' || subscription || ' of grant ' || grant_id as what from grants g
    where shard = $1 and subscription is not null and not exists (
        select from subscriptions s where s.shard = $1 and s.account_id = g.account_id and s.subscription = g.subscription)
    union all
    select account_id, 'subscription ' || subscription || ' of reset ' || k || '/' || n from resets r
    where shard = $1 and not exists (
        select from subscriptions s where s.shard = $1 and s.account_id = r.account_id and s.subscription = r.subscription)
    union all
    select account_id, 'payment ' || payment || ' of name ' || name from payment_aliases n
    where shard = $1 and not exists (
        select from payments p where p.shard = $1 and p.account_id = n.account_id and p.payment = n.payment and p.status <> 'joined')
    union all
    select account_id, 'one payment of name ' || payment from payments p
    where shard = $1 and (status = 'joined') <> exists (
        select from payment_aliases n where n.shard = $1 and n.account_id = p.account_id and n.name = p.payment and n.payment <> p.payment)
    union all
    select account_id, 'name ' || name || ' of details' from (
        select account_id, name from payment_details where shard = $1 union select account_id, name from payers where shard = $1
    ) as kept where not exists (
        select from payment_names n where n.shard = $1 and n.account_id = kept.account_id and n.name = kept.name)
    union all
    select account_id, 'payment ' || payment || ' of ' || what from (
        select account_id, payment, 'refund ' || refund as what from refunds where shard = $1
        union all select account_id, payment, 'dispute ' || dispute from disputes where shard = $1
        union all select account_id, payment, 'grant ' || grant_id from grants where shard = $1 and payment is not null
        union all select account_id, payment, 'debt ' || number from debts where shard = $1 and payment is not null
    ) as named where not exists (
        select from payments p where p.shard = $1 and p.account_id = named.account_id and p.payment = named.payment and p.status <> 'joined')
    union all
    select account_id, 'payment of request ' || request from credit_requests r
    where shard = $1 and method = 'payment' and not exists (
        select from payments p where p.shard = $1 and p.account_id = r.account_id and p.provider_id = r.request)
    union all
    select account_id, 'catalog version ' || cycle_catalog || ' of subscription ' || subscription
    from subscriptions s join accounts a using (shard, account_id)
    where shard = $1 and not exists (select from catalogs c where c.tenant = a.tenant and c.version = s.cycle_catalog)
    union all
    select account_id, 'tenant ' || tenant from accounts a
    where shard = $1 and tenant <> '' and not exists (select from tenants t where t.tenant = a.tenant)
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || account_id) as account,
       name || ' rows stand in the shard of their account' as check,
       rows || ' in shard ' || $1::int as stored, coalesce('shard ' || a.shard, 'no account') as computed
from strays left join accounts a using (account_id)
union all
select coalesce(a.tenant || '/' || a.account, 'account row ' || missing.account_id), what || ' exists', 'named', 'missing'
from missing left join accounts a on a.shard = $1 and a.account_id = missing.account_id
