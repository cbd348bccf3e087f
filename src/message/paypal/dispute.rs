//! Disputes and how they end.
//!
//! Owns how PayPal's words for that are understood.

use super::object::{Amount, Sign, instant, name, printable, read};
use crate::domain::command::Command;
use crate::domain::provider::{PaymentNames, ProviderDispute};
use crate::domain::reversal::DisputeStage;
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::Said;
use serde::Deserialize;

#[derive(Deserialize)]
struct Dispute {
    dispute_id: String,
    create_time: Option<String>,
    status: Option<String>,
    dispute_amount: Option<Object<Amount>>,
    dispute_outcome: Option<Object<Outcome>>,
    #[serde(default)]
    disputed_transactions: Vec<Object<Transaction>>,
}

#[derive(Deserialize)]
struct Outcome {
    outcome_code: Option<String>,
    amount_refunded: Option<Object<Amount>>,
}

#[derive(Deserialize)]
struct Transaction {
    seller_transaction_id: Option<String>,
}

/// Any event about a dispute.
pub(super) fn dispute(resource: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let dispute: Dispute = read(resource)?;
    let payment = match dispute.disputed_transactions.as_slice() {
        [Object(Transaction { seller_transaction_id: Some(payment) })] => name(payment)?,
        [] | [_] => return Err(Fault::malformed("resource: the dispute names no transaction of the seller")),
        _ => {
            return Err(Fault::malformed(
                "resource: a dispute about several transactions; what is taken of each comes as a reversal of its own",
            ));
        }
    };
    let disputed = dispute.dispute_amount.ok_or_else(|| Fault::malformed("resource: `dispute_amount` is missing"))?;
    let (currency, mut amount) = disputed.0.read(Sign::Plain)?;
    let outcome = dispute.dispute_outcome.map(|outcome| outcome.0);
    let code = outcome.as_ref().and_then(|outcome| outcome.outcome_code.as_deref());
    let stage = stage(kind, dispute.status.as_deref(), code);
    let refunded = outcome.as_ref().and_then(|outcome| outcome.amount_refunded.as_ref());
    if let Some(Object(refunded)) = refunded.filter(|_| stage == DisputeStage::Lost) {
        let (in_currency, refunded) = refunded.read(Sign::Plain)?;
        amount = if in_currency == currency { refunded } else { amount };
    }
    Ok(Said::OfSomebody(Command::RecordDispute(ProviderDispute {
        names: PaymentNames(vec![payment]),
        dispute: printable(&dispute.dispute_id)?,
        currency,
        amount,
        stage,
        opened_at: instant(dispute.create_time.as_deref(), "resource.create_time")?,
        livemode,
    })))
}

/// What is over without a word that says the seller lost costs the seller nothing as a dispute: whatever
/// PayPal took comes as a refund or a reversal too.
fn stage(kind: &str, status: Option<&str>, outcome: Option<&str>) -> DisputeStage {
    if kind != "CUSTOMER.DISPUTE.RESOLVED" && status != Some("RESOLVED") {
        return DisputeStage::Opened;
    }
    match outcome {
        Some("RESOLVED_BUYER_FAVOUR" | "ACCEPTED") => DisputeStage::Lost,
        _ => DisputeStage::Won,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_is_open_until_it_is_resolved() {
        use DisputeStage::{Lost, Opened, Won};
        for (event, status, outcome, expected) in [
            ("CREATED", "WAITING_FOR_SELLER_RESPONSE", None, Opened),
            ("UPDATED", "UNDER_REVIEW", Some("NONE"), Opened),
            ("UPDATED", "A_WORD_OF_NEXT_YEAR", None, Opened),
            ("UPDATED", "RESOLVED", Some("RESOLVED_BUYER_FAVOUR"), Lost),
            ("RESOLVED", "RESOLVED", Some("RESOLVED_BUYER_FAVOUR"), Lost),
            ("RESOLVED", "RESOLVED", Some("ACCEPTED"), Lost),
            ("RESOLVED", "RESOLVED", Some("RESOLVED_SELLER_FAVOUR"), Won),
            ("RESOLVED", "RESOLVED", Some("RESOLVED_WITH_PAYOUT"), Won),
            ("RESOLVED", "RESOLVED", Some("CANCELED_BY_BUYER"), Won),
            ("RESOLVED", "RESOLVED", Some("DENIED"), Won),
            ("RESOLVED", "RESOLVED", None, Won),
        ] {
            assert_eq!(stage(&format!("CUSTOMER.DISPUTE.{event}"), Some(status), outcome), expected, "{event} {status} {outcome:?}");
        }
    }
}
