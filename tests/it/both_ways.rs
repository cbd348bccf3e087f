//! One message file gives one result, simulated and published (message contract, Message files).

use crate::worker::{Deployment, worker_test};
use serde_json::{Value, json};
use std::path::Path;

/// A company with a time of its own.
fn catalog() -> Value {
    json!({"tenant": "lab", "catalog": {
        "currency": "USD", "test_clock": true,
        "packages": {"starter": {"credits": "500", "price": "20.00"}},
        "plans": {"team": {"allowance": "1000", "interval": "month", "rollover": {"max": "200", "cycles": 1}}},
        "rates": [{"meter": "image", "price": "2"}],
    }})
}

#[allow(clippy::needless_pass_by_value, reason = "calls read better without borrows")]
fn message(id: &str, kind: &str, account: Option<&str>, time: &str, data: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "id": id, "source": "test", "type": kind, "tenant": "lab", "time": time});
    event["data"] = data;
    if let Some(account) = account {
        event["subject"] = account.into();
    }
    event
}

fn about(id: &str, kind: &str, account: &str, time: &str, data: Value) -> Value {
    message(id, kind, Some(account), time, data)
}

fn lot(ends: &str, priority: u32) -> Value {
    json!({"credits": "10", "expires_at": ends, "priority": priority, "reason": "two lots", "actor": "ops"})
}

fn read(account: &str) -> Value {
    json!({"read": {"tenant": "lab", "account": account}})
}

fn paid(id: &str, account: &str, created: i64) -> Value {
    json!({"webhook": "stripe", "tenant": "lab", "event": {
        "id": id, "type": "payment_intent.succeeded", "created": created, "livemode": false,
        "data": {"object": {"id": format!("pi_{account}"), "amount_received": 2000, "currency": "usd",
            "metadata": {"credit_account": account, "credit_package": "starter"}}},
    }})
}

/// What waits, falls due, is refused, repeated, contradicted and forged.
fn lines() -> Vec<Value> {
    let usage = |quantity: &str| json!({"meter": "image", "quantity": quantity});
    let grant = json!({"credits": "100", "expires_at": "2026-01-20T00:00:00Z", "reason": "welcome\nand more", "actor": "ops"});
    let request = json!({"request": "r-1", "package": "starter", "method": "bank_transfer", "requested_by": "bob"});
    let decided = json!({"request": "r-1", "decision": "accepted", "decided_by": "eve"});
    let plan = json!({"subscription": "sub", "plan": "team", "interval": "month", "anchor": "2026-01-01T00:00:00"});
    let opened = json!({"kind": "user", "owner": "cat"});
    let settings = json!({"insufficient": "allow"});
    vec![
        read("nobody"),
        catalog(),
        read("nobody"),
        about("u-1", "usage.recorded", "ann", "2026-01-01T09:00:00Z", usage("3")),
        about("g-1", "credits.grant", "ann", "2026-01-01T10:00:00Z", grant.clone()),
        about("g-1", "credits.grant", "ann", "2026-01-01T10:00:00Z", grant.clone()),
        about("u-2", "usage.recorded", "ann", "2026-01-02T00:00:00Z", usage("500")),
        about("u-2", "usage.recorded", "ann", "2026-01-02T00:00:00Z", usage("500")),
        about("u-2", "usage.recorded", "ann", "2026-01-02T00:00:00Z", usage("501")),
        about("s-1", "subscription.started", "bob", "2026-01-02T00:00:00Z", plan.clone()),
        about("s-2", "subscription.started", "ann", "2026-01-03T00:00:00Z", plan),
        paid("evt_1", "cat", 1_767_571_200),
        about("x-1", "credits.grant", "ann", "2026-01-05T00:00:00Z", json!({"credits": 1.5})),
        about("x-2", "credits.unheard_of", "ann", "2026-01-05T00:00:00Z", json!({})),
        about("x-3", "order.placed", "ann", "2026-01-05T00:00:00Z", json!({})),
        about("d-1", "credit_request.decided", "bob", "2026-01-05T00:00:00Z", decided),
        message("m-1", "member.changed", None, "2026-01-05T00:00:00Z", json!({"member": "eve", "role": "approver"})),
        about("r-1", "credit_request.submitted", "bob", "2026-01-06T00:00:00Z", request),
        json!({"tick": "2026-02-10T00:00:00Z"}),
        json!({"tick": "2026-02-10T00:00:00Z"}),
        read("ann"),
        message("t-1", "tenant.settings_changed", None, "2026-02-10T00:00:00Z", settings),
        about("u-3", "usage.recorded", "cat", "2026-02-10T00:00:00Z", usage("300")),
        // Ahead of the clock: everything due by then comes first.
        about("u-4", "usage.recorded", "bob", "2026-03-05T00:00:00Z", usage("1")),
        message("c-1", "cycle.reset", None, "2026-03-06T00:00:00Z", json!({"as_of": "2026-04-02T00:00:00Z"})),
        message("c-2", "cycle.reset", None, "2026-04-02T00:00:00Z", json!({"as_of": "2026-03-01T00:00:00Z"})),
        message("c-2", "cycle.reset", None, "2026-04-02T00:00:00Z", json!({"as_of": "2026-03-01T00:00:00Z"})),
        about("a-1", "account.opened", "dan", "2026-04-02T00:00:00Z", opened),
        read("bob"),
        json!({"read": {"tenant": "lab", "account": "bob", "at": "2026-02-01T00:00:00Z"}}),
        // Of a cycle that is closed: what it forfeited comes back and pays.
        about("u-5", "usage.recorded", "ann", "2026-03-25T00:00:00Z", usage("10")),
        json!({"read": {"tenant": "lab", "account": "ann", "at": "2026-03-26T00:00:00Z", "as": "recorded"}}),
        json!({"read": {"tenant": "lab", "account": "ann", "at": "2026-03-26T00:00:00Z", "as": "known"}}),
        // Of two lots the later one burns first from now on, and did not before.
        about("g-2", "credits.grant", "eve", "2026-04-03T00:00:00Z", lot("2026-06-01T00:00:00Z", 1)),
        about("g-3", "credits.grant", "eve", "2026-04-03T00:00:00Z", lot("2026-05-01T00:00:00Z", 2)),
        message("t-2", "tenant.settings_changed", None, "2026-04-04T00:00:00Z", json!({"burn_order": ["end"]})),
        read("eve"),
        json!({"read": {"tenant": "lab", "account": "eve", "at": "2026-04-03T00:00:00Z"}}),
        json!({"read": {"tenant": "lab", "account": "eve", "at": "2026-04-03T00:00:00Z", "as": "recorded"}}),
    ]
}

/// What each line of the file is shown to do, and the exit status.
async fn shown(deployment: &Deployment, command: &str, file: &Path) -> Vec<Value> {
    let output = deployment.tool(&[command, "--json", file.to_str().unwrap()]).output().await.unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.map(without_the_wall_clock).collect()
}

/// What never reaches an account is announced at the worker's time.
fn without_the_wall_clock(mut line: Value) -> Value {
    for event in line["events"].as_array_mut().into_iter().flatten() {
        if event["type"] == "message.quarantined" {
            event.as_object_mut().unwrap().remove("time");
        }
    }
    line
}

worker_test!(one_file_gives_one_result_both_ways, |deployment| {
    deployment.add_secret("lab");
    deployment.start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.jsonl");
    let text: Vec<String> = lines().iter().map(ToString::to_string).collect();
    std::fs::write(&file, text.join("\n")).unwrap();
    let simulated = shown(&deployment, "simulate", &file).await;
    let published = shown(&deployment, "publish", &file).await;
    assert_eq!(simulated.len(), lines().len());
    for (line, (simulated, published)) in lines().iter().zip(simulated.iter().zip(&published)) {
        assert_eq!(simulated, published, "simulated and published: {line}");
    }
    assert_eq!(published.len(), simulated.len());
    let entries = |index: usize| published[index]["entries"].as_array().unwrap().len();
    assert_eq!(entries(4), 2, "the grant, and the usage it sets free");
    assert!(entries(18) > 4 && entries(19) == 0, "two accounts were due");
    let order = |from_end: usize| {
        let lots = published[published.len() - from_end]["account"]["grants"].as_array().unwrap();
        lots.iter().map(|lot| lot["priority"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!([order(3), order(2), order(1)], [vec![2, 1], vec![1, 2], vec![1, 2]], "the order in force then");
    let of_late = &published[published.len() - 9..published.len() - 6];
    let kinds: Vec<&str> = of_late[0]["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["returned", "used"]);
    let balance = |index: usize| of_late[index]["account"]["balance"].as_str().unwrap().parse::<u32>().unwrap();
    assert_eq!(balance(1) - balance(2), 20, "10 images × 2 were not known of on the 26th");
    let output = deployment.tool(&["tenant", "policies", "lab", "--json"]).output().await.unwrap();
    let versions = String::from_utf8(output.stdout).unwrap();
    let versions: Vec<Value> = versions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |key: &str| versions.iter().map(|version| version[key].as_str().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(told("changed_by"), ["catalog version 1", "test t-1", "test t-2"].map(|by| Some(by.to_owned())));
    assert_eq!(told("effective_at")[0], None);
    assert_eq!(told("effective_at")[2].as_deref(), Some("2026-04-04T00:00:00Z"));
    assert_eq!((&versions[1]["settings"]["insufficient"], &versions[2]["settings"]["burn_order"]), (&json!("allow"), &json!(["end"])));
    let table = deployment.tool(&["tenant", "policies", "lab"]).output().await.unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("burn_order = [\"end\"]") && table.matches("late_grace_hours").count() == 1, "{table}");
    let nobody = deployment.tool(&["tenant", "policies", "nobody"]).output().await.unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert_eq!(published[7]["reasons"], json!(["insufficient_credits"]), "the recorded ones");
});
