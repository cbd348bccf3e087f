//! Writing a batch: one statement for what every batch writes, one more for each rarer table.
//!
//! Owns the statements and their arrays; commits. Never decides.

use super::load::instant;
use super::rows::GrantRules;
use super::{quarantine, query, waiting, write_rare};
use crate::domain::apply::Answer;
use crate::domain::decision::{Outcome, Row};
use crate::domain::entry::Entry;
use crate::domain::grant::{Grant, GrantEnd};
use crate::domain::ids::{Hash, Printable};
use crate::failure::Failure;
use crate::store::{AccountWrite, EntryRange, OutboxRow, Transaction};
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use sqlx::postgres::PgArguments;
use sqlx::query::{Query, QueryAs};
use sqlx::types::{Json, Uuid};
use sqlx::{PgTransaction, Postgres};
use std::collections::HashMap;

/// Where the rows of a batch stand in their tables. Nobody else moves them while their account is
/// locked, so they are found again without an index.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By row id.
    pub accounts: HashMap<i64, String>,
    /// By account and number.
    pub grants: HashMap<(i64, u32), String>,
}

/// A transaction that holds the locks of a batch's accounts.
#[derive(Debug)]
pub struct PostgresTransaction {
    pub(super) transaction: PgTransaction<'static>,
    pub(super) shard: i16,
    pub(super) places: Places,
}

impl Transaction for PostgresTransaction {
    async fn entries(&mut self, wanted: &[EntryRange]) -> Result<Vec<(i64, Entry)>, Failure> {
        query::entries_in(&mut self.transaction, self.shard, wanted).await
    }

    async fn commit(mut self, writes: Vec<AccountWrite>) -> Result<(), Failure> {
        let connection = &mut *self.transaction;
        let mut columns = Columns::default();
        for write in &writes {
            columns.add(write, &mut self.places);
        }
        let changed: (i64, i64) = columns.bind(self.shard).fetch_one(&mut *connection).await?;
        if changed != columns.changed() {
            return Err(Failure::Again("a row was not where it had been locked".into()));
        }
        if !columns.new_grants.is_empty() {
            columns.new_grants.bind(self.shard).execute(&mut *connection).await?;
        }
        for write in &writes {
            write_rare::rows(connection, self.shard, write).await?;
            waiting::write(connection, self.shard, write).await?;
        }
        let set_aside: Vec<_> = writes.iter().flat_map(|write| &write.quarantine).collect();
        quarantine::insert(connection, self.shard, &set_aside).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}

/// Accounts, burned grants, entries, outcomes and outbox in one round trip. Parts without rows cost
/// nothing but their place in the plan.
const WRITE: &str = include_str!("write.sql");

/// New grants.
const INSERT_GRANTS: &str = include_str!("write_grants.sql");

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The close of a grant's cycle as it is foreseen, else its own date.
fn ends_at(grant: &Grant) -> Option<SqlTimestamp> {
    match &grant.terms.end {
        GrantEnd::Cycle { at, .. } => Some(instant(*at)),
        GrantEnd::Never | GrantEnd::At(_) => grant.terms.end.explicit().map(instant),
    }
}

fn text(value: Option<&Printable>) -> Option<String> {
    value.map(ToString::to_string)
}

/// Column arrays of the statement that every batch executes.
#[derive(Default)]
struct Columns {
    accounts: Accounts,
    burned: Burned,
    entries: Entries,
    outcomes: Outcomes,
    outbox: Outbox,
    new_grants: NewGrants,
}

impl Columns {
    fn add(&mut self, write: &AccountWrite, places: &mut Places) {
        self.accounts.add(write, places.accounts.remove(&write.account_id));
        for row in &write.rows {
            if let Row::Grant(grant) = row {
                if grant.terms.number > write.grants_before {
                    self.new_grants.add(write.account_id, grant);
                } else {
                    self.burned.add(write.account_id, grant, places.grants.remove(&(write.account_id, grant.terms.number)));
                }
            }
        }
        for (entry, hash) in write.entries.iter().zip(&write.hashes) {
            self.entries.add(write.account_id, entry, *hash);
        }
        for answer in write.answers.iter().filter(|answer| answer.is_new) {
            self.outcomes.add(write, answer);
        }
        for row in &write.outbox {
            self.outbox.add(write.account_id, row);
        }
    }

    /// How many accounts and grants the statement must have changed.
    fn changed(&self) -> (i64, i64) {
        let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        (count(self.accounts.account_id.len()), count(self.burned.account_id.len()))
    }

    fn bind(&self, shard: i16) -> Writing<'_> {
        let query = sqlx::query_as(WRITE).bind(shard);
        let query = self.accounts.bind(query);
        let query = self.burned.bind(query);
        let query = self.entries.bind(query);
        let query = self.outcomes.bind(query);
        self.outbox.bind(query)
    }
}

/// Answers how many accounts and grants were changed.
type Writing<'a> = QueryAs<'a, Postgres, (i64, i64), PgArguments>;

macro_rules! columns {
    ($name:ident { $($column:ident: $type:ty,)* }) => {
        #[derive(Default)]
        struct $name { $($column: Vec<$type>,)* }

        impl $name {
            fn bind<'a>(&'a self, query: Writing<'a>) -> Writing<'a> {
                query$(.bind(&self.$column))*
            }
        }
    };
}

columns!(Accounts {
    place: Option<String>,
    account_id: i64,
    status: &'static str,
    frozen_by_staff: bool,
    kind: Option<&'static str>,
    owner: Option<String>,
    time_zone: String,
    balance: Decimal,
    held: Decimal,
    frozen: Decimal,
    debt: Decimal,
    last_seq: i64,
    last_hash: Vec<u8>,
    recorded_at: SqlTimestamp,
    grant_count: i32,
    debt_count: i32,
    event_count: i64,
    open_debts: i32,
    open_requests: i32,
    open_subscriptions: i32,
    open_waiting: i32,
    next_due_at: Option<SqlTimestamp>,
});

impl Accounts {
    fn add(&mut self, write: &AccountWrite, place: Option<String>) {
        let account = &write.account;
        self.place.push(place);
        self.account_id.push(write.account_id);
        self.status.push(account.status.word());
        self.frozen_by_staff.push(account.frozen_by_staff);
        self.kind.push(account.profile.kind.map(crate::domain::account::AccountKind::word));
        self.owner.push(account.profile.owner.as_ref().map(ToString::to_string));
        self.time_zone.push(account.profile.zone.name().to_owned());
        self.balance.push(account.balance.decimal());
        self.held.push(account.held.decimal());
        self.frozen.push(account.frozen.decimal());
        self.debt.push(account.debt.decimal());
        self.last_seq.push(signed(account.seq));
        self.last_hash.push(account.hash.0.to_vec());
        self.recorded_at.push(instant(account.recorded_at.unwrap_or(write.at)));
        self.grant_count.push(small(account.grants));
        self.debt_count.push(small(account.debts));
        self.event_count.push(signed(account.events));
        self.open_debts.push(small(write.open.debts));
        self.open_requests.push(small(write.open.requests));
        self.open_subscriptions.push(small(write.open.subscriptions));
        self.open_waiting.push(small(write.open.waiting));
        self.next_due_at.push(write.next_due_at.map(instant));
    }
}

columns!(Burned {
    place: Option<String>,
    account_id: i64,
    number: i32,
    status: &'static str,
    is_open: bool,
    remaining: Decimal,
    frozen: Decimal,
    closes_left: i32,
    refill_at: Option<SqlTimestamp>,
    ends_at: Option<SqlTimestamp>,
});

impl Burned {
    fn add(&mut self, account_id: i64, grant: &Grant, place: Option<String>) {
        self.place.push(place);
        self.account_id.push(account_id);
        self.number.push(small(grant.terms.number));
        self.status.push(grant.status.word());
        self.is_open.push(grant.is_open());
        self.remaining.push(grant.remaining.decimal());
        self.frozen.push(grant.frozen.decimal());
        self.closes_left.push(small(grant.closes_left));
        self.refill_at.push(grant.refill_at.map(instant));
        self.ends_at.push(ends_at(grant));
    }
}

columns!(Entries {
    account_id: i64,
    seq: i64,
    kind: &'static str,
    direction: &'static str,
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
    occurred_at: SqlTimestamp,
    recorded_at: SqlTimestamp,
    touched_grants: String,
    touched_changes: String,
    hash: Vec<u8>,
});

impl Entries {
    fn add(&mut self, account_id: i64, entry: &Entry, hash: Hash) {
        self.account_id.push(account_id);
        self.seq.push(signed(entry.seq));
        self.kind.push(entry.kind.word());
        self.direction.push(entry.kind.direction().word());
        self.amount.push(entry.amount.decimal());
        self.balance_after.push(entry.balance_after.decimal());
        self.held_change.push(entry.held_change.decimal());
        self.frozen_change.push(entry.frozen_change.decimal());
        self.debt_change.push(entry.debt_change.decimal());
        self.reference.push(text(entry.reference.as_ref()));
        self.cause_source.push(entry.cause.source.to_string());
        self.cause_id.push(entry.cause.id.to_string());
        self.actor.push(text(entry.actor.as_ref()));
        self.memo.push(entry.memo.as_ref().map(ToString::to_string));
        self.occurred_at.push(instant(entry.occurred_at));
        self.recorded_at.push(instant(entry.recorded_at));
        // unnest flattens arrays of arrays; the literal form of an array does not.
        let literal = |parts: Vec<String>| format!("{{{}}}", parts.join(","));
        self.touched_grants.push(literal(entry.touched.iter().map(|touch| touch.grant.to_string()).collect()));
        self.touched_changes.push(literal(entry.touched.iter().map(|touch| touch.change.to_string()).collect()));
        self.hash.push(hash.0.to_vec());
    }
}

columns!(Outcomes {
    account_id: i64,
    message_key: Uuid,
    source: String,
    id: String,
    content: Vec<u8>,
    outcome: &'static str,
    reasons: Option<String>,
    first_seq: Option<i64>,
    last_seq: Option<i64>,
    recorded_at: SqlTimestamp,
});

impl Outcomes {
    fn add(&mut self, write: &AccountWrite, answer: &Answer) {
        if matches!(answer.outcome, Outcome::Waiting | Outcome::Quarantined(_)) {
            return;
        }
        let message = &answer.message;
        let reasons = answer.outcome.reasons();
        self.account_id.push(write.account_id);
        self.message_key.push(Uuid::from_bytes(message.id.key().0));
        self.source.push(message.id.source.to_string());
        self.id.push(message.id.id.to_string());
        self.content.push(message.content.0.to_vec());
        self.outcome.push(answer.outcome.word());
        self.reasons.push((!reasons.is_empty()).then(|| format!("{{{}}}", reasons.join(","))));
        self.first_seq.push(answer.entries.map(|(first, _)| signed(first)));
        self.last_seq.push(answer.entries.map(|(_, last)| signed(last)));
        self.recorded_at.push(instant(write.at));
    }
}

columns!(Outbox {
    account_id: i64,
    number: i64,
    is_reply: bool,
    in_order: bool,
    routing_key: String,
    correlation_id: Option<String>,
    body: Vec<u8>,
});

impl Outbox {
    fn add(&mut self, account_id: i64, row: &OutboxRow) {
        self.account_id.push(account_id);
        self.number.push(signed(row.number));
        self.is_reply.push(row.is_reply);
        self.in_order.push(row.in_order);
        self.routing_key.push(row.routing_key.clone());
        self.correlation_id.push(row.correlation_id.clone());
        self.body.push(row.body.clone());
    }
}

#[derive(Default)]
struct NewGrants(Vec<(i64, Grant)>);

impl NewGrants {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, account_id: i64, grant: &Grant) {
        self.0.push((account_id, grant.clone()));
    }

    fn column<T>(&self, value: impl Fn(&Grant) -> T) -> Vec<T> {
        self.0.iter().map(|(_, grant)| value(grant)).collect()
    }

    fn bind(&self, shard: i16) -> Query<'_, Postgres, PgArguments> {
        let cycle = |grant: &Grant| grant.terms.cycle.clone();
        sqlx::query(INSERT_GRANTS)
            .bind(shard)
            .bind(self.0.iter().map(|(account_id, _)| *account_id).collect::<Vec<_>>())
            .bind(self.column(|grant| small(grant.terms.number)))
            .bind(self.column(|grant| grant.terms.id.to_string()))
            .bind(self.column(|grant| grant.terms.source.stored_word()))
            .bind(self.column(|grant| grant.terms.credits.decimal()))
            .bind(self.column(|grant| grant.terms.cost_basis.decimal()))
            .bind(self.column(|grant| grant.terms.priority.map(i64::from)))
            .bind(self.column(|grant| instant(grant.terms.effective_at)))
            .bind(self.column(ends_at))
            .bind(self.column(|grant| grant.terms.end.explicit().map(instant)))
            .bind(self.column(|grant| GrantRules::of(&grant.terms)))
            .bind(self.column(|grant| grant.terms.parent.map(small)))
            .bind(self.column(|grant| small(grant.terms.generation)))
            .bind(self.column(|grant| cycle(grant).map(|cycle| cycle.subscription.to_string())))
            .bind(self.column(|grant| cycle(grant).map(|cycle| cycle.k)))
            .bind(self.column(|grant| cycle(grant).map(|cycle| small(cycle.n))))
            .bind(self.column(|grant| grant.terms.cause.source.to_string()))
            .bind(self.column(|grant| grant.terms.cause.id.to_string()))
            .bind(self.column(|grant| grant.status.word()))
            .bind(self.column(Grant::is_open))
            .bind(self.column(|grant| grant.remaining.decimal()))
            .bind(self.column(|grant| grant.frozen.decimal()))
            .bind(self.column(|grant| small(grant.closes_left)))
            .bind(self.column(|grant| grant.refill_at.map(instant)))
            .bind(self.column(|grant| Json(grant.terms.scope.iter().map(ToString::to_string).collect::<Vec<_>>())))
    }
}
