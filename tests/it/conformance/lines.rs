//! Steps of a case as lines of a message file.
//!
//! Owns how each operation is said in the message contract. Never looks at an answer.

use super::case::{Case, Operation, Step};
use crate::world::{TENANT, instant};
use serde_json::{Map, Value, json};

/// The one account of every case; the harness takes webhooks to be about it.
pub const ACCOUNT: &str = "u";
/// Who grants, voids and adjusts.
const STAFF: &str = "staff";

/// What the tenant of a case sells, and under which policies. `unit` always costs 1 credit.
fn goods(case: &Case) -> Map<String, Value> {
    let tenant = &case.tenant;
    let mut rates = vec![json!({"meter": "unit", "price": "1"})];
    rates.extend(tenant.rates.iter().cloned());
    let goods = json!({"rates": rates, "plans": tenant.plans, "packages": tenant.packages, "policies": tenant.policies});
    goods.as_object().cloned().unwrap()
}

/// The line that loads the catalog.
pub fn catalog(case: &Case) -> Value {
    let mut catalog = goods(case);
    catalog.insert("currency".into(), json!("USD"));
    catalog.insert("test_clock".into(), json!(true));
    json!({"tenant": TENANT, "catalog": catalog})
}

/// The same as the text of a catalog file, but for what the harness adds itself.
pub fn document(case: &Case) -> String {
    goods(case).iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect::<Vec<_>>().join("\n")
}

/// A value in TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key:?} = {}", inline(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// What comes before the first step: somebody who may decide, and the account.
pub fn setup(case: &Case) -> Vec<Value> {
    let at = &case.steps[0].at;
    let mut staff = told("staff", "member.changed", at, &json!({"member": STAFF, "role": "admin"}));
    staff.as_object_mut().unwrap().remove("subject");
    vec![tick(at), staff, told("opened", "account.opened", at, &json!({"kind": "user", "owner": "owner"}))]
}

/// Everything due by then happens.
pub fn tick(at: &str) -> Value {
    json!({"tick": at})
}

/// The account now, or as `of` says: at an instant, as known or as recorded.
pub fn reading(of: &Map<String, Value>) -> Value {
    let mut read = of.clone();
    read.insert("tenant".into(), json!(TENANT));
    read.insert("account".into(), json!(ACCOUNT));
    json!({"read": read})
}

/// The message of a step; `None` when it only looks.
pub fn message(step: &Step, number: usize) -> Option<Value> {
    let by_staff = json!({"reason": "conformance", "actor": STAFF});
    let (kind, mut data) = match step.operation {
        Operation::Read => return None,
        Operation::Purchase | Operation::Refund => return Some(webhook(step, number)),
        Operation::Grant => ("credits.grant", by_staff),
        Operation::Adjust => ("credits.adjust", by_staff),
        Operation::Void => ("credits.void", by_staff),
        Operation::Use => ("usage.recorded", json!({"meter": "unit"})),
        Operation::Spend => ("credits.spend", json!({"purpose": "invoice"})),
        Operation::Subscribe => ("subscription.started", json!({"subscription": "sub", "interval": "month"})),
        Operation::Change => ("subscription.changed", json!({"subscription": "sub"})),
        Operation::Reset => ("cycle.reset", json!({"as_of": step.at, "manual": true})),
        Operation::Quote => ("credits.quote", json!({"quote": format!("quote-{number}")})),
    };
    let mut with = step.with.clone();
    let mut envelope = |key: &str| with.remove(key).map(|value| value.as_str().unwrap().to_owned());
    let id = envelope("id").unwrap_or_else(|| format!("step-{number}"));
    let time = envelope("occurred_at").unwrap_or_else(|| step.at.clone());
    data.as_object_mut().unwrap().extend(with);
    Some(told(&id, kind, &time, &data))
}

fn told(id: &str, kind: &str, time: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "conformance", "type": kind, "tenant": TENANT, "subject": ACCOUNT,
        "time": time, "data": data})
}

/// A provider's event: a checkout that was paid, or how much of its charge was refunded in all.
fn webhook(step: &Step, number: usize) -> Value {
    let with = |key: &str| step.with.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {step:?}"));
    let payment = with("payment");
    let intent = format!("pi_{payment}");
    let (kind, object, keys) = if step.operation == Operation::Purchase {
        let bought = json!({"credit_account": ACCOUNT, "credit_package": with("package")});
        let session = json!({"id": format!("cs_{payment}"), "mode": "payment", "payment_status": "paid", "payment_intent": intent,
            "amount_total": cents(with("paid")), "currency": "usd", "metadata": bought});
        ("checkout.session.completed", session, 3)
    } else {
        let refunded = cents(with("refunded"));
        let charge = json!({"id": format!("ch_{payment}"), "payment_intent": intent, "amount_refunded": refunded, "currency": "usd"});
        ("charge.refunded", charge, 2)
    };
    assert_eq!(step.with.len(), keys, "keys that nobody reads in {step:?}");
    let event = json!({"id": format!("evt_{number}"), "type": kind, "livemode": false, "created": instant(&step.at).as_second(),
        "data": {"object": object}});
    json!({"webhook": "stripe", "tenant": TENANT, "event": event, "received_at": step.at})
}

/// Money with two decimals, in the smallest unit, as providers have it.
fn cents(money: &str) -> u64 {
    let (whole, fraction) = money.split_once('.').unwrap_or_else(|| panic!("{money} has no decimals"));
    assert_eq!(fraction.len(), 2, "{money} has two decimals");
    format!("{whole}{fraction}").parse().unwrap_or_else(|error| panic!("{money}: {error}"))
}
