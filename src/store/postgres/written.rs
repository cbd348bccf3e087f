//! Rows as a batch hands them to its statements: values of the composite types `written_…`.
//!
//! Owns what a row is made of, in the order of its type; one array of them is unnested in one step,
//! whatever the number of columns. Never reads.

use super::load::instant;
use super::rows::GrantRules;
use crate::domain::account::AccountKind;
use crate::domain::apply::Answer;
use crate::domain::entry::Entry;
use crate::domain::grant::{Grant, GrantEnd};
use crate::domain::ids::{Hash, Id, Printable, Prose};
use crate::store::AccountWrite;
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::{Json, Uuid};
use sqlx::{Decode, Encode, Postgres, Type};

/// A row of a composite type of the schema, column by column in the type's order.
macro_rules! written {
    ($(#[$doc:meta])* $name:ident = $sql:literal { $($column:ident: $value:ty,)* }) => {
        $(#[$doc])*
        #[derive(sqlx::Encode)]
        pub(super) struct $name<'a> { $(pub(super) $column: $value,)* }

        impl sqlx::Type<sqlx::Postgres> for $name<'_> {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::with_name($sql)
            }
        }

        impl sqlx::postgres::PgHasArrayType for $name<'_> {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::array_of($sql)
            }
        }

        #[cfg(test)]
        impl $name<'_> {
            /// The type with its columns, as the schema must have them.
            pub(super) const SHAPE: (&'static str, &'static [&'static str]) = ($sql, &[$(stringify!($column)),*]);
        }
    };
}
pub(super) use written;

/// Where a row stands in its table: block and position, as the database writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place([u8; 6]);

/// `tid` in the catalog of every Postgres.
const PLACE: PgTypeInfo = PgTypeInfo::with_oid(Oid(27));

impl Type<Postgres> for Place {
    fn type_info() -> PgTypeInfo {
        PLACE
    }
}

impl PgHasArrayType for Place {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1010))
    }
}

impl Encode<'_, Postgres> for Place {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Place {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

/// A count or position, which the ledger keeps far below this bound.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or position, which the ledger keeps far below this bound.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The close of a grant's cycle as it is foreseen, else its own date.
fn ends_at(grant: &Grant) -> Option<SqlTimestamp> {
    match &grant.terms.end {
        GrantEnd::Cycle { at, .. } => Some(instant(*at)),
        GrantEnd::Never | GrantEnd::At(_) => grant.terms.end.explicit().map(instant),
    }
}

written! {
    /// An account's row afterwards.
    WrittenAccount = "written_account" {
        place: Option<Place>,
        account_id: i64,
        stamp: i64,
        status: &'static str,
        frozen_by_staff: bool,
        kind: Option<&'static str>,
        owner: Option<&'a str>,
        time_zone: &'a str,
        balance: Decimal,
        held: Decimal,
        frozen: Decimal,
        debt: Decimal,
        last_seq: i64,
        last_hash: &'a [u8],
        recorded_at: SqlTimestamp,
        last_ended_at: Option<SqlTimestamp>,
        grant_count: i32,
        debt_count: i32,
        event_count: i64,
        open_debts: i32,
        open_requests: i32,
        open_subscriptions: i32,
        open_waiting: i32,
        next_due_at: Option<SqlTimestamp>,
    }
}

impl<'a> WrittenAccount<'a> {
    pub(super) fn of(write: &'a AccountWrite, place: Option<Place>, stamp: i64) -> Self {
        let account = &write.account;
        Self {
            place,
            account_id: write.account_id,
            stamp,
            status: account.status.word(),
            frozen_by_staff: account.frozen_by_staff,
            kind: account.profile.kind.map(AccountKind::word),
            owner: account.profile.owner.as_ref().map(Id::as_str),
            time_zone: account.profile.zone.name(),
            balance: account.balance.decimal(),
            held: account.held.decimal(),
            frozen: account.frozen.decimal(),
            debt: account.debt.decimal(),
            last_seq: signed(account.seq),
            last_hash: &account.hash.0,
            recorded_at: instant(account.recorded_at.unwrap_or(write.at)),
            last_ended_at: account.last_ended_at.map(instant),
            grant_count: small(account.grants),
            debt_count: small(account.debts),
            event_count: signed(account.events),
            open_debts: small(write.open.debts),
            open_requests: small(write.open.requests),
            open_subscriptions: small(write.open.subscriptions),
            open_waiting: small(write.open.waiting),
            next_due_at: write.next_due_at.map(instant),
        }
    }
}

written! {
    /// What may change of a grant.
    ChangedGrant = "changed_grant" {
        place: Option<Place>,
        account_id: i64,
        number: i32,
        status: &'a str,
        is_open: bool,
        remaining: Decimal,
        frozen: Decimal,
        clawed: Decimal,
        breakage: Decimal,
        trimmed: Decimal,
        voided: Decimal,
        handed_on: Decimal,
        ended_at: Option<SqlTimestamp>,
        end_recorded_at: Option<SqlTimestamp>,
        closes_left: i32,
        refill_at: Option<SqlTimestamp>,
        ends_at: Option<SqlTimestamp>,
    }
}

impl ChangedGrant<'_> {
    pub(super) fn of(account_id: i64, grant: &Grant, place: Option<Place>) -> Self {
        Self {
            place,
            account_id,
            number: small(grant.terms.number),
            status: grant.status.word(),
            is_open: grant.is_open(),
            remaining: grant.remaining.decimal(),
            frozen: grant.frozen.decimal(),
            clawed: grant.clawed.decimal(),
            breakage: grant.breakage.decimal(),
            trimmed: grant.trimmed.decimal(),
            voided: grant.voided.decimal(),
            handed_on: grant.handed_on.decimal(),
            ended_at: grant.ended_at.map(instant),
            end_recorded_at: grant.end_recorded_at.map(instant),
            closes_left: small(grant.closes_left),
            refill_at: grant.refill_at.map(instant),
            ends_at: ends_at(grant),
        }
    }
}

written! {
    /// A new grant.
    WrittenGrant = "written_grant" {
        account_id: i64,
        number: i32,
        grant_id: &'a str,
        source: &'static str,
        credits: Decimal,
        cost_basis: Decimal,
        priority: Option<i64>,
        effective_at: SqlTimestamp,
        ends_at: Option<SqlTimestamp>,
        expires_at: Option<SqlTimestamp>,
        scope: Vec<&'a str>,
        rules: Option<Json<GrantRules>>,
        parent: Option<i32>,
        generation: i32,
        subscription: Option<&'a str>,
        cycle_k: Option<i32>,
        cycle_n: Option<i32>,
        payment: Option<&'a str>,
        cause_source: &'a str,
        cause_id: &'a str,
        status: &'static str,
        is_open: bool,
        remaining: Decimal,
        frozen: Decimal,
        clawed: Decimal,
        breakage: Decimal,
        trimmed: Decimal,
        voided: Decimal,
        handed_on: Decimal,
        ended_at: Option<SqlTimestamp>,
        end_recorded_at: Option<SqlTimestamp>,
        closes_left: i32,
        refill_at: Option<SqlTimestamp>,
    }
}

impl<'a> WrittenGrant<'a> {
    pub(super) fn of(account_id: i64, grant: &'a Grant) -> Self {
        let terms = &*grant.terms;
        let cycle = terms.cycle.as_ref();
        Self {
            account_id,
            number: small(terms.number),
            grant_id: terms.id.as_str(),
            source: terms.source.stored_word(),
            credits: terms.credits.decimal(),
            cost_basis: terms.cost_basis.decimal(),
            priority: terms.priority.map(i64::from),
            effective_at: instant(terms.effective_at),
            ends_at: ends_at(grant),
            expires_at: terms.end.explicit().map(instant),
            scope: terms.scope.iter().map(Id::as_str).collect(),
            rules: GrantRules::of(terms),
            parent: terms.parent.map(small),
            generation: small(terms.generation),
            subscription: cycle.map(|cycle| cycle.subscription.as_str()),
            cycle_k: cycle.map(|cycle| cycle.k),
            cycle_n: cycle.map(|cycle| small(cycle.n)),
            payment: terms.payment.as_ref().map(Printable::as_str),
            cause_source: terms.cause.source.as_str(),
            cause_id: terms.cause.id.as_str(),
            status: grant.status.word(),
            is_open: grant.is_open(),
            remaining: grant.remaining.decimal(),
            frozen: grant.frozen.decimal(),
            clawed: grant.clawed.decimal(),
            breakage: grant.breakage.decimal(),
            trimmed: grant.trimmed.decimal(),
            voided: grant.voided.decimal(),
            handed_on: grant.handed_on.decimal(),
            ended_at: grant.ended_at.map(instant),
            end_recorded_at: grant.end_recorded_at.map(instant),
            closes_left: small(grant.closes_left),
            refill_at: grant.refill_at.map(instant),
        }
    }
}

written! {
    /// A new line of history.
    WrittenEntry = "written_entry" {
        account_id: i64,
        seq: i64,
        kind: &'static str,
        direction: &'static str,
        amount: Decimal,
        balance_after: Decimal,
        held_change: Decimal,
        frozen_change: Decimal,
        debt_change: Decimal,
        reference: Option<&'a str>,
        cause_source: &'a str,
        cause_id: &'a str,
        actor: Option<&'a str>,
        memo: Option<&'a str>,
        occurred_at: SqlTimestamp,
        recorded_at: SqlTimestamp,
        touched_grants: Vec<i32>,
        touched_changes: Vec<Decimal>,
        hash: &'a [u8],
    }
}

impl<'a> WrittenEntry<'a> {
    pub(super) fn of(account_id: i64, entry: &'a Entry, hash: &'a Hash) -> Self {
        Self {
            account_id,
            seq: signed(entry.seq),
            kind: entry.kind.word(),
            direction: entry.kind.direction().word(),
            amount: entry.amount.decimal(),
            balance_after: entry.balance_after.decimal(),
            held_change: entry.held_change.decimal(),
            frozen_change: entry.frozen_change.decimal(),
            debt_change: entry.debt_change.decimal(),
            reference: entry.reference.as_ref().map(Printable::as_str),
            cause_source: entry.cause.source.as_str(),
            cause_id: entry.cause.id.as_str(),
            actor: entry.actor.as_ref().map(Printable::as_str),
            memo: entry.memo.as_ref().map(Prose::as_str),
            occurred_at: instant(entry.occurred_at),
            recorded_at: instant(entry.recorded_at),
            touched_grants: entry.touched.iter().map(|touch| small(touch.grant)).collect(),
            touched_changes: entry.touched.iter().map(|touch| touch.change.decimal()).collect(),
            hash: &hash.0,
        }
    }
}

written! {
    /// The answer to a message.
    WrittenOutcome = "written_outcome" {
        account_id: i64,
        message_key: Uuid,
        source: &'a str,
        id: &'a str,
        content: &'a [u8],
        outcome: &'static str,
        reasons: Option<Vec<&'static str>>,
        first_seq: Option<i64>,
        last_seq: Option<i64>,
        recorded_at: SqlTimestamp,
    }
}

impl<'a> WrittenOutcome<'a> {
    pub(super) fn of(write: &AccountWrite, answer: &'a Answer) -> Self {
        let message = &answer.message;
        let reasons = answer.outcome.reasons();
        Self {
            account_id: write.account_id,
            message_key: Uuid::from_bytes(message.id.key().0),
            source: message.id.source.as_str(),
            id: message.id.id.as_str(),
            content: &message.content.0,
            outcome: answer.outcome.word(),
            reasons: (!reasons.is_empty()).then_some(reasons),
            first_seq: answer.entries.map(|(first, _)| signed(first)),
            last_seq: answer.entries.map(|(_, last)| signed(last)),
            recorded_at: instant(write.at),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../../migrations/0001_ledger.sql");

    fn columns_of(sql_type: &str) -> Vec<&'static str> {
        let (_, from) = SCHEMA.split_once(&format!("create type {sql_type} as (")).unwrap();
        let (columns, _) = from.split_once(");").unwrap();
        // A comma inside a type stands before a digit.
        let columns = columns.split(',').map(str::trim_start).filter(|column| !column.starts_with(|first: char| first.is_ascii_digit()));
        columns.map(|column| column.split_whitespace().next().unwrap()).collect()
    }

    /// Rows are sent by position: names must be the schema's, and the statement's, in one order.
    pub(in super::super) fn check((sql_type, columns): (&str, &[&str]), statement: &str) {
        assert_eq!(columns_of(sql_type), columns, "{sql_type}");
        let words: Vec<&str> = statement.split_whitespace().collect();
        let statement = words.join(" ");
        let inserts = format!("(shard, {}) select $1, new.* from unnest($", columns.join(", "));
        let rest = statement.split_once(&inserts).map(|(_, rest)| rest.trim_start_matches(|one: char| one.is_ascii_digit()));
        assert!(rest.is_some_and(|rest| rest.starts_with(&format!("::{sql_type}[])"))), "{sql_type}");
    }

    #[test]
    fn what_every_batch_inserts_has_one_order_of_columns() {
        let write = include_str!("write.sql");
        check(WrittenEntry::SHAPE, write);
        check(WrittenOutcome::SHAPE, write);
    }

    #[test]
    fn what_every_batch_changes_has_the_columns_of_its_type() {
        for (sql_type, columns) in [WrittenAccount::SHAPE, ChangedGrant::SHAPE] {
            assert_eq!(columns_of(sql_type), columns);
        }
    }
}
