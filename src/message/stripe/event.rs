//! Stripe events: their envelope, and which object says what.
//!
//! Owns the list of event types that are read. Never asks Stripe anything.

use super::object::second;
use super::{dispute, invoice, payment, refund, subscription};
use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::domain::payment::STRIPE;
use crate::message::cloudevent::Named;
use crate::message::content;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use crate::message::payload::Asked;
use crate::message::read::{Incoming, Unaddressed};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Event<'a> {
    id: Field<Printable>,
    #[serde(rename = "type")]
    kind: String,
    livemode: Option<bool>,
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

/// What an event says.
pub(super) enum Said {
    /// Something about an account it names.
    Of(Id, Command),
    /// Something about a payment, without saying whose it is.
    OfSomebody(Command),
    /// Nothing about a payment, or about one that is not ours.
    Nothing,
}

/// Reads an authentic event. What could be named is left in `named`.
pub(in crate::message) fn read(tenant: &Id, text: &str, named: &mut Named) -> Result<Incoming, Fault> {
    let Object(event): Object<Event<'_>> = serde_json::from_str(text)?;
    let source = Printable::new(STRIPE).map_err(|_| Fault::malformed("the source"))?;
    let id = MessageId { source, id: event.id.0.clone() };
    named.id = Some(id.clone());
    match said(&event)? {
        Said::Nothing => {
            let content = content::of_ignored(&event.kind, tenant);
            Ok(Incoming::Ignored { tenant: tenant.clone(), id, content })
        }
        Said::Of(account, command) => {
            let key = AccountKey { tenant: tenant.clone(), account };
            let occurred_at = second(event.created, "created")?;
            let asked = Asked::from(command);
            let content = content::of_account(&event.kind, &key, occurred_at, &asked);
            Ok(Incoming::Account(Box::new(Message { id, content, account: key, occurred_at, command: asked.command })))
        }
        Said::OfSomebody(command) => {
            let occurred_at = second(event.created, "created")?;
            let asked = Asked::from(command);
            let content = content::of_unaddressed(&event.kind, tenant, occurred_at, &asked);
            let command = asked.command;
            Ok(Incoming::Unaddressed(Box::new(Unaddressed { tenant: tenant.clone(), id, content, occurred_at, command })))
        }
    }
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
        "invoice_payment.paid" => invoice::payment(object()?),
        _ => Ok(Said::Nothing),
    }
}

fn object<'a>(event: &Event<'a>) -> Result<&'a str, Fault> {
    let data = event.data.ok_or_else(|| Fault::malformed("`data` is missing"))?;
    let Object(data): Object<Data<'a>> = serde_json::from_str(data.get()).map_err(|error| Fault::from(error).within("data"))?;
    Ok(data.object.get())
}
