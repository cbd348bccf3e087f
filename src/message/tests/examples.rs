//! The example files: one per type, each parsed, each fitting its schema, none left over.

use super::*;
use crate::message::types;
use std::path::PathBuf;

pub(super) fn examples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/messages");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_type_has_an_example_and_every_example_is_read() {
    let mut seen = Vec::new();
    for (name, text) in examples().iter().filter(|(name, _)| !name.starts_with("stripe.")) {
        let event: Value = serde_json::from_str(text).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        assert!(name == &kind || name == &format!("{kind}.tenant"), "{name}");
        let result = read(&delivery(&kind, text), &secrets);
        assert_eq!(fate(&result), "read", "{name}: {result:?}");
        assert_eq!(fits(&kind, &event), Ok(()), "{name}");
        seen.push(kind);
    }
    for (kind, _) in types() {
        assert!(seen.iter().any(|seen| seen == kind), "no example of {kind}");
    }
}

#[test]
fn every_example_of_stripe_buys_what_it_says() {
    let files: Vec<_> = examples().into_iter().filter(|(name, _)| name.starts_with("stripe.")).collect();
    assert_eq!(files.len(), 3);
    for (name, text) in files {
        let raw = webhooks::signed(&text);
        let Ok(Incoming::Account(message)) = read(&raw, &secrets) else { panic!("{name}: {:?}", read(&raw, &secrets)) };
        assert_eq!(message.account.to_string(), "acme/user-42");
        assert!(matches!(message.command, Command::RecordPayment(payment) if payment.paid), "{name}");
    }
}
