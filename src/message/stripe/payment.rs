//! Checkout sessions and PaymentIntents: what they say about one payment.
//!
//! Owns which of their fields name the account, the goods and the money.

use super::details::details;
use super::object::{Metadata, Reference, currency, money, name, read, written};
use crate::domain::command::Command;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PaymentName, PaymentTerms, Purchase};
use crate::domain::payment_details::Details;
use crate::domain::provider::{PaymentSaid, ProviderPayment, SubscriptionNames};
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::{SHOWN_MAX, Said};
use serde::Deserialize;

/// Pieces of a package one purchase may name.
const QUANTITY_MAX: u32 = 1_000_000;

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
    subscription: Option<Reference>,
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
    latest_charge: Option<Reference>,
    // Before November 2022, instead of the latest one.
    charges: Option<Object<Charges>>,
}

#[derive(Deserialize)]
struct Charges {
    #[serde(default)]
    data: Vec<Reference>,
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
    said: PaymentSaid,
    details: Details,
}

/// A session's event.
pub(super) fn session(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let session: Session = read(object)?;
    // A subscription's session only links, and a set-up session takes no money: it says "no payment
    // required" and must not buy anything. Before 2019 there was no mode, only payments.
    if session.mode.as_deref() == Some("subscription") {
        return link(session, livemode);
    }
    if session.mode.as_deref().is_some_and(|mode| mode != "payment") {
        return Ok(Said::Nothing);
    }
    let metadata = session.metadata.map_or_else(Metadata::default, |metadata| metadata.0);
    let said = match kind {
        "checkout.session.async_payment_succeeded" => PaymentSaid::Paid,
        "checkout.session.async_payment_failed" | "checkout.session.expired" => PaymentSaid::Failed,
        _ if matches!(session.payment_status.as_deref(), Some("paid" | "no_payment_required")) => PaymentSaid::Paid,
        _ => PaymentSaid::Pending,
    };
    let document = session.invoice.map(Reference::id);
    let own = name(&session.id);
    let invoice = document.as_deref().and_then(|invoice| name(invoice).ok());
    let (name, aliases) = match session.payment_intent {
        Some(intent) => (name(&intent.id())?, own.into_iter().chain(invoice).collect()),
        None => (own?, invoice.into_iter().collect()),
    };
    let seen = Seen {
        name,
        aliases,
        account: metadata.credit_account.clone(),
        reference: session.client_reference_id,
        metadata,
        minor: session.amount_total,
        minor_tax: session.total_details.and_then(|details| details.0.amount_tax),
        currency: session.currency,
        document,
        said,
        details: details(object),
    };
    payment(seen, livemode)
}

/// A subscription's session: whose the subscription is, and what its first payment is called.
fn link(session: Session, livemode: Option<bool>) -> Result<Said, Fault> {
    let Some(subscription) = session.subscription else { return Ok(Said::Nothing) };
    let named = session.metadata.as_ref().and_then(|metadata| written(metadata.0.credit_account.as_ref()));
    let account = named.or(written(session.client_reference_id.as_ref())).and_then(|named| Id::new(named).ok());
    let payments = [session.invoice.map(Reference::id), session.payment_intent.map(Reference::id)];
    let payments = payments.into_iter().flatten().chain([session.id]).filter_map(|id| name(&id).ok()).collect();
    let command = Command::NameSubscription(SubscriptionNames { subscription: name(&subscription.id())?, payments, livemode });
    Ok(Said::by(account, command))
}

/// A PaymentIntent's event.
pub(super) fn intent(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let intent: Intent = read(object)?;
    let metadata = intent.metadata.map_or_else(Metadata::default, |metadata| metadata.0);
    let said = match kind {
        "payment_intent.succeeded" => PaymentSaid::Paid,
        "payment_intent.canceled" => PaymentSaid::Failed,
        _ => PaymentSaid::AttemptFailed,
    };
    // Nothing was received of a payment that failed.
    let received = intent.amount_received.filter(|_| said == PaymentSaid::Paid);
    let document = intent.invoice.map(Reference::id);
    let charges = intent.charges.map(|charges| charges.0.data).unwrap_or_default();
    let shown = charges.into_iter().take(SHOWN_MAX).chain(intent.latest_charge).map(Reference::id).chain(document.clone());
    let seen = Seen {
        name: name(&intent.id)?,
        aliases: shown.filter_map(|id| name(&id).ok()).collect(),
        account: metadata.credit_account.clone(),
        reference: None,
        metadata,
        minor: received.or(intent.amount),
        minor_tax: None,
        currency: intent.currency,
        document,
        said,
        details: details(object),
    };
    payment(seen, livemode)
}

fn payment(seen: Seen, livemode: Option<bool>) -> Result<Said, Fault> {
    let account = account(&seen)?;
    let package = written(seen.metadata.credit_package.as_ref());
    let purchase = package.map(|package| purchase(package, seen.metadata.credit_quantity.as_ref())).transpose();
    let (said, aliases, details) = (seen.said, seen.aliases.clone(), seen.details.clone());
    let recorded = |terms, is_addressed| Command::RecordPayment(ProviderPayment { terms, aliases, said, details, is_addressed, livemode });
    match account {
        Some(account) => {
            let terms = terms(seen, purchase?)?;
            Ok(Said::Of(account, recorded(terms, true)))
        }
        // It may be ours, if another event says so. What cannot be read of it is nobody's flaw.
        None => match purchase.and_then(|purchase| terms(seen, purchase)) {
            Ok(terms) => Ok(Said::OfSomebody(recorded(terms, false))),
            Err(_) => Ok(Said::Nothing),
        },
    }
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

fn terms(seen: Seen, purchase: Option<Purchase>) -> Result<PaymentTerms, Fault> {
    let currency = currency(seen.currency.as_deref())?;
    let minor = seen.minor.ok_or_else(|| Fault::malformed("data.object: the amount is missing"))?;
    let before_tax = match seen.minor_tax {
        None => None,
        Some(tax) => {
            let net = minor.checked_sub(tax).ok_or_else(|| Fault::malformed("data.object: the tax is more than the amount"))?;
            Some(money(net, &currency)?)
        }
    };
    Ok(PaymentTerms {
        payment: seen.name.name,
        provider_id: seen.name.provider_id,
        package: purchase,
        amount: money(minor, &currency)?,
        before_tax,
        document: seen.document.and_then(|document| Printable::new(&document).ok()),
        currency,
    })
}
