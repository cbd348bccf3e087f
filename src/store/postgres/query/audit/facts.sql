-- Payments, requests, charges and debts against the entries that they made. $1 shard.
with bought as (
    select e.account_id, e.reference, sum(e.amount) as amount
    from entries e join grants g on g.shard = $1 and g.account_id = e.account_id and g.number = e.touched_grants[1]
    where e.shard = $1 and e.kind in ('purchased', 'granted') and g.source in ('purchased', 'bonus')
    group by e.account_id, e.reference
), spent as (
    select account_id, reference, sum(amount) as amount from entries where shard = $1 and kind = 'spent' group by account_id, reference
), owed as (
    select account_id, cause_source, cause_id, sum(debt_change) as amount
    from entries where shard = $1 and kind = 'debt_incurred' group by account_id, cause_source, cause_id
), compared as (
    select p.account_id, 'granted of payment ' || payment || ' = what entries granted' as what, granted as stored,
           coalesce(b.amount, 0) as computed
    from payments p left join bought b on b.account_id = p.account_id and b.reference = p.payment where shard = $1
    union all
    select r.account_id, 'granted of request ' || request || ' = what entries granted', granted, coalesce(b.amount, 0)
    from credit_requests r left join bought b on b.account_id = r.account_id and b.reference = r.request where shard = $1
    union all
    select account_id, 'credits of charge ' || reference || ' = what entries burned', c.credits, spent.amount
    from (select account_id, reference, credits from charges where shard = $1) as c full join spent using (account_id, reference)
    union all
    select account_id, 'amount of debts by ' || cause_source || ' ' || cause_id || ' = what entries incurred', d.amount, owed.amount
    from (
        select account_id, cause_source, cause_id, sum(amount) as amount from debts where shard = $1
        group by account_id, cause_source, cause_id
    ) as d full join owed using (account_id, cause_source, cause_id)
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || account_id) as account, what as check,
       coalesce(trim_scale(stored)::text, 'none') as stored, coalesce(trim_scale(computed)::text, 'none') as computed
from compared left join (select account_id, tenant, account from accounts where shard = $1) as a using (account_id)
where stored is distinct from computed
