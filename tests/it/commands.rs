//! What the commands tell people: what went wrong, what was not changed, what to do; and the status.

use crate::semantics::order::{six_messages, told as told_of};
use crate::worker::{Deployment, environment, grant, stripe_session, worker_test};
use serde_json::{Value, json};
use std::process::{Command, Output};

/// The program on servers of the caller's choice.
fn command(arguments: &[&str], database: &str, broker: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.args(arguments).env("DATABASE_URL", database).env("AMQP_URL", broker).env("CREDITS_HTTP_BIND", "127.0.0.1:0");
    command.output().unwrap()
}

pub fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

const READING: [&[&str]; 4] = [&["tenant", "list"], &["migrate"], &["reconcile"], &["balance", "acme", "ann"]];
const SECRET: &str = "hush-hush";

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_its_cause() {
    let url = environment("DATABASE_URL");
    let (server, name) = url.rsplit_once('/').unwrap();
    let place = server.rsplit_once('@').unwrap().1;
    let stranger = format!("postgres://stranger:{SECRET}@{place}/{name}");
    let missing = format!("{server}/no_such_database");
    let away = format!("postgres://u:{SECRET}@127.0.0.1:1/ledger");
    let cases = [
        (stranger, 2, vec![format!("{place}/{name} refused the user stranger"), "because: ".into()]),
        (missing, 2, vec![format!("no database no_such_database at {place}"), "create it".into(), "migrate".into()]),
        ("nonsense".to_owned(), 2, vec!["postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()]),
        (away.clone(), 1, vec!["127.0.0.1:1/ledger cannot be reached".into(), "nothing was read or changed".into(), "refused".into()]),
    ];
    for (url, status, words) in cases {
        let waits = url == away;
        // A worker waits for a server that is away.
        for arguments in READING.into_iter().chain((!waits).then_some(&["run"][..])) {
            let output = command(arguments, &url, &environment("AMQP_URL"));
            let told = text(&output);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
            for word in &words {
                assert!(told.contains(word.as_str()), "{arguments:?} does not say {word}: {told}");
            }
            assert!(!told.contains(SECRET) && !told.contains("does not fit"), "{told}");
        }
    }
}

// A database that was never migrated, and a broker without exchanges: somebody has to do something first.
worker_test!(a_worker_that_cannot_begin_ends_with_2, |deployment| {
    let server = deployment.database.rsplit_once('/').unwrap().0;
    let empty = deployment.tool(&["run"]).env("DATABASE_URL", format!("{server}/postgres")).output().await.unwrap();
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty));
    assert_says(&text(&empty), &["no ledger yet: run `credit-ledger migrate`"]);
    let elsewhere = deployment.tool(&["run"]).env("AMQP_PREFIX", "no_such_prefix").output().await.unwrap();
    assert_eq!(elsewhere.status.code(), Some(2), "{}", text(&elsewhere));
    assert_says(&text(&elsewhere), &["topology apply"]);
    let other_count = deployment.tool(&["run"]).env("CREDITS__DATABASE__SHARDS", "8").output().await.unwrap();
    assert_eq!(other_count.status.code(), Some(2), "{}", text(&other_count));
    assert_says(&text(&other_count), &["8", "shards"]);
    let unnamed = deployment.tool(&["run"]).env_remove("DATABASE_URL").output().await.unwrap();
    assert_eq!(unnamed.status.code(), Some(2), "{}", text(&unnamed));
    assert_says(&text(&unnamed), &["DATABASE_URL"]);
    // A database that a later version has changed, and one that it has not changed yet.
    let too_old = "update databases set worker_min = 999";
    let too_new = "update databases set worker_min = 1; delete from _sqlx_migrations";
    for (change, words) in [(too_old, "newer"), (too_new, "credit-ledger migrate")] {
        sqlx::raw_sql(change).execute(&deployment.pool).await.unwrap();
        let refused = deployment.tool(&["run"]).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
        assert_says(&text(&refused), &[words]);
    }
});

/// A line of a message file about an account of a tenant.
fn line(id: &str, kind: &str, (tenant, account): (&str, &str), data: &Value) -> String {
    json!({"specversion": "1.0", "id": id, "source": "test", "type": kind, "tenant": tenant, "subject": account,
        "time": "2026-01-01T00:00:00Z", "data": data})
    .to_string()
}

impl Deployment {
    /// What a command says, standard output first, and its status.
    async fn said_by(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = self.tool(arguments).output().await.unwrap();
        (text(&output), output.status.code())
    }

    async fn published(&self, lines: &[String]) -> (String, Option<i32>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("messages.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        self.said_by(&["publish", file.to_str().unwrap()]).await
    }
}

fn assert_says(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "it does not say {word:?}: {told}");
    }
}

worker_test!(what_an_outcome_leaves_open_is_told, |deployment| {
    deployment.start();
    let ann = ("acme", "ann");
    let use_of = json!({"meter": "image", "quantity": "1"});
    let cancel = json!({"request": "r-1", "cancelled_by": "ann"});
    let mut misspelt = grant("1");
    misspelt["reson"] = "typo".into();
    let (told, status) = deployment
        .published(&[
            line("u", "usage.recorded", ann, &use_of),
            line("c", "credit_request.cancelled", ann, &cancel),
            line("m", "credits.grant", ann, &misspelt),
            line("x", "order.placed", ann, &json!({})),
            line("g", "credits.grant", ("acme", "bob"), &grant("5")),
        ])
        .await;
    assert_eq!(status, Some(0), "an outcome is no error: {told}");
    assert_says(&told, &["1: waiting (0 entries)\n   for the account acme/ann to be opened, until ", "account.opened opens it"]);
    assert_says(&told, &["2: waiting (0 entries)\n   for the request r-1 to be submitted, until "]);
    assert_says(&told, &["3: quarantined: malformed (0 entries)\n   data: unknown key `reson`", "credit-ledger quarantine show "]);
    assert_says(&told, &["4: quarantined: unknown_type (0 entries)\n   `type` is not known", "5: applied (1 entry)\n"]);
    assert_says(&told, &["5 messages answered: 1 applied, 2 quarantined, 2 waiting"]);
    let (_, digest) = told.rsplit_once("quarantine show ").unwrap();
    let (shown, status) = deployment.said_by(&["quarantine", "show", digest.split_whitespace().next().unwrap()]).await;
    assert_eq!(status, Some(0), "{shown}");

    let (outcome, _) = deployment.said_by(&["outcome", "acme", "ann", "test", "u"]).await;
    assert_says(&outcome, &["waiting\nfor the account acme/ann to be opened, until "]);
    let (outcome, _) = deployment.said_by(&["outcome", "acme", "ann", "test", "u", "--json"]).await;
    let outcome: Value = serde_json::from_str(&outcome).unwrap();
    assert_eq!((&outcome["outcome"], &outcome["waits_for"]["what"]), (&json!("waiting"), &json!("account")));
    assert!(outcome["waits_for"]["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now());
    for command in ["balance", "history"] {
        let (told, _) = deployment.said_by(&[command, "acme", "ann"]).await;
        assert_says(
            &told,
            &["2 messages wait and are not in these numbers", "test u waits for the account acme/ann", "test c waits for the request r-1"],
        );
    }

    // The account is opened: the usage is decided, the cancellation waits on.
    deployment.published(&[line("g2", "credits.grant", ann, &grant("5"))]).await;
    let (told, _) = deployment.said_by(&["balance", "acme", "ann"]).await;
    // 5 − 1 image × 2.
    assert_says(&told, &["available 3 ", "1 message waits and is not", "test c waits for the request r-1 to be submitted"]);
});

worker_test!(a_stopped_file_says_what_became_of_its_lines, |deployment| {
    let catalog = json!({"tenant": "lab", "catalog": {"currency": "USD", "test_clock": true}}).to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.jsonl");
    std::fs::write(&file, [catalog, line("g", "credits.grant", ("lab", "ann"), &grant("1"))].join("\n")).unwrap();
    // No worker runs.
    let (told, status) = deployment.said_by(&["publish", "--wait", "1", file.to_str().unwrap()]).await;
    assert_eq!(status, Some(1), "{told}");
    let stopped = "lab.jsonl:2: publishing stopped here and no later line was sent";
    assert_says(&told, &[stopped, "publish the file again", "because: no outcome came within 1 s; the message is with the broker"]);
    // In memory the same line needs nobody, and what it leaves open is told as well.
    let lines = [
        json!({"tenant": "lab", "catalog": {"currency": "USD", "test_clock": true}}).to_string(),
        line("c", "credit_request.cancelled", ("lab", "ann"), &json!({"request": "r-1", "cancelled_by": "ann"})),
        line("x", "order.placed", ("lab", "ann"), &json!({})),
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let (told, status) = deployment.said_by(&["simulate", file.to_str().unwrap()]).await;
    assert_eq!(status, Some(0), "{told}");
    assert_says(
        &told,
        &["2: waiting\n  for the request r-1 to be submitted, until 2026-01-31 00:00:00 UTC", "3: quarantined: unknown_type\n  `type`"],
    );
});

worker_test!(what_is_not_there_is_told_with_the_next_step, |deployment| {
    deployment.start();
    deployment.published(&[line("g", "credits.grant", ("acme", "ann"), &grant("5"))]).await;
    for (arguments, words) in [
        (&["balance", "acme", "nobody"][..], &["no account acme/nobody", "opens it"][..]),
        (&["balance", "nowhere", "ann"], &["no tenant nowhere", "tenant list"]),
        (&["history", "nowhere", "ann"], &["no tenant nowhere"]),
        (&["outcome", "nowhere", "ann", "test", "g"], &["no tenant nowhere"]),
        (&["outcome", "acme", "ann", "test", "other"], &["no outcome for", "quarantine list", "health"]),
    ] {
        let (told, status) = deployment.said_by(arguments).await;
        assert_eq!(status, Some(1), "{arguments:?}: {told}");
        assert_says(&told, words);
    }
    for (at, words) in [("2390-01-01T00:00:00Z", "later than now"), ("yesterday", "like 2026-01-31T12:00:00Z")] {
        let (told, status) = deployment.said_by(&["balance", "acme", "ann", "--at", at]).await;
        assert_eq!(status, Some(2), "{told}");
        assert_says(&told, &[words]);
    }
    // Nobody listens at the broker's address.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.jsonl");
    std::fs::write(&file, line("h", "credits.grant", ("acme", "ann"), &grant("5"))).unwrap();
    let (told, status) = deployment.said_by(&["publish", file.to_str().unwrap(), "--amqp-url", "amqp://u:hush-hush@127.0.0.1:1/%2f"]).await;
    assert_eq!(status, Some(1));
    assert_says(&told, &["nothing was sent"]);
    assert!(!told.contains(SECRET), "{told}");
    std::fs::write(&file, "# nothing\n").unwrap();
    for command in ["publish", "simulate"] {
        let (told, status) = deployment.said_by(&[command, file.to_str().unwrap()]).await;
        assert_eq!(status, Some(0));
        assert_says(&told, &["one.jsonl holds no line", "nothing was done"]);
    }
});

worker_test!(payments_are_told_as_text_and_as_json, |deployment| {
    deployment.add_secret("acme");
    deployment.start();
    deployment.published(&[line("o", "account.opened", ("acme", "bob"), &json!({"kind": "user", "owner": "bob"}))]).await;
    assert_eq!(deployment.hook(stripe_session("evt_1", 2000)).await, "applied");
    let (told, status) = deployment.said_by(&["payments", "acme", "ann"]).await;
    assert_eq!(status, Some(0), "{told}");
    assert_says(&told, &["stripe:pi_1", "20 USD", "500 of 500 left"]);
    let (told, status) = deployment.said_by(&["payments", "acme", "ann", "--json"]).await;
    assert_eq!(status, Some(0), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let payments = told["payments"].as_array().unwrap();
    assert_eq!((payments.len(), &payments[0]["payment"]), (1, &json!("stripe:pi_1")));
    let (told, status) = deployment.said_by(&["payments", "acme", "bob"]).await;
    assert_eq!((told.trim(), status), ("no payments", Some(0)));
    for (account, words) in [("nobody", "no account acme/nobody"), ("", "")] {
        let (told, status) = deployment.said_by(&["payments", "acme", account]).await;
        assert_ne!(status, Some(0), "{told}");
        assert_says(&told, &[words]);
    }
});

/// What `permute` says of a file, and its status. It needs no server.
fn permuted(lines: &[Value], arguments: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.jsonl");
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let output = command(&[&["permute", file.to_str().unwrap()], arguments].concat(), "", "");
    (text(&output), output.status.code())
}

#[test]
fn permute_says_whether_order_matters_and_ends_with_1_when_it_does() {
    let mut lines = six_messages("debt");
    let (told, status) = permuted(&lines, &[]);
    assert_eq!(status, Some(0), "{told}");
    // The file as it stands, and 720 orders once and with repeats.
    assert_says(&told, &["6 messages in 1441 deliveries (all orders", "every one ends the same", "acme/u: balance 0, "]);
    lines.truncate(4);
    let (told, status) = permuted(&lines, &["--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["same"], &told["all"], &told["deliveries"], status), (&json!(true), &json!(true), &json!(5), Some(0)));
    // Two decisions that contradict each other: the first stands.
    let asked = json!({"request": "r", "package": "pack", "method": "bank_transfer", "requested_by": "mia"});
    lines.truncate(2);
    lines.push(told_of("q", "credit_request.submitted", &asked));
    for decision in ["accepted", "rejected"] {
        let data = json!({"request": "r", "decision": decision, "decided_by": "bob"});
        lines.push(told_of(decision, "credit_request.decided", &data));
    }
    let (told, status) = permuted(&lines, &[]);
    assert_eq!(status, Some(1), "{told}");
    assert_says(&told, &["one ends differently", "lines 1 2 3 4 5\n  acme/u: balance 1000", "acme/u: balance 0", "the first stands"]);
    let (told, status) = permuted(&lines, &["--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["same"], &told["other"]["accounts"]["acme/u"]["balance"], status), (&json!(false), &json!("0"), Some(1)));
}

#[test]
fn permute_names_the_line_that_cannot_be_read() {
    let (told, status) = permuted(&[json!({"webhook": "stripe"})], &[]);
    assert_eq!(status, Some(2), "{told}");
    assert_says(&told, &["orders.jsonl:1: "]);
    let output = command(&["permute", "no-such-file.jsonl"], "", "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert_says(&text(&output), &["no-such-file.jsonl"]);
}

worker_test!(the_webhook_benchmark_needs_a_broker, |deployment| {
    let brokerless = deployment.tool(&["bench", "--webhooks", "--messages", "200"]).env_remove("AMQP_URL").output().await.unwrap();
    assert_eq!(brokerless.status.code(), Some(2), "{}", text(&brokerless));
    assert_says(&text(&brokerless), &["AMQP_URL"]);
});

worker_test!(a_worker_that_dies_at_the_turn_of_the_month_changes_nothing, |deployment| {
    let arguments = ["bench", "--resets", "--kill", "--json", "--messages", "3000", "--rounds", "1", "--yardstick-seconds", "0"];
    let output = deployment.tool(&arguments).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The program itself compares: each account was reset once, and `reconcile` finds nothing.
    assert_eq!((&told["audit"], &told["killed"]), (&json!("clean"), &json!(true)), "{told}");
    let at_kill = told["rounds"][0]["reset_at_kill"].as_u64().unwrap();
    assert!((1500..3000).contains(&at_kill), "{told}");
});
