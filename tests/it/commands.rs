//! What the commands tell people: what went wrong, what was not changed, what to do; and the status.

use crate::worker::environment;
use std::process::{Command, Output};

/// The program on servers of the caller's choice.
fn command(arguments: &[&str], database: &str, broker: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.args(arguments).env("DATABASE_URL", database).env("AMQP_URL", broker).env("CREDITS_HTTP_BIND", "127.0.0.1:0");
    command.output().unwrap()
}

pub fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

const READING: [&[&str]; 4] = [&["tenant", "list"], &["migrate"], &["reconcile"], &["balance", "acme", "ann"]];
const SECRET: &str = "hush-hush";

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_its_cause() {
    let url = environment("DATABASE_URL");
    let (server, name) = url.rsplit_once('/').unwrap();
    let place = server.rsplit_once('@').unwrap().1;
    let stranger = format!("postgres://stranger:{SECRET}@{place}/{name}");
    let missing = format!("{server}/no_such_database");
    let away = format!("postgres://u:{SECRET}@127.0.0.1:1/ledger");
    let cases = [
        (stranger, 2, vec![format!("{place}/{name} refused the user stranger"), "because: ".into()]),
        (missing, 2, vec![format!("no database no_such_database at {place}"), "create it".into(), "migrate".into()]),
        ("nonsense".to_owned(), 2, vec!["postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()]),
        (away.clone(), 1, vec!["127.0.0.1:1/ledger cannot be reached".into(), "nothing was read or changed".into(), "refused".into()]),
    ];
    for (url, status, words) in cases {
        let waits = url == away;
        // A worker waits for a server that is away.
        for arguments in READING.into_iter().chain((!waits).then_some(&["run"][..])) {
            let output = command(arguments, &url, &environment("AMQP_URL"));
            let told = text(&output);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
            for word in &words {
                assert!(told.contains(word.as_str()), "{arguments:?} does not say {word}: {told}");
            }
            assert!(!told.contains(SECRET) && !told.contains("does not fit"), "{told}");
        }
    }
}
