//! An invoice and the PaymentIntent that pays it are one payment, whichever is heard of first and whatever it is kept
//! under (semantics §5, §9).

use super::refunds::refunded;
use super::stripe_subscriptions::{START, event, invoice, told, with};
use crate::world::scenarios;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.paid]
allowance = "1000"
grant_on = "payment"
[packages.starter]
credits = "400"
price = "50.00"
[stripe.prices]
price_paid = "plans.paid"
[[rates]]
meter = "unit"
price = "1"
"#;

const UNTIL: &str = "2026-02-15T10:00:00Z";

/// The PaymentIntent of an invoice, which names a package as well: somebody put the metadata on both.
fn intent(id: &str, kind: &str) -> Value {
    let metadata = json!({"credit_account": "u", "credit_package": "starter"});
    event(
        id,
        kind,
        START,
        &json!({"id": "pi_1", "amount": 5000, "amount_received": 5000, "currency": "usd", "invoice": "in_1", "metadata": metadata}),
    )
}

fn failed(id: &str, amount: u32) -> Value {
    let mut failed = with(invoice(id, "in_1", START, UNTIL), "amount_due", json!(amount));
    failed["type"] = json!("invoice.payment_failed");
    failed
}

scenarios! { CATALOG;
    async fn an_intent_that_failed_becomes_its_invoices(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        assert_eq!(world.stripe(&intent("evt_2", "payment_intent.payment_failed")).await, "applied");
        let paid = with(invoice("evt_3", "in_1", START, UNTIL), "payment_intent", json!("pi_1"));
        assert_eq!(world.stripe(&paid).await, "applied");
        // What is heard afterwards by the invoice's name alone is about the one that was paid.
        assert_eq!(world.stripe(&failed("evt_4", 5000)).await, "duplicate");
        assert_eq!(world.stripe(&invoice("evt_5", "in_1", START, UNTIL)).await, "duplicate");
        assert_eq!(world.balance("u").await, "1000");
        // 1000 × 25 / 50
        assert_eq!(world.stripe(&refunded("evt_6", "pi_1", 2500)).await, "applied");
        assert_eq!(world.balance("u").await, "500");
    }

    async fn an_invoice_that_failed_becomes_its_intents(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        assert_eq!(world.stripe(&with(failed("evt_2", 5000), "payment_intent", json!("pi_1"))).await, "applied");
        assert_eq!(world.stripe(&intent("evt_3", "payment_intent.succeeded")).await, "applied");
        assert_eq!(world.balance("u").await, "400");
        // 400 × 25 / 50
        assert_eq!(world.stripe(&refunded("evt_4", "pi_1", 2500)).await, "applied");
        assert_eq!(world.balance("u").await, "200");
    }

    async fn an_invoice_costs_what_was_paid_in_the_end(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_paid", 1)])).await;
        assert_eq!(world.stripe(&failed("evt_2", 5000)).await, "applied");
        // A coupon of 10.00 came in between.
        let paid = with(invoice("evt_3", "in_1", START, UNTIL), "amount_paid", json!(4000));
        assert_eq!(world.stripe(&with(paid, "payment_intent", json!("pi_1"))).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        // 1000 × 40 / 40
        assert_eq!(world.stripe(&refunded("evt_4", "pi_1", 4000)).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }
}
