//! Rows that few batches write: reversals (`write_reversals`), requests, charges, subscriptions, profiles.
//!
//! Owns one statement per table, executed when a batch has rows for it, however many.

use super::load::instant;
use super::rows_about::AboutRow;
use super::rows_money::{PaidRow, WantedRow};
use super::write::write_rows;
use super::write_reversals::{DEBTS, DISPUTES, REFUNDS, WrittenDebt, WrittenDispute, WrittenRefund};
use super::written::{small, written};
use crate::domain::charge::Charge;
use crate::domain::credits::Credits;
use crate::domain::decision::Row;
use crate::domain::ids::{Id, Link};
use crate::domain::request::CreditRequest;
use crate::domain::subscription::{HighWater, Reset, Subscription};
use crate::failure::Failure;
use crate::store::AccountWrite;
use jiff_sqlx::{DateTime as SqlDateTime, Timestamp as SqlTimestamp, ToSqlx as _};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Json;
use std::collections::BTreeMap;

const REQUESTS: &str = "insert into credit_requests (shard, account_id, request, package, credits, bonus, expires_after, price, currency, \
     method, requested_by, evidence_reference, evidence_url, status, submitted_at, expires_at, decided_by, received, granted) \
     select $1, new.* from unnest($2::written_credit_request[]) as new \
     on conflict (shard, account_id, request) do update set status = excluded.status, decided_by = excluded.decided_by, \
     received = excluded.received, granted = excluded.granted";

const CHARGES: &str = "insert into charges (shard, account_id, reference, purpose, service, credits) \
     select $1, new.* from unnest($2::written_charge[]) as new";

const SUBSCRIPTIONS: &str = "insert into subscriptions (shard, account_id, subscription, started_with, period, allowance_every, anchor, \
     time_zone, started_at, wanted_began, wanted, wanted_next, is_cancelled, is_ended, cycle_k, cycle_n, cycle_start, cycle_end, cycle_catalog, \
     cycle_allowance, cycle_units, provider_name, told_at, paid) \
     select $1, new.* from unnest($2::written_subscription[]) as new \
     on conflict (shard, account_id, subscription) do update set wanted_began = excluded.wanted_began, wanted = excluded.wanted, \
     wanted_next = excluded.wanted_next, \
     is_cancelled = excluded.is_cancelled, is_ended = excluded.is_ended, cycle_k = excluded.cycle_k, cycle_n = excluded.cycle_n, \
     cycle_start = excluded.cycle_start, cycle_end = excluded.cycle_end, cycle_catalog = excluded.cycle_catalog, \
     cycle_allowance = excluded.cycle_allowance, cycle_units = excluded.cycle_units, \
     provider_name = excluded.provider_name, told_at = excluded.told_at, paid = excluded.paid";

const HIGH_WATERS: &str = "insert into high_waters (shard, account_id, item, issued, until) \
     select $1, new.* from unnest($2::written_high_water[]) as new \
     on conflict (shard, account_id, item) do update set issued = excluded.issued, until = excluded.until";

const RESETS: &str = "insert into resets (shard, account_id, subscription, k, n, boundary, granted, forfeited, rolled_over, \
     next_boundary, recorded_at) select $1, new.* from unnest($2::written_reset[]) as new";

const PROFILES: &str = "update accounts set about = new.about from unnest($2::written_profile[]) as new \
     where accounts.shard = $1 and accounts.account_id = new.account_id";

/// Writes the rows of a batch that are neither grants nor payments.
pub(super) async fn rows(connection: &mut PgConnection, shard: i16, writes: &[AccountWrite]) -> Result<(), Failure> {
    let mut rare = Rare::default();
    for write in writes {
        rare.add(write);
    }
    write_rows(connection, DEBTS, shard, rare.debts).await?;
    write_rows(connection, REFUNDS, shard, rare.refunds).await?;
    write_rows(connection, DISPUTES, shard, rare.disputes).await?;
    write_rows(connection, REQUESTS, shard, rare.requests).await?;
    write_rows(connection, CHARGES, shard, rare.charges).await?;
    write_rows(connection, SUBSCRIPTIONS, shard, rare.subscriptions).await?;
    write_rows(connection, HIGH_WATERS, shard, rare.high_waters).await?;
    write_rows(connection, RESETS, shard, rare.resets).await?;
    write_rows(connection, PROFILES, shard, rare.profiles).await
}

#[derive(Default)]
struct Rare<'a> {
    debts: Vec<WrittenDebt<'a>>,
    refunds: Vec<WrittenRefund<'a>>,
    disputes: Vec<WrittenDispute<'a>>,
    requests: Vec<WrittenRequest<'a>>,
    charges: Vec<WrittenCharge<'a>>,
    subscriptions: Vec<WrittenSubscription<'a>>,
    high_waters: Vec<WrittenHighWater<'a>>,
    resets: Vec<WrittenReset<'a>>,
    profiles: Vec<WrittenProfile>,
}

impl<'a> Rare<'a> {
    fn add(&mut self, write: &'a AccountWrite) {
        let account_id = write.account_id;
        for row in &write.rows {
            match row {
                // `write_payments`.
                Row::Grant(_) | Row::Payment(_) | Row::PaymentName(_) | Row::PurchaseMonth(_) | Row::Details(_) => {}
                Row::Debt(row) => self.debts.push(WrittenDebt::of(account_id, row)),
                Row::Refund(row) => self.refunds.push(WrittenRefund::of(account_id, row)),
                Row::Dispute(row) => self.disputes.push(WrittenDispute::of(account_id, row)),
                Row::Request(row) => self.requests.push(WrittenRequest::of(account_id, row)),
                Row::Charge(row) => self.charges.push(WrittenCharge::of(account_id, row)),
                Row::Subscription(row) => self.subscriptions.push(WrittenSubscription::of(account_id, row)),
                Row::HighWater(row) => self.high_waters.push(WrittenHighWater::of(account_id, row)),
                Row::Reset(row) => self.resets.push(WrittenReset::of(write, row)),
                Row::Profile(profile) => self.profiles.push(WrittenProfile { account_id, about: AboutRow::of(profile) }),
            }
        }
    }
}

written! {
    /// A credit request.
    WrittenRequest = "written_credit_request" {
        account_id: i64,
        request: &'a str,
        package: Option<&'a str>,
        credits: Decimal,
        bonus: Decimal,
        expires_after: Option<String>,
        price: Decimal,
        currency: &'a str,
        method: &'static str,
        requested_by: &'a str,
        evidence_reference: Option<&'a str>,
        evidence_url: Option<&'a str>,
        status: &'static str,
        submitted_at: SqlTimestamp,
        expires_at: Option<SqlTimestamp>,
        decided_by: Option<&'a str>,
        received: Option<Decimal>,
        granted: Decimal,
    }
}

impl<'a> WrittenRequest<'a> {
    fn of(account_id: i64, row: &'a CreditRequest) -> Self {
        let terms = &row.terms;
        let evidence = terms.evidence.as_ref();
        Self {
            account_id,
            request: terms.id.as_str(),
            package: terms.package.as_ref().map(Id::as_str),
            credits: terms.credits.decimal(),
            bonus: terms.bonus.decimal(),
            expires_after: terms.expires_after.map(|span| span.to_string()),
            price: terms.price.decimal(),
            currency: terms.currency.as_str(),
            method: terms.method.word(),
            requested_by: terms.requested_by.as_str(),
            evidence_reference: evidence.map(|evidence| evidence.reference.as_str()),
            evidence_url: evidence.and_then(|evidence| evidence.url.as_ref()).map(Link::as_str),
            status: row.status.word(),
            submitted_at: instant(row.submitted_at),
            expires_at: row.expires_at.map(instant),
            decided_by: row.decided_by.as_ref().map(Id::as_str),
            received: row.received.map(Credits::decimal),
            granted: row.granted.decimal(),
        }
    }
}

written! {
    /// A charge for a service or an invoice.
    WrittenCharge = "written_charge" {
        account_id: i64,
        reference: &'a str,
        purpose: &'static str,
        service: Option<&'a str>,
        credits: Decimal,
    }
}

impl<'a> WrittenCharge<'a> {
    fn of(account_id: i64, row: &'a Charge) -> Self {
        Self {
            account_id,
            reference: row.reference.as_str(),
            purpose: row.purpose.word(),
            service: row.service.as_ref().map(Id::as_str),
            credits: row.credits.decimal(),
        }
    }
}

written! {
    /// A subscription in its current cycle.
    WrittenSubscription = "written_subscription" {
        account_id: i64,
        subscription: &'a str,
        started_with: Json<WantedRow>,
        period: &'static str,
        allowance_every: &'static str,
        anchor: SqlDateTime,
        time_zone: &'a str,
        started_at: SqlTimestamp,
        wanted_began: Json<WantedRow>,
        wanted: Json<WantedRow>,
        wanted_next: Option<Json<WantedRow>>,
        is_cancelled: bool,
        is_ended: bool,
        cycle_k: i32,
        cycle_n: i32,
        cycle_start: SqlTimestamp,
        cycle_end: SqlTimestamp,
        cycle_catalog: i32,
        cycle_allowance: Decimal,
        cycle_units: Json<BTreeMap<&'a str, u32>>,
        provider_name: Option<&'a str>,
        told_at: Option<SqlTimestamp>,
        paid: Json<Vec<PaidRow>>,
    }
}

impl<'a> WrittenSubscription<'a> {
    fn of(account_id: i64, row: &'a Subscription) -> Self {
        Self {
            account_id,
            subscription: row.id.as_str(),
            started_with: WantedRow::of(&row.started_with),
            period: row.interval.word(),
            allowance_every: row.allowance_every.word(),
            anchor: row.anchor.to_sqlx(),
            time_zone: row.zone.name(),
            started_at: instant(row.started_at),
            wanted_began: WantedRow::of(&row.began),
            wanted: WantedRow::of(&row.current),
            wanted_next: row.next.as_ref().map(WantedRow::of),
            is_cancelled: row.cancelled,
            is_ended: row.ended,
            cycle_k: row.cycle.k,
            cycle_n: small(row.cycle.n),
            cycle_start: instant(row.cycle.start),
            cycle_end: instant(row.cycle.end),
            cycle_catalog: small(row.cycle.catalog),
            cycle_allowance: row.cycle.allowance.decimal(),
            cycle_units: Json(row.cycle.units.iter().map(|(addon, units)| (addon.as_str(), *units)).collect()),
            provider_name: row.told.as_ref().map(|told| told.name.as_str()),
            told_at: row.told.as_ref().map(|told| instant(told.at)),
            paid: Json(row.paid.iter().map(PaidRow::of).collect()),
        }
    }
}

written! {
    /// How much of an item was issued in a cycle at most.
    WrittenHighWater = "written_high_water" {
        account_id: i64,
        item: &'a str,
        issued: Decimal,
        until: SqlTimestamp,
    }
}

impl<'a> WrittenHighWater<'a> {
    fn of(account_id: i64, row: &'a HighWater) -> Self {
        Self { account_id, item: row.item.as_str(), issued: row.issued.decimal(), until: instant(row.until) }
    }
}

written! {
    /// A reset of a cycle.
    WrittenReset = "written_reset" {
        account_id: i64,
        subscription: &'a str,
        k: i32,
        n: i32,
        boundary: SqlTimestamp,
        granted: Decimal,
        forfeited: Decimal,
        rolled_over: Decimal,
        next_boundary: Option<SqlTimestamp>,
        recorded_at: SqlTimestamp,
    }
}

impl<'a> WrittenReset<'a> {
    fn of(write: &AccountWrite, row: &'a Reset) -> Self {
        Self {
            account_id: write.account_id,
            subscription: row.subscription.as_str(),
            k: row.k,
            n: small(row.n),
            boundary: instant(row.boundary),
            granted: row.granted.decimal(),
            forfeited: row.forfeited.decimal(),
            rolled_over: row.rolled_over.decimal(),
            next_boundary: row.next_boundary.map(instant),
            recorded_at: instant(write.at),
        }
    }
}

/// What an account says about itself.
#[derive(sqlx::Type)]
#[sqlx(type_name = "written_profile")]
struct WrittenProfile {
    account_id: i64,
    about: Option<Json<AboutRow>>,
}

#[cfg(test)]
mod tests {
    use super::super::written::tests::check;
    use super::*;

    #[test]
    fn rare_rows_have_one_order_of_columns() {
        check(WrittenRequest::SHAPE, REQUESTS);
        check(WrittenCharge::SHAPE, CHARGES);
        check(WrittenSubscription::SHAPE, SUBSCRIPTIONS);
        check(WrittenHighWater::SHAPE, HIGH_WATERS);
        check(WrittenReset::SHAPE, RESETS);
    }
}
