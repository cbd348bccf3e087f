//! A provider's payment and what it bought (semantics §5).
//!
//! Owns the terms that identify one payment. Refunds and disputes act on it by target; the price
//! check is `decide::purchase`'s.

use super::credits::{Credits, Money};
use super::ids::{Id, Printable};
use super::word::words;

/// What a payment is known as and for: account, package, amount, currency (semantics §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTerms {
    /// `stripe:pi_…`, or `stripe:cs_…` for a session without a PaymentIntent.
    pub payment: Printable,
    /// The provider's own id without the provider.
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
        /// Its amount did not fit: a pending request for staff.
        Review "review",
        /// Credits were granted.
        Granted "granted",
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
