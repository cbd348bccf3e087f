//! Every reason, by every type that can give it (message contract, Outcomes).

use crate::world::{World, scenarios};
use credit_ledger::domain::rejection::{QuarantineReason, Rejection};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.basic]
allowance = "100"
[plans.yearly]
allowance = "100"
interval = "year"
[addons.seats]
credits_per_unit = "60"
unit_price = "10.00"
[services.logo]
credits = "150"
[services.closed]
eligible = false
[[rates]]
meter = "unit"
price = "1"
"#;

fn act() -> Value {
    json!({"reason": "because", "actor": "ann"})
}

fn grant(with: &Value) -> Value {
    merged(json!({"credits": "1", "reason": "gift", "actor": "ann"}), with)
}

fn adjust(credits: &str, actor: &str) -> Value {
    json!({"credits": credits, "reason": "correction", "actor": actor})
}

fn request(with: &Value) -> Value {
    merged(json!({"request": "r", "credits": "10", "price": "1.00", "currency": "USD", "method": "crypto", "requested_by": "mia"}), with)
}

fn decide(by: &str, with: &Value) -> Value {
    merged(json!({"request": "r", "decision": "accepted", "decided_by": by}), with)
}

fn start(with: &Value) -> Value {
    merged(json!({"subscription": "s", "plan": "basic", "interval": "month", "anchor": "2026-01-01T00:00:00"}), with)
}

fn spend(with: &Value) -> Value {
    merged(json!({"purpose": "service", "reference": "O-1", "service": "logo", "credits": "150"}), with)
}

fn merged(mut value: Value, with: &Value) -> Value {
    value.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    value
}

/// Each is refused as it says, changes nothing and is announced.
async fn refused(world: &mut World, account: &str, cases: Vec<(&str, Value, &str)>) {
    for (kind, data, outcome) in cases {
        let before = world.account(account).await.seq;
        assert_eq!(world.tell(kind, account, data.clone()).await, outcome, "{kind} {data}");
        assert_eq!(world.account(account).await.seq, before, "{kind} {data}");
        let event = world.events(account).await.pop().unwrap();
        let announced = match kind {
            "usage.recorded" => "usage.rejected",
            "credits.spend" => "spend.rejected",
            _ => "message.rejected",
        };
        let reasons: Vec<&str> = outcome.trim_start_matches("rejected: ").split(' ').collect();
        assert_eq!((&event["type"], &event["data"]["reasons"]), (&json!(announced), &json!(reasons)), "{kind} {data}");
        if announced == "message.rejected" {
            assert_eq!(event["data"]["type"], kind);
        }
    }
}

scenarios! { CATALOG;
    async fn a_frozen_account_refuses_to_be_spent_from(world) {
        world.grant("u", "500", json!({})).await;
        world.done("account.frozen", "u", act()).await;
        refused(world, "u", vec![
            ("usage.recorded", json!({"meter": "unit", "quantity": 1}), "rejected: account_frozen"),
            ("credits.spend", spend(&json!({})), "rejected: account_frozen"),
        ]).await;
    }

    async fn a_closed_account_refuses_all_but_money_and_corrections_downwards(world) {
        world.staff("bob", "approver").await;
        world.grant("u", "500", json!({})).await;
        world.done("subscription.started", "u", start(&json!({}))).await;
        world.done("account.closed", "u", act()).await;
        refused(world, "u", vec![
            ("usage.recorded", json!({"meter": "unit", "quantity": 1}), "rejected: account_closed"),
            ("credits.spend", spend(&json!({})), "rejected: account_closed"),
            ("credits.spend", json!({"purpose": "invoice", "reference": "I-1", "credits": "501"}), "rejected: account_closed insufficient_credits"),
            ("credits.grant", grant(&json!({})), "rejected: account_closed"),
            ("credits.adjust", adjust("1", "bob"), "rejected: account_closed"),
            ("credit_request.submitted", request(&json!({})), "rejected: account_closed"),
            ("account.opened", json!({"kind": "user", "owner": "leo"}), "rejected: account_closed"),
            ("account.changed", json!({"owner": "leo"}), "rejected: account_closed"),
            ("account.frozen", act(), "rejected: account_closed"),
            ("account.unfrozen", act(), "rejected: account_closed"),
            ("subscription.started", start(&json!({"subscription": "t"})), "rejected: account_closed"),
            ("subscription.changed", json!({"subscription": "s", "plan": "basic"}), "rejected: no_active_subscription"),
            ("subscription.cancelled", json!({"subscription": "s"}), "rejected: no_active_subscription"),
            ("subscription.resumed", json!({"subscription": "s"}), "rejected: no_active_subscription"),
            ("cycle.reset", json!({"as_of": "2026-01-01T00:00:00Z", "manual": true, "subscription": "s"}), "rejected: no_active_subscription"),
        ]).await;
    }

    async fn with_credit_payments_off_nothing_new_is_bought(world) {
        world.grant("u", "500", json!({})).await;
        world.settings(json!({"credit_payments": false})).await;
        refused(world, "u", vec![
            ("credits.spend", spend(&json!({})), "rejected: credits_disabled"),
            ("credit_request.submitted", request(&json!({})), "rejected: credits_disabled"),
        ]).await;
    }

    async fn only_staff_may_and_never_alone(world) {
        world.staff("bob", "approver").await;
        world.staff("vic", "viewer").await;
        world.done("credit_request.submitted", "u", request(&json!({"requested_by": "bob"}))).await;
        refused(world, "u", vec![
            ("credits.adjust", adjust("1", "mia"), "rejected: not_permitted"),
            ("credits.adjust", adjust("1", "vic"), "rejected: not_permitted"),
            ("credit_request.decided", decide("vic", &json!({})), "rejected: not_permitted"),
            ("credit_request.decided", decide("bob", &json!({})), "rejected: four_eyes"),
            ("credit_request.decided", decide("mia", &json!({"received_amount": "0"})), "rejected: not_permitted invalid_amount"),
        ]).await;
    }

    async fn amounts_must_be_possible(world) {
        world.staff("bob", "approver").await;
        world.grant("u", "500", json!({})).await;
        world.done("credit_request.submitted", "u", request(&json!({}))).await;
        refused(world, "u", vec![
            ("credits.grant", grant(&json!({"credits": "0"})), "rejected: invalid_amount"),
            ("credits.grant", grant(&json!({"rollover": {"min": "2", "max": "1"}})), "rejected: invalid_amount"),
            ("credits.grant", grant(&json!({"credits": "999999999999999999"})), "rejected: invalid_amount"),
            ("credits.adjust", adjust("0", "bob"), "rejected: invalid_amount"),
            ("credits.spend", spend(&json!({"credits": "149"})), "rejected: invalid_amount"),
            ("credits.spend", json!({"purpose": "invoice", "reference": "I-1", "credits": "0"}), "rejected: invalid_amount"),
            ("credit_request.submitted", request(&json!({"request": "q", "price": "0"})), "rejected: invalid_amount"),
            ("credit_request.submitted", request(&json!({"request": "q", "currency": "EUR"})), "rejected: invalid_amount"),
            ("credit_request.decided", decide("bob", &json!({"received_amount": "-1"})), "rejected: invalid_amount"),
            ("subscription.started", start(&json!({"addons": [{"addon": "seats", "units": 1_000_001}]})), "rejected: invalid_amount"),
            ("account.changed", json!({"auto_topup": {"package": "starter", "threshold": "9", "target": "8"}}), "rejected: invalid_amount"),
        ]).await;
        world.done("subscription.started", "u", start(&json!({}))).await;
        let many = json!({"subscription": "s", "addons": [{"addon": "seats", "units": 1_000_001}]});
        refused(world, "u", vec![("subscription.changed", many, "rejected: invalid_amount")]).await;
    }

    async fn times_must_be_possible(world) {
        world.open("u").await;
        refused(world, "u", vec![
            ("credits.grant", grant(&json!({"expires_at": "2026-01-01T00:00:00Z"})), "rejected: invalid_time"),
            ("credits.grant", grant(&json!({"recurs": {"interval": "PT0.5S", "anchor": "2026-01-01T00:00:00"}})), "rejected: invalid_time"),
            ("credits.grant", grant(&json!({"effective_at": "2026-03-01T00:00:00Z", "expires_at": "2026-02-01T00:00:00Z"})), "rejected: invalid_time"),
            ("cycle.reset", json!({"as_of": "2026-01-01T00:00:01Z"}), "rejected: reset_in_future"),
        ]).await;
        world.done("subscription.started", "u", start(&json!({}))).await;
        let back = json!({"as_of": "2025-12-31T23:59:59Z", "manual": true, "subscription": "s"});
        refused(world, "u", vec![("cycle.reset", back, "rejected: reset_backwards")]).await;
    }

    async fn what_is_named_must_exist(world) {
        world.grant("u", "500", json!({})).await;
        refused(world, "u", vec![
            ("usage.recorded", json!({"meter": "gone", "quantity": 1}), "rejected: unknown_meter"),
            ("credit_request.submitted", json!({"request": "r", "package": "gone", "method": "crypto", "requested_by": "mia"}), "rejected: unknown_package"),
            ("account.changed", json!({"auto_topup": {"package": "gone", "threshold": "9"}}), "rejected: unknown_package"),
            ("subscription.started", start(&json!({"plan": "gone"})), "rejected: unknown_plan"),
            ("subscription.started", start(&json!({"plan": "yearly"})), "rejected: unknown_plan"),
            ("subscription.started", start(&json!({"addons": [{"addon": "gone", "units": 1}]})), "rejected: unknown_addon"),
            ("account.changed", json!({"time_zone": "Mars/Olympus"}), "rejected: unknown_zone"),
            ("credits.spend", spend(&json!({"service": "gone"})), "rejected: service_not_eligible"),
            ("credits.spend", spend(&json!({"service": "closed"})), "rejected: service_not_eligible"),
        ]).await;
        world.done("subscription.started", "u", start(&json!({}))).await;
        refused(world, "u", vec![
            ("subscription.changed", json!({"subscription": "s", "plan": "gone"}), "rejected: unknown_plan"),
            ("subscription.changed", json!({"subscription": "s", "addons": [{"addon": "gone", "units": 1}]}), "rejected: unknown_addon"),
        ]).await;
    }

    async fn what_is_not_there_cannot_be_spent(world) {
        world.staff("bob", "approver").await;
        world.grant("u", "100", json!({})).await;
        refused(world, "u", vec![
            ("usage.recorded", json!({"meter": "unit", "quantity": 101}), "rejected: insufficient_credits"),
            ("credits.spend", spend(&json!({})), "rejected: insufficient_credits"),
            ("credits.adjust", adjust("-101", "bob"), "rejected: insufficient_credits"),
        ]).await;
    }

    async fn what_was_decided_stands(world) {
        world.staff("bob", "approver").await;
        world.done("credit_request.submitted", "u", request(&json!({}))).await;
        world.done("credit_request.decided", "u", decide("bob", &json!({}))).await;
        world.done("credit_request.submitted", "u", request(&json!({"request": "late"}))).await;
        refused(world, "u", vec![
            ("credit_request.decided", decide("bob", &json!({"decision": "rejected"})), "rejected: already_decided"),
            ("credit_request.cancelled", json!({"request": "r", "cancelled_by": "mia"}), "rejected: already_decided"),
        ]).await;
        world.tick("2026-01-31T00:00:00Z").await;
        refused(world, "u", vec![
            ("credit_request.decided", decide("bob", &json!({"request": "late"})), "rejected: request_expired"),
            ("credit_request.cancelled", json!({"request": "late", "cancelled_by": "mia"}), "rejected: request_expired"),
        ]).await;
    }

    async fn what_cannot_be_read_is_set_aside(world) {
        let usage = |with: Value| merged(json!({"type": "usage.recorded", "subject": "u", "data": {"meter": "unit", "quantity": 1}}), &with);
        for (event, outcome) in [
            (usage(json!({"data": {"meter": "unit"}})), "quarantined: malformed"),
            (usage(json!({"type": "credits.conjure"})), "quarantined: unknown_type"),
            (usage(json!({"specversion": "0.3"})), "quarantined: unsupported_version"),
            (usage(json!({"data": {"meter": "unit", "quantity": 1, "dimensions": {"note": "x".repeat(16 * 1024)}}})), "quarantined: too_large"),
            (usage(json!({"tenant": "nobody"})), "quarantined: unknown_tenant"),
        ] {
            assert_eq!(world.send(event).await, outcome);
        }
        assert_eq!(world.account("u").await.events, 0, "nothing reached the account");
    }

    async fn a_reset_of_all_does_not_turn_the_clock_back(world) {
        world.open("u").await;
        world.tenant("cycle.reset", json!({"as_of": "2026-02-01T00:00:00Z"})).await;
        let back = json!({"type": "cycle.reset", "data": {"as_of": "2026-01-31T23:59:59Z"}});
        assert_eq!(world.send(back).await, "rejected: reset_backwards");
    }
}

/// Reasons of the contract that no implemented type gives yet.
const RESERVED: [Rejection; 5] =
    [Rejection::UnknownEntry, Rejection::UnknownHold, Rejection::MemberLimitReached, Rejection::QuoteExpired, Rejection::HoldClosed];

/// Reasons the machinery around the ledger gives: the files that test them.
const AROUND: [(QuarantineReason, &str); 2] =
    [(QuarantineReason::InvariantViolated, "quarantine.rs"), (QuarantineReason::RetriesExhausted, "worker.rs")];

#[test]
fn every_reason_has_a_scenario() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = root.join("tests/it");
    let texts = std::fs::read_dir(tests.join("semantics")).unwrap();
    let told: String = texts.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let lines_with = |start: &str, word: &str| {
        told.lines().filter_map(|line| line.split(start).nth(1)).any(|rest| rest.split(['"', ' ']).any(|reason| reason == word))
    };
    let documented = std::fs::read_to_string(root.join("docs/messages.md")).unwrap();
    let listed = documented.lines().find(|line| line.starts_with("`account_frozen` ")).unwrap();
    let mut bracketed = false;
    let mut order = Vec::new();
    for word in listed.split(' ') {
        bracketed |= word.starts_with('[');
        let reason = word.trim_matches(|letter: char| !letter.is_ascii_lowercase());
        order.push((reason.to_owned(), bracketed));
        bracketed &= !word.trim_end_matches('.').ends_with(']');
    }
    let expected: Vec<_> = Rejection::ALL.iter().map(|reason| (reason.word().to_owned(), RESERVED.contains(reason))).collect();
    assert_eq!(order, expected, "docs/messages.md lists the reasons in order, those that nothing gives in brackets");
    for reason in Rejection::ALL {
        assert_eq!(lines_with("rejected: ", reason.word()), !RESERVED.contains(reason), "{reason}");
    }
    for reason in QuarantineReason::ALL {
        match AROUND.iter().find(|(around, _)| around == reason) {
            None => assert!(lines_with("quarantined: ", reason.word()), "{reason}"),
            Some((_, file)) => assert!(std::fs::read_to_string(tests.join(file)).unwrap().contains(reason.word()), "{reason}"),
        }
    }
}
