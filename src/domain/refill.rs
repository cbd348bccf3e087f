//! Grants that refill themselves: when the next refill is that can change something (semantics §3).
//!
//! Owns which refills are waited for. A full grant waits for none: whatever lies between now and
//! the moment something is taken from it changes nothing, so it is passed over by arithmetic and any
//! interval and any downtime cost the same.

use super::account::AccountStatus;
use super::calendar::next_step;
use super::credits::Overflow;
use super::draft::{Draft, Posting};
use super::entry::{EntryKind, Touch};
use super::grant::{Grant, GrantStatus};
use jiff::{Timestamp, tz::TimeZone};

/// Makes a grant that is not full any more wait for its first refill after `passed`, the instant up
/// to which its refills have happened.
pub fn wake(grant: &mut Grant, passed: Timestamp, zone: &TimeZone) {
    if grant.status == GrantStatus::Active && grant.refill_at.is_none() && grant.remaining < grant.terms.credits {
        grant.refill_at = next(grant, passed, zone);
    }
}

fn next(grant: &Grant, passed: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let recurs = grant.terms.recurs.as_ref()?;
    next_step(recurs.anchor, recurs.interval, passed, zone)
}

/// Raises a grant back to its amount; full again, it waits for no refill. A closed account is given nothing any more.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn refill(draft: &mut Draft<'_>, number: u32) -> Result<(), Overflow> {
    let Some(grant) = draft.book.grants.get(&number) else { return Ok(()) };
    if draft.book.account.status == AccountStatus::Closed {
        draft.change_grant(number, |grant| grant.refill_at = None);
        return Ok(());
    }
    let full = grant.terms.credits;
    let amount = full.minus(grant.remaining)?;
    draft.change_grant(number, |grant| {
        grant.remaining = full;
        grant.refill_at = None;
    });
    if amount.is_zero() {
        return Ok(());
    }
    let touched = vec![Touch { grant: number, change: amount }];
    draft.post(EntryKind::Refilled, Posting { amount, touched, ..Posting::default() })
}

/// Counts the refills that are waited for anew, in the zone the account has now.
pub fn recount(draft: &mut Draft<'_>) {
    let zone = draft.book.account.profile.zone.clone();
    let waits = |grant: &&Grant| grant.status == GrantStatus::Active && grant.refill_at.is_some();
    let waiting: Vec<u32> = draft.book.grants.live().filter(waits).map(|grant| grant.terms.number).collect();
    for number in waiting {
        let passed = draft.passed;
        draft.change_grant(number, |grant| grant.refill_at = next(grant, passed, zone.rules()));
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::apply::{Changes, pass_time};
    use crate::domain::book::AccountState;
    use crate::domain::calendar::{CalendarSpan, next_step};
    use crate::domain::credits::Credits;
    use crate::domain::draft::{Draft, Posting};
    use crate::domain::entry::EntryKind;
    use crate::domain::grant::{GrantEnd, GrantSource, GrantTerms, Recurrence};
    use crate::domain::ids::{AccountKey, Id, MessageId};
    use crate::domain::settings::{Settings, Terms};
    use jiff::{SignedDuration, Timestamp, tz::TimeZone};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What an account is asked, in steps of a quarter of an hour.
    #[derive(Debug, Clone)]
    enum Step {
        Grant { credits: u32, starts_in: i64, ends_in: Option<i64>, interval: &'static str, anchored: i64 },
        Use(u32),
        Wait(i64),
    }

    /// A grant of the plain way: every refill happens, whether or not it changes anything.
    struct Plain {
        credits: u32,
        remaining: u32,
        starts: Timestamp,
        ends: Option<Timestamp>,
        started: bool,
        recurs: Recurrence,
        refill: Option<Timestamp>,
    }

    #[derive(Default)]
    struct PlainWay {
        grants: Vec<Plain>,
        debts: Vec<u32>,
        entries: Vec<(EntryKind, u32, Timestamp)>,
    }

    impl PlainWay {
        fn take(&mut self, mut wanted: u32) -> u32 {
            let before = wanted;
            for grant in self.grants.iter_mut().filter(|grant| grant.started) {
                let part = grant.remaining.min(wanted);
                grant.remaining -= part;
                wanted -= part;
            }
            before - wanted
        }

        fn repay(&mut self, at: Timestamp) {
            for place in 0..self.debts.len() {
                let repaid = self.take(self.debts[place]);
                self.debts[place] -= repaid;
                self.enter(EntryKind::DebtRepaid, repaid, at);
            }
        }

        fn enter(&mut self, kind: EntryKind, amount: u32, at: Timestamp) {
            if amount > 0 {
                self.entries.push((kind, amount, at));
            }
        }

        fn pass(&mut self, until: Timestamp) {
            let due = |grant: &Plain| match (grant.started, grant.ends) {
                (false, None) => Some(grant.starts),
                (false, Some(ends)) => Some(grant.starts).filter(|_| grant.starts < ends),
                (true, ends) => ends.into_iter().chain(grant.refill).min(),
            };
            while let Some(now) = self.grants.iter().filter_map(due).min().filter(|due| *due <= until) {
                for place in 0..self.grants.len() {
                    if self.grants[place].started && self.grants[place].ends == Some(now) {
                        let lost = std::mem::take(&mut self.grants[place].remaining);
                        (self.grants[place].refill, self.grants[place].ends, self.grants[place].credits) = (None, None, 0);
                        self.enter(EntryKind::Expired, lost, now);
                    }
                }
                for place in 0..self.grants.len() {
                    if !self.grants[place].started && self.grants[place].starts == now {
                        self.start(place, now);
                    }
                }
                for place in 0..self.grants.len() {
                    if self.grants[place].refill == Some(now) {
                        let grant = &mut self.grants[place];
                        let raised = grant.credits - grant.remaining;
                        grant.remaining = grant.credits;
                        grant.refill = next_step(grant.recurs.anchor, grant.recurs.interval, now, &TimeZone::UTC);
                        self.enter(EntryKind::Refilled, raised, now);
                    }
                }
                self.repay(now);
            }
        }

        fn start(&mut self, place: usize, now: Timestamp) {
            let grant = &mut self.grants[place];
            (grant.started, grant.remaining) = (true, grant.credits);
            grant.refill = next_step(grant.recurs.anchor, grant.recurs.interval, now, &TimeZone::UTC);
            let credits = grant.credits;
            self.enter(EntryKind::Granted, credits, now);
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let interval = prop_oneof![Just("PT15M"), Just("PT1H"), Just("PT105M"), Just("P1D"), Just("P1W"), Just("P1M")];
        let ends_in = prop::option::of(1_i64..200);
        prop_oneof![
            2 => (1_u32..50, 0_i64..100, ends_in, interval, -5000_i64..200)
                .prop_map(|(credits, starts_in, ends_in, interval, anchored)| Step::Grant { credits, starts_in, ends_in, interval, anchored }),
            4 => (0_u32..60).prop_map(Step::Use),
            4 => prop_oneof![0_i64..8, 0_i64..400, 0_i64..4000].prop_map(Step::Wait),
        ]
    }

    fn quarters(count: i64) -> SignedDuration {
        SignedDuration::from_mins(15 * count)
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    /// The ledger's way.
    struct Skipping {
        state: AccountState,
        terms: Terms,
        changes: Changes,
    }

    impl Skipping {
        fn draft(&self, now: Timestamp) -> Draft<'_> {
            Draft::new(&self.state.book, &self.terms, MessageId::due("test"), now, now)
        }

        fn write(&mut self, mutation: &crate::domain::decision::Mutation) {
            self.state.book.after(mutation);
            self.changes.entries.extend(mutation.entries.clone());
            self.state.book.check().unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Passing over refills that change nothing writes the same history as making each of them.
        #[test]
        fn skipping_is_the_plain_way(steps in prop::collection::vec(step(), 1..40)) {
            let key = AccountKey { tenant: id("t"), account: id("u") };
            let terms = Terms {
                tenant: id("t"),
                revision: 1,
                settings: Settings::default(),
                staff: BTreeMap::new(),
                catalogs: BTreeMap::new(),
                test_clock: true,
            };
            let mut ledger = Skipping { state: AccountState::unopened(key), terms, changes: Changes::default() };
            let mut plain = PlainWay::default();
            let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            for step in steps {
                let terms = ledger.terms.clone();
                pass_time(&mut ledger.state, &terms, (now, now), &mut ledger.changes).unwrap();
                plain.pass(now);
                match step {
                    Step::Wait(count) => now = now.checked_add(quarters(count)).unwrap(),
                    Step::Grant { credits, starts_in, ends_in, interval, anchored } => {
                        let starts = now.checked_add(quarters(starts_in)).unwrap();
                        let ends = ends_in.map(|count| starts.checked_add(quarters(count)).unwrap());
                        let anchor = TimeZone::UTC.to_datetime(now.checked_add(quarters(anchored)).unwrap());
                        let recurs = Recurrence { interval: CalendarSpan::parse(interval).unwrap(), anchor };
                        plain.grants.push(Plain { credits, remaining: 0, starts, ends, started: false, recurs: recurs.clone(), refill: None });
                        if starts == now {
                            plain.start(plain.grants.len() - 1, now);
                        }
                        plain.repay(now);
                        let mut draft = ledger.draft(now);
                        let number = draft.book.account.grants;
                        let name = id(&format!("g{number}"));
                        let like = GrantTerms::plain(name, GrantSource::Promotional, Credits::whole(credits), starts, MessageId::due("test"));
                        let end = ends.map_or(GrantEnd::Never, GrantEnd::At);
                        draft.grant(GrantTerms { end, priority: Some(number), recurs: Some(recurs), ..like }, None).unwrap();
                        draft.repay_debt().unwrap();
                        let mutation = draft.finish();
                        ledger.write(&mutation);
                    }
                    Step::Use(amount) => {
                        let burned = plain.take(amount);
                        plain.debts.push(amount - burned);
                        plain.enter(EntryKind::Used, burned, now);
                        let mut draft = ledger.draft(now);
                        let wanted = Credits::whole(amount);
                        let covered = draft.burn(EntryKind::Used, wanted, None, Posting::default()).unwrap();
                        draft.incur_debt(wanted.minus(covered).unwrap(), crate::domain::draft::DebtFor::default(), Posting::default()).unwrap();
                        let mutation = draft.finish();
                        ledger.write(&mutation);
                    }
                }
            }
            let entries: Vec<_> = ledger.changes.entries.iter().filter(|entry| entry.amount.is_positive())
                .map(|entry| (entry.kind, entry.amount, entry.occurred_at)).collect();
            let expected: Vec<_> = plain.entries.iter().map(|(kind, amount, at)| (*kind, Credits::whole(*amount), *at)).collect();
            prop_assert_eq!(entries, expected);
            prop_assert_eq!(ledger.state.book.account.debt, Credits::whole(plain.debts.iter().sum()));
        }
    }
}
