//! What each type's data becomes, and what it may not be.

use super::schemas::beyond_schemas;
use super::*;
use crate::domain::alert::{Alert, AlertLevel};
use crate::domain::command::{ProfileChange, RequestedGoods, TopupChange};
use crate::domain::credits::Credits;
use crate::domain::grant::GrantSource;
use crate::domain::settings::{PrioritiesChange, PriorityChange, SettingChange, SettingsChange, StaffRole};

/// Reads as it is; with each change it is refused for the reason, and by the schema.
fn refused(base: &Value, changes: &[(&str, Value, &str)]) {
    let kind = base["type"].as_str().unwrap();
    assert_eq!((fate(&deliver(base)), fits(kind, base)), ("read", Ok(())), "{base}");
    for (path, to, reason) in changes {
        let changed = with(base.clone(), path, to.clone());
        assert_eq!(fate(&deliver(&changed)), *reason, "{path} = {to}");
        if !beyond_schemas(to) {
            assert_eq!(fits(kind, &changed).is_ok(), *reason == "read", "schema: {path} = {to}");
        }
    }
}

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

#[test]
fn a_grant_takes_the_contracts_defaults() {
    let Command::Grant(read) = command(&grant()) else { panic!() };
    assert_eq!((read.credits, read.source, read.cost_basis), (credits("100"), GrantSource::Promotional, Credits::ZERO));
    assert!(read.grant.is_none() && read.scope.is_empty() && read.rollover.is_none() && read.priority.is_none());
}

#[test]
fn b58_a_grant_with_impossible_terms_is_malformed() {
    refused(
        &grant(),
        &[
            ("/data/credits", json!(null), "malformed"),
            ("/data/credits", json!(1.0), "malformed"),
            ("/data/credits", json!("1e3"), "malformed"),
            ("/data/source", json!("bonus"), "malformed"),
            ("/data/priority", json!(-1), "malformed"),
            ("/data/priority", json!(1.0), "malformed"),
            ("/data/priority", json!(4_294_967_296_u64), "malformed"),
            ("/data/scope", json!("image"), "malformed"),
            ("/data/scope", json!(["a b"]), "malformed"),
            ("/data/cost_basis", json!("-0.01"), "malformed"),
            ("/data/rollover", json!({"max": "-1"}), "malformed"),
            ("/data/rollover", json!({"maximum": "1"}), "malformed"),
            ("/data/rollover", json!(["0", "1", null, null, null]), "malformed"),
            ("/data/recurs", json!({"interval": "P1D"}), "malformed"),
            ("/data/recurs", json!({"interval": "P0D", "anchor": "2026-01-01T00:00:00"}), "malformed"),
            ("/data/recurs", json!({"interval": "P1D", "anchor": "2026-01-01T00:00:00Z"}), "malformed"),
            ("/data/expires_at", json!("2027-01-01"), "malformed"),
            ("/data/reason", json!(null), "malformed"),
            ("/data/reason", json!(""), "malformed"),
            ("/data/reason", json!("x".repeat(1001)), "malformed"),
            ("/data/reason", json!("a\ttab"), "malformed"),
            ("/data/reason", json!("ä".repeat(1000)), "read"),
            ("/data/reason", json!("two\nlines"), "read"),
            ("/data/actor", json!("two\nlines"), "malformed"),
            ("/data/actor", json!("\u{202e}1-ffats"), "malformed"),
            ("/data/actor", json!(null), "malformed"),
            ("/data/actor", json!(""), "malformed"),
            // What a person must judge is no matter of form.
            ("/data/credits", json!("-5"), "read"),
            ("/data/credits", json!(0), "read"),
            ("/data/expires_at", json!("2001-01-01T00:00:00Z"), "read"),
            ("/data/priority", json!(null), "read"),
        ],
    );
}

#[test]
fn b43_usage_names_a_meter_and_a_quantity() {
    let usage = event("usage.recorded", &json!({"meter": "image", "quantity": "0.4"}));
    refused(
        &usage,
        &[
            ("/data/quantity", json!(0), "read"),
            ("/data/quantity", json!("5"), "read"),
            // An amount like any other: the core refuses what is below zero.
            ("/data/quantity", json!(-1), "read"),
            ("/data/quantity", json!("-1"), "read"),
            ("/data/quantity", json!(5.0), "malformed"),
            ("/data/quantity", json!(0.1), "malformed"),
            ("/data/quantity", json!("0x10"), "malformed"),
            ("/data/quantity", json!("NaN"), "malformed"),
            ("/data/quantity", json!(9_223_372_036_854_775_807_i64), "malformed"),
            ("/data/quantity", json!(null), "malformed"),
            ("/data/meter", json!("a b"), "malformed"),
            ("/data/dimensions", json!({"size": 5}), "malformed"),
            ("/data/dimensions", json!(["size"]), "malformed"),
            ("/data/dimensions", json!({"size": "large", "": "ü\n"}), "read"),
            ("/data/member", json!("ana"), "read"),
            ("/data/hold", json!("h-1"), "unknown_type"),
        ],
    );
    for raw_quantity in ["-0", "1e3", "1e400"] {
        let text = usage.to_string().replace("\"0.4\"", raw_quantity);
        assert_eq!(fate(&read(&delivery("usage.recorded", &text), &secrets)), "malformed", "{raw_quantity}");
    }
    assert!(deliver(&with(usage, "/data/hold", json!("h"))).unwrap_err().detail.contains("holds are not built yet"));
}

#[test]
fn a_spend_for_a_service_names_it() {
    let spend = event("credits.spend", &json!({"purpose": "service", "reference": "o-1", "service": "logo", "credits": "5"}));
    refused(
        &spend,
        &[
            ("/data/service", json!(null), "malformed"),
            ("/data/purpose", json!("gift"), "malformed"),
            ("/data/reference", json!(null), "malformed"),
            ("/data/credits", json!("5.0000001"), "malformed"),
            ("/data/reference", json!("order 7 — paid"), "read"),
        ],
    );
    let invoice = event("credits.spend", &json!({"purpose": "invoice", "reference": "i-1", "credits": 5}));
    assert!(matches!(command(&invoice), Command::Spend(spend) if spend.service.is_none() && spend.credits == credits("5")));
}

#[test]
fn an_adjustment_is_signed_and_makes_debt_only_when_told() {
    let adjust = event("credits.adjust", &json!({"credits": "-5", "reason": "r", "actor": "a"}));
    let Command::Adjust(read) = command(&adjust) else { panic!() };
    assert_eq!((read.credits, read.allow_debt), (credits("-5"), false));
    refused(&adjust, &[("/data/allow_debt", json!("true"), "malformed"), ("/data/allow_debt", json!(true), "read")]);
}

#[test]
fn a_request_is_for_a_package_or_for_credits_at_a_price() {
    let request = event(
        "credit_request.submitted",
        &json!({
            "request": "r-1", "credits": "100", "price": "10.00", "currency": "USD", "method": "crypto", "requested_by": "ana",
        }),
    );
    let Command::SubmitRequest(read) = command(&request) else { panic!() };
    assert!(matches!(read.goods, RequestedGoods::Credits { price, .. } if price == credits("10")));
    refused(
        &request,
        &[
            ("/data/price", json!(null), "malformed"),
            ("/data/currency", json!("usd"), "malformed"),
            ("/data/currency", json!("USDC"), "malformed"),
            ("/data/package", json!("starter"), "malformed"),
            ("/data/method", json!("payment"), "malformed"),
            ("/data/requested_by", json!(null), "malformed"),
            ("/data/evidence", json!({"url": "https://x"}), "malformed"),
            ("/data/evidence", json!({"reference": "tx", "note": "x"}), "malformed"),
            ("/data/evidence", json!({"reference": "tx"}), "read"),
            ("/data/evidence", json!({"reference": "tx", "url": "x".repeat(2048)}), "read"),
            ("/data/evidence", json!({"reference": "tx", "url": "x".repeat(2049)}), "malformed"),
            ("/data/evidence", json!({"reference": "tx", "url": ""}), "malformed"),
            ("/data/evidence", json!({"reference": "tx", "url": "https://x\n"}), "malformed"),
        ],
    );
    let package = event(
        "credit_request.submitted",
        &json!({
            "request": "r-1", "package": "starter", "method": "invoice", "requested_by": "ana",
        }),
    );
    refused(&package, &[("/data/credits", json!("1"), "malformed"), ("/data/package", json!(null), "malformed")]);
}

#[test]
fn a_decision_is_accepted_or_rejected_by_somebody() {
    let decided = event("credit_request.decided", &json!({"request": "r-1", "decision": "rejected", "decided_by": "s-1"}));
    assert!(matches!(command(&decided), Command::DecideRequest(read) if !read.accepted));
    refused(
        &decided,
        &[
            ("/data/decision", json!("approve"), "malformed"),
            ("/data/decision", json!(true), "malformed"),
            ("/data/decided_by", json!(null), "malformed"),
            ("/data/received_amount", json!(12.5), "malformed"),
            ("/data/received_amount", json!("12.5"), "read"),
            ("/data/reason", json!("x".repeat(1001)), "malformed"),
            ("/data/reason", json!("two\nlines"), "read"),
        ],
    );
    let cancelled = event("credit_request.cancelled", &json!({"request": "r-1", "cancelled_by": "ana"}));
    refused(&cancelled, &[("/data/cancelled_by", json!(null), "malformed"), ("/data/reason", json!("x"), "malformed")]);
}

#[test]
fn an_account_says_who_it_is() {
    let opened = event("account.opened", &json!({"kind": "user", "owner": "ana"}));
    let many = |count: u32| (0..count).map(|name| (format!("k{name}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    refused(
        &opened,
        &[
            ("/data/kind", json!(null), "malformed"),
            ("/data/owner", json!(null), "malformed"),
            ("/data/kind", json!("team"), "malformed"),
            ("/data/invoicing", json!("yes"), "malformed"),
            ("/data/metadata", json!("x"), "malformed"),
            ("/data/metadata", json!({"any": [1.5, null]}), "malformed"),
            ("/data/metadata", json!({"vip": true}), "malformed"),
            ("/data/metadata", json!({"": "x"}), "malformed"),
            ("/data/metadata", json!({"note": "two\nlines"}), "malformed"),
            ("/data/metadata", json!({"note": "x".repeat(501)}), "malformed"),
            ("/data/metadata", json!({"note": "x".repeat(500), "Größe": ""}), "read"),
            ("/data/metadata", json!({}), "read"),
            ("/data/metadata", Value::Object(many(51)), "malformed"),
            ("/data/metadata", Value::Object(many(50)), "read"),
            ("/data/time_zone", json!("Mars/Olympus"), "read"),
        ],
    );
    let Command::OpenAccount(read) = command(&with(opened, "/data/time_zone", json!("Mars/Olympus"))) else { panic!() };
    assert_eq!(read.zone, Some(("Mars/Olympus".into(), None)), "the core refuses it as unknown_zone");
    let changed = event("account.changed", &json!({"time_zone": "Europe/Berlin"}));
    let Command::ChangeAccount(read) = command(&changed) else { panic!() };
    assert_eq!(read.zone.as_ref().unwrap().1.as_ref().unwrap().name(), "Europe/Berlin");
    assert_eq!(ProfileChange { zone: None, ..*read }, ProfileChange::default(), "absent keys stay");
    assert_eq!(fate(&deliver(&event("account.changed", &json!({})))), "read");
}

#[test]
fn an_account_says_when_it_runs_low() {
    let changed = event("account.changed", &json!({"alerts": [{"level": "100", "margin": 20}, {"percent": "12.5"}]}));
    let Command::ChangeAccount(read) = command(&changed) else { panic!() };
    let expected = [
        Alert { level: AlertLevel::Credits(credits("100")), margin: Some(credits("20")) },
        Alert { level: AlertLevel::Percent(credits("12.5")), margin: None },
    ];
    assert_eq!(read.alerts.as_deref(), Some(&expected[..]));
    let levels = |count: u32| json!((0..count).map(|level| json!({"level": level})).collect::<Vec<_>>());
    refused(
        &changed,
        &[
            ("/data/alerts", json!([]), "read"),
            ("/data/alerts", json!([{"level": "0"}, {"percent": 100}]), "read"),
            ("/data/alerts", json!([{}]), "malformed"),
            ("/data/alerts", json!([{"level": "1", "percent": "1"}]), "malformed"),
            ("/data/alerts", json!([{"level": "-1"}]), "malformed"),
            ("/data/alerts", json!([{"percent": "100.1"}]), "malformed"),
            ("/data/alerts", json!([{"level": "1", "margin": "-1"}]), "malformed"),
            ("/data/alerts", json!([{"level": "1"}, {"level": "1.0", "margin": "2"}]), "malformed"),
            ("/data/alerts", json!([{"level": "1", "cooldown": "PT1H"}]), "malformed"),
            ("/data/alerts", json!([["1"]]), "malformed"),
            ("/data/alerts", levels(20), "read"),
            ("/data/alerts", levels(21), "malformed"),
        ],
    );
    let topup = event("account.changed", &json!({"auto_topup": {"package": "starter", "threshold": "50"}}));
    let Command::ChangeAccount(read) = command(&topup) else { panic!() };
    assert!(matches!(&read.auto_topup, Some(TopupChange::On(topup)) if topup.threshold == credits("50") && topup.max.is_none()));
    refused(
        &topup,
        &[
            ("/data/auto_topup/package", json!(null), "malformed"),
            ("/data/auto_topup/threshold", json!(null), "malformed"),
            ("/data/auto_topup/threshold", json!("-1"), "malformed"),
            ("/data/auto_topup/window", json!("P1M"), "malformed"),
            ("/data/auto_topup/max", json!("1000"), "read"),
            ("/data/auto_topup/packs", json!(1), "malformed"),
            ("/data/auto_topup", json!(["starter", "50"]), "malformed"),
        ],
    );
    let off = event("account.changed", &json!({"auto_topup": null}));
    assert!(matches!(command(&off), Command::ChangeAccount(read) if read.auto_topup == Some(TopupChange::Off)));
    assert_ne!(content(&off), content(&event("account.changed", &json!({}))));
}

#[test]
fn what_staff_do_to_an_account_has_reason_and_actor() {
    for kind in ["account.frozen", "account.unfrozen", "account.closed"] {
        let acted = event(kind, &json!({"reason": "r", "actor": "s-1"}));
        refused(&acted, &[("/data/reason", json!(null), "malformed"), ("/data/actor", json!(null), "malformed")]);
    }
    let acted = |kind| command(&event(kind, &json!({"reason": "r", "actor": "s-1"})));
    assert!(matches!(acted("account.frozen"), Command::FreezeAccount(_)));
    assert!(matches!(acted("account.unfrozen"), Command::UnfreezeAccount(_)));
    assert!(matches!(acted("account.closed"), Command::CloseAccount(_)));
}

#[test]
fn a_subscription_lists_each_addon_once() {
    let started = event(
        "subscription.started",
        &json!({
            "subscription": "s-1", "plan": "team", "interval": "month", "anchor": "2026-01-31T00:00:00",
            "addons": [{"addon": "b", "units": 2}, {"addon": "a", "units": 0}],
        }),
    );
    let Command::StartSubscription(read) = command(&started) else { panic!() };
    assert_eq!(read.addons.into_iter().map(|(addon, units)| (addon.to_string(), units)).collect::<Vec<_>>(), [("b".into(), 2)]);
    refused(
        &started,
        &[
            ("/data/interval", json!("week"), "malformed"),
            ("/data/anchor", json!("2026-01-31T00:00:00Z"), "malformed"),
            ("/data/anchor", json!("2026-02-30T00:00:00"), "malformed"),
            ("/data/addons", json!([{"addon": "a", "units": 1}, {"addon": "a", "units": 2}]), "malformed"),
            ("/data/addons", json!([{"addon": "a", "units": -1}]), "malformed"),
            ("/data/addons", json!([{"addon": "a"}]), "malformed"),
            ("/data/addons", json!([["a", 1]]), "malformed"),
            ("/data/addons", json!({"a": 1}), "malformed"),
            ("/data/plan", json!(null), "malformed"),
        ],
    );
}

#[test]
fn a_change_of_a_subscription_tells_none_from_unchanged() {
    let change = |data: &Value| match command(&event("subscription.changed", data)) {
        Command::ChangeSubscription(change) => change,
        other => panic!("{other:?}"),
    };
    assert_eq!(change(&json!({"subscription": "s-1"})).addons, None);
    assert_eq!(change(&json!({"subscription": "s-1", "addons": []})).addons, Some(BTreeMap::new()));
    let (stays, none) = (json!({"subscription": "s-1"}), json!({"subscription": "s-1", "addons": []}));
    assert_ne!(content(&event("subscription.changed", &stays)), content(&event("subscription.changed", &none)));
    let ends = |data: &Value| command(&event("subscription.cancelled", data));
    assert!(matches!(ends(&json!({"subscription": "s"})), Command::CancelSubscription { at_cycle_end: true, .. }));
    assert!(matches!(ends(&json!({"subscription": "s", "at_cycle_end": false})), Command::CancelSubscription { at_cycle_end: false, .. }));
    assert!(matches!(command(&event("subscription.resumed", &json!({"subscription": "s"}))), Command::ResumeSubscription { .. }));
}

#[test]
fn a_reset_by_hand_is_of_one_account() {
    let reset = json!({"as_of": "2026-02-01T00:00:00Z", "manual": true, "subscription": "s-1"});
    let Command::ResetCycle(read) = command(&event("cycle.reset", &reset)) else { panic!() };
    assert!(read.manual && read.subscription.is_some());
    assert_eq!(fate(&deliver(&tenant_event("cycle.reset", &reset))), "malformed");
    assert!(fits("cycle.reset", &tenant_event("cycle.reset", &reset)).is_err());
    assert!(fits("cycle.reset", &event("cycle.reset", &reset)).is_ok());
    assert_eq!(fate(&deliver(&tenant_event("cycle.reset", &json!({"as_of": "2026-02-01"})))), "malformed");
    assert_eq!(fate(&deliver(&event("cycle.reset", &json!({})))), "malformed");
    let all = tenant_command(&tenant_event("cycle.reset", &json!({"as_of": "2030-02-01T00:00:00Z"})));
    assert!(matches!(all, TenantCommand::ResetCycles { as_of } if as_of.to_string() == "2030-02-01T00:00:00Z"));
}

#[test]
fn staff_have_a_role_and_no_limit() {
    let staff = tenant_event("member.changed", &json!({"member": "s-1", "role": "approver"}));
    assert!(matches!(tenant_command(&staff), TenantCommand::ChangeStaff { role: StaffRole::Approver, .. }));
    refused(
        &staff,
        &[
            ("/data/role", json!("buyer"), "malformed"),
            ("/data/role", json!(null), "malformed"),
            ("/data/limit", json!({"credits": "1", "period": "day"}), "malformed"),
        ],
    );
    let removed = tenant_command(&tenant_event("member.removed", &json!({"member": "s-1"})));
    assert!(matches!(removed, TenantCommand::RemoveStaff { .. }));
}

#[test]
fn settings_name_what_changes() {
    let settings = tenant_event("tenant.settings_changed", &json!({"four_eyes": false, "priorities": {"plan": 5}}));
    let TenantCommand::ChangeSettings(read) = tenant_command(&settings) else { panic!() };
    let priorities = PrioritiesChange { plan: PriorityChange::Number(5), ..PrioritiesChange::default() };
    assert_eq!(*read, SettingsChange(vec![SettingChange::FourEyes(false), SettingChange::Priorities(priorities)]));
    refused(
        &settings,
        &[
            ("/data/insufficient", json!("allow"), "read"),
            ("/data/insufficient", json!("partial"), "read"),
            ("/data/insufficient", json!("allow_to"), "read"),
            ("/data/insufficient", json!("never"), "malformed"),
            ("/data/insufficient", json!({"allow_to": "5"}), "malformed"),
            ("/data/shortfall", json!("debt"), "read"),
            ("/data/shortfall", json!("take_other_paid"), "read"),
            ("/data/shortfall", json!("forgive"), "malformed"),
            ("/data/burn_order", json!(["end", "end"]), "malformed"),
            ("/data/burn_order", json!(["number"]), "malformed"),
            ("/data/burn_order", json!([]), "read"),
            ("/data/priorities", json!({"bonus": 1}), "malformed"),
            ("/data/priorities", json!({"plan": "5"}), "malformed"),
            ("/data/priorities", json!({"plan": null}), "read"),
            ("/data/priorities", json!({}), "read"),
            ("/data/open_accounts", json!(true), "malformed"),
            ("/data/open_accounts", json!("explicit"), "read"),
            ("/data/debt_max", json!("-1"), "malformed"),
            ("/data/late_grace_hours", json!(-1), "malformed"),
            ("/data/late_grace_hours", json!("72"), "malformed"),
            ("/data/livemode", json!(true), "read"),
            ("/data/test_clock", json!(true), "malformed"),
        ],
    );
    assert!(deliver(&with(settings, "/data/shortfall", json!("forgive"))).unwrap_err().detail.contains("debt"));
}

#[test]
fn null_unsets_the_settings_that_may_be_unset() {
    let change = |data: &Value| match tenant_command(&tenant_event("tenant.settings_changed", data)) {
        TenantCommand::ChangeSettings(change) => change.0,
        other => panic!("{other:?}"),
    };
    let unset = json!({"rollover_cap": null, "livemode": null, "debt_max": null});
    let expected = [SettingChange::RolloverCap(None), SettingChange::Livemode(None), SettingChange::DebtMax(None)];
    assert_eq!(change(&unset), expected);
    assert_eq!(change(&json!({"four_eyes": null, "burn_order": null})), [], "the others have a value always: null is absent");
    let usual = PrioritiesChange { plan: PriorityChange::Usual, ..PrioritiesChange::default() };
    assert_eq!(change(&json!({"priorities": {"plan": null}})), [SettingChange::Priorities(usual)], "a key of its own");
    let set = [json!({"rollover_cap": null}), json!({}), json!({"rollover_cap": 0}), json!({"livemode": null})];
    let contents: std::collections::BTreeSet<_> = set.iter().map(|data| content(&tenant_event("tenant.settings_changed", data))).collect();
    assert_eq!(contents.len(), 4, "each asks for something else");
    let named = [json!({}), json!({"plan": null}), json!({"plan": 20}), json!({"plan": null, "addon": null})];
    let contents: std::collections::BTreeSet<_> =
        named.iter().map(|keys| content(&tenant_event("tenant.settings_changed", &json!({"priorities": keys})))).collect();
    assert_eq!(contents.len(), 4, "a key that is not named is not one with its default");
}
