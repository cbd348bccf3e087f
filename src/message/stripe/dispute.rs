//! Disputes and how far they are.
//!
//! Owns how Stripe's events and words say that. Both count, whichever says more: a word arrives with any
//! later event, too.

use super::object::{Reference, currency, money, names, printable, read, second};
use crate::domain::command::Command;
use crate::domain::provider::ProviderDispute;
use crate::domain::reversal::DisputeStage;
use crate::message::fault::Fault;
use crate::message::provider::Said;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Dispute<'a> {
    id: String,
    amount: Option<u64>,
    currency: Option<String>,
    status: Option<String>,
    charge: Option<Reference>,
    payment_intent: Option<Reference>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
}

/// Any event about a dispute.
pub(super) fn dispute(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let dispute: Dispute<'_> = read(object)?;
    let currency = currency(dispute.currency.as_deref())?;
    let minor = dispute.amount.ok_or_else(|| Fault::malformed("data.object: `amount` is missing"))?;
    Ok(Said::OfSomebody(Command::RecordDispute(ProviderDispute {
        names: names([dispute.payment_intent.map(Reference::id), dispute.charge.map(Reference::id)])?,
        dispute: printable(&dispute.id)?,
        amount: money(minor, &currency)?,
        currency,
        stage: stage(kind, dispute.status.as_deref()),
        opened_at: second(dispute.created, "data.object.created")?,
        livemode,
    })))
}

fn stage(kind: &str, status: Option<&str>) -> DisputeStage {
    let by_event = match kind {
        "charge.dispute.funds_withdrawn" => DisputeStage::Withdrawn,
        "charge.dispute.funds_reinstated" => DisputeStage::Reinstated,
        _ => DisputeStage::Opened,
    };
    let by_status = match status {
        Some("lost") => DisputeStage::Lost,
        // An inquiry that came to nothing, and a dispute that was prevented, cost nothing either.
        Some("won" | "warning_closed" | "prevented") => DisputeStage::Won,
        _ => DisputeStage::Opened,
    };
    by_event.max(by_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_and_status_count_whichever_says_more() {
        use DisputeStage::{Lost, Opened, Reinstated, Withdrawn, Won};
        for (event, status, expected) in [
            ("created", Some("needs_response"), Opened),
            ("created", Some("warning_needs_response"), Opened),
            ("created", None, Opened),
            ("updated", Some("under_review"), Opened),
            ("updated", Some("lost"), Lost),
            ("funds_withdrawn", Some("needs_response"), Withdrawn),
            ("funds_withdrawn", Some("lost"), Lost),
            ("funds_reinstated", Some("under_review"), Reinstated),
            ("funds_reinstated", Some("won"), Won),
            ("closed", Some("won"), Won),
            ("closed", Some("lost"), Lost),
            ("closed", Some("warning_closed"), Won),
            ("updated", Some("a_word_of_next_year"), Opened),
        ] {
            assert_eq!(stage(&format!("charge.dispute.{event}"), status), expected, "{event} {status:?}");
        }
    }
}
