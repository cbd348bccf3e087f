//! What a provider's list says about money, free of the form it was written in.
//!
//! Owns the few facts a comparison needs. Never says whether they are right.

use crate::domain::credits::Money;
use crate::domain::ids::Id;
use crate::domain::payment::PaymentName;
use crate::domain::provider::PaymentNames;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names of one payment in a row; a row shows at most a handful.
const NAMES_MAX: usize = 4;

/// A row of a provider's list.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its line in the file, or its number in a list; from 1.
    pub place: u64,
    /// When what it tells of happened, as far as it says so.
    pub at: Option<Timestamp>,
    /// What it tells of.
    pub says: Says,
}

/// What a row tells of.
#[derive(Debug, Clone)]
pub enum Says {
    /// The provider has the money of a payment, or had it.
    Paid(Box<Paid>),
    /// Money of a payment went back, or came again.
    Reversed(Box<Reversed>),
    /// Nothing that a grant follows from: a fee, a payout, an attempt that failed, what is under way.
    Nothing,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// A payment.
#[derive(Debug, Clone)]
pub struct Paid {
    /// Its names, the one that says most first; never none.
    pub names: Names,
    /// All that was paid.
    pub amount: Money,
    /// ISO 4217, upper case.
    pub currency: Id,
    /// The account that the seller wrote on it. With one it is ours; without one it may be.
    pub account: Option<Id>,
    /// Live or test mode, where the row says so.
    pub livemode: Option<bool>,
    /// What of it went back, when the row says that too; `None`: other rows do.
    pub lost: Option<Lost>,
}

/// What went back of a payment, as its own row sums it up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lost {
    /// Certainly.
    pub least: Money,
    /// In disputes that are open: the money is withdrawn, or not yet.
    pub open: Money,
    /// There is a dispute, and the row does not say how it stands.
    pub is_vague: bool,
}

/// Money that went back.
#[derive(Debug, Clone)]
pub struct Reversed {
    /// Names of the payment.
    pub names: Names,
    /// How much; below zero when it came again.
    pub amount: Money,
    /// ISO 4217, upper case.
    pub currency: Id,
    /// True when it says how a dispute stands.
    pub is_dispute: bool,
}

/// The names of a payment in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(Vec<String>);

impl Names {
    /// The names a provider has for a payment, from the ids that a row shows; empty ones are left out.
    ///
    /// # Errors
    /// When there is none, or one that no payment can have.
    pub fn of<'a>(provider: &str, shown: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let shown = shown.into_iter().map(str::trim).filter(|id| !id.is_empty()).take(NAMES_MAX);
        let names = shown
            .map(|id| PaymentName::of(provider, id).map_err(|_| format!("{} is no id of a payment", super::finding::shown(id))))
            .collect::<Result<Vec<_>, _>>()?;
        let mut names = PaymentNames(names).printed().iter().map(ToString::to_string).collect::<Vec<_>>();
        names.dedup();
        if names.is_empty() { Err("no id of a payment".to_owned()) } else { Ok(Self(names)) }
    }

    /// All of them, with the provider before each.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// The one that says most.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}
