//! Accounts and their open grants as this worker last wrote them, so that the next batch need not read
//! them again.
//!
//! Owns the bound, and the proof that what is cached is what is stored: it counts only for the very row
//! that the lock has found, by its place and by its stamp, which every write of an account draws anew.
//! An account is taken out when a batch opens and put back when the batch has committed, so what became
//! of a batch that failed is never guessed. Of what messages name it holds the months of
//! purchases alone; the rest is read for each batch.

use super::written::Place;
use crate::domain::account::Account;
use crate::domain::grant::Grant;
use crate::domain::invoicing::PurchaseMonth;
use crate::store::OpenRows;
use hashlink::LinkedHashMap;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most accounts and grants held, together, longer texts counted as more: about 40 MiB.
const ROWS_MAX: usize = 65_536;
/// Bytes of text that count as a row.
const ROW_BYTES: usize = 512;
/// Months of purchases that count as a row.
const MONTHS_OF_A_ROW: usize = 8;

/// Which writing of an account's row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// Where it stands: a change by anybody moves it.
    pub(super) place: Place,
    /// Drawn by the worker that wrote it: places are used again, and so are transaction numbers after
    /// a database was restored.
    pub(super) stamp: i64,
}

/// An account with all of its open grants.
#[derive(Debug)]
pub(super) struct CachedAccount {
    pub(super) version: Version,
    pub(super) account: Account,
    pub(super) open: OpenRows,
    pub(super) grants: BTreeMap<u32, Grant>,
    /// Where the grants stand, by number.
    pub(super) places: BTreeMap<u32, Place>,
    /// All of its months of purchases, if a batch has needed them.
    pub(super) months: Option<BTreeMap<Date, PurchaseMonth>>,
}

impl CachedAccount {
    /// How much it counts.
    fn rows(&self) -> usize {
        let profile = &self.account.profile;
        let texts = profile.metadata.iter().map(|(name, text)| name.len().saturating_add(text.len()));
        // A name in a list takes its place there and on the heap.
        let scopes = self.grants.values().map(|grant| grant.terms.scope.len().saturating_mul(96));
        let bytes = texts.chain(scopes).chain([profile.alerts.len().saturating_mul(96)]).fold(0, usize::saturating_add);
        let months = self.months.as_ref().map_or(0, |months| months.len().div_ceil(MONTHS_OF_A_ROW));
        self.grants.len().saturating_add(bytes / ROW_BYTES).saturating_add(months).saturating_add(1)
    }
}

/// The accounts written last.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// By row id, the one written longest ago first.
    accounts: LinkedHashMap<i64, CachedAccount>,
    rows: usize,
}

impl Cache {
    /// Takes accounts out; those that somebody else has written since are dropped.
    pub(super) fn take(&self, wanted: impl Iterator<Item = (i64, Version)>) -> Vec<(i64, CachedAccount)> {
        let mut held = self.held();
        let taken = wanted.filter_map(|(account_id, version)| Some((account_id, version, held.remove(account_id)?)));
        taken.filter(|(_, version, cached)| cached.version == *version).map(|(account_id, _, cached)| (account_id, cached)).collect()
    }

    /// Puts accounts in that were written just now.
    pub(super) fn put(&self, written: impl Iterator<Item = (i64, CachedAccount)>) {
        let mut held = self.held();
        for (account_id, cached) in written {
            held.remove(account_id);
            held.rows = held.rows.saturating_add(cached.rows());
            held.accounts.insert(account_id, cached);
            while held.rows > ROWS_MAX {
                let Some((_, oldest)) = held.accounts.pop_front() else { break };
                held.rows = held.rows.saturating_sub(oldest.rows());
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn remove(&mut self, account_id: i64) -> Option<CachedAccount> {
        let cached = self.accounts.remove(&account_id)?;
        self.rows = self.rows.saturating_sub(cached.rows());
        Some(cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AccountKey, Id};

    fn version(stamp: i64) -> Version {
        Version { place: Place::default(), stamp }
    }

    fn cached(stamp: i64) -> CachedAccount {
        let key = AccountKey { tenant: Id::new("acme").unwrap(), account: Id::new("anna").unwrap() };
        let (account, open) = (Account::unopened(key), OpenRows::default());
        CachedAccount { version: version(stamp), account, open, grants: BTreeMap::new(), places: BTreeMap::new(), months: None }
    }

    fn take(cache: &Cache, account_id: i64, stamp: i64) -> usize {
        cache.take([(account_id, version(stamp))].into_iter()).len()
    }

    #[test]
    fn what_was_written_since_is_not_handed_out() {
        let cache = Cache::default();
        cache.put([(1, cached(7))].into_iter());
        assert_eq!(take(&cache, 1, 8), 0);
        assert_eq!(take(&cache, 1, 7), 0, "it is of no use any more");
    }

    #[test]
    fn what_is_taken_is_gone_until_it_is_put_back() {
        let cache = Cache::default();
        cache.put([(1, cached(7)), (2, cached(7))].into_iter());
        assert_eq!((take(&cache, 1, 7), take(&cache, 1, 7), take(&cache, 2, 7)), (1, 0, 1));
    }

    #[test]
    fn the_longest_unused_leave_first() {
        let cache = Cache::default();
        let most = i64::try_from(ROWS_MAX).unwrap();
        cache.put((0..most).map(|account_id| (account_id, cached(7))));
        cache.put(cache.take([(0, version(7))].into_iter()).into_iter());
        cache.put([(most, cached(7))].into_iter());
        assert_eq!((take(&cache, 0, 7), take(&cache, 1, 7), take(&cache, 2, 7)), (1, 0, 1));
        assert_eq!(cache.held().rows, ROWS_MAX - 2);
    }
}
