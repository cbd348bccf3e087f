//! Payments of another amount: staff decide what they are worth (semantics §5).

use super::purchases::{CATALOG, checkout, decide, intent, manual, with, with_intent};
use crate::world::scenarios;
use serde_json::json;

scenarios! { CATALOG;
    async fn f83_another_amount_waits_for_staff(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 1999, 0)).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["pi_1"]);
        world.tick("2026-06-01T00:00:00Z").await;
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied", "it has no end");
        // ⌊500 × 19.99 / 20.00⌋
        assert_eq!(world.balance("u").await, "499.75");
    }

    async fn staff_may_reject_a_payment_of_another_amount(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 1999, 0)).await;
        assert_eq!(decide(world, "pi_1", "rejected").await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_review_stays_one_request(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 1999, 0)).await;
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 1999)).await, "duplicate");
        assert_eq!(world.announced("u", "credit_request.pending").await.len(), 1);
    }

    async fn a_later_event_with_the_right_amount_withdraws_the_review(world) {
        assert_eq!(world.stripe(&intent("evt_1", "pi_1", "starter", 2380)).await, "applied");
        assert_eq!(world.balance("u").await, "0", "23.80 is not 20.00, and this event does not show the tax");
        assert_eq!(world.stripe(&checkout("evt_2", "pi_1", "starter", 2380, 380)).await, "applied");
        // 23.80 − 3.80 = 20.00
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.heard("u", "credit_request.cancelled", "request").await, ["pi_1"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "rejected: already_decided");
    }

    async fn an_accepted_review_is_the_payment_granted(world) {
        assert_eq!(world.stripe(&intent("evt_1", "pi_1", "bonus", 2380)).await, "applied");
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied");
        // 23.80 is not less than 20.00, so all of 500 + 50.
        assert_eq!(world.grants("u").await, ["bonus 50", "purchased 500"]);
        let history = world.history("u").await;
        assert!(history.iter().all(|(entry, _)| entry.reference.as_ref().unwrap().as_str() == "stripe:pi_1"), "as if it had fitted at once");
        // 23.80 − 3.80 = 20.00 would fit, but this payment has granted what it grants.
        assert_eq!(world.stripe(&checkout("evt_2", "pi_1", "bonus", 2380, 380)).await, "duplicate");
        world.settings(json!({"price_check": "at_least"})).await;
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "bonus", 2380)).await, "duplicate");
        assert_eq!(world.stripe(&intent("evt_4", "pi_1", "bonus", 2381)).await, "quarantined: idempotency_conflict");
        assert_eq!(world.entries("u").await, ["purchased 500", "granted 50"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "duplicate");
        assert_eq!(decide(world, "pi_1", "rejected").await, "rejected: already_decided");
        assert_eq!(world.balance("u").await, "550");
    }

    async fn an_underpaid_review_grants_its_share_once(world) {
        world.stripe(&intent("evt_1", "pi_1", "bonus", 1900)).await;
        assert_eq!(world.heard("u", "credit_request.pending", "credits").await, ["550"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied");
        // ⌊550 × 19 / 20⌋ = 522.5, of it ⌊50 × 19 / 20⌋ = 47.5 as bonus.
        assert_eq!(world.grants("u").await, ["bonus 47.5", "purchased 475"]);
        assert_eq!(world.heard("u", "credit_request.accepted", "credits").await, ["522.5"]);
        assert_eq!(world.stripe(&checkout("evt_2", "pi_1", "bonus", 1900, 0)).await, "duplicate");
        assert_eq!(world.balance("u").await, "522.5");
    }

    async fn a_rejected_review_grants_when_a_later_event_shows_the_right_amount(world) {
        world.stripe(&intent("evt_1", "pi_1", "starter", 2380)).await;
        assert_eq!(decide(world, "pi_1", "rejected").await, "applied");
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 2380)).await, "duplicate", "it says nothing new");
        // 23.80 − 3.80 = 20.00: had this event come first, there would have been nothing to decide.
        assert_eq!(world.stripe(&checkout("evt_3", "pi_1", "starter", 2380, 380)).await, "applied");
        assert_eq!(world.stripe(&checkout("evt_4", "pi_1", "starter", 2380, 380)).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
        assert_eq!(world.heard("u", "credit_request.cancelled", "request").await, Vec::<String>::new());
    }

    async fn a_review_does_not_take_a_request_of_its_id(world) {
        world.done("credit_request.submitted", "u", manual("pi_1")).await;
        assert_eq!(world.stripe(&intent("evt_1", "pi_1", "starter", 1000)).await, "quarantined: idempotency_conflict");
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied", "the manual one");
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 1000)).await, "quarantined: idempotency_conflict", "also once decided");
        assert_eq!(world.entries("u").await, ["purchased 9999"]);
        // It fits, so it needs no request.
        assert_eq!(world.stripe(&intent("evt_3", "pi_2", "starter", 2000)).await, "applied");
        world.done("credit_request.submitted", "u", manual("pi_3")).await;
        assert_eq!(world.stripe(&intent("evt_4", "pi_3", "starter", 2000)).await, "applied");
        assert_eq!(decide(world, "pi_3", "rejected").await, "applied", "the manual one");
        // 9999 + 500 + 500
        assert_eq!(world.balance("u").await, "10999");
    }

    async fn a_request_does_not_take_the_id_of_a_payment(world) {
        let unpaid = with(checkout("evt_3", "pi_3", "starter", 2000, 0), "payment_status", json!("unpaid"));
        world.stripe(&intent("evt_1", "pi_1", "starter", 1000)).await;
        world.stripe(&intent("evt_2", "pi_2", "starter", 2000)).await;
        world.stripe(&unpaid).await;
        world.stripe(&with_intent("evt_4", "cs_4", "pi_4")).await;
        for request in ["pi_1", "pi_2", "pi_3", "pi_4", "cs_4"] {
            let outcome = world.tell("credit_request.submitted", "u", manual(request)).await;
            assert_eq!(outcome, "quarantined: idempotency_conflict", "{request}");
        }
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["pi_1"]);
    }
}
