//! Business facts that belong to one account of a tenant, and which of them a message names.
//!
//! Owns what is claimed for an account before the ledger sees a message, and what is only looked up.
//! Whose a fact is, the directory knows; never decides.

use crate::domain::catalog::Catalog;
use crate::domain::command::{Command, Message};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PROVIDERS, PaymentName};
use crate::domain::provider::{NamedPayment, PaidFor, ProviderDispute, ProviderRefund};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What kind of fact is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// A provider's payment, by each of its names.
    Payment,
    /// A credit request.
    Request,
    /// The evidence of a request, with its method.
    Evidence,
    /// A provider's subscription.
    Subscription,
    /// A provider's refund.
    Refund,
    /// A provider's dispute.
    Dispute,
    /// An order or invoice reference.
    Reference,
}

impl FactKind {
    /// The word used in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Request => "request",
            Self::Evidence => "evidence",
            Self::Subscription => "subscription",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Reference => "reference",
        }
    }
}

/// The facts a message claims for its account.
#[must_use]
pub fn claims(message: &Message) -> Vec<(FactKind, String)> {
    let shown = shown(&message.command).into_iter();
    match &message.command {
        Command::RecordRefund(event) => shown.chain(event.refunds.iter().map(|refund| (FactKind::Refund, refund.id.to_string()))).collect(),
        Command::RecordDispute(event) => shown.chain([(FactKind::Dispute, event.dispute.to_string())]).collect(),
        command if command.is_of_provider() => shown.collect(),
        Command::Spend(spend) => vec![(FactKind::Reference, spend.reference.to_string())],
        Command::SubmitRequest(request) => {
            let evidence =
                request.evidence.as_ref().map(|evidence| (FactKind::Evidence, format!("{}:{}", request.method.word(), evidence.reference)));
            std::iter::once((FactKind::Request, request.request.to_string())).chain(evidence).collect()
        }
        _ => Vec::new(),
    }
}

/// What a provider's message shows that says whose it is: names of a payment, a subscription.
#[must_use]
pub fn shown(command: &Command) -> Vec<(FactKind, String)> {
    let payments =
        |names: &mut dyn Iterator<Item = PaymentName>| -> Vec<_> { names.map(|name| (FactKind::Payment, name.name.to_string())).collect() };
    let subscription = |name: &PaymentName| (FactKind::Subscription, name.name.to_string());
    match command {
        Command::RecordPayment(payment) => payments(&mut payment.names()),
        Command::NamePayment(NamedPayment { names, .. })
        | Command::RecordRefund(ProviderRefund { names, .. })
        | Command::RecordDispute(ProviderDispute { names, .. }) => payments(&mut names.0.iter().cloned()),
        Command::RecordSubscription(event) => vec![subscription(&event.name)],
        Command::RecordInvoice(event) => payments(&mut event.names()).into_iter().chain([subscription(&event.subscription)]).collect(),
        Command::NameSubscription(names) => {
            payments(&mut names.payments.iter().cloned()).into_iter().chain([subscription(&names.subscription)]).collect()
        }
        _ => Vec::new(),
    }
}

/// The names of a payment among them.
#[must_use]
pub fn payment_names(command: &Command) -> Vec<Printable> {
    let payments = shown(command).into_iter().filter(|(kind, _)| *kind == FactKind::Payment);
    payments.filter_map(|(_, name)| Printable::new(&name).ok()).collect()
}

/// What becomes of a provider's message about a payment that nobody has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It waits for whoever claims it (semantics §6).
    Open,
    /// It is ignored (semantics §5), but what it calls the payment is kept: whoever claims one of the names
    /// has the others.
    Answered,
}

impl Wait {
    /// For a message that says this, in a tenant with these catalogs.
    #[must_use]
    pub fn of(command: &Command, catalogs: &BTreeMap<u32, Arc<Catalog>>) -> Self {
        let mapped = |price: &Printable| catalogs.values().any(|catalog| catalog.target(price).is_some());
        let waits = match command {
            Command::RecordRefund(_) | Command::RecordDispute(_) => true,
            // It pays for a subscription that may be ours.
            Command::RecordSubscription(event) => event.items.iter().any(|(price, _)| mapped(price)),
            Command::RecordInvoice(event) => match &event.pays {
                PaidFor::Lines { lines, .. } => lines.iter().any(|line| mapped(&line.price)),
                PaidFor::IntervalAt(_) => true,
            },
            _ => false,
        };
        if waits { Self::Open } else { Self::Answered }
    }
}

/// The request a message is about without claiming it.
#[must_use]
pub fn request_named(message: &Message) -> Option<&Id> {
    match &message.command {
        Command::DecideRequest(decision) => Some(&decision.request),
        Command::CancelRequest(cancel) => Some(&cancel.request),
        Command::ReverseRequest(reversal) => Some(&reversal.request),
        _ => None,
    }
}

/// The facts under which the directory knows whose a request is: its own, or those of the payment
/// that it is the review of.
pub fn of_request(request: &Id) -> impl Iterator<Item = (FactKind, String)> + '_ {
    let payments = PROVIDERS.iter().filter_map(|provider| PaymentName::of(provider, request.as_str()).ok());
    std::iter::once((FactKind::Request, request.to_string())).chain(payments.map(|name| (FactKind::Payment, name.name.to_string())))
}

/// Whether the directory has anything to say about a message.
#[must_use]
pub fn names_any(message: &Message) -> bool {
    request_named(message).is_some() || !claims(message).is_empty()
}
