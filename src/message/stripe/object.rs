//! What Stripe's objects have in common: references, names of a payment, amounts.
//!
//! Owns how they are read narrowly: a field of another API version that is never read cannot stop money.

use super::currency;
use crate::domain::credits::Money;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PaymentName, STRIPE};
use crate::domain::provider::PaymentNames;
use crate::message::fault::Fault;
use crate::message::field::{Currency, Spelt, within_years};
use crate::message::json::Object;
use crate::message::provider::SHOWN_MAX;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stripe shows a related object as its id or, expanded, whole.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Reference {
    Id(String),
    Expanded { id: String },
}

impl Reference {
    pub(super) fn id(self) -> String {
        match self {
            Self::Id(id) | Self::Expanded { id } => id,
        }
    }
}

/// What the seller wrote on the object. Other keys are other people's.
#[derive(Deserialize, Default)]
pub(super) struct Metadata {
    pub(super) credit_account: Option<String>,
    pub(super) credit_package: Option<String>,
    pub(super) credit_quantity: Option<String>,
}

/// The account that the seller named there.
pub(super) fn account_of(metadata: Option<&Object<Metadata>>) -> Result<Option<Id>, Fault> {
    let Some(named) = metadata.and_then(|metadata| written(metadata.0.credit_account.as_ref())) else { return Ok(None) };
    Id::new(named).map(Some).map_err(|_| Fault::malformed("the account that was named is no id"))
}

/// Reads the object of an event.
pub(super) fn read<'a, T: Deserialize<'a>>(object: &'a str) -> Result<T, Fault> {
    let Object(read): Object<T> = serde_json::from_str(object).map_err(|error| Fault::from(error).within("data.object"))?;
    Ok(read)
}

/// A name of a payment.
pub(super) fn name(id: &str) -> Result<PaymentName, Fault> {
    PaymentName::of(STRIPE, id).map_err(|_| Fault::malformed("data.object: the payment's id is none"))
}

/// The names of a payment that an object shows, in the order of how much they say; those it lacks are left
/// out.
pub(super) fn names(shown: impl IntoIterator<Item = Option<String>>) -> Result<PaymentNames, Fault> {
    let names = shown.into_iter().flatten().map(|id| name(&id)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() || names.len() > SHOWN_MAX {
        return Err(Fault::malformed("data.object names no payment, or too many"));
    }
    Ok(PaymentNames(names))
}

/// The name of something else of Stripe's: a refund, a dispute.
pub(super) fn printable(id: &str) -> Result<Printable, Fault> {
    Printable::new(&format!("{STRIPE}:{id}")).map_err(|_| Fault::malformed("data.object: `id` is none"))
}

/// A currency in upper case.
pub(super) fn currency(text: Option<&str>) -> Result<Id, Fault> {
    let upper = text.unwrap_or_default().to_ascii_uppercase();
    let Currency(currency) = Currency::spelt(&upper).ok_or_else(|| Fault::malformed("data.object: `currency` is no currency"))?;
    Ok(currency)
}

/// An amount of minor units in major ones.
pub(super) fn money(minor: u64, currency: &Id) -> Result<Money, Fault> {
    currency::major(minor, currency.as_str()).ok_or_else(|| Fault::malformed("data.object: the amount is too large"))
}

/// An instant as Stripe writes them.
pub(super) fn second(second: Option<&RawValue>, name: &str) -> Result<Timestamp, Fault> {
    let second = second.and_then(|second| second.get().parse().ok());
    second
        .and_then(|second| within_years(Timestamp::from_second(second).ok()?))
        .ok_or_else(|| Fault::malformed(format!("`{name}` is no second in the years 2000 to 2400")))
}

/// Stripe has no way to take a value back but to empty it.
pub(super) fn written(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
