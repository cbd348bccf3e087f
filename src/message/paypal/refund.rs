//! Refunds and reversals of captures and sales.
//!
//! Owns where they name the payment they take back, which differs by version, and by whether the event shows
//! the refund or the payment itself.

use super::object::{Amount, Link, Sign, instant, name, printable, read};
use crate::domain::command::Command;
use crate::domain::payment_details::Details;
use crate::domain::provider::{PaymentNames, ProviderRefund, RefundSeen};
use crate::domain::reversal::RefundStatus;
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::{SHOWN_MAX, Said};
use serde::Deserialize;

#[derive(Deserialize)]
struct Refund {
    id: String,
    status: Option<String>,
    amount: Option<Object<Amount>>,
    create_time: Option<String>,
    #[serde(default)]
    links: Vec<Object<Link>>,
    seller_payable_breakdown: Option<Object<Breakdown>>,
    // Version 1.
    state: Option<String>,
    sale_id: Option<String>,
    capture_id: Option<String>,
    total_refunded_amount: Option<Object<Amount>>,
}

#[derive(Deserialize)]
struct Breakdown {
    total_refunded_amount: Option<Object<Amount>>,
}

/// An event about money that went back; `told_at` is when PayPal made the event.
pub(super) fn refund(resource: &str, told_at: Option<&str>, livemode: Option<bool>) -> Result<Said, Fault> {
    let refund: Refund = read(resource)?;
    let up = refund.links.iter().take(SHOWN_MAX).find_map(|Object(link)| link.payment());
    let payment = refund.sale_id.as_deref().or(refund.capture_id.as_deref()).or(up).filter(|payment| *payment != refund.id);
    // Without another, the resource is the payment itself: it was made long before it was taken back.
    let made_at = refund.create_time.as_deref().filter(|_| payment.is_some()).or(told_at);
    let Object(amount) = refund.amount.as_ref().ok_or_else(|| Fault::malformed("resource: the amount is missing"))?;
    let (currency, amount) = amount.read(Sign::WentBack)?;
    let total = refund.seller_payable_breakdown.as_ref().and_then(|shown| shown.0.total_refunded_amount.as_ref());
    let total = total.or(refund.total_refunded_amount.as_ref()).map(|Object(total)| total.read(Sign::WentBack)).transpose()?;
    let word = refund.status.as_deref().or(refund.state.as_deref()).unwrap_or_default();
    let seen = RefundSeen { id: printable(&refund.id)?, amount, status: status(word), created_at: instant(made_at, "create_time")? };
    Ok(Said::OfSomebody(Command::RecordRefund(ProviderRefund {
        names: PaymentNames(vec![name(payment.unwrap_or(&refund.id))?]),
        refunded: total.filter(|(total, _)| *total == currency).map(|(_, total)| total),
        currency,
        refunds: vec![seen],
        details: Details::default(),
        livemode,
    })))
}

/// Both versions' words. The event says that the money went back; a word of next year does not undo that.
fn status(word: &str) -> RefundStatus {
    match word.to_ascii_uppercase().as_str() {
        "FAILED" | "CANCELLED" | "DENIED" => RefundStatus::Failed,
        "PENDING" => RefundStatus::Pending,
        _ => RefundStatus::Succeeded,
    }
}
