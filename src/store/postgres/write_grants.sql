-- $1 shard; then the columns of new grants.
insert into grants (shard, account_id, number, grant_id, source, credits, cost_basis, priority, effective_at, ends_at,
                    expires_at, rules, parent, generation, subscription, cycle_k, cycle_n, cause_source, cause_id,
                    status, is_open, remaining, frozen, closes_left, refill_at, scope)
select $1, made.account_id, made.number, made.grant_id, made.source, made.credits, made.cost_basis, made.priority,
       made.effective_at, made.ends_at, made.expires_at, made.rules, made.parent, made.generation, made.subscription,
       made.cycle_k, made.cycle_n, made.cause_source, made.cause_id, made.status, made.is_open, made.remaining,
       made.frozen, made.closes_left, made.refill_at,
       coalesce((select array_agg(value) from jsonb_array_elements_text(made.scope) as one (value)), '{}')
from unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::numeric[], $7::numeric[], $8::bigint[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::jsonb[], $13::int[], $14::int[],
            $15::text[], $16::int[], $17::int[], $18::text[], $19::text[], $20::text[], $21::bool[], $22::numeric[],
            $23::numeric[], $24::int[], $25::timestamptz[], $26::jsonb[])
    as made (account_id, number, grant_id, source, credits, cost_basis, priority, effective_at, ends_at, expires_at,
             rules, parent, generation, subscription, cycle_k, cycle_n, cause_source, cause_id, status, is_open,
             remaining, frozen, closes_left, refill_at, scope)
