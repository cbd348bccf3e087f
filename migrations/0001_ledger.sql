-- The ledger's tables.
--
-- Every ledger table starts its primary key with `shard`, a stable hash of (tenant, account) modulo
-- the shard count that is fixed when the database is created. No foreign key or unique key crosses
-- shards, and no transaction but a claim of the directory. Entries, outcomes and the outbox carry no
-- foreign keys: `reconcile` checks what they would, and the hot path does not pay for them.
--
-- Where a table is asked by more than one key, one index leads by the account and the others by theirs:
-- of two that begin alike either may be taken, and the wrong one reads all rows of an account.
--
-- No index stands on a column that every burn changes, and the updated tables leave room on their
-- pages, so that burning credits rewrites rows in place (heap-only updates).
--
-- Text that is compared is in the "C" collation: identifiers have no language.

create table databases (
    singleton      boolean  primary key default true,
    shards         smallint not null,
    -- The oldest worker that may run on this schema; a worker says its own number at start.
    worker_min     integer  not null,
    created_at     timestamptz not null default now(),
    constraint databases_singleton_check check (singleton),
    constraint databases_shards_check check (shards between 1 and 1024)
);

-- Tenants are few and read by every batch; `revision` tells a worker that its copy is old. It is drawn at
-- random by every change: a number that counts could be reached twice, after a restore.
create table tenants (
    tenant      text collate "C" primary key,
    revision    bigint      not null default (random() * 9007199254740991)::bigint,
    test_clock  boolean     not null,
    -- The tenant's own time, for test clocks only; null until its first message.
    clock       timestamptz,
    created_at  timestamptz not null default now()
);

create table catalogs (
    tenant        text collate "C" not null,
    version       integer     not null,
    document      text        not null,
    -- From when usage is priced by it; null: from the beginning.
    effective_at  timestamptz,
    created_at    timestamptz not null default now(),
    constraint catalogs_pkey primary key (tenant, version),
    constraint catalogs_version_check check (version > 0)
);

-- What a tenant has set: the newest version is in force. The older ones tell by which order credits burned before.
create table policies (
    tenant        text collate "C" not null,
    version       integer     not null,
    settings      jsonb       not null,
    -- From when; null: from the beginning.
    effective_at  timestamptz,
    -- The message that changed it, or the catalog version that was applied.
    changed_by    text        not null,
    constraint policies_pkey primary key (tenant, version),
    constraint policies_version_check check (version > 0)
);

create table staff (
    tenant  text collate "C" not null,
    member  text collate "C" not null,
    role    text collate "C" not null,
    constraint staff_pkey primary key (tenant, member),
    constraint staff_role_check check (role in ('admin', 'approver', 'viewer'))
);

create table accounts (
    shard         smallint not null,
    account_id    bigint   generated always as identity,
    -- Drawn at random by every write: tells a worker whether what it remembers is what stands here.
    stamp         bigint   not null default 0,
    tenant        text collate "C" not null,
    -- The empty name is the tenant itself: outcomes of tenant-wide messages belong to it.
    account       text collate "C" not null,
    status        text collate "C" not null default 'unopened',
    frozen_by_staff boolean not null default false,
    kind          text collate "C",
    owner         text collate "C",
    time_zone     text collate "C" not null default 'UTC',
    -- Metadata, alerts, top-up and invoicing, for accounts that have any.
    about         jsonb,
    balance       numeric(24,6) not null default 0,
    held          numeric(24,6) not null default 0,
    frozen        numeric(24,6) not null default 0,
    debt          numeric(24,6) not null default 0,
    last_seq      bigint   not null default 0,
    last_hash     bytea    not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
    recorded_at   timestamptz,
    -- When the last of its grants ended: usage from before may have to reopen some.
    last_ended_at timestamptz,
    grant_count   integer  not null default 0,
    debt_count    integer  not null default 0,
    event_count   bigint   not null default 0,
    -- How many rows the account has in tables that most accounts have none in: a batch reads such a
    -- table only when one of its accounts needs it.
    open_debts    integer  not null default 0,
    open_requests integer  not null default 0,
    open_subscriptions integer not null default 0,
    open_waiting  integer  not null default 0,
    next_due_at   timestamptz,
    constraint accounts_pkey primary key (shard, account_id),
    constraint accounts_tenant_account_key unique (shard, tenant, account),
    constraint accounts_status_check check (status in ('unopened', 'open', 'closed')),
    constraint accounts_balance_check check (balance >= 0 and held >= 0 and frozen >= 0 and debt >= 0),
    constraint accounts_available_check check (held + frozen <= balance),
    constraint accounts_last_hash_check check (length(last_hash) = 32)
) with (fillfactor = 60);

-- What the scheduler looks for.
create index accounts_next_due_idx on accounts (shard, next_due_at) where next_due_at is not null;

create table grants (
    shard         smallint not null,
    account_id    bigint   not null,
    number        integer  not null,
    grant_id      text collate "C" not null,
    source        text collate "C" not null,
    credits       numeric(24,6) not null,
    cost_basis    numeric(24,6) not null,
    priority      bigint,
    effective_at  timestamptz not null,
    -- `ends_at` is the close that will end it, as it is foreseen, else `expires_at`, which ends the grant
    -- by itself.
    ends_at       timestamptz,
    expires_at    timestamptz,
    scope         text[]   not null default '{}',
    -- Rules few grants have: rollover, recurrence.
    rules         jsonb,
    parent        integer,
    generation    integer  not null default 0,
    subscription  text collate "C",
    cycle_k       integer,
    cycle_n       integer,
    -- The payment that bought it, or its root: what reverses the payment takes it back.
    payment       text collate "C",
    cause_source  text     not null,
    cause_id      text     not null,
    status        text collate "C" not null,
    -- False once no later message or date can touch it unnamed; such grants are not read again.
    is_open       boolean  not null,
    remaining     numeric(24,6) not null,
    frozen        numeric(24,6) not null default 0,
    -- Taken back because its payment was reversed, what ended unused, what the cap took, and what staff voided.
    clawed        numeric(24,6) not null default 0,
    breakage      numeric(24,6) not null default 0,
    trimmed       numeric(24,6) not null default 0,
    voided        numeric(24,6) not null default 0,
    -- What its close handed on to a rollover, when it ended, and when that was recorded: late usage takes it back.
    handed_on     numeric(24,6) not null default 0,
    ended_at      timestamptz,
    end_recorded_at timestamptz,
    closes_left   integer  not null default 1,
    refill_at     timestamptz,
    constraint grants_pkey primary key (shard, account_id, number),
    -- By grant first: for the grants of an account there is the primary key.
    constraint grants_grant_id_key unique (shard, grant_id, account_id),
    constraint grants_status_check check (status in ('pending', 'active', 'ended')),
    constraint grants_remaining_check check (remaining between 0 and credits),
    constraint grants_frozen_check check (frozen between 0 and remaining),
    constraint grants_clawed_check check (clawed between 0 and credits and breakage >= 0 and trimmed >= 0 and voided >= 0),
    constraint grants_handed_on_check check (handed_on between 0 and credits),
    constraint grants_ended_check check (status <> 'ended' or remaining = 0),
    constraint grants_ended_at_check check ((status = 'ended') = (ended_at is not null) and (ended_at is null) = (end_recorded_at is null))
) with (fillfactor = 70);

create index grants_open_idx on grants (shard, account_id) where is_open;
create index grants_payment_idx on grants (shard, payment, account_id) where payment is not null;

create table entries (
    shard         smallint not null,
    account_id    bigint   not null,
    seq           bigint   not null,
    kind          text collate "C" not null,
    direction     text collate "C" not null,
    amount        numeric(24,6) not null,
    balance_after numeric(24,6) not null,
    held_change   numeric(24,6) not null,
    frozen_change numeric(24,6) not null,
    debt_change   numeric(24,6) not null,
    reference     text,
    cause_source  text     not null,
    cause_id      text     not null,
    actor         text,
    memo          text,
    occurred_at   timestamptz not null,
    recorded_at   timestamptz not null,
    touched_grants  integer[] not null,
    touched_changes numeric[] not null,
    hash          bytea    not null,
    constraint entries_pkey primary key (shard, account_id, seq),
    constraint entries_amount_check check (amount >= 0 and balance_after >= 0),
    constraint entries_direction_check check (direction in ('in', 'out', 'none')),
    constraint entries_hash_check check (length(hash) = 32)
);

-- No statement searches by these, and statistics of arrays are what an `analyze` would spend most on.
alter table entries alter column touched_grants set statistics 0, alter column touched_changes set statistics 0;

-- History is only ever added to.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% rows are never changed or removed', tg_table_name
        using errcode = 'restrict_violation';
end $$;

create trigger policies_append_only before update or delete on policies
    for each row execute function refuse_change();

create trigger entries_append_only before update or delete on entries
    for each row execute function refuse_change();

create table outcomes (
    shard         smallint not null,
    account_id    bigint   not null,
    -- First 16 bytes of SHA-256 over source, zero, id.
    message_key   uuid     not null,
    source        text     not null,
    id            text     not null,
    content       bytea    not null,
    outcome       text collate "C" not null,
    reasons       text[],
    first_seq     bigint,
    last_seq      bigint,
    recorded_at   timestamptz not null,
    constraint outcomes_pkey primary key (shard, account_id, message_key),
    constraint outcomes_outcome_check check (outcome in ('applied', 'duplicate', 'rejected', 'ignored'))
);

create trigger outcomes_append_only before update or delete on outcomes
    for each row execute function refuse_change();

-- What transactions publish, one row for each of them: every message would pay for a row and an index of its
-- own. The arrays have one element per announcement or reply; what they mean stands at `outbox_backlog`.
create table outbox_batches (
    shard         smallint not null,
    -- Drawn while the accounts are locked, so the batches of an account follow one another. A sequence that
    -- hands numbers out ahead (`cache`) would break that.
    batch         bigint   generated always as identity,
    -- Announcements, or replies, which somebody waits for: they have a relay of their own.
    is_replies    boolean  not null,
    -- The deployment, for changes of the balance.
    source        text     not null,
    account_ids   bigint[] not null,
    numbers       bigint[] not null,
    are_in_order  boolean[] not null,
    routing_keys  text[]   not null,
    correlation_ids text[] not null,
    bodies        bytea[]  not null,
    tenants       text[]   not null,
    accounts      text[]   not null,
    from_seqs     bigint[] not null,
    to_seqs       bigint[] not null,
    held          numeric[] not null,
    frozen        numeric[] not null,
    debt          numeric[] not null,
    -- Places of what stands in `outbox_backlog` instead, the first being 1.
    moved         integer[],
    -- When all of it was published or moved.
    published_at  timestamptz
) with (fillfactor = 80);

-- Compressing would cost more than it saves. No statement searches by these, so that no statistics of them are
-- collected: of arrays they are what an `analyze` would spend most on.
alter table outbox_batches
    alter column account_ids set storage external, alter column account_ids set statistics 0,
    alter column numbers set storage external, alter column numbers set statistics 0,
    alter column are_in_order set storage external, alter column are_in_order set statistics 0,
    alter column routing_keys set storage external, alter column routing_keys set statistics 0,
    alter column correlation_ids set storage external, alter column correlation_ids set statistics 0,
    alter column bodies set storage external, alter column bodies set statistics 0,
    alter column tenants set storage external, alter column tenants set statistics 0,
    alter column accounts set storage external, alter column accounts set statistics 0,
    alter column from_seqs set storage external, alter column from_seqs set statistics 0,
    alter column to_seqs set storage external, alter column to_seqs set statistics 0,
    alter column held set storage external, alter column held set statistics 0,
    alter column frozen set storage external, alter column frozen set statistics 0,
    alter column debt set storage external, alter column debt set statistics 0;

create unique index outbox_batches_announcements_key on outbox_batches (shard, batch) where published_at is null and not is_replies;
create unique index outbox_batches_replies_key on outbox_batches (shard, batch) where published_at is null and is_replies;

-- Rows are appended, so the oldest lie together: a block range index finds them and costs nearly nothing.
create index outbox_batches_published_idx on outbox_batches using brin (published_at);

-- Announcements that cannot go out with their batch: the broker refuses them, or one of their account before
-- them, or their account has very many. Of an account, what stands here is older than what is unpublished in
-- batches.
create table outbox_backlog (
    shard         smallint not null,
    account_id    bigint   not null,
    number        bigint   not null,
    -- Events go to the events exchange under their routing key; replies to a queue by its name.
    is_reply      boolean  not null,
    -- Events of an account go out one after the other; replies and what was quarantined stand alone.
    in_order      boolean  not null,
    routing_key   text,
    correlation_id text,
    body          bytea,
    -- Of a change of the balance, which has neither routing key nor body: the deployment, the account's
    -- names, the entries it announces, which are put into it when it is sent, and the numbers after them.
    source        text,
    tenant        text,
    account       text,
    from_seq      bigint,
    to_seq        bigint,
    held          numeric,
    frozen        numeric,
    debt          numeric,
    published_at  timestamptz
) with (fillfactor = 80);

create unique index outbox_backlog_unpublished_key on outbox_backlog (shard, in_order, account_id, number)
    where published_at is null;

create index outbox_backlog_published_idx on outbox_backlog using brin (published_at);

-- The announcements that stand in batches, one by one. `reconcile` checks that the numbers of an account are
-- unique and without a gap.
create view outbox_batched as
select b.shard, b.batch, one.place::integer as place, one.account_id, one.number, b.is_replies as is_reply, one.in_order, one.routing_key,
       one.correlation_id, one.body, case when one.from_seq is not null then b.source end as source, one.tenant, one.account,
       one.from_seq, one.to_seq, one.held, one.frozen, one.debt, b.published_at
from outbox_batches b
cross join lateral unnest(b.account_ids, b.numbers, b.are_in_order, b.routing_keys, b.correlation_ids,
                          b.bodies, b.tenants, b.accounts, b.from_seqs, b.to_seqs, b.held, b.frozen, b.debt)
    with ordinality as one (account_id, number, in_order, routing_key, correlation_id, body, tenant, account,
                            from_seq, to_seq, held, frozen, debt, place)
where b.moved is null or one.place <> all (b.moved);

-- All announcements and replies, published or not.
create view outbox as
select shard, account_id, number, is_reply, in_order, routing_key, correlation_id, body, source, tenant, account,
       from_seq, to_seq, held, frozen, debt, published_at from outbox_batched
union all
select shard, account_id, number, is_reply, in_order, routing_key, correlation_id, body, source, tenant, account,
       from_seq, to_seq, held, frozen, debt, published_at from outbox_backlog;

create table debts (
    shard         smallint not null,
    account_id    bigint   not null,
    number        integer  not null,
    amount        numeric(24,6) not null,
    remaining     numeric(24,6) not null,
    scope         text collate "C",
    cause_source  text     not null,
    cause_id      text     not null,
    reference     text,
    -- Of the shortfall of a reversed payment: the payment, whether only purchased credits repay it, what the
    -- tenant bears, what was undone, and which grants repaid how much, in their order.
    payment       text collate "C",
    paid_only     boolean  not null default false,
    written_off   numeric(24,6) not null default 0,
    undone        numeric(24,6) not null default 0,
    repaid_grants  integer[] not null default '{}',
    repaid_amounts numeric[] not null default '{}',
    constraint debts_pkey primary key (shard, account_id, number),
    constraint debts_remaining_check check (remaining >= 0 and written_off >= 0 and undone >= 0
                                            and remaining + written_off + undone <= amount)
);

create index debts_payment_idx on debts (shard, payment, account_id) where payment is not null;

create table payments (
    shard         smallint not null,
    account_id    bigint   not null,
    payment       text collate "C" not null,
    provider_id   text     not null,
    package       text,
    quantity      bigint,
    amount        numeric(24,6) not null,
    before_tax    numeric(24,6),
    currency      text     not null,
    document      text,
    status        text collate "C" not null,
    -- When it was paid, as its provider tells, or accepted by staff.
    paid_at       timestamptz,
    granted       numeric(24,6) not null,
    -- The most its provider ever said was refunded in all.
    refunded_most numeric(24,6) not null default 0,
    -- Credits that a reversal aimed at and that had ended unused.
    excused       numeric(24,6) not null default 0,
    constraint payments_pkey primary key (shard, account_id, payment),
    constraint payments_status_check check (status in ('unpaid', 'failed', 'review', 'granted', 'joined')),
    -- The first day of the month among whose purchases it counts, and how much of it.
    counted_month date,
    counted_net   numeric(24,6),
    constraint payments_excused_check check (excused between 0 and granted),
    constraint payments_counted_check check ((counted_month is null) = (counted_net is null) and counted_net >= 0)
);

-- Purchases paid by calendar month of the account's zone, before tax, less what went back.
create table purchase_months (
    shard         smallint not null,
    account_id    bigint   not null,
    month         date     not null,
    net           numeric(24,6) not null,
    -- Staff withdrew invoicing in it.
    is_withdrawn  boolean  not null,
    constraint purchase_months_pkey primary key (shard, account_id, month),
    constraint purchase_months_month_check check (extract(day from month) = 1),
    constraint purchase_months_net_check check (net >= 0)
);

-- How it was paid, its tax, its invoice's number, its receipt: what providers show under each name of it.
-- Nothing is decided by it.
create table payment_details (
    shard         smallint not null,
    account_id    bigint   not null,
    name          text collate "C" not null,
    method        text,
    tax           text,
    number        text,
    receipt       text,
    constraint payment_details_pkey primary key (shard, account_id, name)
);

-- Who paid, apart from everything else, so that it can be erased; what is erased stays so.
create table payers (
    shard         smallint not null,
    account_id    bigint   not null,
    name          text collate "C" not null,
    payer         text,
    email         text,
    country       text,
    erased_at     timestamptz,
    constraint payers_pkey primary key (shard, account_id, name),
    constraint payers_erased_at_check check (erased_at is null or (payer is null and email is null and country is null))
);

-- A refund counts from the moment it is under way until it fails; its state only moves forward.
create table refunds (
    shard         smallint not null,
    account_id    bigint   not null,
    refund        text collate "C" not null,
    payment       text collate "C" not null,
    amount        numeric(24,6) not null,
    status        text collate "C" not null,
    created_at    timestamptz not null,
    constraint refunds_pkey primary key (shard, account_id, refund),
    constraint refunds_amount_check check (amount >= 0),
    constraint refunds_status_check check (status in ('pending', 'succeeded', 'failed'))
);

create index refunds_payment_idx on refunds (shard, payment, account_id);

-- A dispute only moves forward, in the order of these words; the last two are one place.
create table disputes (
    shard         smallint not null,
    account_id    bigint   not null,
    dispute       text collate "C" not null,
    payment       text collate "C" not null,
    amount        numeric(24,6) not null,
    stage         text collate "C" not null,
    opened_at     timestamptz not null,
    constraint disputes_pkey primary key (shard, account_id, dispute),
    constraint disputes_amount_check check (amount >= 0),
    constraint disputes_stage_check check (stage in ('opened', 'withdrawn', 'lost', 'reinstated', 'won'))
);

create index disputes_payment_idx on disputes (shard, payment, account_id);

-- Every other name a provider has for a payment leads to the one it is kept under. An unpaid one may turn
-- out to be another: then names move, and its own becomes one of the other's.
create table payment_aliases (
    shard         smallint not null,
    account_id    bigint   not null,
    name          text collate "C" not null,
    provider_id   text collate "C" not null,
    payment       text collate "C" not null,
    constraint payment_aliases_pkey primary key (shard, account_id, name)
);

create index payment_aliases_payment_idx on payment_aliases (shard, payment, account_id);

-- All names of payments, with the payment that each leads to. Looked up by constants or from a lateral subquery: joins
-- to it find no index. A name that a payment came to be kept under stays behind as its own alias.
create view payment_names as
select shard, account_id, payment as name, provider_id, payment from payments where status <> 'joined'
union all
select shard, account_id, name, provider_id, payment from payment_aliases where name <> payment;

create table credit_requests (
    shard         smallint not null,
    account_id    bigint   not null,
    request       text collate "C" not null,
    package       text,
    -- Bonus included.
    credits       numeric(24,6) not null,
    bonus         numeric(24,6) not null,
    expires_after text,
    price         numeric(24,6) not null,
    currency      text     not null,
    method        text collate "C" not null,
    requested_by  text     not null,
    evidence_reference text collate "C",
    evidence_url  text,
    status        text collate "C" not null,
    submitted_at  timestamptz not null,
    expires_at    timestamptz,
    decided_by    text,
    received      numeric(24,6),
    granted       numeric(24,6) not null,
    constraint credit_requests_pkey primary key (shard, account_id, request),
    constraint credit_requests_price_check check (price > 0 and credits > 0),
    constraint credit_requests_bonus_check check (bonus between 0 and credits),
    constraint credit_requests_status_check
        check (status in ('pending', 'accepted', 'rejected', 'cancelled', 'expired'))
);

create index credit_requests_evidence_idx on credit_requests (shard, evidence_reference, account_id)
    where evidence_reference is not null;

create table charges (
    shard         smallint not null,
    account_id    bigint   not null,
    reference     text collate "C" not null,
    purpose       text collate "C" not null,
    service       text collate "C",
    credits       numeric(24,6) not null,
    constraint charges_pkey primary key (shard, account_id, reference),
    constraint charges_purpose_check check (purpose in ('service', 'invoice'))
);

create table subscriptions (
    shard         smallint not null,
    account_id    bigint   not null,
    subscription  text collate "C" not null,
    started_with  jsonb    not null,
    period        text collate "C" not null,
    allowance_every text collate "C" not null,
    anchor        timestamp not null,
    time_zone     text     not null,
    started_at    timestamptz not null,
    -- What it was when its paid interval began, what it is, and what it becomes.
    wanted_began  jsonb    not null,
    wanted        jsonb    not null,
    wanted_next   jsonb,
    is_cancelled  boolean  not null,
    is_ended      boolean  not null,
    cycle_k       integer  not null,
    cycle_n       integer  not null,
    cycle_start   timestamptz not null,
    cycle_end     timestamptz not null,
    cycle_catalog integer  not null,
    cycle_allowance numeric(24,6) not null,
    -- Units by add-on that were counted in the cycle.
    cycle_units   jsonb    not null,
    -- What its provider calls it, and the time of the last event of it that was heeded.
    provider_name text collate "C",
    told_at       timestamptz,
    -- Payments for cycles: from when until when, by which payment, for which plan and units.
    paid          jsonb    not null,
    constraint subscriptions_pkey primary key (shard, account_id, subscription),
    constraint subscriptions_cycle_check check (cycle_start < cycle_end),
    constraint subscriptions_told_at_check check ((provider_name is null) = (told_at is null))
);

create table high_waters (
    shard         smallint not null,
    account_id    bigint   not null,
    item          text collate "C" not null,
    issued        numeric(24,6) not null,
    until         timestamptz not null,
    constraint high_waters_pkey primary key (shard, account_id, item)
);

-- One row per cycle that was opened by a reset, or closed by a last one: a cycle resets once.
create table resets (
    shard         smallint not null,
    account_id    bigint   not null,
    subscription  text collate "C" not null,
    k             integer  not null,
    n             integer  not null,
    boundary      timestamptz not null,
    granted       numeric(24,6) not null,
    forfeited     numeric(24,6) not null,
    rolled_over   numeric(24,6) not null,
    next_boundary timestamptz,
    recorded_at   timestamptz not null,
    constraint resets_pkey primary key (shard, account_id, subscription, k, n)
);

create trigger resets_append_only before update or delete on resets
    for each row execute function refuse_change();

-- Messages that wait, byte for byte; deleted by the transaction that writes their final outcome.
create table waiting (
    shard         smallint not null,
    account_id    bigint   not null,
    message_key   uuid     not null,
    source        text     not null,
    id            text     not null,
    content       bytea    not null,
    waits_on      text collate "C" not null,
    -- The request or subscription; the names of a payment, one on a line; of a claim, what the directory
    -- answered: undecided, ours, taken.
    waits_key     text collate "C",
    -- The instant waited for; of a claim, when the directory is asked again.
    waits_until   timestamptz,
    deadline      timestamptz not null,
    -- When something happens to it without anything else.
    due_at        timestamptz not null
        generated always as (least(deadline, case waits_on when 'time' then waits_until end)) stored,
    arrived_at    timestamptz not null default clock_timestamp(),
    raw           jsonb    not null,
    body          bytea    not null,
    constraint waiting_pkey primary key (shard, message_key, account_id),
    constraint waiting_waits_on_check check (waits_on in ('account', 'request', 'decision', 'subscription', 'payment', 'time', 'claim'))
);

-- What a batch asks of an account's waiting messages, without reading them.
create index waiting_due_idx on waiting (shard, account_id, waits_on, due_at);

-- Those the scheduler asks the directory about again.
create index waiting_claims_idx on waiting (shard, waits_until) where waits_on = 'claim';

-- Which account of the tenant a business fact belongs to. `claims` are the messages that went on with
-- the claim, each with the time it last did; a claim is final once one of them was accepted, and open
-- to others once all of them were refused, or set aside since that time.
create table directory (
    shard         smallint not null,
    tenant        text collate "C" not null,
    kind          text collate "C" not null,
    key           text collate "C" not null,
    account       text collate "C" not null,
    -- Message key to instant.
    claims        jsonb    not null,
    constraint directory_pkey primary key (shard, tenant, kind, key)
);

-- Provider's messages about payments that no account has claimed yet, byte for byte, in the shard of their
-- tenant's own row; deleted once their outcome is stored. Some are answered already, as ignored, and are kept
-- for the names they show.
create table unclaimed (
    shard         smallint not null,
    tenant        text collate "C" not null,
    message_key   uuid     not null,
    source        text     not null,
    id            text     not null,
    content       bytea    not null,
    is_answered   boolean  not null,
    deadline      timestamptz not null,
    -- When the scheduler asks for its account again.
    ask_at        timestamptz not null default clock_timestamp(),
    arrived_at    timestamptz not null default clock_timestamp(),
    raw           jsonb    not null,
    body          bytea    not null,
    constraint unclaimed_pkey primary key (shard, tenant, message_key)
);

create index unclaimed_ask_at_idx on unclaimed (shard, ask_at);

create table unclaimed_names (
    shard         smallint not null,
    tenant        text collate "C" not null,
    name          text collate "C" not null,
    message_key   uuid     not null,
    constraint unclaimed_names_pkey primary key (shard, tenant, name, message_key)
);

create index unclaimed_names_message_key_idx on unclaimed_names (shard, tenant, message_key);

-- What could not be applied, for people. Never changed but for its counters and its end.
create table quarantine (
    shard         smallint not null,
    queue         text collate "C" not null,
    -- SHA-256 over headers and body: a repeat only counts up.
    digest        bytea    not null,
    reason        text collate "C" not null,
    detail        text     not null,
    tenant        text collate "C",
    account       text collate "C",
    source        text,
    id            text,
    message_key   uuid,
    raw           jsonb    not null,
    body          bytea    not null,
    body_bytes    integer  not null,
    seen          integer  not null default 1,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at  timestamptz not null default clock_timestamp(),
    ended_at      timestamptz,
    ended_as      text collate "C",
    -- Who ended it, and for what reason it was given up.
    ended_by      text,
    ended_reason  text,
    constraint quarantine_pkey primary key (shard, queue, digest),
    constraint quarantine_ended_as_check check (ended_as in ('replayed', 'discarded')),
    constraint quarantine_ended_reason_check check (ended_as is distinct from 'discarded' or ended_reason is not null)
);

create index quarantine_message_key_idx on quarantine (shard, message_key) where message_key is not null;
create index quarantine_open_idx on quarantine (first_seen_at) where ended_at is null;

-- Deliveries tried one at a time after the broker counted two returns: a third attempt is set aside
-- unprocessed, so that a message that ends the process does not take its neighbours along.
create table attempts (
    shard         smallint not null,
    queue         text collate "C" not null,
    digest        bytea    not null,
    attempts      integer  not null,
    last_at       timestamptz not null default clock_timestamp(),
    constraint attempts_pkey primary key (shard, queue, digest)
);

-- Tenant-wide resets that are being carried out, shard by shard; removed by the transaction that
-- answers them.
create table reset_jobs (
    tenant        text collate "C" not null,
    message_key   uuid     not null,
    source        text     not null,
    id            text     not null,
    content       bytea    not null,
    as_of         timestamptz not null,
    reply_to      text,
    correlation_id text,
    -- Until then a worker is at it; from then on any may take it up.
    try_at        timestamptz not null default clock_timestamp(),
    -- Accounts that could not be written, at most 20 by name.
    held_up_by    text[]   not null default '{}',
    created_at    timestamptz not null default clock_timestamp(),
    constraint reset_jobs_pkey primary key (tenant, message_key)
);

-- What a batch writes is sent as one array of rows per table: unnesting an array per column would cost
-- more than writing the rows. A type is never altered: a table that gets a column gets a type beside
-- the old one, which workers of the version before still send.

create type written_account as (
    place tid, account_id bigint, stamp bigint, status text, frozen_by_staff boolean, kind text, owner text,
    time_zone text, balance numeric(24,6), held numeric(24,6), frozen numeric(24,6), debt numeric(24,6), last_seq bigint,
    last_hash bytea, recorded_at timestamptz, last_ended_at timestamptz, grant_count integer, debt_count integer, event_count bigint,
    open_debts integer, open_requests integer, open_subscriptions integer, open_waiting integer,
    next_due_at timestamptz
);

create type written_grant as (
    account_id bigint, number integer, grant_id text, source text, credits numeric(24,6), cost_basis numeric(24,6),
    priority bigint, effective_at timestamptz, ends_at timestamptz, expires_at timestamptz, scope text[], rules jsonb,
    parent integer, generation integer, subscription text, cycle_k integer, cycle_n integer, payment text, cause_source text,
    cause_id text, status text, is_open boolean, remaining numeric(24,6), frozen numeric(24,6), clawed numeric(24,6),
    breakage numeric(24,6), trimmed numeric(24,6), voided numeric(24,6), handed_on numeric(24,6), ended_at timestamptz,
    end_recorded_at timestamptz, closes_left integer,
    refill_at timestamptz
);

create type changed_grant as (
    place tid, account_id bigint, number integer, status text, is_open boolean, remaining numeric(24,6),
    frozen numeric(24,6), clawed numeric(24,6), breakage numeric(24,6), trimmed numeric(24,6), voided numeric(24,6),
    handed_on numeric(24,6), ended_at timestamptz, end_recorded_at timestamptz, closes_left integer, refill_at timestamptz, ends_at timestamptz
);

create type written_entry as (
    account_id bigint, seq bigint, kind text, direction text, amount numeric(24,6), balance_after numeric(24,6),
    held_change numeric(24,6), frozen_change numeric(24,6), debt_change numeric(24,6), reference text,
    cause_source text, cause_id text, actor text, memo text, occurred_at timestamptz, recorded_at timestamptz,
    touched_grants integer[], touched_changes numeric[], hash bytea
);

create type written_outcome as (
    account_id bigint, message_key uuid, source text, id text, content bytea, outcome text, reasons text[],
    first_seq bigint, last_seq bigint, recorded_at timestamptz
);

create type written_debt as (
    account_id bigint, number integer, amount numeric(24,6), remaining numeric(24,6), scope text, cause_source text,
    cause_id text, reference text, payment text, paid_only boolean, written_off numeric(24,6), undone numeric(24,6),
    repaid_grants integer[], repaid_amounts numeric[]
);

create type written_payment as (
    account_id bigint, payment text, provider_id text, package text, quantity bigint, amount numeric(24,6),
    before_tax numeric(24,6), currency text, document text, status text, paid_at timestamptz,
    granted numeric(24,6), refunded_most numeric(24,6), excused numeric(24,6), counted_month date, counted_net numeric(24,6)
);

create type written_purchase_month as (account_id bigint, month date, net numeric(24,6), is_withdrawn boolean);

create type written_payment_details as (account_id bigint, name text, method text, tax text, number text, receipt text);

create type written_payer as (account_id bigint, name text, payer text, email text, country text);

create type written_refund as (
    account_id bigint, refund text, payment text, amount numeric(24,6), status text, created_at timestamptz
);

create type written_dispute as (
    account_id bigint, dispute text, payment text, amount numeric(24,6), stage text, opened_at timestamptz
);

create type written_payment_alias as (account_id bigint, name text, provider_id text, payment text);

create type written_credit_request as (
    account_id bigint, request text, package text, credits numeric(24,6), bonus numeric(24,6), expires_after text,
    price numeric(24,6), currency text, method text, requested_by text, evidence_reference text, evidence_url text,
    status text, submitted_at timestamptz, expires_at timestamptz, decided_by text, received numeric(24,6),
    granted numeric(24,6)
);

create type written_charge as (account_id bigint, reference text, purpose text, service text, credits numeric(24,6));

create type written_subscription as (
    account_id bigint, subscription text, started_with jsonb, period text, allowance_every text, anchor timestamp,
    time_zone text, started_at timestamptz, wanted_began jsonb, wanted jsonb, wanted_next jsonb, is_cancelled boolean, is_ended boolean,
    cycle_k integer, cycle_n integer, cycle_start timestamptz, cycle_end timestamptz, cycle_catalog integer,
    cycle_allowance numeric(24,6), cycle_units jsonb, provider_name text, told_at timestamptz, paid jsonb
);

create type written_high_water as (account_id bigint, item text, issued numeric(24,6), until timestamptz);

create type written_reset as (
    account_id bigint, subscription text, k integer, n integer, boundary timestamptz, granted numeric(24,6),
    forfeited numeric(24,6), rolled_over numeric(24,6), next_boundary timestamptz, recorded_at timestamptz
);

create type written_profile as (account_id bigint, about jsonb);

create type written_waiting as (
    account_id bigint, message_key uuid, source text, id text, content bytea, waits_on text, waits_key text,
    waits_until timestamptz, deadline timestamptz, raw jsonb, body bytea
);
