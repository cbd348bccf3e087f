//! Exports: which rows, in which order and form; wrong input; files that are whole or not there.

use crate::world::database::Database;
use crate::world::{World, id, instant};
use credit_ledger::export::{Format, Scope, What, export};
use credit_ledger::store::postgres::query::export::Period;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// P 100.00, C 1000.
const CATALOG: &str = r#"
[packages.pack]
credits = "1000"
price = "100.00"
[[rates]]
meter = "unit"
price = "1"
insufficient = "allow"
"#;

/// Words that a spreadsheet would calculate, with everything that has to be quoted.
const FORMULA: &str = r#"=HYPERLINK("http://evil.example","a, b")"#;
const FIRST_DAY: &str = "2026-01-01T00:00:00Z";
const SECOND_DAY: &str = "2026-01-02T00:00:00Z";

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": instant(FIRST_DAY).as_second(), "data": {"object": object}})
}

/// A checkout of the pack, in a state and of a day.
async fn checks_out(world: &mut World, (account, payment): (&str, &str), state: &str, day: &str) {
    let person = json!({"name": "=Ana", "email": "ana@shop.example", "address": {"country": "DE"}});
    let object = json!({"id": format!("cs_{payment}"), "mode": "payment", "payment_status": state, "amount_total": 11_900, "currency": "usd",
        "total_details": {"amount_tax": 1_900}, "customer_details": person, "payment_method_types": ["card"], "payment_intent": payment,
        "metadata": {"credit_account": account, "credit_package": "pack"}});
    let mut event = event(&format!("evt_{payment}"), "checkout.session.completed", &object);
    event["created"] = instant(day).as_second().into();
    assert_eq!(world.stripe(&event).await, "applied");
}

async fn pays_invoice(world: &mut World, account: &str, reference: &str) {
    world.done("credits.spend", account, json!({"purpose": "invoice", "reference": reference, "credits": "1"})).await;
}

/// Two days of five accounts, on several shards; `-dash` is a name that a spreadsheet would calculate.
async fn ledger(world: &mut World) {
    for account in ["ben", "ann", "-dash", "u"] {
        world.grant(account, "100", json!({})).await;
    }
    pays_invoice(world, "ann", FORMULA).await;
    for reference in ["+1", "-1", "@sum", "order-7"] {
        pays_invoice(world, "ben", reference).await;
    }
    world.at(SECOND_DAY).await;
    assert_eq!(world.uses("ann", "unit", "3").await, "applied");
    assert_eq!(world.uses("-dash", "unit", "2.5").await, "applied");
    world.open("idle").await;
    // u: the 100 given and 900 of the 1000 bought are used; a quarter of the money goes back: 250 credits, of
    // which 100 are left to take and 150 are short.
    checks_out(world, ("u", "pi_1"), "paid", FIRST_DAY).await;
    assert_eq!(world.uses("u", "unit", "1000").await, "applied");
    let refund = json!({"id": "re_1", "object": "refund", "amount": 2_975, "currency": "usd", "status": "succeeded", "charge": "ch_1",
        "payment_intent": "pi_1", "created": instant(FIRST_DAY).as_second()});
    assert_eq!(world.stripe(&event("evt_re", "refund.created", &refund)).await, "applied");
    // Half of the second payment is in dispute.
    checks_out(world, ("u", "pi_2"), "paid", FIRST_DAY).await;
    let dispute = json!({"id": "dp_1", "object": "dispute", "amount": 5_950, "currency": "usd", "status": "needs_response",
        "charge": "ch_2", "payment_intent": "pi_2", "created": instant(FIRST_DAY).as_second()});
    assert_eq!(world.stripe(&event("evt_dp", "charge.dispute.created", &dispute)).await, "applied");
    checks_out(world, ("ann", "pi_3"), "paid", SECOND_DAY).await;
    checks_out(world, ("u", "pi_4"), "unpaid", SECOND_DAY).await;
    world.staff("mia", "admin").await;
    world.staff("noa", "admin").await;
    let request =
        json!({"request": "r-1", "method": "bank_transfer", "requested_by": "mia", "credits": "10", "price": "1.00", "currency": "USD"});
    world.done("credit_request.submitted", "ben", request).await;
    world.done("credit_request.decided", "ben", json!({"request": "r-1", "decision": "accepted", "decided_by": "noa"})).await;
}

/// Runs a scenario on that ledger.
async fn on_the_ledger(scenario: impl AsyncFnOnce(&Database)) {
    World::in_postgres(CATALOG, async |world| {
        ledger(world).await;
        scenario(world.database.as_ref().unwrap()).await;
    })
    .await;
}

const EVER: Period = Period { from: None, to: None };
const ALL: What = What::Entries(EVER);
const BOUGHT: What = What::Payments(EVER);

async fn exported(database: &Database, what: What, format: Format, (account, page): (Option<&str>, u32)) -> String {
    let scope = Scope { tenant: id("acme"), account: account.map(id), page };
    let (mut out, mut told) = (Vec::new(), 0);
    let rows = export(&database.url, (what, &scope), (format, &mut out), |rows| told = rows).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(rows, told, "the last that was told is all there were");
    let lines = if format == Format::Csv { table(&text).len() } else { text.lines().count() };
    assert_eq!(usize::try_from(rows), Ok(lines), "{text}");
    text
}

/// The rows of a CSV by their columns, as a reader of its own understands them.
fn table(text: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn column<'a>(rows: &'a [BTreeMap<String, String>], name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[name].as_str()).collect()
}

fn program(database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.args(arguments).env("DATABASE_URL", database).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(database: &str, arguments: &[&str]) -> Output {
    program(database, arguments).output().await.unwrap()
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn pages_of_any_size_tell_the_same_rows_by_account_and_number() {
    on_the_ledger(async |database| {
        let sql = "select account, seq::text from entries join accounts using (shard, account_id) order by account collate \"C\", seq";
        let stored: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(database.store.pool()).await.unwrap();
        let shards: i64 = sqlx::query_scalar("select count(distinct shard) from entries").fetch_one(database.store.pool()).await.unwrap();
        assert!(shards > 1, "the accounts live on several shards");
        let whole = objects(&exported(database, ALL, Format::Json, (None, 1000)).await);
        let told: Vec<_> =
            whole.iter().map(|row| (row["account"].as_str().unwrap().to_owned(), row["seq"].as_u64().unwrap().to_string())).collect();
        assert_eq!(told, stored);
        for what in [ALL, BOUGHT] {
            for format in [Format::Csv, Format::Json] {
                for account in [None, Some("u"), Some("idle")] {
                    let whole = exported(database, what, format, (account, 1000)).await;
                    for page in [1, 2, 3, 4] {
                        assert_eq!(
                            exported(database, what, format, (account, page)).await,
                            whole,
                            "{what:?} {format:?} {account:?} {page}"
                        );
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn entries_are_what_the_history_shows() {
    on_the_ledger(async |database| {
        let history = run(&database.url, &["history", "acme", "u", "--json"]).await;
        let history: Value = serde_json::from_slice(&history.stdout).unwrap();
        let mut entries = history["entries"].as_array().unwrap().clone();
        assert!(entries.len() > 5);
        let output = run(&database.url, &["export", "entries", "acme", "--account", "u", "--format", "json"]).await;
        assert_eq!((output.status.code(), said(&output.stderr)), (Some(0), format!("{} entries of acme/u\n", entries.len()).as_str()));
        let rows = table(&exported(database, ALL, Format::Csv, (Some("u"), 2)).await);
        for (row, entry) in rows.iter().zip(&mut entries) {
            for (name, cell) in row.iter().filter(|(name, _)| *name != "account") {
                let shown = name.strip_prefix("cause_").map_or(&entry[name.as_str()], |part| &entry["cause"][part]);
                let shown = shown.as_str().map_or_else(|| shown.to_string().replace("null", ""), str::to_owned);
                assert_eq!(*cell, shown, "{name}");
            }
            entry["account"] = "u".into();
        }
        assert_eq!(rows.len(), entries.len());
        assert_eq!(objects(said(&output.stdout)), entries);
        let debts = column(&rows, "debt_change");
        assert!(debts.contains(&"150") && debts.contains(&"-150"), "a number below zero is a number: {debts:?}");
    })
    .await;
}

#[tokio::test]
async fn b65_words_of_others_are_never_formulas() {
    on_the_ledger(async |database| {
        let text = exported(database, ALL, Format::Csv, (None, 3)).await;
        let rows = table(&text);
        let of =
            |account: &str| rows.iter().filter(|row| row["account"] == account).map(|row| row["reference"].as_str()).collect::<Vec<_>>();
        assert_eq!(of("ann")[1], format!("'{FORMULA}"));
        assert_eq!(of("ben")[1..5], ["'+1", "'-1", "'@sum", "order-7"]);
        assert_eq!(of("'-dash").len(), 2, "an account's name is words of others too");
        assert!(text.contains(r#","'=HYPERLINK(""http://evil.example"",""a, b"")","#), "{text}");
        assert!(text.lines().count() == rows.len() + 1 && text.matches("\r\n").count() == rows.len() + 1, "RFC 4180 ends lines so");
        // No spreadsheet reads JSON lines: there they are as they are.
        let json = objects(&exported(database, ALL, Format::Json, (Some("ann"), 3)).await);
        assert_eq!(json[1]["reference"], FORMULA);
    })
    .await;
}

#[tokio::test]
async fn a_payment_is_told_with_what_became_of_it() {
    on_the_ledger(async |database| {
        let rows = table(&exported(database, BOUGHT, Format::Csv, (None, 1000)).await);
        let named = rows.iter().map(|row| (row["account"].as_str(), row["payment"].as_str(), row["status"].as_str())).collect::<Vec<_>>();
        let u = [("u", "stripe:pi_1", "granted"), ("u", "stripe:pi_2", "granted"), ("u", "stripe:pi_4", "unpaid")];
        assert_eq!(named, [[("ann", "stripe:pi_3", "granted"), ("ben", "request:r-1", "granted")].as_slice(), &u].concat());
        let expected = [
            ("paid_at", FIRST_DAY),
            ("method", "card"),
            ("package", "pack"),
            ("quantity", "1"),
            ("amount", "119"),
            ("before_tax", "100"),
            ("tax", "19"),
            ("tax_details", ""),
            ("currency", "USD"),
            ("document", ""),
            ("number", ""),
            ("receipt", ""),
            ("payer_name", "'=Ana"),
            ("payer_email", "ana@shop.example"),
            ("payer_country", "DE"),
            ("granted", "1000"),
            ("clawed_back", "100"),
            ("excused", "0"),
            // 1000 × 29.75 / 119 = 250, of which 100 were left; it counts though later credits repaid it.
            ("shortfall", "150"),
            ("refunded", "29.75"),
            ("disputed", "0"),
        ];
        for (name, cell) in expected {
            assert_eq!(rows[2][name], cell, "{name}");
        }
        assert_eq!(rows[2].len(), expected.len() + 3, "every column is looked at: {:?}", rows[2]);
        let told = |row: usize, names: [&str; 5]| names.map(|name| rows[row][name].as_str());
        assert_eq!(told(3, ["payment", "clawed_back", "shortfall", "refunded", "disputed"]), ["stripe:pi_2", "0", "0", "0", "59.5"]);
        assert_eq!(told(1, ["paid_at", "method", "amount", "granted", "payer_email"]), [SECOND_DAY, "bank_transfer", "1", "10", ""]);
        assert_eq!(told(4, ["paid_at", "amount", "granted", "refunded", "disputed"]), ["", "119", "0", "0", "0"]);
        let output = run(&database.url, &["export", "payments", "acme", "--account", "u", "--format", "json"]).await;
        assert_eq!((output.status.code(), said(&output.stderr)), (Some(0), "3 payments of acme/u\n"));
        let json = objects(said(&output.stdout));
        let told = |name: &str| json.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!((told("refunded"), told("payer_name")), (vec![json!("29.75"), json!("0"), json!("0")], vec![json!("=Ana"); 3]));
        assert_eq!((told("quantity"), told("document")), (vec![json!(1); 3], vec![Value::Null; 3]));
        // Who paid can be erased, and is not told any more.
        let erased = run(&database.url, &["erase-payer", "acme", "u", "stripe:pi_1"]).await;
        assert_eq!(erased.status.code(), Some(0), "{}", said(&erased.stderr));
        let rows = table(&exported(database, BOUGHT, Format::Csv, (Some("u"), 1)).await);
        assert_eq!(column(&rows, "payer_email"), ["", "ana@shop.example", "ana@shop.example"]);
        assert_eq!(column(&rows, "method"), ["card"; 3]);
    })
    .await;
}

#[tokio::test]
async fn a_period_holds_its_beginning_and_not_its_end() {
    on_the_ledger(async |database| {
        let count = async |from: Option<&str>, to: Option<&str>, page| {
            let period = Period { from: from.map(instant), to: to.map(instant) };
            table(&exported(database, What::Entries(period), Format::Csv, (Some("ann"), page)).await).len()
        };
        for page in [1, 1000] {
            // ann: a grant and an invoice on the first day, a use and a payment on the second.
            assert_eq!(count(None, None, page).await, 4);
            assert_eq!(count(Some(FIRST_DAY), Some(SECOND_DAY), page).await, 2);
            assert_eq!(count(Some(SECOND_DAY), None, page).await, 2);
            assert_eq!(count(None, Some(FIRST_DAY), page).await, 0);
            assert_eq!(count(Some("2026-01-02T00:00:00.000001Z"), None, page).await, 0);
        }
        // Payments by when they were paid; what is not paid is in no period.
        let paid = async |from: Option<&str>, to: Option<&str>| {
            let what = What::Payments(Period { from: from.map(instant), to: to.map(instant) });
            let whole = exported(database, what, Format::Csv, (None, 1000)).await;
            assert_eq!(exported(database, what, Format::Csv, (None, 1)).await, whole);
            let rows = table(&whole);
            column(&rows, "payment").into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(paid(None, Some(SECOND_DAY)).await, ["stripe:pi_1", "stripe:pi_2"]);
        assert_eq!(paid(Some(FIRST_DAY), Some(SECOND_DAY)).await, ["stripe:pi_1", "stripe:pi_2"]);
        assert_eq!(paid(Some(SECOND_DAY), None).await, ["stripe:pi_3", "request:r-1"]);
        // The last day of the year: in Honolulu the first midnight of the next in UTC is in it, in Kiritimati it is over by then.
        for (zone, rows) in [("UTC", 2), ("Pacific/Honolulu", 2), ("Pacific/Kiritimati", 0)] {
            let day = if zone == "UTC" { ["2026-01-01", "2026-01-02"] } else { ["2025-12-31", "2026-01-01"] };
            let arguments = ["export", "entries", "acme", "--account", "ann", "--from", day[0], "--to", day[1], "--zone", zone];
            let output = run(&database.url, &arguments).await;
            assert_eq!(said(&output.stderr), format!("{rows} entries of acme/ann\n"), "{zone}");
            assert_eq!(table(said(&output.stdout)).len(), rows);
        }
    })
    .await;
}

#[tokio::test]
async fn an_export_without_rows_still_has_its_header() {
    on_the_ledger(async |database| {
        for (kind, header) in [("entries", "account,seq,kind,"), ("payments", "account,payment,status,")] {
            let csv = run(&database.url, &["export", kind, "acme", "--account", "idle"]).await;
            assert_eq!((csv.status.code(), said(&csv.stderr)), (Some(0), format!("0 {kind} of acme/idle\n").as_str()));
            assert!(said(&csv.stdout).starts_with(header) && said(&csv.stdout).ends_with("\r\n"), "{}", said(&csv.stdout));
            assert_eq!(said(&csv.stdout).lines().count(), 1);
            let json = run(&database.url, &["export", kind, "acme", "--account", "idle", "--format", "json"]).await;
            assert_eq!((json.status.code(), said(&json.stdout)), (Some(0), ""));
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_input_is_one_sentence_and_status_2() {
    on_the_ledger(async |database| {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/folder.csv");
        let (missing, directory) = (missing.to_str().unwrap(), folder.path().to_str().unwrap());
        for (arguments, words) in [
            (&["nowhere"][..], &["no tenant nowhere", "tenant list"][..]),
            (&["acme", "--account", "nobody"], &["no account acme/nobody", "leave --account out"]),
            (&["acme", "--from", "2026-02-01", "--to", "2026-02-01"], &["--from 2026-02-01T00:00:00Z is not before --to"]),
            (&["acme", "--zone", "Mars/Olympus"], &["\"Mars/Olympus\" is no time zone", "Europe/Berlin"]),
            (&["acme", "--from", "yesterday"], &["--from \"yesterday\" cannot be read", "2026-01-31"]),
            (&["acme", "--to", "2026-01-01T10:00"], &["--to \"2026-01-01T10:00\" cannot be read", "offset"]),
            (&["acme", "--output", missing], &["folder.csv cannot be written", "No such file or directory"]),
            (&["acme", "--output", directory], &["cannot be written: it is not a file"]),
        ] {
            let output = run(&database.url, &[&["export", "entries"], arguments].concat()).await;
            let told = said(&output.stderr);
            assert_eq!((output.status.code(), said(&output.stdout)), (Some(2), ""), "{arguments:?}: {told}");
            for word in [words, &["nothing was exported"]].concat() {
                assert!(told.contains(word), "{arguments:?} does not say {word:?}: {told}");
            }
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        let away = run("postgres://u:hush-hush@127.0.0.1:1/ledger", &["export", "payments", "acme"]).await;
        let told = said(&away.stderr);
        assert!(told.contains("127.0.0.1:1/ledger cannot be reached") && !told.contains("hush-hush"), "{told}");
        assert_eq!((away.status.code(), said(&away.stdout)), (Some(1), ""), "as every command: it may pass by itself");
    })
    .await;
}

#[tokio::test]
async fn a_file_stands_under_its_name_when_it_is_whole() {
    on_the_ledger(async |database| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ann.csv");
        let arguments = ["export", "entries", "acme", "--account", "ann", "--output", file.to_str().unwrap()];
        let output = run(&database.url, &arguments).await;
        let told = format!("4 entries of acme/ann in {}\n", file.display());
        assert_eq!((output.status.code(), said(&output.stdout), said(&output.stderr)), (Some(0), "", told.as_str()));
        let whole = std::fs::read_to_string(&file).unwrap();
        assert_eq!(whole, exported(database, ALL, Format::Csv, (Some("ann"), 1000)).await);
        assert_eq!(names(folder.path()), ["ann.csv"]);

        // An entry that cannot be read ends the next export in the middle.
        let spoil = "alter table entries disable trigger entries_append_only; update entries set kind = 'gift' where kind = 'purchased'";
        assert!(sqlx::raw_sql(spoil).execute(database.store.pool()).await.unwrap().rows_affected() > 0);
        let output = run(&database.url, &arguments).await;
        let mend = "update entries set kind = 'purchased' where kind = 'gift'; alter table entries enable trigger entries_append_only";
        sqlx::raw_sql(mend).execute(database.store.pool()).await.unwrap();
        assert_ne!(output.status.code(), Some(0));
        let told = said(&output.stderr);
        for words in ["ann.csv was not written", "not whole", "gift"] {
            assert!(told.contains(words), "it does not say {words:?}: {told}");
        }
        assert_eq!((std::fs::read_to_string(&file).unwrap(), names(folder.path())), (whole, vec!["ann.csv".to_owned()]));

        // What a link leads to is replaced, and the link stays.
        let link = folder.path().join("link.csv");
        std::os::unix::fs::symlink("ann.csv", &link).unwrap();
        let output = run(&database.url, &["export", "payments", "acme", "--account", "ann", "--output", link.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(0));
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(std::fs::read_to_string(&file).unwrap().contains("stripe:pi_3"));
    })
    .await;
}

#[tokio::test]
async fn a_stopped_export_leaves_no_file() {
    on_the_ledger(async |database| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.csv");
        let mut hold = database.store.pool().begin().await.unwrap();
        sqlx::query("lock table entries in access exclusive mode").execute(&mut *hold).await.unwrap();
        for stop in ["-INT", "-TERM"] {
            let mut child = program(&database.url, &["export", "entries", "acme", "--output", file.to_str().unwrap()]);
            let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let waits = "select exists (select from pg_locks where relation = 'entries'::regclass and not granted)";
            // The server's own sweeper may wait for the table, too, so the file must be there as well.
            while names(folder.path()).is_empty() || !sqlx::query_scalar::<_, bool>(waits).fetch_one(database.store.pool()).await.unwrap() {
                assert_eq!(child.try_wait().unwrap(), None, "it waits for the table");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(names(folder.path()).len(), 1, "it began beside its place");
            let kill = Command::new("kill").args([stop, &child.id().unwrap().to_string()]).status().await.unwrap();
            assert!(kill.success());
            let output = child.wait_with_output().await.unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(said(&output.stderr).contains("all.csv was not written\n  because: it was told to stop"), "{}", said(&output.stderr));
            assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
            // Its session notices only when it wants to answer.
            let end = "select count(pg_terminate_backend(pid)) from pg_locks where relation = 'entries'::regclass and not granted";
            sqlx::query(end).execute(database.store.pool()).await.unwrap();
        }
        hold.rollback().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reader_who_goes_away_is_no_error() {
    on_the_ledger(async |database| {
        for format in ["csv", "json"] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut child = program(&database.url, &["export", "entries", "acme", "--format", format]);
            let child = child.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
            let output = child.wait_with_output().await.unwrap();
            assert_eq!((output.status.code(), said(&output.stderr)), (Some(0), ""));
        }
    })
    .await;
}
