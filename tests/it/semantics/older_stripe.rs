//! Older versions of Stripe's API: a webhook keeps the version it was made with, and its bodies their shapes
//! (semantics §5, §6, §7; message contract, Webhooks).

use super::purchases::{checkout, intent, with};
use super::refunds::{numbers, refund};
use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.team]
allowance = "1000"
grant_on = "payment"
[stripe.prices]
price_team = "plans.team"
gold = "plans.team"
[[rates]]
meter = "unit"
price = "1"
"#;

/// When the bodies were made, within seconds, and until when their invoice pays.
const START: &str = "2026-01-15T10:00:00Z";
const END: &str = "2026-02-15T10:00:00Z";
/// When they are delivered.
const NOW: &str = "2026-01-15T10:01:00Z";

/// Whole events, in the order they were made.
const BODIES_2020: &str = include_str!("../../fixtures/stripe/2020-08-27.json");
const BODIES_2022: &str = include_str!("../../fixtures/stripe/2022-08-01.json");

/// Delivers them; what became of each.
async fn deliver(world: &mut World, version: &str, bodies: &str) -> Vec<String> {
    let events: Vec<Value> = serde_json::from_str(bodies).unwrap();
    let mut outcomes = Vec::new();
    for event in &events {
        assert_eq!(event["api_version"], version);
        let outcome = world.stripe(event).await;
        outcomes.push(format!("{}: {outcome}", event["type"].as_str().unwrap()));
    }
    outcomes
}

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": instant(START).as_second(), "data": {"object": object}})
}

/// A charge of 20.00 with the refunds it shows, which add up to `minor`.
fn charge(id: &str, minor: u32, refunds: &Value) -> Value {
    let object = json!({"id": "ch_pi_1", "object": "charge", "amount": 2000, "amount_refunded": minor, "currency": "usd",
        "payment_intent": "pi_1", "refunds": {"object": "list", "data": refunds}});
    event(id, "charge.refunded", &object)
}

scenarios! { CATALOG;
    async fn f82_bodies_of_2020_08_27_do_what_they_say(world) {
        world.at(NOW).await;
        let outcomes = deliver(world, "2020-08-27", BODIES_2020).await;
        let expected = [
            "checkout.session.completed: applied",
            "payment_intent.succeeded: duplicate",
            "charge.refunded: applied",
            "charge.refund.updated: duplicate",
            "customer.subscription.created: applied",
            "invoice.paid: applied",
            "charge.dispute.created: applied",
        ];
        assert_eq!(outcomes, expected);
        // 500 × 10 / 20 are taken back; the dispute is about all of the 20, so the other 250 are frozen.
        assert_eq!(world.entries("u").await, ["purchased 500", "clawed_back 250", "allowance 1000", "frozen 250"]);
        // 500 − 250 + 1000, and 250 less.
        assert_eq!(numbers(world).await, ["1250", "1000", "0"]);
        let again = deliver(world, "2020-08-27", BODIES_2020).await;
        assert!(again.iter().all(|outcome| outcome.ends_with(": duplicate")), "{again:?}");
    }

    async fn f82_bodies_of_2022_08_01_do_what_they_say(world) {
        world.at(NOW).await;
        let outcomes = deliver(world, "2022-08-01", BODIES_2022).await;
        let expected = [
            "checkout.session.completed: applied",
            "payment_intent.succeeded: duplicate",
            "charge.refunded: applied",
            "charge.refund.updated: duplicate",
            "customer.subscription.created: applied",
            "invoice.paid: applied",
            "charge.refunded: applied",
        ];
        assert_eq!(outcomes, expected);
        // 500 × 10 / 20 of the package, and all that the invoice brought.
        assert_eq!(world.entries("u").await, ["purchased 500", "clawed_back 250", "allowance 1000", "clawed_back 1000"]);
        assert_eq!(numbers(world).await, ["250", "250", "0"]);
        let again = deliver(world, "2022-08-01", BODIES_2022).await;
        assert!(again.iter().all(|outcome| outcome.ends_with(": duplicate")), "{again:?}");
    }

    async fn f82_every_charge_an_older_intent_shows_leads_to_it(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        let by_charge = |id: &str, name: &str, charge: &str| {
            let alone = with(refund(id, name, "pi_1", 500, "succeeded"), "payment_intent", json!(null));
            with(alone, "charge", json!(charge))
        };
        assert_eq!(world.stripe(&by_charge("evt_2", "re_1", "ch_2")).await, "waiting", "no event has shown this charge");
        let shown = with(intent("evt_3", "pi_1", "starter", 2000), "charges", json!({"data": [{"id": "ch_2"}, {"id": "ch_1"}]}));
        assert_eq!(world.stripe(&shown).await, "duplicate");
        // 500 × 5 / 20
        assert_eq!(world.balance("u").await, "375");
        assert_eq!(world.stripe(&by_charge("evt_4", "re_2", "ch_1")).await, "applied", "the attempt before is the payment's too");
        assert_eq!(world.balance("u").await, "250");
    }

    async fn f82_refunds_that_a_charge_shows_are_those_of_their_own_events(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "starter", 2000, 0)).await, "applied");
        world.at(NOW).await;
        // Old refunds have no state: they had happened.
        let first = json!({"id": "re_1", "amount": 500, "currency": "usd", "created": instant(START).as_second()});
        let second = json!({"id": "re_2", "amount": 1000, "currency": "usd", "created": instant(START).as_second(), "status": "pending"});
        assert_eq!(world.stripe(&charge("evt_2", 1500, &json!([second, first]))).await, "applied");
        // 500 × 15 / 20 = 375
        assert_eq!(world.entries("u").await, ["purchased 500", "clawed_back 375"]);
        assert_eq!(world.stripe(&refund("evt_3", "re_1", "pi_1", 500, "succeeded")).await, "duplicate");
        let more = refund("evt_4", "re_2", "pi_1", 2000, "succeeded");
        assert_eq!(world.stripe(&more).await, "quarantined: idempotency_conflict", "it was 10.00");
        assert_eq!(world.stripe(&refund("evt_5", "re_2", "pi_1", 1000, "failed")).await, "applied");
        // What failed comes back: 500 × 10 / 20.
        assert_eq!(world.entries_after("u", 2).await, ["returned 250"]);
        assert_eq!(world.balance("u").await, "375");
    }

    async fn f82_an_invoice_from_before_prices_and_payment_intents_pays_for_its_plan(world) {
        world.at(NOW).await;
        let (start, end) = (instant(START).as_second(), instant(END).as_second());
        let plan = json!({"id": "gold", "object": "plan", "interval": "month", "interval_count": 1});
        let subscribed = json!({"id": "sub_1", "object": "subscription", "status": "active", "billing_cycle_anchor": start,
            "metadata": {"credit_account": "u"}, "plan": plan, "quantity": 1, "items": {"data": [{"plan": plan, "quantity": 1}]}});
        assert_eq!(world.stripe(&event("evt_1", "customer.subscription.created", &subscribed)).await, "applied");
        assert_eq!(world.balance("u").await, "0", "nothing is paid");
        let invoice = json!({"id": "in_1", "object": "invoice", "amount_paid": 4900, "currency": "usd", "subscription": "sub_1",
            "charge": "ch_1", "metadata": {}, "lines": {"data": [{"period": {"start": start, "end": end}, "plan": plan}]}});
        assert_eq!(world.stripe(&event("evt_2", "invoice.paid", &invoice)).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 1000"]);
        let refunded = json!({"id": "ch_1", "object": "charge", "amount": 4900, "amount_refunded": 2450, "currency": "usd", "payment_intent": null});
        assert_eq!(world.stripe(&event("evt_3", "charge.refunded", &refunded)).await, "applied");
        // 1000 × 24.50 / 49.00
        assert_eq!(world.entries("u").await, ["allowance 1000", "clawed_back 500"]);
    }
}
