//! Shapes of older versions of Stripe's API: a tenant's webhook keeps the version it was made with.

use super::webhooks::signed;
use super::*;
use crate::domain::payment::PaymentName;
use crate::domain::provider::{PaidFor, ProviderRefund};
use crate::domain::reversal::RefundStatus;

const CREATED: i64 = 1_769_851_800;

fn told(kind: &str, object: &Value) -> Command {
    let event = json!({"id": "evt_1", "type": kind, "livemode": false, "created": CREATED, "data": {"object": object}});
    match read(&signed(&event.to_string()), &secrets).unwrap() {
        Incoming::Account(message) => message.command,
        Incoming::Unaddressed(message) => message.command,
        other => panic!("{other:?}"),
    }
}

fn refund(kind: &str, object: &Value) -> ProviderRefund {
    match told(kind, object) {
        Command::RecordRefund(refund) => refund,
        other => panic!("{other:?}"),
    }
}

fn printed(names: &[PaymentName]) -> Vec<String> {
    names.iter().map(|name| name.name.to_string()).collect()
}

#[test]
fn f82_a_charge_of_before_november_2022_shows_its_refunds_one_by_one() {
    let refunds = json!({"object": "list", "has_more": false, "total_count": 2, "url": "/v1/charges/ch_1/refunds", "data": [
        {"id": "re_2", "object": "refund", "amount": 500, "charge": "ch_1", "created": CREATED, "currency": "usd", "status": "pending"},
        {"id": "re_1", "object": "refund", "amount": 1000, "charge": "ch_1", "created": CREATED - 60, "currency": "usd"},
    ]});
    let charge = json!({"id": "ch_1", "object": "charge", "amount": 2000, "amount_refunded": 1500, "currency": "usd",
        "invoice": "in_1", "payment_intent": "pi_1", "refunded": false, "refunds": refunds});
    let read = refund("charge.refunded", &charge);
    assert_eq!(printed(&read.names.0), ["stripe:pi_1", "stripe:ch_1", "stripe:in_1"]);
    let seen: Vec<_> =
        read.refunds.iter().map(|one| (one.id.as_str(), one.amount.to_string(), one.status, one.created_at.as_second())).collect();
    assert_eq!(
        seen,
        [
            ("stripe:re_2", "5".to_owned(), RefundStatus::Pending, CREATED),
            ("stripe:re_1", "10".to_owned(), RefundStatus::Succeeded, CREATED - 60),
        ]
    );
    // 5.00 + 10.00
    assert_eq!(read.refunded.map(|sum| sum.to_string()).as_deref(), Some("15"));
    let newer = refund("charge.refunded", &with(charge, "/refunds", Value::Null));
    assert!(newer.refunds.is_empty(), "newer versions show only the sum");
    assert_eq!(newer.refunded.map(|sum| sum.to_string()).as_deref(), Some("15"));
}

#[test]
fn f82_an_intent_of_before_november_2022_shows_its_charges() {
    let charge = |id: &str, status: &str| {
        json!({"id": id, "object": "charge", "amount": 2000, "currency": "usd", "paid": status == "succeeded", "status": status,
            "payment_method_details": {"type": "card"}, "receipt_url": format!("https://pay.stripe.example/r/{id}")})
    };
    let charges = json!({"object": "list", "has_more": false, "total_count": 2, "url": "/v1/charges?payment_intent=pi_1",
        "data": [charge("ch_2", "succeeded"), charge("ch_1", "failed")]});
    let intent = json!({"id": "pi_1", "object": "payment_intent", "amount": 2000, "amount_received": 2000, "currency": "usd",
        "invoice": null, "metadata": {"credit_account": "u-1", "credit_package": "starter"}, "charges": charges});
    let Command::RecordPayment(read) = told("payment_intent.succeeded", &intent) else { panic!() };
    let names: Vec<PaymentName> = read.names().collect();
    assert_eq!(printed(&names), ["stripe:pi_1", "stripe:ch_2", "stripe:ch_1"]);
    // The newest charge comes first, and shows how it was paid.
    assert_eq!(read.details.method.unwrap().as_str(), "card");
    assert_eq!(read.details.receipt.unwrap().to_string(), "https://pay.stripe.example/r/ch_2");
}

#[test]
fn f82_an_older_invoice_names_its_charge_and_the_plans_of_its_lines() {
    let until = CREATED + 2_678_400;
    let plan = json!({"id": "gold", "object": "plan", "amount": 4900, "interval": "month", "product": "prod_1"});
    for (mut line, expected) in [
        (json!({"plan": plan}), "gold"),
        (json!({"plan": plan, "price": null}), "gold"),
        (json!({"plan": plan, "price": {"id": "price_1", "object": "price"}}), "price_1"),
        (json!({"plan": null, "price": null, "pricing": {"price_details": {"price": "price_1"}}}), "price_1"),
    ] {
        line["period"] = json!({"start": CREATED, "end": until});
        let invoice = json!({"id": "in_1", "object": "invoice", "amount_due": 4900, "amount_paid": 4900, "currency": "usd",
            "subscription": "sub_1", "payment_intent": "pi_1", "charge": "ch_1", "lines": {"object": "list", "data": [line]}});
        let Command::RecordInvoice(read) = told("invoice.paid", &invoice) else { panic!("{line}") };
        let names: Vec<PaymentName> = read.names().collect();
        assert_eq!(printed(&names), ["stripe:in_1", "stripe:pi_1", "stripe:ch_1"], "{line}");
        assert_eq!((read.subscription.name.as_str(), read.terms.amount.to_string()), ("stripe:sub_1", "49".to_owned()));
        let PaidFor::Lines { lines, .. } = &read.pays else { panic!("{line}") };
        let shown: Vec<_> = lines.iter().map(|line| (line.price.as_str(), line.until.as_second())).collect();
        assert_eq!(shown, [(expected, until)], "{line}");
    }
}

#[test]
fn f82_an_invoice_of_before_payment_intents_is_known_by_its_charge() {
    // Of no subscription: all it says is that itself and its charge are one payment.
    let invoice =
        json!({"id": "in_1", "object": "invoice", "amount_paid": 2000, "currency": "usd", "charge": "ch_1", "lines": {"data": []}});
    let Command::NamePayment(names) = told("invoice.paid", &invoice) else { panic!() };
    assert_eq!(printed(&names.names.0), ["stripe:in_1", "stripe:ch_1"]);
}

#[test]
fn f82_a_refund_without_a_state_has_happened() {
    use RefundStatus::{Failed, Pending, Succeeded};
    let object = json!({"id": "re_1", "object": "refund", "amount": 1000, "currency": "usd", "charge": "ch_1", "created": CREATED});
    for (kind, status, expected) in [
        ("charge.refund.updated", json!(null), Succeeded),
        ("charge.refund.updated", json!("succeeded"), Succeeded),
        ("charge.refund.updated", json!("pending"), Pending),
        ("charge.refund.updated", json!("canceled"), Failed),
        ("refund.created", json!(null), Succeeded),
        ("refund.failed", json!(null), Failed),
    ] {
        let absent = refund(kind, &with(object.clone(), "/status", status.clone()));
        let mut shown = object.clone();
        shown["status"] = status.clone();
        let present = refund(kind, &shown);
        assert_eq!(absent, present, "null is absent: {kind} {status}");
        assert_eq!((printed(&present.names.0), present.refunded), (vec!["stripe:ch_1".to_owned()], None));
        let seen: Vec<_> = present.refunds.iter().map(|one| (one.id.as_str(), one.amount.to_string(), one.status)).collect();
        assert_eq!(seen, [("stripe:re_1", "10".to_owned(), expected)], "{kind} {status}");
    }
}
