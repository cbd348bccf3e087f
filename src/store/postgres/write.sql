-- $1 shard; then the columns of accounts, grants, entries, outcomes and outbox, in that order.
with changed_accounts as (
    update accounts set
        status = now.status, frozen_by_staff = now.frozen_by_staff, kind = now.kind, owner = now.owner,
        time_zone = now.time_zone, balance = now.balance, held = now.held, frozen = now.frozen, debt = now.debt,
        last_seq = now.last_seq, last_hash = now.last_hash, recorded_at = now.recorded_at,
        grant_count = now.grant_count, debt_count = now.debt_count, event_count = now.event_count,
        open_debts = now.open_debts, open_requests = now.open_requests,
        open_subscriptions = now.open_subscriptions, open_waiting = now.open_waiting, next_due_at = now.next_due_at
    from unnest($2::bigint[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::text[], $8::numeric[],
                $9::numeric[], $10::numeric[], $11::numeric[], $12::bigint[], $13::bytea[], $14::timestamptz[],
                $15::int[], $16::int[], $17::bigint[], $18::int[], $19::int[], $20::int[], $21::int[],
                $22::timestamptz[])
        as now (account_id, status, frozen_by_staff, kind, owner, time_zone, balance, held, frozen, debt,
                last_seq, last_hash, recorded_at, grant_count, debt_count, event_count, open_debts,
                open_requests, open_subscriptions, open_waiting, next_due_at)
    where accounts.shard = $1 and accounts.account_id = now.account_id
), changed_grants as (
    update grants set
        status = now.status, is_open = now.is_open, remaining = now.remaining, frozen = now.frozen,
        closes_left = now.closes_left, refill_at = now.refill_at
    from unnest($23::bigint[], $24::int[], $25::text[], $26::bool[], $27::numeric[], $28::numeric[], $29::int[],
                $30::timestamptz[])
        as now (account_id, number, status, is_open, remaining, frozen, closes_left, refill_at)
    where grants.shard = $1 and grants.account_id = now.account_id and grants.number = now.number
), new_entries as (
    insert into entries (shard, account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change,
                         debt_change, reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at,
                         touched_grants, touched_changes, hash)
    select $1, account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change, debt_change,
           reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at,
           touched_grants::int[], touched_changes::numeric[], hash
    from unnest($31::bigint[], $32::bigint[], $33::text[], $34::text[], $35::numeric[], $36::numeric[],
                $37::numeric[], $38::numeric[], $39::numeric[], $40::text[], $41::text[], $42::text[], $43::text[],
                $44::text[], $45::timestamptz[], $46::timestamptz[], $47::text[], $48::text[], $49::bytea[])
        as new (account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change, debt_change,
                reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at, touched_grants,
                touched_changes, hash)
), new_outcomes as (
    insert into outcomes (shard, account_id, message_key, source, id, content, outcome, reasons, first_seq, last_seq,
                          recorded_at)
    select $1, account_id, message_key, source, id, content, outcome, reasons::text[], first_seq, last_seq, recorded_at
    from unnest($50::bigint[], $51::uuid[], $52::text[], $53::text[], $54::bytea[], $55::text[], $56::text[],
                $57::bigint[], $58::bigint[], $59::timestamptz[])
        as new (account_id, message_key, source, id, content, outcome, reasons, first_seq, last_seq, recorded_at)
)
insert into outbox (shard, account_id, number, is_reply, in_order, routing_key, correlation_id, body)
select $1, account_id, number, is_reply, in_order, routing_key, correlation_id, body
from unnest($60::bigint[], $61::bigint[], $62::bool[], $63::bool[], $64::text[], $65::text[], $66::bytea[])
    as new (account_id, number, is_reply, in_order, routing_key, correlation_id, body)
