//! What a tenant sells: packages, plans, add-ons, the rate card and services.
//!
//! Owns one immutable version of it. Never reads files: `crate::catalog` does.

use super::account::AccountKind;
use super::calendar::{CalendarSpan, Interval};
use super::credits::{Credits, Money, Overflow};
use super::grant::RolloverRule;
use super::ids::{Id, Printable};
use super::rate_card::RateCard;
use super::word::words;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Credits sold once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Credits per piece.
    pub credits: Credits,
    /// A second, promotional grant.
    pub bonus: Credits,
    /// Price before tax.
    pub price: Money,
    /// When the credits end after the purchase; absent: never.
    pub expires_after: Option<CalendarSpan>,
    /// Whether a refund may be requested.
    pub refundable: bool,
    /// Where it can be bought.
    pub checkout_url: Option<String>,
}

words! {
    /// When a plan's credits are granted.
    GrantOn {
        /// When the cycle opens.
        Cycle "cycle",
        /// When its invoice is paid.
        Payment "payment",
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Credits per cycle.
    pub allowance: Credits,
    /// The interval it is meant for; absent: either.
    pub interval: Option<Interval>,
    /// Length of a cycle; absent: the interval.
    pub allowance_every: Option<Interval>,
    /// When credits are granted.
    pub grant_on: GrantOn,
    /// What rolls over; absent: nothing.
    pub rollover: Option<RolloverRule>,
    /// First cycle in proportion to the time left of it.
    pub prorate: bool,
    /// Meters or services its credits pay for; empty: all.
    pub scope: Vec<Id>,
}

/// An add-on sold in units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    /// Credits of one unit per cycle.
    pub credits_per_unit: Credits,
    /// Price of one unit per cycle.
    pub unit_price: Money,
    /// The kind of account it is for; absent: both.
    pub scope: Option<AccountKind>,
    /// Plans it goes with; empty: all.
    pub plans: Vec<Id>,
}

impl Addon {
    /// Credits of so many units; of units and parts of them, rounded down.
    ///
    /// # Errors
    /// [`Overflow`] when they leave their bounds.
    pub fn credits_for(&self, units: Credits) -> Result<Credits, Overflow> {
        self.credits_per_unit.share_down(units.decimal(), Decimal::ONE)
    }
}

/// A service that can be bought with credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Whether credits may pay for it.
    pub eligible: bool,
    /// Its price; absent: the caller names it.
    pub credits: Option<Credits>,
}

/// What a provider's price id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriceTarget {
    /// A plan.
    Plan(Id),
    /// An add-on.
    Addon(Id),
}

impl Catalog {
    /// What a provider's price or plan id stands for.
    #[must_use]
    pub fn target(&self, price: &Printable) -> Option<&PriceTarget> {
        self.stripe_prices.get(price).or_else(|| self.paypal_plans.get(price))
    }
}

/// One immutable version of a tenant's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// From 1.
    pub version: u32,
    /// From when usage is priced by it; absent: from the beginning.
    pub effective_at: Option<Timestamp>,
    /// ISO 4217.
    pub currency: Id,
    /// Packages by key.
    pub packages: BTreeMap<Id, Package>,
    /// Plans by key.
    pub plans: BTreeMap<Id, Plan>,
    /// Add-ons by key.
    pub addons: BTreeMap<Id, Addon>,
    /// Prices of usage.
    pub rates: RateCard,
    /// Services by key.
    pub services: BTreeMap<Id, Service>,
    /// Stripe price ids.
    pub stripe_prices: BTreeMap<Printable, PriceTarget>,
    /// PayPal plan ids.
    pub paypal_plans: BTreeMap<Printable, PriceTarget>,
}
