//! Plans that grant by payment: what each invoice brings, and what nobody paid for does not come (semantics §6, §7).

use super::refunds::refunded;
use super::stripe_subscriptions::{START, invoice, told, with};
use crate::world::scenarios;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.paid]
allowance = "1000"
grant_on = "payment"
[plans.free]
allowance = "0"
[plans.share]
allowance = "1000"
grant_on = "payment"
prorate = true
[plans.large]
allowance = "3000"
grant_on = "payment"
prorate = true
[plans.small-year]
allowance = "100"
interval = "year"
allowance_every = "month"
grant_on = "payment"
[plans.large-year]
allowance = "1000"
interval = "year"
allowance_every = "month"
grant_on = "payment"
[addons.seats]
credits_per_unit = "100"
unit_price = "5.00"
[stripe.prices]
price_paid = "plans.paid"
price_free = "plans.free"
price_share = "plans.share"
price_large = "plans.large"
price_small_year = "plans.small-year"
price_large_year = "plans.large-year"
price_seat = "addons.seats"
[[rates]]
meter = "unit"
price = "1"
"#;

/// Told of a subscription that is paid by the year.
pub(super) fn by_the_year(mut event: Value) -> Value {
    for item in event["data"]["object"]["items"]["data"].as_array_mut().unwrap() {
        item["price"]["recurring"]["interval"] = json!("year");
    }
    event
}

/// An older invoice, which names the intent that paid it.
fn paid_by(invoice: Value, intent: &str) -> Value {
    with(invoice, "payment_intent", json!(intent))
}

scenarios! { CATALOG;
    async fn proration_counts_from_the_start_however_late_it_is_paid(world) {
        // 15.5 of 31 days after the anchor.
        world.at("2026-01-30T22:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_1", "created", "2026-01-30T22:00:00Z", &[("price_share", 1), ("price_seat", 1)])).await, "applied");
        world.at("2026-02-02T00:00:00Z").await;
        assert_eq!(world.stripe(&invoice("evt_2", "in_1", "2026-02-02T00:00:00Z", "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 500", "addon 50"]);
    }

    async fn renewals_are_whole_however_late_they_are_paid(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_share", 1)])).await;
        world.at("2026-01-15T10:00:05Z").await;
        assert_eq!(world.stripe(&invoice("evt_2", "in_1", "2026-01-15T10:00:05Z", "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 1000"]);
        world.tick("2026-03-01T10:00:00Z").await;
        assert_eq!(world.stripe(&invoice("evt_3", "in_2", "2026-03-01T10:00:00Z", "2026-03-15T10:00:00Z")).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 1000"]);
    }

    async fn a_prorated_upgrade_counts_from_its_payment(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_share", 1)])).await;
        world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await;
        world.at("2026-01-20T10:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_3", "updated", "2026-01-20T10:00:00Z", &[("price_large", 1)])).await, "applied");
        world.at("2026-01-30T22:00:00Z").await;
        assert_eq!(world.stripe(&invoice("evt_4", "in_2", "2026-01-30T22:00:00Z", "2026-02-15T10:00:00Z")).await, "applied");
        // (3000 − 1000) × 15.5 / 31
        assert_eq!(world.grants("u").await, ["plan 1000", "plan 1000"]);
    }

    async fn fewer_units_within_a_paid_year_stay_to_its_end(world) {
        world.at(START).await;
        world.stripe(&by_the_year(told("evt_1", "created", START, &[("price_small_year", 1), ("price_seat", 2)]))).await;
        world.stripe(&invoice_of_year("evt_2", "in_1", START)).await;
        let fewer = by_the_year(told("evt_3", "updated", "2026-03-10T10:00:00Z", &[("price_small_year", 1), ("price_seat", 1)]));
        world.at("2026-03-10T10:00:00Z").await;
        assert_eq!(world.stripe(&fewer).await, "applied");
        world.tick("2026-12-15T10:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 200"]);
        world.tick("2027-01-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "0", "the next year is not paid yet");
    }

    async fn an_upgrade_from_a_plan_that_gives_nothing_counts_from_its_payment(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_free", 1)])).await;
        world.at("2026-01-30T22:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_2", "updated", "2026-01-30T22:00:00Z", &[("price_share", 1)])).await, "applied");
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", "2026-01-30T22:00:00Z", "2026-02-15T10:00:00Z")).await, "applied");
        // 1000 × 15.5 / 31
        assert_eq!(world.grants("u").await, ["plan 500"]);
    }

    async fn a_cycle_that_is_reset_by_hand_was_bought_by_its_payment(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.stripe(&paid_by(invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z"), "pi_1")).await;
        world.at("2026-01-20T00:00:00Z").await;
        assert_eq!(world.uses("u", "unit", "400").await, "applied");
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-20T00:00:00Z", "manual": true, "subscription": "sub_1"})).await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "used 400", "forfeited 600", "allowance 1000"]);
        // 2000 × 25 / 50 = 1000, of which 600 had ended unused
        assert_eq!(world.stripe(&refunded("evt_3", "pi_1", 2500)).await, "applied");
        assert_eq!(world.entries_after("u", 4).await, ["clawed_back 1000"]);
    }

    async fn a_cycle_that_is_reset_by_hand_after_its_refund_is_taken_back(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.stripe(&paid_by(invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z"), "pi_1")).await;
        assert_eq!(world.stripe(&refunded("evt_3", "pi_1", 5000)).await, "applied");
        world.at("2026-01-20T00:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-20T00:00:00Z", "manual": true, "subscription": "sub_1"})).await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "clawed_back 1000", "allowance 1000", "clawed_back 1000"]);
    }

    async fn one_that_is_paid_by_another_interval_does_not_take_over(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await;
        for (id, price) in [("evt_3", "price_large_year"), ("evt_4", "price_paid")] {
            let yearly = by_the_year(told(id, "updated", "2026-01-16T10:00:00Z", &[(price, 1)]));
            assert_eq!(world.stripe(&yearly).await, "rejected: unknown_plan");
        }
        assert_eq!(world.balance("u").await, "1000");
        // That it is over is heeded all the same.
        assert_eq!(world.stripe(&by_the_year(told("evt_5", "deleted", "2026-01-17T10:00:00Z", &[("price_large_year", 1)]))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }
}

/// An invoice that pays to the end of the first year.
fn invoice_of_year(id: &str, name: &str, at: &str) -> Value {
    let mut paid = invoice(id, name, at, "2027-01-15T10:00:00Z");
    paid["data"]["object"]["lines"]["data"][0]["pricing"]["price_details"]["price"] = json!("price_small_year");
    paid
}
