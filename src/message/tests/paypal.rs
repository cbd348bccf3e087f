//! PayPal webhooks from bytes to command.

use super::*;
use crate::domain::provider::{PaidFor, PaymentSaid, SubscriptionSaid};
use crate::domain::reversal::{DisputeStage, RefundStatus};
use crate::message::paypal::{CertificateUrl, Chain, TestAuthority, Trust};
use crate::message::reread;
use std::sync::{Arc, LazyLock};

/// The webhook of acme.
pub(super) const WEBHOOK: &str = "WH-TEST";

/// Believes what the test authority signs.
pub(super) struct Testing;

impl Keys for Testing {
    fn stripe(&self, _: &Id) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn paypal(&self, tenant: &Id) -> Vec<String> {
        if tenant.as_str() == "acme" { vec!["WH-OLD".into(), WEBHOOK.into()] } else { Vec::new() }
    }

    fn trust(&self) -> &Trust {
        static TRUST: LazyLock<Trust> = LazyLock::new(|| {
            let mut trust = Trust::default();
            TestAuthority::built_in().unwrap().join(&mut trust);
            trust
        });
        &TRUST
    }

    fn certificate(&self, url: &CertificateUrl) -> Option<Arc<Chain>> {
        TestAuthority::built_in().unwrap().at_hand(url)
    }
}

pub(super) fn signed(body: &str) -> Raw {
    let at = "2026-01-31T09:30:00Z";
    let headers = TestAuthority::built_in().unwrap().signer.sign(WEBHOOK, at.parse().unwrap(), body.as_bytes()).unwrap();
    let mut headers: BTreeMap<String, String> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.extend([("x-tenant".into(), "acme".into()), ("x-received-at".into(), at.into())]);
    Raw {
        queue: Queue::Payments,
        routing_key: "payment.paypal.acme".into(),
        content_type: Some("application/json".into()),
        headers,
        reply_to: None,
        correlation_id: None,
        body: body.as_bytes().to_vec(),
    }
}

fn example(kind: &str) -> Value {
    let (_, text) = examples::examples().into_iter().find(|(name, _)| *name == format!("paypal.{kind}")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn webhook(event: &Value) -> Result<Incoming, Unreadable> {
    read(&signed(&event.to_string()), &Testing)
}

fn said(event: &Value) -> Command {
    match webhook(event).unwrap() {
        Incoming::Account(message) => message.command,
        Incoming::Unaddressed(message) => message.command,
        other => panic!("{other:?}"),
    }
}

fn fates(base: &Value, table: &[(&str, Value, &str)]) {
    for (key, to, expected) in table {
        let result = webhook(&with(base.clone(), key, to.clone()));
        assert_eq!(fate(&result), *expected, "{key} = {to}: {result:?}");
    }
}

#[test]
fn every_example_of_paypal_is_read_as_what_it_is() {
    let files: Vec<_> = examples::examples().into_iter().filter(|(name, _)| name.starts_with("paypal.")).collect();
    assert_eq!(files.len(), 16);
    for (name, text) in files {
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(name, format!("paypal.{}", event["event_type"].as_str().unwrap()));
        let read = read(&signed(&text), &Testing).unwrap();
        assert_eq!(reread(&signed(&text)).unwrap(), read, "the same, verified or not: {name}");
        let command = match read {
            Incoming::Account(message) => {
                assert_eq!((message.account.to_string(), message.id.source.as_str()), ("acme/user-42".into(), "paypal"), "{name}");
                message.command
            }
            Incoming::Unaddressed(message) => message.command,
            Incoming::Ignored { .. } if name.ends_with("CAPTURE.PENDING") => continue,
            other => panic!("{name}: {other:?}"),
        };
        let expected = match command {
            Command::RecordPayment(_) => "paypal.PAYMENT.CAPTURE.",
            Command::RecordInvoice(_) => "paypal.PAYMENT.SALE.COMPLETED",
            Command::RecordRefund(_) => "paypal.PAYMENT.",
            Command::RecordDispute(_) => "paypal.CUSTOMER.DISPUTE.",
            Command::RecordSubscription(_) => "paypal.BILLING.SUBSCRIPTION.",
            other => panic!("{name}: {other:?}"),
        };
        assert!(name.starts_with(expected), "{name}");
    }
}

#[test]
fn a_capture_is_a_payment() {
    for (kind, is) in [("COMPLETED", PaymentSaid::Paid), ("DENIED", PaymentSaid::Failed)] {
        let Command::RecordPayment(payment) = said(&example(&format!("PAYMENT.CAPTURE.{kind}"))) else { panic!() };
        assert_eq!((payment.said, payment.is_addressed, payment.livemode), (is, true, None), "{kind}");
        let terms = payment.terms;
        assert_eq!((terms.payment.as_str(), terms.provider_id.as_str()), ("paypal:42311647XV020574X", "42311647XV020574X"));
        assert_eq!((terms.amount.to_string(), terms.currency.as_str(), terms.before_tax), ("20".into(), "USD", None));
        assert_eq!(terms.document.unwrap().as_str(), "INV-77");
        let package = terms.package.unwrap();
        assert_eq!((package.package.as_str(), package.quantity), ("starter", 1));
    }
}

#[test]
fn a_capture_of_another_shop_is_nothing_of_ours() {
    let capture = example("PAYMENT.CAPTURE.COMPLETED");
    fates(
        &capture,
        &[
            ("/resource/custom_id", json!("order 77"), "ignored"),
            ("/resource/custom_id", json!("order-77"), "ignored"),
            ("/resource/custom_id", json!("a:b:c"), "ignored"),
            ("/resource/custom_id", Value::Null, "ignored"),
            ("/resource/custom_id", json!("who?:starter"), "malformed"),
            ("/event_type", json!("CHECKOUT.ORDER.APPROVED"), "ignored"),
            ("/event_type", json!("PAYMENT.CAPTURE.DECLINED"), "ignored"),
            ("/event_type", json!("payment.capture.completed"), "ignored"),
        ],
    );
}

#[test]
fn b27_amounts_that_could_mean_two_things_are_refused() {
    let capture = example("PAYMENT.CAPTURE.COMPLETED");
    for (value, expected) in [
        ("10.00", "read"),
        ("10", "read"),
        ("10.005", "malformed"),
        ("1,000.00", "malformed"),
        ("1e3", "malformed"),
        ("٣", "malformed"),
        ("-1.00", "malformed"),
        ("", "malformed"),
    ] {
        fates(&capture, &[("/resource/amount/value", json!(value), expected)]);
    }
    fates(
        &capture,
        &[
            ("/resource/amount/value", json!(10), "malformed"),
            ("/resource/amount/value", json!(10.5), "malformed"),
            ("/resource/amount/currency_code", json!("JPY"), "malformed"),
            ("/resource/amount/currency_code", json!("usd"), "malformed"),
            ("/resource/amount", Value::Null, "malformed"),
            ("/resource/id", json!(""), "malformed"),
            ("/resource/create_time", json!("yesterday"), "read"),
            ("/create_time", json!("yesterday"), "malformed"),
            ("/resource", Value::Null, "malformed"),
        ],
    );
}

#[test]
fn a_sale_of_a_subscription_pays_for_the_interval_it_is_made_in() {
    let sale = example("PAYMENT.SALE.COMPLETED");
    let Command::RecordInvoice(invoice) = said(&sale) else { panic!() };
    assert_eq!((invoice.terms.payment.as_str(), invoice.subscription.name.as_str()), ("paypal:80021663DE681814L", "paypal:I-BW452GLLEP1G"));
    assert_eq!((invoice.terms.amount.to_string(), invoice.terms.before_tax.unwrap().to_string()), ("49".into(), "41.18".into()));
    assert_eq!(invoice.pays, PaidFor::IntervalAt("2026-01-31T09:29:50Z".parse().unwrap()));
    let unnamed = with(sale.clone(), "/resource/custom", Value::Null);
    assert_eq!(fate(&webhook(&unnamed)), "of somebody", "the subscription says whose it is");
    let once = with(with(sale, "/resource/billing_agreement_id", json!("B-4GH")), "/resource/custom", json!("user-42:starter"));
    assert!(
        matches!(said(&once), Command::RecordPayment(payment) if payment.said == PaymentSaid::Paid),
        "another agreement is a way to pay"
    );
}

#[test]
fn refunds_find_what_they_take_back_in_every_version() {
    for (kind, payment, id, amount, total) in [
        ("PAYMENT.CAPTURE.REFUNDED", "paypal:42311647XV020574X", "paypal:1Y107995YT783435V", "5", Some("5")),
        ("PAYMENT.CAPTURE.REVERSED", "paypal:42311647XV020574X", "paypal:09E71677NS257044M", "5", Some("5")),
        ("PAYMENT.SALE.REFUNDED", "paypal:80021663DE681814L", "paypal:6YX43824R4443062K", "9", Some("9")),
        ("PAYMENT.SALE.REVERSED", "paypal:80021663DE681814L", "paypal:80021663DE681814L", "49", None),
    ] {
        let Command::RecordRefund(refund) = said(&example(kind)) else { panic!("{kind}") };
        assert_eq!(refund.names.0.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), [payment], "{kind}");
        assert_eq!((refund.refunds[0].id.as_str(), refund.refunds[0].amount.to_string().as_str()), (id, amount), "{kind}");
        assert_eq!(
            (refund.refunds[0].status, refund.refunded.map(|sum| sum.to_string()).as_deref()),
            (RefundStatus::Succeeded, total),
            "{kind}"
        );
    }
    let reversed = example("PAYMENT.SALE.REVERSED");
    let Command::RecordRefund(refund) = said(&reversed) else { panic!() };
    assert_eq!(refund.refunds[0].created_at.to_string(), "2026-01-31T09:30:00Z", "not when the sale was made");
    let refunded = example("PAYMENT.CAPTURE.REFUNDED");
    for (word, status) in [("PENDING", RefundStatus::Pending), ("FAILED", RefundStatus::Failed), ("CANCELLED", RefundStatus::Failed)] {
        let Command::RecordRefund(refund) = said(&with(refunded.clone(), "/resource/status", json!(word))) else { panic!() };
        assert_eq!(refund.refunds[0].status, status, "{word}");
    }
    fates(&refunded, &[("/resource/amount/value", json!("x"), "malformed"), ("/resource/links", json!([]), "of somebody")]);
}

#[test]
fn disputes_are_about_one_payment() {
    for (kind, stage) in [("CREATED", DisputeStage::Opened), ("UPDATED", DisputeStage::Opened), ("RESOLVED", DisputeStage::Lost)] {
        let Command::RecordDispute(dispute) = said(&example(&format!("CUSTOMER.DISPUTE.{kind}"))) else { panic!() };
        assert_eq!(
            (dispute.stage, dispute.amount.to_string(), dispute.dispute.as_str()),
            (stage, "20".into(), "paypal:PP-D-4012"),
            "{kind}"
        );
        assert_eq!(
            (dispute.names.0[0].name.as_str(), dispute.opened_at.to_string().as_str()),
            ("paypal:42311647XV020574X", "2026-01-31T09:00:00Z")
        );
    }
    let lost = with(example("CUSTOMER.DISPUTE.RESOLVED"), "/resource/dispute_outcome/amount_refunded/value", json!("8.00"));
    assert!(matches!(said(&lost), Command::RecordDispute(dispute) if dispute.amount.to_string() == "8"), "what was lost of it");
    let transaction = json!({"seller_transaction_id": "A"});
    fates(
        &example("CUSTOMER.DISPUTE.CREATED"),
        &[
            ("/resource/disputed_transactions", json!([]), "malformed"),
            ("/resource/disputed_transactions", json!([transaction, transaction]), "malformed"),
            ("/resource/dispute_amount", Value::Null, "malformed"),
        ],
    );
}

#[test]
fn subscriptions_are_known_by_their_plan() {
    for (kind, is, cancels) in [
        ("ACTIVATED", SubscriptionSaid::Running, false),
        ("UPDATED", SubscriptionSaid::Running, false),
        ("CANCELLED", SubscriptionSaid::Running, true),
        ("EXPIRED", SubscriptionSaid::Running, true),
        ("SUSPENDED", SubscriptionSaid::Running, true),
    ] {
        let Command::RecordSubscription(subscription) = said(&example(&format!("BILLING.SUBSCRIPTION.{kind}"))) else { panic!() };
        assert_eq!((subscription.said, subscription.cancels), (is, cancels), "{kind}");
        assert_eq!(
            subscription.items.iter().map(|(plan, units)| (plan.as_str(), *units)).collect::<Vec<_>>(),
            [("P-5ML4271244454362WXNWU5NQ", 1)]
        );
        assert_eq!(
            (subscription.name.name.as_str(), subscription.anchor.to_string().as_str()),
            ("paypal:I-BW452GLLEP1G", "2026-01-31T09:20:00Z")
        );
    }
    let never_paid = with(example("BILLING.SUBSCRIPTION.CANCELLED"), "/resource/billing_info", Value::Null);
    assert!(matches!(said(&never_paid), Command::RecordSubscription(subscription) if subscription.said == SubscriptionSaid::Over));
    fates(
        &example("BILLING.SUBSCRIPTION.ACTIVATED"),
        &[
            ("/resource/quantity", json!("-1"), "malformed"),
            ("/resource/quantity", json!("1.5"), "malformed"),
            ("/resource/start_time", json!("soon"), "malformed"),
            ("/resource/custom_id", json!("somebody else"), "of somebody"),
        ],
    );
}

#[test]
fn f82_fields_nobody_reads_cannot_stop_money() {
    let capture = example("PAYMENT.CAPTURE.COMPLETED");
    for (path, to) in [
        ("/resource/seller_receivable_breakdown", json!(7)),
        ("/resource/links", json!("none")),
        ("/resource/supplementary_data", json!([])),
        ("/resource/status", json!({"new": "form"})),
        ("/summary", json!(["x"])),
        ("/links", Value::Null),
        ("/event_version", json!(9)),
        ("/resource_version", Value::Null),
    ] {
        assert_eq!(fate(&webhook(&with(capture.clone(), path, to))), "read", "{path}");
    }
}

#[test]
fn b18_a_webhook_without_its_headers_is_not_believed() {
    let raw = signed(&example("PAYMENT.CAPTURE.COMPLETED").to_string());
    for name in ["PAYPAL-TRANSMISSION-ID", "PAYPAL-TRANSMISSION-TIME", "PAYPAL-TRANSMISSION-SIG", "PAYPAL-CERT-URL", "PAYPAL-AUTH-ALGO"] {
        let mut less = raw.clone();
        less.headers.remove(name);
        let refused = read(&less, &Testing).unwrap_err();
        assert!(refused.reason.word() == "bad_signature" && refused.detail.contains(name), "{name}: {refused}");
        let mut twice = raw.clone();
        twice.headers.insert(name.to_ascii_lowercase(), raw.headers[name].clone());
        assert_eq!(fate(&read(&twice, &Testing)), "bad_signature", "{name} twice");
    }
    let mut foreign = raw;
    foreign.headers.insert("x-tenant".into(), "studio".into());
    foreign.routing_key = "payment.paypal.studio".into();
    assert_eq!(fate(&read(&foreign, &Testing)), "bad_signature", "another tenant has other webhooks");
}
