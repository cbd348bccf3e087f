-- Payments, requests, charges and debts against the entries that they made. $1 shard.
-- What a payment brought stands under its name, also when staff granted it by accepting its request.
with bought as (
    select e.account_id, e.reference, sum(e.amount) as amount, count(*) filter (where g.source = 'purchased') as purchases
    from entries e join grants g on g.shard = $1 and g.account_id = e.account_id and g.number = e.touched_grants[1]
    where e.shard = $1 and (e.kind in ('purchased', 'granted') and g.source in ('purchased', 'bonus')
        or e.kind in ('allowance', 'addon') and g.payment is not null)
    group by e.account_id, e.reference
), spent as (
    select account_id, reference, sum(amount) as amount from entries where shard = $1 and kind = 'spent' group by account_id, reference
), owed as (
    select account_id, cause_source, cause_id, sum(debt_change) as amount
    from entries where shard = $1 and kind = 'debt_incurred' group by account_id, cause_source, cause_id
), reviewed as (
    select r.account_id, r.request, r.status, r.granted, p.payment, p.granted as granted_of_payment
    from credit_requests r left join payments p on p.shard = $1 and p.account_id = r.account_id and p.provider_id = r.request
    where r.shard = $1 and r.method = 'payment'
), sold as (
    -- The entries of an accepted request refer to the request.
    select account_id, 'payment ' || payment as what, regexp_replace(payment, '^request:', '') as reference, granted
    from payments where shard = $1
    union all
    select account_id, 'request ' || request, request, granted from credit_requests where shard = $1 and method <> 'payment'
), paid as (
    -- Nothing is ever granted under the id of a payment's request: what is, counts as the payment's too.
    select s.account_id, what, s.granted, coalesce(own.amount, 0) + coalesce(other.amount, 0) as amount,
           coalesce(own.purchases, 0) + coalesce(other.purchases, 0) as purchases
    from sold s left join bought own on own.account_id = s.account_id and own.reference = s.reference
    left join reviewed r on r.account_id = s.account_id and r.payment = s.reference
    left join bought other on other.account_id = r.account_id and other.reference = r.request
), compared as (
    select account_id, 'granted of ' || what || ' = what entries granted' as what, granted as stored, amount as computed from paid
    union all
    select account_id, 'purchased grants of ' || what || ' are one at most', purchases, 1 from paid where purchases > 1
    union all
    select account_id, 'granted of request ' || request || ' = granted of its payment', granted,
           case when status = 'accepted' then granted_of_payment else 0 end
    from reviewed
    union all
    select account_id, 'credits of charge ' || reference || ' = what entries burned', c.credits, spent.amount
    from (select account_id, reference, credits from charges where shard = $1) as c full join spent using (account_id, reference)
    union all
    select account_id, 'amount of debts by ' || cause_source || ' ' || cause_id || ' = what entries incurred', d.amount, owed.amount
    from (
        select account_id, cause_source, cause_id, sum(amount) as amount from debts where shard = $1
        group by account_id, cause_source, cause_id
    ) as d full join owed using (account_id, cause_source, cause_id)
    union all
    -- What is neither owed, nor borne by the tenant, nor undone, some grant repaid.
    select account_id, 'amount of debt ' || number || ' for the reversal of ' || payment || ' = what became of it', amount,
           remaining + written_off + undone + coalesce((select sum(repaid) from unnest(repaid_amounts) as repaid), 0)
    from debts where shard = $1 and payment is not null
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || account_id) as account, what as check,
       coalesce(trim_scale(stored)::text, 'none') as stored, coalesce(trim_scale(computed)::text, 'none') as computed
from compared left join (select account_id, tenant, account from accounts where shard = $1) as a using (account_id)
where stored is distinct from computed
