//! Business facts that belong to one account of a tenant, and which of them a message names.
//!
//! Owns what is claimed for an account before the ledger sees a message, and what is only looked up.
//! Whose a fact is, the directory knows; never decides.

use crate::domain::command::{Command, Message};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PROVIDERS, PaymentName};
use crate::domain::provider::{ProviderDispute, ProviderRefund};

/// What kind of fact is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// A provider's payment, by each of its names.
    Payment,
    /// A credit request.
    Request,
    /// The evidence of a request, with its method.
    Evidence,
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
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Reference => "reference",
        }
    }
}

/// The facts a message claims for its account.
#[must_use]
pub fn claims(message: &Message) -> Vec<(FactKind, String)> {
    let of_payment = payment_names(&message.command).into_iter().map(|name| (FactKind::Payment, name.to_string()));
    match &message.command {
        Command::RecordPayment(_) | Command::NamePayment(_) => of_payment.collect(),
        Command::RecordRefund(event) => {
            of_payment.chain(event.refunds.iter().map(|refund| (FactKind::Refund, refund.id.to_string()))).collect()
        }
        Command::RecordDispute(event) => of_payment.chain([(FactKind::Dispute, event.dispute.to_string())]).collect(),
        Command::Spend(spend) => vec![(FactKind::Reference, spend.reference.to_string())],
        Command::SubmitRequest(request) => {
            let evidence =
                request.evidence.as_ref().map(|evidence| (FactKind::Evidence, format!("{}:{}", request.method.word(), evidence.reference)));
            std::iter::once((FactKind::Request, request.request.to_string())).chain(evidence).collect()
        }
        _ => Vec::new(),
    }
}

/// The names of a payment that a provider's message shows.
#[must_use]
pub fn payment_names(command: &Command) -> Vec<Printable> {
    match command {
        Command::RecordPayment(payment) => payment.names().map(|name| name.name).collect(),
        Command::NamePayment(names)
        | Command::RecordRefund(ProviderRefund { names, .. })
        | Command::RecordDispute(ProviderDispute { names, .. }) => names.printed(),
        _ => Vec::new(),
    }
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
    /// For a message that says this.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        if matches!(command, Command::RecordRefund(_) | Command::RecordDispute(_)) { Self::Open } else { Self::Answered }
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
