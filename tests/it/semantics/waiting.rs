//! What is missing is waited for (semantics §9).

use crate::world::scenarios;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.basic]
allowance = "100"
[plans.team]
allowance = "1000"
[[rates]]
meter = "unit"
price = "1"
"#;

#[allow(clippy::needless_pass_by_value, reason = "scenarios read better without borrows")]
fn message(id: &str, kind: &str, data: Value) -> Value {
    json!({"id": id, "type": kind, "subject": "u", "data": data})
}

fn usage(id: &str, quantity: u32) -> Value {
    message(id, "usage.recorded", json!({"meter": "unit", "quantity": quantity}))
}

fn grant(id: &str) -> Value {
    message(id, "credits.grant", json!({"credits": "100", "reason": "gift", "actor": "ann"}))
}

fn start() -> Value {
    json!({"subscription": "sub", "plan": "basic", "interval": "month", "anchor": "2026-01-01T00:00:00"})
}

fn submit() -> Value {
    json!({"request": "r", "package": "starter", "method": "crypto", "requested_by": "mia"})
}

fn decide() -> Value {
    json!({"request": "r", "decision": "accepted", "decided_by": "bob"})
}

scenarios! { CATALOG;
    async fn usage_waits_for_its_account(world) {
        assert_eq!(world.send(usage("use", 40)).await, "waiting");
        assert_eq!(world.send(grant("gift")).await, "applied");
        assert_eq!(world.outcome("u", "use").await, "applied");
        // 100 − 40: used as soon as there was something.
        assert_eq!(world.entries("u").await, ["granted 100", "used 40"]);
    }

    async fn usage_that_waited_is_decided_when_the_account_opens(world) {
        assert_eq!(world.send(usage("use", 40)).await, "waiting");
        world.open("u").await;
        assert_eq!(world.outcome("u", "use").await, "rejected: insufficient_credits", "the outcome is final");
        assert_eq!(world.send(grant("gift")).await, "applied");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn an_unknown_account_is_waited_for_a_day(world) {
        assert_eq!(world.send(usage("use", 40)).await, "waiting");
        world.tick("2026-01-01T23:59:59Z").await;
        assert_eq!(world.outcome("u", "use").await, "waiting");
        world.tick("2026-01-02T00:00:00Z").await;
        assert_eq!(world.outcome("u", "use").await, "quarantined: wait_timeout");
        assert_eq!(world.send(grant("gift")).await, "applied");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn many_things_wait_for_an_account(world) {
        for (kind, data) in [
            ("credits.spend", json!({"purpose": "invoice", "reference": "I-1", "credits": "1"})),
            ("credits.adjust", json!({"credits": "-1", "reason": "r", "actor": "bob"})),
            ("account.changed", json!({"owner": "leo"})),
            ("account.frozen", json!({"reason": "r", "actor": "ann"})),
            ("account.unfrozen", json!({"reason": "r", "actor": "ann"})),
            ("account.closed", json!({"reason": "r", "actor": "ann"})),
            ("cycle.reset", json!({"as_of": "2026-01-01T00:00:00Z"})),
        ] {
            assert_eq!(world.tell(kind, kind.replace('.', "-").as_str(), data).await, "waiting", "{kind}");
        }
    }

    async fn what_waits_is_decided_in_the_order_it_came(world) {
        for (id, quantity) in [("one", 60), ("two", 50), ("three", 40)] {
            assert_eq!(world.send(usage(id, quantity)).await, "waiting");
        }
        world.send(grant("gift")).await;
        // 100 − 60 = 40; 50 do not fit; 40 do.
        assert_eq!(world.entries("u").await, ["granted 100", "used 60", "used 40"]);
        assert_eq!(world.outcome("u", "two").await, "rejected: insufficient_credits");
    }

    async fn a_waiting_message_again_still_waits(world) {
        assert_eq!(world.send(usage("use", 40)).await, "waiting");
        assert_eq!(world.send(usage("use", 40)).await, "waiting");
        assert_eq!(world.send(usage("use", 41)).await, "quarantined: idempotency_conflict");
        world.send(grant("gift")).await;
        assert_eq!(world.entries("u").await, ["granted 100", "used 40"], "once");
        assert_eq!(world.send(usage("use", 40)).await, "duplicate");
    }

    async fn b51_f72_a_decision_waits_for_its_request(world) {
        world.staff("bob", "approver").await;
        assert_eq!(world.send(message("yes", "credit_request.decided", decide())).await, "waiting");
        world.done("credit_request.submitted", "u", submit()).await;
        assert_eq!(world.outcome("u", "yes").await, "applied");
        assert_eq!(world.balance("u").await, "500");
    }

    async fn b51_a_request_is_waited_for_thirty_days(world) {
        assert_eq!(world.send(message("yes", "credit_request.decided", decide())).await, "waiting");
        world.tick("2026-01-30T23:59:59Z").await;
        assert_eq!(world.outcome("u", "yes").await, "waiting");
        world.tick("2026-01-31T00:00:00Z").await;
        assert_eq!(world.outcome("u", "yes").await, "quarantined: wait_timeout");
        assert_eq!(world.heard("u", "message.quarantined", "reason").await, ["wait_timeout"]);
    }

    async fn a_cancellation_waits_for_its_request(world) {
        let cancel = message("no", "credit_request.cancelled", json!({"request": "r", "cancelled_by": "mia"}));
        assert_eq!(world.send(cancel).await, "waiting");
        world.done("credit_request.submitted", "u", submit()).await;
        assert_eq!(world.heard("u", "credit_request.cancelled", "request").await, ["r"]);
    }

    async fn a_change_waits_for_its_subscription(world) {
        let change = message("up", "subscription.changed", json!({"subscription": "sub", "plan": "team"}));
        assert_eq!(world.send(change).await, "waiting");
        world.done("subscription.started", "u", start()).await;
        assert_eq!(world.outcome("u", "up").await, "applied");
        // 100, then 1000 − 100.
        assert_eq!(world.entries("u").await, ["allowance 100", "allowance 900"]);
    }

    async fn a_subscription_is_waited_for_thirty_days(world) {
        for (id, kind) in [("c", "subscription.cancelled"), ("r", "subscription.resumed")] {
            assert_eq!(world.send(message(id, kind, json!({"subscription": "sub"}))).await, "waiting");
        }
        world.tick("2026-01-30T23:59:59Z").await;
        assert_eq!(world.outcome("u", "c").await, "waiting");
        world.tick("2026-01-31T00:00:00Z").await;
        assert_eq!(world.outcome("u", "c").await, "quarantined: wait_timeout");
        assert_eq!(world.outcome("u", "r").await, "quarantined: wait_timeout");
    }

    async fn money_in_opens_an_account(world) {
        world.staff("bob", "admin").await;
        world.done("credits.grant", "grant", json!({"credits": "1", "reason": "gift", "actor": "ann"})).await;
        world.done("credits.adjust", "adjustment", json!({"credits": "1", "reason": "sorry", "actor": "bob"})).await;
        world.done("credit_request.submitted", "request", submit()).await;
        world.done("subscription.started", "subscription", start()).await;
        for account in ["grant", "adjustment", "request", "subscription"] {
            assert_eq!(world.heard(account, "account.changed", "status").await, ["open"], "{account}");
        }
    }

    async fn explicit_accounts_are_opened_by_name_only(world) {
        world.settings(json!({"open_accounts": "explicit"})).await;
        assert_eq!(world.send(grant("gift")).await, "waiting");
        assert_eq!(world.send(message("sub", "subscription.started", start())).await, "waiting");
        assert_eq!(world.send(message("ask", "credit_request.submitted", submit())).await, "waiting");
        world.open("u").await;
        for id in ["gift", "sub", "ask"] {
            assert_eq!(world.outcome("u", id).await, "applied", "{id}");
        }
        assert_eq!(world.balance("u").await, "200");
    }

    async fn an_explicit_account_is_waited_for_a_day(world) {
        world.settings(json!({"open_accounts": "explicit"})).await;
        assert_eq!(world.send(grant("gift")).await, "waiting");
        world.tick("2026-01-02T00:00:00Z").await;
        assert_eq!(world.outcome("u", "gift").await, "quarantined: wait_timeout");
        world.open("u").await;
        assert_eq!(world.balance("u").await, "0");
    }

    async fn an_unknown_tenant_is_not_waited_for(world) {
        let mut lost = grant("gift");
        lost["tenant"] = json!("nobody");
        assert_eq!(world.send(lost).await, "quarantined: unknown_tenant");
    }

    async fn an_unknown_type_is_set_aside(world) {
        assert_eq!(world.send(message("x", "credits.conjure", json!({}))).await, "quarantined: unknown_type");
    }
}
