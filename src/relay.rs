//! The relay: outbox to broker.
//!
//! Owns publishing and marking. One relay is at work per database, held by a session lock; a former
//! holder that wakes up late can only publish twice, which subscribers drop by id. Per round the
//! oldest unpublished row of each account goes out, so the order per account holds and one row that
//! cannot be published keeps back its own account only. Never reads anything but the outbox.

use crate::amqp::{Outgoing, Published, Publisher, Topology};
use crate::failure::{Failure, pause};
use crate::message::raw::CLOUDEVENT;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::outbox::Unpublished;
use sqlx::{Connection as _, PgConnection};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Rows published in one round.
const ROUND_MAX: i64 = 1000;
/// How often all shards are looked at, whether somebody said so or not.
const SWEEP: Duration = Duration::from_millis(500);
/// The session lock of the one relay at work.
const LOCK: i64 = 0x6372_6564_6974;

/// Shards written since the relay last looked.
#[derive(Debug, Default)]
pub struct Dirty {
    shards: Mutex<BTreeSet<i16>>,
    woken: Notify,
}

impl Dirty {
    /// Tells the relay that a shard was written.
    pub fn mark(&self, shard: i16) {
        self.shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(shard);
        self.woken.notify_one();
    }

    fn take(&self) -> BTreeSet<i16> {
        std::mem::take(&mut *self.shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// What a relay needs.
pub struct Relay {
    /// Where the outbox is.
    pub store: PostgresStore,
    /// The database's address: the session lock has a connection of its own.
    pub database_url: String,
    /// The broker's address.
    pub amqp_url: String,
    /// Names at the broker.
    pub topology: Topology,
    /// Shards to look at first.
    pub dirty: std::sync::Arc<Dirty>,
}

/// Why a round ended.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Broker(#[from] crate::amqp::BrokerError),
}

impl From<sqlx::Error> for RelayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl Relay {
    /// Relays until `stop`; what goes wrong is tried again with capped pauses.
    pub async fn run(self, stop: CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            match self.session(&stop, &mut attempt).await {
                Ok(()) => return,
                Err(error) => {
                    if attempt == 0 {
                        warn!(%error, "relaying is interrupted; events wait in the outbox and it resumes by itself");
                    }
                    let delay = pause(attempt, Duration::from_millis(100), Duration::from_secs(5));
                    attempt = attempt.saturating_add(1);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    async fn session(&self, stop: &CancellationToken, attempt: &mut u32) -> Result<(), RelayError> {
        let mut lock = PgConnection::connect(&self.database_url).await?;
        let mut publisher = Publisher::new(&self.amqp_url, "credit-ledger relay");
        while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut lock).await? {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        let mut shards: BTreeSet<i16> = (0..self.store.shards()).collect();
        loop {
            while self.round(&mut publisher, &shards).await? {
                if std::mem::take(attempt) > 0 {
                    info!("relaying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.dirty.woken.notified() => shards = self.dirty.take(),
                () = tokio::time::sleep(SWEEP) => {
                    shards = (0..self.store.shards()).collect();
                    // The lock lives as long as its session: a dead one must be noticed.
                    sqlx::query("select 1").execute(&mut lock).await?;
                }
            }
        }
        publisher.close().await;
        lock.close().await?;
        Ok(())
    }

    /// Publishes the first unpublished row of each account; true when there may be more.
    async fn round(&self, publisher: &mut Publisher, shards: &BTreeSet<i16>) -> Result<bool, RelayError> {
        let mut connection = self.store.pool().acquire().await?;
        let mut rows: Vec<(i16, Unpublished)> = Vec::new();
        for shard in shards {
            let found = self.store.unpublished(&mut connection, *shard, ROUND_MAX).await?;
            rows.extend(found.into_iter().map(|row| (*shard, row)));
        }
        if rows.is_empty() {
            return Ok(false);
        }
        let messages: Vec<Outgoing> = rows.iter().map(|(_, row)| self.outgoing(row)).collect();
        let published = publisher.publish_all(&messages).await?;
        let mut progress = false;
        for shard in shards {
            let sent: Vec<(i64, i64)> = rows
                .iter()
                .zip(&published)
                .filter(|((of, _), published)| of == shard && is_sent(**published))
                .map(|((_, row), _)| (row.account_id, row.number))
                .collect();
            if !sent.is_empty() {
                self.store.mark_published(&mut connection, *shard, &sent).await?;
                progress = true;
            }
        }
        Ok(progress)
    }

    fn outgoing(&self, row: &Unpublished) -> Outgoing {
        Outgoing {
            exchange: if row.is_reply { String::new() } else { self.topology.events() },
            routing_key: row.routing_key.clone(),
            content_type: if row.is_reply { "application/json" } else { CLOUDEVENT }.to_owned(),
            headers: Vec::new(),
            correlation_id: row.correlation_id.clone(),
            reply_to: None,
            message_id: None,
            mandatory: false,
            body: row.body.clone(),
        }
    }
}

/// An event nobody subscribes to and a reply whose queue is gone are done; what the broker refused
/// is tried again.
fn is_sent(published: Published) -> bool {
    match published {
        Published::Confirmed | Published::Unroutable => true,
        Published::Refused => false,
    }
}
