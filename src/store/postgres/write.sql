-- $1 shard; then rows of accounts, burned grants, entries and outcomes; then the announcements and replies of the outbox. Accounts and grants are found
-- by where they stand, which their lock keeps; their keys are compared all the same, and the answer says which
-- of each were found and where they stand now.
with changed_accounts as (
    update accounts set
        stamp = now.stamp, status = now.status, frozen_by_staff = now.frozen_by_staff, kind = now.kind, owner = now.owner,
        time_zone = now.time_zone, balance = now.balance, held = now.held, frozen = now.frozen, debt = now.debt,
        last_seq = now.last_seq, last_hash = now.last_hash, recorded_at = now.recorded_at, last_ended_at = now.last_ended_at,
        grant_count = now.grant_count, debt_count = now.debt_count, event_count = now.event_count,
        open_debts = now.open_debts, open_requests = now.open_requests,
        open_subscriptions = now.open_subscriptions, open_waiting = now.open_waiting, next_due_at = now.next_due_at
    from unnest($2::written_account[]) as now
    where accounts.ctid = now.place and accounts.shard = $1 and accounts.account_id = now.account_id
    returning accounts.account_id, accounts.ctid as place
), changed_grants as (
    update grants set
        status = now.status, is_open = now.is_open, remaining = now.remaining, frozen = now.frozen,
        clawed = now.clawed, breakage = now.breakage, trimmed = now.trimmed, voided = now.voided,
        handed_on = now.handed_on, ended_at = now.ended_at, end_recorded_at = now.end_recorded_at, closes_left = now.closes_left, refill_at = now.refill_at, ends_at = now.ends_at
    from unnest($3::changed_grant[]) as now
    where grants.ctid = now.place and grants.shard = $1 and grants.account_id = now.account_id
      and grants.number = now.number
    returning grants.account_id, grants.number, grants.ctid as place
), new_entries as (
    insert into entries (shard, account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change,
                         debt_change, reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at,
                         touched_grants, touched_changes, hash)
    select $1, new.* from unnest($4::written_entry[]) as new
), new_outcomes as (
    insert into outcomes (shard, account_id, message_key, source, id, content, outcome, reasons, first_seq, last_seq,
                          recorded_at)
    select $1, new.* from unnest($5::written_outcome[]) as new
), new_outbox as (
    insert into outbox_batches (shard, is_replies, source, account_ids, numbers, are_in_order, routing_keys, bodies,
                                tenants, accounts, from_seqs, to_seqs, held, frozen, debt, correlation_ids)
    select $1, false, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, nulls.text
    from (select array_fill(null::text, array[cardinality($7::bigint[])]) as text) as nulls where cardinality($7) > 0
    union all
    select $1, true, $6, $19, $20, array_fill(false, array[nulls.count]), $21, $23, nulls.text, nulls.text, nulls.big,
           nulls.big, nulls.number, nulls.number, nulls.number, $22
    from (select cardinality($19::bigint[]) as count, array_fill(null::text, array[cardinality($19)]) as text,
                 array_fill(null::bigint, array[cardinality($19)]) as big,
                 array_fill(null::numeric, array[cardinality($19)]) as number) as nulls where nulls.count > 0
)
select accounts.*, grants.*
from (select coalesce(array_agg(account_id), '{}') as accounts, coalesce(array_agg(place), '{}') as account_places
      from changed_accounts) as accounts,
     (select coalesce(array_agg(account_id), '{}') as grants, coalesce(array_agg(number), '{}') as numbers,
             coalesce(array_agg(place), '{}') as grant_places
      from changed_grants) as grants
