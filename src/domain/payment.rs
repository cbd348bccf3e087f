//! A provider's payment and what it bought (semantics §5).
//!
//! Owns the terms that identify one payment, and its names: a provider shows one payment under
//! several. What reverses it is `reversal`'s; the price check is `decide::purchase`'s.

use super::credits::{Credits, Money};
use super::ids::{ID_CHARACTERS_MAX, Id, NameError, Printable};
use super::invoicing::Counted;
use super::word::words;
use jiff::Timestamp;

/// A provider whose events are read, as its payments are named after it.
pub const STRIPE: &str = "stripe";

/// The other one.
pub const PAYPAL: &str = "paypal";

/// What accepted requests are named after: `request:<id>`.
pub const REQUEST: &str = "request";

/// Every provider a payment may be named after.
pub const PROVIDERS: [&str; 2] = [STRIPE, PAYPAL];

/// A name a provider has for a payment. A session and its PaymentIntent are two names of one
/// payment (message contract, Webhooks).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PaymentName {
    /// `stripe:pi_…`, `stripe:cs_…`: unique in the tenant.
    pub name: Printable,
    /// The provider's own id, cut to the length of an id: what a request for staff is called.
    pub provider_id: Id,
}

impl PaymentName {
    /// The name of what a provider calls `id`.
    ///
    /// # Errors
    /// [`NameError`] when no name can be made of it.
    pub fn of(provider: &str, id: &str) -> Result<Self, NameError> {
        let short: String = id.chars().take(ID_CHARACTERS_MAX).collect();
        Ok(Self { provider_id: Id::new(&short)?, name: Printable::new(&format!("{provider}:{id}"))? })
    }
}

/// What the payment of an accepted manual request is kept under: `request:<id>`.
#[must_use]
pub fn payment_of(request: &Id) -> Printable {
    Printable::joined(REQUEST, request)
}

/// True for an id that may be the beginning of what its provider says.
#[must_use]
pub fn may_be_cut(id: &Id) -> bool {
    id.as_str().len() == ID_CHARACTERS_MAX
}

/// The names that a payment of this id may have, one for each that payments are named after; of an id that was
/// cut, how they begin.
pub fn named_by_id(id: &Id) -> impl Iterator<Item = Printable> + '_ {
    PROVIDERS.into_iter().chain([REQUEST]).map(|provider| Printable::joined(provider, id))
}

/// A name, and the payment it is known to stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownName {
    /// The name.
    pub name: PaymentName,
    /// The payment, by the name it is kept under.
    pub payment: Printable,
}

/// What a payment is known as and for: account, package, amount, currency (semantics §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTerms {
    /// `stripe:pi_…`, or `stripe:cs_…` for a session without a PaymentIntent; of a known payment,
    /// the name it is kept under.
    pub payment: Printable,
    /// The provider's own id without the provider, cut to the length of an id.
    pub provider_id: Id,
    /// The package and how many of it, when the event names it.
    pub package: Option<Purchase>,
    /// All that was paid, tax included, in major units.
    pub amount: Money,
    /// The amount before tax, when the event shows it.
    pub before_tax: Option<Money>,
    /// ISO 4217, upper case.
    pub currency: Id,
    /// Receipt or invoice, where the provider names one.
    pub document: Option<Printable>,
}

impl PaymentTerms {
    /// The name these are the terms of, and other names of the same payment.
    pub fn names<'a>(&self, aliases: &'a [PaymentName]) -> impl Iterator<Item = PaymentName> + use<'a> {
        let own = PaymentName { name: self.payment.clone(), provider_id: self.provider_id.clone() };
        std::iter::once(own).chain(aliases.iter().cloned())
    }

    /// The tax in it, where the amount before tax is known.
    #[must_use]
    pub fn tax(&self) -> Option<Money> {
        self.before_tax.and_then(|net| self.amount.minus(net).ok())
    }

    /// What its entries refer to: its name; of an accepted request, the request's id.
    #[must_use]
    pub fn reference(&self) -> Printable {
        let request = self.payment.as_str().strip_prefix(REQUEST).and_then(|rest| rest.strip_prefix(':'));
        request.and_then(|id| Printable::new(id).ok()).unwrap_or_else(|| self.payment.clone())
    }
}

/// A package times a quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// The package's key in the catalog.
    pub package: Id,
    /// How many, from 1.
    pub quantity: u32,
}

words! {
    /// Where a payment is.
    PaymentStatus {
        /// Known, but the provider has not said paid.
        Unpaid "unpaid",
        /// The last that was heard of it is that it failed; it may be paid all the same.
        Failed "failed",
        /// Staff decide, by the request of its id; also after they said no.
        Review "review",
        /// Credits were granted: at once, or by accepting its request. Nothing grants it again.
        Granted "granted",
        /// It turned out to be another payment, which all of its names lead to now.
        Joined "joined",
    }
}

impl PaymentStatus {
    /// True when credits were granted for it, or staff decide about it.
    #[must_use]
    pub fn is_taken_up(self) -> bool {
        match self {
            Self::Review | Self::Granted => true,
            Self::Unpaid | Self::Failed | Self::Joined => false,
        }
    }
}

/// A payment known to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// What identifies it.
    pub terms: PaymentTerms,
    /// Where it is.
    pub status: PaymentStatus,
    /// When it was paid, as its provider tells, or decided, for one that staff accepted; absent until then.
    pub paid_at: Option<Timestamp>,
    /// Credits granted for it, bonus included.
    pub granted: Credits,
    /// The most that its provider ever said was refunded in all, whether its refunds are known or not.
    pub refunded_most: Money,
    /// Credits of it that a reversal aimed at and that had ended unused: nothing is left to take.
    pub excused: Credits,
    /// What it counts for among the purchases of its month.
    pub counted: Option<Counted>,
}

impl Payment {
    /// One that nothing was granted for and nothing reversed.
    #[must_use]
    pub fn new(terms: PaymentTerms, status: PaymentStatus) -> Self {
        Self { terms, status, paid_at: None, granted: Credits::ZERO, refunded_most: Money::ZERO, excused: Credits::ZERO, counted: None }
    }
}
