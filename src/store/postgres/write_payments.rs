//! New grants, and payments with what is known of them: names, months, details, payers.
//!
//! Owns what their rows are made of, and the one statement that writes them: nearly every payment brings a grant
//! and a row of each, so that a statement per table would cost most of their writing.

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
use sqlx::PgConnection;

/// New grants.
const GRANTS: &str = include_str!("write_grants.sql");
/// New grants behind payments.
const BOUGHT: &str = concat!(include_str!("write_payments.sql"), include_str!("write_grants.sql"));

/// What a batch writes about purchases.
#[derive(Default)]
pub(super) struct Bought<'a> {
    grants: Vec<WrittenGrant<'a>>,
    payments: Vec<WrittenPayment<'a>>,
    names: Vec<WrittenPaymentName<'a>>,
    months: Vec<WrittenMonth>,
    details: Vec<WrittenDetails<'a>>,
    payers: Vec<WrittenPayer<'a>>,
}

impl<'a> Bought<'a> {
    pub(super) fn add_grant(&mut self, account_id: i64, grant: &'a Grant) {
        self.grants.push(WrittenGrant::of(account_id, grant));
    }

    /// Takes a row that is about a payment; leaves any other to whom it belongs.
    pub(super) fn add(&mut self, account_id: i64, row: &'a Row) {
        match row {
            Row::Payment(row) => self.payments.push(WrittenPayment::of(account_id, row)),
            Row::PaymentName(row) => self.names.push(WrittenPaymentName::of(account_id, row)),
            Row::PurchaseMonth(row) => self.months.push(WrittenMonth::of(account_id, row)),
            Row::Details(row) => {
                self.details.push(WrittenDetails::of(account_id, row));
                self.payers.extend(WrittenPayer::of(account_id, row));
            }
            _ => {}
        }
    }

    fn has_payments(&self) -> bool {
        let Self { grants: _, payments, names, months, details, payers } = self;
        !(payments.is_empty() && names.is_empty() && months.is_empty() && details.is_empty() && payers.is_empty())
    }

    /// Writes what there is; returns account, number and place of each new grant.
    pub(super) async fn write(self, connection: &mut PgConnection, shard: i16) -> Result<Vec<(i64, i32, Place)>, Failure> {
        let with_payments = self.has_payments();
        let Self { grants, payments, names, months, details, payers } = self;
        let asked = match with_payments {
            false if grants.is_empty() => return Ok(Vec::new()),
            false => sqlx::query_as(GRANTS).bind(shard).bind(grants),
            true => sqlx::query_as(BOUGHT).bind(shard).bind(grants).bind(payments).bind(names).bind(months).bind(details).bind(payers),
        };
        Ok(asked.fetch_all(connection).await?)
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
        check(WrittenPayment::SHAPE, BOUGHT);
        check(WrittenPaymentName::SHAPE, BOUGHT);
        check(WrittenDetails::SHAPE, BOUGHT);
        check(WrittenPayer::SHAPE, BOUGHT);
        check(WrittenGrant::SHAPE, BOUGHT);
    }
}
