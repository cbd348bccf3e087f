//! What a provider's events say: payments, their names, refunds, disputes, subscriptions and their invoices.
//!
//! Owns their normalised content, verified and free of the provider's form. Nothing here says what follows
//! from it: `decide` does.

use super::calendar::Interval;
use super::credits::Money;
use super::ids::{Id, Printable};
use super::payment::{PAYPAL, PaymentName, PaymentTerms};
use super::payment_details::Details;
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
    /// What else the event shows; no part of the content.
    pub details: Details,
    /// False for an event that does not say whose the payment is: another one does, and until then it waits.
    pub is_addressed: bool,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}

impl ProviderPayment {
    /// Every name of the payment that the event shows.
    pub fn names(&self) -> impl Iterator<Item = PaymentName> + '_ {
        self.terms.names(&self.aliases)
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

/// A provider's event that only shows what one payment is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPayment {
    /// What it is called.
    pub names: PaymentNames,
    /// Live or test, when the provider says.
    pub livemode: Option<bool>,
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
    /// What the event shows of the payment beside; no part of the content.
    pub details: Details,
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

/// Where a provider says a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionSaid {
    /// It has not begun: its first payment is open.
    Pending,
    /// It runs, also while a payment is late.
    Running,
    /// It is over.
    Over,
}

/// A provider's event about a subscription, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSubscription {
    /// `stripe:sub_…`; the ledger knows it by the provider's id.
    pub name: PaymentName,
    /// What is subscribed to, by the provider's price ids, and how many of each.
    pub items: Vec<(Printable, u32)>,
    /// The paid interval, when the event says so.
    pub interval: Option<Interval>,
    /// The instant its cycles are counted from.
    pub anchor: Timestamp,
    /// Where it is.
    pub said: SubscriptionSaid,
    /// It ends with the paid interval.
    pub cancels: bool,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}

/// A provider's event about an invoice of a subscription, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderInvoice {
    /// The invoice as a payment, under the invoice's name.
    pub terms: PaymentTerms,
    /// Its other names that the event shows: PaymentIntent, charge.
    pub aliases: Vec<PaymentName>,
    /// The subscription.
    pub subscription: PaymentName,
    /// Where the event says the payment is.
    pub said: PaymentSaid,
    /// What it pays for.
    pub pays: PaidFor,
    /// What else the event shows; no part of the content.
    pub details: Details,
    /// Live or test mode, where the event says so.
    pub livemode: Option<bool>,
}

/// What an invoice pays for, as its provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaidFor {
    /// What the lines of the invoice show.
    Lines {
        /// The lines.
        lines: Vec<InvoiceLine>,
        /// When it is for a paid interval and has more lines than its event shows: when it was made.
        interval_at: Option<Timestamp>,
    },
    /// The interval that is due at the instant of the payment: the provider shows neither price nor period.
    IntervalAt(Timestamp),
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    /// The provider's price id.
    pub price: Printable,
    /// How many.
    pub units: u32,
    /// From when it is for, where the provider says so.
    pub from: Option<Timestamp>,
    /// Until when it is for.
    pub until: Timestamp,
    /// True for money back: what was paid before and is not used.
    pub is_credit: bool,
    /// True for the rest of a time that had begun when something changed.
    pub is_rest: bool,
}

impl PaidFor {
    /// Whether the invoice shows all that it is for, and gives nothing back.
    #[must_use]
    pub fn is_all(&self) -> bool {
        match self {
            Self::Lines { lines, interval_at } => interval_at.is_none() && lines.iter().all(|line| !line.is_credit),
            Self::IntervalAt(_) => true,
        }
    }
}

impl ProviderInvoice {
    /// Every name of the payment that the event shows.
    pub fn names(&self) -> impl Iterator<Item = PaymentName> + '_ {
        self.terms.names(&self.aliases)
    }
}

/// A provider's event that only shows what belongs together: a subscription, and names of its first payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionNames {
    /// The subscription.
    pub subscription: PaymentName,
    /// Its session and first invoice.
    pub payments: Vec<PaymentName>,
    /// Live or test, when the provider says.
    pub livemode: Option<bool>,
}
