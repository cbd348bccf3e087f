//! Tables as a reader sees them.

use super::*;
use crate::domain::entry::{EntryKind, Touch};
use crate::domain::grant::{GrantEnd, GrantSource, GrantTerms};
use crate::domain::ids::{AccountKey, MessageId};
use std::sync::Arc;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn grant(number: u32, priority: Option<u32>, remaining: u32) -> Grant {
    Grant {
        terms: Arc::new(GrantTerms {
            number,
            id: id(&format!("g{number}")),
            source: GrantSource::Promotional,
            credits: Credits::whole(100),
            cost_basis: Credits::ZERO,
            priority,
            effective_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            end: GrantEnd::Never,
            scope: Vec::new(),
            rollover: None,
            recurs: None,
            parent: (number == 2).then_some(1),
            generation: 0,
            cycle: None,
            payment: None,
            cause: MessageId::due("test"),
        }),
        status: GrantStatus::Active,
        remaining: Credits::whole(remaining),
        frozen: Credits::ZERO,
        clawed: Credits::ZERO,
        breakage: Credits::ZERO,
        trimmed: Credits::ZERO,
        voided: Credits::ZERO,
        handed_on: Credits::ZERO,
        ended_at: None,
        end_recorded_at: None,
        closes_left: 1,
        refill_at: None,
    }
}

fn entry(seq: u64, kind: EntryKind, amount: u32, change: Credits) -> Entry {
    Entry {
        seq,
        kind,
        amount: Credits::whole(amount),
        balance_after: Credits::whole(70),
        held_change: Credits::ZERO,
        frozen_change: Credits::ZERO,
        debt_change: Credits::ZERO,
        reference: Some(Printable::new("order-7").unwrap()),
        cause: MessageId::due("test"),
        actor: None,
        memo: None,
        occurred_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        recorded_at: "2026-01-02T03:04:05.5Z".parse().unwrap(),
        touched: vec![Touch { grant: 1, change }],
    }
}

fn account(balance: u32) -> Account {
    let mut account = Account::unopened(AccountKey { tenant: id("acme"), account: id("u-1") });
    account.balance = Credits::whole(balance);
    account.seq = 3;
    account
}

#[test]
fn a_balance_lists_usable_grants_in_burn_order() {
    let grants = BTreeMap::from([(1, grant(1, None, 70)), (2, grant(2, Some(1), 30)), (3, grant(3, Some(0), 0))]);
    let view = AccountView::of(&account(100), &grants, &Settings::default());
    assert_eq!(
        view.json(Some(4)),
        r#"{"line":4,"account":{"balance":"100","held":"0","frozen":"0","available":"100","debt":"0","seq":3,"grants":[{"grant":"g2","parent":"g1","source":"promotional","remaining":"30","effective_at":"2026-01-01T00:00:00Z","ends_at":null,"priority":1},{"grant":"g1","source":"promotional","remaining":"70","effective_at":"2026-01-01T00:00:00Z","ends_at":null,"priority":40}]}}"#
    );
    assert!(view.json(None).starts_with(r#"{"account":{"balance":"100""#));
    let text = view.text();
    assert!(text.starts_with("available 100   balance 100   held 0   frozen 0   debt 0   (entry 3)\n"), "{text}");
    assert!(text.contains("g2 (from g1)") && text.contains("no end"), "{text}");
}

#[test]
fn a_past_balance_is_made_from_its_entries() {
    let entries = [entry(1, EntryKind::Granted, 100, Credits::whole(100)), entry(2, EntryKind::Used, 30, Credits::whole(30).negated())];
    let grants = BTreeMap::from([(1, grant(1, None, 5))]);
    let view = AccountView::at(&account(5), &grants, &Settings::default(), &entries).unwrap();
    assert_eq!((view.balance.as_str(), view.seq), ("70", 2));
    assert_eq!(view.grants.iter().map(|grant| grant.remaining.as_str()).collect::<Vec<_>>(), ["70"]);
}

#[test]
fn history_is_one_line_an_entry() {
    let entries = [
        entry(1, EntryKind::Granted, 100, Credits::whole(100)),
        entry(2, EntryKind::Used, 30, Credits::whole(30).negated()),
        Entry { debt_change: Credits::whole(5), ..entry(3, EntryKind::DebtIncurred, 0, Credits::ZERO) },
    ];
    let text = history(&entries);
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["1", "2026-01-02", "03:04:05", "In", "granted", "order-7", "+100", "70"]);
    assert_eq!(words[2], ["2", "2026-01-02", "03:04:05", "Out", "used", "order-7", "-30", "70"]);
    assert_eq!(words[3], ["3", "2026-01-02", "03:04:05", "debt_incurred", "order-7", "debt", "+5", "70"]);
}
