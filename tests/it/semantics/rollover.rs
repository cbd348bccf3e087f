//! What a close hands on to the next cycle (semantics §7).

use crate::world::{World, scenarios};
use serde_json::json;

const CATALOG: &str = r#"
[plans.max]
allowance = "1000"
rollover = { max = "200" }
[plans.all]
allowance = "100"
rollover = {}
[plans.min]
allowance = "100"
rollover = { min = "20", max = "50" }
[plans.percent]
allowance = "1000"
rollover = { max_percent = "10" }
[plans.lower]
allowance = "1000"
rollover = { max = "300", max_percent = "10" }
[plans.twice]
allowance = "100"
rollover = { max = "50", count = 2 }
[plans.long]
allowance = "100"
rollover = { max = "50", cycles = 2 }
[plans.plain]
allowance = "100"
[plans.sixty]
allowance = "60"
rollover = {}
[plans.other]
allowance = "70"
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
[[rates]]
meter = "unit"
price = "1"
"#;
const ANCHOR: &str = "2026-01-01T00:00:00";
const FEBRUARY: &str = "2026-02-01T00:00:00Z";
const MARCH: &str = "2026-03-01T00:00:00Z";
const APRIL: &str = "2026-04-01T00:00:00Z";

/// The ends of the rollovers of `u`, in burn order.
async fn ends(world: &World) -> Vec<String> {
    let lots = world.lots("u").await;
    lots.iter().filter(|grant| grant.terms.parent.is_some()).map(|grant| grant.terms.end.at().unwrap().to_string()).collect()
}

async fn close_now(world: &mut World, time: &str, subscription: Option<&str>) {
    world.at(time).await;
    let mut reset = json!({"as_of": time, "manual": true});
    if let Some(subscription) = subscription {
        reset["subscription"] = json!(subscription);
    }
    world.done("cycle.reset", "u", reset).await;
}

scenarios! { CATALOG;
    async fn what_is_left_rolls_over_up_to_the_maximum(world) {
        world.subscribe("u", "max", ANCHOR).await;
        world.tick(FEBRUARY).await;
        // min(200, 1000) over, 800 forfeited.
        assert_eq!(world.entries_after("u", 1).await, ["rolled_out 200", "forfeited 800", "rolled_in 200", "allowance 1000"]);
        let reset = &world.announced("u", "cycle.reset").await[0];
        assert_eq!((&reset["granted"], &reset["forfeited"], &reset["rolled_over"]), (&json!("1000"), &json!("800"), &json!("200")));
    }

    async fn less_than_the_maximum_rolls_over_whole(world) {
        world.subscribe("u", "max", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "850").await, "applied");
        world.tick(FEBRUARY).await;
        // 1000 − 850 = 150 < 200
        assert_eq!(world.grants("u").await, ["rollover 150", "plan 1000"]);
    }

    async fn without_a_maximum_everything_rolls_over_once(world) {
        world.subscribe("u", "all", ANCHOR).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["rollover 100", "plan 100"]);
        world.tick(MARCH).await;
        // A plan's chain has 1 rollover: January's 100 are forfeited, February's roll.
        assert_eq!(world.grants("u").await, ["rollover 100", "plan 100"]);
    }

    async fn a_minimum_rolls_over_even_from_nothing(world) {
        world.subscribe("u", "min", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "100").await, "applied");
        world.tick(FEBRUARY).await;
        // min(50, max(20, 0)) = 20
        assert_eq!(world.entries_after("u", 2).await, ["rolled_in 20", "allowance 100"]);
    }

    async fn a_minimum_tops_up_what_is_left(world) {
        world.subscribe("u", "min", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "95").await, "applied");
        world.tick(FEBRUARY).await;
        // min(50, max(20, 5)) = 20: 5 moved, 15 minted.
        assert_eq!(world.entries_after("u", 2).await, ["rolled_out 5", "rolled_in 20", "allowance 100"]);
    }

    async fn a_percentage_is_of_the_allowance(world) {
        world.subscribe("u", "percent", ANCHOR).await;
        world.subscribe("v", "lower", ANCHOR).await;
        world.tick(FEBRUARY).await;
        // 10 % of 1000; with a maximum of 300 the lower counts.
        assert_eq!(world.grants("u").await, ["rollover 100", "plan 1000"]);
        assert_eq!(world.grants("v").await, ["rollover 100", "plan 1000"]);
    }

    async fn a_rollover_burns_first_and_is_forfeited_at_the_next_close(world) {
        world.subscribe("u", "max", ANCHOR).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.uses("u", "unit", "50").await, "applied");
        assert_eq!(world.grants("u").await, ["rollover 150", "plan 1000"]);
        world.tick(MARCH).await;
        // 150 + 800 forfeited, 200 of February's 1000 over.
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["800", "950"]);
        assert_eq!(world.grants("u").await, ["rollover 200", "plan 1000"]);
    }

    async fn a_chain_rolls_over_count_times(world) {
        world.subscribe("u", "twice", ANCHOR).await;
        world.tick(MARCH).await;
        // January's 50 for the second time, February's 50 for the first.
        assert_eq!(world.grants("u").await, ["rollover 50", "rollover 50", "plan 100"]);
        world.tick(APRIL).await;
        // January's are forfeited now.
        assert_eq!(world.grants("u").await, ["rollover 50", "rollover 50", "plan 100"]);
    }

    async fn a_rollover_lasts_for_its_cycles(world) {
        world.subscribe("u", "long", ANCHOR).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.lots("u").await[0].terms.end.at().unwrap().to_string(), APRIL);
        world.tick(MARCH).await;
        // January's 50 are not closed yet, February's 50 join them.
        assert_eq!(world.grants("u").await, ["rollover 50", "rollover 50", "plan 100"]);
        world.tick(APRIL).await;
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["50", "50", "100"]);
        assert_eq!(world.balance("u").await, "200");
    }

    async fn the_cap_trims_the_oldest_rollovers_first(world) {
        world.settings(json!({"rollover_cap": "70"})).await;
        world.subscribe("u", "twice", ANCHOR).await;
        world.tick(MARCH).await;
        // 50 + 50 − 70 = 30 off the older one.
        assert_eq!(world.balance("u").await, "170");
        let left: Vec<(u32, String)> = world.lots("u").await.iter().map(|grant| (grant.terms.generation, grant.remaining.to_string())).collect();
        assert_eq!(left, [(2, "20".into()), (1, "50".into()), (0, "100".into())]);
    }

    async fn add_ons_never_roll_over(world) {
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "max", "interval": "month", "anchor": ANCHOR,
            "addons": [{"addon": "generative", "units": 2}]})).await;
        world.tick(FEBRUARY).await;
        // 800 of the plan and 120 of the add-on are forfeited.
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["920"]);
        assert_eq!(world.grants("u").await, ["rollover 200", "plan 1000", "addon 120"]);
    }

    async fn the_last_close_forfeits_everything(world) {
        world.subscribe("u", "max", ANCHOR).await;
        world.tick(FEBRUARY).await;
        world.done("subscription.cancelled", "u", json!({"subscription": "sub"})).await;
        world.tick(MARCH).await;
        // 200 + 1000
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["800", "1200"]);
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_grant_may_roll_over_by_its_own_rule(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.grant("u", "80", json!({"rollover": {"max": "50"}})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["rollover 50", "plan 100"]);
        world.tick(MARCH).await;
        // Its own rule is unlimited: the 50 roll again.
        assert_eq!(world.grants("u").await, ["rollover 50", "plan 100"]);
        assert_eq!(world.heard("u", "cycle.reset", "rolled_over").await, ["50", "50"]);
    }

    async fn a_rollover_never_outlives_its_root(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.grant("u", "80", json!({"rollover": {}, "expires_at": "2026-02-10T00:00:00Z"})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["rollover 80", "plan 100"]);
        world.tick("2026-02-10T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100"]);
        assert!(world.entries("u").await.contains(&"expired 80".to_owned()));
    }

    async fn a_rollover_keeps_the_priority_and_scope_of_its_root(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.grant("u", "80", json!({"priority": 99, "scope": ["unit"], "rollover": {}})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["plan 100", "rollover 80"]);
        let lots = world.lots("u").await;
        assert_eq!((lots[1].terms.scope[0].as_str(), lots[1].terms.source.is_promotional()), ("unit", true));
    }

    async fn minted_credits_cost_nothing(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.grant("u", "40", json!({"source": "purchased", "cost_basis": "1", "rollover": {"min": "100"}})).await;
        world.tick(FEBRUARY).await;
        let lots = world.lots("u").await;
        // 40 at 1.00 and 60 at 0: 40 / 100 = 0.40 each.
        assert_eq!((lots[0].remaining.to_string(), lots[0].terms.cost_basis.to_string()), ("100".into(), "0.4".into()));
    }

    async fn a_close_by_hand_is_a_close_for_rollovers(world) {
        world.subscribe("u", "max", ANCHOR).await;
        for _ in 0..4 {
            close_now(world, "2026-01-01T00:00:00Z", Some("sub")).await;
            // min(200, 1000) rolled and 1000 new; what rolled before is forfeited, though it was made just now.
            assert_eq!(world.grants("u").await, ["rollover 200", "plan 1000"]);
        }
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["800", "1000", "1000", "1000"]);
        assert_eq!(ends(world).await, [FEBRUARY], "the next close is the one of January");
        world.tick(FEBRUARY).await;
        assert_eq!((world.grants("u").await, ends(world).await), (vec!["rollover 200".into(), "plan 1000".into()], vec![MARCH.into()]));
    }

    async fn closes_by_hand_and_by_the_calendar_count_alike(world) {
        world.subscribe("u", "long", ANCHOR).await;
        close_now(world, "2026-01-10T00:00:00Z", Some("sub")).await;
        // Made on the 10th, closed at the second close after: 1 Feb, 1 Mar.
        assert_eq!(ends(world).await, [MARCH]);
        close_now(world, "2026-01-20T00:00:00Z", Some("sub")).await;
        // That was the first one: the older is closed on 1 Feb now, the younger on 1 Mar.
        assert_eq!((world.grants("u").await, ends(world).await), (
            vec!["rollover 50".into(), "rollover 50".into(), "plan 100".into()], vec![FEBRUARY.into(), MARCH.into()]));
        world.tick(FEBRUARY).await;
        // The older 50 and 50 of the plan forfeited; the younger 50, 50 rolled over, 100 new.
        assert_eq!(world.heard("u", "cycle.reset", "forfeited").await, ["50", "50", "100"]);
        assert_eq!((world.balance("u").await, ends(world).await), ("200".into(), vec![MARCH.into(), APRIL.into()]));
    }

    async fn a_rule_of_its_own_is_closed_again_by_every_close_by_hand(world) {
        world.grant("u", "80", json!({"rollover": {"max": "50", "count": 1}})).await;
        world.grant("v", "80", json!({"rollover": {"max": "50"}})).await;
        let now = json!({"as_of": "2026-01-01T00:00:00Z", "manual": true});
        for account in ["u", "v", "u", "v"] {
            world.done("cycle.reset", account, now.clone()).await;
        }
        // One rollover, then forfeited; without a count it rolls again and again.
        assert_eq!(world.entries_after("u", 1).await, ["rolled_out 50", "forfeited 30", "rolled_in 50", "forfeited 50"]);
        assert_eq!(world.entries_after("v", 1).await, ["rolled_out 50", "forfeited 30", "rolled_in 50", "rolled_out 50", "rolled_in 50"]);
    }

    async fn a_rollover_ends_at_the_next_close_of_any_subscription(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.grant("u", "80", json!({"rollover": {}})).await;
        close_now(world, "2026-01-10T00:00:00Z", None).await;
        assert_eq!(ends(world).await, [FEBRUARY]);
        let second = json!({"subscription": "second", "plan": "other", "interval": "month", "anchor": "2026-01-05T00:00:00"});
        world.tick(FEBRUARY).await;
        assert_eq!(ends(world).await, [MARCH]);
        world.done("subscription.started", "u", second).await;
        assert_eq!(ends(world).await, ["2026-02-05T00:00:00Z"]);
        world.done("subscription.cancelled", "u", json!({"subscription": "second"})).await;
        // A last close ends only what is its subscription's.
        assert_eq!(ends(world).await, [MARCH]);
        world.done("subscription.resumed", "u", json!({"subscription": "second"})).await;
        assert_eq!(ends(world).await, ["2026-02-05T00:00:00Z"]);
        world.tick("2026-02-05T00:00:00Z").await;
        // 80 rolled over, 100 and 70 of the plans.
        assert_eq!((world.balance("u").await, ends(world).await), ("250".into(), vec![MARCH.into()]));
    }

    async fn two_closes_at_one_instant_are_one_for_a_rule_of_its_own(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.done("subscription.started", "u", json!({"subscription": "second", "plan": "other", "interval": "month", "anchor": ANCHOR})).await;
        world.grant("u", "80", json!({"rollover": {"cycles": 2, "count": 1}})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(ends(world).await, [APRIL]);
        world.tick(MARCH).await;
        assert_eq!((world.grants("u").await[0].as_str(), ends(world).await), ("rollover 80", vec![APRIL.into()]));
        world.tick(APRIL).await;
        assert_eq!(world.grants("u").await, ["plan 70", "plan 100"]);
    }

    async fn the_cap_counts_what_is_there_after_all_closes_of_an_instant(world) {
        world.settings(json!({"rollover_cap": "110"})).await;
        let second = |name: &str, plan: &str| json!({"subscription": name, "plan": plan, "interval": "month", "anchor": ANCHOR});
        world.done("subscription.started", "u", second("a", "long")).await;
        world.done("subscription.started", "u", second("b", "sixty")).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["rollover 60", "rollover 50", "plan 100", "plan 60"]);
        world.done("subscription.cancelled", "u", json!({"subscription": "b"})).await;
        let before = world.account("u").await.seq;
        world.tick(MARCH).await;
        // Of a: 50 that stay, and 50 of February's 100. The 60 of b, closed after it, are none of the cap's.
        assert_eq!(world.grants("u").await, ["rollover 50", "rollover 50", "plan 100"]);
        let entries = world.entries_after("u", before).await;
        assert_eq!(entries, ["rolled_out 50", "forfeited 50", "rolled_in 50", "allowance 100", "forfeited 60", "forfeited 60"]);
    }

    async fn rules_must_be_possible(world) {
        for rule in [
            json!({"min": "60", "max": "50"}),
            json!({"max_percent": "100.000001"}),
            // 10 % of 80 = 8
            json!({"min": "8.000001", "max_percent": "10"}),
            json!({"cycles": 0}),
        ] {
            let grant = json!({"credits": "80", "rollover": rule, "reason": "gift", "actor": "ann"});
            assert_eq!(world.tell("credits.grant", "u", grant).await, "rejected: invalid_amount", "{rule}");
        }
        let addon = json!({"credits": "80", "source": "addon", "rollover": {}, "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", addon).await, "rejected: invalid_amount");
        for rule in [json!({"min": "8", "max": "8", "max_percent": "10", "cycles": 1, "count": 0}), json!({"max_percent": "0"}), json!({"max": "0"})] {
            world.grant("u", "80", json!({"rollover": rule})).await;
        }
    }

    async fn a_rollover_has_a_parent(world) {
        world.subscribe("u", "max", ANCHOR).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.lots("u").await[0].terms.parent, Some(1));
    }
}
