//! A provider's payment and what it bought (semantics §5).
//!
//! Owns the terms that identify one payment, and its names: a provider shows one payment under
//! several. Refunds and disputes act on it by target; the price check is `decide::purchase`'s.

use super::credits::{Credits, Money};
use super::ids::{ID_CHARACTERS_MAX, Id, NameError, Printable};
use super::word::words;

/// The provider whose events are read, as its payments are named after it.
pub const STRIPE: &str = "stripe";

/// Every provider a payment may be named after.
pub const PROVIDERS: [&str; 1] = [STRIPE];

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
        /// Staff decide, by the request of its id; also after they said no.
        Review "review",
        /// Credits were granted: at once, or by accepting its request. Nothing grants it again.
        Granted "granted",
        /// It turned out to be another payment, which all of its names lead to now.
        Joined "joined",
    }
}

/// A payment known to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// What identifies it.
    pub terms: PaymentTerms,
    /// Where it is.
    pub status: PaymentStatus,
    /// Credits granted for it, bonus included.
    pub granted: Credits,
}
