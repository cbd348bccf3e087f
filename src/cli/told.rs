//! Words for what an outcome alone leaves open: what a message waits for, why one was set aside, what is not there.
//!
//! Owns the sentences that `publish`, `simulate`, `outcome`, `balance` and `history` share. Never asks
//! a service.

use crate::domain::decision::On;
use crate::domain::ids::{AccountKey, Id, Printable};
use jiff::Timestamp;
use std::fmt::Display;

/// Hexadecimal digits of a digest that name a message in quarantine.
const DIGEST_LETTERS: usize = 12;

/// That there is no such tenant, and what to do.
pub fn no_tenant(tenant: &Id) -> String {
    format!("the ledger has no tenant {tenant}; `credit-ledger tenant list` shows those there are, `credit-ledger catalog apply` makes one")
}

/// What is waited for, until when, and how to give it.
pub fn wait(account: Option<&AccountKey>, on: &On, deadline: Timestamp) -> String {
    let (what, by) = match on {
        On::Account => (
            format!("for the account{} to be opened", account.map_or_else(String::new, |account| format!(" {account}"))),
            "its first credit (a grant, payment, request or subscription) or account.opened opens it",
        ),
        On::Request(request) => (format!("for the request {request} to be submitted"), "credit_request.submitted gives it"),
        On::Decision(request) => (format!("for the request {request} to be decided"), "credit_request.decided gives it"),
        On::Payment(names) => {
            let first = names.first().map_or("", Printable::as_str);
            (format!("for the payment {first} to become known"), "the provider's event about the payment itself gives it")
        }
        On::Subscription(subscription) => (format!("for the subscription {subscription} to start"), "subscription.started gives it"),
        On::Claim(_) => (
            "for another account's message about the same payment, request or reference to be decided".to_owned(),
            "this follows by itself",
        ),
        On::Time(at) => {
            return format!("for the time {}; a test clock is moved by a cycle.reset without subject", second(*at));
        }
    };
    format!("{what}, until {}; {by}", second(deadline))
}

/// The same for programs.
pub fn wait_json(on: &On, deadline: Timestamp) -> serde_json::Value {
    let name = match on {
        On::Request(name) | On::Decision(name) | On::Subscription(name) => Some(name.as_str()),
        On::Payment(names) => names.first().map(Printable::as_str),
        On::Account | On::Time(_) | On::Claim(_) => None,
    };
    serde_json::json!({ "what": on.word(), "name": name, "until": deadline.to_string() })
}

/// The beginning of a digest, as `quarantine list` shows it.
pub fn short(digest: &[u8]) -> String {
    hex::encode(digest).chars().take(DIGEST_LETTERS).collect()
}

/// `1 entry`, `2 entries`.
pub fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    let word = if number == N::from(1) { one } else { many };
    format!("{number} {word}")
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Claim;
    use crate::domain::ids::Id;

    #[test]
    fn every_wait_says_what_until_when_and_how() {
        let account = AccountKey { tenant: Id::new("acme").unwrap(), account: Id::new("ann").unwrap() };
        let at: Timestamp = "2026-01-02T03:04:05.123456Z".parse().unwrap();
        let name = Id::new("r-1").unwrap();
        for (on, words) in [
            (On::Account, ["acme/ann to be opened", "until 2026-01-02 03:04:05 UTC", "account.opened"]),
            (On::Request(name.clone()), ["request r-1", "until 2026-01-02 03:04:05 UTC", "credit_request.submitted"]),
            (On::Subscription(name), ["subscription r-1", "until 2026-01-02 03:04:05 UTC", "subscription.started"]),
            (On::Decision(Id::new("r-1").unwrap()), ["request r-1", "until 2026-01-02 03:04:05 UTC", "credit_request.decided"]),
            (
                On::Payment(vec![Printable::new("stripe:pi_1").unwrap()]),
                ["payment stripe:pi_1", "until 2026-01-02 03:04:05 UTC", "provider"],
            ),
            (On::Time(at), ["the time 2026-01-02 03:04:05 UTC", "test clock", "cycle.reset"]),
            (On::Claim(Claim::Undecided), ["another account's message", "until 2026-01-02 03:04:05 UTC", "by itself"]),
        ] {
            let said = wait(Some(&account), &on, at);
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
            assert_eq!(wait_json(&on, at)["what"], on.word());
        }
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((count(1_usize, "entry", "entries"), count(0_i64, "entry", "entries")), ("1 entry".to_owned(), "0 entries".to_owned()));
    }
}
