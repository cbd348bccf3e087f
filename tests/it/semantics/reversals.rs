//! A manual purchase whose money went back: the same target rule as a refund (semantics §5, §6).

use super::purchases::checkout;
use crate::world::{World, scenarios};
use serde_json::json;

const CATALOG: &str = r#"
[packages.plus]
credits = "900"
bonus = "100"
price = "30.00"
[[rates]]
meter = "unit"
price = "1"
"#;

/// Asks for the package and has it accepted for what arrived.
async fn accepted(world: &mut World, received: Option<&str>) {
    world.staff("bob", "approver").await;
    world
        .done("credit_request.submitted", "u", json!({"request": "r", "package": "plus", "method": "bank_transfer", "requested_by": "mia"}))
        .await;
    let mut decision = json!({"request": "r", "decision": "accepted", "decided_by": "bob"});
    if let Some(received) = received {
        decision["received_amount"] = json!(received);
    }
    world.done("credit_request.decided", "u", decision).await;
}

async fn reverse(world: &mut World, amount: Option<&str>) -> String {
    let mut data = json!({"request": "r", "reversed_by": "bob", "reason": "the transfer bounced"});
    if let Some(amount) = amount {
        data["amount"] = json!(amount);
    }
    world.tell("credit_request.reversed", "u", data).await
}

scenarios! { CATALOG;
    async fn a_bounced_transfer_takes_everything_back(world) {
        accepted(world, None).await;
        assert_eq!(world.uses("u", "unit", "250").await, "applied");
        assert_eq!(reverse(world, None).await, "applied");
        // 100 of the bonus and 150 were used; 750 are left of 1000.
        assert_eq!(world.entries_after("u", 3).await, ["clawed_back 750", "debt_incurred 250"]);
        let (last, _) = world.history("u").await.pop().unwrap();
        assert_eq!(last.reference.unwrap().as_str(), "r", "like its purchase");
        assert_eq!(world.heard("u", "purchase.refunded", "payment").await, ["request:r"]);
        assert_eq!(reverse(world, None).await, "duplicate", "there is no more to take");
    }

    async fn a_part_takes_its_share(world) {
        accepted(world, None).await;
        assert_eq!(reverse(world, Some("10.00")).await, "applied");
        // 1000 − ⌊1000 × 10 / 30⌋ = 1000 − 333.333333
        assert_eq!(world.balance("u").await, "666.666667");
        assert_eq!(reverse(world, Some("20.00")).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn what_arrived_is_what_was_paid(world) {
        accepted(world, Some("15.00")).await;
        // ⌊1000 × 15 / 30⌋, half of which goes back.
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(reverse(world, Some("7.50")).await, "applied");
        assert_eq!(world.balance("u").await, "250");
        assert_eq!(reverse(world, Some("15.01")).await, "rejected: invalid_amount");
        assert_eq!(reverse(world, Some("0")).await, "rejected: invalid_amount");
    }

    async fn a_reversal_before_the_decision_waits_for_it(world) {
        world.staff("bob", "approver").await;
        assert_eq!(reverse(world, None).await, "waiting", "nobody has asked for it yet");
        accepted(world, None).await;
        assert_eq!(world.entries("u").await, ["purchased 900", "granted 100", "clawed_back 900", "clawed_back 100"]);
    }

    async fn a_reversal_of_what_was_not_granted_is_refused(world) {
        world.staff("bob", "approver").await;
        world.done("credit_request.submitted", "u", json!({"request": "r", "package": "plus", "method": "crypto", "requested_by": "mia"})).await;
        assert_eq!(reverse(world, None).await, "waiting");
        world.done("credit_request.decided", "u", json!({"request": "r", "decision": "rejected", "decided_by": "bob"})).await;
        assert_eq!(world.heard("u", "message.rejected", "reasons").await, [r#"["already_decided"]"#]);
    }

    async fn only_staff_reverse(world) {
        accepted(world, None).await;
        let data = json!({"request": "r", "reversed_by": "mia", "reason": "x"});
        assert_eq!(world.tell("credit_request.reversed", "u", data).await, "rejected: not_permitted");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn a_refund_of_a_request_may_be_asked_for(world) {
        accepted(world, None).await;
        let ask = |payment: &str| json!({"payment": payment, "requested_by": "mia", "reason": "not needed"});
        assert_eq!(world.tell("refund.requested", "u", ask("r")).await, "applied");
        assert_eq!(world.tell("refund.requested", "u", ask("request:r")).await, "applied");
    }

    async fn the_review_of_a_payment_is_reversed_by_its_provider(world) {
        world.staff("bob", "approver").await;
        world.settings(json!({"price_check": "review"})).await;
        world.stripe(&checkout("evt_1", "r", "plus", 3000, 0)).await;
        world.done("credit_request.decided", "u", json!({"request": "r", "decision": "accepted", "decided_by": "bob"})).await;
        assert_eq!(reverse(world, None).await, "rejected: not_permitted");
        assert_eq!(world.balance("u").await, "1000");
    }
}
