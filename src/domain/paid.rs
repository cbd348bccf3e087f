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
    /// From which boundary of the paid interval, included.
    pub from: Timestamp,
    /// Until which boundary, excluded.
    pub until: Timestamp,
    /// The payment, by the name it is kept under.
    pub by: Printable,
    /// What its invoice shows: what it does not show is as it was when the paid interval began, since an interval is
    /// billed as it begins. Units alone are for nothing else.
    pub shows: Entitlement,
}

impl Paid {
    /// Whether it pays for a cycle.
    #[must_use]
    pub fn covers(&self, cycle: &Cycle) -> bool {
        self.from <= cycle.start && cycle.start < self.until
    }

    /// What it is for, of a subscription that was `began` when the paid interval began.
    fn pays(&self, began: &Wanted) -> Entitlement {
        match (&self.shows.plan, self.shows.addons.is_empty()) {
            (None, true) => Entitlement::to(began),
            (Some(plan), true) => Entitlement { plan: Some(plan.clone()), addons: began.addons.clone() },
            (_, false) => self.shows.clone(),
        }
    }
}

/// What a cycle has by one payment, and by those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is granted for, in all.
    pub to: Entitlement,
    /// What bought the part of it that was not there before; absent when the plan grants by cycle.
    pub by: Option<Printable>,
    /// True for what the paid interval was billed for as it began, however late that is paid.
    pub from_start: bool,
}

/// What the running cycle has, step by step in the order of the payments; the last step is all of it. Empty while
/// nothing is paid.
#[must_use]
pub fn steps(terms: &Terms, one: &Subscription) -> Vec<Step> {
    if by_cycle(terms, one, &one.current.plan) {
        return vec![Step { to: Entitlement::to(&one.current), by: None, from_start: false }];
    }
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let mut steps = reached(terms, one, &of_cycle(one));
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

/// The payments of the running cycle.
fn of_cycle(one: &Subscription) -> Vec<&Paid> {
    one.paid.iter().filter(|paid| paid.covers(&one.cycle)).collect()
}

/// What payments come to, whatever the subscription is: an invoice may be heard of before the change it is for.
fn reached(terms: &Terms, one: &Subscription, payments: &[&Paid]) -> Vec<Step> {
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let mut held = Entitlement::default();
    let mut steps = Vec::new();
    // An upgrade that is not paid takes nothing away.
    if by_cycle(terms, one, &one.began.plan) {
        held = Entitlement::to(&one.began);
        steps.push(Step { to: held.clone(), by: None, from_start: true });
    }
    for paid in payments {
        let from_start = held.plan.is_none();
        held = held.and(&paid.pays(&one.began), by);
        steps.push(Step { to: held.clone(), by: Some(paid.by.clone()), from_start: from_start && held.plan.is_some() });
    }
    steps
}

fn by_cycle(terms: &Terms, one: &Subscription, wanted: &Id) -> bool {
    plan(terms, wanted, one.cycle.catalog).is_some_and(|plan| plan.grant_on == GrantOn::Cycle)
}

/// Notes a payment for the running cycle or one to come. One that shows nothing beyond what was paid for the running
/// cycle was not sent for nothing: it pays for what the subscription is by now.
pub fn note(terms: &Terms, one: &mut Subscription, mut paid: Paid) {
    let mut payments = of_cycle(one);
    if paid.covers(&one.cycle) && !payments.is_empty() {
        let all = |payments: &[&Paid]| reached(terms, one, payments).pop().map(|step| step.to);
        let before = all(&payments);
        payments.push(&paid);
        if all(&payments) == before {
            paid.shows = Entitlement::to(&one.current);
        }
    }
    one.paid.push(paid);
}

/// What a payment for a time that is over was for, and what had been paid for it before.
#[must_use]
pub fn late(terms: &Terms, one: &Subscription, paid: &Paid) -> (Entitlement, Entitlement) {
    let by = Allowances { terms, catalog: one.cycle.catalog };
    let of_it = one.paid.iter().filter(|known| known.from < paid.until && paid.from < known.until);
    let before = of_it.fold(Entitlement::default(), |held, known| held.and(&known.pays(&one.began), by));
    let after = before.clone().and(&paid.pays(&one.began), by);
    (before, after)
}

/// Whether a provider's invoices can show a plan at all.
#[must_use]
pub fn is_priced(terms: &Terms, plan: &Id) -> bool {
    let target = PriceTarget::Plan(plan.clone());
    let prices = |catalog: &Catalog| catalog.stripe_prices.values().chain(catalog.paypal_plans.values()).any(|sold| *sold == target);
    terms.catalogs.values().any(|catalog| prices(catalog))
}
