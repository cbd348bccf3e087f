//! Announcements, byte for byte.

use super::*;
use crate::domain::account::{AccountKind, Profile, Zone};
use crate::domain::calendar::Interval;
use crate::domain::credits::Credits;
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::event::{Asked, Event, Refusal};
use crate::domain::ids::{AccountKey, Hash, MessageId, Printable};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::RequestStatus;
use crate::domain::subscription::{Cycle, Reset, Subscription, Wanted};
use crate::message::event::{Quarantined, TenantRefused, tenant_refused};
use crate::message::{Change, Heading, Outgoing, balance_changed, entry_json, quarantined, render};
use jiff::Timestamp;
use std::sync::Arc;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

fn printable(text: &str) -> Printable {
    Printable::new(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn message() -> MessageId {
    MessageId { source: printable("app"), id: printable("m-1") }
}

fn key() -> AccountKey {
    AccountKey { tenant: id("acme"), account: id("u-1") }
}

/// What is announced, which fits the schema of its type.
fn shown(out: &Outgoing) -> Value {
    let event: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(fits(&format!("events/{}", event["type"].as_str().unwrap()), &event), Ok(()));
    event
}

fn announce(event: &Event) -> (String, Value) {
    let key = key();
    let heading = Heading { source: "credit-ledger", key: &key, number: 7, sequence: 12, time: at("2026-01-31T00:00:00.5Z") };
    let out = render(&heading, event);
    let body = shown(&out);
    assert_eq!(out.routing_key, format!("{}.acme", body["type"].as_str().unwrap()));
    assert_eq!(body["id"].as_str(), Some(out.id.as_str()));
    (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
}

fn entry() -> Entry {
    Entry {
        seq: 12,
        kind: EntryKind::Spent,
        amount: credits("5.50"),
        balance_after: credits("94.5"),
        held_change: Credits::ZERO,
        frozen_change: Credits::ZERO,
        debt_change: credits("-1"),
        reference: Some(printable("order \"7\"")),
        cause: message(),
        actor: Some(printable("ana")),
        memo: None,
        occurred_at: at("2026-01-30T23:59:59Z"),
        recorded_at: at("2026-01-31T00:00:00.123456Z"),
        touched: Vec::new(),
    }
}

#[test]
fn an_entry_is_shown_as_the_contract_lists_it() {
    assert_eq!(
        entry_json(&entry()),
        json!({
            "seq": 12, "kind": "spent", "direction": "out", "amount": "5.5", "balance_after": "94.5", "held_change": "0",
            "frozen_change": "0", "debt_change": "-1", "reference": "order \"7\"", "occurred_at": "2026-01-30T23:59:59Z",
            "recorded_at": "2026-01-31T00:00:00.123456Z", "cause": {"source": "app", "id": "m-1"},
        })
    );
    assert_eq!(entry_json(&Entry { reference: None, ..entry() })["reference"], Value::Null);
}

#[test]
fn a_change_of_balance_is_one_exact_text() {
    let key = key();
    let change = Change { first: 12, last: 13, held: credits("10"), frozen: Credits::ZERO, debt: credits("2") };
    let out = balance_changed("credit-ledger", &key, 3, &change, &[entry(), Entry { seq: 13, ..entry() }]).unwrap();
    // Never with other entries than its own.
    assert_eq!(balance_changed("credit-ledger", &key, 3, &change, &[entry()]), None);
    assert_eq!(out.routing_key, "balance.changed.acme");
    let line = |seq: u32| {
        format!(
            r#"{{"seq":{seq},"kind":"spent","direction":"out","amount":"5.5","balance_after":"94.5","held_change":"0","frozen_change":"0","debt_change":"-1","reference":"order \"7\"","occurred_at":"2026-01-30T23:59:59Z","recorded_at":"2026-01-31T00:00:00.123456Z","cause":{{"source":"app","id":"m-1"}}}}"#
        )
    };
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"credit-ledger","type":"balance.changed","subject":"u-1","tenant":"acme","time":"2026-01-31T00:00:00.123456Z","datacontenttype":"application/json","sequence":13,"data":{{"balance":"94.5","held":"10","frozen":"0","available":"84.5","debt":"2","from_seq":12,"to_seq":13,"entries":[{},{}]}}}}"#,
        out.id,
        line(12),
        line(13),
    );
    assert_eq!(shown(&out)["sequence"], 13);
    assert_eq!(String::from_utf8(out.body).unwrap(), expected);
}

#[test]
fn ids_are_permanent_and_differ_by_account_and_number() {
    let of = |tenant: &str, account: &str, number| {
        let key = AccountKey { tenant: id(tenant), account: id(account) };
        let heading = Heading { source: "any", key: &key, number, sequence: number, time: Timestamp::UNIX_EPOCH };
        render(&heading, &Event::DebtRepaid { payment: None, amount: credits("1"), debt: Credits::ZERO }).id
    };
    assert_eq!(of("acme", "u-1", 7), "f3298981-1718-5bda-7e10-c38400447618");
    let ids: std::collections::BTreeSet<_> =
        [of("acme", "u-1", 7), of("acme", "u-1", 8), of("acme", "u-17", 7), of("acmeu", "-1", 7), of("acme", "u-1", 77)].into();
    assert_eq!(ids.len(), 5);
}

#[test]
fn refusals_say_what_was_asked_and_why_not() {
    let asked = Asked { id: message(), reference: printable("image"), credits: Some(credits("6.00")) };
    let refusal =
        Refusal { asked: asked.clone(), available: credits("5"), reasons: vec![Rejection::AccountFrozen, Rejection::InsufficientCredits] };
    let data = json!({
        "source": "app", "id": "m-1", "reference": "image", "credits": "6", "available": "5",
        "reasons": ["account_frozen", "insufficient_credits"],
    });
    assert_eq!(announce(&Event::UsageRejected(refusal.clone())), ("usage.rejected".into(), data.clone()));
    assert_eq!(announce(&Event::SpendRejected(refusal)), ("spend.rejected".into(), data));
    let accepted = Event::SpendAccepted { asked: Asked { credits: None, ..asked }, available: credits("5") };
    let data = json!({"source": "app", "id": "m-1", "reference": "image", "credits": null, "available": "5"});
    assert_eq!(announce(&accepted), ("spend.accepted".into(), data));
    let other = Event::MessageRejected { id: message(), kind: "credits.grant", reasons: vec![Rejection::InvalidAmount] };
    let data = json!({"source": "app", "id": "m-1", "type": "credits.grant", "reasons": ["invalid_amount"]});
    assert_eq!(announce(&other), ("message.rejected".into(), data));
}

#[test]
fn requests_are_announced_under_their_state() {
    for (status, kind) in [
        (RequestStatus::Pending, "credit_request.pending"),
        (RequestStatus::Accepted, "credit_request.accepted"),
        (RequestStatus::Rejected, "credit_request.rejected"),
        (RequestStatus::Cancelled, "credit_request.cancelled"),
        (RequestStatus::Expired, "credit_request.expired"),
    ] {
        let event = Event::Request { request: id("r-1"), status, credits: credits("10"), actor: None, reason: Some("late".into()) };
        let data = json!({"request": "r-1", "credits": "10", "actor": null, "reason": "late"});
        assert_eq!(announce(&event), (kind.into(), data));
    }
}

#[test]
fn money_matters_are_announced() {
    let paid = Event::InvoicePaid { reference: printable("i-1"), credits: credits("10") };
    assert_eq!(announce(&paid), ("invoice.paid".into(), json!({"reference": "i-1", "credits": "10"})));
}

#[test]
fn debt_has_every_key_of_its_row() {
    let incurred = Event::DebtIncurred { payment: None, amount: credits("3"), debt: credits("4"), reference: Some(printable("i-1")) };
    let data = json!({"payment": null, "target": null, "taken": null, "shortfall": "3", "debt": "4", "reference": "i-1"});
    assert_eq!(announce(&incurred), ("debt.incurred".into(), data));
    let repaid = Event::DebtRepaid { payment: Some(printable("stripe:pi_1")), amount: credits("3"), debt: credits("1") };
    let data = json!({"payment": "stripe:pi_1", "target": null, "taken": "3", "shortfall": "3", "debt": "1"});
    assert_eq!(announce(&repaid), ("debt.repaid".into(), data));
}

#[test]
fn a_reset_says_what_it_did() {
    let reset = Reset {
        subscription: id("s-1"),
        k: -1,
        n: 2,
        boundary: at("2026-01-31T00:00:00Z"),
        granted: credits("1000"),
        forfeited: credits("300"),
        rolled_over: credits("200"),
        next_boundary: None,
    };
    let data = json!({
        "subscription": "s-1", "k": -1, "n": 2, "granted": "1000", "forfeited": "300", "rolled_over": "200", "next_boundary": null,
    });
    assert_eq!(announce(&Event::CycleReset(reset.clone())), ("cycle.reset".into(), data));
    let next = Reset { next_boundary: Some(at("2026-02-28T00:00:00Z")), ..reset };
    assert_eq!(announce(&Event::CycleReset(next)).1["next_boundary"], "2026-02-28T00:00:00Z");
}

#[test]
fn states_are_announced_whole() {
    let wanted = Wanted { plan: id("team"), addons: BTreeMap::from([(id("generative"), 2)]) };
    let subscription = Subscription {
        id: id("s-1"),
        started_with: wanted.clone(),
        interval: Interval::Year,
        allowance_every: Interval::Month,
        anchor: "2026-01-31T00:00:00".parse().unwrap(),
        zone: Zone::utc(),
        started_at: at("2026-01-31T00:00:00Z"),
        began: wanted.clone(),
        current: wanted.clone(),
        next: Some(Wanted { addons: BTreeMap::new(), ..wanted }),
        cancelled: false,
        ended: false,
        told: None,
        paid: Vec::new(),
        cycle: Cycle {
            k: 0,
            n: 1,
            start: at("2026-01-31T00:00:00Z"),
            end: at("2026-02-28T00:00:00Z"),
            catalog: 3,
            allowance: credits("1000"),
            units: BTreeMap::new(),
        },
    };
    let data = json!({
        "subscription": "s-1", "plan": "team", "addons": [{"addon": "generative", "units": 2}], "interval": "year",
        "allowance_every": "month", "anchor": "2026-01-31T00:00:00", "time_zone": "UTC", "next": {"plan": "team", "addons": []},
        "cancelled": false, "ended": false,
        "cycle": {"k": 0, "n": 1, "start": "2026-01-31T00:00:00Z", "end": "2026-02-28T00:00:00Z"},
    });
    assert_eq!(announce(&Event::SubscriptionChanged(Box::new(subscription))), ("subscription.changed".into(), data));
    let profile = Profile { kind: Some(AccountKind::User), zone: Zone::named("Europe/Berlin").unwrap(), ..Profile::default() };
    let data = json!({
        "status": "open", "kind": "user", "owner": null, "time_zone": "Europe/Berlin", "metadata": {}, "alerts": [], "auto_topup": null,
        "invoicing": false,
    });
    assert_eq!(announce(&Event::AccountChanged { status: "open", profile: Arc::new(profile) }), ("account.changed".into(), data));
}

#[test]
fn quarantine_is_announced_without_payload_or_sequence() {
    let (tenant, message) = (id("acme"), message());
    let what = Quarantined {
        source: "credit-ledger",
        tenant: Some(&tenant),
        digest: Hash([7; 32]),
        time: at("2026-01-31T00:00:00Z"),
        reason: QuarantineReason::Malformed,
        id: Some(&message),
        kind: Some("credits.grant"),
    };
    let out = quarantined(&what);
    let body = shown(&out);
    assert_eq!(out.routing_key, "message.quarantined.acme");
    assert_eq!(body["data"], json!({"reason": "malformed", "source": "app", "id": "m-1", "type": "credits.grant"}));
    assert!(body.get("sequence").is_none() && body.get("subject").is_none());
    assert_eq!(quarantined(&what).id, out.id, "permanent");
    let nameless = quarantined(&Quarantined { tenant: None, id: None, kind: None, ..what });
    assert_eq!(nameless.routing_key, "message.quarantined");
    assert_eq!(shown(&nameless)["data"], json!({"reason": "malformed"}));
    assert!(shown(&nameless).get("tenant").is_none());
}

#[test]
fn a_refusal_about_a_tenant_has_no_subject_and_a_permanent_id() {
    let (tenant, message) = (id("acme"), message());
    let reasons = [Rejection::ResetInFuture];
    let time = at("2026-01-31T00:00:00Z");
    let what = TenantRefused { source: "credit-ledger", tenant: &tenant, time, id: &message, kind: "cycle.reset", reasons: &reasons };
    let out = tenant_refused(&what);
    let body = shown(&out);
    assert_eq!((out.routing_key.as_str(), &body["type"]), ("message.rejected.acme", &json!("message.rejected")));
    assert_eq!(body["data"], json!({"source": "app", "id": "m-1", "type": "cycle.reset", "reasons": ["reset_in_future"]}));
    assert!(body.get("sequence").is_none() && body.get("subject").is_none());
    assert_eq!(tenant_refused(&what).id, out.id);
    let other = MessageId { id: printable("m-2"), ..message.clone() };
    assert_ne!(tenant_refused(&TenantRefused { id: &other, ..what }).id, out.id);
}
