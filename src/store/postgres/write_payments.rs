//! New grants, and payments with what is known of them: other names, months, details, payers.
//!
//! Owns what their rows are made of, and the statements that write them: one for what is new, as nearly every payment
//! brings a grant and a row of each, and a statement per table would cost most of their writing; one for what is told
//! of payments that are known.

use super::load::instant;
use super::written::{Place, WrittenGrant, written};
use crate::domain::credits::Credits;
use crate::domain::decision::Row;
use crate::domain::grant::Grant;
use crate::domain::ids::{Link, Printable};
use crate::domain::invoicing::PurchaseMonth;
use crate::domain::payment::{KnownName, Payment};
use crate::domain::payment_details::{Details, Payer, PaymentDetails};
use crate::failure::Failure;
use jiff_sqlx::{Date as SqlDate, Timestamp as SqlTimestamp, ToSqlx as _};
use rust_decimal::Decimal;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{PgConnection, Postgres};

/// New grants.
const GRANTS: &str = include_str!("write_grants.sql");

/// Payments, their other names, details and payers, each with what becomes of a row that is there already.
macro_rules! payments {
    ($payments:literal, $aliases:literal, $details:literal, $payers:literal) => {
        concat!(
            "with written_payments as (insert into payments (shard, account_id, payment, provider_id, package, quantity, amount, before_tax, \
               currency, document, status, paid_at, granted, refunded_most, excused, counted_month, counted_net) \
             select $1, new.* from unnest($3::written_payment[]) as new",
            $payments,
            "), written_aliases as (insert into payment_aliases (shard, account_id, name, provider_id, payment) \
             select $1, new.* from unnest($4::written_payment_alias[]) as new",
            $aliases,
            "), written_details as (insert into payment_details as known (shard, account_id, name, method, tax, number, receipt) \
             select $1, new.* from unnest($5::written_payment_details[]) as new",
            $details,
            "), written_payers as (insert into payers as known (shard, account_id, name, payer, email, country) \
             select $1, new.* from unnest($6::written_payer[]) as new",
            $payers,
            "), written_months as (insert into purchase_months (shard, account_id, month, net, is_withdrawn) \
             select $1, new.* from unnest($7::written_purchase_month[]) as new \
             on conflict (shard, account_id, month) do update set net = excluded.net, is_withdrawn = excluded.is_withdrawn) ",
            include_str!("write_grants.sql")
        )
    };
}

/// New grants, months, and payments that nothing was known of.
const BOUGHT: &str = payments!("", "", "", "");

/// What is known of a payment stays, an event adds what was missing; who paid is not filled again once it was erased.
const ADDED: &str = payments!(
    " on conflict (shard, account_id, payment) do update set package = excluded.package, quantity = excluded.quantity, \
      amount = excluded.amount, currency = excluded.currency, \
      before_tax = excluded.before_tax, document = excluded.document, status = excluded.status, paid_at = excluded.paid_at, \
      granted = excluded.granted, refunded_most = excluded.refunded_most, excused = excluded.excused, \
      counted_month = excluded.counted_month, counted_net = excluded.counted_net",
    " on conflict (shard, account_id, name) do update set payment = excluded.payment",
    " on conflict (shard, account_id, name) do update set method = coalesce(known.method, excluded.method), \
      tax = coalesce(known.tax, excluded.tax), number = coalesce(known.number, excluded.number), \
      receipt = coalesce(known.receipt, excluded.receipt)",
    " on conflict (shard, account_id, name) do update set payer = coalesce(known.payer, excluded.payer), \
      email = coalesce(known.email, excluded.email), country = coalesce(known.country, excluded.country) where known.erased_at is null"
);

/// What a batch writes about purchases.
#[derive(Default)]
pub(super) struct Bought<'a> {
    grants: Vec<WrittenGrant<'a>>,
    months: Vec<WrittenMonth>,
    /// Under names that stood for nothing when the account was locked: no row can be there.
    new: Told<'a>,
    /// Under names that stood for a payment.
    known: Told<'a>,
}

/// What is told of payments.
#[derive(Default)]
struct Told<'a> {
    payments: Vec<WrittenPayment<'a>>,
    aliases: Vec<WrittenAlias<'a>>,
    details: Vec<WrittenDetails<'a>>,
    payers: Vec<WrittenPayer<'a>>,
}

/// Account, number and place of a new grant.
type NewGrant = (i64, i32, Place);

impl<'a> Told<'a> {
    fn is_empty(&self) -> bool {
        let Self { payments, aliases, details, payers } = self;
        payments.is_empty() && aliases.is_empty() && details.is_empty() && payers.is_empty()
    }

    /// The execution of [`BOUGHT`] or [`ADDED`].
    fn with(
        self,
        sql: &'static str,
        shard: i16,
        (grants, months): (Vec<WrittenGrant<'a>>, Vec<WrittenMonth>),
    ) -> QueryAs<'a, Postgres, NewGrant, PgArguments> {
        let Self { payments, aliases, details, payers } = self;
        sqlx::query_as(sql).bind(shard).bind(grants).bind(payments).bind(aliases).bind(details).bind(payers).bind(months)
    }
}

impl<'a> Bought<'a> {
    pub(super) fn add_grant(&mut self, account_id: i64, grant: &'a Grant) {
        self.grants.push(WrittenGrant::of(account_id, grant));
    }

    /// Takes a row that is about a payment; leaves any other to whom it belongs.
    pub(super) fn add(&mut self, account_id: i64, row: &'a Row, is_known: &dyn Fn(&Printable) -> bool) {
        match row {
            Row::Payment(row) => self.of(is_known(&row.terms.payment)).payments.push(WrittenPayment::of(account_id, row)),
            // What a new payment is kept under, its own row says; of another one's name it may be the end.
            Row::PaymentName(row) if row.name.name == row.payment && !is_known(&row.payment) => {}
            Row::PaymentName(row) => self.of(is_known(&row.name.name)).aliases.push(WrittenAlias::of(account_id, row)),
            Row::PurchaseMonth(row) => self.months.push(WrittenMonth::of(account_id, row)),
            Row::Details(row) => {
                let told = self.of(is_known(&row.name));
                told.details.push(WrittenDetails::of(account_id, row));
                told.payers.extend(WrittenPayer::of(account_id, row));
            }
            _ => {}
        }
    }

    fn of(&mut self, is_known: bool) -> &mut Told<'a> {
        if is_known { &mut self.known } else { &mut self.new }
    }

    /// Writes what there is; returns account, number and place of each new grant.
    pub(super) async fn write(self, connection: &mut PgConnection, shard: i16) -> Result<Vec<NewGrant>, Failure> {
        let Self { grants, months, new, known } = self;
        if !known.is_empty() {
            known.with(ADDED, shard, (Vec::new(), Vec::new())).fetch_all(&mut *connection).await?;
        }
        let written = if !(new.is_empty() && months.is_empty()) {
            new.with(BOUGHT, shard, (grants, months)).fetch_all(connection).await?
        } else if !grants.is_empty() {
            sqlx::query_as(GRANTS).bind(shard).bind(grants).fetch_all(connection).await?
        } else {
            Vec::new()
        };
        Ok(written)
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
    /// Another name of a payment.
    WrittenAlias = "written_payment_alias" {
        account_id: i64,
        name: &'a str,
        provider_id: &'a str,
        payment: &'a str,
    }
}

impl<'a> WrittenAlias<'a> {
    pub(super) fn of(account_id: i64, row: &'a KnownName) -> Self {
        let KnownName { name, payment } = row;
        Self { account_id, name: name.name.as_str(), provider_id: name.provider_id.as_str(), payment: payment.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::tests::check;
    use super::*;

    #[test]
    fn rows_of_payments_have_one_order_of_columns() {
        check(WrittenPayment::SHAPE, BOUGHT);
        check(WrittenAlias::SHAPE, BOUGHT);
        check(WrittenDetails::SHAPE, BOUGHT);
        check(WrittenPayer::SHAPE, BOUGHT);
        check(WrittenGrant::SHAPE, BOUGHT);
    }
}
