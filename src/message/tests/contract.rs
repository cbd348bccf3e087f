//! The contract's table of types: each with every key it may have, and those that are not built.

use super::*;
use crate::message::types;

/// Every type that is read, with every optional key, about an account or a tenant.
fn whole() -> Vec<Value> {
    let act = json!({"reason": "a reason", "actor": "staff-1"});
    vec![
        event("usage.recorded", &json!({"meter": "image", "quantity": "0.5", "dimensions": {"size": "large"}, "member": "ana"})),
        event(
            "credits.spend",
            &json!({"purpose": "service", "reference": "order 7", "service": "logo", "credits": "120.5", "member": "ana"}),
        ),
        event("credits.spend", &json!({"purpose": "invoice", "reference": "I-1", "service": "logo", "credits": 5, "member": "ana"})),
        event(
            "credits.grant",
            &json!({
                "grant": "g-1", "credits": "1000", "source": "plan", "effective_at": "2026-01-01T00:00:00Z",
                "expires_at": "2027-01-01T00:00:00+01:00", "priority": 5, "scope": ["image", "logo"], "cost_basis": "0.04",
                "rollover": {"min": "1", "max": "200", "max_percent": "50", "count": 3, "cycles": 2},
                "recurs": {"interval": "P1D", "anchor": "2026-01-01T06:00:00"}, "reason": "a reason", "actor": "staff-1",
            }),
        ),
        event("credits.adjust", &json!({"credits": "-12.25", "allow_debt": true, "reason": "a reason", "actor": "staff-1"})),
        event("credits.void", &json!({"grant": "g-1", "credits": "12.25", "reason": "a reason", "actor": "staff-1"})),
        event(
            "credits.quote",
            &json!({"quote": "q-1", "usage": {"meter": "image", "quantity": "2", "dimensions": {"size": "large"}, "member": "ana"}}),
        ),
        event("credits.quote", &json!({"quote": "q-1", "spend": {"purpose": "invoice", "reference": "I-1", "credits": 5}})),
        event("credits.quote", &json!({"quote": "q-1", "units": {"subscription": "s-1", "addons": [{"addon": "generative", "units": 2}]}})),
        event("credits.quote", &json!({"quote": "q-1", "plan": {"subscription": "s-1", "plan": "team"}})),
        event(
            "credit_request.submitted",
            &json!({
                "request": "r-1", "credits": "1000", "price": "35.00", "currency": "USD", "method": "bank_transfer",
                "requested_by": "ana", "evidence": {"reference": "SEPA 77", "url": "https://bank.example/77"},
            }),
        ),
        event(
            "credit_request.submitted",
            &json!({"request": "r-1", "package": "starter", "method": "invoice", "requested_by": "ana", "evidence": {"reference": "x"}}),
        ),
        event(
            "credit_request.decided",
            &json!({"request": "r-1", "decision": "accepted", "decided_by": "s-1", "reason": "it came", "received_amount": "35.00"}),
        ),
        event("credit_request.cancelled", &json!({"request": "r-1", "cancelled_by": "ana"})),
        event(
            "credit_request.reversed",
            &json!({"request": "r-1", "amount": "35.00", "reversed_by": "s-1", "reason": "the transfer bounced"}),
        ),
        event("refund.requested", &json!({"payment": "stripe:pi_1", "requested_by": "ana", "reason": "bought twice"})),
        event("account.opened", &said_of_an_account()),
        event("account.changed", &said_of_an_account()),
        event("account.frozen", &act),
        event("account.unfrozen", &act),
        event("account.closed", &act),
        event(
            "subscription.started",
            &json!({
                "subscription": "s-1", "plan": "team", "interval": "year", "anchor": "2026-01-31T00:00:00",
                "addons": [{"addon": "generative", "units": 2}],
            }),
        ),
        event("subscription.changed", &json!({"subscription": "s-1", "plan": "pro", "addons": [{"addon": "generative", "units": 0}]})),
        event("subscription.cancelled", &json!({"subscription": "s-1", "at_cycle_end": false})),
        event("subscription.resumed", &json!({"subscription": "s-1"})),
        event("cycle.reset", &json!({"as_of": "2026-02-28T00:00:00Z", "manual": true, "subscription": "s-1"})),
        tenant_event("cycle.reset", &json!({"as_of": "2026-02-28T00:00:00Z", "manual": false})),
        tenant_event("member.changed", &json!({"member": "s-1", "role": "approver"})),
        tenant_event("member.removed", &json!({"member": "s-1"})),
        tenant_event(
            "tenant.settings_changed",
            &json!({
                "credit_payments": false, "insufficient": "allow", "four_eyes": false, "price_check": "review", "shortfall": "write_off",
                "burn_order": ["effective_at", "cost_basis", "promotional_first", "end", "priority"],
                "priorities": {"rollover": 1, "plan": 2, "addon": 3, "promotional": 4, "purchased": 5}, "late_grace_hours": 48,
                "debt_max": "500", "rollover_cap": "2000", "open_accounts": "explicit", "invoicing_threshold": "1000.00", "livemode": true,
            }),
        ),
    ]
}

fn said_of_an_account() -> Value {
    json!({
        "kind": "workspace", "owner": "ana", "time_zone": "Europe/Berlin", "invoicing": true, "metadata": {"crm": "A-17"},
        "alerts": [{"level": "100", "margin": "20"}, {"percent": "10", "margin": "5"}],
        "auto_topup": {"package": "starter", "threshold": "50", "target": "200", "max": "1000", "window": "P1M"},
    })
}

#[test]
fn every_type_is_read_with_every_key_it_may_have() {
    let events = whole();
    for event in &events {
        let event = with(event.clone(), "/traceparent", json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let read = deliver(&event);
        assert_eq!(fate(&read), "read", "{event}: {read:?}");
        let kind = event["type"].as_str().unwrap();
        assert_eq!(fits(kind, &event), Ok(()), "{event}");
        let misspelt = with(event.clone(), "/data/rason", json!("x"));
        assert_eq!(fate(&deliver(&misspelt)), "malformed", "unknown keys are refused: {misspelt}");
        assert!(fits(kind, &misspelt).is_err(), "unknown keys do not fit: {misspelt}");
    }
    for (kind, _) in types() {
        assert!(events.iter().any(|event| event["type"] == kind), "{kind} is not in the table");
    }
}

#[test]
fn every_key_is_content() {
    for event in whole() {
        let whole = content(&event);
        for (key, _) in event["data"].as_object().unwrap() {
            let without = with(event.clone(), &format!("/data/{key}"), Value::Null);
            // `manual: false` is the default of a reset, and what cannot be left out is not read.
            if fate(&deliver(&without)) == "read" && !(event["type"] == "cycle.reset" && event["data"]["manual"] == false) {
                assert_ne!(content(&without), whole, "{key} of {event}");
            }
        }
    }
}

#[test]
fn what_is_not_built_is_set_aside_as_an_unknown_type() {
    for kind in ["credits.hold", "credits.settle", "credits.release", "credits.reverse", "topup.failed", "credits.grant.v2"] {
        assert_eq!(fate(&deliver(&event(kind, &json!({})))), "unknown_type", "{kind}");
    }
    let usage = json!({"meter": "image", "quantity": 1, "hold": "h-1"});
    let limited = json!({"member": "ana", "role": "spender", "limit": {"credits": "100", "period": "month"}});
    for part in [
        event("usage.recorded", &usage),
        event("member.changed", &limited),
        event("member.removed", &json!({"member": "ana"})),
        event("credits.quote", &json!({"quote": "q", "usage": usage})),
    ] {
        let read = deliver(&part);
        assert_eq!(fate(&read), "unknown_type", "{part}");
        assert!(fits(part["type"].as_str().unwrap(), &part).is_err(), "{part}");
        assert!(read.unwrap_err().detail.contains("not built yet"), "{part}");
    }
}
