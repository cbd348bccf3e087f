//! What people want to know of a payment and nothing depends on: how it was paid, its tax, its receipt, by whom
//! (semantics §5, "Kept with a purchase").
//!
//! Owns what is kept of that, as providers give it. No rule looks at it; it is no part of a message's content
//! and never in entries or events. Who paid is kept apart, so that it can be erased.

use super::ids::{Link, Printable};
use std::fmt;

/// What one event shows; what it does not show is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// The kind of method in the provider's word: `card`, `sepa_debit`, `paypal`.
    pub method: Option<Printable>,
    /// How the tax came about, in the provider's words; its amount is the difference to the amount before tax.
    pub tax: Option<Printable>,
    /// The number that people know the invoice by.
    pub number: Option<Printable>,
    /// Where the receipt or invoice can be looked at.
    pub receipt: Option<Link>,
    /// Who paid.
    pub payer: Payer,
}

/// Who paid, as the provider shows it. Never shown by `Debug`: logs are not erased.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payer {
    /// The name.
    pub name: Option<Printable>,
    /// The address for mail.
    pub email: Option<Printable>,
    /// The country, as a code.
    pub country: Option<Printable>,
}

impl fmt::Debug for Payer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_empty() { "(nobody)" } else { "(payer)" })
    }
}

impl Payer {
    /// True when nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn or(self, other: Self) -> Self {
        Self { name: self.name.or(other.name), email: self.email.or(other.email), country: self.country.or(other.country) }
    }
}

impl Details {
    /// True when nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With what another event adds. What is known stays.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            method: self.method.or(other.method),
            tax: self.tax.or(other.tax),
            number: self.number.or(other.number),
            receipt: self.receipt.or(other.receipt),
            payer: self.payer.or(other.payer),
        }
    }
}

/// What is kept of a payment under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentDetails {
    /// The name that the event was about.
    pub name: Printable,
    /// What it shows.
    pub details: Details,
}
