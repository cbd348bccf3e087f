//! Stripe events: what they say about one payment, read narrowly.
//!
//! Owns the fields the ledger uses and nothing else, so that a field of another API version that is
//! never read cannot stop money. Never asks Stripe anything.

use super::currency;
use crate::domain::command::{Command, Message, ProviderPayment};
use crate::domain::credits::Money;
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::domain::payment::{PaymentName, PaymentTerms, Purchase, STRIPE};
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
    id: String,
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
    id: String,
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
    name: PaymentName,
    aliases: Vec<PaymentName>,
    account: Option<String>,
    /// What else may name the account, if it is one of ours.
    reference: Option<String>,
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
    let source = Printable::new(STRIPE).map_err(|_| Fault::malformed("the source"))?;
    let id = MessageId { source, id: event.id.0.clone() };
    named.id = Some(id.clone());
    let Some(seen) = seen(&event)? else {
        let content = content::of_ignored(&event.kind, tenant);
        return Ok(Incoming::Ignored { tenant: tenant.clone(), id, content });
    };
    let Some(account) = account(&seen)? else {
        let content = content::of_ignored(&event.kind, tenant);
        return Ok(Incoming::Ignored { tenant: tenant.clone(), id, content });
    };
    let package = written(seen.metadata.credit_package.as_ref());
    let purchase = package.map(|package| purchase(package, seen.metadata.credit_quantity.as_ref())).transpose()?;
    let key = AccountKey { tenant: tenant.clone(), account };
    let occurred_at = created(&event)?;
    let (paid, aliases) = (seen.paid, seen.aliases.clone());
    let payment = ProviderPayment { paid, livemode: event.livemode, aliases, terms: terms(seen, purchase)? };
    let asked = Asked::from(Command::RecordPayment(payment));
    let content = content::of_account(&event.kind, &key, occurred_at, &asked);
    Ok(Incoming::Account(Box::new(Message { id, content, account: key, occurred_at, command: asked.command })))
}

/// The account a payment is for. Whoever else sells through this Stripe account names none of ours
/// (semantics §5): their references are no flaw, as long as nothing else says that it is ours.
fn account(seen: &Seen) -> Result<Option<Id>, Fault> {
    let ours = written(seen.metadata.credit_account.as_ref()).is_some() || written(seen.metadata.credit_package.as_ref()).is_some();
    let Some(named) = written(seen.account.as_ref()).or(written(seen.reference.as_ref())) else { return Ok(None) };
    match Id::new(named) {
        Ok(account) => Ok(Some(account)),
        Err(_) if ours => Err(Fault::malformed("the account that was named is no id")),
        Err(_) => Ok(None),
    }
}

fn name(id: &str) -> Result<PaymentName, Fault> {
    PaymentName::of(STRIPE, id).map_err(|_| Fault::malformed("data.object: the payment's id is none"))
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
    let own = name(&session.id);
    let (name, aliases) = match session.payment_intent {
        Some(intent) => (name(&intent.id())?, own.into_iter().collect()),
        None => (own?, Vec::new()),
    };
    Ok(Some(Seen {
        name,
        aliases,
        account: metadata.credit_account.clone(),
        reference: session.client_reference_id,
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
        name: name(&intent.id)?,
        aliases: Vec::new(),
        account: metadata.credit_account.clone(),
        reference: None,
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

fn terms(seen: Seen, purchase: Option<Purchase>) -> Result<PaymentTerms, Fault> {
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
    Ok(PaymentTerms {
        payment: seen.name.name,
        provider_id: seen.name.provider_id,
        package: purchase,
        amount: money(minor)?,
        before_tax,
        document: seen.document.and_then(|document| Printable::new(&document).ok()),
        currency,
    })
}
