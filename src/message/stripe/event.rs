//! Stripe events: what they say about one payment, read narrowly.
//!
//! Owns the fields the ledger uses and nothing else, so that a field of another API version that is
//! never read cannot stop money. Never asks Stripe anything.

use super::currency;
use crate::domain::command::{Command, Message, ProviderPayment};
use crate::domain::credits::Money;
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::domain::payment::{PaymentTerms, Purchase};
use crate::message::cloudevent::Named;
use crate::message::content;
use crate::message::fault::Fault;
use crate::message::field::{Currency, Field, Spelt, within_years};
use crate::message::json::Object;
use crate::message::payload::Asked;
use crate::message::read::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Pieces of a package one purchase may name.
const QUANTITY_MAX: u32 = 1_000_000;

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

#[derive(Deserialize)]
struct Session {
    id: Field<Id>,
    mode: Option<String>,
    payment_status: Option<String>,
    amount_total: Option<u64>,
    currency: Option<String>,
    total_details: Option<Object<TotalDetails>>,
    metadata: Option<Object<Metadata>>,
    client_reference_id: Option<String>,
    payment_intent: Option<Reference>,
    invoice: Option<Reference>,
}

#[derive(Deserialize)]
struct TotalDetails {
    amount_tax: Option<u64>,
}

#[derive(Deserialize)]
struct Intent {
    id: Field<Id>,
    amount: Option<u64>,
    amount_received: Option<u64>,
    currency: Option<String>,
    metadata: Option<Object<Metadata>>,
    invoice: Option<Reference>,
}

/// What the seller wrote on the object. Other keys are other people's.
#[derive(Deserialize, Default)]
struct Metadata {
    credit_account: Option<String>,
    credit_package: Option<String>,
    credit_quantity: Option<String>,
}

/// Stripe shows a related object as its id or, expanded, whole.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Expanded { id: String },
}

impl Reference {
    fn id(self) -> String {
        match self {
            Self::Id(id) | Self::Expanded { id } => id,
        }
    }
}

/// What both kinds of object say about a payment.
struct Seen {
    provider_id: Id,
    account: Option<String>,
    metadata: Metadata,
    minor: Option<u64>,
    minor_tax: Option<u64>,
    currency: Option<String>,
    document: Option<String>,
    paid: bool,
}

/// Reads an authentic event. What could be named is left in `named`.
pub(in crate::message) fn read(tenant: &Id, text: &str, named: &mut Named) -> Result<Incoming, Fault> {
    let Object(event): Object<Event<'_>> = serde_json::from_str(text)?;
    let source = Printable::new("stripe").map_err(|_| Fault::malformed("the source"))?;
    let id = MessageId { source, id: event.id.0.clone() };
    named.id = Some(id.clone());
    let Some(seen) = seen(&event)? else {
        let content = content::of_ignored(&event.kind, tenant);
        return Ok(Incoming::Ignored { tenant: tenant.clone(), id, content });
    };
    let (account, purchase) = match (written(seen.account.as_ref()), written(seen.metadata.credit_package.as_ref())) {
        (Some(account), Some(package)) => (account, purchase(package, seen.metadata.credit_quantity.as_ref())?),
        // Whoever else sells through this Stripe account: not ours (semantics §5).
        _ => {
            let content = content::of_ignored(&event.kind, tenant);
            return Ok(Incoming::Ignored { tenant: tenant.clone(), id, content });
        }
    };
    let account = Id::new(account).map_err(|_| Fault::malformed("the account that was named is no id"))?;
    let key = AccountKey { tenant: tenant.clone(), account };
    let occurred_at = created(&event)?;
    let payment = ProviderPayment { paid: seen.paid, livemode: event.livemode, terms: terms(seen, purchase)? };
    let asked = Asked::from(Command::RecordPayment(payment));
    let content = content::of_account(&event.kind, &key, occurred_at, &asked);
    Ok(Incoming::Account(Box::new(Message { id, content, account: key, occurred_at, command: asked.command })))
}

/// The payment an event is about; `None` for events that say nothing about one.
fn seen(event: &Event<'_>) -> Result<Option<Seen>, Fault> {
    match event.kind.as_str() {
        "checkout.session.completed" => session(object(event)?, false),
        "checkout.session.async_payment_succeeded" => session(object(event)?, true),
        "payment_intent.succeeded" => intent(object(event)?).map(Some),
        _ => Ok(None),
    }
}

fn object<'a>(event: &Event<'a>) -> Result<&'a str, Fault> {
    let data = event.data.ok_or_else(|| Fault::malformed("`data` is missing"))?;
    let Object(data): Object<Data<'a>> = serde_json::from_str(data.get()).map_err(|error| Fault::from(error).within("data"))?;
    Ok(data.object.get())
}

fn session(object: &str, succeeded: bool) -> Result<Option<Seen>, Fault> {
    let Object(session): Object<Session> = serde_json::from_str(object).map_err(|error| Fault::from(error).within("data.object"))?;
    // A subscription's session only links, and a set-up session takes no money: it says "no payment
    // required" and must not buy anything. Before 2019 there was no mode, only payments.
    if session.mode.as_deref().is_some_and(|mode| mode != "payment") {
        return Ok(None);
    }
    let metadata = session.metadata.map_or_else(Metadata::default, |metadata| metadata.0);
    let account = written(metadata.credit_account.as_ref()).or(written(session.client_reference_id.as_ref())).map(str::to_owned);
    let provider_id = match session.payment_intent {
        Some(intent) => Id::new(&intent.id()).map_err(|_| Fault::malformed("data.object: `payment_intent` is no id"))?,
        None => session.id.0,
    };
    Ok(Some(Seen {
        provider_id,
        account,
        metadata,
        minor: session.amount_total,
        minor_tax: session.total_details.and_then(|details| details.0.amount_tax),
        currency: session.currency,
        document: session.invoice.map(Reference::id),
        paid: succeeded || matches!(session.payment_status.as_deref(), Some("paid" | "no_payment_required")),
    }))
}

fn intent(object: &str) -> Result<Seen, Fault> {
    let Object(intent): Object<Intent> = serde_json::from_str(object).map_err(|error| Fault::from(error).within("data.object"))?;
    let metadata = intent.metadata.map_or_else(Metadata::default, |metadata| metadata.0);
    Ok(Seen {
        provider_id: intent.id.0,
        account: written(metadata.credit_account.as_ref()).map(str::to_owned),
        metadata,
        minor: intent.amount_received.or(intent.amount),
        minor_tax: None,
        currency: intent.currency,
        document: intent.invoice.map(Reference::id),
        paid: true,
    })
}

/// Stripe has no way to take a value back but to empty it.
fn written(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn purchase(package: &str, quantity: Option<&String>) -> Result<Purchase, Fault> {
    let package = Id::new(package).map_err(|_| Fault::malformed("metadata: `credit_package` is no id"))?;
    let quantity = match written(quantity) {
        None => 1,
        Some(digits) => Some(digits)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|quantity| (1..=QUANTITY_MAX).contains(quantity))
            .ok_or_else(|| Fault::malformed(format!("metadata: `credit_quantity` is no number from 1 to {QUANTITY_MAX}")))?,
    };
    Ok(Purchase { package, quantity })
}

fn created(event: &Event<'_>) -> Result<Timestamp, Fault> {
    let second = event.created.and_then(|second| second.get().parse().ok());
    second
        .and_then(|second| within_years(Timestamp::from_second(second).ok()?))
        .ok_or_else(|| Fault::malformed("`created` is no second in the years 2000 to 2400"))
}

fn terms(seen: Seen, purchase: Purchase) -> Result<PaymentTerms, Fault> {
    let currency = seen.currency.unwrap_or_default().to_ascii_uppercase();
    let Currency(currency) = Currency::spelt(&currency).ok_or_else(|| Fault::malformed("data.object: `currency` is no currency"))?;
    let minor = seen.minor.ok_or_else(|| Fault::malformed("data.object: the amount is missing"))?;
    let money = |minor: u64| -> Result<Money, Fault> {
        currency::major(minor, currency.as_str()).ok_or_else(|| Fault::malformed("data.object: the amount is too large"))
    };
    let before_tax = match seen.minor_tax {
        None => None,
        Some(tax) => {
            let net = minor.checked_sub(tax).ok_or_else(|| Fault::malformed("data.object: the tax is more than the amount"))?;
            Some(money(net)?)
        }
    };
    let payment = format!("stripe:{}", seen.provider_id);
    Ok(PaymentTerms {
        payment: Printable::new(&payment).map_err(|_| Fault::malformed("data.object: `id` is no id"))?,
        provider_id: seen.provider_id,
        package: Some(purchase),
        amount: money(minor)?,
        before_tax,
        document: seen.document.and_then(|document| Printable::new(&document).ok()),
        currency,
    })
}
