-- Subscriptions against the record of their resets and what their cycles granted. $1 shard.
-- High water beyond what the running cycle granted follows from catalogs and instants that entries do
-- not tell, and is not computed again.
with ordered as (
    select account_id, subscription, k, n, boundary, next_boundary,
           lag(k) over w as k_before, lag(n) over w as n_before, lag(next_boundary) over w as boundary_before,
           lead(k) over w is null as is_last
    from resets where shard = $1 window w as (partition by account_id, subscription order by k, n)
), issued as (
    select account_id, subscription, cycle_k, cycle_n, sum(credits) as credits
    -- What a late payment of an earlier cycle brought comes on top.
    from grants where shard = $1 and source = 'plan' and payment is null group by account_id, subscription, cycle_k, cycle_n
), alone as (
    select account_id from subscriptions where shard = $1 group by account_id having count(*) = 1
), compared as (
    select account_id, 'cycle of subscription ' || subscription || ' = its last reset' as what,
           s.cycle_k || '/' || s.cycle_n || ' until ' || s.cycle_end as stored, r.k || '/' || r.n || ' until ' || r.next_boundary as computed
    from subscriptions s join ordered r using (account_id, subscription)
    where s.shard = $1 and r.is_last and not s.is_ended
    union all
    select account_id, 'the last reset of subscription ' || subscription || ' says whether it is over', s.is_ended::text,
           coalesce(r.k is not null and r.next_boundary is null, false)::text
    from subscriptions s left join ordered r using (account_id, subscription)
    where s.shard = $1 and coalesce(r.is_last, true)
    union all
    select account_id, 'reset ' || k || '/' || n || ' of subscription ' || subscription || ' follows the one before', k || '/' || n,
           case when next_boundary is null or k = k_before then k_before || '/' || n_before + 1 else k_before + 1 || '/0' end
    from ordered where k_before is not null
    union all
    select account_id, 'reset ' || k || '/' || n || ' of subscription ' || subscription || ' stands at the boundary before', boundary::text,
           boundary_before::text
    from ordered where k > k_before
    union all
    select account_id, 'allowance of the cycle of subscription ' || subscription || ' covers what was granted',
           trim_scale(s.cycle_allowance)::text, trim_scale(greatest(s.cycle_allowance, i.credits))::text
    from subscriptions s join issued i using (account_id, subscription, cycle_k, cycle_n) where s.shard = $1
    union all
    select s.account_id, 'high water of plans covers what was granted in the cycle of subscription ' || s.subscription,
           trim_scale(max(h.issued))::text, trim_scale(greatest(max(h.issued), i.credits))::text
    from subscriptions s join alone using (account_id) join issued i using (account_id, subscription, cycle_k, cycle_n)
    join high_waters h on h.shard = $1 and h.account_id = s.account_id and h.item like 'plans.%'
    where s.shard = $1 and not s.is_ended and h.until = s.cycle_end
    group by s.account_id, s.subscription, i.credits
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || account_id) as account, what as check,
       coalesce(stored, 'none') as stored, coalesce(computed, 'none') as computed
from compared left join (select account_id, tenant, account from accounts where shard = $1) as a using (account_id)
where stored is distinct from computed
