//! The walk along an account's chain of entries.
//!
//! Owns what each entry must be after the one before it. Never reads: entries are handed to it.

use crate::domain::credits::Credits;
use crate::domain::entry::{Direction, Entry};
use crate::domain::ids::Hash;
use crate::store::postgres::query::audit::Linked;

/// Where the walk stands.
#[derive(Debug)]
pub struct Chain {
    account_id: Option<i64>,
    seq: i64,
    /// None after an entry that nobody can read.
    balance: Option<Credits>,
    hash: Hash,
    recorded_at: Option<jiff::Timestamp>,
}

/// What was compared, what is stored, what it should be.
pub type Found = (&'static str, String, String);

impl Default for Chain {
    fn default() -> Self {
        Self { account_id: None, seq: 0, balance: Some(Credits::ZERO), hash: Hash::default(), recorded_at: None }
    }
}

impl Chain {
    /// Compares an entry with what its predecessors make of it. The walk goes on from what is
    /// stored, so that one wrong entry is told once.
    pub fn next(&mut self, linked: &Linked) -> Vec<Found> {
        if self.account_id != Some(linked.account_id) {
            *self = Self { account_id: Some(linked.account_id), ..Self::default() };
        }
        let mut found = Vec::new();
        let mut compare = |check, stored: String, computed: String| {
            if stored != computed {
                found.push((check, stored, computed));
            }
        };
        compare("position", linked.seq.to_string(), self.seq.saturating_add(1).to_string());
        match &linked.entry {
            Ok(entry) => {
                if let Some(balance) = self.balance {
                    compare("balance_after", entry.balance_after.to_string(), shown(moved(balance, entry)));
                }
                compare("sum of what it did to grants", shown(touched(entry)), shown(moved(Credits::ZERO, entry)));
                if entry.kind.direction() == Direction::Neutral {
                    compare("amount (its kind moves no balance)", entry.amount.to_string(), Credits::ZERO.to_string());
                }
                compare("hash", linked.hash.map_or_else(String::new, |hash| hash.to_string()), entry.hash(self.hash).to_string());
                if let Some(before) = self.recorded_at.filter(|before| *before > entry.recorded_at) {
                    compare("recorded_at (never before the last)", entry.recorded_at.to_string(), format!("{before} or later"));
                }
                self.balance = Some(entry.balance_after);
                self.recorded_at = Some(entry.recorded_at);
            }
            Err(why) => {
                compare("content", why.clone(), "what a worker can write".to_owned());
                self.balance = None;
            }
        }
        self.seq = linked.seq;
        self.hash = linked.hash.unwrap_or_default();
        found
    }
}

fn moved(balance: Credits, entry: &Entry) -> Option<Credits> {
    entry.kind.direction().moved(balance, entry.amount).ok()
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
        let hash = Some(entry.hash(previous));
        Linked { account_id, seq: i64::try_from(entry.seq).unwrap(), entry: Ok(entry), hash }
    }

    fn checks(chain: &mut Chain, linked: &Linked) -> Vec<&'static str> {
        chain.next(linked).into_iter().map(|(check, _, _)| check).collect()
    }

    #[test]
    fn a_sound_chain_has_nothing_to_tell() {
        let mut chain = Chain::default();
        let first = linked(1, entry(1, EntryKind::Granted, 100, 100), Hash::default());
        let second = linked(1, entry(2, EntryKind::Used, 30, 70), first.hash.unwrap());
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
        assert_eq!(checks(&mut chain, &wrong), ["position", "balance_after", "hash"]);
        let next = linked(1, entry(4, EntryKind::Used, 10, 50), wrong.hash.unwrap());
        assert_eq!(chain.next(&next), Vec::new());
    }

    #[test]
    fn an_entry_nobody_can_read_is_told_and_the_walk_goes_on() {
        let mut chain = Chain::default();
        let first = linked(1, entry(1, EntryKind::Granted, 100, 100), Hash::default());
        let unreadable = Linked { entry: Err("entry kind \"gift in\"".into()), ..first.clone() };
        assert_eq!(checks(&mut chain, &unreadable), ["content"]);
        let second = linked(1, entry(2, EntryKind::Granted, 30, 130), first.hash.unwrap());
        assert_eq!(chain.next(&second), Vec::new());
    }

    #[test]
    fn an_entry_of_a_neutral_kind_moves_nothing() {
        let mut chain = Chain::default();
        let odd = linked(1, entry(1, EntryKind::Frozen, 5, 0), Hash::default());
        assert_eq!(checks(&mut chain, &odd), ["sum of what it did to grants", "amount (its kind moves no balance)"]);
    }
}
