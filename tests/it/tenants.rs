//! Messages about a tenant as a whole, through the worker: lanes of their own, resets that outlive it.

use crate::claims::until;
use crate::worker::{Deployment, worker_test};
use credit_ledger::catalog;
use credit_ledger::domain::ids::{Id, MessageId, Printable};
use credit_ledger::store::postgres::{PostgresStore, catalogs};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const ACCOUNTS: usize = 24;
/// A tenant with a time of its own.
const LAB: &str = r#"
currency = "USD"
test_clock = true
[plans.team]
allowance = "100"
interval = "month"
[[rates]]
meter = "image"
price = "2"
"#;
/// Everything of the lab is reset but one account, which the test holds.
const ALL_BUT_ONE_SHARD: &str = "select count(*) >= 6 from resets";

fn february() -> Value {
    json!({"as_of": "2026-02-01T00:00:00Z"})
}

fn name(source: &str, id: &str) -> MessageId {
    MessageId { source: Printable::new(source).unwrap(), id: Printable::new(id).unwrap() }
}

impl Deployment {
    /// A tenant with subscriptions whose first cycle ends with January.
    pub async fn lab(&mut self) {
        let file = catalog::parse("lab", LAB).unwrap();
        catalogs::apply(&self.pool, &Id::new("lab").unwrap(), &file, LAB).await.unwrap();
        let start = json!({"subscription": "sub", "plan": "team", "interval": "month", "anchor": "2026-01-01T00:00:00"});
        for index in 0..ACCOUNTS {
            self.send_to("lab", &format!("start-{index}"), "subscription.started", Some(&format!("a{index}")), start.clone()).await;
        }
        for _ in 0..ACCOUNTS {
            assert_eq!(self.reply().await["outcome"], "applied");
        }
    }

    /// Holds an account of the last shard, as a transaction that takes long would.
    async fn hold_one(&self) -> PgConnection {
        let mut holding = PgConnection::connect(&self.database).await.unwrap();
        sqlx::query("begin").execute(&mut holding).await.unwrap();
        sqlx::query("select from accounts where tenant = 'lab' and account <> '' order by shard desc, account_id limit 1 for update")
            .execute(&mut holding)
            .await
            .unwrap();
        holding
    }

    /// The reply to a message with this outcome. A worker that is killed may repeat what it has
    /// sent already: replies come at least once.
    async fn reply_to(&mut self, id: &str, outcome: &str) -> Value {
        loop {
            let reply = self.reply().await;
            if reply["id"] == id && reply["outcome"] == outcome {
                return reply;
            }
        }
    }

    async fn final_answers(&self, id: &str) -> i64 {
        sqlx::query_scalar("select count(*) from outbox where is_reply and convert_from(body, 'UTF8')::jsonb @> jsonb_build_object('id', $1::text, 'outcome', 'applied')")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

worker_test!(a_tenant_wide_reset_outlives_its_worker, |deployment| {
    deployment.start();
    deployment.lab().await;
    let holding = deployment.hold_one().await;
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    until(&deployment, "some accounts are reset", ALL_BUT_ONE_SHARD).await;
    deployment.kill();
    assert_eq!(deployment.count("reset_jobs").await, 1, "it waits");
    assert_eq!(deployment.final_answers("feb").await, 0, "not all that is due is written");
    drop(holding);
    // The next worker takes no messages: nothing depends on the delivery any more.
    deployment.start_as("relay,schedule");
    deployment.reply_to("feb", "applied").await;
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS).unwrap(), "each once");
    assert_eq!((deployment.count("reset_jobs").await, deployment.final_answers("feb").await), (0, 1));
    deployment.kill();
    deployment.start();
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    assert_eq!(deployment.reply_to("feb", "duplicate").await["of"], "applied");
    deployment.send_to("lab", "feb", "cycle.reset", None, json!({"as_of": "2026-03-01T00:00:00Z"})).await;
    assert_eq!(deployment.reply().await["reasons"][0], "idempotency_conflict");
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS).unwrap());
});

worker_test!(a_long_reset_holds_up_nobody, |deployment| {
    deployment.start();
    deployment.lab().await;
    let holding = deployment.hold_one().await;
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    until(&deployment, "the reset is under way", ALL_BUT_ONE_SHARD).await;
    for (tenant, kind, data) in [
        ("acme", "tenant.settings_changed", json!({"four_eyes": false})),
        ("acme", "cycle.reset", february()),
        ("lab", "tenant.settings_changed", json!({"four_eyes": false})),
    ] {
        deployment.send_to(tenant, &format!("{tenant}-{kind}"), kind, None, data).await;
        let answer = deployment.reply().await;
        let outcome = answer["outcome"].as_str();
        // February may be ahead of the wall clock of the machine; what counts is that it is answered.
        assert!(matches!(outcome, Some("applied" | "rejected")), "{tenant} {kind}: {answer}");
        assert_ne!(answer["id"], "feb");
    }
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    assert_eq!(deployment.reply().await["outcome"], "waiting", "a repeat is told how it stands");
    deployment.send_to("lab", "feb", "tenant.settings_changed", None, json!({"four_eyes": true})).await;
    assert_eq!(deployment.reply().await["reasons"][0], "idempotency_conflict", "its id is taken while it waits");
    drop(holding);
    let answer = deployment.reply().await;
    assert_eq!((answer["id"].as_str(), answer["outcome"].as_str()), (Some("feb"), Some("applied")));
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS).unwrap());
});

worker_test!(an_account_that_cannot_be_written_keeps_the_reset_waiting_by_name, |deployment| {
    deployment.start();
    deployment.lab().await;
    // Its numbers contradict its grants: no batch of it passes the invariants.
    sqlx::query("update accounts set balance = balance + 1 where tenant = 'lab' and account = 'a7'")
        .execute(&deployment.pool)
        .await
        .unwrap();
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    until(&deployment, "the account is named", "select exists (select from reset_jobs where held_up_by = '{a7}')").await;
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS - 1).unwrap(), "all others are reset");
    let store = PostgresStore::connect(&deployment.database, 2).await.unwrap();
    let found = store.find_outcome(&Id::new("lab").unwrap(), None, &name("test", "feb")).await.unwrap().unwrap();
    assert_eq!((found.outcome.as_str(), found.held_up_by), ("waiting", vec!["a7".to_owned()]));
    sqlx::query("update accounts set balance = balance - 1 where tenant = 'lab' and account = 'a7'")
        .execute(&deployment.pool)
        .await
        .unwrap();
    sqlx::query("update reset_jobs set try_at = clock_timestamp()").execute(&deployment.pool).await.unwrap();
    let answer = deployment.reply().await;
    assert_eq!((answer["id"].as_str(), answer["outcome"].as_str()), (Some("feb"), Some("applied")));
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS).unwrap());
    store.pool().close().await;
});

worker_test!(a_test_clock_moves_with_the_reset_that_is_recorded, |deployment| {
    deployment.start_as("consume,relay");
    deployment.lab().await;
    deployment.send_to("lab", "feb", "cycle.reset", None, february()).await;
    until(&deployment, "it is recorded", "select exists (select from reset_jobs)").await;
    let moved: bool = sqlx::query_scalar("select clock = '2026-02-01T00:00:00Z' from tenants where tenant = 'lab'")
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    assert!(moved, "clock and record are one transaction");
    // No scheduler runs. A message in between writes first what is due by the new time.
    deployment.send_to("lab", "g", "credits.grant", Some("a0"), crate::worker::grant("5")).await;
    assert_eq!(deployment.reply().await["outcome"], "applied");
    let kinds: Vec<String> =
        sqlx::query_scalar("select entries.kind from entries join accounts using (shard, account_id) where account = 'a0' order by seq")
            .fetch_all(&deployment.pool)
            .await
            .unwrap();
    assert_eq!(kinds, ["allowance", "forfeited", "allowance", "granted"]);
    assert_eq!(deployment.final_answers("feb").await, 0);
    deployment.kill();
    deployment.start_as("relay,schedule");
    deployment.reply_to("feb", "applied").await;
    assert_eq!(deployment.count("resets").await, i64::try_from(ACCOUNTS).unwrap());
    deployment.kill();
    deployment.start();
    deployment.send_to("lab", "jan", "cycle.reset", None, json!({"as_of": "2026-01-15T00:00:00Z"})).await;
    assert_eq!(deployment.reply_to("jan", "rejected").await["reasons"][0], "reset_backwards");
});

worker_test!(early_usage_in_any_number_is_in_time, |deployment| {
    deployment.start();
    deployment.lab().await;
    let settings = json!({"late_grace_hours": 0, "insufficient": "allow"});
    deployment.send_to("lab", "set", "tenant.settings_changed", None, settings).await;
    deployment.reply_to("set", "applied").await;
    for number in 0..600 {
        // The later ones come first. More than two portions of them.
        let time = if number < 500 { "2026-01-20T00:00:00Z" } else { "2026-01-10T00:00:00Z" };
        let event = json!({"specversion": "1.0", "id": format!("early-{number}"), "source": "test", "type": "usage.recorded", "tenant": "lab",
            "subject": "a0", "time": time, "data": {"meter": "image", "quantity": 1}});
        deployment.publish("usage.recorded.lab", Vec::new(), event.to_string().into_bytes()).await;
    }
    until(&deployment, "all wait", "select count(*) = 600 from waiting").await;
    deployment.send_to("lab", "march", "cycle.reset", None, json!({"as_of": "2026-03-01T00:00:00Z"})).await;
    deployment.reply_to("march", "applied").await;
    // 600 × 2, of which January's 100 pay for the first; February's and March's repay 100 each.
    let sums = "select entries.kind, sum(amount + debt_change)::bigint, min(occurred_at)::text, max(occurred_at)::text from entries join accounts using (shard, account_id) \
                where account = 'a0' and entries.kind not in ('allowance', 'debt_repaid') group by 1 order by 1";
    let sums: Vec<(String, i64, String, String)> = sqlx::query_as(sums).fetch_all(&deployment.pool).await.unwrap();
    let of = |kind: &str, sum: i64, first: &str, last: &str| {
        (kind.to_owned(), sum, format!("{first} 00:00:00+00"), format!("{last} 00:00:00+00"))
    };
    assert_eq!(sums, [of("debt_incurred", 1100, "2026-01-10", "2026-01-20"), of("used", 100, "2026-01-10", "2026-01-10")]);
    assert_eq!(deployment.count("accounts where account = 'a0' and balance = 0 and debt = 900 and open_waiting = 0").await, 1);
});
