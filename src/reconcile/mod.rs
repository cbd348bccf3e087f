//! Every number of the ledger computed again: the one audit, for the command, the demonstration, the
//! benchmark and the soak.
//!
//! Owns the order of the checks and the place a row must stand in. Never corrects anything: a
//! difference is for people. Holds a chunk of rows at most.

mod chain;

use crate::failure::Failure;
use crate::store::postgres::query::audit::{Audit, Counts, Difference, FACTS, PLACED, Placed};
use crate::store::shard_of;
use chain::Chain;

/// Rows read at once.
const CHUNK: i64 = 5_000;

/// What an audit looked at and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows looked at.
    pub counts: Counts,
    /// Differences told.
    pub differences: u64,
}

/// Audits the database at `url` on one snapshot; every difference goes to `tell` as it is found.
///
/// # Errors
/// [`Failure`] of the database, or what `tell` returns.
pub async fn reconcile<E: From<Failure>>(url: &str, mut tell: impl FnMut(Difference) -> Result<(), E>) -> Result<Report, E> {
    let mut audit = Audit::begin(url).await?;
    let mut report = Report::default();
    let mut count = |difference: Difference| {
        report.differences = report.differences.saturating_add(1);
        tell(difference)
    };
    audit.outside(&mut count).await?;
    for shard in 0..audit.shards() {
        audit.differences(shard, &mut count).await?;
        places(&mut audit, shard, &mut count).await?;
        facts(&mut audit, shard, &mut count).await?;
        chains(&mut audit, shard, &mut count).await?;
        report.counts = sum(report.counts, audit.counts(shard).await?);
    }
    Ok(report)
}

/// As [`reconcile`], with at most `most` differences kept, each as a line for people.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn differences(url: &str, most: usize) -> Result<(Report, Vec<String>), Failure> {
    let mut lines = Vec::new();
    let report = reconcile(url, |difference| {
        if lines.len() < most {
            lines.push(difference.to_string());
        }
        Ok::<(), Failure>(())
    });
    let report = report.await?;
    Ok((report, lines))
}

fn sum(left: Counts, right: Counts) -> Counts {
    Counts {
        accounts: left.accounts.saturating_add(right.accounts),
        entries: left.entries.saturating_add(right.entries),
        grants: left.grants.saturating_add(right.grants),
        outcomes: left.outcomes.saturating_add(right.outcomes),
        announcements: left.announcements.saturating_add(right.announcements),
    }
}

/// Accounts and directory rows stand in the shard that their names say.
async fn places<E: From<Failure>>(audit: &mut Audit, shard: i16, tell: &mut impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
    for table in PLACED {
        let mut last = Placed::default();
        loop {
            let chunk = audit.placed_after(table, shard, &last, CHUNK).await?;
            let Some(end) = chunk.last() else { break };
            for row in &chunk {
                let home = shard_of(&row.tenant, &row.name, audit.shards());
                if home != shard {
                    tell(Difference {
                        account: format!("{}/{}", row.tenant, row.name),
                        check: format!("shard of the {}", [table.row, &row.kind].join(" ").trim_end()),
                        stored: shard.to_string(),
                        computed: home.to_string(),
                    })?;
                }
            }
            last = end.clone();
        }
    }
    Ok(())
}

/// The directory gives every payment, request, evidence and reference to the account that has it.
async fn facts<E: From<Failure>>(audit: &mut Audit, shard: i16, tell: &mut impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
    for fact in FACTS {
        let mut place = (i64::MIN, String::new());
        loop {
            let chunk = audit.facts_after(fact, shard, (place.0, &place.1), CHUNK).await?;
            let Some(last) = chunk.last() else { break };
            place = (last.account_id, last.page.clone());
            let shards = audit.shards();
            let rows: Vec<_> = chunk.iter().map(|row| (shard_of(&row.tenant, &row.key, shards), row)).collect();
            let owners = audit.owners(fact, &rows).await?;
            for (row, owner) in chunk.iter().zip(owners) {
                if owner.as_ref() != Some(&row.account) {
                    tell(Difference {
                        account: format!("{}/{}", row.tenant, row.account),
                        check: format!("the directory's account of {} {}", fact.kind, row.key),
                        stored: owner.unwrap_or_else(|| "none".to_owned()),
                        computed: row.account.clone(),
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// Walks every account's entries of a shard.
async fn chains<E: From<Failure>>(audit: &mut Audit, shard: i16, tell: &mut impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
    let mut chain = Chain::default();
    let mut place = (i64::MIN, 0);
    loop {
        let chunk = audit.entries_after(shard, place, CHUNK).await?;
        let Some(last) = chunk.last() else { return Ok(()) };
        place = (last.account_id, last.seq);
        for linked in &chunk {
            for (check, stored, computed) in chain.next(linked) {
                let account = audit.name(shard, linked.account_id).await?;
                let check = format!("{check} of entry {}", linked.seq);
                tell(Difference { account, check, stored, computed })?;
            }
        }
    }
}
