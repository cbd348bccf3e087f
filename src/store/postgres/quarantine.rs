//! What was set aside for people.
//!
//! Owns the rows and their end: replayed or discarded. Never throws anything away by itself.

use crate::failure::Failure;
use crate::message::raw::{Raw, RawHead};
use crate::store::QuarantineRow;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::types::{Json, Uuid};
use sqlx::{PgConnection, PgPool};

/// How much of a body that is too large is kept; its digest tells the rest.
pub const BODY_KEPT_MAX: usize = 256 * 1024;

/// Sets messages aside in one statement; a repeat of the same bytes only counts up.
pub async fn insert(connection: &mut PgConnection, shard: i16, rows: &[&QuarantineRow]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    // One statement cannot touch a row twice: repeats within the batch are counted here.
    let mut seen = std::collections::BTreeMap::new();
    for row in rows {
        let entry = seen.entry((row.raw.queue.word(), row.raw.digest())).or_insert((*row, 0_i32));
        entry.1 = entry.1.saturating_add(1);
    }
    let rows: Vec<(&QuarantineRow, i32, Vec<u8>)> =
        seen.into_iter().map(|((_, digest), (row, seen))| (row, seen, digest.0.to_vec())).collect();
    let column =
        |value: fn(&QuarantineRow) -> Option<String>| -> Vec<Option<String>> { rows.iter().map(|(row, _, _)| value(row)).collect() };
    sqlx::query(
        "insert into quarantine (shard, queue, digest, reason, detail, tenant, account, source, id, message_key, raw, body, body_bytes, seen) \
         select $1, * from unnest($2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
         $10::uuid[], $11::jsonb[], $12::bytea[], $13::int[], $14::int[]) \
         on conflict (shard, queue, digest) do update set seen = quarantine.seen + excluded.seen, last_seen_at = clock_timestamp(), \
         reason = excluded.reason, detail = excluded.detail, ended_at = null, ended_as = null, ended_by = null, ended_reason = null",
    )
    .bind(shard)
    .bind(rows.iter().map(|(row, _, _)| row.raw.queue.word()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, digest)| digest.clone()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(row, _, _)| row.reason.word()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(row, _, _)| row.detail.clone()).collect::<Vec<_>>())
    .bind(column(|row| row.tenant.as_ref().map(ToString::to_string)))
    .bind(column(|row| row.account.as_ref().map(ToString::to_string)))
    .bind(column(|row| row.message.as_ref().map(|message| message.source.to_string())))
    .bind(column(|row| row.message.as_ref().map(|message| message.id.to_string())))
    .bind(rows.iter().map(|(row, _, _)| row.message.as_ref().map(|message| Uuid::from_bytes(message.key().0))).collect::<Vec<_>>())
    .bind(rows.iter().map(|(row, _, _)| Json(row.raw.head())).collect::<Vec<_>>())
    .bind(rows.iter().map(|(row, _, _)| row.raw.body.iter().take(BODY_KEPT_MAX).copied().collect::<Vec<u8>>()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(row, _, _)| i32::try_from(row.raw.body.len()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, seen, _)| *seen).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// A message that was set aside, for listing.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Quarantined {
    /// Its shard, with queue and digest its name.
    pub shard: i16,
    /// The queue it came from.
    pub queue: String,
    /// SHA-256 over headers and body.
    pub digest: Vec<u8>,
    /// Why.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Its tenant, if it could be read.
    pub tenant: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// Its source.
    pub source: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// How often it came.
    pub seen: i32,
    /// When it first came.
    pub first_seen_at: SqlTimestamp,
    /// Bytes of its body.
    pub body_bytes: i32,
    /// When somebody ended it; absent while it is open.
    pub ended_at: Option<SqlTimestamp>,
    /// `replayed` or `discarded`.
    pub ended_as: Option<String>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// Why it was given up.
    pub ended_reason: Option<String>,
}

const COLUMNS: &str = "shard, queue, digest, reason, detail, tenant, account, source, id, seen, first_seen_at, body_bytes, \
     ended_at, ended_as, ended_by, ended_reason";

/// Which rows to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Only of this tenant.
    pub tenant: Option<&'a str>,
    /// The beginning of a digest in hex.
    pub prefix: &'a str,
    /// Those that were replayed or discarded too.
    pub ended: bool,
}

/// Rows, the oldest first.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn list(pool: &PgPool, filter: Filter<'_>, most: i64) -> Result<Vec<Quarantined>, Failure> {
    let sql = format!(
        "select {COLUMNS} from quarantine where ($4 or ended_at is null) and ($1::text is null or tenant = $1) \
         and encode(digest, 'hex') like $2 || '%' order by first_seen_at, digest limit $3"
    );
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(filter.tenant).bind(filter.prefix).bind(most).bind(filter.ended);
    Ok(rows.fetch_all(pool).await?)
}

/// The delivery of a row, as it came.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn raw(pool: &PgPool, row: &Quarantined) -> Result<Raw, Failure> {
    let (head, body): (Json<RawHead>, Vec<u8>) =
        sqlx::query_as("select raw, body from quarantine where shard = $1 and queue = $2 and digest = $3")
            .bind(row.shard)
            .bind(&row.queue)
            .bind(&row.digest)
            .fetch_one(pool)
            .await?;
    Raw::from_parts(head.0, body).ok_or_else(|| super::rows::unreadable("queue", &row.queue))
}

/// How a row ends.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// It was sent again.
    Replayed,
    /// It is given up.
    Discarded {
        /// Why.
        reason: &'a str,
    },
}

/// Ends a row; false when somebody else ended it first, or when it has come again since it was read.
/// Without an actor it is the database's role.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn end(pool: &PgPool, row: &Quarantined, end: End<'_>, actor: Option<&str>) -> Result<bool, Failure> {
    let (word, reason) = match end {
        End::Replayed => ("replayed", None),
        End::Discarded { reason } => ("discarded", Some(reason)),
    };
    let done = sqlx::query(
        "update quarantine set ended_at = clock_timestamp(), ended_as = $4, ended_by = coalesce($6, session_user::text), ended_reason = $7 \
         where shard = $1 and queue = $2 and digest = $3 and ended_at is null and seen = $5",
    )
    .bind(row.shard)
    .bind(&row.queue)
    .bind(&row.digest)
    .bind(word)
    .bind(row.seen)
    .bind(actor)
    .bind(reason)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}
