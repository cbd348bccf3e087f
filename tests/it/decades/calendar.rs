//! The resets that were recorded against those that the second calendar says there must be: all of them, each once,
//! and no other.

use super::customers::{Customer, Sold, TENANT};
use crate::calendars::oracle::{Exists, Found, Length, Zone};
use crate::worker::Deployment;
use std::collections::BTreeMap;

const MICROS: i64 = 1_000_000;

/// The period, resets by hand within it, the instant, and the end of the cycle that it opened; none after the last.
type Reset = (i64, i64, i64, Option<i64>);

/// How many boundaries stood on local times that clocks skip, or show twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    pub forward: u32,
    pub back: u32,
}

impl Sold {
    /// The boundary that opens period `k`.
    fn boundary(&self, zone: &Zone, k: i64) -> Found {
        zone.moved(self.anchor, Length::new(self.offer.months, 0, 0).times(k))
    }

    /// The period that holds an instant, by trying one after the other.
    fn period(&self, zone: &Zone, at: i64) -> i64 {
        let mut k = 0;
        while self.boundary(zone, k).at > at {
            k -= 1;
        }
        while self.boundary(zone, k + 1).at <= at {
            k += 1;
        }
        k
    }

    /// The first boundary after an instant.
    pub fn boundary_after(&self, zone: &Zone, at: i64) -> i64 {
        self.boundary(zone, self.period(zone, at) + 1).at
    }

    /// Whether it was cancelled when a boundary came. What is due at an instant comes before the messages of it.
    fn is_cancelled_by(&self, boundary: i64) -> bool {
        self.cancelled.iter().rfind(|(at, _)| *at < boundary).is_some_and(|(_, cancelled)| *cancelled)
    }

    /// Every reset there must be by an instant, in order.
    fn resets(&self, zone: &Zone, until: i64) -> Vec<Reset> {
        let mut resets = Vec::new();
        let (mut k, mut n) = (self.period(zone, self.started), 0);
        let mut by_hand = self.by_hand.iter().copied().peekable();
        let mut end = self.boundary(zone, k + 1).at;
        loop {
            while let Some(at) = by_hand.next_if(|at| *at < end) {
                n += 1;
                resets.push((k, n, at, Some(end)));
            }
            if let Some(at) = self.ended_at_once.filter(|at| *at < end) {
                resets.push((k, n + 1, at, None));
                return resets;
            }
            if end > until {
                return resets;
            }
            if self.is_cancelled_by(end) && (k + 1).rem_euclid(self.offer.cycles) == 0 {
                resets.push((k, n + 1, end, None));
                return resets;
            }
            let next = self.boundary(zone, k + 2).at;
            (k, n) = (k + 1, 0);
            resets.push((k, n, end, Some(next)));
            end = next;
        }
    }
}

/// Compares the resets of every subscription; says how awkward their boundaries were.
pub async fn compare(deployment: &Deployment, customers: &[Customer], (zones, until): (&BTreeMap<&'static str, Zone>, i64)) -> Moved {
    let mut recorded = recorded(deployment).await;
    let mut moved = Moved::default();
    for customer in customers {
        let zone = &zones[customer.zone];
        for sold in &customer.sold {
            let expected = sold.resets(zone, until);
            for (k, ..) in expected.iter().filter(|reset| reset.1 == 0) {
                match sold.boundary(zone, *k).exists {
                    Exists::Once => {}
                    Exists::Never => moved.forward += 1,
                    Exists::Twice => moved.back += 1,
                }
            }
            let in_micros = |(k, n, at, next): Reset| (k, n, at * MICROS, next.map(|next| next * MICROS));
            let expected: Vec<Reset> = expected.into_iter().map(in_micros).collect();
            let found = recorded.remove(&(customer.name.clone(), sold.id.clone())).unwrap_or_default();
            assert_eq!(found, expected, "resets of {} in {}: {sold:?}", customer.name, customer.zone);
        }
    }
    assert!(recorded.is_empty(), "resets of what was never sold: {recorded:?}");
    moved
}

/// What was recorded, by account and subscription; instants are in microseconds.
async fn recorded(deployment: &Deployment) -> BTreeMap<(String, String), Vec<Reset>> {
    let rows: Vec<(String, String, i64, i64, i64, Option<i64>)> = sqlx::query_as(
        "select account, subscription, k::bigint, n::bigint, (extract(epoch from boundary) * 1000000)::bigint, \
         (extract(epoch from next_boundary) * 1000000)::bigint \
         from resets join accounts using (shard, account_id) where tenant = $1 order by account, subscription, k, n",
    )
    .bind(TENANT)
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    let mut resets: BTreeMap<(String, String), Vec<Reset>> = BTreeMap::new();
    for (account, subscription, k, n, boundary, next) in rows {
        resets.entry((account, subscription)).or_default().push((k, n, boundary, next));
    }
    resets
}
