//! Money back: a refund of spent credits, a dispute that is won and one that is lost, and PayPal's money.
//!
//! Owns this part of the story and its arithmetic.

use super::show;
use super::stage::{Line, Stage};
use crate::deployment::{signed, signed_as_paypal};
use serde_json::{Value, json};

const CLIENT: Option<&str> = Some("southwind");
/// 2026-03-13T09:00:00Z
const AT: i64 = 1_773_392_400;

/// A client whose payments are refunded and disputed.
pub async fn tell(stage: &mut Stage, secret: &str) -> anyhow::Result<()> {
    show::say("\nMoney comes back, too. Southwind buys starter by card and pays an invoice with it.");
    stage.until("2026-03-13T09:05:00Z", "a day passes").await?;
    hear(stage, secret, ("starter is paid for by card", "applied"), &bought("pi_11")).await?;
    let invoice = Line { account: CLIENT, kind: "credits.spend", says: "invoice INV-2001 over 400 credits", expects: "applied" };
    stage.say(invoice, json!({"purpose": "invoice", "reference": "INV-2001", "credits": "400"})).await?;
    refund(stage, secret).await?;
    disputes(stage, secret).await?;
    paypal(stage).await?;
    stage.statement("southwind").await
}

/// The same with another provider: bought, and a part of it refunded.
async fn paypal(stage: &mut Stage) -> anyhow::Result<()> {
    let usd = |value: &str| json!({"currency_code": "USD", "value": value});
    let capture = json!({"id": "C21", "amount": usd("20.00"), "custom_id": "southwind:starter", "status": "COMPLETED"});
    hear_paypal(stage, ("starter is paid for with PayPal", "applied"), &told("1", "COMPLETED", &capture)).await?;
    hear_paypal(stage, ("PayPal sends it again", "duplicate"), &told("1", "COMPLETED", &capture)).await?;
    // 100 + 500
    stage.has("southwind", 600).await?;
    let up = json!({"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C21"});
    let refund = json!({"id": "R21", "amount": usd("5.00"), "status": "COMPLETED", "create_time": "2026-03-13T09:00:00Z", "links": [up]});
    hear_paypal(stage, ("5.00 of 20.00 are refunded: 125 of 500 credits go", "applied"), &told("2", "REFUNDED", &refund)).await?;
    // 600 − 500 × 5 / 20
    stage.has("southwind", 475).await
}

fn told(id: &str, what: &str, resource: &Value) -> Value {
    let kind = format!("PAYMENT.CAPTURE.{what}");
    json!({"id": format!("WH-{id}"), "event_type": kind, "create_time": "2026-03-13T09:00:00Z", "resource": resource})
}

async fn hear_paypal(stage: &mut Stage, (says, expects): (&str, &str), event: &Value) -> anyhow::Result<()> {
    let body = event.to_string().into_bytes();
    let headers = signed_as_paypal("agency", AT, &body)?;
    stage.webhook(Line { account: CLIENT, kind: "payment.paypal", says, expects }, headers, body).await?;
    Ok(())
}

/// A refund of credits that were spent: the rest becomes debt, which the next purchase repays.
async fn refund(stage: &mut Stage, secret: &str) -> anyhow::Result<()> {
    let all =
        event("r_11", "charge.refunded", &json!({"id": "ch_11", "amount_refunded": 2000, "currency": "usd", "payment_intent": "pi_11"}));
    hear(stage, secret, ("Stripe refunds all of it: 100 credits are left to take, 400 are owed", "applied"), &all).await?;
    // 500 − 400 − 100
    stage.has("southwind", 0).await?;
    let same = event(
        "r_12",
        "refund.created",
        &json!({"id": "re_11", "amount": 2000, "currency": "usd", "status": "succeeded", "payment_intent": "pi_11", "created": AT}),
    );
    hear(stage, secret, ("another event about the same refund changes nothing", "duplicate"), &same).await?;
    hear(stage, secret, ("starter is bought again: 400 of it repay the debt", "applied"), &bought("pi_12")).await?;
    // 500 − 400
    stage.has("southwind", 100).await
}

/// Credits of an open dispute are frozen; who wins has them.
async fn disputes(stage: &mut Stage, secret: &str) -> anyhow::Result<()> {
    let told = |id: &str, what: &str, payment: &str, status: &str| {
        let object = json!({"id": format!("dp_{payment}"), "amount": 2000, "currency": "usd", "status": status, "payment_intent": payment, "created": AT});
        event(id, &format!("charge.dispute.{what}"), &object)
    };
    hear(
        stage,
        secret,
        ("the cardholder disputes it: 100 credits are frozen", "applied"),
        &told("d_1", "created", "pi_12", "needs_response"),
    )
    .await?;
    hear(stage, secret, ("the agency wins: they are free again", "applied"), &told("d_2", "closed", "pi_12", "won")).await?;
    stage.has("southwind", 100).await?;
    hear(stage, secret, ("starter once more", "applied"), &bought("pi_13")).await?;
    // 100 + 500
    stage.has("southwind", 600).await?;
    let gone = told("d_3", "funds_withdrawn", "pi_13", "needs_response");
    hear(stage, secret, ("that is disputed as well, and Stripe withdraws the money: its 500 credits go", "applied"), &gone).await?;
    hear(stage, secret, ("the agency loses: nothing more to take", "applied"), &told("d_4", "closed", "pi_13", "lost")).await?;
    // 600 − 500
    stage.has("southwind", 100).await
}

async fn hear(stage: &mut Stage, secret: &str, (says, expects): (&str, &str), event: &Value) -> anyhow::Result<()> {
    let body = event.to_string().into_bytes();
    let headers = signed("agency", secret, AT, &body)?;
    stage.webhook(Line { account: CLIENT, kind: "payment.stripe", says, expects }, headers, body).await?;
    Ok(())
}

fn bought(payment: &str) -> Value {
    let object = json!({"id": format!("cs_{payment}"), "mode": "payment", "payment_status": "paid", "payment_intent": payment,
        "amount_total": 2000, "currency": "usd", "metadata": {"credit_account": "southwind", "credit_package": "starter"}});
    event(&format!("s_{payment}"), "checkout.session.completed", &object)
}

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": format!("evt_{id}"), "type": kind, "livemode": false, "created": AT, "data": {"object": object}})
}
