//! An agency portal: clients buy credits and pay for services and invoices with them.
//!
//! Owns this half of the story and its arithmetic.

use super::show;
use super::stage::{Line, Stage};
use crate::deployment::signed;
use serde_json::{Value, json};

const CLIENT: Option<&str> = Some("northwind");
/// 2026-03-02T09:00:00Z
const PAID_AT: i64 = 1_772_442_000;

/// A client's purchases, orders and invoices.
pub async fn tell(stage: &mut Stage, secret: &str) -> anyhow::Result<()> {
    show::heading("An agency portal");
    show::say("The agency sells credits in packages: starter, 500 for 20.00, and growth, 2000 and a bonus of 200 for 70.00.");
    stage.enter("agency", "2026-03-02T09:00:00Z");
    for (member, role) in [("eve", "approver"), ("tom", "admin")] {
        let line = Line { account: None, kind: "member.changed", says: &format!("{member} joins the staff as {role}"), expects: "applied" };
        stage.say(line, json!({"member": member, "role": role})).await?;
    }
    let opened = Line { account: CLIENT, kind: "account.opened", says: "northwind, a client, gets an account", expects: "applied" };
    stage.say(opened, json!({"kind": "workspace", "owner": "kim"})).await?;
    card(stage, secret).await?;
    requests(stage).await?;
    spending(stage).await?;
    stage.statement("northwind").await
}

/// A card purchase whose webhook comes three times, and one that somebody forged.
async fn card(stage: &mut Stage, secret: &str) -> anyhow::Result<()> {
    show::say("\nKim buys starter by card. Stripe delivers the webhook three times; it counts once.");
    let body = session("evt_1", "pi_1").to_string().into_bytes();
    let headers = signed("agency", secret, PAID_AT, &body)?;
    for (says, expects) in [("first delivery", "applied"), ("second delivery", "duplicate"), ("third delivery", "duplicate")] {
        let line = Line { account: CLIENT, kind: "payment.stripe", says, expects };
        stage.webhook(line, headers.clone(), body.clone()).await?;
    }
    stage.has("northwind", 500).await?;
    let forged = session("evt_2", "pi_2").to_string().into_bytes();
    let headers = signed("agency", "whsec_somebody_elses_secret", PAID_AT, &forged)?;
    let line = Line {
        account: CLIENT,
        kind: "payment.stripe",
        says: "a webhook that Stripe did not sign is set aside",
        expects: "quarantined bad_signature",
    };
    stage.webhook(line, headers, forged).await?;
    Ok(())
}

fn session(event: &str, intent: &str) -> Value {
    json!({"id": event, "object": "event", "type": "checkout.session.completed", "livemode": false, "created": PAID_AT,
        "data": {"object": {"id": format!("cs_{intent}"), "object": "checkout.session", "mode": "payment", "payment_status": "paid",
            "payment_intent": intent, "amount_total": 2000, "currency": "usd",
            "metadata": {"credit_account": "northwind", "credit_package": "starter"}}}})
}

/// Manual purchases, decided by staff under four eyes.
async fn requests(stage: &mut Stage) -> anyhow::Result<()> {
    show::say("\nLarger purchases come by bank transfer. Staff decide, and never on a request of their own.");
    stage.until("2026-03-05T10:00:00Z", "three days pass").await?;
    let submit = |says, expects| Line { account: CLIENT, kind: "credit_request.submitted", says, expects };
    let decide = |says, expects| Line { account: CLIENT, kind: "credit_request.decided", says, expects };
    let wire = json!({"request": "REQ-1", "package": "growth", "method": "bank_transfer", "requested_by": "eve",
        "evidence": {"reference": "SEPA-2026-0305"}});
    stage.say(submit("eve files northwind's transfer of 70.00 for growth", "applied"), wire).await?;
    let own = json!({"request": "REQ-1", "decision": "accepted", "decided_by": "eve", "received_amount": "70.00"});
    stage.say(decide("eve accepts what she filed herself", "rejected four_eyes"), own).await?;
    stage.has("northwind", 500).await?;
    let other = json!({"request": "REQ-1", "decision": "accepted", "decided_by": "tom", "received_amount": "70.00"});
    stage.say(decide("tom accepts it", "applied"), other).await?;
    // 500 + 2000 + 200
    stage.has("northwind", 2700).await?;
    let coins = json!({"request": "REQ-2", "package": "starter", "method": "crypto", "requested_by": "kim",
        "evidence": {"reference": "0x5e1f"}});
    stage.say(submit("kim asks for starter, paid in crypto", "applied"), coins).await?;
    let no = json!({"request": "REQ-2", "decision": "rejected", "decided_by": "eve", "reason": "the transaction never confirmed"});
    stage.say(decide("eve rejects it: the transaction never confirmed", "applied"), no).await?;
    stage.has("northwind", 2700).await
}

/// Services and invoices, all or nothing.
async fn spending(stage: &mut Stage) -> anyhow::Result<()> {
    show::say("\nCredits pay for services and invoices, all or nothing.");
    stage.until("2026-03-12T16:00:00Z", "a week passes").await?;
    let spend = |says, expects| Line { account: CLIENT, kind: "credits.spend", says, expects };
    let service = |reference: &str, service: &str, credits: &str| json!({"purpose": "service", "reference": reference, "service": service, "credits": credits});
    let invoice = |reference: &str, credits: &str| json!({"purpose": "invoice", "reference": reference, "credits": credits});
    stage.say(spend("a logo for 150 credits", "applied"), service("ORD-77", "logo", "150")).await?;
    stage.say(spend("copywriting, 320 credits", "applied"), service("ORD-78", "copywriting", "320")).await?;
    stage.say_as("invoice-1", spend("invoice INV-1001 over 900 credits", "applied"), invoice("INV-1001", "900")).await?;
    stage.say(spend("the same invoice once more: it is paid already", "duplicate"), invoice("INV-1001", "900")).await?;
    stage
        .say_as(
            "invoice-1",
            spend("the first message again with another amount", "quarantined idempotency_conflict"),
            invoice("INV-1001", "90"),
        )
        .await?;
    // 2700 − 150 − 320 − 900
    stage.has("northwind", 1330).await?;
    stage.say(spend("invoice INV-1002 over 5000 credits", "rejected insufficient_credits"), invoice("INV-1002", "5000")).await?;
    stage
        .say(spend("consulting, which is billed in money only", "rejected service_not_eligible"), service("ORD-79", "consulting", "100"))
        .await?;
    stage.has("northwind", 1330).await
}
