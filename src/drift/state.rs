//! Where an interrupted comparison goes on.
//!
//! Owns two files: the state, replaced as a whole, and beside it the differences found so far, which only grow and
//! are cut back to what the state knows. A state belongs to one list, one database and one set of options.

use super::compare::Comparison;
use super::finding::Finding;
use super::list::{paypal, stripe};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// The form of the file; another one is refused.
const FORM: u32 = 1;
/// Bytes of a mark of [`Comparison::seen`].
const MARK_BYTES: usize = 16;

/// How far a comparison is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// So many rows of a file.
    File(u64),
    /// A page of Stripe's lists.
    Stripe(stripe::Cursor),
    /// A page of PayPal's list.
    PayPal(paypal::Cursor),
    /// After a payment of the ledger.
    Ledger {
        /// Its shard.
        shard: i16,
        /// The row id of its account.
        account_id: i64,
        /// Its name.
        payment: String,
    },
}

/// What is kept of a comparison.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    form: u32,
    /// What it belongs to.
    bound: String,
    /// How far it is.
    pub place: Place,
    /// The end of the period, when it was not given.
    pub until: Option<Timestamp>,
    findings_bytes: u64,
    seen: usize,
    /// The comparison itself.
    pub comparison: Comparison,
}

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadState {
    /// The system does not give or take it.
    #[error("the state {} cannot be read or written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none, or of another version.
    #[error("{} is no state of this program's version; remove it to begin anew", .0.display())]
    Form(PathBuf),
    /// It belongs to something else.
    #[error("{} belongs to another comparison: another list or file, database, tenant or options. Give the same ones, or another --state", .0.display())]
    Other(PathBuf),
}

/// The two files; with no path, nothing is kept.
pub struct State {
    path: Option<PathBuf>,
    bound: String,
    findings: Option<File>,
}

impl State {
    /// Opens a state, or begins one. Returns what was kept, and the differences found so far.
    ///
    /// # Errors
    /// [`BadState`]; nothing was changed.
    pub fn open(path: Option<&Path>, bound: String) -> Result<(Self, Option<Kept>), BadState> {
        let Some(path) = path else { return Ok((Self { path: None, bound, findings: None }, None)) };
        let trouble = |source| BadState::File { path: path.to_owned(), source };
        let kept = match File::open(path) {
            Ok(file) => Some(read(path, file, &bound)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(trouble(error)),
        };
        let beside = beside(path);
        let findings = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&beside).map_err(trouble)?;
        findings.set_len(kept.as_ref().map_or(0, |kept| kept.findings_bytes)).map_err(trouble)?;
        Ok((Self { path: Some(path.to_owned()), bound, findings: Some(findings) }, kept))
    }

    /// Hands out the differences found before; more are added after them.
    ///
    /// # Errors
    /// [`BadState`], or what `tell` returns.
    pub fn replay<E: From<BadState>>(&mut self, mut tell: impl FnMut(Finding) -> Result<(), E>) -> Result<(), E> {
        let (Some(findings), Some(path)) = (&mut self.findings, &self.path) else { return Ok(()) };
        let trouble = |source| BadState::File { path: path.clone(), source };
        findings.rewind().map_err(trouble)?;
        for line in BufReader::new(&mut *findings).lines() {
            let finding = serde_json::from_str(&line.map_err(trouble)?).map_err(|_| BadState::Form(path.clone()))?;
            tell(finding)?;
        }
        findings.seek(io::SeekFrom::End(0)).map_err(trouble)?;
        Ok(())
    }

    /// Adds differences; they count from the next [`Self::save`] on.
    ///
    /// # Errors
    /// [`BadState::File`].
    pub fn add(&mut self, found: &[Finding]) -> Result<(), BadState> {
        let (Some(findings), Some(path)) = (&mut self.findings, &self.path) else { return Ok(()) };
        let mut lines = Vec::new();
        for finding in found {
            lines.extend(serde_json::json!(finding).to_string().into_bytes());
            lines.push(b'\n');
        }
        findings.write_all(&lines).map_err(|source| BadState::File { path: path.clone(), source })
    }

    /// Replaces the state as a whole: whatever happens, the old one or the new one is there.
    ///
    /// # Errors
    /// [`BadState::File`].
    pub fn save(&mut self, comparison: &mut Comparison, place: &Place, until: Option<Timestamp>) -> Result<(), BadState> {
        let (Some(findings), Some(path)) = (&mut self.findings, &self.path) else { return Ok(()) };
        let mut write = || -> io::Result<()> {
            findings.sync_data()?;
            let kept = Kept {
                form: FORM,
                bound: self.bound.clone(),
                place: place.clone(),
                until,
                findings_bytes: findings.metadata()?.len(),
                seen: comparison.seen.len(),
                comparison: std::mem::take(comparison),
            };
            let result = replace(path, &kept);
            *comparison = kept.comparison;
            result
        };
        write().map_err(|source| BadState::File { path: path.clone(), source })
    }

    /// Removes both files: the comparison is over.
    ///
    /// # Errors
    /// [`BadState::File`].
    pub fn remove(self) -> Result<(), BadState> {
        let Some(path) = self.path else { return Ok(()) };
        for path in [&path, &beside(&path)] {
            match std::fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(BadState::File { path: path.clone(), source }),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where the differences of a state are.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".findings");
    name.into()
}

fn replace(path: &Path, kept: &Kept) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = BufWriter::new(File::create(&new)?);
    serde_json::to_writer(&mut file, kept)?;
    file.write_all(b"\n")?;
    for mark in &kept.comparison.seen {
        file.write_all(mark)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(new, path)
}

fn read(path: &Path, file: File, bound: &str) -> Result<Kept, BadState> {
    let trouble = |source| BadState::File { path: path.to_owned(), source };
    let form = || BadState::Form(path.to_owned());
    let mut reader = BufReader::new(file);
    let mut head = Vec::new();
    reader.read_until(b'\n', &mut head).map_err(trouble)?;
    let mut kept: Kept = serde_json::from_slice(&head).map_err(|_| form())?;
    if kept.form != FORM {
        return Err(form());
    }
    if kept.bound != bound {
        return Err(BadState::Other(path.to_owned()));
    }
    let mut marks = Vec::new();
    reader.read_to_end(&mut marks).map_err(trouble)?;
    let (marks, rest) = marks.as_chunks::<MARK_BYTES>();
    if marks.len() != kept.seen || !rest.is_empty() {
        return Err(form());
    }
    kept.comparison.seen = marks.to_vec();
    Ok(kept)
}
