//! What each type's data becomes, and what it may not be.

use super::*;
use crate::domain::command::{RequestedGoods, SettingChange, SettingsChange};
use crate::domain::credits::Credits;
use crate::domain::grant::GrantSource;
use crate::domain::settings::{Priorities, StaffRole};

/// Reads as it is; with each change it is refused for the reason.
fn refused(base: &Value, changes: &[(&str, Value, &str)]) {
    assert_eq!(fate(&deliver(base)), "read", "{base}");
    for (path, to, reason) in changes {
        let changed = with(base.clone(), path, to.clone());
        assert_eq!(fate(&deliver(&changed)), *reason, "{path} = {to}");
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
            ("/data/quantity", json!(-1), "malformed"),
            ("/data/quantity", json!("-1"), "malformed"),
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
fn an_account_says_who_it_is_and_not_yet_more() {
    let opened = event("account.opened", &json!({"kind": "user", "owner": "ana"}));
    refused(
        &opened,
        &[
            ("/data/kind", json!(null), "malformed"),
            ("/data/owner", json!(null), "malformed"),
            ("/data/kind", json!("team"), "malformed"),
            ("/data/alerts", json!([]), "malformed"),
            ("/data/auto_topup", json!({}), "malformed"),
            ("/data/invoicing", json!(true), "malformed"),
            ("/data/metadata", json!("x"), "malformed"),
            ("/data/metadata", json!({"any": [1.5, null]}), "read"),
            ("/data/time_zone", json!("Mars/Olympus"), "read"),
        ],
    );
    let unbuilt = deliver(&with(opened.clone(), "/data/auto_topup", json!({"package": "p"}))).unwrap_err();
    assert_eq!(unbuilt.detail, "data: `auto_topup` is not built yet");
    let Command::OpenAccount(read) = command(&with(opened, "/data/time_zone", json!("Mars/Olympus"))) else { panic!() };
    assert_eq!(read.zone, Some(("Mars/Olympus".into(), None)), "the core refuses it as unknown_zone");
    let changed = event("account.changed", &json!({"time_zone": "Europe/Berlin"}));
    let Command::ChangeAccount(read) = command(&changed) else { panic!() };
    assert!(read.kind.is_none() && read.owner.is_none());
    assert_eq!(read.zone.unwrap().1.unwrap().name(), "Europe/Berlin");
    assert_eq!(fate(&deliver(&event("account.changed", &json!({})))), "read");
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
fn settings_name_what_changes_and_only_what_is_built() {
    let settings = tenant_event("tenant.settings_changed", &json!({"four_eyes": false, "priorities": {"plan": 5}}));
    let TenantCommand::ChangeSettings(read) = tenant_command(&settings) else { panic!() };
    let priorities = Priorities { plan: 5, ..Priorities::default() };
    assert_eq!(*read, SettingsChange(vec![SettingChange::FourEyes(false), SettingChange::Priorities(priorities)]));
    refused(
        &settings,
        &[
            ("/data/insufficient", json!("allow"), "read"),
            ("/data/insufficient", json!("partial"), "malformed"),
            ("/data/insufficient", json!({"allow_to": "5"}), "malformed"),
            ("/data/shortfall", json!("debt"), "read"),
            ("/data/shortfall", json!("forgive"), "malformed"),
            ("/data/burn_order", json!(["end", "end"]), "malformed"),
            ("/data/burn_order", json!(["number"]), "malformed"),
            ("/data/burn_order", json!([]), "read"),
            ("/data/priorities", json!({"bonus": 1}), "malformed"),
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
