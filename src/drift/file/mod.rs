//! A provider's list in a file.
//!
//! Owns which format a file has, told by its columns or first object, and the thread that reads it, a page ahead
//! of who compares. Bounded: a row has at most [`ROW_BYTES_MAX`] bytes.

mod json;
mod table;

pub use table::Cells;

use super::cell::DayOrder;
use super::finding::shown;
use super::record::Row;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Bytes of one row, all its cells together.
pub const ROW_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of the head by which a file is told from others.
const HEAD_BYTES: u64 = 64 * 1024;

/// Why a file cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// The system does not give it.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has none of the formats of the provider.
    #[error("{0}")]
    Format(String),
    /// It breaks off, or a row is longer than any is.
    #[error("row {place} cannot be read, and nothing after it: {what}")]
    Broken {
        /// Which row.
        place: u64,
        /// What is wrong.
        what: String,
    },
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Stripe's dashboard: payments.
    StripePayments,
    /// Stripe's reports: itemized changes of the balance.
    StripeBalance,
    /// Stripe's objects.
    StripeJson,
    /// PayPal's activity download; days or months come first in its dates.
    PayPalActivity(DayOrder),
    /// PayPal's transactions.
    PayPalJson,
}

/// What identifies a file: its size and the hash of its head.
///
/// # Errors
/// [`BadFile::Unreadable`].
pub fn fingerprint(path: &Path) -> Result<String, BadFile> {
    let unreadable = |source| BadFile::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
    Ok(format!("{size}:{}", hex::encode(Sha256::digest(&head))))
}

/// A file that is being read.
pub struct Rows {
    pages: mpsc::Receiver<Result<Vec<Row>, BadFile>>,
    read: Arc<AtomicU64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was last written: what it says is not newer.
    pub written_at: Option<jiff::Timestamp>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Which file.
    pub path: &'a Path,
    /// Whose list it is: `stripe` or `paypal`.
    pub provider: &'a str,
    /// The order of days and months, where the file does not show it.
    pub order: Option<DayOrder>,
    /// Rows that are not wanted any more.
    pub skip: u64,
    /// Rows handed over at a time.
    pub page: usize,
}

impl Rows {
    /// Opens a file and begins to read it.
    ///
    /// # Errors
    /// [`BadFile`] when it cannot be opened or has no format of the provider.
    pub fn open(reading: Reading<'_>) -> Result<Self, BadFile> {
        let unreadable = |source| BadFile::Unreadable { path: reading.path.to_owned(), source };
        let mut file = File::open(reading.path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let mut head = Vec::new();
        file.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        let read = Arc::new(AtomicU64::new(0));
        let source = Bounded { file, left: Arc::new(AtomicU64::new(2 * ROW_BYTES_MAX)), read: read.clone() };
        let is_json = head.iter().find(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0xEF | 0xBB | 0xBF)) == Some(&b'{');
        let format = match (reading.provider, is_json) {
            ("paypal", true) => Format::PayPalJson,
            (_, true) => Format::StripeJson,
            (_, false) => table::format(&head, reading)?,
        };
        let (sender, pages) = mpsc::channel(2);
        let out = Out { sender, page: Vec::new(), size: reading.page.max(1), skip: reading.skip };
        std::thread::spawn(move || match format {
            Format::StripeJson | Format::PayPalJson => json::read(source, format, out),
            _ => table::read(source, format, out),
        });
        let written_at = about.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
        Ok(Self { pages, read, bytes: about.len(), written_at })
    }

    /// The next rows; none after the last.
    ///
    /// # Errors
    /// [`BadFile::Broken`] when the rest cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Row>, BadFile> {
        self.pages.recv().await.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Where rows go.
struct Out {
    sender: mpsc::Sender<Result<Vec<Row>, BadFile>>,
    page: Vec<Row>,
    size: usize,
    skip: u64,
}

impl Out {
    /// Hands over a row; false when nobody wants any more.
    fn row(&mut self, row: Row) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        self.page.push(row);
        self.page.len() < self.size || self.sender.blocking_send(Ok(std::mem::take(&mut self.page))).is_ok()
    }

    /// Hands over what is left, and why there is no more if that is no end.
    fn end(mut self, broken: Option<BadFile>) {
        // Who does not listen any more has been interrupted.
        if !self.page.is_empty() && self.sender.blocking_send(Ok(std::mem::take(&mut self.page))).is_err() {
            return;
        }
        if let Some(broken) = broken {
            drop(self.sender.blocking_send(Err(broken)));
        }
    }
}

/// Counts what is read and ends a row that has no end.
struct Bounded {
    file: File,
    /// Bytes that may still be read before a row is over.
    left: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Bounded {
    fn budget(&self) -> Arc<AtomicU64> {
        self.left.clone()
    }
}

/// A row is over. A reader is a buffer ahead, so twice the bound is what a row may take of it.
fn refill(budget: &AtomicU64) {
    budget.store(2 * ROW_BYTES_MAX, Ordering::Relaxed);
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        let count = u64::try_from(got).unwrap_or(u64::MAX);
        self.read.fetch_add(count, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if count > left {
            return Err(io::Error::other(format!(
                "it has more than {} KiB; is a quotation mark or bracket not closed?",
                ROW_BYTES_MAX / 1024
            )));
        }
        self.left.store(left - count, Ordering::Relaxed);
        Ok(got)
    }
}

/// The columns that a person has to look for.
fn listed(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")
}

/// What was found instead.
fn found(header: &[&str]) -> String {
    let some: Vec<_> = header.iter().take(12).map(|column| shown(column)).collect();
    format!("{}{}", some.join(", "), if header.len() > 12 { ", …" } else { "" })
}
