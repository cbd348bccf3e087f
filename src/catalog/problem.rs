//! What is wrong with a catalog file, and where.
//!
//! Owns how such an error is written and that all of a file are collected. Never decides what is
//! wrong.

use std::cell::RefCell;
use std::fmt;

/// One thing wrong with a catalog, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CatalogError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1; absent for a catalog that stands inside a JSON line.
    pub line: Option<usize>,
    /// The key, what is wrong with it and what is right.
    pub reason: String,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file, self.reason),
            None => write!(formatter, "{}: {}", self.file, self.reason),
        }
    }
}

/// Everything wrong with one catalog, in the order of its lines; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CatalogErrors(Vec<CatalogError>);

impl CatalogErrors {
    /// The errors, in the order of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &CatalogError> {
        self.0.iter()
    }
}

impl fmt::Display for CatalogErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(formatter, "{newline}{error}")?;
        }
        Ok(())
    }
}

/// Collects while a file is read, so that one run shows everything wrong with it.
#[derive(Debug)]
pub(super) struct Problems {
    file: String,
    found: RefCell<Vec<CatalogError>>,
}

impl Problems {
    /// Nothing wrong yet with the file of this name.
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.into(), found: RefCell::default() }
    }

    /// Notes one error.
    pub(super) fn add(&self, line: Option<usize>, reason: String) {
        self.found.borrow_mut().push(CatalogError { file: self.file.clone(), line, reason });
    }

    /// The value that was read, if nothing was wrong; a missing value without a reason is an error
    /// of its own.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, CatalogErrors> {
        let file = self.file;
        let mut found = self.found.into_inner();
        match value {
            Some(value) if found.is_empty() => Ok(value),
            Some(_) | None => {
                if found.is_empty() {
                    found.push(CatalogError { file, line: None, reason: "the catalog cannot be read".into() });
                }
                found.sort_by_key(|error| error.line);
                Err(CatalogErrors(found))
            }
        }
    }
}
