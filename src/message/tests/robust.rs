//! No bytes make `read` panic, and no mutation of a good message passes as another account's.

use super::*;
use crate::message::{Line, reread};
use proptest::prelude::*;

fn any_delivery() -> impl Strategy<Value = (usize, String)> {
    (0..Queue::ALL.len(), prop_oneof![Just("credits.grant.acme"), Just("usage.recorded.acme"), Just("payment.stripe.acme"), Just("x")])
        .prop_map(|(queue, key)| (queue, key.to_owned()))
}

fn raw_of((queue, routing_key): (usize, String), body: Vec<u8>) -> Raw {
    let headers =
        BTreeMap::from([("x-tenant".to_owned(), "acme".to_owned()), ("x-received-at".to_owned(), "2026-01-31T09:30:00Z".to_owned())]);
    Raw { queue: Queue::ALL[queue], routing_key, headers, content_type: None, reply_to: None, correlation_id: None, body }
}

/// Good bodies to be spoilt.
fn good() -> Vec<String> {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/messages");
    std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

proptest! {
    #[test]
    fn b29_random_bytes_never_panic(place in any_delivery(), body in prop::collection::vec(any::<u8>(), 0..400)) {
        let raw = raw_of(place, body);
        let _ = (read(&raw, &secrets), reread(&raw), raw.digest());
    }

    #[test]
    fn random_json_never_panics(place in any_delivery(), body in r#"[\[\]{}:,"\\u0a1\.e\-ntrf ]{0,200}"#) {
        let raw = raw_of(place, body.into_bytes());
        let _ = (read(&raw, &secrets), reread(&raw));
    }

    #[test]
    fn random_lines_never_panic(line in r#"[\[\]{}:,"a-z0-9 \-\.]{0,200}"#) {
        let _ = Line::parse(&line);
    }
}

#[test]
fn spoilt_examples_never_panic() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 48, ..ProptestConfig::default() });
    let good = good();
    let spoil = (0..good.len(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    runner
        .run(&prop::collection::vec(spoil, 64), |spoils| {
            for (which, place, byte, cut) in spoils {
                let mut body = good[which].clone().into_bytes();
                let at = place.index(body.len());
                if cut {
                    body.truncate(at);
                } else {
                    body[at] = byte;
                }
                let event: Value = serde_json::from_str(&good[which]).unwrap();
                let raw = if event.get("specversion").is_some() {
                    Raw { body, ..delivery(event["type"].as_str().unwrap(), "") }
                } else {
                    let provider = if event.get("event_type").is_some() { "paypal" } else { "stripe" };
                    raw_of((0, format!("payment.{provider}.acme")), body)
                };
                if let Ok(Incoming::Account(message)) = reread(&raw) {
                    prop_assert_eq!(message.account.tenant.as_str(), "acme");
                }
            }
            Ok(())
        })
        .unwrap();
}
