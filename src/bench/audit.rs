//! Whether a run did what it says: every message applied once, every number what its entries say.
//!
//! Owns the statements; shares no code with the ledger.

use anyhow::bail;
use sqlx::PgPool;

/// Compares the ledger with the number of messages and with itself.
///
/// # Errors
/// Names what does not fit: the run has no speed then.
pub async fn check(pool: &PgPool, applied: u64) -> anyhow::Result<()> {
    for (what, sql) in
        [("entries", "select count(*) from entries"), ("outcomes", "select count(*) from outcomes where outcome = 'applied'")]
    {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
        if u64::try_from(count)? != applied {
            bail!("audit: {applied} messages were sent and there are {count} {what}");
        }
    }
    for (what, sql) in [
        (
            "entries whose balance is not the sum up to them",
            "select count(*) from (select balance_after, sum(case direction when 'in' then amount when 'out' then -amount else 0 end) \
             over (partition by shard, account_id order by seq) as summed from entries) as line where summed <> balance_after",
        ),
        (
            "accounts whose balance is not what their grants hold",
            "select count(*) from accounts left join (select shard, account_id, sum(remaining) as held from grants group by 1, 2) as lots \
             using (shard, account_id) where balance <> coalesce(lots.held, 0)",
        ),
        (
            "accounts with a gap in their history",
            "select count(*) from accounts left join (select shard, account_id, count(*) as lines, max(seq) as last from entries group by 1, 2) \
             as history using (shard, account_id) where last_seq <> coalesce(lines, 0) or last_seq <> coalesce(last, 0)",
        ),
    ] {
        let wrong: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
        if wrong > 0 {
            bail!("audit: {wrong} {what}");
        }
    }
    Ok(())
}
