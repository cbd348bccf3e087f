//! What was set aside, from the command line: listed, shown, given up.

use crate::world::TENANT;
use crate::world::database::Database;
use credit_ledger::catalog;
use credit_ledger::domain::rejection::QuarantineReason;
use credit_ledger::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use credit_ledger::message::{Queue, Raw};
use credit_ledger::store::{Quarantine as _, QuarantineRow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// An unreadable message, set aside as the worker does.
async fn set_aside(database: &Database) {
    let raw = Raw {
        queue: Queue::Usage,
        routing_key: "usage.recorded.acme".into(),
        content_type: None,
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: b"not JSON".to_vec(),
    };
    let row = QuarantineRow {
        reason: QuarantineReason::Malformed,
        detail: "it is not JSON".into(),
        tenant: None,
        account: None,
        message: None,
        kind: None,
        raw: Arc::new(raw),
    };
    database.store.set_aside("test", &[row]).await.unwrap();
}

fn run(database: &Database, user: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.arg("quarantine").args(arguments).env("DATABASE_URL", &database.url).env_remove("USER");
    if let Some(user) = user {
        command.env("USER", user);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

fn rows(database: &Database, arguments: &[&str]) -> Vec<Value> {
    let output = run(database, None, &[&["list", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output));
    text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn what_is_discarded_keeps_reason_actor_and_time() {
    let database = Database::create().await;
    set_aside(&database).await;
    let open = rows(&database, &[]);
    assert_eq!((open.len(), &open[0]["ended_as"], &open[0]["ended_reason"]), (1, &Value::Null, &Value::Null));
    let digest = open[0]["digest"].as_str().unwrap()[..8].to_owned();

    let blank = run(&database, None, &["discard", &digest, "--reason", " "]);
    assert!(!blank.status.success() && text(&blank).contains("a reason is needed"), "{}", text(&blank));
    let done = run(&database, Some("bob"), &["discard", &digest, "--reason", " sent by a test \u{1b}[31m", "--actor", "ann"]);
    assert!(done.status.success(), "{}", text(&done));

    assert!(rows(&database, &[]).is_empty(), "it is not open any more");
    let ended = rows(&database, &["--ended"]);
    let told = (&ended[0]["ended_as"], &ended[0]["ended_by"], &ended[0]["ended_reason"]);
    assert_eq!(told, (&json!("discarded"), &json!("ann"), &json!("sent by a test \u{1b}[31m")));
    let at: jiff::Timestamp = ended[0]["ended_at"].as_str().unwrap().parse().unwrap();
    assert!(at >= ended[0]["first_seen_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    for arguments in [&["list", "--ended"][..], &["show", &digest]] {
        let shown = text(&run(&database, None, arguments));
        assert!(shown.contains("by ann: sent by a test \u{fffd}[31m"), "no text of strangers steers a terminal: {shown}");
    }
    let again = run(&database, None, &["discard", &digest, "--reason", "again"]);
    assert!(!again.status.success() && text(&again).contains("no open message"), "{}", text(&again));
    let replayed = text(&run(&database, None, &["replay", &digest, "--amqp-url", "amqp://127.0.0.1:1/%2f"]));
    assert!(replayed.contains("it was discarded") && replayed.contains("by ann") && replayed.contains("list --ended"), "{replayed}");

    // The same bytes again: open, and its end is forgotten.
    set_aside(&database).await;
    let away = text(&run(&database, None, &["replay", &digest, "--amqp-url", "amqp://127.0.0.1:1/%2f"]));
    assert!(away.contains("was not sent and stays in quarantine"), "{away}");
    let open = rows(&database, &[]);
    assert_eq!((&open[0]["seen"], &open[0]["ended_by"], &open[0]["ended_reason"]), (&json!(2), &Value::Null, &Value::Null));
    for (user, by) in [(Some("bob"), Some("bob")), (None, None)] {
        assert!(run(&database, user, &["discard", &digest, "--reason", "enough"]).status.success());
        let ended = rows(&database, &["--ended"]);
        assert!(by.map_or(ended[0]["ended_by"].is_string(), |by| ended[0]["ended_by"] == by), "the role, where no user is known");
        set_aside(&database).await;
    }
    database.drop().await;
}

/// Hands messages to the lanes of a worker; the words of their outcomes.
async fn submit(database: &Database, events: &[Value]) -> Vec<String> {
    let limits = LaneLimits { batch_max: 256, at_work_max: 1 };
    let setup = LaneSetup { origin: "test".into(), shards: database.store.shards(), limits, stop: CancellationToken::new() };
    let (lanes, tasks) = Lanes::start(Arc::new(database.store.clone()), setup, |_, _| {});
    let mut answers = Vec::new();
    for event in events {
        let (told, answer) = oneshot::channel();
        let submission = crate::world::submission(event);
        lanes.submit(Job::Message(submission, Box::new(move |settled| drop(told.send(settled)))));
        answers.push(answer);
    }
    let mut words = Vec::new();
    for answer in answers {
        words.push(answer.await.unwrap().outcome.word().to_owned());
    }
    drop(lanes);
    tasks.wait().await;
    words
}

#[tokio::test]
async fn what_would_break_an_invariant_is_set_aside_and_the_rest_goes_on() {
    let database = Database::create().await;
    let text = "currency = \"USD\"\ntest_clock = true";
    database.catalog(&catalog::parse("test", text).unwrap(), text).await;
    database.set_clock("2026-01-01T00:00:00Z".parse().unwrap()).await;
    let grant = |id: &str, account: &str| {
        let data = json!({"credits": "10", "reason": "gift", "actor": "ann"});
        json!({"specversion": "1.0", "id": id, "source": "app", "type": "credits.grant", "tenant": TENANT, "subject": account,
            "time": "2026-01-01T00:00:00Z", "data": data})
    };
    assert_eq!(submit(&database, &[grant("a", "u")]).await, ["applied"]);
    // A number that no worker wrote: whatever follows on this account would build on it.
    sqlx::query("update accounts set balance = 11 where account = 'u'").execute(database.store.pool()).await.unwrap();
    let words = submit(&database, &[grant("b", "v"), grant("c", "u"), grant("d", "v")]).await;
    assert_eq!(words, ["applied", "quarantined", "applied"]);
    let open = rows(&database, &[]);
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0]["reason"], &open[0]["id"]), (&json!("invariant_violated"), &json!("c")));
    database.drop().await;
}
