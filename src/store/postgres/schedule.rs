//! What is due without a message.
//!
//! Owns the question; the answer goes through the same lanes as messages. Any number of workers
//! may ask: rows another one holds are skipped, and what is due is written once.

use super::PostgresStore;
use super::rows::id;
use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

impl PostgresStore {
    /// Accounts of a shard with something due by now, the longest overdue first; accounts of
    /// test-clock tenants only when `as_of` is given for their tenant.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn due(&self, shard: i16, most: i64) -> Result<Vec<AccountKey>, Failure> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select accounts.tenant, accounts.account from accounts join tenants using (tenant) \
             where shard = $1 and next_due_at <= clock_timestamp() and not tenants.test_clock \
             order by next_due_at limit $2 for update of accounts skip locked",
        )
        .bind(shard)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        keys(&rows)
    }

    /// Accounts of one tenant and shard with something due by `as_of`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn due_of_tenant(&self, shard: i16, tenant: &str, as_of: Timestamp, most: i64) -> Result<Vec<AccountKey>, Failure> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select tenant, account from accounts where shard = $1 and tenant = $2 and next_due_at <= $3 \
             order by next_due_at limit $4",
        )
        .bind(shard)
        .bind(tenant)
        .bind(as_of.to_sqlx())
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        keys(&rows)
    }
}

fn keys(rows: &[(String, String)]) -> Result<Vec<AccountKey>, Failure> {
    rows.iter().map(|(tenant, account)| Ok(AccountKey { tenant: id(tenant)?, account: id(account)? })).collect()
}
