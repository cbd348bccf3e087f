//! What other credit systems are tested by, told as plain data and run against both stores.
//!
//! Owns which files there are, and that everything learnt from is a case of ours or is set aside with its
//! reason. What a case looks like is `case`'s, how it becomes messages `lines`', where it runs `stage`'s, what
//! must come out of it `check`'s. The format is documented in `docs/conformance.md`.

mod case;
mod check;
mod lines;
mod stage;

use crate::world::{World, instant};
use case::{Case, SET_ASIDE, SOURCES};
use serde_json::Value;
use stage::Stage;
use std::collections::{BTreeMap, BTreeSet};

/// How many cases of others there are.
const LEARNT_FROM: usize = 91;

/// One test per store for every file of cases: `<file>::in_memory` and `<file>::in_postgres`.
macro_rules! files {
    ($($name:ident)+) => {
        /// Every file of cases.
        const FILES: &[&str] = &[$(stringify!($name)),+];
        $(
            mod $name {
                #[tokio::test]
                async fn in_memory() {
                    super::in_memory(stringify!($name)).await;
                }

                #[tokio::test]
                async fn in_postgres() {
                    super::in_postgres(stringify!($name)).await;
                }
            }
        )+
    };
}

files! { burn charges cycles debt grants proration purchases reading resets }

async fn in_memory(name: &str) {
    let file = case::file(name);
    let mut wrong = Vec::new();
    for case in &file.cases {
        println!("case {}", case.id);
        let mut stage = Stage::in_memory(case).await;
        wrong.extend(check::run(case, &mut stage).await);
    }
    assert!(wrong.is_empty(), "{}:\n{}", file.about, wrong.join("\n"));
}

async fn in_postgres(name: &str) {
    let file = case::file(name);
    let mut wrong = Vec::new();
    for case in &file.cases {
        println!("case {}", case.id);
        let catalog = lines::document(case);
        World::in_postgres(&catalog, async |world| wrong.extend(check::run(case, &mut Stage::in_postgres(world)).await)).await;
    }
    assert!(wrong.is_empty(), "{}:\n{}", file.about, wrong.join("\n"));
}

fn every_case() -> Vec<Case> {
    FILES.iter().flat_map(|name| case::file(name).cases).collect()
}

/// Source by what was learnt from it; nothing twice.
fn learnt_from() -> BTreeMap<String, String> {
    let mut learnt = BTreeMap::new();
    for (source, ids) in case::sources() {
        for id in ids {
            assert_eq!(learnt.insert(id.clone(), source.clone()), None, "{id} stands twice among the sources");
        }
    }
    learnt
}

#[test]
fn every_file_of_the_folder_is_run() {
    let known: BTreeSet<String> = FILES.iter().copied().chain([SOURCES, SET_ASIDE]).map(str::to_owned).collect();
    assert_eq!(case::names(), known, "files of tests/conformance, and those of `files!`");
    for name in FILES {
        assert!(!case::file(name).cases.is_empty(), "{name} has no case");
    }
}

#[test]
fn everything_learnt_from_is_a_case_or_set_aside_once() {
    let learnt = learnt_from();
    assert_eq!(learnt.len(), LEARNT_FROM);
    let told = every_case().into_iter().map(|case| case.from);
    let set_aside = case::set_aside().into_iter().flat_map(|group| group.cases.into_keys());
    let mut once: Vec<String> = told.chain(set_aside).collect();
    once.sort();
    assert_eq!(once, learnt.into_keys().collect::<Vec<_>>(), "each of them once, and nothing else");
}

#[test]
fn every_case_says_what_it_is_about() {
    let learnt = learnt_from();
    let mut ids = BTreeSet::new();
    for case in every_case() {
        let id = &case.id;
        assert!(ids.insert(id.clone()), "{id} stands twice");
        assert_eq!(learnt.get(&case.from), Some(&case.source), "{id}: the source of {}", case.from);
        assert!(!case.about.is_empty(), "{id} says what it is about");
        assert!(case.because.chars().any(|letter| letter.is_ascii_digit()), "{id} shows its arithmetic");
        assert!(case.differs.as_ref().is_none_or(|differs| !differs.is_empty()), "{id} says what differs, or nothing");
        assert!(case.steps.iter().any(|step| !step.expect.is_empty()), "{id} expects something");
        assert!(case.steps.is_sorted_by_key(|step| instant(&step.at)), "{id} goes forward in time");
    }
}

#[test]
fn the_document_says_what_the_folder_holds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");
    let text = std::fs::read_to_string(path).unwrap();
    let set_aside = case::set_aside();
    let aside: usize = set_aside.iter().map(|group| group.cases.len()).sum();
    let applied = every_case().len();
    for sum in [format!("{applied} of the {LEARNT_FROM} apply"), format!("{aside} do not apply")] {
        assert!(text.contains(&sum), "the document does not say: {sum}");
    }
    for name in FILES {
        for Case { id, from, .. } in case::file(name).cases {
            assert!(text.contains(&format!("\n| `{from}` | `{name}`: {id} |\n")), "the document does not list {from} as {id} of {name}");
        }
    }
    for group in &set_aside {
        assert!(text.contains(&format!("\n### {}\n", group.kind)), "the document has no part: {}", group.kind);
        for (from, reason) in &group.cases {
            assert!(text.contains(&format!("\n| `{from}` | {reason} |\n")), "the document does not say: {from}: {reason}");
        }
    }
    let (_, rest) = text.split_once("\n```json\n").unwrap();
    let (example, _) = rest.split_once("\n```\n").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    assert!(FILES.iter().any(|name| case::cases_as_written(name).contains(&example)), "the example is no case of the folder");
}
