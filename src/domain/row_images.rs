//! Of the images of a row that a batch makes, the last one is written.
//!
//! Owns which images are of one row.

use super::decision::Row;
use super::ids::Id;
use jiff::civil::Date;
use std::collections::HashMap;

/// The last image of each row, in the order the rows were first made.
#[must_use]
pub fn last_images(rows: Vec<Row>) -> Vec<Row> {
    if rows.len() < 2 {
        return rows;
    }
    let mut place: HashMap<RowKey, usize> = HashMap::with_capacity(rows.len());
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match place.get(&RowKey::of(&row)).and_then(|index| kept.get_mut(*index)) {
            Some(known) => replace(known, row),
            None => {
                place.insert(RowKey::of(&row), kept.len());
                kept.push(row);
            }
        }
    }
    kept
}

/// An image replaces the one before it; details are added to.
fn replace(known: &mut Row, row: Row) {
    match (known, row) {
        (Row::Details(known), Row::Details(more)) => known.details = std::mem::take(&mut known.details).or(more.details),
        (known, row) => *known = row,
    }
}

#[derive(PartialEq, Eq, Hash)]
enum RowKey {
    Grant(u32),
    Debt(u32),
    Payment(String),
    PaymentName(String),
    Refund(String),
    Dispute(String),
    Details(String),
    Request(Id),
    Charge(String),
    PurchaseMonth(Date),
    Subscription(Id),
    HighWater(String),
    Reset(Id, i32, u32),
    Profile,
}

impl RowKey {
    fn of(row: &Row) -> Self {
        match row {
            Row::Grant(row) => Self::Grant(row.terms.number),
            Row::Debt(row) => Self::Debt(row.number),
            Row::Payment(row) => Self::Payment(row.terms.payment.to_string()),
            Row::PaymentName(row) => Self::PaymentName(row.name.name.to_string()),
            Row::Refund(row) => Self::Refund(row.id.to_string()),
            Row::Dispute(row) => Self::Dispute(row.id.to_string()),
            Row::Details(row) => Self::Details(row.name.to_string()),
            Row::Request(row) => Self::Request(row.terms.id.clone()),
            Row::Charge(row) => Self::Charge(row.reference.to_string()),
            Row::PurchaseMonth(row) => Self::PurchaseMonth(row.month),
            Row::Subscription(row) => Self::Subscription(row.id.clone()),
            Row::HighWater(row) => Self::HighWater(row.item.to_string()),
            Row::Reset(row) => Self::Reset(row.subscription.clone(), row.k, row.n),
            Row::Profile(_) => Self::Profile,
        }
    }
}
