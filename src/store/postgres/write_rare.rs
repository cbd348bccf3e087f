//! Rows that few batches write: debts, payments, requests, charges, subscriptions, profiles.
//!
//! Owns one statement per table; several rows of one account are written one after the other.

use super::load::instant;
use super::rows_about::AboutRow;
use super::rows_money::WantedRow;
use crate::domain::account::Debt;
use crate::domain::credits::Credits;
use crate::domain::decision::Row;
use crate::domain::payment::{KnownName, Payment};
use crate::domain::request::CreditRequest;
use crate::domain::subscription::{Reset, Subscription};
use crate::failure::Failure;
use crate::store::AccountWrite;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

/// Writes the rows of one account that are not grants.
pub async fn rows(connection: &mut PgConnection, shard: i16, write: &AccountWrite) -> Result<(), Failure> {
    let key = Key { shard, account_id: write.account_id };
    for row in &write.rows {
        match row {
            Row::Grant(_) => {}
            Row::Debt(row) => debt(connection, key, row).await?,
            Row::Payment(row) => payment(connection, key, row).await?,
            Row::PaymentName(row) => payment_name(connection, key, row).await?,
            Row::Request(row) => request(connection, key, row).await?,
            Row::Charge(row) => {
                sqlx::query(
                    "insert into charges (shard, account_id, reference, purpose, service, credits) values ($1, $2, $3, $4, $5, $6)",
                )
                .bind(shard)
                .bind(write.account_id)
                .bind(row.reference.as_str())
                .bind(row.purpose.word())
                .bind(row.service.as_ref().map(ToString::to_string))
                .bind(row.credits.decimal())
                .execute(&mut *connection)
                .await?;
            }
            Row::Subscription(row) => subscription(connection, key, row).await?,
            Row::HighWater(row) => {
                sqlx::query(
                    "insert into high_waters (shard, account_id, item, issued, until) values ($1, $2, $3, $4, $5) \
                     on conflict (shard, account_id, item) do update set issued = excluded.issued, until = excluded.until",
                )
                .bind(shard)
                .bind(write.account_id)
                .bind(row.item.as_str())
                .bind(row.issued.decimal())
                .bind(instant(row.until))
                .execute(&mut *connection)
                .await?;
            }
            Row::Reset(row) => reset(connection, key, row, write.at).await?,
            Row::Profile(profile) => {
                sqlx::query("update accounts set about = $3 where shard = $1 and account_id = $2")
                    .bind(shard)
                    .bind(write.account_id)
                    .bind(AboutRow::of(profile))
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Key {
    shard: i16,
    account_id: i64,
}

async fn debt(connection: &mut PgConnection, key: Key, row: &Debt) -> Result<(), Failure> {
    sqlx::query(
        "insert into debts (shard, account_id, number, amount, remaining, scope, cause_source, cause_id, reference) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         on conflict (shard, account_id, number) do update set remaining = excluded.remaining",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(i32::try_from(row.number).unwrap_or(i32::MAX))
    .bind(row.amount.decimal())
    .bind(row.remaining.decimal())
    .bind(row.scope.as_ref().map(ToString::to_string))
    .bind(row.cause.source.as_str())
    .bind(row.cause.id.as_str())
    .bind(row.reference.as_ref().map(ToString::to_string))
    .execute(connection)
    .await?;
    Ok(())
}

async fn payment(connection: &mut PgConnection, key: Key, row: &Payment) -> Result<(), Failure> {
    let terms = &row.terms;
    sqlx::query(
        "insert into payments (shard, account_id, payment, provider_id, package, quantity, amount, before_tax, currency, \
         document, status, granted) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (shard, account_id, payment) do update set package = excluded.package, quantity = excluded.quantity, \
         before_tax = excluded.before_tax, document = excluded.document, status = excluded.status, granted = excluded.granted",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(terms.payment.as_str())
    .bind(terms.provider_id.as_str())
    .bind(terms.package.as_ref().map(|purchase| purchase.package.to_string()))
    .bind(terms.package.as_ref().map(|purchase| i64::from(purchase.quantity)))
    .bind(terms.amount.decimal())
    .bind(terms.before_tax.map(Credits::decimal))
    .bind(terms.currency.as_str())
    .bind(terms.document.as_ref().map(ToString::to_string))
    .bind(row.status.word())
    .bind(row.granted.decimal())
    .execute(connection)
    .await?;
    Ok(())
}

async fn payment_name(connection: &mut PgConnection, key: Key, row: &KnownName) -> Result<(), Failure> {
    sqlx::query(
        "insert into payment_names (shard, account_id, name, provider_id, payment) values ($1, $2, $3, $4, $5) \
         on conflict (shard, account_id, name) do update set payment = excluded.payment",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(row.name.name.as_str())
    .bind(row.name.provider_id.as_str())
    .bind(row.payment.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

async fn request(connection: &mut PgConnection, key: Key, row: &CreditRequest) -> Result<(), Failure> {
    let terms = &row.terms;
    let evidence = terms.evidence.as_ref();
    sqlx::query(
        "insert into credit_requests (shard, account_id, request, package, credits, bonus, expires_after, price, currency, \
         method, requested_by, evidence_reference, evidence_url, status, submitted_at, expires_at, decided_by, received, granted) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         on conflict (shard, account_id, request) do update set status = excluded.status, decided_by = excluded.decided_by, \
         received = excluded.received, granted = excluded.granted",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(terms.id.as_str())
    .bind(terms.package.as_ref().map(ToString::to_string))
    .bind(terms.credits.decimal())
    .bind(terms.bonus.decimal())
    .bind(terms.expires_after.map(|span| span.to_string()))
    .bind(terms.price.decimal())
    .bind(terms.currency.as_str())
    .bind(terms.method.word())
    .bind(terms.requested_by.as_str())
    .bind(evidence.map(|evidence| evidence.reference.to_string()))
    .bind(evidence.and_then(|evidence| evidence.url.as_ref()).map(ToString::to_string))
    .bind(row.status.word())
    .bind(instant(row.submitted_at))
    .bind(row.expires_at.map(instant))
    .bind(row.decided_by.as_ref().map(ToString::to_string))
    .bind(row.received.map(Credits::decimal))
    .bind(row.granted.decimal())
    .execute(connection)
    .await?;
    Ok(())
}

async fn subscription(connection: &mut PgConnection, key: Key, row: &Subscription) -> Result<(), Failure> {
    sqlx::query(
        "insert into subscriptions (shard, account_id, subscription, started_with, period, allowance_every, anchor, time_zone, \
         wanted, wanted_next, is_cancelled, is_ended, cycle_k, cycle_n, cycle_start, cycle_end, cycle_catalog, cycle_allowance) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         on conflict (shard, account_id, subscription) do update set wanted = excluded.wanted, wanted_next = excluded.wanted_next, \
         is_cancelled = excluded.is_cancelled, is_ended = excluded.is_ended, cycle_k = excluded.cycle_k, cycle_n = excluded.cycle_n, \
         cycle_start = excluded.cycle_start, cycle_end = excluded.cycle_end, cycle_catalog = excluded.cycle_catalog, \
         cycle_allowance = excluded.cycle_allowance",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(row.id.as_str())
    .bind(WantedRow::of(&row.started_with))
    .bind(row.interval.word())
    .bind(row.allowance_every.word())
    .bind(row.anchor.to_sqlx())
    .bind(row.zone.name())
    .bind(WantedRow::of(&row.current))
    .bind(row.next.as_ref().map(WantedRow::of))
    .bind(row.cancelled)
    .bind(row.ended)
    .bind(row.cycle.k)
    .bind(i32::try_from(row.cycle.n).unwrap_or(i32::MAX))
    .bind(instant(row.cycle.start))
    .bind(instant(row.cycle.end))
    .bind(i32::try_from(row.cycle.catalog).unwrap_or(i32::MAX))
    .bind(row.cycle.allowance.decimal())
    .execute(connection)
    .await?;
    Ok(())
}

async fn reset(connection: &mut PgConnection, key: Key, row: &Reset, at: jiff::Timestamp) -> Result<(), Failure> {
    sqlx::query(
        "insert into resets (shard, account_id, subscription, k, n, boundary, granted, forfeited, rolled_over, next_boundary, \
         recorded_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(key.shard)
    .bind(key.account_id)
    .bind(row.subscription.as_str())
    .bind(row.k)
    .bind(i32::try_from(row.n).unwrap_or(i32::MAX))
    .bind(instant(row.boundary))
    .bind(row.granted.decimal())
    .bind(row.forfeited.decimal())
    .bind(row.rolled_over.decimal())
    .bind(row.next_boundary.map(instant))
    .bind(instant(at))
    .execute(connection)
    .await?;
    Ok(())
}
