//! Plans and units that go and come again across subscriptions and cycles: nothing is issued twice, and nothing
//! that is due is kept back (semantics §7, high water).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.basic]
allowance = "100"
[plans.team]
allowance = "1000"
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
[addons.extra]
credits_per_unit = "10"
unit_price = "1.00"
"#;

async fn start(world: &mut World, time: &str, subscription: &str, generative: u32) {
    world.at(&format!("{time}T00:00:00Z")).await;
    let units = json!([{"addon": "generative", "units": generative}]);
    let anchor = format!("{time}T00:00:00");
    let data = json!({"subscription": subscription, "plan": "basic", "interval": "month", "anchor": anchor, "addons": units});
    world.done("subscription.started", "u", data).await;
}

async fn change(world: &mut World, time: &str, subscription: &str, addons: Value) {
    world.at(&format!("{time}T00:00:00Z")).await;
    world.done("subscription.changed", "u", json!({"subscription": subscription, "addons": addons})).await;
}

async fn end(world: &mut World, time: &str, subscription: &str) {
    world.at(&format!("{time}T00:00:00Z")).await;
    world.done("subscription.cancelled", "u", json!({"subscription": subscription, "at_cycle_end": false})).await;
}

scenarios! { CATALOG;
    async fn units_of_a_running_cycle_are_not_issued_again_in_it(world) {
        start(world, "2026-01-01", "sub", 2).await;
        end(world, "2026-01-10", "sub").await;
        start(world, "2026-01-10", "sub-2", 5).await;
        // The plan's 100 and 2 × 60 were issued in January: (5 − 2) × 60.
        assert_eq!(world.grants("u").await, ["addon 180"]);
        // The period of the first two ended on 1 February, the running one ends on 10 February.
        change(world, "2026-02-05", "sub-2", json!([{"addon": "generative", "units": 5}, {"addon": "extra", "units": 1}])).await;
        assert_eq!(world.grants("u").await, ["addon 180", "addon 10"]);
        for count in [4, 5] {
            change(world, "2026-02-06", "sub-2", json!([{"addon": "generative", "units": count}])).await;
        }
        assert_eq!(world.balance("u").await, "190", "toggling mints nothing");
        world.tick("2026-02-10T00:00:00Z").await;
        // 100 + 5 × 60
        assert_eq!(world.grants("u").await, ["plan 100", "addon 300"]);
    }

    async fn units_that_were_counted_are_not_issued_within_the_cycle(world) {
        start(world, "2026-01-01", "sub", 2).await;
        end(world, "2026-01-10", "sub").await;
        start(world, "2026-01-10", "sub-2", 2).await;
        assert_eq!(world.balance("u").await, "0");
        change(world, "2026-02-05", "sub-2", json!([])).await;
        change(world, "2026-02-06", "sub-2", json!([{"addon": "generative", "units": 2}])).await;
        assert_eq!(world.balance("u").await, "0", "toggling mints nothing");
        change(world, "2026-02-07", "sub-2", json!([{"addon": "generative", "units": 3}])).await;
        assert_eq!(world.grants("u").await, ["addon 60"]);
    }

    async fn units_of_one_that_is_over_keep_no_renewal_back(world) {
        start(world, "2026-01-01", "sub", 2).await;
        start(world, "2026-01-10", "sub-2", 5).await;
        end(world, "2026-01-12", "sub-2").await;
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 120"]);
    }

    async fn two_that_share_an_addon_have_the_most_of_it_every_month(world) {
        start(world, "2026-01-01", "sub", 2).await;
        start(world, "2026-01-10", "sub-2", 5).await;
        // 100 + 2 × 60; the plan's 100 were issued, (5 − 2) × 60.
        assert_eq!(world.balance("u").await, "400");
        for (from, until) in [("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-31"), ("2026-03-31", "2026-04-30")] {
            world.tick(&format!("{from}T00:00:00Z")).await;
            let before = world.account("u").await.seq;
            world.tick(&format!("{until}T00:00:00Z")).await;
            let entries = world.entries_after("u", before).await;
            let units: u32 = entries.iter().filter_map(|entry| entry.strip_prefix("addon ")).map(|credits| credits.parse::<u32>().unwrap()).sum();
            assert_eq!(units, 300, "5 × 60 in a month: {entries:?}");
        }
    }

    async fn a_reset_by_hand_of_one_issues_nothing_of_the_other_again(world) {
        start(world, "2026-01-01", "sub", 2).await;
        start(world, "2026-01-10", "sub-2", 5).await;
        world.at("2026-01-20T00:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-01-20T00:00:00Z", "manual": true, "subscription": "sub"})).await;
        let before = world.account("u").await.seq;
        change(world, "2026-01-21", "sub-2", json!([{"addon": "generative", "units": 5}, {"addon": "extra", "units": 1}])).await;
        assert_eq!(world.entries_after("u", before).await, ["addon 10"]);
    }

    async fn a_catalog_that_comes_before_a_late_reset_is_of_the_next(world) {
        start(world, "2026-01-01", "sub", 1).await;
        world.at("2026-03-02T00:00:00Z").await;
        world.catalog(&CATALOG.replace("\"100\"", "\"250\"").replace("\"60\"", "\"70\"")).await;
        // Nobody was there on 1 February and 1 March.
        world.tick("2026-03-05T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 60"]);
        world.tick("2026-04-01T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 250", "addon 70"]);
    }
}
