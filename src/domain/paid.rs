//! What a subscription is paid for, where its plan grants by payment (semantics §7).
//!
//! Owns what each invoice adds to what was paid before it, and so which payment bought which credits of a cycle.
//! Granting them is `cycle`'s; what an invoice shows is read by `decide::invoice`.

use super::catalog::{Catalog, GrantOn, PriceTarget};
use super::credits::Credits;
use super::cycle::plan;
use super::ids::{Id, Printable};
use super::settings::Terms;
use super::subscription::{Cycle, Subscription, Wanted};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What credits of a cycle are granted for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entitlement {
    /// The plan; absent for add-ons alone.
    pub plan: Option<Id>,
    /// Units by add-on.
    pub addons: BTreeMap<Id, u32>,
}

impl Entitlement {
    /// To all that a subscription is.
    #[must_use]
    pub fn to(wanted: &Wanted) -> Self {
        Self { plan: Some(wanted.plan.clone()), addons: wanted.addons.clone() }
    }

    /// To both: the plan of the higher allowance, and the most units of each add-on.
    #[must_use]
    fn and(mut self, other: &Self, by: Allowances<'_>) -> Self {
        if by.of(other.plan.as_ref()) > by.of(self.plan.as_ref()) {
            self.plan.clone_from(&other.plan);
        }
        for (addon, units) in &other.addons {
            let most = self.addons.entry(addon.clone()).or_default();
            *most = (*most).max(*units);
        }
        self
    }

    /// To no more than the subscription is.
    fn within(&self, current: &Wanted, by: Allowances<'_>) -> Self {
        let lower = |plan: &Id| if by.of(Some(plan)) < by.of(Some(&current.plan)) { plan.clone() } else { current.plan.clone() };
        let units = |(addon, units): (&Id, &u32)| Some((addon.clone(), (*units).min(*current.addons.get(addon)?)));
        Self { plan: self.plan.as_ref().map(lower), addons: self.addons.iter().filter_map(units).collect() }
    }
}

/// The allowances of plans as a cycle sees them, to tell which is the higher.
#[derive(Clone, Copy)]
struct Allowances<'a> {
    terms: &'a Terms,
    catalog: u32,
}

impl Allowances<'_> {
    /// No plan is less than any.
    fn of(self, wanted: Option<&Id>) -> Option<Credits> {
        wanted.map(|wanted| plan(self.terms, wanted, self.catalog).map_or(Credits::ZERO, |plan| plan.allowance))
    }
}

/// A payment for cycles of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// From which boundary, included.
    pub from: Timestamp,
    /// Until which boundary, excluded.
    pub until: Timestamp,
    /// From when in the first of its cycles, for the rest of a time that had begun.
    pub since: Option<Timestamp>,
    /// The payment, by the name it is kept under.
    pub by: Printable,
    /// What its invoice shows.
    pub shows: Entitlement,
    /// Whether it is what an interval is billed as it begins: what it does not show is then as it was.
    pub opens: bool,
}

impl Paid {
    /// Whether it pays for a cycle.
    #[must_use]
    pub fn covers(&self, cycle: &Cycle) -> bool {
        self.from <= cycle.start && cycle.start < self.until
    }

    /// What it is for, of a subscription that was `began` when the paid interval began.
    fn pays(&self, began: &Wanted) -> Entitlement {
        let Entitlement { plan, addons } = &self.shows;
        match plan {
            None if self.opens && addons.is_empty() => Entitlement::to(began),
            Some(_) if self.opens && addons.is_empty() => Entitlement { plan: plan.clone(), addons: began.addons.clone() },
            _ => self.shows.clone(),
        }
    }

    /// Payments take effect in the order of the times they are for, whichever is heard of first.
    fn place(&self) -> (Timestamp, &Printable) {
        (self.since.unwrap_or(self.from), &self.by)
    }
}

/// What a cycle has by one payment, and by those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is granted for, in all.
    pub to: Entitlement,
    /// What bought the part of it that was not there before; absent when the plan grants by cycle.
    pub by: Option<Printable>,
    /// From when it is granted for, where its plan prorates; absent for now.
    pub since: Option<Timestamp>,
}

/// What the running cycle has, step by step; the last step is all of it. Empty while nothing is paid.
#[must_use]
pub fn steps(terms: &Terms, one: &Subscription) -> Vec<Step> {
    if grants_by_cycle(terms, one, &one.current.plan) {
        return vec![Step { to: Entitlement::to(&one.current), by: None, since: None }];
    }
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let payments: Vec<&Paid> = one.paid.iter().filter(|paid| paid.covers(&one.cycle)).collect();
    let mut steps = reached(terms, one, &payments);
    for step in &mut steps {
        step.to = step.to.within(&one.current, by);
    }
    steps
}

/// What the running cycle has in all.
#[must_use]
pub fn entitlement(terms: &Terms, one: &Subscription) -> Entitlement {
    steps(terms, one).pop().map(|step| step.to).unwrap_or_default()
}

/// Whether a plan, as the running cycle sees it, grants when the cycle opens.
#[must_use]
pub fn grants_by_cycle(terms: &Terms, one: &Subscription, wanted: &Id) -> bool {
    plan(terms, wanted, one.cycle.catalog).is_some_and(|plan| plan.grant_on == GrantOn::Cycle)
}

/// What was there without a payment: an upgrade that is not paid takes nothing away.
fn unpaid(terms: &Terms, one: &Subscription) -> Option<Entitlement> {
    grants_by_cycle(terms, one, &one.began.plan).then(|| Entitlement::to(&one.began))
}

/// What payments come to, whatever the subscription is: an invoice may be heard of before the change it is for.
fn reached(terms: &Terms, one: &Subscription, payments: &[&Paid]) -> Vec<Step> {
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let mut held = unpaid(terms, one);
    let mut steps: Vec<Step> = held.iter().map(|to| Step { to: to.clone(), by: None, since: None }).collect();
    for paid in payments {
        let is_first = held.as_ref().is_none_or(|held| held.plan.is_none());
        let to = held.unwrap_or_default().and(&paid.pays(&one.began), by);
        let since = paid.since.or((is_first && to.plan.is_some()).then_some(paid.from));
        steps.push(Step { to: to.clone(), by: Some(paid.by.clone()), since });
        held = Some(to);
    }
    steps
}

/// Notes a payment. `is_all` says that its invoice shows everything it is for and gives nothing back: one that then
/// shows nothing beyond what was paid for the same time before it was not sent for nothing, and pays for what the
/// subscription is by now.
pub fn note(terms: &Terms, one: &mut Subscription, mut paid: Paid, is_all: bool) {
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let adds_nothing = |paid: &Paid| {
        let known = one.paid.iter().take_while(|known| known.place() <= paid.place());
        let of_time = known.filter(|known| known.from <= paid.from && paid.until <= known.until);
        let held = together(one, Entitlement::default(), of_time, by);
        held.plan.is_some() && held.clone().and(&paid.pays(&one.began), by) == held
    };
    if is_all && paid.covers(&one.cycle) && adds_nothing(&paid) {
        paid.shows = Entitlement::to(&one.current);
    }
    if !adds_nothing(&paid) {
        let place = one.paid.partition_point(|known| known.place() <= paid.place());
        one.paid.insert(place, paid);
    }
}

/// What had been paid for a time that is over, and what is paid with one more payment.
#[must_use]
pub fn late(terms: &Terms, one: &Subscription, paid: &Paid) -> (Entitlement, Entitlement) {
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let of_time = one.paid.iter().filter(|known| known.from < paid.until && paid.from < known.until);
    let unpaid = unpaid(terms, one).unwrap_or_default();
    let before = together(one, unpaid, of_time, by);
    let after = before.clone().and(&paid.pays(&one.began), by);
    (before, after)
}

/// What payments are for together, beside what was held without them.
fn together<'a>(one: &Subscription, held: Entitlement, payments: impl Iterator<Item = &'a Paid>, by: Allowances<'_>) -> Entitlement {
    payments.fold(held, |held, known| held.and(&known.pays(&one.began), by))
}

/// Whether a provider's invoices can show something at all.
#[must_use]
pub fn is_priced(terms: &Terms, target: &PriceTarget) -> bool {
    let prices = |catalog: &Catalog| catalog.stripe_prices.values().chain(catalog.paypal_plans.values()).any(|sold| sold == target);
    terms.catalogs.values().any(|catalog| prices(catalog))
}
