//! `schema`: writes what messages look like, for producers, subscribers and their tools.
//!
//! Owns the places of the files. Never touches a file it does not write.

use super::print;
use crate::amqp::Topology;
use crate::{asyncapi, message};
use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Folder that gets `asyncapi.json` and `schemas/`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Every file by its place, the same on every run. Names are those of the default prefix.
fn files() -> Vec<(String, String)> {
    let schemas = message::schemas().into_iter().map(|(place, schema)| (format!("schemas/{place}.json"), schema));
    let document = ("asyncapi.json".to_owned(), asyncapi::document(&Topology::new("credits")));
    schemas.chain([document]).map(|(place, value)| (place, text(&value))).collect()
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

pub fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    let files = files();
    for (place, text) in &files {
        let path = args.dir.join(place);
        let folder = path.parent().unwrap_or(&args.dir);
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    print(&format!("{} files written to {}", files.len(), args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Files below a folder, by their place in it.
    fn below(folder: &Path, root: &Path) -> BTreeSet<String> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths
            .flat_map(|path| {
                let place = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() { below(&path, root) } else { [place].into() }
            })
            .collect()
    }

    #[test]
    fn the_committed_files_are_what_the_types_say() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let files = files();
        for (place, text) in &files {
            let committed = std::fs::read_to_string(docs.join(place)).unwrap_or_default();
            assert!(committed == *text, "docs/{place} is not what the types say; run `cargo run -- schema --dir docs`");
        }
        for place in below(&docs.join("schemas"), &docs) {
            assert!(files.iter().any(|(known, _)| *known == place), "docs/{place} is of no type; delete it");
        }
    }

    #[test]
    fn every_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        run(&SchemaArgs { dir: folder.path().join("new") }).unwrap();
        let written = below(folder.path(), &folder.path().join("new"));
        assert_eq!(written, files().into_iter().map(|(place, _)| place).collect());
    }
}
