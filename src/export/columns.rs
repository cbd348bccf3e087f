//! What is told of an entry and of a payment: the columns of an export, in their order.
//!
//! Owns their names and where each comes from; one line of a table is one column, in CSV and in JSON. How a
//! cell is spelt is `format`'s.

use super::Row;
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::ids::{Id, Printable};
use crate::message::entry_json;
use crate::store::postgres::query::export::Paid;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Words of others: names, references.
    Text(&'a str),
    /// Credits or money.
    Amount(Credits),
    /// A position or a count.
    Number(u64),
    /// A moment.
    Instant(Timestamp),
    /// Nothing is known.
    Nothing,
}

impl<'a> Cell<'a> {
    fn text(printable: Option<&'a Printable>) -> Self {
        printable.map_or(Self::Nothing, |text| Self::Text(text.as_str()))
    }

    fn amount(amount: Option<Credits>) -> Self {
        amount.map_or(Self::Nothing, Self::Amount)
    }
}

/// A column: its name, and its cell of a row.
#[derive(Debug)]
pub struct Column<T: 'static> {
    /// Its name, the same in CSV and in JSON.
    pub name: &'static str,
    /// Its cell.
    pub cell: for<'a> fn(&'a T) -> Cell<'a>,
}

/// What can be exported.
pub trait Exported: Sized + 'static {
    /// Its columns, in their order.
    const COLUMNS: &'static [Column<Self>];

    /// The row as a JSON object: its columns by their names.
    fn json(&self) -> Value {
        let cells = Self::COLUMNS.iter().map(|column| (column.name.to_owned(), json(&(column.cell)(self))));
        Value::Object(cells.collect::<Map<_, _>>())
    }
}

/// As the message contract spells values: amounts as strings, positions and counts as numbers.
fn json(cell: &Cell<'_>) -> Value {
    match cell {
        Cell::Text(text) => (*text).into(),
        Cell::Amount(amount) => amount.to_string().into(),
        Cell::Number(number) => (*number).into(),
        Cell::Instant(at) => at.to_string().into(),
        Cell::Nothing => Value::Null,
    }
}

impl Exported for Row<Entry> {
    const COLUMNS: &'static [Column<Self>] = &[
        Column { name: "account", cell: |row| Cell::Text(row.account.as_str()) },
        Column { name: "seq", cell: |row| Cell::Number(row.of.seq) },
        Column { name: "kind", cell: |row| Cell::Text(row.of.kind.word()) },
        Column { name: "direction", cell: |row| Cell::Text(row.of.kind.direction().word()) },
        Column { name: "amount", cell: |row| Cell::Amount(row.of.amount) },
        Column { name: "balance_after", cell: |row| Cell::Amount(row.of.balance_after) },
        Column { name: "held_change", cell: |row| Cell::Amount(row.of.held_change) },
        Column { name: "frozen_change", cell: |row| Cell::Amount(row.of.frozen_change) },
        Column { name: "debt_change", cell: |row| Cell::Amount(row.of.debt_change) },
        Column { name: "reference", cell: |row| Cell::text(row.of.reference.as_ref()) },
        Column { name: "occurred_at", cell: |row| Cell::Instant(row.of.occurred_at) },
        Column { name: "recorded_at", cell: |row| Cell::Instant(row.of.recorded_at) },
        Column { name: "cause_source", cell: |row| Cell::Text(row.of.cause.source.as_str()) },
        Column { name: "cause_id", cell: |row| Cell::Text(row.of.cause.id.as_str()) },
    ];

    /// As `balance.changed` and `history --json` show it, with its account.
    fn json(&self) -> Value {
        let mut entry = entry_json(&self.of);
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("account".to_owned(), self.account.as_str().into());
        }
        entry
    }
}

impl Exported for Row<Paid> {
    const COLUMNS: &'static [Column<Self>] = &[
        Column { name: "account", cell: |row| Cell::Text(row.account.as_str()) },
        Column { name: "payment", cell: |row| Cell::Text(row.of.payment.terms.payment.as_str()) },
        Column { name: "status", cell: |row| Cell::Text(row.of.payment.status.word()) },
        Column { name: "paid_at", cell: |row| row.of.payment.paid_at.map_or(Cell::Nothing, Cell::Instant) },
        Column { name: "method", cell: |row| Cell::text(row.of.details.method.as_ref()) },
        Column { name: "package", cell: |row| package(row).map_or(Cell::Nothing, |(package, _)| Cell::Text(package.as_str())) },
        Column { name: "quantity", cell: |row| package(row).map_or(Cell::Nothing, |(_, quantity)| Cell::Number(quantity)) },
        Column { name: "amount", cell: |row| Cell::Amount(row.of.payment.terms.amount) },
        Column { name: "before_tax", cell: |row| Cell::amount(row.of.payment.terms.before_tax) },
        Column { name: "tax", cell: |row| Cell::amount(row.of.payment.terms.tax()) },
        Column { name: "tax_details", cell: |row| Cell::text(row.of.details.tax.as_ref()) },
        Column { name: "currency", cell: |row| Cell::Text(row.of.payment.terms.currency.as_str()) },
        Column { name: "document", cell: |row| Cell::text(row.of.payment.terms.document.as_ref()) },
        Column { name: "number", cell: |row| Cell::text(row.of.details.number.as_ref()) },
        Column { name: "receipt", cell: |row| row.of.details.receipt.as_ref().map_or(Cell::Nothing, |link| Cell::Text(link.as_str())) },
        Column { name: "payer_name", cell: |row| Cell::text(row.of.details.payer.name.as_ref()) },
        Column { name: "payer_email", cell: |row| Cell::text(row.of.details.payer.email.as_ref()) },
        Column { name: "payer_country", cell: |row| Cell::text(row.of.details.payer.country.as_ref()) },
        Column { name: "granted", cell: |row| Cell::Amount(row.of.payment.granted) },
        Column { name: "clawed_back", cell: |row| Cell::Amount(row.of.clawed) },
        Column { name: "excused", cell: |row| Cell::Amount(row.of.payment.excused) },
        Column { name: "shortfall", cell: |row| Cell::Amount(row.of.shortfall) },
        Column { name: "refunded", cell: |row| Cell::Amount(row.of.refunded) },
        Column { name: "disputed", cell: |row| Cell::Amount(row.of.disputed) },
    ];
}

fn package(row: &Row<Paid>) -> Option<(&Id, u64)> {
    row.of.payment.terms.package.as_ref().map(|purchase| (&purchase.package, u64::from(purchase.quantity)))
}
