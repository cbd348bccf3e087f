//! The house rules that a compiler does not know: order of modules, budgets, words, names.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;
const BANNED_FILES: [&str; 4] = ["utils.rs", "helpers.rs", "common.rs", "manager.rs"];
/// Where sqlx may be named: the store; and the soak's comparison, which takes the ledger's word for
/// nothing and reads the tables by statements of its own.
const SQLX: [&str; 3] = ["store/postgres/", "soak/compare.rs", "soak/mod.rs"];
/// Written in pieces so that this file does not contain them.
const BANNED_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The part of a file before its unit tests.
fn production(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn complaints(check: impl Fn(&Path, &str) -> Vec<String>) -> Vec<String> {
    sources(&root().join("src"))
        .iter()
        .filter(|(path, _)| !is_test_file(path))
        .flat_map(|(path, text)| {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            check(path, text).into_iter().map(move |what| format!("{shown}: {what}"))
        })
        .collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Top-level modules in the order `lib.rs` lists them.
fn order() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

#[test]
fn modules_use_only_those_above_them() {
    let order = order();
    let place = |name: &str| order.iter().position(|module| module == name);
    assert_none(&complaints(|path, text| {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let own = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(mine) = place(own) else { return Vec::new() };
        let used =
            production(text).into_iter().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split("crate::").skip(1));
        used.filter_map(|rest| rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next())
            .filter(|name| place(name).is_some_and(|theirs| theirs > mine))
            .map(|name| format!("uses {name}, which stands below {own}: move one of them"))
            .collect()
    }));
}

#[test]
fn files_and_functions_keep_their_budgets() {
    assert_none(&complaints(|_, text| {
        let lines = production(text);
        let mut complaints = Vec::new();
        if lines.len() > FILE_LINES_MAX {
            complaints.push(format!("{} lines before its tests, more than {FILE_LINES_MAX}: it is two things", lines.len()));
        }
        complaints.extend(
            functions(&lines)
                .into_iter()
                .filter(|one| one.lines > FUNCTION_LINES_MAX)
                .map(|one| format!("{} has {} lines, more than {FUNCTION_LINES_MAX}", one.name, one.lines)),
        );
        complaints.extend(
            functions(&lines)
                .into_iter()
                .filter(|one| one.parameters > PARAMETERS_MAX)
                .map(|one| format!("{} takes {} parameters, more than {PARAMETERS_MAX}: some belong together", one.name, one.parameters)),
        );
        complaints
    }));
}

struct Function {
    name: String,
    lines: usize,
    parameters: usize,
}

/// Functions by indentation: formatted code closes a function where it began.
fn functions(lines: &[&str]) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(rest) = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn ", "pub(super) async fn "]
            .iter()
            .find_map(|start| trimmed.strip_prefix(start))
        else {
            continue;
        };
        let indent = line.len() - trimmed.len();
        let close = format!("{}}}", " ".repeat(indent));
        let length = if line.trim_end().ends_with('}') || line.trim_end().ends_with(';') {
            1
        } else {
            lines[index..].iter().position(|line| *line == close).map_or(1, |end| end + 1)
        };
        let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        found.push(Function { name, lines: length, parameters: parameters(&lines[index..]) });
    }
    found
}

/// Parameters of the signature that begins here, `self` not counted.
fn parameters(lines: &[&str]) -> usize {
    let text = lines.iter().take(12).copied().collect::<Vec<_>>().join(" ").replace("->", "");
    let (mut depth, mut count, mut seen) = (0_i32, 0, false);
    let mut inside = String::new();
    for letter in text.chars() {
        match letter {
            '(' | '<' | '[' | '{' => depth += 1,
            ')' | '>' | ']' | '}' => {
                depth -= 1;
                if seen && depth == 0 && letter == ')' {
                    break;
                }
            }
            _ => {}
        }
        seen |= letter == '(' && depth == 1;
        if seen {
            inside.push(letter);
        }
    }
    let mut depth = 0;
    let mut part = String::new();
    for letter in inside.chars().skip(1).chain([',']) {
        match letter {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                let name = part.trim();
                count += usize::from(
                    !name.is_empty()
                        && !name.trim_start_matches("mut ").trim_start_matches('&').trim_start_matches("mut ").starts_with("self"),
                );
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    count
}

#[test]
fn no_file_is_an_attic_and_every_file_says_what_it_owns() {
    assert_none(&complaints(|path, text| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut complaints = Vec::new();
        if BANNED_FILES.contains(&name) {
            complaints.push("belongs to nobody: name it after what it owns".to_owned());
        }
        if !text.starts_with("//! ") {
            complaints.push("does not open with what it owns".to_owned());
        }
        complaints.extend(BANNED_WORDS.iter().filter(|word| text.contains(**word)).map(|word| format!("contains {word}")));
        complaints
    }));
}

#[test]
fn only_their_own_modules_name_the_database_and_the_broker() {
    assert_none(&complaints(|path, text| {
        let inside = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        let names = |library: &str| production(text).iter().any(|line| !line.trim_start().starts_with("//") && line.contains(library));
        let mut complaints = Vec::new();
        if names("lapin::") && !inside.starts_with("amqp") {
            complaints.push("names lapin: only src/amqp does".to_owned());
        }
        if names("sqlx::") && !SQLX.iter().any(|allowed| inside.starts_with(allowed)) {
            complaints.push("names sqlx: only src/store/postgres does, and the soak's comparison".to_owned());
        }
        if names("tokio::") && inside.starts_with("domain") {
            complaints.push("the core does no I/O".to_owned());
        }
        if names("serde") && inside.starts_with("domain") {
            complaints.push("a serialisable type is a promise: only the wire makes it".to_owned());
        }
        if (names("Timestamp::now") || names("Zoned::now")) && inside.starts_with("domain") {
            complaints.push("time is a parameter in the core".to_owned());
        }
        complaints
    }));
}

#[test]
fn every_dependency_has_its_reason_and_no_reason_is_left_over() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let sections = manifest.split("\n[").filter(|section| section.starts_with("dependencies]") || section.starts_with("dev-dependencies]"));
    let mut dependencies: Vec<&str> =
        sections.flat_map(str::lines).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    let decisions = fs::read_to_string(root().join("docs/decisions.md")).unwrap();
    let (_, list) = decisions.split_once("\n## Dependencies\n").unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| ")).skip(2);
    let mut reasons: Vec<&str> = rows.filter_map(|row| row.split([' ', '|']).next()).collect();
    dependencies.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(dependencies, reasons);
}
