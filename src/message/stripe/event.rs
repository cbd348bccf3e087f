//! Stripe events: their envelope, and which object says what.
//!
//! Owns the list of event types that are read. Never asks Stripe anything.

use super::object::second;
use super::{dispute, invoice, payment, refund, subscription};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::STRIPE;
use crate::message::cloudevent::Named;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use crate::message::provider::{Envelope, Said, incoming, message_id};
use crate::message::read::Incoming;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Event<'a> {
    id: Field<Printable>,
    #[serde(rename = "type")]
    kind: String,
    livemode: Option<bool>,
    // Of events of accounts that are connected to the seller's.
    account: Option<IgnoredAny>,
    // Unread until it is needed: events of other kinds write it differently.
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads an authentic event. What could be named is left in `named`.
pub(in crate::message) fn read(tenant: &Id, text: &str, named: &mut Named) -> Result<Incoming, Fault> {
    let Object(event): Object<Event<'_>> = serde_json::from_str(text)?;
    let id = message_id(STRIPE, &event.id.0)?;
    named.id = Some(id.clone());
    let said = match said(&event)? {
        // Money that went to a connected account, whose owner writes what metadata they like.
        Said::Of(..) if event.account.is_some() => {
            return Err(Fault::not_permitted("it is about a payment to another Stripe account, one that is connected to the seller's"));
        }
        Said::OfSomebody(_) if event.account.is_some() => Said::Nothing,
        said => said,
    };
    incoming(Envelope { tenant, id, kind: &event.kind }, said, || second(event.created, "created"))
}

fn said(event: &Event<'_>) -> Result<Said, Fault> {
    let livemode = event.livemode;
    let object = || object(event);
    match event.kind.as_str() {
        "checkout.session.completed"
        | "checkout.session.async_payment_succeeded"
        | "checkout.session.async_payment_failed"
        | "checkout.session.expired" => payment::session(object()?, &event.kind, livemode),
        "payment_intent.succeeded" | "payment_intent.payment_failed" | "payment_intent.canceled" => {
            payment::intent(object()?, &event.kind, livemode)
        }
        "charge.refunded" => refund::charge(object()?, livemode),
        "charge.refund.updated" | "refund.created" | "refund.updated" | "refund.failed" => refund::refund(object()?, &event.kind, livemode),
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated"
        | "charge.dispute.closed" => dispute::dispute(object()?, &event.kind, livemode),
        "customer.subscription.created" | "customer.subscription.updated" | "customer.subscription.deleted" => {
            subscription::subscription(object()?, &event.kind, livemode)
        }
        "invoice.paid" | "invoice.payment_failed" => invoice::invoice(object()?, &event.kind, livemode),
        "invoice_payment.paid" => invoice::payment(object()?, livemode),
        _ => Ok(Said::Nothing),
    }
}

fn object<'a>(event: &Event<'a>) -> Result<&'a str, Fault> {
    let data = event.data.ok_or_else(|| Fault::malformed("`data` is missing"))?;
    let Object(data): Object<Data<'a>> = serde_json::from_str(data.get()).map_err(|error| Fault::from(error).within("data"))?;
    Ok(data.object.get())
}
