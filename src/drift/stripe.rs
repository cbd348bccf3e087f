//! What rows of Stripe's exports and objects of its lists say.
//!
//! Owns which columns and fields are read and what Stripe's words mean. Sources: Stripe's documentation of
//! exports, reporting categories and the objects Charge, PaymentIntent and Dispute (`docs/drift.md` names them).

use super::cell;
use super::file::Cells;
use super::finding::shown;
use super::record::{Lost, Names, Paid, Reversed, Says};
use crate::domain::credits::Money;
use crate::domain::ids::Id;
use crate::domain::payment::STRIPE;
use crate::message::major;
use jiff::Timestamp;
use serde::Deserialize;

/// Columns without which a file is not the dashboard's export of payments.
pub const PAYMENTS: &[&str] = &["id", "Amount", "Amount Refunded", "Currency", "Status"];
/// One of these says when a payment was made.
pub const CREATED: [&str; 2] = ["Created date (UTC)", "Created (UTC)"];
/// Columns without which a file is not an itemized report of balance changes.
pub const BALANCE: &[&str] = &["balance_transaction_id", "created_utc", "reporting_category", "gross", "currency"];

/// Statuses of payments whose money Stripe has, or had.
const PAID: [&str; 7] = ["paid", "succeeded", "refunded", "partially refunded", "partial refund", "disputed", "early fraud warning"];
/// Statuses of payments that are none yet, or not any more.
const UNPAID: [&str; 14] = [
    "failed",
    "canceled",
    "cancelled",
    "expired",
    "blocked",
    "pending",
    "incomplete",
    "uncaptured",
    "requires_action",
    "requires_capture",
    "requires_confirmation",
    "requires_payment_method",
    "processing",
    "review",
];
/// States of disputes that leave the money where it is.
const HARMLESS: [&str; 8] = [
    "won",
    "prevented",
    "charge_refunded",
    "warning_closed",
    "warning_needs_response",
    "warning_under_review",
    "warning needs response",
    "warning under review",
];

/// A row of the dashboard's export of payments: one charge with what became of it.
///
/// # Errors
/// What cannot be read.
pub fn payment_row(cells: &Cells<'_>) -> Result<(Option<Timestamp>, Says), String> {
    let at = cell::utc(CREATED.iter().map(|column| cells.get(column)).find(|text| !text.is_empty()).unwrap_or_default())?;
    let status = cells.get("Status").trim().to_ascii_lowercase();
    if UNPAID.contains(&status.as_str()) || cells.get("Captured").eq_ignore_ascii_case("false") {
        return Ok((Some(at), Says::Nothing));
    }
    if !PAID.contains(&status.as_str()) {
        return Err(format!("the status {} is not known", shown(cells.get("Status"))));
    }
    let named = [cells.get("PaymentIntent ID"), cells.get("id"), cells.get("Invoice ID")];
    let currency = cell::currency(cells.get("Currency"))?;
    let money = |text: &str| cell::money(text, &currency);
    let refunded = cells.get("Amount Refunded");
    let mut lost = Lost { least: if refunded.is_empty() { Money::ZERO } else { money(refunded)? }, ..Lost::default() };
    let dispute = cells.get("Dispute Status").trim().to_ascii_lowercase();
    if !dispute.is_empty() && !HARMLESS.contains(&dispute.as_str()) {
        let disputed = cells.get("Disputed Amount");
        match (disputed.is_empty(), dispute.as_str()) {
            (true, _) => lost.is_vague = true,
            (false, "lost") => lost.least = sum(lost.least, money(disputed)?)?,
            (false, _) => lost.open = money(disputed)?,
        }
    }
    let livemode = match cells.get("Mode").trim().to_ascii_lowercase().as_str() {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    };
    let paid = Paid {
        names: Names::of(STRIPE, named)?,
        amount: money(cells.get("Amount"))?,
        currency,
        account: account(cells.get("credit_account (metadata)")),
        livemode,
        lost: Some(lost),
    };
    Ok((Some(at), Says::Paid(Box::new(paid))))
}

/// A row of an itemized report: one movement of money. Amounts are the customer's where the report has them, or
/// else those of the settlement.
///
/// # Errors
/// What cannot be read.
pub fn balance_row(cells: &Cells<'_>) -> Result<(Option<Timestamp>, Says), String> {
    let at = Some(cell::utc(cells.get("created_utc"))?);
    let category = cells.get("reporting_category").trim();
    let is_dispute = match category {
        "charge" | "refund" | "refund_failure" | "charge_failure" => false,
        "dispute" | "dispute_reversal" => true,
        _ => return Ok((at, Says::Nothing)),
    };
    let source = cells.get("source_id");
    let source = if source.starts_with("ch_") || source.starts_with("py_") || source.starts_with("pi_") { source } else { "" };
    let names = Names::of(STRIPE, [cells.get("payment_intent_id"), cells.get("charge_id"), source, cells.get("invoice_id")]);
    let names = names.map_err(|what| format!("{what}: add the columns payment_intent_id and charge_id to the report"))?;
    let settled = cell::currency(cells.get("currency"))?;
    let gross = cell::money(cells.get("gross"), &settled)?;
    let (facing, facing_currency) = (cells.get("customer_facing_amount"), cells.get("customer_facing_currency"));
    let (amount, currency) = if facing.is_empty() || facing_currency.is_empty() {
        (gross, settled)
    } else {
        let facing_currency = cell::currency(facing_currency)?;
        let facing = cell::money(facing, &facing_currency)?;
        // The sign is that of the movement.
        let facing = if facing.is_negative() == gross.is_negative() { facing } else { facing.negated() };
        (facing, facing_currency)
    };
    if category != "charge" {
        return Ok((at, Says::Reversed(Box::new(Reversed { names, amount: amount.negated(), currency, is_dispute }))));
    }
    let account = account(cells.get("payment_metadata[credit_account]"));
    Ok((at, Says::Paid(Box::new(Paid { names, amount, currency, account, livemode: None, lost: None }))))
}

/// A related object: its id, or whole.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Expanded { id: String },
}

impl Reference {
    fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Expanded { id } => id,
        }
    }
}

#[derive(Deserialize, Default)]
struct Metadata {
    credit_account: Option<String>,
}

#[derive(Deserialize)]
struct Movement {
    amount: i64,
}

/// A charge, a PaymentIntent, a refund or a dispute, read narrowly.
#[derive(Deserialize)]
pub struct Object {
    id: String,
    object: Option<String>,
    created: Option<i64>,
    amount: Option<u64>,
    amount_captured: Option<u64>,
    amount_received: Option<u64>,
    amount_refunded: Option<u64>,
    currency: Option<String>,
    captured: Option<bool>,
    paid: Option<bool>,
    status: Option<String>,
    livemode: Option<bool>,
    disputed: Option<bool>,
    payment_intent: Option<Reference>,
    charge: Option<Reference>,
    latest_charge: Option<Reference>,
    invoice: Option<Reference>,
    metadata: Option<Metadata>,
    #[serde(default)]
    balance_transactions: Vec<Movement>,
}

impl Object {
    /// Its id, which the next page of a list begins after.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it says.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn row(&self) -> Result<(Option<Timestamp>, Says), String> {
        let at = self.created.and_then(|second| Timestamp::from_second(second).ok());
        let kind = self.object.as_deref().unwrap_or_else(|| self.id.split('_').next().unwrap_or_default());
        let is_done = self.status.as_deref() == Some("succeeded");
        let says = match kind {
            "charge" | "ch" | "py" if is_done && self.paid != Some(false) && self.captured != Some(false) => {
                let lost = Lost {
                    least: self.money(Some(self.amount_refunded.unwrap_or_default()))?,
                    open: Money::ZERO,
                    is_vague: self.disputed == Some(true),
                };
                self.paid([self.payment_intent.as_ref().map(Reference::id), Some(&self.id)], self.amount_captured.or(self.amount), lost)?
            }
            // It does not say what was refunded of it.
            "payment_intent" | "pi" if is_done => {
                let lost = Lost { is_vague: true, ..Lost::default() };
                self.paid([Some(&self.id), self.latest_charge.as_ref().map(Reference::id)], self.amount_received.or(self.amount), lost)?
            }
            "charge" | "ch" | "py" | "payment_intent" | "pi" => Says::Nothing,
            "dispute" | "dp" | "du" => self.dispute()?,
            // One that is under way counts, as it does here, until it fails.
            "refund" | "re" | "pyr" if matches!(self.status.as_deref(), Some("failed" | "canceled")) => Says::Nothing,
            "refund" | "re" | "pyr" => self.reversed(self.money(self.amount)?, false)?,
            other => return Err(format!("an object {} is not compared: list charges", shown(other))),
        };
        Ok((at, says))
    }

    fn paid(&self, named: [Option<&str>; 2], minor: Option<u64>, lost: Lost) -> Result<Says, String> {
        let invoice = self.invoice.as_ref().map(Reference::id);
        let account = self.metadata.as_ref().and_then(|metadata| metadata.credit_account.as_deref()).unwrap_or_default();
        Ok(Says::Paid(Box::new(Paid {
            names: Names::of(STRIPE, named.into_iter().chain([invoice]).flatten())?,
            amount: self.money(minor)?,
            currency: self.currency()?,
            account: self::account(account),
            livemode: self.livemode,
            lost: Some(lost),
        })))
    }

    fn dispute(&self) -> Result<Says, String> {
        let status = self.status.as_deref().unwrap_or_default();
        let withdrawn = self.balance_transactions.iter().map(|movement| i128::from(movement.amount)).sum::<i128>() < 0;
        let gone = !HARMLESS.contains(&status) && (status == "lost" || withdrawn);
        self.reversed(if gone { self.money(self.amount)? } else { Money::ZERO }, true)
    }

    fn reversed(&self, amount: Money, is_dispute: bool) -> Result<Says, String> {
        let named = [self.payment_intent.as_ref().map(Reference::id), self.charge.as_ref().map(Reference::id)];
        let names = Names::of(STRIPE, named.into_iter().flatten())?;
        Ok(Says::Reversed(Box::new(Reversed { names, amount, currency: self.currency()?, is_dispute })))
    }

    fn currency(&self) -> Result<Id, String> {
        cell::currency(self.currency.as_deref().unwrap_or_default())
    }

    fn money(&self, minor: Option<u64>) -> Result<Money, String> {
        let minor = minor.ok_or_else(|| "the amount is missing".to_owned())?;
        major(minor, self.currency()?.as_str()).ok_or_else(|| "the amount is too large".to_owned())
    }
}

/// The account that the seller wrote on a payment; what is no name of an account is somebody else's.
fn account(text: &str) -> Option<Id> {
    Id::new(text.trim()).ok()
}

fn sum(left: Money, right: Money) -> Result<Money, String> {
    left.plus(right).map_err(|_| "the amount is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Result<Says, String> {
        serde_json::from_str::<Object>(json).unwrap().row().map(|(_, says)| says)
    }

    #[test]
    fn b15_minor_units_of_objects_follow_the_table() {
        for (minor, currency, amount) in [(2000, "usd", "20"), (500, "jpy", "500"), (5120, "kwd", "5.12"), (500, "isk", "5")] {
            let json = format!(
                r#"{{"id":"ch_1","object":"charge","status":"succeeded","amount":{minor},"amount_refunded":{minor},"currency":"{currency}"}}"#
            );
            let Ok(Says::Paid(paid)) = said(&json) else { panic!("{json}") };
            let lost = paid.lost.unwrap();
            assert_eq!((paid.amount.to_string(), lost.least.to_string()), (amount.to_owned(), amount.to_owned()), "{currency}");
        }
    }

    #[test]
    fn what_is_no_money_of_ours_says_nothing() {
        for json in [
            r#"{"id":"ch_1","object":"charge","status":"failed","amount":1,"currency":"usd"}"#,
            r#"{"id":"ch_1","object":"charge","status":"succeeded","captured":false,"amount":1,"currency":"usd"}"#,
            r#"{"id":"pi_1","object":"payment_intent","status":"requires_action","amount":1,"currency":"usd"}"#,
        ] {
            assert!(matches!(said(json), Ok(Says::Nothing)), "{json}");
        }
        assert!(said(r#"{"id":"cus_1","object":"customer"}"#).is_err());
        assert!(said(r#"{"id":"ch_1","object":"charge","status":"succeeded","currency":"usd"}"#).is_err());
    }

    #[test]
    fn a_refund_counts_until_it_fails() {
        for (status, gone) in [("succeeded", Some("5")), ("pending", Some("5")), ("failed", None), ("canceled", None)] {
            let json = format!(
                r#"{{"id":"re_1","object":"refund","status":"{status}","amount":500,"currency":"usd","charge":"ch_1","payment_intent":"pi_1"}}"#
            );
            let counted = match said(&json).unwrap() {
                Says::Reversed(reversed) => Some((reversed.amount.to_string(), reversed.is_dispute)),
                _ => None,
            };
            assert_eq!(counted, gone.map(|gone| (gone.to_owned(), false)), "{status}");
        }
    }

    #[test]
    fn a_dispute_counts_when_its_money_is_gone() {
        for (status, movements, gone) in [
            ("lost", "", "5"),
            ("won", r#"{"amount":-500},{"amount":500}"#, "0"),
            ("needs_response", "", "0"),
            ("under_review", r#"{"amount":-500}"#, "5"),
            ("warning_closed", "", "0"),
        ] {
            let json = format!(
                r#"{{"id":"dp_1","object":"dispute","status":"{status}","amount":500,"currency":"usd","charge":"ch_1","balance_transactions":[{movements}]}}"#
            );
            let Ok(Says::Reversed(reversed)) = said(&json) else { panic!("{json}") };
            assert_eq!((reversed.amount.to_string().as_str(), reversed.is_dispute), (gone, true), "{status}");
        }
    }
}
