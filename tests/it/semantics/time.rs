//! Time passes in one order, whether or not a job has run (semantics §3).

use crate::world::scenarios;
use serde_json::json;

const CATALOG: &str = r#"
[packages.month]
credits = "500"
price = "20.00"
expires_after = "P1M"
[plans.basic]
allowance = "100"
[plans.keeping]
allowance = "100"
rollover = { max = "50" }
[[rates]]
meter = "unit"
price = "1"
insufficient = "allow"
[[rates]]
meter = "image"
price = "1"
"#;
const FEBRUARY: &str = "2026-02-01T00:00:00Z";

scenarios! { CATALOG;
    async fn a_grant_that_ends_at_a_reset_rolls_nothing_over(world) {
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        world.grant("u", "70", json!({"expires_at": FEBRUARY, "rollover": {"max": "70"}})).await;
        world.tick(FEBRUARY).await;
        // 70 expire by their own date before the cycle closes; then 100 forfeited, 100 granted.
        assert_eq!(world.entries_after("u", 2).await, ["expired 70", "forfeited 100", "allowance 100"]);
        assert_eq!(world.grants("u").await, ["plan 100"]);
    }

    async fn a_grant_that_starts_at_a_reset_counts_in_full_in_the_new_cycle(world) {
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        world.grant("u", "70", json!({"effective_at": FEBRUARY, "rollover": {"max": "10"}})).await;
        assert_eq!(world.balance("u").await, "100");
        world.tick(FEBRUARY).await;
        // Closed before it started: 100 + 70, not 100 + 10.
        assert_eq!(world.grants("u").await, ["plan 100", "promotional 70"]);
    }

    async fn what_a_cycle_added_to_a_promise_refuses_no_usage(world) {
        world.subscribe("u", "keeping", "2026-01-01T00:00:00").await;
        world.grant("u", "999999999999999899", json!({"effective_at": "2026-03-15T00:00:00Z"})).await;
        world.tick(FEBRUARY).await;
        assert!(world.grants("u").await.len() > 1, "the rollover came on top of the allowance");
        assert_eq!(world.uses("u", "unit", "10").await, "applied");
        let gift = json!({"credits": "1", "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", gift).await, "rejected: invalid_amount", "that would promise more");
    }

    async fn one_instant_has_one_order(world) {
        world.subscribe("u", "keeping", "2026-01-01T00:00:00").await;
        world.grant("u", "10", json!({"scope": ["image"], "priority": 60, "expires_at": FEBRUARY})).await;
        world.grant("u", "40", json!({"effective_at": FEBRUARY})).await;
        world.grant("u", "30", json!({"scope": ["image"], "priority": 1, "recurs": {"interval": "P1M", "anchor": "2026-01-01T00:00:00"}})).await;
        assert_eq!(world.uses("u", "image", "30").await, "applied");
        // 100 of the plan are used, 20 are owed.
        assert_eq!(world.uses("u", "unit", "120").await, "applied");
        let before = world.account("u").await.seq;
        world.tick(FEBRUARY).await;
        // 1 end, 2 close (nothing left) and open, 3 start, 4 refill, 5 repay.
        assert_eq!(world.entries_after("u", before).await, ["expired 10", "allowance 100", "granted 40", "refilled 30", "debt_repaid 20"]);
        // In burn order: the refilled 30, the plan's 100 − 20, the new 40.
        assert_eq!(world.grants("u").await, ["promotional 30", "plan 80", "promotional 40"]);
    }

    async fn the_message_comes_after_everything_due(world) {
        world.subscribe("u", "keeping", "2026-01-01T00:00:00").await;
        world.at(FEBRUARY).await;
        assert_eq!(world.uses("u", "unit", "120").await, "applied");
        // 50 of 100 rolled over; 120 = 50 of the rollover + 70 of the new 100.
        assert_eq!(world.entries_after("u", 1).await, ["rolled_out 50", "forfeited 50", "rolled_in 50", "allowance 100", "used 120"]);
        assert_eq!(world.grants("u").await, ["plan 30"]);
    }

    async fn a_charge_after_an_end_never_uses_the_grant(world) {
        world.grant("u", "100", json!({"expires_at": FEBRUARY})).await;
        world.at("2026-01-31T23:59:59.999999Z").await;
        assert_eq!(world.uses("u", "image", "10").await, "applied");
        world.at(FEBRUARY).await;
        assert_eq!(world.uses("u", "image", "10").await, "rejected: insufficient_credits");
        assert_eq!(world.entries("u").await, ["granted 100", "used 10", "expired 90"]);
    }

    async fn a_job_that_comes_late_changes_nothing(world) {
        for account in ["early", "late"] {
            world.subscribe(account, "keeping", "2026-01-01T00:00:00").await;
            world.grant(account, "7", json!({"expires_at": "2026-02-15T00:00:00Z"})).await;
        }
        for day in ["2026-02-01T00:00:00Z", "2026-02-15T00:00:00Z", "2026-03-01T00:00:00Z"] {
            world.at(day).await;
            assert_eq!(world.uses("early", "image", "0").await, "applied");
        }
        world.tick("2026-03-01T00:00:00Z").await;
        assert_eq!(world.entries("early").await, world.entries("late").await);
    }

    async fn a_grant_counts_from_its_start(world) {
        world.grant("u", "100", json!({"effective_at": "2026-01-10T00:00:00Z"})).await;
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.entries("u").await, Vec::<String>::new(), "its In entry is written when it starts");
        assert_eq!(world.uses("u", "image", "1").await, "rejected: insufficient_credits");
        world.at("2026-01-10T00:00:00Z").await;
        assert_eq!(world.uses("u", "image", "1").await, "applied");
        assert_eq!(world.entries("u").await, ["granted 100", "used 1"]);
    }

    async fn a_grant_must_end_after_it_starts(world) {
        let grant = |start: &str, end: &str| json!({"credits": "1", "effective_at": start, "expires_at": end, "reason": "r", "actor": "a"});
        assert_eq!(world.tell("credits.grant", "u", grant("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z")).await, "rejected: invalid_time");
        assert_eq!(world.tell("credits.grant", "u", grant("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")).await, "rejected: invalid_time");
        assert_eq!(world.tell("credits.grant", "u", grant("2025-01-01T00:00:00Z", "2026-01-01T00:00:01Z")).await, "applied");
    }

    async fn a_recurring_grant_is_refilled_to_its_amount(world) {
        world.grant("u", "50", json!({"recurs": {"interval": "P1D", "anchor": "2026-01-01T06:00:00"}})).await;
        assert_eq!(world.uses("u", "image", "30").await, "applied");
        world.tick("2026-01-01T05:59:59Z").await;
        assert_eq!(world.balance("u").await, "20");
        world.tick("2026-01-01T06:00:00Z").await;
        // 50 − 30 = 20 left, raised by 30.
        assert_eq!(world.entries("u").await, ["granted 50", "used 30", "refilled 30"]);
        world.tick("2026-01-05T06:00:00Z").await;
        assert_eq!(world.balance("u").await, "50", "a refill never piles up");
        assert_eq!(world.account("u").await.seq, 3, "a full grant needs no entry");
    }

    async fn a_refill_of_credits_repays_debt(world) {
        world.grant("u", "50", json!({"recurs": {"interval": "P1D", "anchor": "2026-01-02T00:00:00"}})).await;
        assert_eq!(world.uses("u", "unit", "80").await, "applied");
        world.tick("2026-01-02T00:00:00Z").await;
        // 80 − 50 = 30 owed; refilled by 50, 30 repaid: 20 left.
        assert_eq!((world.balance("u").await, world.debt("u").await), ("20".into(), "0".into()));
        assert_eq!(world.entries_after("u", 3).await, ["refilled 50", "debt_repaid 30"]);
    }

    async fn any_interval_and_any_downtime_are_one_step(world) {
        world.grant("u", "10", json!({"effective_at": "2000-01-01T00:00:00Z", "recurs": {"interval": "PT1H", "anchor": "2000-01-01T00:00:00"}})).await;
        world.grant("v", "10", json!({"recurs": {"interval": "PT1S", "anchor": "2000-01-01T00:00:00"}})).await;
        for account in ["u", "v"] {
            assert_eq!(world.uses(account, "image", "4").await, "applied");
        }
        world.tick("2026-01-01T00:00:01Z").await;
        // A second later: the one is full again, the other in an hour.
        assert_eq!((world.balance("u").await, world.balance("v").await), ("6".into(), "10".into()));
        world.tick("2326-01-01T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["granted 10", "used 4", "refilled 4"]);
        let refilled = |history: &[(credit_ledger::domain::entry::Entry, credit_ledger::domain::ids::Hash)]| history[2].0.occurred_at.to_string();
        assert_eq!(refilled(&world.history("u").await), "2026-01-01T01:00:00Z");
        assert_eq!(refilled(&world.history("v").await), "2026-01-01T00:00:01Z");
        assert_eq!(world.uses("u", "image", "10").await, "applied");
    }

    async fn refills_that_repay_happen_one_by_one(world) {
        world.grant("u", "10", json!({"recurs": {"interval": "P1D", "anchor": "2026-01-02T00:00:00"}})).await;
        assert_eq!(world.uses("u", "unit", "35").await, "applied");
        world.tick("2030-01-01T00:00:00Z").await;
        // 35 − 10 = 25 owed: 10, 10, then 5 of 10; a fourth refill makes it full, and none follows.
        assert_eq!(world.entries_after("u", 3).await, ["refilled 10", "debt_repaid 10", "refilled 10", "debt_repaid 10", "refilled 10", "debt_repaid 5", "refilled 5"]);
    }

    async fn usage_that_waited_is_followed_by_the_refills_after_it(world) {
        for account in ["u", "v"] {
            world.grant(account, "10", json!({"recurs": {"interval": "P1D", "anchor": "2026-01-01T06:00:00"}})).await;
        }
        for (account, meter, quantity) in [("u", "image", 4), ("v", "unit", 35)] {
            let usage = json!({"type": "usage.recorded", "subject": account, "time": "2026-01-10T12:00:00Z", "data": {"meter": meter, "quantity": quantity}});
            assert_eq!(world.send(usage).await, "waiting");
        }
        world.tick("2026-01-20T00:00:00Z").await;
        assert_eq!(world.entries_after("u", 1).await, ["used 4", "refilled 4"]);
        assert_eq!(world.history("u").await[2].0.occurred_at.to_string(), "2026-01-11T06:00:00Z");
        // 35 − 10 = 25 owed on the 10th; 10, 10 and 5 on the three days after it.
        let after = world.entries_after("v", 3).await;
        assert_eq!(after, ["refilled 10", "debt_repaid 10", "refilled 10", "debt_repaid 10", "refilled 10", "debt_repaid 5", "refilled 5"]);
    }

    async fn three_hundred_years_of_months_are_nothing_special(world) {
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        world.tick("2326-01-01T00:00:00Z").await;
        // 300 × 12 resets, each forfeits 100 and grants 100.
        assert_eq!((world.balance("u").await, world.account("u").await.seq), ("100".into(), 1 + 2 * 3600));
    }

    async fn a_refill_waits_in_the_zone_the_account_has_now(world) {
        world.grant("u", "10", json!({"recurs": {"interval": "P1D", "anchor": "2026-01-01T12:00:00"}})).await;
        assert_eq!(world.uses("u", "image", "4").await, "applied");
        world.done("account.changed", "u", json!({"time_zone": "America/New_York"})).await;
        world.tick("2026-01-01T16:59:59Z").await;
        assert_eq!(world.balance("u").await, "6");
        // Noon in New York.
        world.tick("2026-01-01T17:00:00Z").await;
        assert_eq!(world.balance("u").await, "10");
    }

    async fn a_recurring_grant_stops_at_its_end(world) {
        world.grant("u", "50", json!({"expires_at": "2026-01-03T00:00:00Z", "recurs": {"interval": "P1D", "anchor": "2026-01-01T00:00:00"}})).await;
        world.tick("2026-01-10T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["granted 50", "expired 50"]);
    }

    async fn recorded_time_never_goes_back(world) {
        world.at("2026-01-10T00:00:00Z").await;
        world.grant("u", "10", json!({})).await;
        world.at("2026-01-09T00:00:00Z").await;
        world.grant("u", "10", json!({})).await;
        let recorded: Vec<String> = world.history("u").await.iter().map(|(entry, _)| entry.recorded_at.to_string()).collect();
        assert_eq!(recorded, ["2026-01-10T00:00:00Z", "2026-01-10T00:00:00Z"]);
    }

    async fn a_late_job_records_when_it_was_due_and_when_it_ran(world) {
        world.grant("u", "10", json!({"expires_at": FEBRUARY})).await;
        world.tick("2026-02-03T00:00:00Z").await;
        let history = world.history("u").await;
        let (expired, _) = history.last().unwrap();
        assert_eq!((expired.occurred_at.to_string().as_str(), expired.recorded_at.to_string().as_str()), (FEBRUARY, "2026-02-03T00:00:00Z"));
    }
}
