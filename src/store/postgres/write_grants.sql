-- $1 shard; then rows of new grants.
insert into grants (shard, account_id, number, grant_id, source, credits, cost_basis, priority, effective_at, ends_at,
                    expires_at, scope, rules, parent, generation, subscription, cycle_k, cycle_n, payment,
                    cause_source, cause_id, status, is_open, remaining, frozen, clawed, breakage, trimmed, voided, handed_on, ended_at, end_recorded_at,
                    closes_left, refill_at)
select $1, new.* from unnest($2::written_grant[]) as new
returning account_id, number, ctid
