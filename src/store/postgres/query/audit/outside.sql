-- What belongs to no shard: rows beyond the last one, and rows of tenants that do not exist. $1 shard count.
with beyond as (
    select 'accounts' as name, shard, count(*) as rows from accounts where shard < 0 or shard >= $1 group by shard
    union all
    select 'entries' as name, shard, count(*) as rows from entries where shard < 0 or shard >= $1 group by shard
    union all
    select 'grants' as name, shard, count(*) as rows from grants where shard < 0 or shard >= $1 group by shard
    union all
    select 'outcomes' as name, shard, count(*) as rows from outcomes where shard < 0 or shard >= $1 group by shard
    union all
    select 'outbox' as name, shard, count(*) as rows from outbox where shard < 0 or shard >= $1 group by shard
    union all
    select 'debts' as name, shard, count(*) as rows from debts where shard < 0 or shard >= $1 group by shard
    union all
    select 'payments' as name, shard, count(*) as rows from payments where shard < 0 or shard >= $1 group by shard
    union all
    select 'payment_aliases' as name, shard, count(*) as rows from payment_aliases where shard < 0 or shard >= $1 group by shard
    union all
    select 'payment_details' as name, shard, count(*) as rows from payment_details where shard < 0 or shard >= $1 group by shard
    union all
    select 'payers' as name, shard, count(*) as rows from payers where shard < 0 or shard >= $1 group by shard
    union all
    select 'purchase_months' as name, shard, count(*) as rows from purchase_months where shard < 0 or shard >= $1 group by shard
    union all
    select 'refunds' as name, shard, count(*) as rows from refunds where shard < 0 or shard >= $1 group by shard
    union all
    select 'disputes' as name, shard, count(*) as rows from disputes where shard < 0 or shard >= $1 group by shard
    union all
    select 'credit_requests' as name, shard, count(*) as rows from credit_requests where shard < 0 or shard >= $1 group by shard
    union all
    select 'charges' as name, shard, count(*) as rows from charges where shard < 0 or shard >= $1 group by shard
    union all
    select 'subscriptions' as name, shard, count(*) as rows from subscriptions where shard < 0 or shard >= $1 group by shard
    union all
    select 'high_waters' as name, shard, count(*) as rows from high_waters where shard < 0 or shard >= $1 group by shard
    union all
    select 'resets' as name, shard, count(*) as rows from resets where shard < 0 or shard >= $1 group by shard
    union all
    select 'waiting' as name, shard, count(*) as rows from waiting where shard < 0 or shard >= $1 group by shard
    union all
    select 'directory' as name, shard, count(*) as rows from directory where shard < 0 or shard >= $1 group by shard
    union all
    select 'unclaimed' as name, shard, count(*) as rows from unclaimed where shard < 0 or shard >= $1 group by shard
    union all
    select 'unclaimed_names' as name, shard, count(*) as rows from unclaimed_names where shard < 0 or shard >= $1 group by shard
    union all
    select 'quarantine' as name, shard, count(*) as rows from quarantine where shard < 0 or shard >= $1 group by shard
    union all
    select 'attempts' as name, shard, count(*) as rows from attempts where shard < 0 or shard >= $1 group by shard
), strangers as (
    select tenant, 'catalogs' as name, count(*) as rows from catalogs c
    where not exists (select from tenants t where t.tenant = c.tenant) group by tenant
    union all
    select tenant, 'policies', count(*) from policies p where not exists (select from tenants t where t.tenant = p.tenant) group by tenant
    union all
    select tenant, 'staff', count(*) from staff s where not exists (select from tenants t where t.tenant = s.tenant) group by tenant
    union all
    select tenant, 'directory', count(*) from directory d
    where not exists (select from tenants t where t.tenant = d.tenant) group by tenant
    union all
    select tenant, 'unclaimed', count(*) from unclaimed u
    where not exists (select from tenants t where t.tenant = u.tenant) group by tenant
    union all
    select tenant, 'reset_jobs', count(*) from reset_jobs r
    where not exists (select from tenants t where t.tenant = r.tenant) group by tenant
)
select 'shard ' || shard as account, name || ' rows stand in a shard there is' as check, rows::text as stored,
       'shards 0..' || $1::int - 1 as computed
from beyond
union all
select 'tenant ' || tenant, name || ' rows have a tenant', rows::text, '0' from strangers
