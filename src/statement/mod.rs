//! Statements: what an account looks like to people and, as JSON, to programs.
//!
//! Owns the shape of a balance (message contract, Message files) and the tables of the command
//! line. Never reads a store and never decides.

mod payments;

use crate::domain::account::Account;
use crate::domain::burn_down;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::entry::{Direction, Entry};
use crate::domain::grant::{Grant, GrantStatus};
use crate::domain::ids::{AccountKey, Id, Printable};
use crate::domain::request::CreditRequest;
use crate::domain::settings::Settings;
use crate::domain::subscription::Subscription;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
pub use payments::{PaymentRecord, payments, payments_json};
use serde::Serialize;
use std::collections::BTreeMap;

/// The numbers of an account and its usable grants in burn order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    balance: String,
    held: String,
    frozen: String,
    available: String,
    debt: String,
    seq: u64,
    grants: Vec<GrantView>,
}

/// One grant of a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct GrantView {
    grant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    source: &'static str,
    remaining: String,
    effective_at: String,
    ends_at: Option<String>,
    priority: u32,
}

/// The key around a balance.
#[derive(Debug, Serialize)]
struct Around<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    account: &'a AccountView,
}

impl AccountView {
    /// The account as it is.
    #[must_use]
    pub fn of(account: &Account, grants: &BTreeMap<u32, Grant>, settings: &Settings) -> Self {
        let mut usable: Vec<&Grant> =
            grants.values().filter(|grant| grant.status == GrantStatus::Active && grant.remaining.is_positive()).collect();
        usable.sort_by(|left, right| burn_down::compare(settings, left, right));
        Self {
            balance: account.balance.to_string(),
            held: account.held.to_string(),
            frozen: account.frozen.to_string(),
            available: account.available().unwrap_or(Credits::ZERO).to_string(),
            debt: account.debt.to_string(),
            seq: account.seq,
            grants: usable.into_iter().map(|grant| GrantView::of(grant, grants, settings)).collect(),
        }
    }

    /// An account that nobody has named yet: it holds nothing.
    #[must_use]
    pub fn unopened(key: &AccountKey) -> Self {
        Self::of(&Account::unopened(key.clone()), &BTreeMap::new(), &Settings::default())
    }

    /// The account at a past instant, made again from the entries that count for it.
    ///
    /// # Errors
    /// [`Overflow`] when the entries are not those of the account.
    pub fn at(account: &Account, grants: &BTreeMap<u32, Grant>, settings: &Settings, entries: &[Entry]) -> Result<Self, Overflow> {
        let mut past = Account::unopened(account.key.clone());
        let mut remaining: BTreeMap<u32, Credits> = BTreeMap::new();
        for entry in entries {
            past.held = past.held.plus(entry.held_change)?;
            past.frozen = past.frozen.plus(entry.frozen_change)?;
            past.debt = past.debt.plus(entry.debt_change)?;
            past.seq = past.seq.max(entry.seq);
            for touch in &entry.touched {
                let left = remaining.entry(touch.grant).or_default();
                *left = left.plus(touch.change)?;
            }
        }
        // What is known by now to have been used then may have burned what came later: that is told from then on.
        for left in remaining.values_mut() {
            *left = left.at_least_zero();
        }
        past.balance = Credits::sum(remaining.values().copied())?;
        let as_it_was = |(number, grant): (&u32, &Grant)| {
            let left = remaining.get(number).copied().unwrap_or_default();
            (*number, Grant { status: GrantStatus::Active, remaining: left, ..grant.clone() })
        };
        let grants: BTreeMap<u32, Grant> = grants.iter().map(as_it_was).collect();
        Ok(Self::of(&past, &grants, settings))
    }

    /// `{"account": {…}}`, with the number of the line that asked in front where there is one.
    #[must_use]
    pub fn json(&self, line: Option<usize>) -> String {
        // Strings and integers only: it cannot fail.
        serde_json::to_string(&Around { line, account: self }).unwrap_or_default()
    }

    /// The numbers on one line, then the grants in burn order.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "available {}   balance {}   held {}   frozen {}   debt {}   (entry {})",
            self.available, self.balance, self.held, self.frozen, self.debt, self.seq
        );
        if self.grants.is_empty() {
            return text;
        }
        let mut table = table(&["Burns", "Grant", "Source", "Remaining", "From (UTC)", "Until (UTC)", "Priority"], &[0, 3, 6]);
        for (index, grant) in self.grants.iter().enumerate() {
            let name = grant.parent.as_ref().map_or_else(|| grant.grant.clone(), |parent| format!("{} (from {parent})", grant.grant));
            table.add_row([
                index.saturating_add(1).to_string(),
                name,
                grant.source.to_owned(),
                grant.remaining.clone(),
                minute(&grant.effective_at),
                grant.ends_at.as_deref().map_or_else(|| "no end".to_owned(), minute),
                grant.priority.to_string(),
            ]);
        }
        text.push('\n');
        text.push_str(&shown(&table));
        text
    }
}

impl GrantView {
    fn of(grant: &Grant, all: &BTreeMap<u32, Grant>, settings: &Settings) -> Self {
        let terms = &grant.terms;
        Self {
            grant: terms.id.to_string(),
            parent: terms.parent.and_then(|parent| all.get(&parent)).map(|parent| parent.terms.id.to_string()),
            source: terms.source.word(),
            remaining: grant.remaining.to_string(),
            effective_at: terms.effective_at.to_string(),
            ends_at: terms.end.at().map(|at| at.to_string()),
            priority: settings.priority(terms),
        }
    }
}

/// A table without frames that fits the terminal; in a pipe, one line for each row. The columns
/// named by position are aligned to the right.
#[must_use]
pub fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.set_content_arrangement(if table.is_tty() { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table as text without blanks at the ends of lines.
#[must_use]
pub fn shown(table: &Table) -> String {
    table.trim_fmt()
}

/// An RFC 3339 instant in UTC, to the minute.
fn minute(at: &str) -> String {
    at.chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

/// An instant to the second, in UTC.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Date, In or Out, kind, reference, amount and running balance of each entry.
#[must_use]
pub fn history(entries: &[Entry]) -> String {
    let mut table = table(&["Entry", "Date (UTC)", "Type", "Kind", "Reference", "Amount", "Balance"], &[0, 5, 6]);
    for entry in entries {
        let (word, amount) = match entry.kind.direction() {
            Direction::In => ("In", format!("+{}", entry.amount)),
            Direction::Out => ("Out", format!("-{}", entry.amount)),
            Direction::Neutral => ("", neutral(entry)),
        };
        table.add_row([
            entry.seq.to_string(),
            second(entry.recorded_at),
            word.to_owned(),
            entry.kind.word().to_owned(),
            entry.reference.as_ref().map_or_else(|| entry.cause.id.to_string(), Printable::to_string),
            amount,
            entry.balance_after.to_string(),
        ]);
    }
    shown(&table)
}

/// What an entry that leaves the balance alone changes.
fn neutral(entry: &Entry) -> String {
    let changes = [("held", entry.held_change), ("frozen", entry.frozen_change), ("debt", entry.debt_change)];
    let said = changes.into_iter().filter(|(_, change)| !change.is_zero());
    let said: Vec<String> = said.map(|(word, change)| format!("{word} {}{change}", if change.is_negative() { "" } else { "+" })).collect();
    said.join(" ")
}

/// Credit requests.
#[must_use]
pub fn requests(requests: &[CreditRequest]) -> String {
    let mut table =
        table(&["Request", "Status", "Credits", "Price", "Method", "Requested by", "Submitted (UTC)", "Decided by", "Granted"], &[2, 3, 8]);
    for request in requests {
        let terms = &request.terms;
        table.add_row([
            terms.id.to_string(),
            request.status.word().to_owned(),
            terms.credits.to_string(),
            format!("{} {}", terms.price, terms.currency),
            terms.method.word().to_owned(),
            terms.requested_by.to_string(),
            second(request.submitted_at),
            request.decided_by.as_ref().map_or_else(String::new, Id::to_string),
            request.granted.to_string(),
        ]);
    }
    shown(&table)
}

/// Subscriptions with their add-ons and the date they renew or end.
#[must_use]
pub fn subscriptions(subscriptions: &[Subscription]) -> String {
    let mut table = table(&["Subscription", "Plan", "Add-ons", "Interval", "State", "Cycle from (UTC)", "Next (UTC)"], &[]);
    for subscription in subscriptions {
        let addons = subscription.current.addons.iter().filter(|(_, units)| **units > 0);
        let addons: Vec<String> = addons.map(|(addon, units)| format!("{units} × {addon}")).collect();
        let (state, next) = match (subscription.ended, subscription.cancelled) {
            (true, _) => ("ended", format!("ended {}", second(subscription.cycle.end))),
            (false, true) => ("cancelled", format!("ends {}", second(subscription_end(subscription)))),
            (false, false) => ("active", format!("renews {}", second(subscription.cycle.end))),
        };
        table.add_row([
            subscription.id.to_string(),
            subscription.current.plan.to_string(),
            addons.join(", "),
            subscription.interval.word().to_owned(),
            state.to_owned(),
            second(subscription.cycle.start),
            next,
        ]);
    }
    shown(&table)
}

/// The end of the paid interval: the first boundary at which the subscription is paid for.
fn subscription_end(subscription: &Subscription) -> Timestamp {
    let mut running = subscription.clone();
    // A year of months at most.
    for _ in 0..12 {
        if running.pays_at_end() {
            break;
        }
        running.cycle.k = running.cycle.k.saturating_add(1);
    }
    running.boundary(running.cycle.k.saturating_add(1)).unwrap_or(subscription.cycle.end)
}

#[derive(Serialize)]
struct RequestView<'a> {
    request: &'a str,
    status: &'static str,
    package: Option<&'a str>,
    credits: String,
    price: String,
    currency: &'a str,
    method: &'static str,
    requested_by: &'a str,
    submitted_at: String,
    expires_at: Option<String>,
    decided_by: Option<&'a str>,
    received: Option<String>,
    granted: String,
}

/// Credit requests as `{"requests": […]}`.
#[must_use]
pub fn requests_json(requests: &[CreditRequest]) -> String {
    let views = requests.iter().map(|request| RequestView {
        request: request.terms.id.as_str(),
        status: request.status.word(),
        package: request.terms.package.as_ref().map(Id::as_str),
        credits: request.terms.credits.to_string(),
        price: request.terms.price.to_string(),
        currency: request.terms.currency.as_str(),
        method: request.terms.method.word(),
        requested_by: request.terms.requested_by.as_str(),
        submitted_at: request.submitted_at.to_string(),
        expires_at: request.expires_at.map(|at| at.to_string()),
        decided_by: request.decided_by.as_ref().map(Id::as_str),
        received: request.received.map(|amount| amount.to_string()),
        granted: request.granted.to_string(),
    });
    serde_json::json!({ "requests": views.collect::<Vec<_>>() }).to_string()
}

#[derive(Serialize)]
struct SubscriptionView<'a> {
    subscription: &'a str,
    plan: &'a str,
    addons: BTreeMap<&'a str, u32>,
    interval: &'static str,
    cancelled: bool,
    ended: bool,
    cycle_start: String,
    cycle_end: String,
    allowance: String,
    renews_at: Option<String>,
}

/// Subscriptions as `{"subscriptions": […]}`.
#[must_use]
pub fn subscriptions_json(subscriptions: &[Subscription]) -> String {
    let views = subscriptions.iter().map(|one| SubscriptionView {
        subscription: one.id.as_str(),
        plan: one.current.plan.as_str(),
        addons: one.current.addons.iter().map(|(addon, units)| (addon.as_str(), *units)).collect(),
        interval: one.interval.word(),
        cancelled: one.cancelled,
        ended: one.ended,
        cycle_start: one.cycle.start.to_string(),
        cycle_end: one.cycle.end.to_string(),
        allowance: one.cycle.allowance.to_string(),
        renews_at: (!one.cancelled && !one.ended).then(|| one.cycle.end.to_string()),
    });
    serde_json::json!({ "subscriptions": views.collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests;
