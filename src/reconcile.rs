//! Every number of the ledger computed again.
//!
//! Owns the walk along each account's chain of entries and the order of the checks. Never corrects
//! anything: a difference is for people. Holds a chunk of entries at most.

use crate::domain::credits::Credits;
use crate::domain::entry::{Direction, Entry};
use crate::domain::ids::Hash;
use crate::failure::Failure;
use crate::store::postgres::query::audit::{Audit, Counts, Difference, Linked};

/// Entries read at once.
const CHUNK: i64 = 5_000;

/// What an audit looked at and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows looked at.
    pub counts: Counts,
    /// Differences told.
    pub differences: u64,
}

/// Audits the database at `url` on one snapshot; every difference goes to `tell` as it is found.
///
/// # Errors
/// [`Failure`] of the database, or what `tell` returns.
pub async fn reconcile<E: From<Failure>>(url: &str, mut tell: impl FnMut(Difference) -> Result<(), E>) -> Result<Report, E> {
    let mut audit = Audit::begin(url).await?;
    let mut report = Report::default();
    for shard in audit.shards() {
        let mut count = |difference: Difference| {
            report.differences = report.differences.saturating_add(1);
            tell(difference)
        };
        audit.differences(shard, &mut count).await?;
        chains(&mut audit, shard, &mut count).await?;
        let counts = audit.counts(shard).await?;
        report.counts = sum(report.counts, counts);
    }
    Ok(report)
}

fn sum(left: Counts, right: Counts) -> Counts {
    Counts {
        accounts: left.accounts.saturating_add(right.accounts),
        entries: left.entries.saturating_add(right.entries),
        grants: left.grants.saturating_add(right.grants),
        outcomes: left.outcomes.saturating_add(right.outcomes),
        announcements: left.announcements.saturating_add(right.announcements),
    }
}

/// Walks every account's entries of a shard.
async fn chains<E: From<Failure>>(audit: &mut Audit, shard: i16, tell: &mut impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
    let mut chain = Chain::default();
    let mut place = (i64::MIN, 0);
    loop {
        let chunk = audit.entries_after(shard, place, CHUNK).await?;
        let Some(last) = chunk.last() else { return Ok(()) };
        place = (last.account_id, i64::try_from(last.entry.seq).unwrap_or(i64::MAX));
        for linked in &chunk {
            for (check, stored, computed) in chain.next(linked) {
                let account = audit.name(shard, linked.account_id).await?;
                let check = format!("{check} of entry {}", linked.entry.seq);
                tell(Difference { account, check, stored, computed })?;
            }
        }
    }
}

/// Where the walk stands.
#[derive(Debug, Default)]
struct Chain {
    account_id: Option<i64>,
    seq: u64,
    balance: Credits,
    hash: Hash,
    recorded_at: Option<jiff::Timestamp>,
}

type Found = (&'static str, String, String);

impl Chain {
    /// Compares an entry with what its predecessors make of it. The walk goes on from what is
    /// stored, so that one wrong entry is told once.
    fn next(&mut self, linked: &Linked) -> Vec<Found> {
        if self.account_id != Some(linked.account_id) {
            *self = Self { account_id: Some(linked.account_id), ..Self::default() };
        }
        let entry = &linked.entry;
        let mut found = Vec::new();
        let mut compare = |check, stored: String, computed: String| {
            if stored != computed {
                found.push((check, stored, computed));
            }
        };
        compare("position", entry.seq.to_string(), self.seq.saturating_add(1).to_string());
        compare("balance_after", entry.balance_after.to_string(), shown(moved(self.balance, entry)));
        compare("sum of what it did to grants", shown(touched(entry)), shown(moved(Credits::ZERO, entry)));
        compare("hash", linked.hash.to_string(), entry.hash(self.hash).to_string());
        if let Some(before) = self.recorded_at.filter(|before| *before > entry.recorded_at) {
            compare("recorded_at (never before the last)", entry.recorded_at.to_string(), format!("{before} or later"));
        }
        self.seq = entry.seq;
        self.balance = entry.balance_after;
        self.hash = linked.hash;
        self.recorded_at = Some(entry.recorded_at);
        found
    }
}

fn moved(balance: Credits, entry: &Entry) -> Option<Credits> {
    match entry.kind.direction() {
        Direction::In => balance.plus(entry.amount).ok(),
        Direction::Out => balance.minus(entry.amount).ok(),
        Direction::Neutral => Some(balance),
    }
}

fn touched(entry: &Entry) -> Option<Credits> {
    Credits::sum(entry.touched.iter().map(|touch| touch.change)).ok()
}

fn shown(amount: Option<Credits>) -> String {
    amount.map_or_else(|| "out of bounds".to_owned(), |amount| amount.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::{EntryKind, Touch};
    use crate::domain::ids::MessageId;

    fn entry(seq: u64, kind: EntryKind, amount: u32, after: u32) -> Entry {
        let amount = Credits::whole(amount);
        let change = if kind.direction() == Direction::Out { amount.negated() } else { amount };
        Entry {
            seq,
            kind,
            amount,
            balance_after: Credits::whole(after),
            held_change: Credits::ZERO,
            frozen_change: Credits::ZERO,
            debt_change: Credits::ZERO,
            reference: None,
            cause: MessageId::due("test"),
            actor: None,
            memo: None,
            occurred_at: jiff::Timestamp::UNIX_EPOCH,
            recorded_at: jiff::Timestamp::UNIX_EPOCH,
            touched: vec![Touch { grant: 1, change }],
        }
    }

    fn linked(account_id: i64, entry: Entry, previous: Hash) -> Linked {
        let hash = entry.hash(previous);
        Linked { account_id, entry, hash }
    }

    #[test]
    fn a_sound_chain_has_nothing_to_tell() {
        let mut chain = Chain::default();
        let first = linked(1, entry(1, EntryKind::Granted, 100, 100), Hash::default());
        let second = linked(1, entry(2, EntryKind::Used, 30, 70), first.hash);
        let other = linked(2, entry(1, EntryKind::Granted, 5, 5), Hash::default());
        for one in [first, second, other] {
            assert_eq!(chain.next(&one), Vec::new());
        }
    }

    #[test]
    fn each_number_of_a_wrong_entry_is_told_once() {
        let mut chain = Chain::default();
        let first = linked(1, entry(1, EntryKind::Granted, 100, 100), Hash::default());
        assert_eq!(chain.next(&first), Vec::new());
        let wrong = linked(1, entry(3, EntryKind::Used, 30, 60), Hash::default());
        let found: Vec<&str> = chain.next(&wrong).into_iter().map(|(check, _, _)| check).collect();
        assert_eq!(found, ["position", "balance_after", "hash"]);
        let next = linked(1, entry(4, EntryKind::Used, 10, 50), wrong.hash);
        assert_eq!(chain.next(&next), Vec::new());
    }
}
