//! A catalog as a tree of values that know their line, whether it was TOML or JSON.
//!
//! Owns the step from text to tree, syntax errors included. Never knows a key's meaning.

use super::problem::Problems;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1; absent in JSON.
    pub(super) line: Option<usize>,
    /// What stands there.
    pub(super) value: Value,
}

/// The values both notations have.
#[derive(Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// True or false.
    Boolean(bool),
    /// A list.
    List(Vec<Node>),
    /// Keys with values.
    Table(Vec<Entry>),
    /// What no key of a catalog takes, by its name: a fraction, a date, null.
    Other(&'static str),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// The line of the key.
    pub(super) line: Option<usize>,
    /// The value.
    pub(super) node: Node,
}

const FRACTION: &str = "a number with a fraction or exponent";

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// The tree of a TOML text; `None` with every syntax error noted.
pub(super) fn from_toml(text: &str, problems: &Problems) -> Option<Node> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| lines.line(span.start));
        problems.add(Some(line), format!("this is not TOML: {}", error.message()));
    }
    errors.is_empty().then(|| Node { line: Some(1), value: lines.table(table.get_ref()) })
}

/// The tree of a JSON value, without lines.
pub(super) fn from_json(value: &serde_json::Value) -> Node {
    let value = match value {
        serde_json::Value::Null => Value::Other("null"),
        serde_json::Value::Bool(value) => Value::Boolean(*value),
        serde_json::Value::Number(number) => {
            let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            whole.map_or(Value::Other(FRACTION), Value::Integer)
        }
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Table(entries.iter().map(|(key, value)| Entry { key: key.clone(), line: None, node: from_json(value) }).collect())
        }
    };
    Node { line: None, value }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(newline, _)| newline).collect())
    }

    /// The line of a byte, from 1: one more than the newlines before it.
    fn line(&self, byte: usize) -> usize {
        self.0.partition_point(|newline| *newline < byte).saturating_add(1)
    }

    fn node(&self, spanned: &toml::Spanned<DeValue<'_>>) -> Node {
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                i128::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Other("an integer without bounds"), Value::Integer)
            }
            DeValue::Float(_) => Value::Other(FRACTION),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Other("a date or time"),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { line: Some(self.line(spanned.span().start)), value }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let entry = |(key, value): (&toml::Spanned<_>, &_)| {
            let (line, key): (_, &std::borrow::Cow<'_, str>) = (self.line(key.span().start), key.get_ref());
            Entry { key: key.to_string(), line: Some(line), node: self.node(value) }
        };
        Value::Table(table.iter().map(entry).collect())
    }
}
