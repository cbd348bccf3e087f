//! Stripe webhooks from header to command.

use super::*;
use crate::domain::provider::{PaymentSaid, ProviderPayment};
use crate::message::{reread, sign};

const RECEIVED: i64 = 1_769_851_800;

pub(super) fn signed(body: &str) -> Raw {
    let headers = [
        ("Stripe-Signature", sign(SECRET, RECEIVED, body.as_bytes()).unwrap()),
        ("x-tenant", "acme".into()),
        ("x-received-at", "2026-01-31T09:30:00Z".into()),
    ];
    Raw {
        queue: Queue::Payments,
        routing_key: "payment.stripe.acme".into(),
        content_type: Some("application/json".into()),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        reply_to: None,
        correlation_id: None,
        body: body.as_bytes().to_vec(),
    }
}

fn session() -> Value {
    json!({"id": "evt_1", "type": "checkout.session.completed", "livemode": true, "created": RECEIVED, "data": {"object": {
        "id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 2380, "currency": "usd",
        "total_details": {"amount_tax": 380}, "payment_intent": "pi_1", "invoice": null,
        "metadata": {"credit_account": "u-1", "credit_package": "starter"},
    }}})
}

fn intent() -> Value {
    json!({"id": "evt_2", "type": "payment_intent.succeeded", "livemode": false, "created": RECEIVED, "data": {"object": {
        "id": "pi_1", "amount": 2500, "amount_received": 2380, "currency": "eur",
        "metadata": {"credit_account": "u-1", "credit_package": "starter", "credit_quantity": "3"},
    }}})
}

const OBJECT: &str = "/data/object";

fn webhook(event: &Value) -> Result<Incoming, Unreadable> {
    read(&signed(&event.to_string()), &secrets)
}

fn payment(event: &Value) -> ProviderPayment {
    match webhook(event).unwrap() {
        Incoming::Account(message) => match message.command {
            Command::RecordPayment(payment) => payment,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn fates(base: &Value, table: &[(&str, Value, &str)]) {
    for (key, to, expected) in table {
        let path = if key.starts_with('/') { (*key).to_owned() } else { format!("{OBJECT}/{key}") };
        let result = webhook(&with(base.clone(), &path, to.clone()));
        assert_eq!(fate(&result), *expected, "{key} = {to}: {result:?}");
    }
}

#[test]
fn a_session_is_a_payment() {
    let Ok(Incoming::Account(message)) = webhook(&session()) else { panic!() };
    assert_eq!(message.id.to_string(), "stripe evt_1");
    assert_eq!((message.account.to_string(), message.occurred_at.as_second()), ("acme/u-1".into(), RECEIVED));
    let read = payment(&session());
    assert_eq!((read.terms.payment.as_str(), read.terms.provider_id.as_str()), ("stripe:pi_1", "pi_1"));
    assert_eq!((read.terms.amount.to_string(), read.terms.before_tax.unwrap().to_string()), ("23.8".into(), "20".into()));
    assert_eq!((read.terms.currency.as_str(), read.said, read.livemode), ("USD", PaymentSaid::Paid, Some(true)));
    let package = read.terms.package.unwrap();
    assert_eq!((package.package.as_str(), package.quantity), ("starter", 1));
}

#[test]
fn an_intent_is_the_same_payment() {
    let read = payment(&intent());
    assert_eq!((read.terms.payment.as_str(), read.terms.amount.to_string(), read.terms.before_tax), ("stripe:pi_1", "23.8".into(), None));
    assert_eq!((read.said, read.terms.package.unwrap().quantity, read.terms.currency.as_str()), (PaymentSaid::Paid, 3, "EUR"));
    let older = with(intent(), "/data/object/amount_received", json!(null));
    assert_eq!(payment(&older).terms.amount.to_string(), "25");
}

#[test]
fn a_session_without_an_intent_is_known_by_its_own_id() {
    let free = with(with(session(), "/data/object/payment_intent", json!(null)), "/data/object/amount_total", json!(380));
    let read = payment(&with(free, "/data/object/payment_status", json!("no_payment_required")));
    assert_eq!(
        (read.terms.payment.as_str(), read.said, read.terms.before_tax.unwrap().to_string()),
        ("stripe:cs_1", PaymentSaid::Paid, "0".into())
    );
}

#[test]
fn related_objects_are_read_expanded_too() {
    let expanded = with(session(), "/data/object/payment_intent", json!({"id": "pi_1", "object": "payment_intent", "amount": 1.5}));
    let expanded = with(expanded, "/data/object/invoice", json!({"id": "in_7", "x": []}));
    let read = payment(&expanded);
    assert_eq!((read.terms.payment.as_str(), read.terms.document.unwrap().as_str()), ("stripe:pi_1", "in_7"));
}

#[test]
fn paid_is_what_the_provider_says() {
    use PaymentSaid::{Paid, Pending};
    for (status, said) in [("paid", Paid), ("no_payment_required", Paid), ("unpaid", Pending), ("something_new", Pending)] {
        assert_eq!(payment(&with(session(), "/data/object/payment_status", json!(status))).said, said, "{status}");
    }
    let later = with(session(), "/type", json!("checkout.session.async_payment_succeeded"));
    assert_eq!(payment(&with(later, "/data/object/payment_status", json!("unpaid"))).said, Paid);
}

#[test]
fn b13_what_is_not_ours_is_ignored() {
    fates(
        &session(),
        &[
            ("/type", json!("customer.created"), "ignored"),
            ("mode", json!("subscription"), "ignored"),
            ("mode", json!("setup"), "ignored"),
            ("mode", json!(null), "read"),
            // Another event may say whose they are.
            ("metadata", json!(null), "of somebody"),
            ("metadata", json!({}), "of somebody"),
            ("metadata", json!({"credit_package": "starter"}), "of somebody"),
            ("metadata", json!({"credit_account": "", "credit_package": "starter"}), "of somebody"),
            ("metadata", json!({"credit_package": "no id"}), "ignored"),
        ],
    );
    let unreadable = with(with(session(), "/data/object/metadata", json!({})), "/data/object/currency", json!("money"));
    assert_eq!(fate(&webhook(&unreadable)), "ignored", "what strangers write is no flaw");
    let strangers = with(with(session(), "/data/object/metadata", json!({})), "/data/object/client_reference_id", json!("cart 17/ä"));
    assert_eq!(fate(&webhook(&strangers)), "of somebody", "somebody else's reference is no flaw");
    let thin = json!({"id": "evt_9", "object": "v2.core.event", "type": "v1.billing.meter.error", "created": "2026-01-31T00:00:00Z"});
    assert_eq!(fate(&webhook(&thin)), "ignored");
}

#[test]
fn a_payment_for_one_of_our_accounts_is_ours_whether_or_not_it_says_for_what() {
    let unnamed = |metadata: Value| with(session(), "/data/object/metadata", metadata);
    assert_eq!(payment(&unnamed(json!({"credit_account": "u-1"}))).terms.package, None);
    let referenced = with(unnamed(json!({})), "/data/object/client_reference_id", json!("u-1"));
    assert_eq!(payment(&referenced).terms.package, None);
    fates(
        &session(),
        &[
            ("metadata", json!({"credit_account": "no id"}), "malformed"),
            ("metadata", json!({"credit_account": "u-1", "credit_package": ""}), "read"),
            ("metadata", json!({"credit_account": "", "credit_package": ""}), "of somebody"),
        ],
    );
}

#[test]
fn a_session_shows_its_own_name_beside_the_intents() {
    let names = |event: &Value| payment(event).names().map(|name| name.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&session()), ["stripe:pi_1", "stripe:cs_1"]);
    assert_eq!(names(&with(session(), "/data/object/payment_intent", json!(null))), ["stripe:cs_1"]);
    assert_eq!(names(&intent()), ["stripe:pi_1"]);
    // As long as Stripe makes them.
    let long = format!("cs_live_{}", "a1".repeat(29));
    assert_eq!(names(&with(session(), "/data/object/id", json!(long))), ["stripe:pi_1".to_owned(), format!("stripe:{long}")]);
    assert_eq!(names(&with(session(), "/data/object/id", json!("what is this"))), ["stripe:pi_1"], "the intent's name is enough");
    let alone = with(with(session(), "/data/object/payment_intent", json!(null)), "/data/object/id", json!("what is this"));
    assert_eq!(fate(&webhook(&alone)), "malformed");
}

#[test]
fn the_account_may_stand_in_the_client_reference() {
    let referenced = with(session(), "/data/object/metadata", json!({"credit_package": "starter"}));
    let referenced = with(referenced, "/data/object/client_reference_id", json!("u-7"));
    let Ok(Incoming::Account(message)) = webhook(&referenced) else { panic!() };
    assert_eq!(message.account.account.as_str(), "u-7");
    let both = with(session(), "/data/object/client_reference_id", json!("u-7"));
    let Ok(Incoming::Account(message)) = webhook(&both) else { panic!() };
    assert_eq!(message.account.account.as_str(), "u-1", "metadata first");
}

#[test]
fn b15_amounts_and_currencies_that_cannot_be_are_malformed() {
    fates(
        &session(),
        &[
            ("amount_total", json!(null), "malformed"),
            ("amount_total", json!("2380"), "malformed"),
            ("amount_total", json!(-2380), "malformed"),
            ("amount_total", json!(10.5), "malformed"),
            ("amount_total", json!(9_007_199_254_740_993_u64), "malformed"),
            ("amount_total", json!(9_223_372_036_854_775_808_u64), "malformed"),
            ("amount_total", json!(379), "malformed"),
            ("currency", json!(null), "malformed"),
            ("currency", json!("usd "), "malformed"),
            ("currency", json!("xxx"), "malformed"),
            ("total_details", json!(null), "read"),
            ("total_details", json!({}), "read"),
            ("metadata", json!({"credit_account": "no id", "credit_package": "starter"}), "malformed"),
            ("metadata", json!({"credit_account": "u-1", "credit_package": "no id"}), "malformed"),
            ("payment_intent", json!("no id"), "malformed"),
            ("payment_intent", json!(7), "malformed"),
            ("/created", json!(null), "malformed"),
            ("/created", json!(1_769_851_800_000_i64), "malformed"),
            ("/created", json!(1.5), "malformed"),
            ("/created", json!(0), "malformed"),
            ("/id", json!(null), "malformed"),
            ("/data", json!(null), "malformed"),
            ("/data", json!([1]), "malformed"),
        ],
    );
    let yen = with(with(session(), "/data/object/currency", json!("jpy")), "/data/object/total_details", json!(null));
    assert_eq!(payment(&yen).terms.amount.to_string(), "2380", "no cents assumed");
}

#[test]
fn a_quantity_is_a_plain_number_from_one() {
    for (quantity, expected) in [
        ("1", "read"),
        ("1000000", "read"),
        ("", "read"),
        ("0", "malformed"),
        ("1000001", "malformed"),
        ("-1", "malformed"),
        ("+1", "malformed"),
        ("1.0", "malformed"),
        ("1e2", "malformed"),
        (" 1", "malformed"),
        ("٣", "malformed"),
        ("99999999999999", "malformed"),
    ] {
        let result = webhook(&with(intent(), "/data/object/metadata/credit_quantity", json!(quantity)));
        assert_eq!(fate(&result), expected, "{quantity:?}");
    }
}

#[test]
fn f82_fields_nobody_reads_cannot_stop_money() {
    fates(
        &session(),
        &[
            ("locale", json!("xx-new"), "read"),
            ("payment_method_types", json!(["a_new_one"]), "read"),
            ("note", json!("nul \u{0} inside"), "read"),
            ("/api_version", json!("2019-09-09"), "read"),
            ("/livemode", json!(null), "read"),
        ],
    );
    let twice = session().to_string().replacen('{', r#"{"x":1,"x":2,"#, 1);
    assert_eq!(fate(&read(&signed(&twice), &secrets)), "read");
    let money_twice = session().to_string().replace("\"amount_total\":2380", "\"amount_total\":1,\"amount_total\":2380");
    assert_eq!(fate(&read(&signed(&money_twice), &secrets)), "malformed", "which one is it?");
}

#[test]
fn b1_b5_b6_b7_what_is_not_signed_right_is_not_believed() {
    let body = session().to_string();
    let change = |change: &dyn Fn(&mut Raw)| {
        let mut raw = signed(&body);
        change(&mut raw);
        (fate(&read(&raw, &secrets)), fate(&reread(&raw)))
    };
    let header = |name: &'static str, value: &'static str| move |raw: &mut Raw| _ = raw.headers.insert(name.into(), value.into());
    assert_eq!(change(&|_| ()), ("read", "read"));
    assert_eq!(change(&|raw| _ = raw.headers.remove("Stripe-Signature")), ("bad_signature", "read"));
    assert_eq!(change(&header("Stripe-Signature", "")), ("bad_signature", "read"));
    assert_eq!(change(&header("stripe-signature", "t=1,v1=00")), ("bad_signature", "read"), "two headers");
    assert_eq!(change(&header("x-received-at", "2026-01-31T09:35:00Z")), ("read", "read"));
    assert_eq!(change(&header("x-received-at", "2026-01-31T09:35:01Z")), ("bad_signature", "read"));
    assert_eq!(change(&header("x-received-at", "yesterday")), ("malformed", "malformed"));
    assert_eq!(change(&|raw| _ = raw.headers.remove("x-received-at")), ("malformed", "malformed"));
    assert_eq!(change(&|raw| raw.body.push(b' ')), ("bad_signature", "read"));
    assert_eq!(change(&|raw| raw.body = [b"\xef\xbb\xbf", body.as_bytes()].concat()), ("bad_signature", "malformed"));
}

#[test]
fn b41_a_webhook_is_of_the_tenant_it_came_for() {
    let body = session().to_string();
    let mut raw = signed(&body);
    raw.headers.remove("x-tenant");
    assert_eq!(fate(&read(&raw, &secrets)), "malformed");
    raw.headers.insert("x-tenant".into(), "no id".into());
    assert_eq!(fate(&read(&raw, &secrets)), "malformed");
    raw.headers.insert("x-tenant".into(), "other".into());
    assert_eq!(fate(&read(&raw, &secrets)), "not_permitted");
    raw.routing_key = "payment.stripe.other".into();
    let stranger = read(&raw, &secrets).unwrap_err();
    assert_eq!((stranger.reason.word(), stranger.tenant.unwrap().as_str()), ("bad_signature", "other"));
}

#[test]
fn other_providers_and_cloudevents_do_not_pass_as_stripe() {
    let body = session().to_string();
    for (key, expected) in
        [("payment.paypal.acme", "bad_signature"), ("payment.other.acme", "unknown_type"), ("payment.acme", "unknown_type")]
    {
        let raw = Raw { routing_key: key.into(), ..signed(&body) };
        assert_eq!(fate(&read(&raw, &secrets)), expected, "{key}");
    }
    let mut stray = delivery("credits.grant", &grant().to_string());
    stray.queue = Queue::Payments;
    assert_eq!(fate(&read(&stray, &secrets)), "not_permitted");
}

#[test]
fn b14_money_of_a_connected_account_buys_nothing() {
    fates(
        &session(),
        &[
            ("/account", json!("acct_1Stranger"), "not_permitted"),
            ("/account", json!({"id": "acct_1Stranger"}), "not_permitted"),
            ("/account", Value::Null, "read"),
        ],
    );
    let others = with(with(session(), "/account", json!("acct_1Stranger")), "/data/object/metadata", json!({}));
    assert_eq!(fate(&webhook(&others)), "ignored", "what they sell is no concern of ours");
}

#[test]
fn b38_a_webhook_has_its_own_size() {
    let body = session().to_string();
    let padded = |size: usize| format!("{body}{}", " ".repeat(size - body.len()));
    assert_eq!(fate(&read(&signed(&padded(256 * 1024)), &secrets)), "read");
    assert_eq!(fate(&read(&signed(&padded(256 * 1024 + 1)), &secrets)), "too_large");
}

#[test]
fn b11_a_replay_has_the_same_content_and_another_delivery_noise_too() {
    let content = |event: &Value| match webhook(event).unwrap() {
        Incoming::Account(message) => message.content,
        other => panic!("{other:?}"),
    };
    let noisy = with(with(session(), "/api_version", json!("2030-01-01")), "/pending_webhooks", json!(9));
    assert_eq!(content(&noisy), content(&session()));
    assert_ne!(content(&with(session(), "/data/object/amount_total", json!(2381))), content(&session()));
}
