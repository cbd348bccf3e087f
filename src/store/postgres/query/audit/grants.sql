-- Each grant against everything entries did to it, its In entry included. $1 shard.
with touches as (
    select e.account_id, t.number, e.seq, t.change, e.kind, e.occurred_at, e.recorded_at
    from entries e cross join lateral unnest(e.touched_grants, e.touched_changes) as t (number, change)
    where e.shard = $1
), touched as (
    select account_id, number, sum(change) as change,
           -sum(change) filter (where kind in ('expired', 'forfeited')) as unused,
           -sum(change) filter (where kind = 'voided') as voided,
           -sum(change) filter (where kind = 'rolled_out') as rolled_out,
           sum(change) filter (where kind = 'returned') as returned,
           -sum(change) filter (where kind = 'clawed_back') as clawed
    from touches group by account_id, number
), firsts as (
    -- One that was voided before it began brought nothing.
    select distinct on (account_id, number) account_id, number, change from touches where change <> 0 order by account_id, number, seq
), known as (
    select *, case status when 'pending' then true when 'ended' then false
                  else remaining > 0 or refill_at is not null or coalesce(rules ? 'rollover', false) or subscription is not null end as must_be_open
    from grants where shard = $1
), late as (
    -- A grant that has ended pays for nothing that happens and is recorded from then on.
    select t.account_id, t.number, min(t.seq) as seq
    from touches t join known k using (account_id, number)
    where t.change < 0 and t.kind in ('used', 'spent') and least(t.occurred_at, t.recorded_at) >= k.expires_at
    group by t.account_id, t.number
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || coalesce(known.account_id, touched.account_id)) as account,
       v.what || ' of grant ' || coalesce(known.grant_id, touched.number || ' (missing)') || v.rule as check,
       coalesce(v.stored, 'none') as stored, coalesce(v.computed, 'none') as computed
from known full join touched using (account_id, number)
left join firsts using (account_id, number) left join late using (account_id, number)
left join known parent on parent.account_id = known.account_id and parent.number = known.parent
left join accounts a on a.shard = $1 and a.account_id = coalesce(known.account_id, touched.account_id)
cross join lateral (values
    ('remaining', ' = sum of what entries did to it',
     coalesce(trim_scale(known.remaining)::text, 'none'), trim_scale(coalesce(touched.change, 0))::text),
    ('credits', ' = what its first entry brought',
     trim_scale(known.credits)::text,
     case when known.number is not null then trim_scale(coalesce(firsts.change, known.credits))::text end),
    ('is_open', ' = what its state says', known.is_open::text, known.must_be_open::text),
    -- Late usage brings back what ended unused, and what was handed on.
    ('breakage and trimmed', ' = what ended unused and was not returned', trim_scale(known.breakage + known.trimmed)::text,
     trim_scale(least(greatest(known.breakage + known.trimmed, coalesce(touched.unused, 0) - coalesce(touched.returned, 0)),
                      coalesce(touched.unused, 0)))::text),
    ('voided', ' = what staff voided', trim_scale(known.voided)::text, trim_scale(coalesce(touched.voided, 0))::text),
    ('handed_on', ' is not more than rolled out', trim_scale(known.handed_on)::text,
     trim_scale(least(known.handed_on, coalesce(touched.rolled_out, 0)))::text),
    ('clawed', ' is not more than entries took back', trim_scale(known.clawed)::text,
     trim_scale(least(known.clawed, coalesce(touched.clawed, 0)))::text),
    ('the parent', ' exists', known.parent::text, parent.number::text),
    ('use', ' ends with it', 'entry ' || late.seq, null)
) as v (what, rule, stored, computed)
where v.stored is distinct from v.computed
