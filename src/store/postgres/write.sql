-- $1 shard; then the columns of accounts, grants, entries, outcomes and outbox, in that order. Accounts and
-- grants are found by where they stand, which their lock keeps; their keys are compared all the same, and
-- the answer says how many of each were found.
with changed_accounts as (
    update accounts set
        status = now.status, frozen_by_staff = now.frozen_by_staff, kind = now.kind, owner = now.owner,
        time_zone = now.time_zone, balance = now.balance, held = now.held, frozen = now.frozen, debt = now.debt,
        last_seq = now.last_seq, last_hash = now.last_hash, recorded_at = now.recorded_at,
        grant_count = now.grant_count, debt_count = now.debt_count, event_count = now.event_count,
        open_debts = now.open_debts, open_requests = now.open_requests,
        open_subscriptions = now.open_subscriptions, open_waiting = now.open_waiting, next_due_at = now.next_due_at
    from unnest($2::text[], $3::bigint[], $4::text[], $5::bool[], $6::text[], $7::text[], $8::text[], $9::numeric[],
                $10::numeric[], $11::numeric[], $12::numeric[], $13::bigint[], $14::bytea[], $15::timestamptz[],
                $16::int[], $17::int[], $18::bigint[], $19::int[], $20::int[], $21::int[], $22::int[],
                $23::timestamptz[])
        as now (place, account_id, status, frozen_by_staff, kind, owner, time_zone, balance, held, frozen, debt,
                last_seq, last_hash, recorded_at, grant_count, debt_count, event_count, open_debts,
                open_requests, open_subscriptions, open_waiting, next_due_at)
    where accounts.ctid = now.place::tid and accounts.shard = $1 and accounts.account_id = now.account_id
    returning 1
), changed_grants as (
    update grants set
        status = now.status, is_open = now.is_open, remaining = now.remaining, frozen = now.frozen,
        closes_left = now.closes_left, refill_at = now.refill_at, ends_at = now.ends_at
    from unnest($24::text[], $25::bigint[], $26::int[], $27::text[], $28::bool[], $29::numeric[], $30::numeric[], $31::int[],
                $32::timestamptz[], $33::timestamptz[])
        as now (place, account_id, number, status, is_open, remaining, frozen, closes_left, refill_at, ends_at)
    where grants.ctid = now.place::tid and grants.shard = $1 and grants.account_id = now.account_id
      and grants.number = now.number
    returning 1
), new_entries as (
    insert into entries (shard, account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change,
                         debt_change, reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at,
                         touched_grants, touched_changes, hash)
    select $1, account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change, debt_change,
           reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at,
           touched_grants::int[], touched_changes::numeric[], hash
    from unnest($34::bigint[], $35::bigint[], $36::text[], $37::text[], $38::numeric[], $39::numeric[],
                $40::numeric[], $41::numeric[], $42::numeric[], $43::text[], $44::text[], $45::text[], $46::text[],
                $47::text[], $48::timestamptz[], $49::timestamptz[], $50::text[], $51::text[], $52::bytea[])
        as new (account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change, debt_change,
                reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at, touched_grants,
                touched_changes, hash)
), new_outcomes as (
    insert into outcomes (shard, account_id, message_key, source, id, content, outcome, reasons, first_seq, last_seq,
                          recorded_at)
    select $1, account_id, message_key, source, id, content, outcome, reasons::text[], first_seq, last_seq, recorded_at
    from unnest($53::bigint[], $54::uuid[], $55::text[], $56::text[], $57::bytea[], $58::text[], $59::text[],
                $60::bigint[], $61::bigint[], $62::timestamptz[])
        as new (account_id, message_key, source, id, content, outcome, reasons, first_seq, last_seq, recorded_at)
), new_outbox as (
    insert into outbox (shard, account_id, number, is_reply, in_order, routing_key, correlation_id, body)
    select $1, account_id, number, is_reply, in_order, routing_key, correlation_id, body
    from unnest($63::bigint[], $64::bigint[], $65::bool[], $66::bool[], $67::text[], $68::text[], $69::bytea[])
        as new (account_id, number, is_reply, in_order, routing_key, correlation_id, body)
)
select (select count(*) from changed_accounts), (select count(*) from changed_grants)
