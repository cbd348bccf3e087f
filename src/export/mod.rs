//! Entries and payments for other programs: every row of an account or a tenant, as CSV or as JSON lines.
//!
//! Owns the walk along the accounts and the pages. Holds a page of rows and of accounts at most, however much
//! is exported. Never decides, never writes to the ledger; where the lines go is the caller's.

mod columns;
mod format;

use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Id};
use crate::failure::Failure;
use crate::store::postgres::query::export::{Export, Paid, Period, Place, Places};
pub use columns::{Cell, Column, Exported};
pub use format::{Format, Lines};
use std::io::{self, Write};

/// Rows and accounts read at once, unless told otherwise.
pub const PAGE: u32 = 1_000;

/// A row with the account it belongs to.
#[derive(Debug, Clone)]
pub struct Row<T> {
    /// The account.
    pub account: Id,
    /// What is told of it.
    pub of: T,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Entries recorded in a period.
    Entries(Period),
    /// Payments paid in a period; with both sides of it open, those not paid too.
    Payments(Period),
}

/// Whose rows are exported, and how many are read at once.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The tenant.
    pub tenant: Id,
    /// One account of it; all of them otherwise.
    pub account: Option<Id>,
    /// Rows, and accounts, of one statement; at least 1.
    pub page: u32,
}

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger has no such tenant.
    #[error("the ledger has no tenant {0}; nothing was exported; `credit-ledger tenant list` shows those there are")]
    NoTenant(Id),
    /// The tenant has no such account.
    #[error("the ledger has no account {0}; nothing was exported; check its name, or leave --account out for the whole tenant")]
    NoAccount(AccountKey),
    /// The database failed in the middle.
    #[error("the export is not whole; nothing in the ledger was changed; export again")]
    Failure(#[from] Failure),
    /// The lines could not be written.
    #[error("the export is not whole: it could not be written; nothing in the ledger was changed")]
    Write(#[from] io::Error),
}

/// Writes the rows of a scope to `out`, on one snapshot of the database at `url`, in the order of
/// [`Export`]: by account, then by number or name. `tell` hears how many there are so far, page by page.
/// Returns how many there were.
///
/// # Errors
/// [`ExportError`]; what was written until then stays written.
pub async fn export(
    url: &str,
    (what, scope): (What, &Scope),
    (format, out): (Format, &mut dyn Write),
    mut tell: impl FnMut(u64),
) -> Result<u64, ExportError> {
    let mut walk = Walk::begin(url, scope).await?;
    match what {
        What::Entries(period) => walk.entries(period, &mut Lines::begin(format, out)?, &mut tell).await,
        What::Payments(period) => walk.payments(period, &mut Lines::begin(format, out)?, &mut tell).await,
    }
}

/// The way along the accounts of a scope.
struct Walk<'a> {
    export: Export,
    scope: &'a Scope,
    page: usize,
    /// The next accounts, from the one that is read now.
    places: Vec<Place>,
    /// True when no account comes after those.
    last: bool,
}

impl<'a> Walk<'a> {
    async fn begin(url: &str, scope: &'a Scope) -> Result<Self, ExportError> {
        let mut export = Export::begin(url).await?;
        if !export.knows(&scope.tenant).await? {
            return Err(ExportError::NoTenant(scope.tenant.clone()));
        }
        let page = usize::try_from(scope.page.max(1)).unwrap_or(usize::MAX);
        let mut walk = Self { export, scope, page, places: Vec::new(), last: true };
        match &scope.account {
            Some(account) => {
                let key = AccountKey { tenant: scope.tenant.clone(), account: account.clone() };
                let place = walk.export.place(&key).await?.ok_or(ExportError::NoAccount(key))?;
                walk.places.push(place);
            }
            None => walk.more("").await?,
        }
        Ok(walk)
    }

    fn most(&self) -> i64 {
        i64::try_from(self.page).unwrap_or(i64::MAX)
    }

    /// The accounts after a name take the place of those before.
    async fn more(&mut self, after: &str) -> Result<(), Failure> {
        self.places = self.export.accounts_after(&self.scope.tenant, after, self.most()).await?;
        self.last = self.places.len() < self.page;
        Ok(())
    }

    /// Goes on behind a page: `rows` of them, of which the last is of the account at `index`. True when rows may
    /// follow, the next of the first account after the mark of that last row.
    async fn on(&mut self, rows: usize, index: Option<usize>) -> Result<Next, Failure> {
        if let Some(index) = index.filter(|_| rows >= self.page) {
            self.places.drain(..index.min(self.places.len()));
            return Ok(Next::SameAccount);
        }
        let end = self.places.last().map(|place| place.account.clone());
        let Some(end) = end.filter(|_| !self.last) else { return Ok(Next::Nothing) };
        self.more(end.as_str()).await?;
        Ok(Next::OtherAccounts)
    }

    async fn entries(&mut self, period: Period, lines: &mut Lines<'_, Entry>, tell: &mut impl FnMut(u64)) -> Result<u64, ExportError> {
        let mut after = 0;
        loop {
            let page = self.export.entries(&self.places, after, period, self.most()).await?;
            let (rows, end) = (page.len(), page.last().map(|(index, entry)| (*index, entry.seq)));
            self.write(page, lines)?;
            tell(lines.count());
            after = match self.on(rows, end.map(|(index, _)| index)).await? {
                Next::SameAccount => end.map_or(0, |(_, seq)| seq),
                Next::OtherAccounts => 0,
                Next::Nothing => return Ok(lines.end()?),
            };
        }
    }

    async fn payments(&mut self, period: Period, lines: &mut Lines<'_, Paid>, tell: &mut impl FnMut(u64)) -> Result<u64, ExportError> {
        let mut after = String::new();
        loop {
            let most = self.most();
            let places = Places { tenant: &self.scope.tenant, places: &self.places };
            let page = self.export.payments(&places, &after, period, most).await?;
            let (rows, end) = (page.len(), page.last().map(|(index, paid)| (*index, paid.payment.terms.payment.to_string())));
            self.write(page, lines)?;
            tell(lines.count());
            after = match self.on(rows, end.as_ref().map(|(index, _)| *index)).await? {
                Next::SameAccount => end.map(|(_, name)| name).unwrap_or_default(),
                Next::OtherAccounts => String::new(),
                Next::Nothing => return Ok(lines.end()?),
            };
        }
    }

    fn write<T>(&self, page: Vec<(usize, T)>, lines: &mut Lines<'_, T>) -> io::Result<()>
    where
        Row<T>: Exported,
    {
        for (index, of) in page {
            if let Some(place) = self.places.get(index) {
                lines.write(&Row { account: place.account.clone(), of })?;
            }
        }
        Ok(())
    }
}

/// What comes after a page.
enum Next {
    /// More of the account its last row is of.
    SameAccount,
    /// Rows of other accounts.
    OtherAccounts,
    /// Nothing.
    Nothing,
}
