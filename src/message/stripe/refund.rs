//! Refunds, as a charge shows them in sum and as refund objects show them one by one.
//!
//! Owns how Stripe's words for a refund's state are understood.

use super::details::details;
use super::object::{Reference, currency, money, names, printable, read, second};
use crate::domain::command::Command;
use crate::domain::ids::Id;
use crate::domain::payment_details::Details;
use crate::domain::provider::{ProviderRefund, RefundSeen};
use crate::domain::reversal::RefundStatus;
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::{SHOWN_MAX, Said};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Charge<'a> {
    id: String,
    amount_refunded: Option<u64>,
    currency: Option<String>,
    payment_intent: Option<Reference>,
    invoice: Option<Reference>,
    // Not sent any more since November 2022.
    #[serde(borrow)]
    refunds: Option<Object<Refunds<'a>>>,
}

#[derive(Deserialize)]
struct Refunds<'a> {
    #[serde(borrow, default)]
    data: Vec<Object<Refund<'a>>>,
}

#[derive(Deserialize)]
struct Refund<'a> {
    id: String,
    amount: Option<u64>,
    currency: Option<String>,
    status: Option<String>,
    charge: Option<Reference>,
    payment_intent: Option<Reference>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
}

/// `charge.refunded`: how much of a charge was refunded in all.
pub(super) fn charge(object: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let charge: Charge<'_> = read(object)?;
    let currency = currency(charge.currency.as_deref())?;
    let minor = charge.amount_refunded.ok_or_else(|| Fault::malformed("data.object: `amount_refunded` is missing"))?;
    let shown = [charge.payment_intent.map(Reference::id), Some(charge.id), charge.invoice.map(Reference::id)];
    let refunds = charge.refunds.map(|refunds| refunds.0.data).unwrap_or_default();
    if refunds.len() > SHOWN_MAX {
        return Err(Fault::malformed("data.object: more refunds than Stripe shows"));
    }
    Ok(Said::OfSomebody(Command::RecordRefund(ProviderRefund {
        names: names(shown)?,
        refunds: refunds.iter().map(|Object(refund)| seen(refund, &currency, false)).collect::<Result<_, _>>()?,
        refunded: Some(money(minor, &currency)?),
        details: details(object),
        currency,
        livemode,
    })))
}

/// An event about one refund.
pub(super) fn refund(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let refund: Refund<'_> = read(object)?;
    let currency = currency(refund.currency.as_deref())?;
    let seen = seen(&refund, &currency, kind == "refund.failed")?;
    let shown = [refund.payment_intent.map(Reference::id), refund.charge.map(Reference::id)];
    Ok(Said::OfSomebody(Command::RecordRefund(ProviderRefund {
        names: names(shown)?,
        refunds: vec![seen],
        refunded: None,
        details: Details::default(),
        currency,
        livemode,
    })))
}

fn seen(refund: &Refund<'_>, currency: &Id, failed: bool) -> Result<RefundSeen, Fault> {
    let minor = refund.amount.ok_or_else(|| Fault::malformed("data.object: the refund's `amount` is missing"))?;
    let status = match refund.status.as_deref() {
        _ if failed => RefundStatus::Failed,
        Some("failed" | "canceled") => RefundStatus::Failed,
        // Old refunds have no state: they had happened.
        Some("succeeded") | None => RefundStatus::Succeeded,
        Some(_) => RefundStatus::Pending,
    };
    Ok(RefundSeen {
        id: printable(&refund.id)?,
        amount: money(minor, currency)?,
        status,
        created_at: second(refund.created, "data.object.created")?,
    })
}
