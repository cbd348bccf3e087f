//! What the scenarios of cycles, plans, rollovers, quotes and usage leave untold: zones and ends of the calendar,
//! downgrades after use, what goes with what, and usage that waits for a new cycle (semantics §2, §4, §5, §7).

use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};
use std::process::Command;

const CATALOG: &str = r#"
[packages.month]
credits = "500"
price = "20.00"
expires_after = "P1M"
[plans.basic]
allowance = "100"
[plans.team]
allowance = "1000"
[plans.lean]
allowance = "100"
rollover = { min = "20", max_percent = "30" }
[plans.spread]
allowance = "100"
interval = "year"
allowance_every = "month"
[addons.seats]
credits_per_unit = "60"
unit_price = "10.00"
[addons.extra]
credits_per_unit = "10"
unit_price = "1.00"
plans = ["team"]
[[rates]]
meter = "unit"
price = "1"
"#;
const ANCHOR: &str = "2026-01-01T00:00:00";
const FEBRUARY: &str = "2026-02-01T00:00:00Z";
const MARCH: &str = "2026-03-01T00:00:00Z";

fn start(plan: &str, interval: &str, anchor: &str, addons: &Value) -> Value {
    json!({"subscription": "sub", "plan": plan, "interval": interval, "anchor": anchor, "addons": addons})
}

fn units(addon: &str, count: u32) -> Value {
    json!([{"addon": addon, "units": count}])
}

async fn open_in(world: &mut World, zone: &str) {
    world.done("account.opened", "u", json!({"kind": "user", "owner": "u", "time_zone": zone})).await;
}

async fn change_plan(world: &mut World, plan: &str) {
    world.done("subscription.changed", "u", json!({"subscription": "sub", "plan": plan})).await;
}

/// What a change of `sub` would do.
async fn quoted(world: &mut World, what: &str, asked: Value) -> Value {
    let mut quote = json!({"quote": "q"});
    quote[what] = asked;
    quote[what]["subscription"] = json!("sub");
    world.done("credits.quote", "u", quote).await;
    world.announced("u", "quote.made").await.pop().unwrap()
}

scenarios! { CATALOG;
    async fn a_package_ends_on_the_calendar_of_the_accounts_zone(world) {
        open_in(world, "America/New_York").await;
        // Still 30 January there, half past eleven in the evening.
        world.at("2026-01-31T04:30:00Z").await;
        let paid = json!({"id": "evt_1", "type": "checkout.session.completed", "livemode": false,
            "created": instant("2026-01-31T04:30:00Z").as_second(),
            "data": {"object": {"id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 2000, "currency": "usd",
                "payment_intent": "pi_1", "metadata": {"credit_account": "u", "credit_package": "month"}}}});
        assert_eq!(world.stripe(&paid).await, "applied");
        // A month after 30 January is 28 February, half past eleven; by the calendar of UTC it would end a day sooner.
        world.tick("2026-03-01T04:29:59Z").await;
        assert_eq!(world.balance("u").await, "500");
        world.tick("2026-03-01T04:30:00Z").await;
        assert_eq!(world.entries("u").await, ["purchased 500", "expired 500"]);
    }

    async fn a_subscription_keeps_the_zone_it_started_in(world) {
        open_in(world, "America/New_York").await;
        world.at("2026-02-20T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-02-15T00:00:00").await;
        world.done("account.changed", "u", json!({"time_zone": "Asia/Tokyo"})).await;
        world.tick("2026-03-15T04:00:00Z").await;
        // Midnight in New York, where it is summer by then.
        assert_eq!(world.heard("u", "cycle.reset", "next_boundary").await, ["2026-04-15T04:00:00Z"]);
        world.at("2026-03-21T00:00:00Z").await;
        let second = json!({"subscription": "second", "plan": "team", "interval": "month", "anchor": "2026-03-20T00:00:00"});
        world.done("subscription.started", "u", second).await;
        let started = world.announced("u", "subscription.changed").await.pop().unwrap();
        // Midnight in Tokyo.
        assert_eq!((&started["time_zone"], &started["cycle"]["end"]), (&json!("Asia/Tokyo"), &json!("2026-04-19T15:00:00Z")));
    }

    async fn a_year_from_a_leap_day_has_twelve_months_and_ends_on_the_28th(world) {
        world.at("2024-03-01T00:00:00Z").await;
        world.done("subscription.started", "u", start("spread", "year", "2024-02-29T00:00:00", &json!([]))).await;
        world.done("subscription.cancelled", "u", json!({"subscription": "sub"})).await;
        world.tick("2025-02-27T23:59:59Z").await;
        assert_eq!(world.balance("u").await, "100");
        world.tick("2025-02-28T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
        // 11 cycles after the first, each to the 29th; the last one to the 28th; then the close that none follows.
        let ends = world.heard("u", "cycle.reset", "next_boundary").await;
        assert_eq!((ends.len(), ends[0].as_str()), (12, "2024-04-29T00:00:00Z"));
        assert_eq!(ends[9..], ["2025-01-29T00:00:00Z", "2025-02-28T00:00:00Z", "null"]);
    }

    async fn a_year_that_is_resumed_goes_on_with_its_months(world) {
        world.done("subscription.started", "u", start("spread", "year", ANCHOR, &units("seats", 1))).await;
        world.done("subscription.cancelled", "u", json!({"subscription": "sub"})).await;
        world.tick("2026-11-15T00:00:00Z").await;
        world.done("subscription.resumed", "u", json!({"subscription": "sub"})).await;
        world.tick("2027-01-01T00:00:00Z").await;
        // The add-on is restored with it.
        assert_eq!(world.grants("u").await, ["plan 100", "addon 60"]);
        assert_eq!(world.heard("u", "cycle.reset", "k").await.pop().unwrap(), "12");
    }

    async fn an_anchor_may_stand_at_either_end_of_the_calendar(world) {
        world.subscribe("past", "basic", "1970-01-01T00:00:00").await;
        world.subscribe("future", "basic", "2400-12-31T00:00:00").await;
        world.tick(FEBRUARY).await;
        // (2026 − 1970) × 12 + 1 months later, and (2400 − 2026) × 12 + 11 months earlier, on the last day of each.
        assert_eq!(world.heard("past", "cycle.reset", "k").await, ["673"]);
        assert_eq!(world.heard("past", "cycle.reset", "next_boundary").await, [MARCH]);
        assert_eq!(world.heard("future", "cycle.reset", "k").await, ["-4499"]);
        assert_eq!(world.heard("future", "cycle.reset", "next_boundary").await, ["2026-02-28T00:00:00Z"]);
        for anchor in ["1969-12-31T23:59:59", "2401-01-01T00:00:00", "10000-01-01T00:00:00", "2026-02-29T00:00:00", "2026-01-01"] {
            let asked = start("basic", "month", anchor, &json!([]));
            assert_eq!(world.tell("subscription.started", "u", asked).await, "quarantined: malformed", "{anchor}");
        }
    }

    async fn a_cycle_must_end_within_the_calendar(world) {
        world.open("u").await;
        world.at("2400-12-15T00:00:00Z").await;
        let asked = start("basic", "month", "2400-12-01T00:00:00", &json!([]));
        assert_eq!(world.tell("subscription.started", "u", asked).await, "rejected: invalid_time");
    }

    async fn units_are_a_whole_number_up_to_a_million(world) {
        world.open("u").await;
        for (count, outcome) in [
            (json!(-1), "quarantined: malformed"),
            (json!(1.5), "quarantined: malformed"),
            (json!("2"), "quarantined: malformed"),
            (json!(4_294_967_296_u64), "quarantined: malformed"),
            (json!(4_294_967_295_u64), "rejected: invalid_amount"),
            (json!(1_000_001), "rejected: invalid_amount"),
            (json!(1_000_000), "applied"),
        ] {
            let asked = start("basic", "month", ANCHOR, &json!([{"addon": "seats", "units": count}]));
            assert_eq!(world.tell("subscription.started", "u", asked).await, outcome, "{count}");
        }
        // 100 + 1,000,000 × 60
        assert_eq!(world.balance("u").await, "60000100");
    }

    async fn a_minimum_stands_below_a_percentage(world) {
        for account in ["idle", "busy"] {
            world.subscribe(account, "lean", ANCHOR).await;
        }
        assert_eq!(world.uses("busy", "unit", "95").await, "applied");
        world.tick(FEBRUARY).await;
        // 30 % of 100 = 30: min(30, max(20, 100)) and min(30, max(20, 5)).
        assert_eq!(world.grants("idle").await, ["rollover 30", "plan 100"]);
        assert_eq!(world.grants("busy").await, ["rollover 20", "plan 100"]);
    }

    async fn a_percentage_of_a_grants_own_is_of_its_credits_and_stays_that_amount(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        world.grant("u", "80", json!({"rollover": {"max_percent": "25"}})).await;
        world.tick(FEBRUARY).await;
        // 25 % of 80
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"]);
        world.tick(MARCH).await;
        // Not 25 % of 20: it went along as an amount.
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"]);
    }

    async fn a_downgrade_leaves_what_was_used_used(world) {
        world.subscribe("u", "team", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "700").await, "applied");
        for plan in ["basic", "team", "basic"] {
            change_plan(world, plan).await;
            // 1000 − 700: nothing is taken, and coming back mints nothing.
            assert_eq!(world.balance("u").await, "300", "{plan}");
        }
        world.tick(FEBRUARY).await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "used 700", "forfeited 300", "allowance 100"]);
    }

    async fn a_plan_that_an_addon_does_not_go_with_is_refused_until_that_is_given_up(world) {
        world.done("subscription.started", "u", start("team", "month", ANCHOR, &units("extra", 1))).await;
        let down = json!({"subscription": "sub", "plan": "basic"});
        assert_eq!(world.tell("subscription.changed", "u", down).await, "rejected: unknown_addon");
        world.done("subscription.changed", "u", json!({"subscription": "sub", "plan": "basic", "addons": []})).await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 10"], "both last as long as they are paid");
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["plan 100"]);
    }

    async fn a_downgrade_is_quoted_and_brings_nothing(world) {
        world.done("subscription.started", "u", start("team", "month", ANCHOR, &units("seats", 2))).await;
        let quote = quoted(world, "plan", json!({"plan": "basic"})).await;
        // 1000 + 2 × 60 stay; the seats go on at 2 × 10.00.
        assert_eq!((&quote["credits"], &quote["available_after"], &quote["charge_per_cycle"]), (&json!("0"), &json!("1120"), &json!("20")));
        assert_eq!(quote["reasons"], json!([]));
        change_plan(world, "basic").await;
        assert_eq!(world.available("u").await, "1120", "as it was quoted");
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 120"]);
    }

    async fn an_addon_of_a_subscription_that_ran_out_is_refused(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        world.done("subscription.cancelled", "u", json!({"subscription": "sub"})).await;
        world.tick(FEBRUARY).await;
        let asked = json!({"subscription": "sub", "addons": units("seats", 1)});
        assert_eq!(world.tell("subscription.changed", "u", asked).await, "rejected: no_active_subscription");
        let quote = quoted(world, "units", json!({"addons": units("seats", 1)})).await;
        assert_eq!(quote["reasons"], json!(["no_active_subscription"]));
        assert_eq!(world.entries("u").await, ["allowance 100", "forfeited 100"]);
    }

    async fn usage_that_waits_for_the_instant_of_a_reset_burns_the_new_cycle(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        let ahead = json!({"id": "ahead", "type": "usage.recorded", "subject": "u", "time": FEBRUARY, "data": {"meter": "unit", "quantity": 10}});
        assert_eq!(world.send(ahead).await, "waiting");
        world.tick(FEBRUARY).await;
        assert_eq!(world.outcome("u", "ahead").await, "applied");
        assert_eq!(world.entries("u").await, ["allowance 100", "forfeited 100", "allowance 100", "used 10"]);
    }

    async fn a_new_list_of_criteria_is_for_all_that_is_recorded_from_then_on(world) {
        world.grant("u", "50", json!({"grant": "A", "priority": 1, "expires_at": "2026-09-01T00:00:00Z"})).await;
        world.grant("u", "100", json!({"grant": "C", "priority": 2, "expires_at": "2026-08-15T00:00:00Z"})).await;
        assert_eq!(world.uses("u", "unit", "10").await, "applied");
        world.at("2026-01-02T00:00:00Z").await;
        world.settings(json!({"burn_order": ["end", "priority"]})).await;
        assert_eq!(world.uses("u", "unit", "10").await, "applied");
        // Of the day before, and heard of now.
        let late = json!({"type": "usage.recorded", "subject": "u", "time": "2026-01-01T12:00:00Z", "data": {"meter": "unit", "quantity": 10}});
        assert_eq!(world.send(late).await, "applied");
        // 50 − 10 by priority, which stands; 100 − 10 − 10 by the end.
        assert_eq!(world.named_grants("u").await, ["C 80", "A 40"]);
    }
}

/// A rule, an add-on and a price that cannot be, one each in lines 4, 8 and 10.
const IMPOSSIBLE: &str = r#"currency = "USD"
[plans.keeping]
allowance = "100"
rollover = { min = "30", max = "20" }
[addons.seats]
credits_per_unit = "60"
unit_price = "10.00"
plans = ["gone"]
[stripe.prices]
price_1 = "addons.gone"
"#;

/// The command needs no server.
#[test]
fn a_catalog_that_cannot_be_used_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("impossible.toml");
    std::fs::write(&file, IMPOSSIBLE).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_credit-ledger")).args(["catalog", "check"]).arg(&file).output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for (line, words) in [
        (4, "plans.keeping.rollover.min is 30, above max 20"),
        (8, "addons.seats.plans names gone, which is no plan of this catalog"),
        (10, "stripe.prices.price_1 is \"addons.gone\""),
    ] {
        assert!(told.contains(&format!("{}:{line}: {words}", file.display())), "line {line}: {told}");
    }
}
