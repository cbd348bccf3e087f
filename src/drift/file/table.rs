//! Comma-separated exports, by the names of their columns.
//!
//! Owns which columns make which format. A row with another number of cells than the header is told, and the rest
//! goes on.

use super::{BadFile, Bounded, Format, Out, Reading, found, listed, refill};
use crate::domain::payment::PAYPAL;
use crate::drift::record::{Row, Says};
use crate::drift::{cell, paypal, stripe};
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use std::collections::HashMap;
use std::io::Read;

/// The cells of a row, by column.
pub struct Cells<'a> {
    columns: &'a HashMap<String, usize>,
    record: &'a csv::StringRecord,
}

impl Cells<'_> {
    /// What stands in a column; nothing when there is none.
    #[must_use]
    pub fn get(&self, column: &str) -> &str {
        let cell = self.columns.get(column).and_then(|index| self.record.get(*index)).unwrap_or_default();
        cell.trim_end_matches('\r')
    }
}

fn columns<R: Read>(reader: &mut Reader<R>) -> Result<HashMap<String, usize>, String> {
    let header = reader.byte_headers().map_err(|error| error.to_string())?;
    let names = header.iter().map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned());
    let mut columns = HashMap::new();
    for (index, name) in names.enumerate() {
        // Of two columns of one name the first is the provider's.
        columns.entry(name).or_insert(index);
    }
    Ok(columns)
}

/// A row ends with a line feed alone, so that lines are counted as an editor counts them; the carriage return before
/// it is no part of a cell.
fn reader<R: Read>(source: R) -> Reader<R> {
    ReaderBuilder::new().terminator(Terminator::Any(b'\n')).from_reader(source)
}

/// A blank line tells of nothing.
fn is_blank(record: &ByteRecord) -> bool {
    record.len() == 1 && record.get(0).is_some_and(|cell| cell.iter().all(u8::is_ascii_whitespace))
}

/// The format of a file that begins so.
pub(super) fn format(head: &[u8], reading: Reading<'_>) -> Result<Format, BadFile> {
    let columns = columns(&mut reader(head)).map_err(BadFile::Format)?;
    let has = |wanted: &[&str]| wanted.iter().all(|column| columns.contains_key(*column));
    let has_one = |wanted: &[&str]| wanted.iter().any(|column| columns.contains_key(*column));
    if reading.provider == PAYPAL && has(paypal::ACTIVITY) && has_one(&paypal::ZONE) {
        return Ok(Format::PayPalActivity(day_order(reading)?));
    }
    if reading.provider != PAYPAL && has(stripe::PAYMENTS) && has_one(&stripe::CREATED) {
        return Ok(Format::StripePayments);
    }
    if reading.provider != PAYPAL && has(stripe::BALANCE) && has_one(&["payment_intent_id", "charge_id", "source_id"]) {
        return Ok(Format::StripeBalance);
    }
    let expected = if reading.provider == PAYPAL {
        format!("{} and `TimeZone` of the activity download", listed(paypal::ACTIVITY))
    } else {
        format!(
            "{} and `{}` of the payments export, or {} and `payment_intent_id` or `charge_id` of an itemized report",
            listed(stripe::PAYMENTS),
            stripe::CREATED[0],
            listed(stripe::BALANCE)
        )
    };
    let mut header: Vec<_> = columns.iter().map(|(name, index)| (*index, name.as_str())).collect();
    header.sort_unstable();
    let header: Vec<_> = header.into_iter().map(|(_, name)| name).collect();
    Err(BadFile::Format(format!(
        "{} is no list of {} that is known: expected the columns {expected}; found {}. Column names are English; set the \
         account's language to English before exporting",
        reading.path.display(),
        reading.provider,
        found(&header)
    )))
}

/// The order of days and months: as asked for, or as the first date that can only have one shows it.
fn day_order(reading: Reading<'_>) -> Result<cell::DayOrder, BadFile> {
    if let Some(order) = reading.order {
        return Ok(order);
    }
    let unreadable = |source| BadFile::Unreadable { path: reading.path.to_owned(), source };
    let source = Bounded {
        file: std::fs::File::open(reading.path).map_err(unreadable)?,
        left: std::sync::Arc::new(std::sync::atomic::AtomicU64::new(2 * super::ROW_BYTES_MAX)),
        read: std::sync::Arc::default(),
    };
    let budget = source.budget();
    let mut reader = reader(source);
    let columns = columns(&mut reader).map_err(BadFile::Format)?;
    let Some(date) = columns.get("Date").copied() else { return Err(BadFile::Format("no column `Date`".to_owned())) };
    let mut record = ByteRecord::new();
    let mut any = false;
    loop {
        refill(&budget);
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            // It is told when the rows are read.
            Err(error) if error.is_io_error() => break,
            Err(_) => continue,
        }
        let text = record.get(date).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or_default();
        any |= !text.is_empty() && !text.starts_with("20");
        if let Some(order) = cell::only_order(text) {
            return Ok(order);
        }
    }
    if any {
        return Err(BadFile::Format(
            "the dates of the file fit both day/month/year and month/day/year: say which with --dates dmy or --dates mdy".to_owned(),
        ));
    }
    Ok(cell::DayOrder::MonthFirst)
}

/// Reads all rows.
pub(super) fn read(source: Bounded, format: Format, mut out: Out) {
    let budget = source.budget();
    let mut reader = reader(source);
    let columns = match columns(&mut reader) {
        Ok(columns) => columns,
        Err(what) => return out.end(Some(BadFile::Broken { place: 1, what })),
    };
    let mut record = ByteRecord::new();
    loop {
        refill(&budget);
        let place = reader.position().line();
        let says = match reader.read_byte_record(&mut record) {
            Ok(false) => return out.end(None),
            Ok(true) => row(&record, &columns, format),
            Err(error) if error.is_io_error() => {
                return out.end(Some(BadFile::Broken { place, what: error.to_string() }));
            }
            Err(_) if is_blank(&record) => continue,
            Err(error) => Err(match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("it has {len} cells, the header {expected_len}"),
                _ => error.to_string(),
            }),
        };
        // Where the row begins, should blank lines stand before it.
        let place = record.position().map_or(place, csv::Position::line);
        let (at, says) = says.unwrap_or_else(|what| (None, Says::Unreadable(what)));
        if !out.row(Row { place, at, says }) {
            return;
        }
    }
}

fn row(record: &ByteRecord, columns: &HashMap<String, usize>, format: Format) -> Result<(Option<jiff::Timestamp>, Says), String> {
    let record = csv::StringRecord::from_byte_record(record.clone()).map_err(|_| "it is not UTF-8".to_owned())?;
    let cells = Cells { columns, record: &record };
    match format {
        Format::StripeBalance => stripe::balance_row(&cells),
        Format::PayPalActivity(order) => paypal::activity_row(&cells, order),
        _ => stripe::payment_row(&cells),
    }
}
