//! Rows of payments and what reverses them: debts, payments, their names, refunds, disputes.
//!
//! Owns one statement per table and what a row of it is made of. When they are executed is `write_rare`'s.

use super::load::instant;
use super::written::{small, written};
use crate::domain::account::Debt;
use crate::domain::credits::Credits;
use crate::domain::ids::{Id, Link, Printable};
use crate::domain::invoicing::PurchaseMonth;
use crate::domain::payment::{KnownName, Payment};
use crate::domain::payment_details::{Details, Payer, PaymentDetails};
use crate::domain::reversal::{Dispute, Refund};
use jiff_sqlx::{Date as SqlDate, Timestamp as SqlTimestamp, ToSqlx as _};
use rust_decimal::Decimal;

pub(super) const DEBTS: &str = "insert into debts (shard, account_id, number, amount, remaining, scope, cause_source, cause_id, reference, payment, \
     paid_only, written_off, undone, repaid_grants, repaid_amounts) select $1, new.* from unnest($2::written_debt[]) as new \
     on conflict (shard, account_id, number) do update set remaining = excluded.remaining, written_off = excluded.written_off, \
     undone = excluded.undone, repaid_grants = excluded.repaid_grants, repaid_amounts = excluded.repaid_amounts";

pub(super) const PAYMENTS: &str = "insert into payments (shard, account_id, payment, provider_id, package, quantity, amount, before_tax, currency, \
     document, status, paid_at, granted, refunded_most, excused, counted_month, counted_net) select $1, new.* from unnest($2::written_payment[]) as new \
     on conflict (shard, account_id, payment) do update set package = excluded.package, quantity = excluded.quantity, \
     before_tax = excluded.before_tax, document = excluded.document, status = excluded.status, paid_at = excluded.paid_at, granted = excluded.granted, \
     refunded_most = excluded.refunded_most, excused = excluded.excused, counted_month = excluded.counted_month, \
     counted_net = excluded.counted_net";

pub(super) const REFUNDS: &str = "insert into refunds (shard, account_id, refund, payment, amount, status, created_at) \
     select $1, new.* from unnest($2::written_refund[]) as new \
     on conflict (shard, account_id, refund) do update set payment = excluded.payment, status = excluded.status";

pub(super) const DISPUTES: &str = "insert into disputes (shard, account_id, dispute, payment, amount, stage, opened_at) \
     select $1, new.* from unnest($2::written_dispute[]) as new \
     on conflict (shard, account_id, dispute) do update set payment = excluded.payment, amount = excluded.amount, \
     stage = excluded.stage, opened_at = excluded.opened_at";

pub(super) const MONTHS: &str = "insert into purchase_months (shard, account_id, month, net, is_withdrawn) \
     select $1, new.* from unnest($2::written_purchase_month[]) as new \
     on conflict (shard, account_id, month) do update set net = excluded.net, is_withdrawn = excluded.is_withdrawn";

/// What is known stays; an event adds what was missing.
pub(super) const DETAILS: &str = "insert into payment_details as known (shard, account_id, name, method, tax, number, receipt) \
     select $1, new.* from unnest($2::written_payment_details[]) as new \
     on conflict (shard, account_id, name) do update set method = coalesce(known.method, excluded.method), \
     tax = coalesce(known.tax, excluded.tax), number = coalesce(known.number, excluded.number), \
     receipt = coalesce(known.receipt, excluded.receipt)";

/// Likewise; what was erased is not filled again.
pub(super) const PAYERS: &str = "insert into payers as known (shard, account_id, name, payer, email, country) \
     select $1, new.* from unnest($2::written_payer[]) as new \
     on conflict (shard, account_id, name) do update set payer = coalesce(known.payer, excluded.payer), \
     email = coalesce(known.email, excluded.email), country = coalesce(known.country, excluded.country) \
     where known.erased_at is null";

pub(super) const PAYMENT_NAMES: &str = "insert into payment_names (shard, account_id, name, provider_id, payment) \
     select $1, new.* from unnest($2::written_payment_name[]) as new \
     on conflict (shard, account_id, name) do update set payment = excluded.payment";

written! {
    /// A debt, new or partly repaid.
    WrittenDebt = "written_debt" {
        account_id: i64,
        number: i32,
        amount: Decimal,
        remaining: Decimal,
        scope: Option<&'a str>,
        cause_source: &'a str,
        cause_id: &'a str,
        reference: Option<&'a str>,
        payment: Option<&'a str>,
        paid_only: bool,
        written_off: Decimal,
        undone: Decimal,
        repaid_grants: Vec<i32>,
        repaid_amounts: Vec<Decimal>,
    }
}

impl<'a> WrittenDebt<'a> {
    pub(super) fn of(account_id: i64, row: &'a Debt) -> Self {
        Self {
            account_id,
            number: small(row.number),
            amount: row.amount.decimal(),
            remaining: row.remaining.decimal(),
            scope: row.scope.as_ref().map(Id::as_str),
            cause_source: row.cause.source.as_str(),
            cause_id: row.cause.id.as_str(),
            reference: row.reference.as_ref().map(Printable::as_str),
            payment: row.payment.as_ref().map(Printable::as_str),
            paid_only: row.paid_only,
            written_off: row.written_off.decimal(),
            undone: row.undone.decimal(),
            repaid_grants: row.repaid_by.keys().map(|grant| small(*grant)).collect(),
            repaid_amounts: row.repaid_by.values().map(|amount| amount.decimal()).collect(),
        }
    }
}

written! {
    /// A payment.
    WrittenPayment = "written_payment" {
        account_id: i64,
        payment: &'a str,
        provider_id: &'a str,
        package: Option<&'a str>,
        quantity: Option<i64>,
        amount: Decimal,
        before_tax: Option<Decimal>,
        currency: &'a str,
        document: Option<&'a str>,
        status: &'static str,
        paid_at: Option<SqlTimestamp>,
        granted: Decimal,
        refunded_most: Decimal,
        excused: Decimal,
        counted_month: Option<SqlDate>,
        counted_net: Option<Decimal>,
    }
}

impl<'a> WrittenPayment<'a> {
    pub(super) fn of(account_id: i64, row: &'a Payment) -> Self {
        let terms = &row.terms;
        Self {
            account_id,
            payment: terms.payment.as_str(),
            provider_id: terms.provider_id.as_str(),
            package: terms.package.as_ref().map(|purchase| purchase.package.as_str()),
            quantity: terms.package.as_ref().map(|purchase| i64::from(purchase.quantity)),
            amount: terms.amount.decimal(),
            before_tax: terms.before_tax.map(Credits::decimal),
            currency: terms.currency.as_str(),
            document: terms.document.as_ref().map(Printable::as_str),
            status: row.status.word(),
            paid_at: row.paid_at.map(instant),
            granted: row.granted.decimal(),
            refunded_most: row.refunded_most.decimal(),
            excused: row.excused.decimal(),
            counted_month: row.counted.map(|counted| counted.month.to_sqlx()),
            counted_net: row.counted.map(|counted| counted.net.decimal()),
        }
    }
}

written! {
    /// A refund.
    WrittenRefund = "written_refund" {
        account_id: i64,
        refund: &'a str,
        payment: &'a str,
        amount: Decimal,
        status: &'static str,
        created_at: SqlTimestamp,
    }
}

impl<'a> WrittenRefund<'a> {
    pub(super) fn of(account_id: i64, row: &'a Refund) -> Self {
        Self {
            account_id,
            refund: row.id.as_str(),
            payment: row.payment.as_str(),
            amount: row.amount.decimal(),
            status: row.status.word(),
            created_at: instant(row.created_at),
        }
    }
}

written! {
    /// A dispute.
    WrittenDispute = "written_dispute" {
        account_id: i64,
        dispute: &'a str,
        payment: &'a str,
        amount: Decimal,
        stage: &'static str,
        opened_at: SqlTimestamp,
    }
}

impl<'a> WrittenDispute<'a> {
    pub(super) fn of(account_id: i64, row: &'a Dispute) -> Self {
        Self {
            account_id,
            dispute: row.id.as_str(),
            payment: row.payment.as_str(),
            amount: row.amount.decimal(),
            stage: row.stage.word(),
            opened_at: instant(row.opened_at),
        }
    }
}

/// What was bought in a month.
#[derive(sqlx::Type)]
#[sqlx(type_name = "written_purchase_month")]
pub(super) struct WrittenMonth {
    account_id: i64,
    month: SqlDate,
    net: Decimal,
    is_withdrawn: bool,
}

impl WrittenMonth {
    pub(super) fn of(account_id: i64, row: &PurchaseMonth) -> Self {
        Self { account_id, month: row.month.to_sqlx(), net: row.net.decimal(), is_withdrawn: row.withdrawn }
    }
}

written! {
    /// What else is known of a payment.
    WrittenDetails = "written_payment_details" {
        account_id: i64,
        name: &'a str,
        method: Option<&'a str>,
        tax: Option<&'a str>,
        number: Option<&'a str>,
        receipt: Option<&'a str>,
    }
}

impl<'a> WrittenDetails<'a> {
    pub(super) fn of(account_id: i64, row: &'a PaymentDetails) -> Self {
        let Details { method, tax, number, receipt, .. } = &row.details;
        Self {
            account_id,
            name: row.name.as_str(),
            method: method.as_ref().map(Printable::as_str),
            tax: tax.as_ref().map(Printable::as_str),
            number: number.as_ref().map(Printable::as_str),
            receipt: receipt.as_ref().map(Link::as_str),
        }
    }
}

written! {
    /// Who paid.
    WrittenPayer = "written_payer" {
        account_id: i64,
        name: &'a str,
        payer: Option<&'a str>,
        email: Option<&'a str>,
        country: Option<&'a str>,
    }
}

impl<'a> WrittenPayer<'a> {
    /// Nothing for an event that does not show it.
    pub(super) fn of(account_id: i64, row: &'a PaymentDetails) -> Option<Self> {
        let Payer { name, email, country } = &row.details.payer;
        (!row.details.payer.is_empty()).then(|| Self {
            account_id,
            name: row.name.as_str(),
            payer: name.as_ref().map(Printable::as_str),
            email: email.as_ref().map(Printable::as_str),
            country: country.as_ref().map(Printable::as_str),
        })
    }
}

written! {
    /// A name of a payment.
    WrittenPaymentName = "written_payment_name" {
        account_id: i64,
        name: &'a str,
        provider_id: &'a str,
        payment: &'a str,
    }
}

impl<'a> WrittenPaymentName<'a> {
    pub(super) fn of(account_id: i64, row: &'a KnownName) -> Self {
        Self { account_id, name: row.name.name.as_str(), provider_id: row.name.provider_id.as_str(), payment: row.payment.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::tests::check;
    use super::*;

    #[test]
    fn rows_of_payments_have_one_order_of_columns() {
        check(WrittenDebt::SHAPE, DEBTS);
        check(WrittenPayment::SHAPE, PAYMENTS);
        check(WrittenPaymentName::SHAPE, PAYMENT_NAMES);
        check(WrittenRefund::SHAPE, REFUNDS);
        check(WrittenDetails::SHAPE, DETAILS);
        check(WrittenPayer::SHAPE, PAYERS);
        check(WrittenDispute::SHAPE, DISPUTES);
    }
}
