//! Figures that are looked up, not counted: what waits in the database.
//!
//! Owns how often it is asked, and the age of what is unpublished, which the database does not keep: for how
//! long this process has seen it.

use crate::figures;
use crate::store::postgres::PostgresStore;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(5);

/// Looks until `stop`. What cannot be looked up keeps its last figure; `credit_ledger_connected` tells.
pub async fn run(store: PostgresStore, subscribed: Option<watch::Receiver<bool>>, stop: CancellationToken) {
    let mut seen = Seen::default();
    loop {
        let backlog = store.backlog().await;
        figures::connected("database", backlog.is_ok());
        if let Some(subscribed) = &subscribed {
            figures::connected("consume", *subscribed.borrow());
        }
        if let Ok(backlog) = backlog {
            let oldest = seen.oldest(&backlog.oldest, Instant::now());
            figures::unpublished(backlog.batches, backlog.backlog, oldest);
            figures::waiting(backlog.waiting, backlog.reset_jobs);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The oldest batch of each shard, and since when it is that.
#[derive(Default)]
struct Seen(HashMap<i16, (i64, Instant)>);

impl Seen {
    /// For how long the one that waits longest has been seen.
    fn oldest(&mut self, oldest: &[(i16, i64)], now: Instant) -> Duration {
        let before = std::mem::take(&mut self.0);
        let since = |shard: &i16, batch: &i64| before.get(shard).filter(|(known, _)| known == batch).map_or(now, |(_, since)| *since);
        self.0 = oldest.iter().map(|(shard, batch)| (*shard, (*batch, since(shard, batch)))).collect();
        self.0.values().map(|(_, since)| now.duration_since(*since)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_grows_old_and_what_goes_does_not() {
        let (mut seen, begun) = (Seen::default(), Instant::now());
        let mut after = |seconds: u64, oldest: &[(i16, i64)]| seen.oldest(oldest, begun + Duration::from_secs(seconds)).as_secs();
        assert_eq!(after(0, &[(0, 7), (1, 3)]), 0);
        assert_eq!(after(5, &[(0, 8), (1, 3)]), 5);
        assert_eq!(after(10, &[(0, 9), (1, 4)]), 0);
        assert_eq!(after(15, &[(0, 9)]), 5);
        assert_eq!(after(20, &[]), 0);
        assert_eq!(after(25, &[(0, 9)]), 0);
    }
}
