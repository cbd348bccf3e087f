//! A session and its intent, and every other name of a payment, are one payment (semantics §9).

use super::purchases::{CATALOG, decide, intent, with, with_intent, without_intent};
use crate::world::scenarios;
use serde_json::{Value, json};

scenarios! { CATALOG;
    async fn f70_a_session_and_its_intent_are_one_payment(world) {
        assert_eq!(world.stripe(&without_intent("evt_1", "cs_1")).await, "applied");
        assert_eq!(world.stripe(&with_intent("evt_2", "cs_1", "pi_1")).await, "duplicate");
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "starter", 2000)).await, "duplicate", "known by the event before");
        assert_eq!(world.stripe(&without_intent("evt_4", "cs_1")).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
        assert_eq!(world.history("u").await[0].0.reference.as_ref().unwrap().as_str(), "stripe:cs_1", "as it was first known");
    }

    async fn f70_an_intent_and_its_session_are_one_payment(world) {
        assert_eq!(world.stripe(&with_intent("evt_1", "cs_1", "pi_1")).await, "applied");
        assert_eq!(world.stripe(&without_intent("evt_2", "cs_1")).await, "duplicate");
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "starter", 2000)).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn a_session_learnt_after_its_intent_is_the_same_payment(world) {
        assert_eq!(world.stripe(&intent("evt_1", "pi_1", "starter", 2000)).await, "applied");
        assert_eq!(world.stripe(&with_intent("evt_2", "cs_1", "pi_1")).await, "duplicate");
        assert_eq!(world.stripe(&without_intent("evt_3", "cs_1")).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn a_session_of_the_length_that_stripe_gives_is_read(world) {
        let session = format!("cs_live_{}", "a1".repeat(29));
        assert_eq!(world.stripe(&with_intent("evt_1", &session, "pi_1")).await, "applied");
        assert_eq!(world.stripe(&without_intent("evt_2", &session)).await, "duplicate");
        let other = format!("cs_live_{}", "b2".repeat(29));
        assert_eq!(world.stripe(&with(without_intent("evt_3", &other), "amount_total", json!(1999))).await, "applied");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, [&other[..64]], "the longest an id may be");
        assert_eq!(decide(world, &other[..64], "accepted").await, "applied");
        // 500 + ⌊500 × 19.99 / 20.00⌋
        assert_eq!(world.balance("u").await, "999.75");
    }

    async fn a_session_waiting_for_its_money_is_the_intent_that_is_paid(world) {
        let unpaid = with(without_intent("evt_1", "cs_1"), "payment_status", json!("unpaid"));
        assert_eq!(world.stripe(&unpaid).await, "applied");
        // Nothing shows yet that this is the session's.
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 2000)).await, "applied");
        let mut paid = with_intent("evt_3", "cs_1", "pi_1");
        paid["type"] = json!("checkout.session.async_payment_succeeded");
        assert_eq!(world.stripe(&paid).await, "duplicate");
        assert_eq!(world.stripe(&without_intent("evt_4", "cs_1")).await, "duplicate", "it leads to the intent now");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn what_is_not_paid_yet_is_kept_under_the_intent_once_it_is_known(world) {
        let unpaid = |event: Value| with(event, "payment_status", json!("unpaid"));
        assert_eq!(world.stripe(&unpaid(without_intent("evt_1", "cs_1"))).await, "applied");
        assert_eq!(world.stripe(&unpaid(with_intent("evt_2", "cs_1", "pi_1"))).await, "duplicate");
        assert_eq!(world.stripe(&unpaid(with_intent("evt_3", "cs_1", "pi_1"))).await, "duplicate");
        assert_eq!(world.stripe(&without_intent("evt_4", "cs_1")).await, "applied", "paid");
        assert_eq!(world.stripe(&intent("evt_5", "pi_1", "starter", 2000)).await, "duplicate");
        assert_eq!(world.history("u").await[0].0.reference.as_ref().unwrap().as_str(), "stripe:pi_1");
        assert_eq!(world.stripe(&unpaid(without_intent("evt_6", "cs_2"))).await, "applied");
        assert_eq!(world.stripe(&with_intent("evt_7", "cs_2", "pi_2")).await, "applied");
        assert_eq!(world.stripe(&without_intent("evt_8", "cs_2")).await, "duplicate");
        assert_eq!(world.history("u").await[1].0.reference.as_ref().unwrap().as_str(), "stripe:pi_2");
        assert_eq!(world.entries("u").await, ["purchased 500", "purchased 500"]);
    }

    async fn a_review_is_withdrawn_under_another_name_of_the_payment(world) {
        let short = with(without_intent("evt_1", "cs_1"), "amount_total", json!(2380));
        assert_eq!(world.stripe(&short).await, "applied");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["cs_1"]);
        let shown = with(with_intent("evt_2", "cs_1", "pi_1"), "total_details", json!({"amount_tax": 380}));
        // 23.80 − 3.80 = 20.00
        assert_eq!(world.stripe(&with(shown, "amount_total", json!(2380))).await, "applied");
        assert_eq!(world.heard("u", "credit_request.cancelled", "request").await, ["cs_1"]);
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "starter", 2380)).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn two_payments_that_granted_are_not_made_one(world) {
        assert_eq!(world.stripe(&without_intent("evt_1", "cs_1")).await, "applied");
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 2000)).await, "applied");
        assert_eq!(world.stripe(&with_intent("evt_3", "cs_1", "pi_1")).await, "quarantined: idempotency_conflict");
    }

    async fn names_on_other_terms_are_a_conflict(world) {
        assert_eq!(world.stripe(&without_intent("evt_1", "cs_1")).await, "applied");
        let more = with(with_intent("evt_2", "cs_1", "pi_1"), "amount_total", json!(3000));
        assert_eq!(world.stripe(&more).await, "quarantined: idempotency_conflict");
        // The name was not learnt from it.
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "starter", 3000)).await, "applied");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["pi_1"]);
    }
}
