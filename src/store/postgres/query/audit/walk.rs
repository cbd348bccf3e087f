//! The rows that `reconcile` walks along, a chunk at a time, in the order of a key.
//!
//! Owns their statements. Never judges them: a row that cannot be read is handed over as such.

use super::super::{ENTRY_COLUMNS, EntryRow};
use super::Audit;
use crate::domain::entry::Entry;
use crate::domain::ids::Hash;
use crate::failure::Failure;
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, Row as _};
use std::error::Error as _;

/// An entry with its place and its stored hash.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The row id of its account.
    pub account_id: i64,
    /// Its stored position.
    pub seq: i64,
    /// The entry, or what no worker could have written.
    pub entry: Result<Entry, String>,
    /// Its stored hash, where it is one.
    pub hash: Option<Hash>,
}

/// A row whose shard follows from two of its columns.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub struct Placed {
    /// Its tenant.
    pub tenant: String,
    /// Its kind, in the directory.
    pub kind: String,
    /// The account, or the key in the directory.
    pub name: String,
}

/// A table whose rows' shard follows from two of their columns.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What its rows are called.
    pub row: &'static str,
    sql: &'static str,
}

/// Both of them.
pub const PLACED: [Table; 2] = [
    Table {
        row: "account",
        sql: "select tenant, '' as kind, account as name from accounts \
              where shard = $1 and $3::text is not null and (tenant, account) > ($2, $4) order by tenant, account limit $5",
    },
    Table {
        row: "directory row",
        sql: "select tenant, kind, key as name from directory \
              where shard = $1 and (tenant, kind, key) > ($2, $3, $4) order by tenant, kind, key limit $5",
    },
];

/// A kind of business fact, and the statement that reads those of a shard.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Its kind in the directory.
    pub kind: &'static str,
    sql: &'static str,
}

/// A business fact of an account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FactRow {
    /// The row id of its account.
    pub account_id: i64,
    /// What the page ends with.
    pub page: String,
    /// Its account's tenant.
    pub tenant: String,
    /// Its account's name.
    pub account: String,
    /// Its key in the directory.
    pub key: String,
}

macro_rules! facts {
    ($page:literal, $key:literal, $table:literal, $condition:literal) => {
        concat!(
            "select f.account_id, f.",
            $page,
            " as page, a.tenant, a.account, ",
            $key,
            " as key from ",
            $table,
            " f join accounts a using (shard, account_id) where shard = $1 and (f.account_id, f.",
            $page,
            ") > ($2, $3) and ",
            $condition,
            " order by f.account_id, f.",
            $page,
            " limit $4"
        )
    };
}

/// Every kind of fact that the directory gives to one account of a tenant. A payment has
/// each of its names; requests that it left for review stand for it. An accepted request is claimed as one, and
/// its reversals with it.
pub const FACTS: [Fact; 8] = [
    Fact { kind: "payment", sql: facts!("payment", "f.payment", "payments", "f.status <> 'joined' and f.payment not like 'request:%'") },
    Fact { kind: "payment", sql: facts!("name", "f.name", "payment_aliases", "f.name <> f.payment and f.name not like 'request:%'") },
    Fact { kind: "subscription", sql: facts!("subscription", "f.provider_name", "subscriptions", "f.provider_name is not null") },
    Fact { kind: "refund", sql: facts!("refund", "f.refund", "refunds", "f.refund not like 'request:%'") },
    Fact { kind: "dispute", sql: facts!("dispute", "f.dispute", "disputes", "true") },
    Fact { kind: "request", sql: facts!("request", "f.request", "credit_requests", "method <> 'payment'") },
    Fact {
        kind: "evidence",
        sql: facts!(
            "request",
            "method || ':' || evidence_reference",
            "credit_requests",
            "evidence_reference is not null and f.status in ('pending', 'accepted')"
        ),
    },
    Fact { kind: "reference", sql: facts!("reference", "f.reference", "charges", "true") },
];

impl Audit {
    /// The entries of a shard after a place, in order of account and position.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn entries_after(&mut self, shard: i16, place: (i64, i64), most: i64) -> Result<Vec<Linked>, Failure> {
        let sql = format!(
            "select {ENTRY_COLUMNS} from entries where shard = $1 and (account_id, seq) > ($2, $3) order by account_id, seq limit $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(shard)
            .bind(place.0)
            .bind(place.1)
            .bind(most)
            .fetch_all(&mut self.connection)
            .await?;
        rows.iter().map(linked).collect()
    }

    /// The rows of a shard whose place is told by their columns, after one of them.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn placed_after(&mut self, table: Table, shard: i16, last: &Placed, most: i64) -> Result<Vec<Placed>, Failure> {
        let rows = sqlx::query_as(table.sql).bind(shard).bind(&last.tenant).bind(&last.kind).bind(&last.name).bind(most);
        Ok(rows.fetch_all(&mut self.connection).await?)
    }

    /// The facts of a kind in a shard after a place, in order of account and page.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn facts_after(&mut self, fact: Fact, shard: i16, place: (i64, &str), most: i64) -> Result<Vec<FactRow>, Failure> {
        Ok(sqlx::query_as(fact.sql).bind(shard).bind(place.0).bind(place.1).bind(most).fetch_all(&mut self.connection).await?)
    }

    /// Whose the directory says that facts are, one answer for each; each comes with its shard.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn owners(&mut self, fact: Fact, rows: &[(i16, &FactRow)]) -> Result<Vec<Option<String>>, Failure> {
        Ok(sqlx::query_scalar(
            "select d.account from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality as f (shard, tenant, key, place) \
             left join directory d on d.shard = f.shard and d.tenant = f.tenant and d.kind = $4 and d.key = f.key order by place",
        )
        .bind(rows.iter().map(|(shard, _)| *shard).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.tenant.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.key.clone()).collect::<Vec<_>>())
        .bind(fact.kind)
        .fetch_all(&mut self.connection)
        .await?)
    }
}

fn linked(row: &PgRow) -> Result<Linked, Failure> {
    let read = EntryRow::from_row(row).map_err(Failure::from).and_then(|row| row.entry());
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(Linked {
        account_id: row.try_get("account_id")?,
        seq: row.try_get("seq")?,
        entry: read.map(|(entry, _)| entry).map_err(|failure| failure.source().map_or_else(|| failure.to_string(), ToString::to_string)),
        hash: hash.try_into().ok().map(Hash),
    })
}
