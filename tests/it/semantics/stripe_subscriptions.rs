//! Subscriptions that Stripe tells of: started, changed, paid, over; in any order (semantics §5, §7).

use super::refunds::refunded;
use crate::world::{instant, scenarios};
use serde_json::{Value, json};

pub(super) const CATALOG: &str = r#"
[plans.team]
allowance = "1000"
grant_on = "cycle"
[plans.pro]
allowance = "5000"
[plans.paid]
allowance = "1000"
grant_on = "payment"
[plans.bigger]
allowance = "3000"
grant_on = "payment"
[addons.seats]
credits_per_unit = "100"
unit_price = "5.00"
[stripe.prices]
price_team = "plans.team"
price_pro = "plans.pro"
price_paid = "plans.paid"
price_bigger = "plans.bigger"
price_seat = "addons.seats"
[[rates]]
meter = "unit"
price = "1"
"#;

pub(super) const START: &str = "2026-01-15T10:00:00Z";

pub(super) fn event(id: &str, kind: &str, at: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": instant(at).as_second(), "data": {"object": object}})
}

/// A subscription to some prices, as of an instant.
pub(super) fn told(id: &str, what: &str, at: &str, items: &[(&str, u32)]) -> Value {
    let item = |(price, quantity): &(&str, u32)| json!({"price": {"id": price, "recurring": {"interval": "month"}}, "quantity": quantity});
    let items: Vec<Value> = items.iter().map(item).collect();
    event(
        id,
        &format!("customer.subscription.{what}"),
        at,
        &json!({
            "id": "sub_1", "status": if what == "deleted" { "canceled" } else { "active" }, "cancel_at_period_end": false,
            "billing_cycle_anchor": instant(START).as_second(), "metadata": {"credit_account": "u"}, "items": {"data": items},
        }),
    )
}

pub(super) fn with(mut event: Value, key: &str, to: Value) -> Value {
    event["data"]["object"][key] = to;
    event
}

/// An invoice that pays until an instant, as newer API versions show it.
pub(super) fn invoice(id: &str, invoice: &str, at: &str, until: &str) -> Value {
    event(
        id,
        "invoice.paid",
        at,
        &json!({
            "id": invoice, "amount_paid": 5000, "currency": "usd",
            "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"credit_account": "u"}}},
            "lines": {"data": [{"period": {"end": instant(until).as_second()}, "pricing": {"price_details": {"price": "price_paid"}}}]},
        }),
    )
}

scenarios! { CATALOG;
    async fn a_subscription_of_stripe_starts_and_renews(world) {
        world.at(START).await;
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_team", 1), ("price_seat", 2)])).await, "applied");
        // 1000 and 2 × 100
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 200"]);
        world.tick("2026-02-15T09:59:59Z").await;
        assert_eq!(world.uses("u", "unit", "700").await, "applied");
        world.tick("2026-02-15T10:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 200"]);
        assert_eq!(world.stripe(&told("evt_2", "updated", "2026-02-15T10:00:01Z", &[("price_team", 1), ("price_seat", 2)])).await, "duplicate");
    }

    async fn an_upgrade_grants_the_difference(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await;
        assert_eq!(world.stripe(&told("evt_2", "updated", "2026-01-16T10:00:00Z", &[("price_pro", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "5000");
    }

    async fn f79_an_older_event_changes_nothing(world) {
        world.at("2026-01-17T10:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_2", "updated", "2026-01-16T10:00:00Z", &[("price_pro", 1)])).await, "applied");
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await, "duplicate");
        assert_eq!(world.balance("u").await, "5000");
        world.tick("2026-02-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "5000", "still the newer plan");
    }

    async fn f79_deleted_before_created_never_starts(world) {
        world.at("2026-01-17T10:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_2", "deleted", "2026-01-16T10:00:00Z", &[("price_team", 1)])).await, "applied");
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await, "duplicate");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_deleted_subscription_ends_now(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await;
        assert_eq!(world.stripe(&told("evt_2", "deleted", "2026-01-16T10:00:00Z", &[("price_team", 1)])).await, "applied");
        assert_eq!(world.entries("u").await, ["allowance 1000", "forfeited 1000"]);
        assert_eq!(world.stripe(&told("evt_3", "deleted", "2026-01-17T10:00:00Z", &[("price_team", 1)])).await, "duplicate");
    }

    async fn one_that_is_cancelled_runs_to_its_end(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await;
        let ends = with(told("evt_2", "updated", "2026-01-16T10:00:00Z", &[("price_team", 1)]), "cancel_at_period_end", json!(true));
        assert_eq!(world.stripe(&ends).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        world.tick("2026-02-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.stripe(&told("evt_3", "deleted", "2026-02-15T10:00:00Z", &[("price_team", 1)])).await, "duplicate");
    }

    async fn one_that_is_not_paid_yet_has_not_begun(world) {
        world.at(START).await;
        let incomplete = with(told("evt_1", "created", START, &[("price_team", 1)]), "status", json!("incomplete"));
        assert_eq!(world.stripe(&incomplete).await, "ignored");
        assert_eq!(world.stripe(&told("evt_2", "updated", START, &[("price_team", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn prices_of_others_are_ignored(world) {
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_of_others", 1)])).await, "ignored");
        let nobodys = with(told("evt_2", "created", START, &[("price_of_others", 1)]), "metadata", json!({}));
        assert_eq!(world.stripe(&nobodys).await, "ignored");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_plan_by_payment_waits_for_its_invoice(world) {
        world.at(START).await;
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_paid", 1), ("price_seat", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await, "applied");
        // 1000 and 100
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 100"]);
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", START, "2026-02-15T10:00:00Z")).await, "duplicate");
        world.tick("2026-02-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "0", "the next cycle is not paid yet");
        assert_eq!(world.stripe(&invoice("evt_4", "in_2", "2026-02-15T11:00:00Z", "2026-03-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "1100");
    }

    async fn an_invoice_before_its_subscription_waits_for_it(world) {
        world.at(START).await;
        assert_eq!(world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await, "waiting");
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn an_upgrade_by_payment_waits_for_its_invoice(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await;
        assert_eq!(world.stripe(&told("evt_3", "updated", "2026-01-16T10:00:00Z", &[("price_bigger", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.stripe(&invoice("evt_4", "in_2", "2026-01-16T10:01:00Z", "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "3000");
    }

    async fn a_late_payment_of_a_cycle_that_is_over_still_grants(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.tick("2026-02-16T10:00:00Z").await;
        assert_eq!(world.stripe(&invoice("evt_2", "in_2", "2026-02-16T10:00:00Z", "2026-03-15T10:00:00Z")).await, "applied");
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", START, "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "2000");
    }

    async fn an_invoice_is_refunded_like_any_payment(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await;
        assert_eq!(world.uses("u", "unit", "800").await, "applied");
        // Newer invoices do not say which PaymentIntent paid them.
        assert_eq!(world.stripe(&refunded("evt_3", "pi_1", 2500)).await, "waiting");
        let paid = event("evt_4", "invoice_payment.paid", START, &json!({"id": "inpay_1", "invoice": "in_1", "amount_paid": 5000,
            "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}));
        assert_eq!(world.stripe(&paid).await, "duplicate");
        // 1000 × 25 / 50 = 500, of which 200 are left
        assert_eq!(world.entries_after("u", 2).await, ["clawed_back 200", "debt_incurred 300"]);
    }

    async fn a_payment_that_fails_first_grants_when_it_is_made(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        let mut failed = with(invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z"), "amount_due", json!(5000));
        failed["type"] = json!("invoice.payment_failed");
        assert_eq!(world.stripe(&failed).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", START, "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn an_invoice_of_a_plan_by_cycle_grants_nothing_more(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await;
        assert_eq!(world.stripe(&invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn older_homes_of_the_same_fields_are_read(world) {
        world.at(START).await;
        let mut old = told("evt_1", "created", START, &[]);
        old["data"]["object"]["items"] = json!({"data": [{"plan": {"id": "price_paid", "interval": "month"}, "quantity": 1}]});
        assert_eq!(world.stripe(&old).await, "applied");
        let mut paid = invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z");
        let object = &mut paid["data"]["object"];
        object.as_object_mut().unwrap().remove("parent");
        object["subscription"] = json!("sub_1");
        object["subscription_details"] = json!({"metadata": {"credit_account": "u"}});
        object["payment_intent"] = json!("pi_1");
        assert_eq!(world.stripe(&paid).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.stripe(&refunded("evt_3", "pi_1", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_fee_beside_the_plan_pays_for_no_cycle(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        let mut fee = invoice("evt_2", "in_9", START, "2026-02-15T10:00:00Z");
        fee["data"]["object"]["lines"]["data"][0]["pricing"]["price_details"]["price"] = json!("price_setup");
        assert_eq!(world.stripe(&fee).await, "applied");
        let bare = with(invoice("evt_3", "in_10", START, "2026-02-15T10:00:00Z"), "lines", json!({"data": []}));
        assert_eq!(world.stripe(&bare).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn one_that_is_unpaid_may_still_be_paid(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        let unpaid = with(told("evt_2", "updated", "2026-01-16T10:00:00Z", &[("price_paid", 1)]), "status", json!("unpaid"));
        assert_eq!(world.stripe(&unpaid).await, "duplicate");
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", START, "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn the_events_of_an_invoices_payment_add_its_names(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        let mut failed = with(invoice("evt_2", "in_1", START, "2026-02-15T10:00:00Z"), "amount_due", json!(5000));
        failed["type"] = json!("invoice.payment_failed");
        world.stripe(&with(failed, "payment_intent", json!("pi_1"))).await;
        let attempt = event("evt_3", "payment_intent.payment_failed", START,
            &json!({"id": "pi_1", "amount": 5000, "currency": "usd", "metadata": {}, "latest_charge": "ch_1"}));
        assert_eq!(world.stripe(&attempt).await, "duplicate");
    }
}
