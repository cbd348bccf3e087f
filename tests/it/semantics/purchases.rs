//! Instant purchases through Stripe: granted once, when they are paid and the price fits (semantics §5, §9).

use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[packages.bonus]
credits = "500"
bonus = "50"
price = "20.00"
[packages.plus]
credits = "1000"
bonus = "100"
price = "30.00"
expires_after = "P1M"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "open"
price = "1"
insufficient = "allow"
"#;

/// A paid checkout of the package at `minor` cents, `tax` of them tax.
fn checkout(event: &str, payment: &str, package: &str, minor: u32, tax: u32) -> Value {
    json!({"id": event, "type": "checkout.session.completed", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {
        "id": format!("cs_{payment}"), "mode": "payment", "payment_status": "paid", "amount_total": minor, "currency": "usd",
        "total_details": {"amount_tax": tax}, "payment_intent": payment,
        "metadata": {"credit_account": "u", "credit_package": package},
    }}})
}

/// The payment's own event, which does not show the tax.
fn intent(event: &str, payment: &str, package: &str, minor: u32) -> Value {
    json!({"id": event, "type": "payment_intent.succeeded", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {
        "id": payment, "amount": minor, "amount_received": minor, "currency": "usd",
        "metadata": {"credit_account": "u", "credit_package": package},
    }}})
}

/// A paid checkout that does not say which PaymentIntent it has.
fn without_intent(event: &str, session: &str) -> Value {
    let mut seen = checkout(event, "unsaid", "starter", 2000, 0);
    seen["data"]["object"]["id"] = json!(session);
    with(seen, "payment_intent", json!(null))
}

/// The same checkout, naming its PaymentIntent.
fn with_intent(event: &str, session: &str, payment: &str) -> Value {
    with(without_intent(event, session), "payment_intent", json!(payment))
}

/// A manual request of that id for 9999 credits at 1.00.
fn manual(request: &str) -> Value {
    json!({"request": request, "method": "bank_transfer", "requested_by": "mia", "credits": "9999", "price": "1.00", "currency": "USD"})
}

fn with(mut event: Value, key: &str, to: Value) -> Value {
    event["data"]["object"][key] = to;
    event
}

async fn decide(world: &mut World, request: &str, decision: &str) -> String {
    world.staff("bob", "approver").await;
    world.tell("credit_request.decided", "u", json!({"request": request, "decision": decision, "decided_by": "bob"})).await
}

scenarios! { CATALOG;
    async fn a_paid_checkout_grants_its_package(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        assert_eq!(world.grants("u").await, ["purchased 500"]);
        let history = world.history("u").await;
        assert_eq!(history[0].0.reference.as_ref().unwrap().as_str(), "stripe:pi_1");
    }

    async fn three_events_of_one_payment_grant_once(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 2000)).await, "duplicate");
        assert_eq!(world.stripe(&checkout("evt_3", "pi_1", "starter", 2000, 0)).await, "duplicate");
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "duplicate", "the first once more");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn tax_is_part_of_what_was_paid_but_not_of_the_price(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2380, 380)).await, "applied");
        // 23.80 − 3.80 = 20.00; 23.80 / 500 = 0.0476 a credit.
        assert_eq!(world.lots("u").await[0].terms.cost_basis.to_string(), "0.0476");
    }

    async fn a_bonus_is_a_second_promotional_grant(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "plus", 3000, 0)).await, "applied");
        assert_eq!(world.grants("u").await, ["bonus 100", "purchased 1000"]);
        assert_eq!(world.uses("u", "unit", "150").await, "applied");
        // 100 of the bonus, 50 of what was bought.
        assert_eq!(world.grants("u").await, ["purchased 950"]);
    }

    async fn credits_of_a_package_end_after_its_span(world) {
        world.at("2026-01-31T12:00:00Z").await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "plus", 3000, 0)).await, "applied");
        // A month after 31 January is 28 February.
        world.tick("2026-02-28T11:59:59Z").await;
        assert_eq!(world.balance("u").await, "1100");
        world.tick("2026-02-28T12:00:00Z").await;
        assert_eq!(world.entries("u").await, ["purchased 1000", "granted 100", "expired 1000", "expired 100"]);
    }

    async fn several_pieces_are_bought_at_once(world) {
        let three = json!({"credit_account": "u", "credit_package": "plus", "credit_quantity": "3"});
        assert_eq!(world.stripe(&with(checkout("evt_1", "pi_1", "plus", 9000, 0), "metadata", three)).await, "applied");
        // 3 × 1000 + 3 × 100 for 3 × 30.00
        assert_eq!(world.grants("u").await, ["bonus 300", "purchased 3000"]);
    }

    async fn another_amount_waits_for_staff(world) {
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

    async fn a_session_and_its_intent_are_one_payment(world) {
        assert_eq!(world.stripe(&without_intent("evt_1", "cs_1")).await, "applied");
        assert_eq!(world.stripe(&with_intent("evt_2", "cs_1", "pi_1")).await, "duplicate");
        assert_eq!(world.stripe(&intent("evt_3", "pi_1", "starter", 2000)).await, "duplicate", "known by the event before");
        assert_eq!(world.stripe(&without_intent("evt_4", "cs_1")).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
        assert_eq!(world.history("u").await[0].0.reference.as_ref().unwrap().as_str(), "stripe:cs_1", "as it was first known");
    }

    async fn an_intent_and_its_session_are_one_payment(world) {
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

    async fn at_least_takes_more_but_not_less(world) {
        world.settings(json!({"price_check": "at_least"})).await;
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2100, 0)).await;
        assert_eq!(world.balance("u").await, "500");
        world.stripe(&checkout("evt_2", "pi_2", "starter", 1999, 0)).await;
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["pi_2"]);
    }

    async fn exact_takes_no_more_either(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2001, 0)).await;
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["pi_1"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied");
        // min(500, ⌊500 × 20.01 / 20.00⌋)
        assert_eq!(world.balance("u").await, "500");
    }

    async fn review_stops_every_payment(world) {
        world.settings(json!({"price_check": "review"})).await;
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await;
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.heard("u", "credit_request.pending", "reason").await, ["every payment is reviewed"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied");
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.stripe(&intent("evt_2", "pi_1", "starter", 2000)).await, "duplicate");
        world.stripe(&checkout("evt_3", "pi_2", "starter", 1000, 0)).await;
        let reasons = world.heard("u", "credit_request.pending", "reason").await;
        assert_eq!(reasons[1], "paid 10 USD before tax; the package costs 20 USD");
    }

    async fn another_currency_waits_for_staff(world) {
        world.stripe(&with(checkout("evt_1", "pi_1", "starter", 2000, 0), "currency", json!("jpy"))).await;
        assert_eq!(world.balance("u").await, "0");
        let reasons = world.heard("u", "credit_request.pending", "reason").await;
        assert_eq!(reasons, ["paid 2000 JPY before tax; the package costs 20 USD"]);
        // 2000 JPY is no part of 20 USD that could be counted.
        assert_eq!(decide(world, "pi_1", "accepted").await, "rejected: invalid_amount");
        let worth = json!({"request": "pi_1", "decision": "accepted", "decided_by": "bob", "received_amount": "13.00"});
        assert_eq!(world.tell("credit_request.decided", "u", worth.clone()).await, "applied");
        // ⌊500 × 13 / 20⌋
        assert_eq!(world.balance("u").await, "325");
        assert_eq!(world.tell("credit_request.decided", "u", worth).await, "duplicate");
    }

    async fn another_currency_can_be_rejected_as_it_is(world) {
        world.stripe(&with(intent("evt_1", "pi_1", "starter", 2000), "currency", json!("eur"))).await;
        let reasons = world.heard("u", "credit_request.pending", "reason").await;
        assert_eq!(reasons, ["paid 20 EUR, tax not shown; the package costs 20 USD"], "the same number is not the same money");
        assert_eq!(decide(world, "pi_1", "rejected").await, "applied");
    }

    async fn a_payment_for_nothing_named_is_refused_and_leaves_room(world) {
        let unnamed = json!({"credit_account": "u"});
        assert_eq!(world.stripe(&with(intent("evt_1", "pi_1", "starter", 2000), "metadata", unnamed)).await, "rejected: unknown_package");
        assert_eq!(world.heard("u", "message.rejected", "reasons").await, [r#"["unknown_package"]"#]);
        let referenced = with(with_intent("evt_2", "cs_1", "pi_1"), "metadata", json!({}));
        assert_eq!(world.stripe(&with(referenced, "client_reference_id", json!("u"))).await, "rejected: unknown_package");
        assert_eq!(world.stripe(&with_intent("evt_3", "cs_1", "pi_1")).await, "applied", "now it is named");
        let unnamed = with(intent("evt_4", "pi_1", "starter", 2000), "metadata", json!({"credit_account": "u"}));
        assert_eq!(world.stripe(&unnamed).await, "duplicate", "what it is for is known");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn an_unpaid_checkout_grants_when_it_is_paid(world) {
        assert_eq!(world.stripe(&with(checkout("evt_1", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        let mut paid = checkout("evt_2", "pi_1", "starter", 2000, 0);
        paid["type"] = json!("checkout.session.async_payment_succeeded");
        assert_eq!(world.stripe(&paid).await, "applied");
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.stripe(&with(checkout("evt_3", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"))).await, "duplicate");
    }

    async fn a_checkout_without_payment_counts_as_paid(world) {
        let free = with(checkout("evt_1", "pi_1", "starter", 0, 0), "payment_status", json!("no_payment_required"));
        assert_eq!(world.stripe(&free).await, "applied");
        // Paid 0 of 20.00: for staff to see, not granted in silence.
        assert_eq!((world.balance("u").await, world.heard("u", "credit_request.pending", "request").await), ("0".into(), vec!["pi_1".into()]));
    }

    async fn a_payment_on_other_terms_is_a_conflict(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await;
        assert_eq!(world.stripe(&checkout("evt_2", "pi_1", "starter", 3000, 0)).await, "quarantined: idempotency_conflict");
        assert_eq!(world.stripe(&checkout("evt_3", "pi_1", "plus", 2000, 0)).await, "quarantined: idempotency_conflict");
        assert_eq!(world.stripe(&with(checkout("evt_4", "pi_1", "starter", 2000, 0), "currency", json!("eur"))).await, "quarantined: idempotency_conflict");
        assert_eq!(world.entries("u").await, ["purchased 500"]);
    }

    async fn an_event_id_with_other_content_is_a_conflict(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_2", "starter", 2000, 0)).await, "quarantined: idempotency_conflict");
    }

    async fn an_unknown_package_is_refused(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "gone", 2000, 0)).await, "rejected: unknown_package");
    }

    async fn what_is_not_ours_is_ignored(world) {
        assert_eq!(world.stripe(&with(checkout("evt_1", "pi_1", "starter", 2000, 0), "metadata", json!({}))).await, "ignored");
        assert_eq!(world.stripe(&with(checkout("evt_2", "pi_1", "starter", 2000, 0), "mode", json!("subscription"))).await, "ignored");
    }

    async fn events_of_the_other_mode_are_set_aside(world) {
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "quarantined: not_permitted");
        assert_eq!(world.balance("u").await, "0");
        world.settings(json!({"four_eyes": false})).await;
        assert_eq!(world.stripe(&checkout("evt_2", "pi_1", "starter", 2000, 0)).await, "quarantined: not_permitted", "absent stays");
        world.settings(json!({"livemode": null})).await;
        assert_eq!(world.stripe(&checkout("evt_3", "pi_1", "starter", 2000, 0)).await, "applied", "null unsets: either mode");
    }

    async fn a_forged_event_is_set_aside(world) {
        let body = checkout("evt_1", "pi_1", "starter", 2000, 0).to_string().into_bytes();
        let forged = credit_ledger::message::sign(b"whsec_guessed", instant("2026-01-01T00:00:00Z").as_second(), &body).unwrap();
        assert_eq!(world.webhook(body, forged).await, "quarantined: bad_signature");
    }

    async fn a_purchase_repays_debt(world) {
        world.open("u").await;
        assert_eq!(world.uses("u", "open", "120").await, "applied");
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await;
        // 500 − 120
        assert_eq!((world.balance("u").await, world.debt("u").await), ("380".into(), "0".into()));
    }

    async fn payments_go_on_when_spending_is_off(world) {
        world.settings(json!({"credit_payments": false})).await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        assert_eq!(world.balance("u").await, "500");
    }

    async fn a_payment_to_a_frozen_account_is_credited(world) {
        world.open("u").await;
        world.done("account.frozen", "u", json!({"reason": "fraud", "actor": "ann"})).await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        assert_eq!(world.available("u").await, "500");
    }
}
