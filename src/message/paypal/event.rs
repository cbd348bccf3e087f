//! PayPal events: their envelope, and which resource says what.
//!
//! Owns the list of event types that are read. Never asks PayPal anything.

use super::object::instant;
use super::{dispute, payment, refund, subscription};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::PAYPAL;
use crate::message::cloudevent::Named;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use crate::message::provider::{Envelope, Said, incoming, message_id};
use crate::message::read::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Event<'a> {
    id: Field<Printable>,
    event_type: String,
    create_time: Option<String>,
    // Unread until it is needed: events of other kinds write it differently.
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// Reads an authentic event. What could be named is left in `named`. Events do not say whether money is real;
/// `livemode` is what the host of their certificate says.
pub(in crate::message) fn read(tenant: &Id, text: &str, livemode: Option<bool>, named: &mut Named) -> Result<Incoming, Fault> {
    let Object(event): Object<Event<'_>> = serde_json::from_str(text)?;
    let id = message_id(PAYPAL, &event.id.0)?;
    named.id = Some(id.clone());
    let said = said(&event, livemode)?;
    incoming(Envelope { tenant, id, kind: &event.event_type }, said, || instant(event.create_time.as_deref(), "create_time"))
}

fn said(event: &Event<'_>, livemode: Option<bool>) -> Result<Said, Fault> {
    let (kind, told_at) = (event.event_type.as_str(), event.create_time.as_deref());
    let resource = || event.resource.map(RawValue::get).ok_or_else(|| Fault::malformed("`resource` is missing"));
    match kind {
        // One that is pending is decided by one of these later.
        "PAYMENT.CAPTURE.COMPLETED" | "PAYMENT.CAPTURE.DENIED" | "PAYMENT.SALE.COMPLETED" => payment::payment(resource()?, kind, livemode),
        "PAYMENT.CAPTURE.REFUNDED" | "PAYMENT.CAPTURE.REVERSED" | "PAYMENT.SALE.REFUNDED" | "PAYMENT.SALE.REVERSED" => {
            refund::refund(resource()?, told_at, livemode)
        }
        "CUSTOMER.DISPUTE.CREATED" | "CUSTOMER.DISPUTE.UPDATED" | "CUSTOMER.DISPUTE.RESOLVED" => {
            dispute::dispute(resource()?, kind, livemode)
        }
        "BILLING.SUBSCRIPTION.ACTIVATED"
        | "BILLING.SUBSCRIPTION.UPDATED"
        | "BILLING.SUBSCRIPTION.CANCELLED"
        | "BILLING.SUBSCRIPTION.EXPIRED"
        | "BILLING.SUBSCRIPTION.SUSPENDED" => subscription::subscription(resource()?, kind, livemode),
        _ => Ok(Said::Nothing),
    }
}
