//! Accounts and grants as Postgres holds them, and what they mean.
//!
//! Owns the mapping in both directions; a row that means nothing is a failure, never a default.

use super::rows_about::AboutRow;
use crate::domain::account::{Account, Profile, Zone};
use crate::domain::calendar::CalendarSpan;
use crate::domain::credits::Credits;
use crate::domain::grant::{CycleId, Grant, GrantEnd, GrantSource, GrantTerms, Recurrence, RolloverRule};
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, Printable, Prose};
use crate::domain::word::Word;
use crate::failure::Failure;
use crate::store::OpenRows;
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use std::sync::Arc;

/// A stored value that this worker cannot read.
pub fn unreadable(what: &str, value: &str) -> Failure {
    Failure::Misfit(format!("{what} {value:?} is not known to this worker").into())
}

pub fn credits(value: Decimal) -> Result<Credits, Failure> {
    Credits::new(value).map_err(|_| unreadable("amount", &value.to_string()))
}

pub fn id(value: &str) -> Result<Id, Failure> {
    Id::new(value).map_err(|_| unreadable("id", value))
}

pub fn printable(value: &str) -> Result<Printable, Failure> {
    Printable::new(value).map_err(|_| unreadable("name", value))
}

/// The value for a word of a closed vocabulary.
pub fn word<T: Word>(what: &str, word: &str) -> Result<T, Failure> {
    T::from_word(word).ok_or_else(|| unreadable(what, word))
}

pub fn optional_id(value: Option<&String>) -> Result<Option<Id>, Failure> {
    value.map(|value| id(value)).transpose()
}

pub fn optional_printable(value: Option<&String>) -> Result<Option<Printable>, Failure> {
    value.map(|value| printable(value)).transpose()
}

pub fn optional_prose(value: Option<&String>) -> Result<Option<Prose>, Failure> {
    value.map(|value| Prose::new(value).map_err(|_| unreadable("text", value))).transpose()
}

pub fn message_id(source: &str, id: &str) -> Result<MessageId, Failure> {
    Ok(MessageId { source: printable(source)?, id: printable(id)? })
}

pub fn hash(value: &[u8]) -> Result<Hash, Failure> {
    value.try_into().map(Hash).map_err(|_| unreadable("hash", &hex::encode(value)))
}

pub fn number<T: TryFrom<i64>>(value: i64) -> Result<T, Failure> {
    T::try_from(value).map_err(|_| unreadable("number", &value.to_string()))
}

/// A statement that reads [`AccountRow`]s, whose keys are known; the rest of it follows `from accounts`.
/// What is selected for each row of `asked`, looked up by itself. A plan is made when a connection first needs it
/// and kept, so that it must be right for a full table although the table was empty then; `in (select …)` and
/// joins are planned as a read of the whole shard, which an empty one costs nothing.
macro_rules! of_each {
    ($asked:literal, $select:expr) => {
        concat!("select found.* from ", $asked, " cross join lateral (", $select, " offset 0) as found")
    };
}
pub(super) use of_each;

macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "select account_id, status, frozen_by_staff, kind, owner, time_zone, about, \
             balance, held, frozen, debt, last_seq, last_hash, recorded_at, last_ended_at, grant_count, debt_count, event_count, \
             open_debts, open_requests, open_subscriptions, open_waiting from accounts ",
            $rest
        )
    };
}
pub(super) use select_accounts;

#[derive(sqlx::FromRow)]
pub struct AccountRow {
    pub account_id: i64,
    pub status: String,
    pub frozen_by_staff: bool,
    pub kind: Option<String>,
    pub owner: Option<String>,
    pub time_zone: String,
    pub about: Option<Json<AboutRow>>,
    pub balance: Decimal,
    pub held: Decimal,
    pub frozen: Decimal,
    pub debt: Decimal,
    pub last_seq: i64,
    pub last_hash: Vec<u8>,
    pub recorded_at: Option<SqlTimestamp>,
    pub last_ended_at: Option<SqlTimestamp>,
    pub grant_count: i32,
    pub debt_count: i32,
    pub event_count: i64,
    pub open_debts: i32,
    pub open_requests: i32,
    pub open_subscriptions: i32,
    pub open_waiting: i32,
}

impl AccountRow {
    pub fn account(&self, key: AccountKey) -> Result<Account, Failure> {
        let kind = self.kind.as_deref().map(|kind| word("account kind", kind)).transpose()?;
        let zone = Zone::named(&self.time_zone).ok_or_else(|| unreadable("time zone", &self.time_zone))?;
        let profile = Profile { kind, owner: optional_id(self.owner.as_ref())?, zone, ..Profile::default() };
        let profile = match &self.about {
            Some(about) => about.0.profile(profile)?,
            None => profile,
        };
        Ok(Account {
            key,
            status: word("account status", &self.status)?,
            frozen_by_staff: self.frozen_by_staff,
            profile: Arc::new(profile),
            balance: credits(self.balance)?,
            held: credits(self.held)?,
            frozen: credits(self.frozen)?,
            debt: credits(self.debt)?,
            seq: number(self.last_seq)?,
            hash: hash(&self.last_hash)?,
            recorded_at: self.recorded_at.map(SqlTimestamp::to_jiff),
            last_ended_at: self.last_ended_at.map(SqlTimestamp::to_jiff),
            grants: number(self.grant_count.into())?,
            debts: number(self.debt_count.into())?,
            events: number(self.event_count)?,
        })
    }

    pub fn open_rows(&self) -> Result<OpenRows, Failure> {
        Ok(OpenRows {
            debts: number(self.open_debts.into())?,
            requests: number(self.open_requests.into())?,
            subscriptions: number(self.open_subscriptions.into())?,
            waiting: number(self.open_waiting.into())?,
        })
    }
}

/// Rules that few grants have.
#[derive(Serialize, Deserialize, Default)]
pub struct GrantRules {
    #[serde(skip_serializing_if = "Option::is_none")]
    rollover: Option<RolloverRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurs: Option<RecursRow>,
}

#[derive(Serialize, Deserialize)]
struct RolloverRow {
    min: String,
    max: Option<String>,
    max_percent: Option<String>,
    count: Option<u32>,
    cycles: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct RecursRow {
    interval: String,
    anchor: String,
}

pub fn amount(text: &str) -> Result<Credits, Failure> {
    Credits::parse(text).map_err(|_| unreadable("amount", text))
}

impl GrantRules {
    pub fn of(terms: &GrantTerms) -> Option<Json<Self>> {
        let text = |amount: &Credits| amount.to_string();
        let rollover = terms.rollover.as_ref().map(|rule| RolloverRow {
            min: text(&rule.min),
            max: rule.max.as_ref().map(text),
            max_percent: rule.max_percent.as_ref().map(text),
            count: rule.count,
            cycles: rule.cycles,
        });
        let recurs =
            terms.recurs.as_ref().map(|recurs| RecursRow { interval: recurs.interval.to_string(), anchor: recurs.anchor.to_string() });
        (rollover.is_some() || recurs.is_some()).then_some(Json(Self { rollover, recurs }))
    }

    fn read(self) -> Result<(Option<RolloverRule>, Option<Recurrence>), Failure> {
        let rollover = self.rollover.map(|row| {
            Ok::<_, Failure>(RolloverRule {
                min: amount(&row.min)?,
                max: row.max.as_deref().map(amount).transpose()?,
                max_percent: row.max_percent.as_deref().map(amount).transpose()?,
                count: row.count,
                cycles: row.cycles,
            })
        });
        let recurs = self.recurs.map(|row| {
            Ok::<_, Failure>(Recurrence {
                interval: CalendarSpan::parse(&row.interval).ok_or_else(|| unreadable("interval", &row.interval))?,
                anchor: row.anchor.parse().map_err(|_| unreadable("anchor", &row.anchor))?,
            })
        });
        Ok((rollover.transpose()?, recurs.transpose()?))
    }
}

/// A statement that reads [`GrantRow`]s; the rest of it follows `from grants`, columns beside theirs
/// come first.
macro_rules! select_grants {
    ($rest:literal) => {
        select_grants!("", $rest)
    };
    ($beside:literal, $rest:literal) => {
        concat!(
            "select ",
            $beside,
            "account_id, number, grant_id, source, credits, cost_basis, priority, effective_at, ends_at, \
             expires_at, scope, rules, parent, generation, subscription, cycle_k, cycle_n, payment, cause_source, \
             cause_id, status, remaining, frozen, clawed, breakage, trimmed, voided, handed_on, ended_at, end_recorded_at, closes_left, refill_at from grants ",
            $rest
        )
    };
}
pub(super) use select_grants;

#[derive(sqlx::FromRow)]
pub struct GrantRow {
    pub account_id: i64,
    pub number: i32,
    pub grant_id: String,
    pub source: String,
    pub credits: Decimal,
    pub cost_basis: Decimal,
    pub priority: Option<i64>,
    pub effective_at: SqlTimestamp,
    pub ends_at: Option<SqlTimestamp>,
    pub expires_at: Option<SqlTimestamp>,
    pub scope: Vec<String>,
    pub rules: Option<Json<GrantRules>>,
    pub parent: Option<i32>,
    pub generation: i32,
    pub subscription: Option<String>,
    pub cycle_k: Option<i32>,
    pub cycle_n: Option<i32>,
    pub payment: Option<String>,
    pub cause_source: String,
    pub cause_id: String,
    pub status: String,
    pub remaining: Decimal,
    pub frozen: Decimal,
    pub clawed: Decimal,
    pub breakage: Decimal,
    pub trimmed: Decimal,
    pub voided: Decimal,
    pub handed_on: Decimal,
    pub ended_at: Option<SqlTimestamp>,
    pub end_recorded_at: Option<SqlTimestamp>,
    pub closes_left: i32,
    pub refill_at: Option<SqlTimestamp>,
}

impl GrantRow {
    pub fn grant(self) -> Result<Grant, Failure> {
        let (rollover, recurs) = self.rules.map_or(Ok((None, None)), |rules| rules.0.read())?;
        let cycle = match (self.subscription.as_deref(), self.cycle_k, self.cycle_n) {
            (Some(subscription), Some(k), Some(n)) => Some(CycleId { subscription: id(subscription)?, k, n: number(n.into())? }),
            _ => None,
        };
        let expires_at = self.expires_at.map(SqlTimestamp::to_jiff);
        let end = match (self.ends_at.map(SqlTimestamp::to_jiff), expires_at) {
            (Some(at), expires_at) if cycle.is_some() || Some(at) != expires_at => GrantEnd::Cycle { at, expires_at },
            (_, Some(at)) => GrantEnd::At(at),
            (_, None) => GrantEnd::Never,
        };
        Ok(Grant {
            terms: Arc::new(GrantTerms {
                number: number(self.number.into())?,
                id: id(&self.grant_id)?,
                source: GrantSource::from_stored_word(&self.source).ok_or_else(|| unreadable("grant source", &self.source))?,
                credits: credits(self.credits)?,
                cost_basis: credits(self.cost_basis)?,
                priority: self.priority.map(number).transpose()?,
                effective_at: self.effective_at.to_jiff(),
                end,
                scope: self.scope.iter().map(|scope| id(scope)).collect::<Result<_, _>>()?,
                rollover,
                recurs,
                parent: self.parent.map(|parent| number(parent.into())).transpose()?,
                generation: number(self.generation.into())?,
                cycle,
                payment: optional_printable(self.payment.as_ref())?,
                cause: message_id(&self.cause_source, &self.cause_id)?,
            }),
            status: word("grant status", &self.status)?,
            remaining: credits(self.remaining)?,
            frozen: credits(self.frozen)?,
            clawed: credits(self.clawed)?,
            breakage: credits(self.breakage)?,
            trimmed: credits(self.trimmed)?,
            voided: credits(self.voided)?,
            handed_on: credits(self.handed_on)?,
            ended_at: self.ended_at.map(SqlTimestamp::to_jiff),
            end_recorded_at: self.end_recorded_at.map(SqlTimestamp::to_jiff),
            closes_left: number(self.closes_left.into())?,
            refill_at: self.refill_at.map(SqlTimestamp::to_jiff),
        })
    }
}
