//! Which grants burn first (semantics §2).

use crate::world::scenarios;
use serde_json::json;

/// `unit` costs 1 credit.
const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[plans.team]
allowance = "1000"
rollover = { max = "200" }
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "image"
price = "2"
[services.logo]
"#;

scenarios! { CATALOG;
    async fn priority_then_end_then_promotional_before_paid(world) {
        let september = "2026-09-01T00:00:00Z";
        world.grant("u", "50", json!({"grant": "A", "priority": 1, "expires_at": september, "source": "purchased", "cost_basis": "0.05"})).await;
        world.grant("u", "20", json!({"grant": "B", "priority": 1, "expires_at": september})).await;
        world.grant("u", "100", json!({"grant": "C", "priority": 2, "expires_at": "2026-08-15T00:00:00Z"})).await;
        assert_eq!(world.named_grants("u").await, ["B 20", "A 50", "C 100"]);
        assert_eq!(world.uses("u", "unit", "60").await, "applied");
        // 60 = 20 of B + 40 of A; C is untouched although it ends sooner.
        assert_eq!(world.named_grants("u").await, ["A 10", "C 100"]);
    }

    async fn default_priorities_by_source(world) {
        world.staff("bob", "approver").await;
        world.done("subscription.started", "u", json!({"subscription": "sub", "plan": "team", "interval": "month",
            "anchor": "2026-01-01T00:00:00", "addons": [{"addon": "generative", "units": 1}]})).await;
        world.tick("2026-02-01T00:00:00Z").await;
        world.grant("u", "5", json!({"source": "purchased"})).await;
        world.grant("u", "6", json!({})).await;
        world.done("credits.adjust", "u", json!({"credits": "7", "reason": "sorry", "actor": "bob"})).await;
        // Rollover 10, plan 20, add-on 30, promotional and adjustment 40, purchased 50.
        assert_eq!(world.grants("u").await, ["rollover 200", "plan 1000", "addon 60", "promotional 6", "adjustment 7", "purchased 5"]);
    }

    async fn sooner_ends_first_and_no_end_last(world) {
        world.grant("u", "1", json!({"grant": "never"})).await;
        world.grant("u", "2", json!({"grant": "june", "expires_at": "2026-06-01T00:00:00Z"})).await;
        world.grant("u", "3", json!({"grant": "may", "expires_at": "2026-05-01T00:00:00Z"})).await;
        assert_eq!(world.named_grants("u").await, ["may 3", "june 2", "never 1"]);
    }

    async fn promotional_is_the_source_never_the_cost_basis(world) {
        world.grant("u", "1", json!({"grant": "free", "source": "purchased", "priority": 9})).await;
        world.grant("u", "2", json!({"grant": "gift", "cost_basis": "0.10", "priority": 9})).await;
        assert_eq!(world.named_grants("u").await, ["gift 2", "free 1"]);
    }

    async fn cheaper_credits_burn_first(world) {
        world.grant("u", "1", json!({"grant": "dear", "source": "purchased", "cost_basis": "0.05"})).await;
        world.grant("u", "2", json!({"grant": "cheap", "source": "purchased", "cost_basis": "0.04"})).await;
        assert_eq!(world.named_grants("u").await, ["cheap 2", "dear 1"]);
    }

    async fn older_credits_burn_first(world) {
        world.at("2026-01-05T00:00:00Z").await;
        world.grant("u", "1", json!({"grant": "new", "effective_at": "2026-01-04T00:00:00Z"})).await;
        world.grant("u", "2", json!({"grant": "old", "effective_at": "2026-01-03T00:00:00Z"})).await;
        assert_eq!(world.named_grants("u").await, ["old 2", "new 1"]);
    }

    async fn the_grant_number_decides_last(world) {
        for grant in ["z", "y", "x"] {
            world.grant("u", "10", json!({"grant": grant})).await;
        }
        assert_eq!(world.uses("u", "unit", "15").await, "applied");
        // 15 = 10 of the first + 5 of the second.
        assert_eq!(world.named_grants("u").await, ["y 5", "x 10"]);
    }

    async fn an_explicit_priority_beats_the_source(world) {
        world.grant("u", "1", json!({"grant": "gift"})).await;
        world.grant("u", "2", json!({"grant": "bought", "source": "purchased", "priority": 39})).await;
        assert_eq!(world.named_grants("u").await, ["bought 2", "gift 1"]);
    }

    async fn a_tenant_lists_the_criteria_in_its_own_order(world) {
        world.settings(json!({"burn_order": ["end", "priority"]})).await;
        world.grant("u", "50", json!({"grant": "A", "priority": 1, "expires_at": "2026-09-01T00:00:00Z"})).await;
        world.grant("u", "100", json!({"grant": "C", "priority": 2, "expires_at": "2026-08-15T00:00:00Z"})).await;
        assert_eq!(world.uses("u", "unit", "60").await, "applied");
        // The end decides now: all 60 of C, which ends sooner.
        assert_eq!(world.named_grants("u").await, ["C 40", "A 50"]);
    }

    async fn a_new_order_applies_to_later_burns_only(world) {
        world.grant("u", "10", json!({"grant": "gift"})).await;
        world.grant("u", "10", json!({"grant": "bought", "source": "purchased"})).await;
        assert_eq!(world.uses("u", "unit", "4").await, "applied");
        world.settings(json!({"priorities": {"purchased": 5}})).await;
        assert_eq!(world.uses("u", "unit", "3").await, "applied");
        // 10 − 4 = 6 of the gift, burned before; 10 − 3 = 7 of the bought ones, burned after.
        assert_eq!(world.named_grants("u").await, ["bought 7", "gift 6"]);
    }

    async fn priorities_that_are_not_named_stay(world) {
        world.settings(json!({"priorities": {"purchased": 5}})).await;
        world.settings(json!({"priorities": {"promotional": 45}})).await;
        world.settings(json!({"priorities": {}})).await;
        world.grant("u", "1", json!({"grant": "bought", "source": "purchased"})).await;
        world.grant("u", "2", json!({"grant": "gift"})).await;
        // 5 before 45.
        assert_eq!(world.named_grants("u").await, ["bought 1", "gift 2"]);
        world.settings(json!({"priorities": {"purchased": null}})).await;
        // 50 again, the default; the gift's 45 stays.
        assert_eq!(world.named_grants("u").await, ["gift 2", "bought 1"]);
        world.settings(json!({"priorities": {"promotional": 55}})).await;
        assert_eq!(world.named_grants("u").await, ["bought 1", "gift 2"]);
    }

    async fn a_new_catalog_keeps_priorities_it_does_not_name(world) {
        world.settings(json!({"priorities": {"purchased": 5}})).await;
        world.catalog(&format!("{CATALOG}\n[policies.priorities]\npromotional = 45\n")).await;
        world.grant("u", "1", json!({"grant": "bought", "source": "purchased"})).await;
        world.grant("u", "2", json!({"grant": "gift"})).await;
        assert_eq!(world.named_grants("u").await, ["bought 1", "gift 2"]);
    }

    async fn out_of_scope_grants_are_skipped(world) {
        world.grant("u", "10", json!({"grant": "images", "scope": ["image"], "priority": 1})).await;
        world.grant("u", "10", json!({"grant": "any"})).await;
        assert_eq!(world.uses("u", "unit", "4").await, "applied");
        assert_eq!(world.named_grants("u").await, ["images 10", "any 6"]);
        assert_eq!(world.uses("u", "image", "6").await, "applied");
        // 6 images × 2 = 12: 10 of the scoped grant, 2 of the other.
        assert_eq!(world.named_grants("u").await, ["any 4"]);
    }

    async fn credits_out_of_scope_do_not_cover_a_charge(world) {
        world.grant("u", "100", json!({"scope": ["image", "logo"]})).await;
        assert_eq!(world.uses("u", "unit", "1").await, "rejected: insufficient_credits");
        let invoice = json!({"purpose": "invoice", "reference": "I-1", "credits": "10"});
        assert_eq!(world.tell("credits.spend", "u", invoice).await, "rejected: insufficient_credits");
        world.done("credits.spend", "u", json!({"purpose": "service", "service": "logo", "reference": "O-1", "credits": "10"})).await;
        assert_eq!(world.balance("u").await, "90");
    }
}
