//! What a provider's events say: payments, their names, refunds, disputes.
//!
//! Owns their normalised content, verified and free of the provider's form. Nothing here says what follows
//! from it: `decide` does.

use super::credits::Money;
use super::ids::{Id, Printable};
use super::payment::{PAYPAL, PaymentName, PaymentTerms};
use super::reversal::{DisputeStage, RefundStatus};
use jiff::Timestamp;

/// Where a provider says a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentSaid {
    /// Under way.
    Pending,
    /// One attempt failed; another may succeed.
    AttemptFailed,
    /// It failed, lapsed or was called off for good.
    Failed,
    /// The provider has the money, or none was required.
    Paid,
}

/// A provider's event about one payment, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPayment {
    /// What the event says about the payment, under the name it is about.
    pub terms: PaymentTerms,
    /// Other names of the same payment that the event shows. They say what it is called and not
    /// what is asked, so they are no part of the content.
    pub aliases: Vec<PaymentName>,
    /// Where the event says the payment is.
    pub said: PaymentSaid,
    /// False for an event that does not say whose the payment is: another one does, and until then it waits.
    pub is_addressed: bool,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}

impl ProviderPayment {
    /// Every name of the payment that the event shows.
    pub fn names(&self) -> impl Iterator<Item = PaymentName> + '_ {
        let own = PaymentName { name: self.terms.payment.clone(), provider_id: self.terms.provider_id.clone() };
        std::iter::once(own).chain(self.aliases.iter().cloned())
    }
}

/// The words a provider's events are routed by, told by any name it has for a payment.
pub(super) fn provider_word(name: &Printable) -> &'static str {
    if name.as_str().starts_with(PAYPAL) { "payment.paypal" } else { "payment.stripe" }
}

/// The names of one payment that an event shows, the one that says most first; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentNames(pub Vec<PaymentName>);

impl PaymentNames {
    pub(super) fn word(&self) -> &'static str {
        self.0.first().map_or("payment.stripe", |first| provider_word(&first.name))
    }

    /// The names alone.
    #[must_use]
    pub fn printed(&self) -> Vec<Printable> {
        self.0.iter().map(|name| name.name.clone()).collect()
    }
}

/// A provider's event about refunds of one payment, verified. It does not say whose the payment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRefund {
    /// Names of the payment. They say what it is called and not what is asked, so only the first is part
    /// of the content.
    pub names: PaymentNames,
    /// ISO 4217, upper case.
    pub currency: Id,
    /// Refunds that the event shows one by one.
    pub refunds: Vec<RefundSeen>,
    /// What was refunded of the payment in all, when the event says so.
    pub refunded: Option<Money>,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}

/// A refund as an event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundSeen {
    /// `stripe:re_…`
    pub id: Printable,
    /// How much.
    pub amount: Money,
    /// Where it is.
    pub status: RefundStatus,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A provider's event about a dispute of one payment, verified. It does not say whose the payment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderDispute {
    /// Names of the payment; only the first is part of the content.
    pub names: PaymentNames,
    /// `stripe:dp_…`
    pub dispute: Printable,
    /// ISO 4217, upper case.
    pub currency: Id,
    /// How much is disputed.
    pub amount: Money,
    /// How far it is at least.
    pub stage: DisputeStage,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}
