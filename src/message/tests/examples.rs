//! The example files: one per type, each parsed, each fitting its schema, none left over.

use super::*;
use crate::domain::ids::Printable;
use crate::domain::provider::PaymentSaid;
use crate::message::types;
use crate::store::facts::payment_names;
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
    for (name, text) in examples().iter().filter(|(name, _)| !name.starts_with("stripe.") && !name.starts_with("paypal.")) {
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
fn every_example_of_stripe_is_read_as_what_it_is() {
    let files: Vec<_> = examples().into_iter().filter(|(name, _)| name.starts_with("stripe.")).collect();
    assert_eq!(files.len(), 23);
    for (name, text) in files {
        let raw = webhooks::signed(&text);
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(name, format!("stripe.{}", event["type"].as_str().unwrap()));
        let paid = |command: &Command| matches!(command, Command::RecordPayment(payment) if payment.said == PaymentSaid::Paid);
        match read(&raw, &secrets).unwrap() {
            Incoming::Account(message) => {
                assert_eq!(message.account.to_string(), "acme/user-42", "{name}");
                let buys = name.ends_with("succeeded") || name.ends_with("completed");
                match message.command {
                    Command::RecordSubscription(_) => assert!(name.contains("subscription"), "{name}"),
                    Command::RecordInvoice(invoice) => assert_eq!(invoice.said == PaymentSaid::Paid, name.ends_with("paid"), "{name}"),
                    command => assert!(matches!(command, Command::RecordPayment(_)) && paid(&command) == buys, "{name}"),
                }
            }
            Incoming::Unaddressed(message) => {
                let names = payment_names(&message.command);
                if let Command::NamePayment(_) = message.command {
                    assert_eq!(names.iter().map(Printable::as_str).collect::<Vec<_>>(), ["stripe:in_1Qx", "stripe:pi_4Qx"], "{name}");
                    continue;
                }
                assert_eq!(names.iter().map(Printable::as_str).collect::<Vec<_>>(), ["stripe:pi_3Qx", "stripe:ch_3Qx"], "{name}");
                let refund = matches!(message.command, Command::RecordRefund(_)) && name.contains("refund");
                assert!(refund || matches!(message.command, Command::RecordDispute(_)) && name.contains("dispute"), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
