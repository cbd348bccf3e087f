//! Instant purchases through Stripe: granted once, when they are paid and the price fits (semantics §5, §9).

use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

pub(super) const CATALOG: &str = r#"
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
pub(super) fn checkout(event: &str, payment: &str, package: &str, minor: u32, tax: u32) -> Value {
    json!({"id": event, "type": "checkout.session.completed", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {
        "id": format!("cs_{payment}"), "mode": "payment", "payment_status": "paid", "amount_total": minor, "currency": "usd",
        "total_details": {"amount_tax": tax}, "payment_intent": payment,
        "metadata": {"credit_account": "u", "credit_package": package},
    }}})
}

/// The payment's own event, which does not show the tax.
pub(super) fn intent(event: &str, payment: &str, package: &str, minor: u32) -> Value {
    json!({"id": event, "type": "payment_intent.succeeded", "livemode": false, "created": instant("2026-01-01T00:00:00Z").as_second(),
    "data": {"object": {
        "id": payment, "amount": minor, "amount_received": minor, "currency": "usd",
        "metadata": {"credit_account": "u", "credit_package": package},
    }}})
}

/// A paid checkout that does not say which PaymentIntent it has.
pub(super) fn without_intent(event: &str, session: &str) -> Value {
    let mut seen = checkout(event, "unsaid", "starter", 2000, 0);
    seen["data"]["object"]["id"] = json!(session);
    with(seen, "payment_intent", json!(null))
}

/// The same checkout, naming its PaymentIntent.
pub(super) fn with_intent(event: &str, session: &str, payment: &str) -> Value {
    with(without_intent(event, session), "payment_intent", json!(payment))
}

/// A manual request of that id for 9999 credits at 1.00.
pub(super) fn manual(request: &str) -> Value {
    json!({"request": request, "method": "bank_transfer", "requested_by": "mia", "credits": "9999", "price": "1.00", "currency": "USD"})
}

pub(super) fn with(mut event: Value, key: &str, to: Value) -> Value {
    event["data"]["object"][key] = to;
    event
}

pub(super) async fn decide(world: &mut World, request: &str, decision: &str) -> String {
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

    async fn f70_three_events_of_one_payment_grant_once(world) {
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

    async fn f83_another_currency_waits_for_staff(world) {
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

    async fn f73_an_unpaid_checkout_grants_when_it_is_paid(world) {
        assert_eq!(world.stripe(&with(checkout("evt_1", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        let mut paid = checkout("evt_2", "pi_1", "starter", 2000, 0);
        paid["type"] = json!("checkout.session.async_payment_succeeded");
        assert_eq!(world.stripe(&paid).await, "applied");
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.stripe(&with(checkout("evt_3", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"))).await, "duplicate");
    }

    async fn f73_a_checkout_that_fails_later_grants_nothing(world) {
        world.stripe(&with(checkout("evt_1", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"))).await;
        let mut failed = with(checkout("evt_2", "pi_1", "starter", 2000, 0), "payment_status", json!("unpaid"));
        failed["type"] = json!("checkout.session.async_payment_failed");
        assert_eq!(world.stripe(&failed).await, "applied");
        assert_eq!(world.entries("u").await, Vec::<String>::new());
    }

    async fn f78_a_failure_after_the_money_was_booked_is_seen_by_somebody(world) {
        world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await;
        let mut failed = checkout("evt_2", "pi_1", "starter", 2000, 0);
        failed["type"] = json!("checkout.session.async_payment_failed");
        assert_eq!(world.stripe(&failed).await, "quarantined: idempotency_conflict");
        assert_eq!(world.balance("u").await, "500", "a person decides");
    }

    async fn f80_an_event_of_a_month_ago_is_recorded_now(world) {
        world.at("2026-02-01T00:00:00Z").await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        let (entry, _) = world.history("u").await.pop().unwrap();
        assert_eq!(entry.recorded_at, instant("2026-02-01T00:00:00Z"));
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

    async fn f86_an_event_id_with_other_content_is_a_conflict(world) {
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

    async fn b14_f81_events_of_the_other_mode_are_set_aside(world) {
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
