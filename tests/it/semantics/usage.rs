//! Metered usage: what it costs and what happens when credits do not cover it (semantics §4).

use crate::world::scenarios;
use serde_json::json;

const CATALOG: &str = r#"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "image"
price = "2"
[[rates]]
meter = "image"
dimensions = { quality = "high" }
price = "4"
[[rates]]
meter = "image"
dimensions = { quality = "high", size = "large" }
price = "7"
[[rates]]
meter = "token"
price = "3"
per = "1000"
scale = 2
[[rates]]
meter = "call"
price = "0.1"
minimum = "1.5"
scale = 0
[[rates]]
meter = "third"
price = "1"
per = "3"
[[rates]]
meter = "free"
price = "0"
[[rates]]
meter = "open"
price = "1"
insufficient = "allow"
[[rates]]
meter = "video"
dimensions = { quality = "high" }
price = "1"
"#;

scenarios! { CATALOG;
    async fn the_rate_card_prices_usage(world) {
        world.grant("u", "1000", json!({})).await;
        let high = json!({"quality": "high"});
        let large = json!({"quality": "high", "size": "large"});
        for (meter, quantity, dimensions, cost) in [
            ("image", "3", json!({}), "6"),                 // 3 × 2
            ("image", "3", json!({"quality": "low"}), "6"), // no closer match than the bare meter
            ("image", "3", high, "12"),                     // 3 × 4
            ("image", "3", large, "21"),                    // 3 × 7: the most specific match
            ("image", "0.5", json!({}), "1"),               // 0.5 × 2
            ("token", "1000", json!({}), "3"),              // 1000 × 3 / 1000
            ("token", "1001", json!({}), "3.01"),           // 3.003, up at 2 places
            ("token", "1", json!({}), "0.01"),              // 0.003, up at 2 places
            ("call", "1", json!({}), "2"),                  // max(1.5, 0.1), up at 0 places
            ("call", "21", json!({}), "3"),                 // 2.1, up at 0 places
            ("third", "1", json!({}), "0.333334"),          // 1/3, up at 6 places
        ] {
            let usage = json!({"meter": meter, "quantity": quantity, "dimensions": dimensions});
            world.done("usage.recorded", "u", usage).await;
            let history = world.history("u").await;
            assert_eq!(history.last().unwrap().0.amount.to_string(), cost, "{quantity} {meter} {dimensions}");
        }
    }

    async fn nothing_used_costs_nothing(world) {
        world.grant("u", "10", json!({})).await;
        assert_eq!(world.uses("u", "call", "0").await, "applied", "the minimum does not count for quantity 0");
        assert_eq!(world.uses("u", "free", "5").await, "applied");
        assert_eq!(world.entries("u").await, ["granted 10"]);
    }

    async fn a_meter_without_a_rate_is_unknown(world) {
        world.open("u").await;
        assert_eq!(world.uses("u", "smell", "1").await, "rejected: unknown_meter");
        assert_eq!(world.uses("u", "video", "1").await, "rejected: unknown_meter", "its only rate wants a dimension");
    }

    async fn reject_refuses_the_whole_usage(world) {
        world.grant("u", "10", json!({})).await;
        assert_eq!(world.uses("u", "unit", "11").await, "rejected: insufficient_credits");
        assert_eq!(world.balance("u").await, "10");
        assert_eq!(world.uses("u", "unit", "10").await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.heard("u", "usage.rejected", "reasons").await, [r#"["insufficient_credits"]"#]);
    }

    async fn a_refusal_says_what_the_usage_would_have_cost(world) {
        world.grant("u", "10", json!({})).await;
        world.tell("usage.recorded", "u", json!({"meter": "image", "quantity": "6", "dimensions": {"quality": "high"}})).await;
        world.uses("u", "smell", "1").await;
        world.uses("u", "unit", "-1").await;
        world.done("account.frozen", "u", json!({"reason": "fraud", "actor": "ann"})).await;
        world.uses("u", "image", "1").await;
        // 6 images × 4; no rate; no price of less than nothing; 1 image × 2, affordable but frozen.
        assert_eq!(world.heard("u", "usage.rejected", "credits").await, ["24", "null", "null", "2"]);
    }

    async fn less_than_nothing_is_no_amount(world) {
        world.grant("u", "10", json!({})).await;
        assert_eq!(world.uses("u", "unit", "-1").await, "rejected: invalid_amount");
        assert_eq!(world.uses("u", "smell", "-0.5").await, "rejected: invalid_amount unknown_meter");
        assert_eq!(world.balance("u").await, "10");
    }

    async fn partial_burns_what_is_there_and_nobody_owes_the_rest(world) {
        world.settings(json!({"insufficient": "partial"})).await;
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.uses("u", "unit", "150").await, "applied");
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "0".into()));
        assert_eq!(world.uses("u", "unit", "7").await, "applied");
        assert_eq!(world.entries("u").await, ["granted 100", "used 100", "used 0"]);
        let memos: Vec<String> = world.history("u").await.iter().filter_map(|(entry, _)| Some(entry.memo.as_ref()?.to_string())).collect();
        assert_eq!(memos, ["unit × 150, catalog 1, 50 unpaid", "unit × 7, catalog 1, 7 unpaid"]);
        world.grant("u", "20", json!({})).await;
        assert_eq!(world.balance("u").await, "20", "nothing is repaid");
    }

    async fn allow_to_a_bound_refuses_whole_what_goes_beyond(world) {
        world.settings(json!({"insufficient": "allow_to", "debt_max": "50"})).await;
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.uses("u", "unit", "150.000001").await, "rejected: insufficient_credits");
        assert_eq!(world.uses("u", "unit", "140").await, "applied");
        // 40 owed: 10 more may be, 11 not.
        assert_eq!(world.uses("u", "unit", "11").await, "rejected: insufficient_credits");
        assert_eq!(world.uses("u", "unit", "10").await, "applied");
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "50".into()));
        // Meters may have policies of their own, which are bounded by nothing.
        assert_eq!(world.uses("u", "open", "5").await, "applied");
        assert_eq!(world.debt("u").await, "55");
        // What is covered is taken however much is owed; the grant repaid the debt first.
        world.grant("u", "60", json!({})).await;
        assert_eq!(world.uses("u", "unit", "5").await, "applied");
        world.settings(json!({"debt_max": null})).await;
        assert_eq!(world.uses("u", "unit", "1").await, "rejected: insufficient_credits", "no bound is set: nothing may be owed");
    }

    async fn allow_owes_what_credits_do_not_cover(world) {
        world.settings(json!({"insufficient": "allow"})).await;
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.uses("u", "unit", "150").await, "applied");
        // 150 − 100 = 50 owed; the balance is never negative.
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "50".into()));
        assert_eq!(world.entries("u").await, ["granted 100", "used 100", "debt_incurred 50"]);
        world.grant("u", "200", json!({})).await;
        // 200 − 50 repaid at once.
        assert_eq!((world.balance("u").await, world.debt("u").await), ("150".into(), "0".into()));
        let incurred = json!({"payment": null, "target": null, "taken": null, "shortfall": "50", "debt": "50", "reference": null});
        assert_eq!(world.announced("u", "debt.incurred").await, [incurred]);
        let repaid = json!({"payment": null, "target": null, "taken": "50", "shortfall": "50", "debt": "0"});
        assert_eq!(world.announced("u", "debt.repaid").await, [repaid]);
    }

    async fn a_meter_has_a_policy_of_its_own(world) {
        world.open("u").await;
        assert_eq!(world.uses("u", "unit", "5").await, "rejected: insufficient_credits");
        assert_eq!(world.uses("u", "open", "5").await, "applied");
        assert_eq!(world.debt("u").await, "5");
    }

    async fn the_oldest_debt_is_repaid_first(world) {
        world.open("u").await;
        assert_eq!(world.uses("u", "open", "30").await, "applied");
        assert_eq!(world.uses("u", "open", "20").await, "applied");
        world.grant("u", "40", json!({})).await;
        // 40 = all 30 of the first debt + 10 of the second; 10 remain owed.
        assert_eq!(world.entries("u").await, ["debt_incurred 30", "debt_incurred 20", "granted 40", "debt_repaid 30", "debt_repaid 10"]);
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "10".into()));
    }

    async fn a_scoped_grant_repays_only_debt_within_its_scope(world) {
        world.open("u").await;
        assert_eq!(world.uses("u", "open", "30").await, "applied");
        world.grant("u", "100", json!({"scope": ["image"]})).await;
        assert_eq!((world.balance("u").await, world.debt("u").await), ("100".into(), "30".into()));
        world.grant("u", "50", json!({"scope": ["open"]})).await;
        // 50 − 30 repaid = 20 left of the second grant.
        assert_eq!(world.grants("u").await, ["promotional 100", "promotional 20"]);
        assert_eq!(world.debt("u").await, "0");
    }

    async fn usage_is_priced_by_the_card_of_when_it_happened(world) {
        world.grant("u", "100", json!({})).await;
        world.at("2026-01-15T00:00:00Z").await;
        world.catalog("[[rates]]\nmeter = \"unit\"\nprice = \"3\"\n").await;
        world.at("2026-01-16T00:00:00Z").await;
        let usage = |time: &str| json!({"type": "usage.recorded", "subject": "u", "time": time, "data": {"meter": "unit", "quantity": "10"}});
        assert_eq!(world.send(usage("2026-01-14T00:00:00Z")).await, "applied");
        assert_eq!(world.send(usage("2026-01-15T00:00:00Z")).await, "applied");
        // 10 × 1 by the first version, 10 × 3 by the second.
        assert_eq!(world.entries("u").await, ["granted 100", "used 10", "used 30"]);
        let memos: Vec<String> = world.history("u").await.iter().filter_map(|(entry, _)| entry.memo.as_ref().map(ToString::to_string)).collect();
        assert_eq!(memos, ["unit × 10, catalog 1", "unit × 10, catalog 2"], "the version is kept on the entry");
    }

    async fn usage_is_recorded_with_the_time_it_happened(world) {
        world.grant("u", "100", json!({})).await;
        world.at("2026-01-02T00:00:00Z").await;
        world.send(json!({"type": "usage.recorded", "subject": "u", "time": "2026-01-01T12:00:00Z", "data": {"meter": "unit", "quantity": 10}})).await;
        let history = world.history("u").await;
        let (used, _) = &history[1];
        assert_eq!((used.occurred_at.to_string(), used.recorded_at.to_string()), ("2026-01-01T12:00:00Z".into(), "2026-01-02T00:00:00Z".into()));
    }

    async fn usage_slightly_ahead_of_the_clock_is_taken_at_once(world) {
        world.grant("u", "100", json!({})).await;
        let ahead = json!({"type": "usage.recorded", "subject": "u", "time": "2026-01-01T00:05:00Z", "data": {"meter": "unit", "quantity": 10}});
        assert_eq!(world.send(ahead).await, "applied");
    }

    async fn usage_further_ahead_waits_until_then(world) {
        world.grant("u", "100", json!({})).await;
        let ahead = json!({"id": "ahead", "type": "usage.recorded", "subject": "u", "time": "2026-01-01T00:05:01Z", "data": {"meter": "unit", "quantity": 10}});
        assert_eq!(world.send(ahead).await, "waiting");
        world.tick("2026-01-01T00:05:00Z").await;
        assert_eq!((world.outcome("u", "ahead").await, world.balance("u").await), ("waiting".into(), "100".into()));
        world.tick("2026-01-01T00:05:01Z").await;
        assert_eq!((world.outcome("u", "ahead").await, world.balance("u").await), ("applied".into(), "90".into()));
    }
}
