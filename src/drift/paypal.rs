//! What rows of PayPal's activity download and of its list of transactions say.
//!
//! Owns which columns and fields are read and what PayPal's words and event codes mean. Sources: PayPal's
//! documentation of the activity download, of T-codes and of Transaction Search (`docs/drift.md` names them).

use super::cell::{self, DayOrder};
use super::file::Cells;
use super::finding::shown;
use super::record::{Names, Paid, Reversed, Says};
use crate::domain::ids::Id;
use crate::domain::payment::PAYPAL;
use crate::message::paypal::account_in;
use jiff::Timestamp;
use serde::Deserialize;

/// Columns without which a file is no activity download.
pub const ACTIVITY: &[&str] = &["Date", "Time", "Type", "Status", "Currency", "Gross", "Transaction ID", "Reference Txn ID"];
/// One of these names the time zone.
pub const ZONE: [&str; 2] = ["TimeZone", "Time Zone"];

/// Statuses of transactions that took place.
const DONE: [&str; 8] = ["completed", "cleared", "refunded", "partially refunded", "reversed", "partially reversed", "paid", "returned"];
/// Statuses of transactions that did not, or not yet.
const NOT_DONE: [&str; 16] = [
    "pending",
    "denied",
    "failed",
    "canceled",
    "cancelled",
    "voided",
    "expired",
    "held",
    "under review",
    "unclaimed",
    "processing",
    "created",
    "active",
    "removed",
    "placed",
    "uncleared",
];
/// Types by which money of a payment goes back, or comes again with the other sign.
const REVERSALS: [&str; 6] =
    ["payment refund", "refund", "payment reversal", "chargeback", "chargeback reversal", "cancellation of chargeback"];
/// Words of types that hold money of a payment or let it go, and are none.
const NO_PAYMENT: [&str; 5] = ["hold", "release", "review", "reserve", "fee"];

/// Event codes of reversals: by PayPal, by the merchant, chargebacks and their ends.
const REVERSED: [&str; 5] = ["T1106", "T1107", "T1201", "T1202", "T1208"];

/// A row of the activity download: one transaction.
///
/// # Errors
/// What cannot be read.
pub fn activity_row(cells: &Cells<'_>, order: DayOrder) -> Result<(Option<Timestamp>, Says), String> {
    let zone = ZONE.iter().map(|column| cells.get(column)).find(|text| !text.is_empty()).unwrap_or("UTC");
    let at = Some(cell::zoned(cells.get("Date"), cells.get("Time"), zone, order)?);
    let kind = cells.get("Type").trim().to_ascii_lowercase();
    let is_reversal = REVERSALS.contains(&kind.as_str());
    let is_payment = kind.contains("payment") && !NO_PAYMENT.iter().any(|word| kind.contains(word)) && !is_reversal;
    if !is_reversal && !is_payment {
        return Ok((at, Says::Nothing));
    }
    let currency = cell::currency(cells.get("Currency"))?;
    let gross = cell::money(cells.get("Gross"), &currency)?;
    // A payment of ours to somebody.
    if is_payment && !gross.is_positive() {
        return Ok((at, Says::Nothing));
    }
    let status = cells.get("Status").trim().to_ascii_lowercase();
    if NOT_DONE.contains(&status.as_str()) {
        return Ok((at, Says::Nothing));
    }
    if !DONE.contains(&status.as_str()) {
        return Err(format!("the status {} is not known", shown(cells.get("Status"))));
    }
    let says = if is_reversal {
        let names = Names::of(PAYPAL, [cells.get("Reference Txn ID")])?;
        Says::Reversed(Box::new(Reversed { names, amount: gross.negated(), currency, is_dispute: false }))
    } else {
        let names = Names::of(PAYPAL, [cells.get("Transaction ID")])?;
        let account = account(cells.get("Custom Number"));
        Says::Paid(Box::new(Paid { names, amount: gross, currency, account, livemode: None, lost: None }))
    };
    Ok((at, says))
}

#[derive(Deserialize)]
struct Amount {
    currency_code: String,
    value: String,
}

/// A transaction of the list, read narrowly.
#[derive(Deserialize)]
pub struct Transaction {
    transaction_info: Info,
}

#[derive(Deserialize)]
struct Info {
    transaction_id: Option<String>,
    paypal_reference_id: Option<String>,
    paypal_reference_id_type: Option<String>,
    transaction_event_code: Option<String>,
    transaction_initiation_date: Option<String>,
    transaction_amount: Option<Amount>,
    transaction_status: Option<String>,
    custom_field: Option<String>,
}

impl Transaction {
    /// What it says; `livemode` of the service it came from.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn row(&self, livemode: Option<bool>) -> Result<(Option<Timestamp>, Says), String> {
        let info = &self.transaction_info;
        let at = Some(cell::utc(info.transaction_initiation_date.as_deref().unwrap_or_default())?);
        let code = info.transaction_event_code.as_deref().unwrap_or_default();
        let (is_payment, is_reversal) = (code.starts_with("T00"), REVERSED.contains(&code));
        // A reversal of a reversed payment still says that it was paid (V).
        let is_done = matches!(info.transaction_status.as_deref(), Some("S" | "V"));
        if !(is_payment || is_reversal) || !is_done {
            return Ok((at, Says::Nothing));
        }
        let Amount { currency_code, value } = info.transaction_amount.as_ref().ok_or_else(|| "the amount is missing".to_owned())?;
        let currency = cell::currency(currency_code)?;
        let amount = cell::money(value, &currency)?;
        if is_reversal {
            let refers = info.paypal_reference_id_type.as_deref().is_none_or(|kind| kind == "TXN");
            let names = Names::of(PAYPAL, info.paypal_reference_id.as_deref().filter(|_| refers))?;
            return Ok((at, Says::Reversed(Box::new(Reversed { names, amount: amount.negated(), currency, is_dispute: false }))));
        }
        if !amount.is_positive() {
            return Ok((at, Says::Nothing));
        }
        let names = Names::of(PAYPAL, info.transaction_id.as_deref())?;
        let account = account(info.custom_field.as_deref().unwrap_or_default());
        Ok((at, Says::Paid(Box::new(Paid { names, amount, currency, account, livemode, lost: None }))))
    }
}

/// The account of `account:package`, which the seller wrote on a payment.
/// As the webhooks are read: what others write there names no account of ours.
fn account(custom: &str) -> Option<Id> {
    account_in(custom.trim())
}
