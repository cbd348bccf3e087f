//! What a provider's rows say against what the ledger knows.
//!
//! Owns the rules of what differs; reads and writes nothing. Holds 16 bytes for each payment that is in order, and
//! more only for those of which money went back.

use super::finding::{Finding, Kind};
use super::record::{Paid, Reversed, Row, Says};
use crate::domain::credits::{Money, Overflow};
use crate::domain::payment::PaymentStatus;
use crate::store::postgres::query::drift::{Found, Granted, Known};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What is done about payments that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// They are told.
    Drift,
    /// They are counted.
    Ignore,
}

/// What a comparison goes by.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The period, where it was given.
    pub from: Option<Timestamp>,
    /// Its end, which is not in it.
    pub to: Option<Timestamp>,
    /// How near to an end of the period, and to now, nothing is held against anybody.
    pub edge: SignedDuration,
    /// What is done about payments that nobody knows.
    pub unknown: Unknown,
    /// The mode that the tenant takes.
    pub livemode: Option<bool>,
    /// The time of the ledger's snapshot.
    pub now: Timestamp,
    /// When rows that sum up what went back were written, at the latest.
    pub as_of: Timestamp,
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the provider's list.
    pub rows: u64,
    /// Payments among them.
    pub payments: u64,
    /// Refunds, disputes and reversals among them.
    pub reversals: u64,
    /// Payments granted here, in the period.
    pub granted: u64,
    /// Payments there that nobody knows here and nothing says to be ours.
    pub unknown: u64,
    /// Payments outside the period.
    pub outside: u64,
    /// Too near to an end of the period, or to now, to be held against anybody.
    pub at_the_edge: u64,
    /// In the currency of the settlement, so that amounts cannot be compared.
    pub other_currency: u64,
    /// Differences by kind.
    pub found: BTreeMap<Kind, u64>,
}

impl Counts {
    /// Differences, without rows that cannot be read.
    #[must_use]
    pub fn drift(&self) -> u64 {
        self.found.iter().filter(|(kind, _)| **kind != Kind::Unreadable).map(|(_, count)| count).sum()
    }

    /// Rows that cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.found.get(&Kind::Unreadable).copied().unwrap_or_default()
    }
}

/// A payment of which money went back, here or there.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sum {
    account: String,
    place: u64,
    currency: String,
    /// What is known here: all that was paid, what of it is gone, and since when.
    paid: String,
    here: String,
    reversed_at: Option<Timestamp>,
    /// What went back there for certain: as the payment's own row sums it up, as rows of refunds do, and in
    /// disputes; and what perhaps did.
    least: String,
    refunded: String,
    disputed: String,
    open: String,
    is_vague: bool,
    dispute_told: bool,
    /// The payment's own row was there; true when it sums up what went back.
    row: Option<bool>,
    is_foreign: bool,
}

/// The comparison so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// How much was looked at.
    pub counts: Counts,
    /// The first and the last time of a row.
    pub span: Option<(Timestamp, Timestamp)>,
    sums: BTreeMap<String, Sum>,
    /// Payments that are paid there and granted here, by 16 bytes of a hash.
    #[serde(skip)]
    pub seen: Vec<[u8; 16]>,
}

/// What tells a payment from all others in this database.
fn mark(account_id: i64, payment: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(account_id.to_le_bytes());
    hash.update(payment.as_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash.finalize()[..16]);
    mark
}

fn money(text: &str) -> Money {
    // It was written by this module from an amount.
    Money::parse(text).unwrap_or_default()
}

impl Comparison {
    /// Notes a difference and hands it on.
    fn tell(&mut self, finding: Finding, told: &mut Vec<Finding>) {
        *self.counts.found.entry(finding.kind).or_default() += 1;
        told.push(finding);
    }

    /// Compares one row with what is known of its payment; `fate` says what became of messages that named it.
    ///
    /// # Errors
    /// [`Overflow`] when sums leave their bounds.
    pub fn row(&mut self, row: &Row, found: &Found, fate: Option<&str>, terms: &Terms) -> Result<Vec<Finding>, Overflow> {
        let mut told = Vec::new();
        self.counts.rows += 1;
        if let Some(at) = row.at {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
        match &row.says {
            Says::Nothing => {}
            Says::Unreadable(what) => {
                let finding = Finding { place: Some(row.place), ..Finding::new(Kind::Unreadable, what.clone()) };
                self.tell(finding, &mut told);
            }
            Says::Reversed(reversed) => self.reversed(row, reversed, found, terms)?,
            Says::Paid(paid) => {
                let outside = |at: Timestamp| terms.from.is_some_and(|from| at < from) || terms.to.is_some_and(|to| at >= to);
                if row.at.is_some_and(outside) {
                    self.counts.outside += 1;
                    // It may be granted in the period, long after it was made.
                    if let Found::Recorded(known) = found {
                        self.seen.push(mark(known.account_id, known.payment.terms.payment.as_str()));
                    }
                } else {
                    self.counts.payments += 1;
                    self.paid(row, paid, (found, fate), terms, &mut told)?;
                }
            }
        }
        Ok(told)
    }

    fn paid(
        &mut self,
        row: &Row,
        paid: &Paid,
        (found, fate): (&Found, Option<&str>),
        terms: &Terms,
        told: &mut Vec<Finding>,
    ) -> Result<(), Overflow> {
        let finding = |kind, what: String, account: Option<String>| Finding {
            payment: Some(paid.names.first().to_owned()),
            account,
            place: Some(row.place),
            there: Some(format!("{} {}", paid.amount, paid.currency)),
            ..Finding::new(kind, what)
        };
        let written = paid.account.as_ref().map(ToString::to_string);
        if paid.livemode.zip(terms.livemode).is_some_and(|(there, here)| there != here) {
            let what = if paid.livemode == Some(true) {
                "it is live, and the tenant takes test mode"
            } else {
                "it is a test, and the tenant takes live mode"
            };
            self.tell(finding(Kind::Mode, what.to_owned(), written), told);
            return Ok(());
        }
        let known = match found {
            Found::Recorded(known) if known.payment.status == PaymentStatus::Granted => known,
            _ => {
                let is_new = row.at.is_some_and(|at| at > since(terms.now, terms.edge));
                let (is_ours, account, what) = missing(found, fate, written);
                if !is_ours {
                    self.counts.unknown += 1;
                }
                // Nobody misses what was paid back.
                let is_back = paid.lost.is_some_and(|lost| lost.least >= paid.amount);
                if is_new {
                    self.counts.at_the_edge += 1;
                } else if !is_back && (is_ours || terms.unknown == Unknown::Drift) {
                    let kind = if is_ours { Kind::NotGranted } else { Kind::Unknown };
                    self.tell(finding(kind, what, account), told);
                }
                return Ok(());
            }
        };
        let here = &known.payment.terms;
        self.seen.push(mark(known.account_id, here.payment.as_str()));
        let is_foreign = paid.lost.is_none() && here.currency != paid.currency;
        if is_foreign {
            self.counts.other_currency += 1;
        } else if here.amount != paid.amount || here.currency != paid.currency {
            let what = "paid there and granted here, on other terms".to_owned();
            let here = Some(format!("{} {}", here.amount, here.currency));
            self.tell(Finding { here, ..finding(Kind::Amount, what, Some(known.account.clone())) }, told);
        }
        let lost = paid.lost.unwrap_or_default();
        if lost.least.is_positive() || lost.open.is_positive() || lost.is_vague || known.lost.is_positive() {
            let sum = self.sum(row, known);
            sum.least = money(&sum.least).plus(lost.least)?.to_string();
            sum.open = money(&sum.open).plus(lost.open)?.to_string();
            sum.is_vague |= lost.is_vague;
            sum.row = Some(paid.lost.is_some());
            sum.is_foreign |= is_foreign;
        }
        Ok(())
    }

    fn reversed(&mut self, row: &Row, reversed: &Reversed, found: &Found, terms: &Terms) -> Result<(), Overflow> {
        self.counts.reversals += 1;
        let Found::Recorded(known) = found else { return Ok(()) };
        if known.payment.terms.currency != reversed.currency {
            self.counts.other_currency += 1;
            self.sum(row, known).is_foreign = true;
            return Ok(());
        }
        // Its event may be on its way.
        let is_new = row.at.is_some_and(|at| at > since(terms.now, terms.edge));
        let (certain, perhaps) = match (is_new, reversed.amount.is_negative()) {
            (false, _) => (reversed.amount, Money::ZERO),
            (true, false) => (Money::ZERO, reversed.amount),
            (true, true) => (reversed.amount, reversed.amount.negated()),
        };
        let sum = self.sum(row, known);
        sum.open = money(&sum.open).plus(perhaps)?.to_string();
        sum.dispute_told |= reversed.is_dispute;
        let gone = if reversed.is_dispute { &mut sum.disputed } else { &mut sum.refunded };
        *gone = money(gone).plus(certain)?.to_string();
        Ok(())
    }

    fn sum(&mut self, row: &Row, known: &Known) -> &mut Sum {
        let terms = &known.payment.terms;
        let key = format!("{} {}", terms.payment, known.account_id);
        self.sums.entry(key).or_insert_with(|| Sum {
            account: known.account.clone(),
            place: row.place,
            currency: terms.currency.to_string(),
            paid: terms.amount.to_string(),
            here: known.lost.to_string(),
            reversed_at: known.reversed_at,
            least: Money::ZERO.to_string(),
            refunded: Money::ZERO.to_string(),
            disputed: Money::ZERO.to_string(),
            open: Money::ZERO.to_string(),
            is_vague: false,
            dispute_told: false,
            row: None,
            is_foreign: false,
        })
    }

    /// Compares what went back in all, after the last row.
    ///
    /// # Errors
    /// [`Overflow`] when sums leave their bounds.
    pub fn reversals(&mut self, terms: &Terms) -> Result<Vec<Finding>, Overflow> {
        let end = self.period(terms).map_or(terms.now, |(_, to)| to);
        let mut told = Vec::new();
        for (key, sum) in std::mem::take(&mut self.sums) {
            if sum.is_foreign {
                continue;
            }
            let (paid, here) = (money(&sum.paid), money(&sum.here));
            // A payment's own row sums up the refunds that have rows of their own.
            let gone = money(&sum.least).max(money(&sum.refunded)).plus(money(&sum.disputed))?;
            let least = gone.at_least_zero().min(paid);
            let most = if sum.is_vague && !sum.dispute_told { paid } else { gone.plus(money(&sum.open))?.at_least_zero().min(paid) };
            // Rows of single reversals end with the period, those that sum them up with the writing of the list.
            let until = since(if sum.row == Some(true) { terms.as_of } else { end }, terms.edge);
            let is_known_there = sum.row.is_some() && sum.reversed_at.is_some_and(|at| at < until);
            let (kind, what) = if least > here {
                (Kind::NotClawed, "more went back there than was taken back for here")
            } else if here > most && is_known_there {
                (Kind::ClawedTooMuch, "less went back there than was taken back for here")
            } else {
                continue;
            };
            let there = if kind == Kind::NotClawed { least } else { most };
            let payment = key.rsplit_once(' ').map_or(key.as_str(), |(payment, _)| payment).to_owned();
            let finding = Finding {
                payment: Some(payment),
                account: Some(sum.account),
                place: Some(sum.place),
                there: Some(format!("{there} {} of {paid}", sum.currency)),
                here: Some(format!("{here} {}", sum.currency)),
                ..Finding::new(kind, what)
            };
            self.tell(finding, &mut told);
        }
        Ok(told)
    }

    /// The period: as it was given, or else from the first row to the last. `None` when neither says.
    #[must_use]
    pub fn period(&self, terms: &Terms) -> Option<(Timestamp, Timestamp)> {
        let from = terms.from.or(self.span.map(|(first, _)| first))?;
        let to = terms.to.or(self.span.map(|(_, last)| last.saturating_add(SignedDuration::from_secs(1)).unwrap_or(last)))?;
        Some((from, to))
    }

    /// Compares a payment that was granted here; [`Self::seen`] is sorted by then.
    pub fn granted(&mut self, granted: &Granted, terms: &Terms) -> Option<Finding> {
        let ((from, to), at) = (self.period(terms)?, granted.at()?);
        if at < from || at >= to {
            return None;
        }
        self.counts.granted += 1;
        if self.seen.binary_search(&mark(granted.account_id, &granted.payment)).is_ok() {
            return None;
        }
        // The provider dates a payment by its beginning, the ledger by its event.
        if at < from.saturating_add(terms.edge).unwrap_or(from) || at >= since(to, terms.edge) {
            self.counts.at_the_edge += 1;
            return None;
        }
        *self.counts.found.entry(Kind::NotPaid).or_default() += 1;
        Some(Finding {
            payment: Some(granted.payment.clone()),
            account: Some(granted.account.clone()),
            here: Some(format!("{} {}", granted.amount.normalize(), granted.currency)),
            ..Finding::new(Kind::NotPaid, format!("granted here at {at}, and not in the list as paid"))
        })
    }
}

fn since(at: Timestamp, edge: SignedDuration) -> Timestamp {
    at.saturating_sub(edge).unwrap_or(at)
}

/// Why a payment that is paid there was not granted here: whether it is ours for certain, whose, and in words.
fn missing(found: &Found, fate: Option<&str>, written: Option<String>) -> (bool, Option<String>, String) {
    match found {
        Found::Recorded(known) => {
            let what = match known.payment.status {
                PaymentStatus::Review => format!("staff have not accepted it: request {} of the account", known.payment.terms.provider_id),
                status => format!("known here as {}: the event that says paid did not come", status.word()),
            };
            (true, Some(known.account.clone()), what)
        }
        Found::Claimed { account, .. } => {
            let what = fate.map_or_else(|| "an event of it is being handled".to_owned(), ToOwned::to_owned);
            (true, Some(account.clone()), what)
        }
        Found::Unclaimed => (written.is_some(), written, "an event of it came that names no account, and none that does".to_owned()),
        Found::Unknown if written.is_some() => (true, written, "no event of it came here".to_owned()),
        Found::Unknown => (false, None, "nobody knows it here, and it names no account".to_owned()),
    }
}
