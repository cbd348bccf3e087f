//! When cycles begin and end, and what a reset takes (semantics §7).

use crate::world::{World, instant, scenarios};
use serde_json::json;

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.basic]
allowance = "100"
[plans.team]
allowance = "1000"
[plans.annual]
allowance = "1200"
interval = "year"
[[rates]]
meter = "unit"
price = "1"
insufficient = "allow"
"#;

/// The boundaries of the cycles that followed up to an instant.
async fn boundaries(world: &mut World, account: &str, until: &str) -> Vec<String> {
    world.tick(until).await;
    world.heard(account, "cycle.reset", "next_boundary").await
}

async fn in_zone(world: &mut World, zone: &str) {
    world.done("account.opened", "u", json!({"kind": "user", "owner": "u", "time_zone": zone})).await;
}

scenarios! { CATALOG;
    async fn a_month_after_the_31st_is_the_last_day(world) {
        world.at("2028-01-31T00:00:00Z").await;
        world.subscribe("u", "basic", "2028-01-31T00:00:00").await;
        let next = boundaries(world, "u", "2028-04-30T00:00:00Z").await;
        // 31 Jan → 29 Feb, 31 Mar, 30 Apr, 31 May: each from the anchor.
        assert_eq!(next, ["2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z", "2028-05-31T00:00:00Z"]);
        let granted: Vec<String> = world.history("u").await.iter().filter(|(entry, _)| entry.kind.word() == "allowance").map(|(entry, _)| entry.occurred_at.to_string()).collect();
        assert_eq!(granted, ["2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z"]);
    }

    async fn a_month_after_the_31st_in_a_common_year(world) {
        world.at("2026-01-31T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-01-31T00:00:00").await;
        world.tick("2026-02-27T23:59:59Z").await;
        assert_eq!(world.account("u").await.seq, 1);
        assert_eq!(boundaries(world, "u", "2026-02-28T00:00:00Z").await, ["2026-03-31T00:00:00Z"]);
    }

    async fn a_leap_day_is_kept_for_the_next_leap_year(world) {
        world.at("2024-03-01T00:00:00Z").await;
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "annual", "interval": "year", "anchor": "2024-02-29T00:00:00"})).await;
        let next = boundaries(world, "u", "2027-02-28T00:00:00Z").await;
        // The first cycle is 29 Feb 2024 to 28 Feb 2025; then 28 Feb 2026, 28 Feb 2027, 29 Feb 2028.
        assert_eq!(next, ["2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"]);
        let (opened, _) = world.history("u").await.into_iter().find(|(entry, _)| entry.occurred_at > instant("2024-03-01T00:00:00Z")).unwrap();
        assert_eq!(opened.occurred_at, instant("2025-02-28T00:00:00Z"));
    }

    async fn boundaries_are_local_in_the_zone_of_the_account(world) {
        in_zone(world, "America/New_York").await;
        world.at("2026-02-20T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-02-15T00:00:00").await;
        // Midnight is 05:00 UTC in winter and 04:00 in summer time, which begins on 8 March.
        assert_eq!(boundaries(world, "u", "2026-03-15T05:00:00Z").await, ["2026-04-15T04:00:00Z"]);
        let (opened, _) = world.history("u").await.pop().unwrap();
        assert_eq!(opened.occurred_at, instant("2026-03-15T04:00:00Z"));
    }

    async fn a_time_that_does_not_exist_moves_forward_by_the_gap(world) {
        in_zone(world, "Europe/Berlin").await;
        world.at("2026-02-10T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-01-29T02:30:00").await;
        // 28 Feb 02:30 CET; 29 Mar 02:30 does not exist: 03:30 CEST = 01:30 UTC.
        assert_eq!(boundaries(world, "u", "2026-02-28T01:30:00Z").await, ["2026-03-29T01:30:00Z"]);
    }

    async fn an_ambiguous_time_is_the_earlier_one(world) {
        in_zone(world, "Europe/Berlin").await;
        world.at("2026-08-26T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-08-25T02:30:00").await;
        // 25 Oct 02:30 comes twice, first as CEST = 00:30 UTC.
        assert_eq!(boundaries(world, "u", "2026-09-25T00:30:00Z").await, ["2026-10-25T00:30:00Z"]);
    }

    async fn the_first_cycle_contains_the_start_even_before_the_anchor(world) {
        world.at("2026-01-10T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-03-05T00:00:00").await;
        // k = −2: 5 Jan to 5 Feb, with the full allowance.
        assert_eq!(world.balance("u").await, "100");
        assert_eq!(boundaries(world, "u", "2026-02-05T00:00:00Z").await, ["2026-03-05T00:00:00Z"]);
        assert_eq!(world.heard("u", "cycle.reset", "k").await, ["-1"]);
    }

    async fn cycles_before_the_start_never_run(world) {
        world.at("2026-06-20T00:00:00Z").await;
        world.subscribe("u", "basic", "2020-01-15T00:00:00").await;
        assert_eq!(world.entries("u").await, ["allowance 100"]);
        assert_eq!(boundaries(world, "u", "2026-07-15T00:00:00Z").await, ["2026-08-15T00:00:00Z"]);
        // July 2026 is 78 months after January 2020.
        assert_eq!(world.heard("u", "cycle.reset", "k").await, ["78"]);
    }

    async fn a_start_on_a_boundary_belongs_to_the_cycle_that_begins(world) {
        world.at("2026-02-01T00:00:00Z").await;
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        assert_eq!(boundaries(world, "u", "2026-03-01T00:00:00Z").await, ["2026-04-01T00:00:00Z"]);
    }

    async fn missed_cycles_run_one_by_one(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        world.tick("2026-04-15T00:00:00Z").await;
        // Three resets, each forfeits 1000 and grants 1000.
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.heard("u", "cycle.reset", "k").await, ["1", "2", "3"]);
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["1000", "1000", "1000"]);
        assert_eq!(world.heard("u", "cycle.reset", "granted").await, ["1000", "1000", "1000"]);
        assert_eq!(world.account("u").await.seq, 7);
    }

    async fn a_cycle_resets_exactly_once(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        for _ in 0..3 {
            world.tick("2026-02-01T00:00:00Z").await;
            world.done("cycle.reset", "u", json!({"as_of": "2026-02-01T00:00:00Z"})).await;
        }
        assert_eq!(world.heard("u", "cycle.reset", "k").await, ["1"]);
        assert_eq!(world.account("u").await.seq, 3);
    }

    async fn a_reset_leaves_purchased_credits_alone(world) {
        world.grant("u", "500", json!({"source": "purchased"})).await;
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        world.tick("2026-02-01T00:00:00Z").await;
        // 500 purchased + 1000 of the plan, unused, no rollover: 500 + 1000.
        assert_eq!(world.grants("u").await, ["plan 1000", "purchased 500"]);
    }

    async fn only_what_is_left_is_forfeited(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        assert_eq!(world.uses("u", "unit", "1000").await, "applied");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 1000", "used 1000", "allowance 1000"]);
    }

    async fn debt_survives_resets_and_is_repaid_by_the_new_allowance(world) {
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        assert_eq!(world.uses("u", "unit", "350").await, "applied");
        // 350 − 100 = 250 owed; each new 100 repays 100.
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "150".into()));
        world.tick("2026-04-01T00:00:00Z").await;
        assert_eq!((world.balance("u").await, world.debt("u").await), ("50".into(), "0".into()));
    }

    async fn two_subscriptions_close_their_own_cycles(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        world.done("subscription.started", "u", json!({"subscription": "second", "plan": "basic", "interval": "month", "anchor": "2026-01-15T00:00:00"})).await;
        assert_eq!(world.uses("u", "unit", "30").await, "applied");
        let before = world.account("u").await.seq;
        world.tick("2026-01-15T00:00:00Z").await;
        // `second` began on 15 Dec; its 100 end first, so 30 of them are used.
        assert_eq!(world.entries_after("u", before).await, ["forfeited 70", "allowance 100"]);
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.entries_after("u", before + 2).await, ["forfeited 1000", "allowance 1000"]);
    }

    async fn a_cycle_keeps_the_catalog_it_began_with(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        world.catalog("[plans.team]\nallowance = \"2000\"\n").await;
        assert_eq!(world.balance("u").await, "1000");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "2000");
    }

    async fn a_start_is_a_fact_of_the_account(world) {
        world.subscribe("u", "team", "2026-01-01T00:00:00").await;
        let start = |plan: &str| json!({"subscription": "sub", "plan": plan, "interval": "month", "anchor": "2026-01-01T00:00:00"});
        assert_eq!(world.tell("subscription.started", "u", start("team")).await, "duplicate");
        assert_eq!(world.tell("subscription.started", "u", start("basic")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.tell("subscription.started", "v", start("basic")).await, "applied", "per account");
        assert_eq!(world.balance("u").await, "1000");
    }
}
