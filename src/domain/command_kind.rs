//! What kind of command it is: its word, and what it may touch.
//!
//! Owns questions about a command that need no account. What follows from it is `decide`'s.

use super::command::Command;
use super::payment_details::PaymentDetails;
use super::provider::{ProviderSubscription, SubscriptionNames, provider_word};

impl Command {
    /// The message type it comes from: for a provider's event the words it is routed by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Grant(_) => "credits.grant",
            Self::RecordUsage(_) => "usage.recorded",
            Self::Spend(_) => "credits.spend",
            Self::Adjust(_) => "credits.adjust",
            Self::VoidGrant(_) => "credits.void",
            Self::Quote(_) => "credits.quote",
            Self::RecordPayment(payment) => provider_word(&payment.terms.payment),
            Self::NamePayment(named) => named.names.word(),
            Self::RecordRefund(refund) => refund.names.word(),
            Self::RecordDispute(dispute) => dispute.names.word(),
            Self::RecordSubscription(ProviderSubscription { name, .. })
            | Self::NameSubscription(SubscriptionNames { subscription: name, .. }) => provider_word(&name.name),
            Self::RecordInvoice(invoice) => provider_word(&invoice.terms.payment),
            Self::RequestRefund(_) => "refund.requested",
            Self::ReverseRequest(_) => "credit_request.reversed",
            Self::SubmitRequest(_) => "credit_request.submitted",
            Self::DecideRequest(_) => "credit_request.decided",
            Self::CancelRequest(_) => "credit_request.cancelled",
            Self::OpenAccount(_) => "account.opened",
            Self::ChangeAccount(_) => "account.changed",
            Self::FreezeAccount(_) => "account.frozen",
            Self::UnfreezeAccount(_) => "account.unfrozen",
            Self::CloseAccount(_) => "account.closed",
            Self::StartSubscription(_) => "subscription.started",
            Self::ChangeSubscription(_) => "subscription.changed",
            Self::CancelSubscription { .. } => "subscription.cancelled",
            Self::ResumeSubscription { .. } => "subscription.resumed",
            Self::ResetCycle(_) => "cycle.reset",
        }
    }

    /// Live or test, of a provider's event that says.
    #[must_use]
    pub fn livemode(&self) -> Option<bool> {
        match self {
            Self::RecordPayment(event) => event.livemode,
            Self::NamePayment(event) => event.livemode,
            Self::RecordRefund(event) => event.livemode,
            Self::RecordDispute(event) => event.livemode,
            Self::RecordSubscription(event) => event.livemode,
            Self::RecordInvoice(event) => event.livemode,
            Self::NameSubscription(event) => event.livemode,
            Self::Grant(_)
            | Self::RecordUsage(_)
            | Self::Spend(_)
            | Self::Adjust(_)
            | Self::VoidGrant(_)
            | Self::Quote(_)
            | Self::RequestRefund(_)
            | Self::ReverseRequest(_)
            | Self::SubmitRequest(_)
            | Self::DecideRequest(_)
            | Self::CancelRequest(_)
            | Self::OpenAccount(_)
            | Self::ChangeAccount(_)
            | Self::FreezeAccount(_)
            | Self::UnfreezeAccount(_)
            | Self::CloseAccount(_)
            | Self::StartSubscription(_)
            | Self::ChangeSubscription(_)
            | Self::CancelSubscription { .. }
            | Self::ResumeSubscription { .. }
            | Self::ResetCycle(_) => None,
        }
    }

    /// What it shows of a payment beside what is decided by, under the name it is about; none if it shows
    /// nothing.
    #[must_use]
    pub fn details(&self) -> Option<PaymentDetails> {
        let (name, details) = if let Self::RecordPayment(event) = self {
            (Some(&event.terms.payment), &event.details)
        } else if let Self::RecordInvoice(event) = self {
            (Some(&event.terms.payment), &event.details)
        } else if let Self::RecordRefund(event) = self {
            (event.names.0.first().map(|name| &name.name), &event.details)
        } else {
            return None;
        };
        let name = name.filter(|_| !details.is_empty())?.clone();
        Some(PaymentDetails { name, details: details.clone() })
    }

    /// Whether it is a provider's event.
    #[must_use]
    pub fn is_of_provider(&self) -> bool {
        matches!(
            self,
            Self::RecordPayment(_)
                | Self::NamePayment(_)
                | Self::RecordRefund(_)
                | Self::RecordDispute(_)
                | Self::RecordSubscription(_)
                | Self::RecordInvoice(_)
                | Self::NameSubscription(_)
        )
    }

    /// Whether it may change what counts among the purchases of a month, or from when on they count.
    #[must_use]
    pub fn may_count(&self) -> bool {
        let decides = matches!(self, Self::DecideRequest(_) | Self::ReverseRequest(_));
        let withdraws = matches!(self, Self::OpenAccount(change) | Self::ChangeAccount(change) if change.invoicing == Some(false));
        decides || withdraws || (self.is_of_provider() && !matches!(self, Self::RecordSubscription(_) | Self::NameSubscription(_)))
    }

    /// Whether it may open the account it is about.
    #[must_use]
    pub fn may_open(&self) -> bool {
        match self {
            Self::Grant(_)
            | Self::Adjust(_)
            | Self::RecordPayment(_)
            | Self::RecordSubscription(_)
            | Self::SubmitRequest(_)
            | Self::StartSubscription(_)
            | Self::OpenAccount(_) => true,
            Self::RecordUsage(_)
            | Self::NamePayment(_)
            | Self::RecordRefund(_)
            | Self::RecordDispute(_)
            | Self::RecordInvoice(_)
            | Self::NameSubscription(_)
            | Self::RequestRefund(_)
            | Self::ReverseRequest(_)
            | Self::Spend(_)
            | Self::VoidGrant(_)
            | Self::Quote(_)
            | Self::DecideRequest(_)
            | Self::CancelRequest(_)
            | Self::ChangeAccount(_)
            | Self::FreezeAccount(_)
            | Self::UnfreezeAccount(_)
            | Self::CloseAccount(_)
            | Self::ChangeSubscription(_)
            | Self::CancelSubscription { .. }
            | Self::ResumeSubscription { .. }
            | Self::ResetCycle(_) => false,
        }
    }
}
