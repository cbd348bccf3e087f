//! The statements of `reconcile`: stored numbers against numbers computed again.
//!
//! Owns one snapshot of the database for the whole audit, so that a worker may go on meanwhile.
//! Never writes; never holds more than a chunk of rows.

mod walk;

use super::snapshot::snapshot;
use crate::failure::Failure;
use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use std::fmt;
pub use walk::{FACTS, Fact, FactRow, Linked, PLACED, Placed, Table};

/// A stored number that is not what its parts say.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Difference {
    /// Tenant and account as `tenant/account`, or the row id of an account that is missing.
    pub account: String,
    /// What was compared.
    pub check: String,
    /// What is stored.
    pub stored: String,
    /// What it should be.
    pub computed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: stored {}, computed {}", self.account, self.check, self.stored, self.computed)
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Counts {
    /// Accounts.
    pub accounts: i64,
    /// Entries.
    pub entries: i64,
    /// Grants.
    pub grants: i64,
    /// Recorded outcomes.
    pub outcomes: i64,
    /// Announcements and replies.
    pub announcements: i64,
}

/// Every set-based check of one shard. `$1` is the shard; each yields the rows that differ.
const CHECKS: [&str; 8] = [
    include_str!("accounts.sql"),
    include_str!("grants.sql"),
    include_str!("outcomes.sql"),
    include_str!("facts.sql"),
    include_str!("months.sql"),
    include_str!("cycles.sql"),
    include_str!("outbox.sql"),
    include_str!("strays.sql"),
];

/// What no shard shows. `$1` is the number of shards.
const OUTSIDE: &str = include_str!("outside.sql");

/// One snapshot of a database, read shard by shard.
#[derive(Debug)]
pub struct Audit {
    connection: PgConnection,
    shards: i16,
}

impl Audit {
    /// Connects and takes the snapshot.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn begin(url: &str) -> Result<Self, Failure> {
        let (connection, shards) = snapshot(url, "set application_name = 'credit-ledger reconcile'").await?;
        Ok(Self { connection, shards })
    }

    /// The number of shards to go through.
    #[must_use]
    pub fn shards(&self) -> i16 {
        self.shards
    }

    /// Hands every difference of a shard that one statement finds to `tell`, as it is found.
    ///
    /// # Errors
    /// [`Failure`] of the database, or what `tell` returns.
    pub async fn differences<E: From<Failure>>(
        &mut self,
        shard: i16,
        tell: &mut (impl FnMut(Difference) -> Result<(), E> + ?Sized),
    ) -> Result<(), E> {
        for check in CHECKS {
            self.check(check, shard, tell).await?;
        }
        Ok(())
    }

    /// Hands what no shard shows to `tell`.
    ///
    /// # Errors
    /// [`Failure`] of the database, or what `tell` returns.
    pub async fn outside<E: From<Failure>>(&mut self, tell: &mut (impl FnMut(Difference) -> Result<(), E> + ?Sized)) -> Result<(), E> {
        self.check(OUTSIDE, self.shards, tell).await
    }

    async fn check<E: From<Failure>>(
        &mut self,
        check: &'static str,
        number: i16,
        tell: &mut (impl FnMut(Difference) -> Result<(), E> + ?Sized),
    ) -> Result<(), E> {
        let mut rows = sqlx::query_as::<_, Difference>(check).bind(number).fetch(&mut self.connection);
        while let Some(difference) = rows.try_next().await.map_err(Failure::from)? {
            tell(difference)?;
        }
        Ok(())
    }

    /// The name of an account by its row id.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn name(&mut self, shard: i16, account_id: i64) -> Result<String, Failure> {
        let name: Option<String> =
            sqlx::query_scalar("select tenant || '/' || account from accounts where account_id = $2 order by shard = $1 desc limit 1")
                .bind(shard)
                .bind(account_id)
                .fetch_optional(&mut self.connection)
                .await?;
        Ok(name.unwrap_or_else(|| format!("account row {account_id}")))
    }

    /// How many rows a shard has.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn counts(&mut self, shard: i16) -> Result<Counts, Failure> {
        Ok(sqlx::query_as(
            "select (select count(*) from accounts where shard = $1 and account <> '') as accounts, \
             (select count(*) from entries where shard = $1) as entries, \
             (select count(*) from grants where shard = $1) as grants, \
             (select count(*) from outcomes where shard = $1) as outcomes, \
             (select coalesce(sum(cardinality(numbers) - coalesce(cardinality(moved), 0)), 0)::bigint from outbox_batches where shard = $1) \
               + (select count(*) from outbox_backlog where shard = $1) as announcements",
        )
        .bind(shard)
        .fetch_one(&mut self.connection)
        .await?)
    }
}
