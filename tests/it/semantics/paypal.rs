//! PayPal's payments, refunds, disputes and subscriptions (semantics §5, §6, §7; message contract, Webhooks).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.pack]
credits = "1000"
price = "100.00"
[plans.paid]
allowance = "1000"
interval = "month"
grant_on = "payment"
[plans.yearly]
allowance = "1200"
interval = "year"
allowance_every = "month"
grant_on = "payment"
[plans.team]
allowance = "500"
interval = "month"
[paypal.plans]
P-PAID = "plans.paid"
P-TEAM = "plans.team"
[stripe.prices]
price_yearly = "plans.yearly"
[[rates]]
meter = "unit"
price = "1"
insufficient = "allow"
"#;

fn event(id: &str, kind: &str, at: &str, resource: &Value) -> Value {
    json!({"id": id, "event_type": kind, "create_time": at, "resource": resource})
}

const AT: &str = "2026-01-01T00:00:00Z";

fn usd(value: &str) -> Value {
    json!({"currency_code": "USD", "value": value})
}

fn capture(id: &str, what: &str, capture: &str) -> Value {
    let resource = json!({"id": capture, "amount": usd("100.00"), "custom_id": "u:pack", "status": what, "create_time": AT});
    event(id, &format!("PAYMENT.CAPTURE.{what}"), AT, &resource)
}

fn refund(id: &str, what: &str, refund: &str, (amount, at): (&str, &str)) -> Value {
    let up = json!({"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C1"});
    let resource = json!({"id": refund, "amount": usd(amount), "status": "COMPLETED", "create_time": at, "links": [up]});
    event(id, &format!("PAYMENT.CAPTURE.{what}"), at, &resource)
}

fn dispute(id: &str, what: &str, amount: &str, outcome: Option<(&str, &str)>) -> Value {
    let outcome = outcome.map(|(code, amount)| json!({"outcome_code": code, "amount_refunded": usd(amount)}));
    let resource = json!({
        "dispute_id": "PP-D-1", "create_time": "2026-01-05T00:00:00Z", "dispute_amount": usd(amount),
        "status": if what == "RESOLVED" { "RESOLVED" } else { "UNDER_REVIEW" }, "dispute_outcome": outcome,
        "disputed_transactions": [{"seller_transaction_id": "C1"}],
    });
    event(id, &format!("CUSTOMER.DISPUTE.{what}"), "2026-01-06T00:00:00Z", &resource)
}

/// A subscription that began on the 15th at 15:32, as of an instant.
fn subscription(id: &str, what: &str, at: &str, plan: &str) -> Value {
    let resource = json!({
        "id": "I-1", "plan_id": plan, "status": if what == "CANCELLED" { "CANCELLED" } else { "ACTIVE" },
        "start_time": "2026-01-15T15:32:00Z", "custom_id": "u", "quantity": "1",
        "billing_info": {"cycle_executions": [{"tenure_type": "REGULAR", "cycles_completed": 1}]},
    });
    event(id, &format!("BILLING.SUBSCRIPTION.{what}"), at, &resource)
}

fn sale(id: &str, sale: &str, at: &str) -> Value {
    let amount = json!({"total": "49.00", "currency": "USD", "details": {"tax": "9.00"}});
    event(id, "PAYMENT.SALE.COMPLETED", at, &json!({"id": sale, "amount": amount, "billing_agreement_id": "I-1", "create_time": at}))
}

async fn numbers(world: &World) -> [String; 3] {
    [world.balance("u").await, world.available("u").await, world.debt("u").await]
}

scenarios! { CATALOG;
    async fn a_capture_grants_once(world) {
        assert_eq!(world.paypal(&capture("WH-1", "COMPLETED", "C1")).await, "applied");
        assert_eq!(world.paypal(&capture("WH-1", "COMPLETED", "C1")).await, "duplicate");
        assert_eq!(world.paypal(&capture("WH-2", "COMPLETED", "C1")).await, "duplicate", "another event, the same capture");
        assert_eq!(world.paypal(&capture("WH-3", "COMPLETED", "C2")).await, "applied", "another capture");
        assert_eq!(world.entries("u").await, ["purchased 1000", "purchased 1000"]);
    }

    async fn b26_what_is_pending_or_approved_grants_nothing(world) {
        assert_eq!(world.paypal(&capture("WH-1", "PENDING", "C1")).await, "ignored");
        assert_eq!(world.paypal(&event("WH-2", "CHECKOUT.ORDER.APPROVED", AT, &json!({"id": "O1"}))).await, "ignored");
        assert_eq!(world.entries("u").await, Vec::<String>::new());
        assert_eq!(world.paypal(&capture("WH-3", "COMPLETED", "C1")).await, "applied", "paid later");
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.paypal(&capture("WH-4", "PENDING", "C1")).await, "ignored", "old news");
    }

    async fn a_denied_capture_grants_nothing_until_it_is_paid(world) {
        world.paypal(&capture("WH-1", "DENIED", "C1")).await;
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.paypal(&capture("WH-2", "COMPLETED", "C1")).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn a_wrong_amount_waits_for_staff(world) {
        let mut less = capture("WH-1", "COMPLETED", "C1");
        less["resource"]["amount"] = usd("10.00");
        assert_eq!(world.paypal(&less).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["C1"]);
    }

    async fn refunds_take_back_what_they_aim_at(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        world.uses("u", "unit", "900").await;
        assert_eq!(world.paypal(&refund("WH-2", "REFUNDED", "R1", ("25.00", "2026-01-03T00:00:00Z"))).await, "applied");
        // 1000 × 25 / 100 = 250: 100 are left, 150 are owed.
        assert_eq!(numbers(world).await, ["0", "0", "150"]);
        assert_eq!(world.paypal(&refund("WH-3", "REFUNDED", "R1", ("25.00", "2026-01-03T00:00:00Z"))).await, "duplicate");
        assert_eq!(world.paypal(&refund("WH-4", "REVERSED", "R2", ("75.00", "2026-01-04T00:00:00Z"))).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "900"]);
    }

    async fn a_lost_dispute_that_comes_as_a_reversal_too_counts_once(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        assert_eq!(world.paypal(&dispute("WH-2", "CREATED", "60.00", None)).await, "applied");
        // 1000 × 60 / 100 are frozen.
        assert_eq!(numbers(world).await, ["1000", "400", "0"]);
        assert_eq!(world.paypal(&refund("WH-3", "REVERSED", "R1", ("60.00", "2026-01-07T00:00:00Z"))).await, "applied");
        // R = 60, and of the dispute 60 − 60 = 0 is left to freeze.
        assert_eq!(numbers(world).await, ["400", "400", "0"]);
        assert_eq!(world.paypal(&dispute("WH-4", "RESOLVED", "60.00", Some(("RESOLVED_BUYER_FAVOUR", "60.00")))).await, "applied");
        // D = max(0, 60 − 60) = 0, L = 60.
        assert_eq!(numbers(world).await, ["400", "400", "0"]);
    }

    async fn in_the_other_order_it_counts_once_too(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        world.paypal(&dispute("WH-4", "RESOLVED", "60.00", Some(("RESOLVED_BUYER_FAVOUR", "60.00")))).await;
        assert_eq!(numbers(world).await, ["400", "400", "0"]);
        world.paypal(&refund("WH-3", "REVERSED", "R1", ("60.00", "2026-01-07T00:00:00Z"))).await;
        assert_eq!(numbers(world).await, ["400", "400", "0"]);
    }

    async fn a_refund_from_before_the_dispute_counts_beside_it(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        world.paypal(&refund("WH-2", "REFUNDED", "R0", ("10.00", "2026-01-02T00:00:00Z"))).await;
        world.paypal(&dispute("WH-3", "RESOLVED", "60.00", Some(("RESOLVED_BUYER_FAVOUR", "60.00")))).await;
        // R = 10, D = 60: 1000 × 70 / 100 are gone.
        assert_eq!(numbers(world).await, ["300", "300", "0"]);
    }

    async fn what_is_lost_of_a_dispute_may_be_less_than_was_disputed(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        world.paypal(&dispute("WH-2", "CREATED", "60.00", None)).await;
        world.paypal(&dispute("WH-3", "RESOLVED", "60.00", Some(("RESOLVED_BUYER_FAVOUR", "20.00")))).await;
        // D = 20, not 60.
        assert_eq!(numbers(world).await, ["800", "800", "0"]);
        assert_eq!(world.paypal(&dispute("WH-4", "UPDATED", "60.00", None)).await, "duplicate", "old news");
    }

    async fn a_won_dispute_gives_everything_free(world) {
        world.paypal(&capture("WH-1", "COMPLETED", "C1")).await;
        world.paypal(&dispute("WH-2", "CREATED", "100.00", None)).await;
        assert_eq!(numbers(world).await, ["1000", "0", "0"]);
        world.paypal(&dispute("WH-3", "RESOLVED", "100.00", Some(("RESOLVED_SELLER_FAVOUR", "0.00")))).await;
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
    }

    async fn a_sale_pays_for_the_cycle_it_is_made_in(world) {
        world.at("2026-01-15T15:33:00Z").await;
        assert_eq!(world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-PAID")).await, "applied");
        assert_eq!(world.balance("u").await, "0", "nothing is paid");
        assert_eq!(world.paypal(&sale("WH-2", "S1", "2026-01-15T15:32:40Z")).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 1000"]);
        assert_eq!(world.paypal(&sale("WH-3", "S1", "2026-01-15T15:32:40Z")).await, "duplicate");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.balance("u").await, "0", "the next one is not paid");
        assert_eq!(world.paypal(&sale("WH-4", "S2", "2026-02-16T10:00:00Z")).await, "applied", "at the second attempt");
        assert_eq!(world.grants("u").await, ["plan 1000"]);
    }

    async fn a_sale_may_be_made_hours_before_its_cycle_begins(world) {
        world.at("2026-01-15T15:33:00Z").await;
        world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-PAID")).await;
        world.paypal(&sale("WH-2", "S1", "2026-01-15T15:32:40Z")).await;
        world.uses("u", "unit", "300").await;
        // PayPal bills at 10:00, the cycle ends at 15:32.
        world.at("2026-02-15T10:00:05Z").await;
        assert_eq!(world.paypal(&sale("WH-3", "S2", "2026-02-15T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "700", "the running cycle has what it had");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.entries_after("u", 2).await, ["forfeited 700", "allowance 1000"]);
        // A refund of that sale takes what it brought: all of 49.00 is 1000 credits.
        let refunded = event("WH-4", "PAYMENT.SALE.REFUNDED", "2026-02-16T00:00:00Z", &json!({
            "id": "R1", "sale_id": "S2", "amount": {"total": "-49.00", "currency": "USD"}, "state": "completed", "create_time": "2026-02-16T00:00:00Z",
        }));
        world.at("2026-02-16T00:00:05Z").await;
        assert_eq!(world.paypal(&refunded).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn a_sale_refunded_before_its_cycle_begins_brings_nothing(world) {
        world.at("2026-01-15T15:33:00Z").await;
        world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-PAID")).await;
        world.at("2026-02-15T10:00:05Z").await;
        world.paypal(&sale("WH-3", "S2", "2026-02-15T10:00:00Z")).await;
        let refunded = event("WH-4", "PAYMENT.SALE.REVERSED", "2026-02-15T11:00:00Z", &json!({
            "id": "S2", "state": "reversed", "amount": {"total": "-49.00", "currency": "USD"}, "create_time": "2026-02-15T10:00:00Z",
        }));
        world.at("2026-02-15T11:00:05Z").await;
        assert_eq!(world.paypal(&refunded).await, "applied");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "clawed_back 1000"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn a_yearly_invoice_buys_the_later_months_too(world) {
        world.at("2026-01-15T10:00:00Z").await;
        let start = crate::world::instant("2026-01-15T10:00:00Z").as_second();
        let end = crate::world::instant("2027-01-15T10:00:00Z").as_second();
        let price = json!({"id": "price_yearly", "recurring": {"interval": "year"}});
        let object = json!({"id": "sub_1", "status": "active", "billing_cycle_anchor": start, "metadata": {"credit_account": "u"},
            "items": {"data": [{"price": price, "quantity": 1}]}});
        world.stripe(&json!({"id": "evt_1", "type": "customer.subscription.created", "created": start, "data": {"object": object}})).await;
        let object = json!({"id": "in_1", "amount_paid": 12_000, "currency": "usd", "subscription": "sub_1", "payment_intent": "pi_1",
            "lines": {"data": [{"period": {"end": end}, "price": {"id": "price_yearly"}}]}});
        assert_eq!(world.stripe(&json!({"id": "evt_2", "type": "invoice.paid", "created": start, "data": {"object": object}})).await, "applied");
        world.tick("2026-02-15T10:00:00Z").await;
        world.uses("u", "unit", "1000").await;
        assert_eq!(numbers(world).await, ["200", "200", "0"]);
        // 1200 + 1200 credits so far for 120.00; half is refunded: 1200. 200 are unused, 1200 ended unused.
        let refund = json!({"id": "re_1", "amount": 6000, "currency": "usd", "status": "succeeded", "payment_intent": "pi_1", "created": start});
        assert_eq!(world.stripe(&json!({"id": "evt_3", "type": "refund.created", "created": start, "data": {"object": refund}})).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        // The next month brings 1200 more: of 3600 half is 1800, of which 1200 are taken or excused already.
        world.tick("2026-03-15T10:00:00Z").await;
        assert_eq!(numbers(world).await, ["600", "600", "0"]);
    }

    async fn a_cancelled_subscription_runs_until_its_end(world) {
        world.at("2026-01-15T15:33:00Z").await;
        world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-TEAM")).await;
        assert_eq!(world.balance("u").await, "500");
        world.at("2026-01-20T00:00:00Z").await;
        assert_eq!(world.paypal(&subscription("WH-2", "CANCELLED", "2026-01-20T00:00:00Z", "P-TEAM")).await, "applied");
        assert_eq!(world.balance("u").await, "500", "it is paid until then");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 500", "forfeited 500"]);
    }

    async fn a_cancelled_subscription_that_is_news_is_cancelled(world) {
        world.at("2026-01-20T00:00:00Z").await;
        assert_eq!(world.paypal(&subscription("WH-2", "CANCELLED", "2026-01-20T00:00:00Z", "P-TEAM")).await, "applied");
        assert_eq!(world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-TEAM")).await, "duplicate", "old news");
        assert_eq!(world.balance("u").await, "500");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 500", "forfeited 500"]);
    }

    async fn a_suspended_subscription_is_resumed(world) {
        world.at("2026-01-15T15:33:00Z").await;
        world.paypal(&subscription("WH-1", "ACTIVATED", "2026-01-15T15:32:30Z", "P-TEAM")).await;
        world.paypal(&subscription("WH-2", "SUSPENDED", "2026-01-20T00:00:00Z", "P-TEAM")).await;
        assert_eq!(world.paypal(&subscription("WH-3", "ACTIVATED", "2026-01-25T00:00:00Z", "P-TEAM")).await, "applied");
        world.tick("2026-02-15T15:32:00Z").await;
        assert_eq!(world.balance("u").await, "500");
    }

    async fn a_subscription_nobody_paid_for_brings_nothing(world) {
        let mut never = subscription("WH-1", "CANCELLED", "2026-01-20T00:00:00Z", "P-TEAM");
        never["resource"]["billing_info"] = json!({"cycle_executions": [{"tenure_type": "REGULAR", "cycles_completed": 0}]});
        world.at("2026-01-20T00:00:00Z").await;
        world.paypal(&never).await;
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.entries("u").await, Vec::<String>::new());
    }
}
