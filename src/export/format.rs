//! How rows are spelt: CSV (RFC 4180) and JSON lines.
//!
//! Owns the header, the end of a line, and what keeps a spreadsheet from calculating words of others. Knows no
//! column.

use super::Row;
use super::columns::{Cell, Exported};
use std::borrow::Cow;
use std::io::{self, Write};
use std::marker::PhantomData;

/// How rows are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180: a header, commas, quotes where needed, CR LF at the end of each line.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Where rows go, one after the other.
pub struct Lines<'a, T> {
    out: Out<'a>,
    count: u64,
    rows: PhantomData<fn(T)>,
}

enum Out<'a> {
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Json(&'a mut dyn Write),
}

impl<'a, T> Lines<'a, T>
where
    Row<T>: Exported,
{
    /// Begins; CSV has its header now, whether rows follow or not.
    ///
    /// # Errors
    /// What `out` says.
    pub fn begin(format: Format, out: &'a mut dyn Write) -> io::Result<Self> {
        let mut lines = Self { out: Out::Json(out), count: 0, rows: PhantomData };
        if format == Format::Csv {
            lines.out = match lines.out {
                Out::Json(out) => Out::Csv(Box::new(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out))),
                csv @ Out::Csv(_) => csv,
            };
            if let Out::Csv(csv) = &mut lines.out {
                csv.write_record(Row::<T>::COLUMNS.iter().map(|column| column.name)).map_err(broken)?;
            }
        }
        Ok(lines)
    }

    /// Writes a row.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&mut self, row: &Row<T>) -> io::Result<()> {
        match &mut self.out {
            Out::Csv(csv) => {
                for column in Row::<T>::COLUMNS {
                    csv.write_field(spelt(&(column.cell)(row)).as_bytes()).map_err(broken)?;
                }
                csv.write_record(None::<&[u8]>).map_err(broken)?;
            }
            Out::Json(out) => writeln!(out, "{}", row.json())?,
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// How many rows there are so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Everything is with the writer afterwards. Returns how many rows there were.
    ///
    /// # Errors
    /// What the writer says.
    pub fn end(&mut self) -> io::Result<u64> {
        match &mut self.out {
            Out::Csv(csv) => csv.flush()?,
            Out::Json(out) => out.flush()?,
        }
        Ok(self.count)
    }
}

/// The writer's own error, so that a reader who went away is known as such.
fn broken(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A cell as CSV has it before quoting.
fn spelt<'a>(cell: &Cell<'a>) -> Cow<'a, str> {
    match cell {
        Cell::Text(text) if is_formula(text) => Cow::Owned(format!("'{text}")),
        Cell::Text(text) => Cow::Borrowed(text),
        Cell::Amount(amount) => Cow::Owned(amount.to_string()),
        Cell::Number(number) => Cow::Owned(number.to_string()),
        Cell::Instant(at) => Cow::Owned(at.to_string()),
        Cell::Nothing => Cow::Borrowed(""),
    }
}

/// True for words that a spreadsheet would calculate (faults B65; the beginnings that OWASP's advice on CSV
/// injection lists, the wide forms of the first four among them).
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credits::Credits;

    #[test]
    fn b65_words_that_a_spreadsheet_would_calculate_are_prefixed_and_numbers_are_not() {
        for text in ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠sum"] {
            assert_eq!(spelt(&Cell::Text(text)), format!("'{text}"));
        }
        for text in ["", "a=1", " =1", "'=1", "order-7", "7"] {
            assert_eq!(spelt(&Cell::Text(text)), text);
        }
        assert_eq!(spelt(&Cell::Amount(Credits::parse("-1.50").unwrap())), "-1.5");
        assert_eq!(spelt(&Cell::Number(7)), "7");
        assert_eq!(spelt(&Cell::Nothing), "");
    }
}
