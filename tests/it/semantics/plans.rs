//! Subscriptions: upgrades, units and their high water, cancelling, manual resets (semantics §7).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.basic]
allowance = "100"
[plans.team]
allowance = "1000"
[plans.half]
allowance = "3100"
prorate = true
[plans.bigger]
allowance = "6200"
prorate = true
[plans.annual]
allowance = "1200"
interval = "year"
[plans.spread]
allowance = "100"
interval = "year"
allowance_every = "month"
[plans.large]
allowance = "300"
interval = "year"
allowance_every = "month"
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
scope = "user"
[addons.shared]
credits_per_unit = "200"
unit_price = "30.00"
scope = "workspace"
[addons.extra]
credits_per_unit = "10"
unit_price = "1.00"
plans = ["team"]
[[rates]]
meter = "unit"
price = "1"
"#;
const ANCHOR: &str = "2026-01-01T00:00:00";

fn start(plan: &str, addons: &Value) -> Value {
    json!({"subscription": "sub", "plan": plan, "interval": "month", "anchor": ANCHOR, "addons": addons})
}

fn units(count: u32) -> Value {
    json!([{"addon": "generative", "units": count}])
}

async fn change(world: &mut World, data: Value) {
    let mut change = json!({"subscription": "sub"});
    change.as_object_mut().unwrap().extend(data.as_object().cloned().unwrap());
    world.done("subscription.changed", "u", change).await;
}

async fn cancel(world: &mut World, at_cycle_end: bool) {
    world.done("subscription.cancelled", "u", json!({"subscription": "sub", "at_cycle_end": at_cycle_end})).await;
}

async fn close_by_hand(world: &mut World, time: &str) {
    world.at(time).await;
    world.done("cycle.reset", "u", json!({"as_of": time, "manual": true, "subscription": "sub"})).await;
}

scenarios! { CATALOG;
    async fn an_upgrade_grants_the_difference_at_once(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "40").await, "applied");
        change(world, json!({"plan": "team"})).await;
        // 100 − 40 + (1000 − 100) = 960
        assert_eq!(world.balance("u").await, "960");
        assert_eq!(world.entries("u").await, ["allowance 100", "used 40", "allowance 900"]);
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000"]);
    }

    async fn a_downgrade_waits_for_the_end_of_the_paid_interval(world) {
        world.subscribe("u", "team", ANCHOR).await;
        change(world, json!({"plan": "basic"})).await;
        assert_eq!(world.balance("u").await, "1000");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100"]);
    }

    async fn toggling_plans_mints_nothing(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        for plan in ["team", "basic", "team", "basic", "team"] {
            change(world, json!({"plan": plan})).await;
        }
        // 100, then 900 once: the highest issued in this cycle is 1000.
        assert_eq!(world.entries("u").await, ["allowance 100", "allowance 900"]);
    }

    async fn units_of_a_user_grant_their_credits(world) {
        world.open("u").await;
        world.done("subscription.started", "u", start("team", &units(1))).await;
        // 1000 + 1 × 60
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 60"]);
        change(world, json!({"addons": units(3)})).await;
        // (3 − 1) × 60 more
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 60", "addon 120"]);
    }

    async fn units_of_a_workspace_have_credits_of_their_own(world) {
        world.done("account.opened", "w", json!({"kind": "workspace", "owner": "u"})).await;
        world.done("subscription.started", "w", start("team", &json!([{"addon": "shared", "units": 2}]))).await;
        // 1000 + 2 × 200
        assert_eq!(world.balance("w").await, "1400");
    }

    async fn an_addon_is_for_one_kind_of_account_and_some_plans(world) {
        world.open("u").await;
        assert_eq!(world.tell("subscription.started", "u", start("team", &json!([{"addon": "shared", "units": 1}]))).await, "rejected: unknown_addon");
        assert_eq!(world.tell("subscription.started", "u", start("basic", &json!([{"addon": "extra", "units": 1}]))).await, "rejected: unknown_addon");
        assert_eq!(world.tell("subscription.started", "u", start("team", &json!([{"addon": "none", "units": 1}]))).await, "rejected: unknown_addon");
        assert_eq!(world.tell("subscription.started", "u", start("team", &json!([{"addon": "extra", "units": 1}]))).await, "applied");
        world.done("account.opened", "w", json!({"kind": "workspace", "owner": "u"})).await;
        assert_eq!(world.tell("subscription.started", "w", start("team", &units(1))).await, "rejected: unknown_addon");
    }

    async fn toggling_units_mints_nothing(world) {
        world.done("subscription.started", "u", start("team", &units(3))).await;
        for count in [1, 3, 0, 3, 2, 3] {
            change(world, json!({"addons": units(count)})).await;
        }
        assert_eq!(world.balance("u").await, "1180");
        change(world, json!({"addons": units(4)})).await;
        // 1000 + 3 × 60 + (4 − 3) × 60
        assert_eq!(world.balance("u").await, "1240");
    }

    async fn fewer_units_count_from_the_next_paid_interval(world) {
        world.done("subscription.started", "u", start("team", &units(3))).await;
        change(world, json!({"addons": units(1)})).await;
        assert_eq!(world.balance("u").await, "1180");
        world.tick("2026-02-01T00:00:00Z").await;
        // 1000 + 1 × 60; the old ones are forfeited.
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 60"]);
    }

    async fn cancelling_and_starting_again_mints_nothing(world) {
        world.done("subscription.started", "u", start("team", &units(2))).await;
        assert_eq!(world.uses("u", "unit", "500").await, "applied");
        cancel(world, false).await;
        assert_eq!(world.balance("u").await, "0");
        let again = json!({"subscription": "sub-2", "plan": "team", "interval": "month", "anchor": ANCHOR, "addons": units(2)});
        world.done("subscription.started", "u", again).await;
        // 1000 and 2 units were issued for January already.
        assert_eq!(world.balance("u").await, "0");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 120"]);
    }

    async fn cancelling_at_the_end_keeps_the_cycle(world) {
        world.done("subscription.started", "u", start("team", &units(1))).await;
        cancel(world, true).await;
        world.tick("2026-01-31T23:59:59Z").await;
        assert_eq!(world.balance("u").await, "1060");
        world.tick("2026-02-01T00:00:00Z").await;
        // Plan and add-on end with it, and no cycle follows.
        assert_eq!(world.entries("u").await, ["allowance 1000", "addon 60", "forfeited 1000", "forfeited 60"]);
        world.tick("2026-04-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
    }

    async fn cancelling_at_once_forfeits_the_cycle(world) {
        world.grant("u", "5", json!({})).await;
        world.subscribe("u", "basic", ANCHOR).await;
        cancel(world, false).await;
        // Only what belongs to the subscription.
        assert_eq!(world.entries("u").await, ["granted 5", "allowance 100", "forfeited 100"]);
        assert_eq!(world.grants("u").await, ["promotional 5"]);
    }

    async fn resuming_undoes_a_cancellation(world) {
        world.done("subscription.started", "u", start("team", &units(1))).await;
        cancel(world, true).await;
        world.done("subscription.resumed", "u", json!({"subscription": "sub"})).await;
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 60"], "add-ons are restored with it");
    }

    async fn a_state_that_holds_already_is_a_duplicate(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        assert_eq!(world.tell("subscription.changed", "u", json!({"subscription": "sub", "plan": "basic"})).await, "duplicate");
        assert_eq!(world.tell("subscription.resumed", "u", json!({"subscription": "sub"})).await, "duplicate");
        cancel(world, true).await;
        assert_eq!(world.tell("subscription.cancelled", "u", json!({"subscription": "sub"})).await, "duplicate");
    }

    async fn what_has_ended_cannot_be_changed(world) {
        world.subscribe("u", "team", ANCHOR).await;
        cancel(world, false).await;
        for kind in ["subscription.cancelled", "subscription.resumed"] {
            assert_eq!(world.tell(kind, "u", json!({"subscription": "sub"})).await, "rejected: no_active_subscription", "{kind}");
        }
        let addons = json!({"subscription": "sub", "addons": units(1)});
        assert_eq!(world.tell("subscription.changed", "u", addons).await, "rejected: no_active_subscription");
        let reset = json!({"as_of": "2026-01-01T00:00:00Z", "manual": true, "subscription": "sub"});
        assert_eq!(world.tell("cycle.reset", "u", reset).await, "rejected: no_active_subscription");
    }

    async fn unknown_plans_are_refused(world) {
        world.subscribe("u", "team", ANCHOR).await;
        let other = json!({"subscription": "other", "plan": "none", "interval": "month", "anchor": ANCHOR});
        assert_eq!(world.tell("subscription.started", "u", other).await, "rejected: unknown_plan");
        assert_eq!(world.tell("subscription.changed", "u", json!({"subscription": "sub", "plan": "none"})).await, "rejected: unknown_plan");
        let monthly = json!({"subscription": "other", "plan": "annual", "interval": "month", "anchor": ANCHOR});
        assert_eq!(world.tell("subscription.started", "u", monthly).await, "rejected: unknown_plan", "it is sold by the year");
        assert_eq!(world.tell("subscription.changed", "u", json!({"subscription": "sub", "plan": "annual"})).await, "rejected: unknown_plan");
    }

    async fn the_first_cycle_is_whole_unless_the_plan_prorates(world) {
        world.at("2026-01-11T00:00:00Z").await;
        world.subscribe("u", "team", ANCHOR).await;
        world.subscribe("v", "half", ANCHOR).await;
        assert_eq!(world.balance("u").await, "1000");
        // ⌊3100 × 21 days / 31 days⌋
        assert_eq!(world.balance("v").await, "2100");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.balance("v").await, "3100");
    }

    async fn a_plan_that_prorates_and_starts_again_has_the_rest(world) {
        world.at("2026-01-11T00:00:00Z").await;
        world.subscribe("u", "half", ANCHOR).await;
        cancel(world, false).await;
        let again = |name: &str, anchor: &str| json!({"subscription": name, "plan": "half", "interval": "month", "anchor": anchor});
        world.done("subscription.started", "u", again("again", ANCHOR)).await;
        assert_eq!(world.balance("u").await, "0", "starting again mints nothing");
        world.done("subscription.cancelled", "u", json!({"subscription": "again", "at_cycle_end": false})).await;
        world.done("subscription.started", "u", again("other", "2026-01-11T00:00:00")).await;
        // A whole cycle of 3100, of which 2100 were issued in a period that still runs.
        assert_eq!(world.grants("u").await, ["plan 1000"]);
    }

    async fn proration_rounds_down_at_six_places(world) {
        world.at("2026-01-31T23:59:59Z").await;
        world.subscribe("v", "half", ANCHOR).await;
        // 3100 × 1 s / 2678400 s = 0.00115740…
        assert_eq!(world.balance("v").await, "0.001157");
    }

    async fn units_are_not_prorated(world) {
        world.at("2026-01-11T00:00:00Z").await;
        world.done("subscription.started", "u", start("team", &units(1))).await;
        world.at("2026-01-21T00:00:00Z").await;
        change(world, json!({"addons": units(2)})).await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 60", "addon 60"]);
    }

    async fn units_are_prorated_with_their_plan(world) {
        world.at("2026-01-11T00:00:00Z").await;
        world.done("subscription.started", "u", start("half", &units(1))).await;
        // 3100 × 21 / 31 days = 2100; ⌊60 × 21 / 31⌋ = ⌊40.64516129…⌋ at six places
        assert_eq!(world.grants("u").await, ["plan 2100", "addon 40.645161"]);
        world.done("subscription.started", "w", start("half", &json!([{"addon": "shared", "units": 1}]))).await;
        // ⌊200 × 21 / 31⌋ = ⌊135.48387096…⌋
        assert_eq!(world.grants("w").await, ["plan 2100", "addon 135.48387"]);
        world.at("2026-01-21T00:00:00Z").await;
        change(world, json!({"addons": units(3)})).await;
        // ⌊(3 − 1) × 60 × 11 / 31⌋ = ⌊42.58064516…⌋
        assert_eq!(world.grants("u").await, ["plan 2100", "addon 40.645161", "addon 42.580645"]);
        for count in [0, 3, 1, 3] {
            change(world, json!({"addons": units(count)})).await;
        }
        assert_eq!(world.balance("u").await, "2183.225806", "toggling mints nothing");
        close_by_hand(world, "2026-01-25T12:00:00Z").await;
        // By hand: in full.
        assert_eq!(world.grants("u").await, ["plan 3100", "addon 180"]);
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 3100", "addon 180"]);
    }

    async fn what_is_sold_no_more_renews_as_it_was(world) {
        world.done("subscription.started", "u", start("team", &units(2))).await;
        world.catalog("[plans.basic]\nallowance = \"100\"\n[addons.extra]\ncredits_per_unit = \"10\"\nunit_price = \"1.00\"\n").await;
        world.tick("2026-02-01T00:00:00Z").await;
        // Plan and add-on alike: 1000 and 2 × 60.
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 120"]);
        let asked = |addons: Value| json!({"subscription": "sub", "addons": addons});
        assert_eq!(world.tell("subscription.changed", "u", asked(units(3))).await, "rejected: unknown_addon", "no more of it");
        assert_eq!(world.tell("subscription.changed", "u", json!({"subscription": "sub", "plan": "half"})).await, "rejected: unknown_plan");
        let other = json!({"subscription": "other", "plan": "team", "interval": "month", "anchor": ANCHOR});
        assert_eq!(world.tell("subscription.started", "u", other).await, "rejected: unknown_plan", "nor for others");
        change(world, json!({"addons": [{"addon": "generative", "units": 1}, {"addon": "extra", "units": 1}]})).await;
        world.tick("2026-03-01T00:00:00Z").await;
        // Fewer of the old, one of the new.
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 10", "addon 60"]);
        change(world, json!({"plan": "basic"})).await;
        change(world, json!({"addons": units(1)})).await;
        world.tick("2026-04-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 60"]);
    }

    async fn units_that_are_there_keep_nothing_else_back(world) {
        let extra = |generative: u32, extra: u32| json!([{"addon": "generative", "units": generative}, {"addon": "extra", "units": extra}]);
        world.done("subscription.started", "u", start("team", &extra(1, 2))).await;
        world.catalog(&CATALOG.replace("plans = [\"team\"]", "plans = [\"basic\"]")).await;
        // It is sold for another plan by now.
        change(world, json!({"addons": extra(2, 2)})).await;
        change(world, json!({"addons": extra(2, 1)})).await;
        assert_eq!(world.tell("subscription.changed", "u", json!({"subscription": "sub", "addons": extra(2, 3)})).await, "rejected: unknown_addon");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 10", "addon 120"]);
    }

    async fn a_year_can_have_monthly_allowances(world) {
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "spread", "interval": "year", "anchor": ANCHOR})).await;
        assert_eq!(world.balance("u").await, "100");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100"]);
        change(world, json!({"plan": "large"})).await;
        change(world, json!({"plan": "spread"})).await;
        // 100 + (300 − 100); the decrease waits for the end of the year that was paid.
        assert_eq!(world.balance("u").await, "300");
        world.tick("2026-12-31T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "300");
        world.tick("2027-01-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "100");
    }

    async fn a_cancelled_year_with_monthly_allowances_runs_to_its_end(world) {
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "spread", "interval": "year", "anchor": ANCHOR})).await;
        cancel(world, true).await;
        world.tick("2026-12-31T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "100");
        assert_eq!(world.announced("u", "cycle.reset").await.len(), 11);
        world.tick("2027-01-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_year_can_have_its_allowance_at_once(world) {
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "annual", "interval": "year", "anchor": ANCHOR})).await;
        world.tick("2026-12-31T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 1200"]);
        world.tick("2027-01-01T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 1200", "forfeited 1200", "allowance 1200"]);
    }

    async fn a_manual_reset_closes_now_and_keeps_the_end(world) {
        world.done("subscription.started", "u", start("team", &units(1))).await;
        assert_eq!(world.uses("u", "unit", "300").await, "applied");
        world.at("2026-01-10T00:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-10T00:00:00Z", "manual": true, "subscription": "sub"})).await;
        // 1000 − 300 = 700 and 60 forfeited; full allowance and units again.
        assert_eq!(world.entries_after("u", 3).await, ["forfeited 700", "forfeited 60", "allowance 1000", "addon 60"]);
        let reset = world.announced("u", "cycle.reset").await;
        assert_eq!(reset[0]["next_boundary"], "2026-02-01T00:00:00Z");
        assert_eq!((&reset[0]["granted"], &reset[0]["forfeited"]), (&json!("1060"), &json!("760")));
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "1060");
    }

    async fn after_a_manual_reset_units_count_afresh(world) {
        world.done("subscription.started", "u", start("team", &units(2))).await;
        world.at("2026-01-10T00:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-10T00:00:00Z", "manual": true, "subscription": "sub"})).await;
        change(world, json!({"addons": units(3)})).await;
        // 2 × 60 by the reset, (3 − 2) × 60 by the change.
        assert_eq!(world.grants("u").await, ["plan 1000", "addon 120", "addon 60"]);
        change(world, json!({"addons": units(2)})).await;
        change(world, json!({"addons": units(3)})).await;
        assert_eq!(world.balance("u").await, "1180");
    }

    async fn a_manual_reset_without_subscription_closes_only_rules_of_their_own(world) {
        world.subscribe("u", "team", ANCHOR).await;
        world.grant("u", "100", json!({"rollover": {"max": "30"}})).await;
        world.grant("u", "7", json!({})).await;
        world.at("2026-01-10T00:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-10T00:00:00Z", "manual": true})).await;
        assert_eq!(world.grants("u").await, ["rollover 30", "plan 1000", "promotional 7"]);
    }

    async fn a_reset_is_neither_ahead_of_the_clock_nor_behind_the_cycle(world) {
        world.subscribe("u", "team", ANCHOR).await;
        world.at("2026-02-10T00:00:00Z").await;
        let reset = |as_of: &str| json!({"as_of": as_of});
        assert_eq!(world.tell("cycle.reset", "u", reset("2026-02-10T00:00:01Z")).await, "rejected: reset_in_future");
        assert_eq!(world.tell("cycle.reset", "u", reset("2026-01-31T23:59:59Z")).await, "rejected: reset_backwards");
        assert_eq!(world.tell("cycle.reset", "u", reset("2026-02-10T00:00:00Z")).await, "applied");
        assert_eq!(world.entries("u").await, ["allowance 1000", "forfeited 1000", "allowance 1000"]);
    }

    async fn a_reset_of_the_tenant_moves_a_test_clock(world) {
        world.subscribe("u", "team", ANCHOR).await;
        world.subscribe("v", "basic", ANCHOR).await;
        world.tenant("cycle.reset", json!({"as_of": "2026-02-01T00:00:00Z"})).await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "forfeited 1000", "allowance 1000"]);
        assert_eq!(world.entries("v").await, ["allowance 100", "forfeited 100", "allowance 100"]);
    }

    async fn a_change_names_the_full_desired_state(world) {
        world.done("subscription.started", "u", start("basic", &units(1))).await;
        change(world, json!({"plan": "team"})).await;
        // Add-ons that are not named stay; 100 + 900 and 60.
        assert_eq!(world.balance("u").await, "1060");
        change(world, json!({"addons": []})).await;
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 1000"]);
    }

    async fn an_upgrade_is_announced(world) {
        world.subscribe("u", "basic", ANCHOR).await;
        change(world, json!({"plan": "team"})).await;
        assert_eq!(world.heard("u", "subscription.changed", "plan").await, ["basic", "team"]);
    }

    async fn an_upgrade_of_a_prorated_plan_grants_its_share(world) {
        world.subscribe("u", "half", ANCHOR).await;
        assert_eq!(world.balance("u").await, "3100");
        world.at("2026-01-11T00:00:00Z").await;
        world.done("credits.quote", "u", json!({"quote": "q", "plan": {"subscription": "sub", "plan": "bigger"}})).await;
        let quote = world.announced("u", "quote.made").await.pop().unwrap();
        assert_eq!((&quote["credits"], &quote["available_after"]), (&json!("2100"), &json!("5200")));
        change(world, json!({"plan": "bigger"})).await;
        // 3100 + ⌊(6200 − 3100) × 21 / 31⌋
        assert_eq!(world.grants("u").await, ["plan 3100", "plan 2100"]);
        for plan in ["half", "bigger"] {
            change(world, json!({"plan": plan})).await;
        }
        assert_eq!(world.balance("u").await, "5200", "toggling mints nothing");
    }
}
