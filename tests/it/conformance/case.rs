//! What a case looks like, and the folder they stand in.
//!
//! Owns the format (docs/conformance.md). Knows no message and no store.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The file of everything learnt from, by source.
pub const SOURCES: &str = "sources";
/// The file of what does not apply, with the reasons.
pub const SET_ASIDE: &str = "not_applicable";

/// Cases about one thing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub about: String,
    pub cases: Vec<Case>,
}

/// One account of one tenant, what happens to it, and what must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    /// What it is called where it was learnt.
    pub from: String,
    pub source: String,
    pub about: String,
    /// The arithmetic.
    pub because: String,
    /// What its source does otherwise.
    pub differs: Option<String>,
    #[serde(default)]
    pub tenant: Tenant,
    pub steps: Vec<Step>,
}

/// What the tenant sells and under which policies; what is left out has the product's default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    pub policies: Map<String, Value>,
    pub plans: Map<String, Value>,
    pub packages: Map<String, Value>,
    pub rates: Vec<Value>,
}

/// At one instant: everything due by then, then what is done, then what must be found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub at: String,
    #[serde(rename = "do")]
    pub operation: Operation,
    #[serde(default)]
    pub with: Map<String, Value>,
    #[serde(default)]
    pub expect: Map<String, Value>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Grant,
    Use,
    Spend,
    Adjust,
    Void,
    Purchase,
    Refund,
    Subscribe,
    Change,
    Reset,
    Quote,
    Read,
}

/// What does not apply for reasons of one kind, with the reason of each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub kind: String,
    pub cases: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of the folder, without their ending.
pub fn names() -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.map(|name| name.strip_suffix(".json").unwrap_or(&name).to_owned()).collect()
}

pub fn file(name: &str) -> File {
    read(name)
}

/// The cases of a file as they stand there.
pub fn cases_as_written(name: &str) -> Vec<Value> {
    read::<Value>(name)["cases"].as_array().unwrap().clone()
}

/// What was learnt from, by source.
pub fn sources() -> BTreeMap<String, Vec<String>> {
    read(SOURCES)
}

pub fn set_aside() -> Vec<Group> {
    read(SET_ASIDE)
}
