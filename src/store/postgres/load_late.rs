//! Reading what late usage may reopen (semantics §7).
//!
//! Owns one statement, executed when usage of a batch happened before something of its account ended. What is
//! reopened is decided by `domain::late`.

use super::load::{Batch, instant};
use super::rows::{of_each, select_grants};
use crate::domain::ids::{AccountKey, Printable};
use crate::domain::late;
use crate::domain::settings::Terms;
use crate::failure::Failure;
use crate::store::{Named, Needs};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use std::borrow::Cow;

/// Grants that ended after usage happened, and whose end was recorded within the grace.
const GRANTS_ENDED: &str = of_each!(
    "unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) as asked (account_id, used_at, grace_from)",
    select_grants!(
        "ctid as place, ",
        "where shard = $1 and grants.account_id = asked.account_id and ended_at > asked.used_at \
         and end_recorded_at > asked.grace_from"
    )
);

impl Batch {
    /// What late usage of the batch may reopen; the payments that bought it are wanted, too. `under` tells the time
    /// and the terms of an account.
    pub(super) async fn grants_ended<'t>(
        &mut self,
        connection: &mut PgConnection,
        needs: &mut Cow<'_, Needs>,
        under: &(dyn Fn(&AccountKey) -> Option<(Timestamp, &'t Terms)> + Sync),
    ) -> Result<(), Failure> {
        let (mut accounts, mut used_at, mut grace_from): (Vec<i64>, Vec<SqlTimestamp>, Vec<SqlTimestamp>) = Default::default();
        if !needs.used_from.is_empty() {
            for loaded in self.accounts.values() {
                let book = &loaded.state.book;
                let Some(first) = needs.used_from.get(&book.account.key).filter(|first| late::is_late(book, **first)) else { continue };
                let Some((now, terms)) = under(&book.account.key) else { continue };
                accounts.push(loaded.account_id);
                used_at.push(instant(*first));
                grace_from.push(instant(now.checked_sub(late::grace(terms)).unwrap_or(*first)));
            }
        }
        if accounts.is_empty() {
            return Ok(());
        }
        let asked = sqlx::query_as(GRANTS_ENDED).bind(self.shard).bind(&accounts).bind(used_at).bind(grace_from);
        let rows = asked.fetch_all(connection).await?;
        self.place_grants(rows)?;
        let bought: Named<Printable> = accounts.iter().filter_map(|account_id| self.accounts.get(account_id)).flat_map(bought).collect();
        if !bought.is_empty() {
            let needs = needs.to_mut();
            needs.payments.extend(bought.iter().cloned());
            needs.reversed.extend(bought);
        }
        Ok(())
    }
}

/// The payments that bought what has ended of an account.
fn bought(loaded: &crate::store::LoadedAccount) -> Vec<(AccountKey, Printable)> {
    let book = &loaded.state.book;
    let ended = book.grants.values().filter(|grant| grant.ended_at.is_some());
    ended.filter_map(|grant| Some((book.account.key.clone(), grant.terms.payment.clone()?))).collect()
}
