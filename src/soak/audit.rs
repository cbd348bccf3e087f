//! Every number of a ledger recomputed from its entries.
//!
//! Owns the comparison of entries, accounts and grants, and of the hash chain. Only reads; uses
//! nothing of the ledger but the hash of an entry.

use crate::domain::credits::Credits;
use crate::domain::entry::{Entry, EntryKind, Touch};
use crate::domain::ids::{Hash, MessageId, Printable};
use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sqlx::PgPool;

/// What was compared and what differs.
#[derive(Debug, Default)]
pub struct Audit {
    /// Accounts compared.
    pub accounts: u64,
    /// Entries compared.
    pub entries: u64,
    /// Differences, for people.
    pub differences: Vec<String>,
}

/// Each question finds rows that contradict the entries, and names them.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "running balance or sequence of an entry",
        "select shard || '/' || account_id || ' entry ' || seq from (
            select shard, account_id, seq, balance_after,
                sum(case direction when 'in' then amount when 'out' then -amount else 0 end) over w as total,
                row_number() over w as place
            from entries window w as (partition by shard, account_id order by seq)) line
        where total <> balance_after or place <> seq limit 10",
    ),
    (
        "numbers of an account",
        "select a.tenant || '/' || a.account from accounts a left join (
            select shard, account_id, count(*) as lines, max(seq) as last_seq,
                sum(case direction when 'in' then amount when 'out' then -amount else 0 end) as balance,
                sum(held_change) as held, sum(frozen_change) as frozen, sum(debt_change) as debt
            from entries group by shard, account_id) e using (shard, account_id)
        where (a.balance, a.held, a.frozen, a.debt, a.last_seq, a.last_seq) is distinct from
            (coalesce(e.balance, 0), coalesce(e.held, 0), coalesce(e.frozen, 0), coalesce(e.debt, 0),
             coalesce(e.lines, 0), coalesce(e.last_seq, 0)) limit 10",
    ),
    (
        "sum of an account's grants",
        "select a.tenant || '/' || a.account from accounts a left join (
            select shard, account_id, sum(remaining) as remaining, sum(frozen) as frozen from grants
            where status <> 'pending' group by shard, account_id) g using (shard, account_id)
        where a.balance <> coalesce(g.remaining, 0) or a.frozen <> coalesce(g.frozen, 0) limit 10",
    ),
    (
        "remainder of a grant",
        "select g.shard || '/' || g.account_id || ' grant ' || g.number from grants g left join (
            select shard, account_id, touched as number, sum(change) as total from entries,
                unnest(touched_grants, touched_changes) as t (touched, change) group by 1, 2, 3) t
            using (shard, account_id, number)
        where g.status <> 'pending' and g.remaining <> coalesce(t.total, 0) limit 10",
    ),
    (
        "grants touched by an entry",
        "select shard || '/' || account_id || ' entry ' || seq from entries
        where coalesce((select sum(change) from unnest(touched_changes) as t (change)), 0)
            <> case direction when 'in' then amount when 'out' then -amount else 0 end
        and direction <> 'none' limit 10",
    ),
];

/// Recomputes everything.
///
/// # Errors
/// When the database cannot be read; a difference is no error.
pub async fn audit(pool: &PgPool) -> anyhow::Result<Audit> {
    let mut audit = Audit::default();
    let accounts: i64 = sqlx::query_scalar("select count(*) from accounts where account <> ''").fetch_one(pool).await?;
    audit.accounts = u64::try_from(accounts)?;
    for (what, sql) in QUESTIONS {
        let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await.with_context(|| what.to_owned())?;
        audit.differences.extend(found.into_iter().map(|place| format!("{what}: {place}")));
    }
    chain(pool, &mut audit).await?;
    Ok(audit)
}

#[derive(sqlx::FromRow)]
struct Line {
    shard: i16,
    account_id: i64,
    seq: i64,
    kind: String,
    direction: String,
    amount: Decimal,
    balance_after: Decimal,
    held_change: Decimal,
    frozen_change: Decimal,
    debt_change: Decimal,
    reference: Option<String>,
    cause_source: String,
    cause_id: String,
    actor: Option<String>,
    memo: Option<String>,
    occurred: i64,
    recorded: i64,
    touched_grants: Vec<i32>,
    touched_changes: Vec<Decimal>,
    hash: Vec<u8>,
    head: Vec<u8>,
}

/// Recomputes each account's hash chain and compares its head with the account.
async fn chain(pool: &PgPool, audit: &mut Audit) -> anyhow::Result<()> {
    let mut lines = sqlx::query_as::<_, Line>(
        "select e.shard, e.account_id, seq, e.kind, direction, amount, balance_after, held_change, frozen_change, debt_change,
            reference, cause_source, cause_id, actor, memo, touched_grants, touched_changes, hash,
            (extract(epoch from occurred_at) * 1000000)::bigint as occurred,
            (extract(epoch from e.recorded_at) * 1000000)::bigint as recorded,
            case when seq = a.last_seq then a.last_hash else hash end as head
        from entries e join accounts a using (shard, account_id) order by e.shard, e.account_id, seq",
    )
    .fetch(pool);
    let mut place = (0, 0);
    let mut previous = Hash([0; 32]);
    while let Some(line) = lines.try_next().await? {
        audit.entries = audit.entries.saturating_add(1);
        if std::mem::replace(&mut place, (line.shard, line.account_id)) != (line.shard, line.account_id) {
            previous = Hash([0; 32]);
        }
        previous = line.entry()?.hash(previous);
        if line.hash != previous.0 || line.head != previous.0 {
            audit.differences.push(format!("hash chain: {}/{} entry {}", line.shard, line.account_id, line.seq));
            previous = Hash(line.hash.try_into().map_err(|_| anyhow::anyhow!("a hash is not 32 bytes long"))?);
        }
    }
    Ok(())
}

impl Line {
    fn entry(&self) -> anyhow::Result<Entry> {
        let optional = |text: &Option<String>| text.as_deref().map(Printable::new).transpose();
        let touches = self.touched_grants.iter().zip(&self.touched_changes);
        let touched = touches.map(|(grant, change)| Ok(Touch { grant: u32::try_from(*grant)?, change: Credits::new(*change)? }));
        Ok(Entry {
            seq: u64::try_from(self.seq)?,
            kind: EntryKind::from_words(&self.kind, &self.direction).context("an entry is of no known kind")?,
            amount: Credits::new(self.amount)?,
            balance_after: Credits::new(self.balance_after)?,
            held_change: Credits::new(self.held_change)?,
            frozen_change: Credits::new(self.frozen_change)?,
            debt_change: Credits::new(self.debt_change)?,
            reference: optional(&self.reference)?,
            cause: MessageId { source: Printable::new(&self.cause_source)?, id: Printable::new(&self.cause_id)? },
            actor: optional(&self.actor)?,
            memo: optional(&self.memo)?,
            occurred_at: Timestamp::from_microsecond(self.occurred)?,
            recorded_at: Timestamp::from_microsecond(self.recorded)?,
            touched: touched.collect::<anyhow::Result<_>>()?,
        })
    }
}
