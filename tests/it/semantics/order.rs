//! Order does not matter: any set of payments, refunds, disputes and decisions ends in the same balances, in
//! whatever order it arrives and however often (semantics §6, §9).

use credit_ledger::message::Line;
use credit_ledger::permute::{Trial, permute};
use credit_ledger::secrets::Secrets;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Orders of the property, as many again with repeats; the nightly profile sets 10,000.
const TRIES: u32 = 500;
/// How many in the nightly profile.
const NIGHTLY_TRIES: u32 = 10_000;
const AT: i64 = 1_767_225_600;

/// Shortfall policies and how usage beyond the credits is taken come from the case.
pub fn setting(shortfall: &str) -> Vec<Value> {
    let catalog = json!({
        "currency": "USD",
        "packages": {"pack": {"credits": "1000", "price": "100.00"}, "plus": {"credits": "900", "bonus": "100", "price": "50.00"}},
        "rates": [{"meter": "unit", "price": "1", "insufficient": "allow"}],
        "policies": {"shortfall": shortfall},
    });
    let staff = json!({"specversion": "1.0", "id": "staff", "source": "t", "type": "member.changed", "tenant": "acme",
        "time": "2026-01-01T00:00:00Z", "data": {"member": "bob", "role": "approver"}});
    vec![json!({"tenant": "acme", "catalog": catalog}), staff]
}

/// Something of the account, in the order it stands.
pub fn told(id: &str, kind: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "t", "type": kind, "tenant": "acme", "subject": "u",
        "time": "2026-01-01T00:00:00Z", "data": data})
}

fn webhook(id: &str, kind: &str, object: &Value) -> Value {
    json!({"webhook": "stripe", "tenant": "acme",
        "event": {"id": id, "type": kind, "livemode": false, "created": AT, "data": {"object": object}}})
}

/// What happens to one payment.
#[derive(Debug, Clone)]
struct Fate {
    package: &'static str,
    /// Sessions name the account, their PaymentIntent's events may not.
    names_itself: bool,
    refunds: Vec<(u32, Option<&'static str>)>,
    /// Percent of the price, and the last that is heard of it.
    dispute: Option<(u32, &'static str)>,
    charge_shows: bool,
    only_by_charge: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let refund = (1_u32..=60, prop_oneof![Just(None), Just(Some("pending")), Just(Some("failed"))]);
    let dispute = (1_u32..=100, prop_oneof![Just("opened"), Just("withdrawn"), Just("lost"), Just("won"), Just("reinstated")]);
    (
        prop_oneof![Just("pack"), Just("plus")],
        any::<bool>(),
        proptest::collection::vec(refund, 0..3),
        proptest::option::of(dispute),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(package, names_itself, refunds, dispute, charge_shows, only_by_charge)| Fate {
            package,
            names_itself,
            refunds,
            dispute,
            charge_shows,
            only_by_charge,
        })
}

impl Fate {
    fn messages(&self, number: usize, currency: &str) -> Vec<Value> {
        let price: u32 = if self.package == "pack" { 10_000 } else { 5000 };
        let (payment, charge) = (format!("pi_{number}"), format!("ch_{number}"));
        let meta = json!({"credit_account": "u", "credit_package": self.package});
        let id = |what: &str| format!("evt_{number}_{what}");
        let mut messages = vec![webhook(
            &id("session"),
            "checkout.session.completed",
            &json!({"id": format!("cs_{number}"), "mode": "payment", "payment_status": "paid", "amount_total": price, "currency": currency,
                "payment_intent": payment, "metadata": meta}),
        )];
        let own = if self.names_itself { meta } else { json!({}) };
        let intent = json!({"id": payment, "amount": price, "amount_received": price, "currency": currency, "latest_charge": charge, "metadata": own});
        messages.push(webhook(&id("intent"), "payment_intent.succeeded", &intent));
        let named = |mut object: Value| {
            object["charge"] = json!(charge);
            if !self.only_by_charge {
                object["payment_intent"] = json!(payment);
            }
            object
        };
        let mut refunded = 0;
        for (index, (percent, ends)) in self.refunds.iter().enumerate() {
            let minor = price * percent / 100;
            refunded += minor;
            let object = |status: &str| {
                named(json!({"id": format!("re_{number}_{index}"), "amount": minor, "currency": currency, "status": status, "created": AT}))
            };
            messages.push(webhook(&id(&format!("r{index}a")), "refund.created", &object("pending")));
            match ends {
                Some("failed") => messages.push(webhook(&id(&format!("r{index}b")), "refund.failed", &object("failed"))),
                Some(_) => {}
                None => messages.push(webhook(&id(&format!("r{index}b")), "refund.updated", &object("succeeded"))),
            }
        }
        if self.charge_shows && refunded > 0 {
            let mut sum = json!({"id": charge, "amount_refunded": refunded, "currency": currency});
            sum["payment_intent"] = json!(payment);
            messages.push(webhook(&id("charge"), "charge.refunded", &sum));
        }
        messages.extend(self.disputed(number, price, &named, currency));
        messages
    }

    fn disputed(&self, number: usize, price: u32, named: &dyn Fn(Value) -> Value, currency: &str) -> Vec<Value> {
        let Some((percent, last)) = self.dispute else { return Vec::new() };
        let event = |what: &str, status: &str| {
            let object = json!({"id": format!("dp_{number}"), "amount": price * percent / 100, "currency": currency, "status": status, "created": AT});
            webhook(&format!("evt_{number}_d_{what}"), &format!("charge.dispute.{what}"), &named(object))
        };
        let mut events = vec![event("created", "needs_response")];
        if last != "opened" {
            events.push(event("funds_withdrawn", "needs_response"));
        }
        match last {
            "lost" => events.push(event("closed", "lost")),
            "won" => events.push(event("closed", "won")),
            "reinstated" => events.extend([event("closed", "lost"), event("funds_reinstated", "won")]),
            _ => {}
        }
        events
    }
}

/// A manual purchase, decided, perhaps reversed.
fn manual(accepted: bool, reversed: Option<u32>) -> Vec<Value> {
    let decision = if accepted { "accepted" } else { "rejected" };
    let request = json!({"request": "r", "package": "pack", "method": "bank_transfer", "requested_by": "mia"});
    let mut messages = vec![
        told("m1", "credit_request.submitted", &request),
        told("m2", "credit_request.decided", &json!({"request": "r", "decision": decision, "decided_by": "bob"})),
    ];
    if let Some(euros) = reversed {
        let reversal = json!({"request": "r", "amount": euros.to_string(), "reversed_by": "bob", "reason": "bounced"});
        messages.push(told("m3", "credit_request.reversed", &reversal));
    }
    messages
}

/// Sets of messages behind what was there before: a gift, a purchase, and use that burned some of both or left
/// a debt. The rest of what is heard of the purchase is part of the set, so there are shortfalls.
pub fn sets() -> impl Strategy<Value = Vec<Value>> {
    let request = proptest::option::of((any::<bool>(), proptest::option::of(1_u32..=100)));
    let shortfall = prop_oneof![Just("debt"), Just("take_other_paid"), Just("write_off")];
    (shortfall, 0_u32..1800, fate(), proptest::collection::vec(fate(), 0..3), request).prop_map(
        |(shortfall, used, spent, fates, request)| {
            let mut lines = setting(shortfall);
            let gift = json!({"credits": "500", "reason": "welcome", "actor": "bob"});
            lines.push(told("gift", "credits.grant", &gift));
            // Which purchase repaid a debt of before decides what a tenant has to bear, or whose credits are bought.
            let used = if shortfall == "debt" { used } else { used.min(1500) };
            // What an open dispute keeps frozen repays nothing, and a bonus is not bought, so it pays no shortfall
            // that only bought credits pay: there, what came first stays different.
            let closed = |fate: &Fate| Fate {
                package: if shortfall == "take_other_paid" { "pack" } else { fate.package },
                dispute: fate.dispute.map(|(percent, last)| (percent, if last == "opened" && used > 0 { "withdrawn" } else { last })),
                ..fate.clone()
            };
            let mut messages = closed(&spent).messages(9, "usd");
            lines.push(messages.remove(0));
            lines.push(told("use", "usage.recorded", &json!({"meter": "unit", "quantity": used})));
            lines.extend(messages);
            for (number, fate) in fates.iter().enumerate() {
                lines.extend(closed(fate).messages(number, "usd"));
            }
            if let Some((accepted, reversed)) = request {
                lines.extend(manual(accepted, reversed));
            }
            lines
        },
    )
}

pub fn parsed(lines: &[Value]) -> Vec<(usize, Line)> {
    let line = |(index, line): (usize, &Value)| (index + 1, Line::parse(&line.to_string()).unwrap().unwrap());
    lines.iter().enumerate().map(line).collect()
}

pub(super) fn ends_alike(lines: &[Value], tries: u32) -> Result<(), TestCaseError> {
    let lines = parsed(lines);
    let trial = Trial { lines: &lines, folder: PathBuf::new(), secrets: Secrets::default(), tries, seed: 7 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(permute(&trial)).unwrap();
    prop_assert!(found.other.is_none(), "{:?}\n{:?}", found.first, found.other);
    Ok(())
}

/// How many orders the run tries in all: of the nightly profile, of `PERMUTATIONS` in any other.
pub(super) fn tries() -> u32 {
    let set = std::env::var("PERMUTATIONS").ok().and_then(|number| number.parse().ok());
    let is_nightly = std::env::var("NEXTEST_PROFILE").is_ok_and(|profile| profile == "nightly");
    set.unwrap_or(if is_nightly { NIGHTLY_TRIES } else { TRIES })
}

#[test]
fn every_order_of_every_set_ends_alike() {
    // Ten orders of each set: what is drawn twice teaches less than another set.
    let cases = tries() / 10;
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config).run(&sets(), |lines| ends_alike(&lines, 10)).unwrap();
}

/// Everything that is heard of one payment, a refund and a dispute: six messages behind the setting.
pub fn six_messages(shortfall: &str) -> Vec<Value> {
    let fate = Fate {
        package: "pack",
        names_itself: false,
        refunds: vec![(30, None)],
        dispute: Some((70, "withdrawn")),
        charge_shows: false,
        only_by_charge: true,
    };
    let mut lines = setting(shortfall);
    lines.extend(fate.messages(1, "usd"));
    assert_eq!(lines.len(), 2 + 6);
    lines
}

#[test]
fn all_orders_of_six_messages_about_one_payment() {
    for shortfall in ["debt", "write_off", "take_other_paid"] {
        ends_alike(&six_messages(shortfall), 0).unwrap();
    }
}
