//! Forgeries planted in a real ledger, each of which the audit has to find and name.
//!
//! One ledger is written by messages, with something of everything in it; each forgery is planted by
//! a superuser past triggers, audited, and undone.

use crate::world::{World, instant};
use credit_ledger::reconcile::reconcile;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const CATALOG: &str = r#"
[packages.plus]
credits = "1000"
bonus = "100"
price = "30.00"
[plans.basic]
allowance = "100"
rollover = { max = "50" }
[services.logo]
credits = "150"
[[rates]]
meter = "unit"
price = "1"
"#;

/// Every table, in no order: triggers and with them foreign keys are off.
const TABLES: [&str; 23] = [
    "tenants",
    "catalogs",
    "staff",
    "accounts",
    "grants",
    "entries",
    "outcomes",
    "outbox_batches",
    "outbox_backlog",
    "debts",
    "payments",
    "payment_aliases",
    "payment_details",
    "payers",
    "purchase_months",
    "credit_requests",
    "charges",
    "subscriptions",
    "high_waters",
    "resets",
    "waiting",
    "directory",
    "quarantine",
];

/// What is planted, and what must be told of it. `ANNA` and `BEN` stand for the row ids, `HOME` for the
/// shard of anna's account, `ELSEWHERE` for one that is not hers.
const FORGERIES: &[(&str, &[&str])] = &[
    // Entries.
    (
        "update entries set amount = amount + 1 where account_id = ANNA and seq = 2",
        &["acme/anna: balance_after of entry 2", "acme/anna: hash of entry 2", "acme/anna: balance = sum of entries"],
    ),
    ("update entries set actor = 'eve' where account_id = ANNA and seq = 2", &["acme/anna: hash of entry 2"]),
    ("update entries set kind = 'gift' where account_id = ANNA and seq = 2", &["acme/anna: content of entry 2"]),
    (
        "update entries set recorded_at = recorded_at - interval '1 day' where account_id = ANNA and seq = 2",
        &["acme/anna: recorded_at (never before the last) of entry 2"],
    ),
    (
        "update entries set touched_grants = '{2}' where account_id = ANNA and seq = 2",
        &["acme/anna: remaining of grant g1 ", "acme/anna: hash of entry 2"],
    ),
    (
        "delete from entries where account_id = ANNA and seq = 2",
        &["acme/anna: position of entry 3", "acme/anna: last_seq = number of entries"],
    ),
    (
        "delete from entries where account_id = BEN and seq = (select last_seq from accounts where account_id = BEN)",
        &["acme/ben: last_seq = last entry", "acme/ben: last_hash"],
    ),
    (
        "update entries e set hash = o.hash from entries o where e.account_id = ANNA and o.account_id = ANNA \
         and (e.seq, o.seq) in ((1, 2), (2, 1))",
        &["acme/anna: hash of entry 1", "acme/anna: hash of entry 2"],
    ),
    (
        "update entries set shard = ELSEWHERE where account_id = ANNA and seq = 2",
        &["acme/anna: entries rows stand in the shard of their account: stored 1 in shard", "acme/anna: position of entry 3"],
    ),
    // Accounts.
    (
        "update accounts set balance = balance + 1 where account_id = ANNA",
        &["acme/anna: balance = sum of entries", "acme/anna: balance = remaining of active grants"],
    ),
    ("update accounts set held = 1 where account_id = ANNA", &["acme/anna: held = sum of entries"]),
    (
        "update accounts set frozen = 1 where account_id = ANNA",
        &["acme/anna: frozen = sum of entries", "acme/anna: frozen = frozen of active grants"],
    ),
    ("update accounts set debt = 0 where account_id = BEN", &["acme/ben: debt = sum of entries", "acme/ben: debt = remaining of debts"]),
    (
        "update accounts set last_hash = decode(repeat('ab', 32), 'hex') where account_id = ANNA",
        &["acme/anna: last_hash = hash of the last entry"],
    ),
    ("update accounts set next_due_at = null where account_id = ANNA", &["acme/anna: next_due_at = the first of what is due"]),
    ("update accounts set recorded_at = '2020-01-01Z' where account_id = ANNA", &["acme/anna: recorded_at is not before the last entry"]),
    ("update accounts set open_debts = 0 where account_id = BEN", &["acme/ben: open_debts = debts still owed"]),
    (
        "update accounts set account = 'zoe' where account_id = ANNA",
        &["acme/zoe: shard of the account", "acme/zoe: other names than its account's in announcement 2"],
    ),
    ("update outbox_backlog set source = null where account_id = ANNA and number = 2", &["acme/anna: parts missing of announcement 2"]),
    ("update outbox_backlog set body = null where account_id = ANNA and number = 1", &["acme/anna: parts missing of announcement 1"]),
    (
        "delete from accounts where account_id = ANNA",
        &[
            "entries rows stand in the shard of their account",
            "grants rows",
            "outcomes rows",
            "outbox rows",
            "payments rows",
            "resets rows",
        ],
    ),
    // Grants.
    (
        "update grants set remaining = remaining + 5 where account_id = ANNA and grant_id = 'g1'",
        &["acme/anna: remaining of grant g1 ", "acme/anna: balance = remaining of active grants"],
    ),
    (
        "update grants set credits = credits + 1000 where account_id = ANNA and grant_id = 'g1'",
        &["acme/anna: credits of grant g1 = what its first entry brought"],
    ),
    (
        "update grants set is_open = false where account_id = ANNA and is_open and source = 'purchased'",
        &["acme/anna: is_open of grant gr_"],
    ),
    (
        "update grants set expires_at = '2026-01-01Z' where account_id = ANNA and grant_id = 'g1'",
        &["acme/anna: use of grant g1 ends with it: stored entry 2"],
    ),
    ("update grants set parent = 77 where account_id = ANNA and parent is not null", &["acme/anna: the parent of grant"]),
    (
        "update grants set subscription = 'other' where account_id = ANNA and subscription is not null",
        &["acme/anna: subscription other of grant"],
    ),
    (
        "delete from grants where account_id = ANNA and grant_id = 'g1'",
        &["acme/anna: remaining of grant 1 (missing)", "acme/anna: grant_count = number of grants"],
    ),
    ("update grants set shard = 77 where account_id = ANNA and grant_id = 'g1'", &["shard 77: grants rows stand in a shard there is"]),
    // Outcomes.
    (
        "insert into outcomes values (HOME, 999999, gen_random_uuid(), 'app', 'x', '\\x00', 'applied', null, null, null, now())",
        &["account row 999999: outcomes rows stand in the shard of their account", "account row 999999: the key of message app x"],
    ),
    (
        "delete from outcomes where account_id = ANNA and first_seq = 2",
        &["acme/anna: entries of message app m-2 have an applied outcome: stored 2..2, computed none"],
    ),
    (
        "update outcomes set outcome = 'rejected' where account_id = ANNA and first_seq = 2",
        &["acme/anna: entries of message app m-2 have an applied outcome: stored 2..2, computed rejected"],
    ),
    (
        "update outcomes set last_seq = last_seq + 1 where account_id = ANNA and first_seq = 2",
        &["acme/anna: entries of outcome app m-2 are caused by its message"],
    ),
    (
        "update outcomes set first_seq = 900, last_seq = 901 where account_id = ANNA and first_seq = 2",
        &["acme/anna: entries of outcome app m-2 exist"],
    ),
    (
        "update outcomes set first_seq = 1, last_seq = 1 where account_id = BEN and outcome = 'rejected'",
        &["acme/ben: entries of outcome app m-", "are caused by its message"],
    ),
    (
        "update outcomes set message_key = gen_random_uuid() where account_id = ANNA and first_seq = 2",
        &["acme/anna: the key of message app m-2 = hash of its source and id"],
    ),
    (
        "insert into outcomes select shard, account_id, message_key, source, id, content, 'ignored', null, null, null, now() from waiting",
        &["acme/ben: message app late waits and has no outcome"],
    ),
    ("delete from waiting", &["acme/ben: open_waiting = waiting messages"]),
    // Announcements.
    (
        "delete from outbox_backlog where account_id = ANNA and number = 2",
        &["acme/anna: announcements are numbered without a gap after 1: stored 3, computed 2"],
    ),
    (
        "delete from outbox_backlog where account_id = ANNA and number = (select max(number) from outbox where account_id = ANNA)",
        &["acme/anna: event_count = last announcement"],
    ),
    (
        "update outbox_backlog set published_at = now() where account_id = ANNA and number = 3",
        &["acme/anna: announcements are published in order"],
    ),
    (
        "update outbox_backlog set held = 3, debt = 4 where account_id = ANNA and number = 2",
        &[
            "acme/anna: held of announcement 2 = sum of entries: stored 3, computed 0",
            "acme/anna: debt of announcement 2 = sum of entries: stored 4, computed 0",
        ],
    ),
    (
        "update outbox_backlog set to_seq = to_seq - 1 where account_id = ANNA and to_seq = (select last_seq from accounts where account_id = ANNA)",
        &["acme/anna: the last announcement ends at the last entry"],
    ),
    ("update outbox_backlog set from_seq = to_seq + 1 where account_id = ANNA and number = 2", &["acme/anna: announcement 2 tells of"]),
    (
        "update outbox_backlog set shard = (select shard from accounts where account_id = BEN), account_id = BEN, number = number + 1000 where account_id = ANNA and number = 2",
        &["acme/ben: other names than its account's in announcement 1002"],
    ),
    (
        "update outbox_batches set numbers = array_replace(numbers, 2, 77) where BEN = any (account_ids) and 2 = any (numbers)",
        &["acme/ben: announcements are numbered without a gap after"],
    ),
    (
        "delete from outbox_batches where BEN = any (account_ids) and batch = (select max(batch) from outbox_batches where BEN = any (account_ids))",
        &["acme/ben: event_count = last announcement"],
    ),
    // Facts.
    ("update payments set granted = 1", &["acme/anna: granted of payment stripe:pi_1 = what entries granted: stored 1, computed 1100"]),
    // What another payment brought, under this one's name.
    (
        "update entries set reference = 'stripe:pi_1' where reference = 'stripe:pi_2'",
        &[
            "acme/anna: granted of payment stripe:pi_1 = what entries granted: stored 1100, computed 2200",
            "acme/anna: purchased grants of payment stripe:pi_1 are one at most: stored 2, computed 1",
            "acme/anna: granted of payment stripe:pi_2 = what entries granted: stored 1100, computed 0",
        ],
    ),
    // Granted twice, with a sum that agrees.
    (
        "with doubled as (update payments set granted = 2200 where payment = 'stripe:pi_1') \
         update entries set reference = 'stripe:pi_1' where reference = 'r'",
        &["acme/anna: purchased grants of payment stripe:pi_1 are one at most: stored 2, computed 1"],
    ),
    // Granted by itself, and once more under its request's id.
    (
        "update entries set reference = 'pi_2' where reference = 'r'",
        &[
            "acme/anna: granted of payment stripe:pi_2 = what entries granted: stored 1100, computed 2200",
            "acme/anna: purchased grants of payment stripe:pi_2 are one at most: stored 2, computed 1",
        ],
    ),
    (
        "update payments set granted = 0, status = 'review' where payment = 'stripe:pi_2'",
        &[
            "acme/anna: granted of payment stripe:pi_2 = what entries granted: stored 0, computed 1100",
            "acme/anna: granted of request pi_2 = granted of its payment: stored 1100, computed 0",
        ],
    ),
    (
        "update credit_requests set status = 'rejected' where request = 'pi_2'",
        &["acme/anna: granted of request pi_2 = granted of its payment: stored 1100, computed 0"],
    ),
    ("update payments set status = 'joined' where payment = 'stripe:pi_2'", &["acme/anna: one payment of name stripe:pi_2 exists"]),
    (
        "insert into payment_aliases (shard, account_id, name, provider_id, payment) \
         select shard, account_id, payment, provider_id, 'stripe:pi_1' from payments where payment = 'stripe:pi_2'",
        &["acme/anna: one payment of name stripe:pi_2 exists"],
    ),
    (
        "insert into payment_aliases (shard, account_id, name, provider_id, payment) \
         select shard, account_id, 'stripe:ch_x', 'ch_x', 'stripe:pi_x' from accounts where account_id = ANNA",
        &["acme/anna: payment stripe:pi_x of name stripe:ch_x exists"],
    ),
    ("update purchase_months set net = net + 1 where account_id = ANNA", &["acme/anna: purchases of 2026-"]),
    ("update payments set counted_month = null, counted_net = null where account_id = ANNA", &["acme/anna: purchases of 2026-"]),
    (
        "insert into payers (shard, account_id, name, email) select shard, account_id, 'stripe:pi_x', 'x' from accounts where account_id = ANNA",
        &["acme/anna: name stripe:pi_x of details exists"],
    ),
    (
        "delete from payments where payment = 'stripe:pi_2'",
        &["acme/anna: payment stripe:pi_2 of grant ", "acme/anna: payment of request pi_2 exists"],
    ),
    ("update credit_requests set granted = 1", &["acme/anna: granted of request r = what entries granted: stored 1, computed 1100"]),
    ("update charges set credits = 1", &["acme/anna: credits of charge O-1 = what entries burned: stored 1, computed 150"]),
    ("delete from charges", &["acme/anna: credits of charge O-1 = what entries burned: stored none, computed 150"]),
    ("delete from debts", &["acme/ben: amount of debts by app", "acme/ben: debt = remaining of debts"]),
    // Cycles.
    ("update subscriptions set cycle_end = cycle_end + interval '1 day'", &["acme/anna: cycle of subscription sub = its last reset"]),
    ("update subscriptions set is_ended = true", &["acme/anna: the last reset of subscription sub says whether it is over"]),
    ("update subscriptions set cycle_allowance = 1", &["acme/anna: allowance of the cycle of subscription sub covers what was granted"]),
    ("update subscriptions set cycle_catalog = 9", &["acme/anna: catalog version 9 of subscription sub exists"]),
    ("update high_waters set issued = 1", &["acme/anna: high water of plans covers what was granted in the cycle of subscription sub"]),
    ("update resets set k = k + 1 where k = (select max(k) from resets)", &["follows the one before"]),
    ("update resets set boundary = boundary + interval '1 day' where k = (select max(k) from resets)", &["stands at the boundary before"]),
    // The directory.
    (
        "delete from directory where kind = 'payment'",
        &["acme/anna: the directory's account of payment stripe:pi_1: stored none, computed anna"],
    ),
    (
        "update directory set account = 'ben' where kind = 'request'",
        &["acme/anna: the directory's account of request r: stored ben, computed anna"],
    ),
    ("delete from directory where kind = 'evidence'", &["acme/anna: the directory's account of evidence bank_transfer:wire-1"]),
    (
        "update directory set shard = (shard + 1) % 4 where kind = 'reference' and key = 'O-1'",
        &["acme/O-1: shard of the directory row reference", "acme/anna: the directory's account of reference O-1"],
    ),
    // Whole accounts and tenants.
    (
        "delete from tenants",
        &[
            "acme/anna: tenant acme exists",
            "tenant acme: catalogs rows have a tenant",
            "tenant acme: policies rows have a tenant",
            "tenant acme: directory rows have a tenant",
        ],
    ),
];

/// Something of everything.
async fn story(world: &mut World) {
    world.grant("anna", "100", json!({"grant": "g1", "expires_at": "2027-01-01T00:00:00Z"})).await;
    // 100 − 30
    assert_eq!(world.uses("anna", "unit", "30").await, "applied");
    let checkout = json!({"id": "evt_1", "type": "checkout.session.completed", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {
        "id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 3000, "currency": "usd", "payment_intent": "pi_1",
        "metadata": {"credit_account": "anna", "credit_package": "plus"},
    }}});
    assert_eq!(world.stripe(&checkout).await, "applied");
    world.staff("bob", "approver").await;
    let asked =
        json!({"request": "r", "method": "bank_transfer", "requested_by": "mia", "package": "plus", "evidence": {"reference": "wire-1"}});
    world.done("credit_request.submitted", "anna", asked).await;
    world.done("credit_request.decided", "anna", json!({"request": "r", "decision": "accepted", "decided_by": "bob"})).await;
    world.done("credits.spend", "anna", json!({"purpose": "service", "service": "logo", "reference": "O-1", "credits": "150"})).await;
    world.subscribe("anna", "basic", "2026-01-01T00:00:00").await;
    world.tick("2026-02-01T00:00:00Z").await;
    world.tick("2026-03-01T00:00:00Z").await;
    // Too much for 30.00, so staff accept it: all of 1000 and 100.
    let more = json!({"id": "evt_2", "type": "payment_intent.succeeded", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {"id": "pi_2", "amount": 3500, "currency": "usd", "metadata": {"credit_account": "anna", "credit_package": "plus"}}}});
    assert_eq!(world.stripe(&more).await, "applied");
    world.done("credit_request.decided", "anna", json!({"request": "pi_2", "decision": "accepted", "decided_by": "bob"})).await;
    world.grant("ben", "10", json!({})).await;
    // 10 burned, 15 owed.
    world.done("credits.adjust", "ben", json!({"credits": "-25", "allow_debt": true, "reason": "error", "actor": "bob"})).await;
    let spend = json!({"purpose": "service", "service": "logo", "reference": "O-2", "credits": "150"});
    assert_eq!(world.tell("credits.spend", "ben", spend).await, "rejected: insufficient_credits");
    let late = json!({"id": "late", "type": "subscription.cancelled", "subject": "ben", "data": {"subscription": "none"}});
    assert_eq!(world.send(late).await, "waiting");
}

struct Forger {
    connection: PgConnection,
    url: String,
    /// Puts every table back as it was.
    restore: String,
}

impl Forger {
    async fn new(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        // Announcements stand in either place.
        let sql = "insert into outbox_backlog select * from outbox where account_id = (select account_id from accounts where account = 'anna'); \
                   update outbox_batches set moved = places from (select batch, array_agg(place) as places from outbox_batched \
                   where account_id = (select account_id from accounts where account = 'anna') group by batch) as left_out \
                   where outbox_batches.batch = left_out.batch";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        let keep = TABLES.map(|table| format!("create table kept_{table} as table {table};")).join(" ");
        sqlx::raw_sql(AssertSqlSafe(format!("set session_replication_role = replica; {keep}"))).execute(&mut connection).await.unwrap();
        let mut restore = String::new();
        for table in TABLES {
            // What the database computes is not put back.
            let columns: String = sqlx::query_scalar(
                "select string_agg(attname, ', ' order by attnum) from pg_attribute \
                 where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
            )
            .bind(table)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let back = format!(
                "delete from {table}; insert into {table} ({columns}) overriding system value select {columns} from kept_{table}; "
            );
            restore.push_str(&back);
        }
        Self { connection, url: url.to_owned(), restore }
    }

    async fn plant(&mut self, forgery: &str) {
        let number = |name: &'static str, sql: &'static str| (name, sql);
        let mut sql = forgery.to_owned();
        for (name, value) in [
            number("ANNA", "(select account_id from kept_accounts where account = 'anna')"),
            number("BEN", "(select account_id from kept_accounts where account = 'ben')"),
            number("HOME", "(select shard from kept_accounts where account = 'anna')"),
            number("ELSEWHERE", "(select (shard + 1) % 4 from kept_accounts where account = 'anna')"),
        ] {
            sql = sql.replace(name, value);
        }
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection).await;
        assert!(done.unwrap_or_else(|error| panic!("{forgery}: {error}")).rows_affected() > 0, "{forgery}: nothing was planted");
    }

    async fn undo(&mut self) {
        sqlx::raw_sql(AssertSqlSafe(self.restore.clone())).execute(&mut self.connection).await.unwrap();
    }

    async fn audit(&self) -> Vec<String> {
        let mut found = Vec::new();
        let tell = |difference: credit_ledger::store::postgres::query::audit::Difference| {
            found.push(difference.to_string());
            Ok::<(), credit_ledger::failure::Failure>(())
        };
        let report = reconcile(&self.url, tell).await.unwrap();
        assert_eq!(usize::try_from(report.differences).unwrap(), found.len());
        found
    }
}

#[tokio::test]
async fn every_forgery_is_found_and_named() {
    World::in_postgres(CATALOG, async |world| {
        story(world).await;
        let mut forger = Forger::new(&world.database.as_ref().unwrap().url).await;
        assert_eq!(forger.audit().await, Vec::<String>::new());
        let mut missed = Vec::new();
        for (forgery, expected) in FORGERIES {
            forger.plant(forgery).await;
            let found = forger.audit().await;
            for wanted in *expected {
                if !found.iter().any(|line| line.contains(wanted)) {
                    missed.push(format!("{forgery}\n  wanted {wanted}\n  found {found:#?}"));
                }
            }
            forger.undo().await;
        }
        assert!(missed.is_empty(), "{}", missed.join("\n"));
        assert_eq!(forger.audit().await, Vec::<String>::new());
    })
    .await;
}

/// The exit status is for scripts.
#[tokio::test]
async fn the_command_tells_by_its_exit_status() {
    World::in_postgres(CATALOG, async |world| {
        story(world).await;
        let url = world.database.as_ref().unwrap().url.clone();
        let run = || std::process::Command::new(env!("CARGO_BIN_EXE_credit-ledger")).arg("reconcile").env("DATABASE_URL", &url).output();
        let clean = run().unwrap();
        assert_eq!(clean.status.code(), Some(0), "{}", String::from_utf8_lossy(&clean.stderr));
        let mut forger = Forger::new(&url).await;
        forger.plant("update accounts set balance = balance + 1 where account_id = ANNA").await;
        let forged = run().unwrap();
        let said = String::from_utf8_lossy(&forged.stdout).into_owned();
        assert_eq!(forged.status.code(), Some(1), "{said}");
        assert!(said.contains("acme/anna: balance = sum of entries: stored"), "{said}");
        assert!(said.contains("differences: 2 accounts"), "{said}");
        forger.undo().await;
    })
    .await;
}
