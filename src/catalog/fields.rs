//! Typed reading of one table of a catalog.
//!
//! Owns which forms a value may have (message contract, Formats) and that no key is ignored. Every
//! method notes what is wrong and then answers `None` or a placeholder: once anything is noted, no
//! value leaves the reader. Never knows what a key means.

use super::problem::Problems;
use super::tree::{Entry, Node, Value};
use crate::domain::credits::Credits;
use crate::domain::ids::Id;
use crate::domain::word::Word;

/// The lower bound of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Least {
    /// Above zero.
    AboveZero,
    /// Zero or more.
    Zero,
}

/// One table: where it is, and where to note what is wrong.
pub(super) struct Fields<'a> {
    path: String,
    line: Option<usize>,
    /// Absent when it is no table, which has been noted then.
    table: Option<&'a [Entry]>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Takes a table with keys of any name, as `[packages]` is; a non-table is noted and empty.
    pub(super) fn open(path: String, node: &'a Node, problems: &'a Problems) -> Self {
        let table = match &node.value {
            Value::Table(entries) => Some(entries.as_slice()),
            other => {
                let name = if path.is_empty() { "the catalog" } else { path.as_str() };
                problems.add(node.line, format!("{name} is {}; it must be a table", other.kind()));
                None
            }
        };
        Self { path, line: node.line, table, problems }
    }

    /// Takes a table that has these keys and no others.
    pub(super) fn closed(path: String, node: &'a Node, keys: &[&str], problems: &'a Problems) -> Self {
        let fields = Self::open(path, node, problems);
        for entry in fields.entries().iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            let path = fields.at(&entry.key);
            let near = keys.iter().find(|key| near(key, &entry.key));
            let advice =
                near.map_or_else(|| format!("remove it, or use one of: {}", keys.join(", ")), |key| format!("did you mean {key}?"));
            problems.add(entry.line, format!("{path} is not a key of a catalog; {advice}"));
        }
        fields
    }

    /// The whole name of a key of this table.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The whole name of this table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The line this table begins at.
    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    /// Its keys and values.
    pub(super) fn entries(&self) -> &'a [Entry] {
        self.table.unwrap_or_default()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Notes an error about a key, at its line or the table's: `<path> <what>`.
    pub(super) fn wrong(&self, key: &str, what: &str) {
        let line = self.entries().iter().find(|entry| entry.key == key).map_or(self.line, |entry| entry.line);
        self.problems.add(line, format!("{} {what}", self.at(key)));
    }

    /// Passes a value on, noting its absence.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && self.table.is_some() && self.get(key).is_none() {
            self.wrong(key, "is missing; add it");
        }
        value
    }

    /// A table below this one, with these keys and no others.
    pub(super) fn table(&self, key: &str, keys: &[&str]) -> Option<Self> {
        Some(Self::closed(self.at(key), self.get(key)?, keys, self.problems))
    }

    /// A table below this one whose keys are names given by the tenant; empty if absent.
    pub(super) fn names(&self, key: &str) -> Vec<(Id, &'a Node)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let below = Self::open(self.at(key), node, self.problems);
        let named = |entry: &'a Entry| match Id::new(&entry.key) {
            Ok(id) => Some((id, &entry.node)),
            Err(error) => {
                self.problems.add(entry.line, format!("{} is not a good name; {error}", below.at(&entry.key)));
                None
            }
        };
        below.entries().iter().filter_map(named).collect()
    }

    /// The tables of a list, e.g. `[[rates]]`, with these keys and no others.
    pub(super) fn tables(&self, key: &str, keys: &[&str]) -> Vec<Self> {
        let items = self.list(key).unwrap_or_default().iter().enumerate();
        items
            .map(|(index, node)| {
                let path = format!("{}[{}]", self.at(key), index.saturating_add(1));
                Self::closed(path, node, keys, self.problems)
            })
            .collect()
    }

    /// The items of a list.
    pub(super) fn list(&self, key: &str) -> Option<&'a [Node]> {
        match &self.get(key)?.value {
            Value::List(items) => Some(items),
            other => self.unlike(key, other, "a list"),
        }
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            other => self.unlike(key, other, "a string"),
        }
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        match &self.get(key)?.value {
            Value::Boolean(value) => Some(*value),
            other => self.unlike(key, other, "true or false"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, key: &str, least: u32, most: u32) -> Option<u32> {
        let form = format!("an integer from {least} to {most}");
        match &self.get(key)?.value {
            Value::Integer(value) => {
                let within = u32::try_from(*value).ok().filter(|value| (least..=most).contains(value));
                if within.is_none() {
                    self.wrong(key, &format!("is {value}; it must be {form}"));
                }
                within
            }
            other => self.unlike(key, other, &form),
        }
    }

    /// An amount of credits or money: a string or an integer, never a fraction in binary.
    pub(super) fn amount(&self, key: &str, least: Least) -> Option<Credits> {
        let form = "a string such as \"12.50\", or an integer";
        let text = match &self.get(key)?.value {
            Value::Text(text) => text.clone(),
            Value::Integer(value) => value.to_string(),
            other => return self.unlike(key, other, form),
        };
        let (good, bound) = match (Credits::parse(&text), least) {
            (Err(error), _) => {
                self.wrong(key, &format!("is {text:?}; {error}"));
                return None;
            }
            (Ok(amount), Least::AboveZero) => (amount.is_positive().then_some(amount), "above 0"),
            (Ok(amount), Least::Zero) => ((!amount.is_negative()).then_some(amount), "0 or more"),
        };
        if good.is_none() {
            self.wrong(key, &format!("is {text}; it must be {bound}"));
        }
        good
    }

    /// A word of a closed vocabulary.
    pub(super) fn word<T: Word>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        let found = T::from_word(text);
        if found.is_none() {
            self.wrong(key, &format!("is {text:?}; it must be {}", choice::<T>()));
        }
        found
    }

    /// A list of strings, each with its line; empty if absent.
    pub(super) fn texts(&self, key: &str) -> Vec<(&'a str, Option<usize>)> {
        let mut texts = Vec::new();
        for node in self.list(key).unwrap_or_default() {
            match &node.value {
                Value::Text(text) => texts.push((text.as_str(), node.line)),
                other => self.note(node.line, key, &format!("holds {}; it must be a list of strings", other.kind())),
            }
        }
        texts
    }

    /// A list of names; empty if absent.
    pub(super) fn ids(&self, key: &str) -> Vec<(Id, Option<usize>)> {
        let mut ids = Vec::new();
        for (text, line) in self.texts(key) {
            match Id::new(text) {
                Ok(id) => ids.push((id, line)),
                Err(error) => self.note(line, key, &format!("holds {text:?}; {error}")),
            }
        }
        ids
    }

    /// Notes an error about a key at a line of its own: `<path> <what>`.
    pub(super) fn note(&self, line: Option<usize>, key: &str, what: &str) {
        self.problems.add(line, format!("{} {what}", self.at(key)));
    }

    /// Notes an error about the table itself.
    pub(super) fn note_table(&self, what: &str) {
        self.problems.add(self.line, format!("{} {what}", self.path));
    }

    fn unlike<T>(&self, key: &str, found: &Value, wanted: &str) -> Option<T> {
        self.wrong(key, &format!("is {}; it must be {wanted}", found.kind()));
        None
    }
}

/// The words to choose from, as a sentence has them.
pub(super) fn choice<T: Word>() -> String {
    T::ALL.iter().map(|one| format!("{:?}", one.word())).collect::<Vec<_>>().join(" or ")
}

/// True when one letter was left out, added, changed, or two neighbours swapped.
fn near(key: &str, written: &str) -> bool {
    let (key, written): (Vec<char>, Vec<char>) = (key.chars().collect(), written.chars().collect());
    let (short, long) = if key.len() <= written.len() { (&key, &written) } else { (&written, &key) };
    let start = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let end = short.iter().rev().zip(long.iter().rev()).take_while(|(a, b)| a == b).count();
    let (rest, more) = (short.len().saturating_sub(start.saturating_add(end)), long.len().saturating_sub(short.len()));
    let swapped = rest == 2
        && more == 0
        && short.get(start) == long.get(start.saturating_add(1))
        && short.get(start.saturating_add(1)) == long.get(start);
    short.len() > 1 && ((rest == 0 && more <= 1) || (rest == 1 && more == 0) || swapped)
}
