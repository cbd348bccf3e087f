//! What something would do is told, and nothing is done (semantics §4, §7).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.small]
allowance = "100"
[plans.large]
allowance = "1000"
[plans.bought]
allowance = "500"
grant_on = "payment"
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
[addons.teamwork]
credits_per_unit = "200"
unit_price = "30.00"
plans = ["large"]
[[rates]]
meter = "image"
price = "2"
[services.logo]
credits = "150"
"#;

impl World {
    /// What a quote says. Nothing else changes.
    async fn quote(&mut self, what: Value) -> Value {
        let before = self.account("u").await;
        let mut data = json!({"quote": "q-1"});
        data.as_object_mut().unwrap().extend(what.as_object().cloned().unwrap());
        self.done("credits.quote", "u", data).await;
        let after = self.account("u").await;
        assert_eq!((after.seq, after.balance, after.grants), (before.seq, before.balance, before.grants));
        let mut quoted = self.announced("u", "quote.made").await.pop().unwrap();
        assert_eq!(quoted["quote"], "q-1");
        assert_eq!(quoted.as_object_mut().unwrap().remove("expires_at").unwrap(), "2026-01-01T00:15:00Z");
        quoted
    }
}

scenarios! { CATALOG;
    async fn usage_is_priced_and_says_what_would_burn(world) {
        world.grant("u", "5", json!({"grant": "a", "priority": 1})).await;
        world.grant("u", "50", json!({"grant": "b"})).await;
        let quoted = world.quote(json!({"usage": {"meter": "image", "quantity": 4}})).await;
        // 4 images × 2: 5 of the first grant, 3 of the second.
        assert_eq!(quoted["credits"], "8");
        assert_eq!(quoted["burns"], json!([{"grant": "a", "credits": "5"}, {"grant": "b", "credits": "3"}]));
        assert_eq!((&quoted["available_after"], &quoted["reasons"], &quoted["charge_per_cycle"]), (&json!("47"), &json!([]), &json!(null)));
        assert_eq!(world.uses("u", "image", "4").await, "applied", "as it was quoted");
        assert_eq!(world.available("u").await, "47");
    }

    async fn a_refusal_is_quoted_with_all_its_reasons(world) {
        world.grant("u", "5", json!({})).await;
        let quoted = world.quote(json!({"usage": {"meter": "image", "quantity": 4}})).await;
        assert_eq!((&quoted["credits"], &quoted["available_after"], &quoted["burns"]), (&json!("8"), &json!("5"), &json!([])));
        assert_eq!(quoted["reasons"], json!(["insufficient_credits"]));
        let quoted = world.quote(json!({"spend": {"purpose": "service", "reference": "o-1", "service": "logo", "credits": "140"}})).await;
        assert_eq!(quoted["reasons"], json!(["invalid_amount", "insufficient_credits"]));
        let quoted = world.quote(json!({"usage": {"meter": "video", "quantity": 1}})).await;
        assert_eq!((&quoted["credits"], &quoted["reasons"]), (&json!(null), &json!(["unknown_meter"])));
    }

    async fn a_spend_is_quoted_and_its_reference_stays_free(world) {
        world.grant("u", "200", json!({})).await;
        let spend = json!({"purpose": "service", "reference": "o-1", "service": "logo", "credits": "150"});
        let quoted = world.quote(json!({"spend": spend})).await;
        assert_eq!((&quoted["credits"], &quoted["available_after"]), (&json!("150"), &json!("50")));
        world.done("credits.spend", "u", spend.clone()).await;
        let again = world.quote(json!({"spend": spend})).await;
        assert_eq!((&again["credits"], &again["reasons"]), (&json!("0"), &json!([])), "it was paid already");
        let other = json!({"purpose": "invoice", "reference": "o-1", "credits": "1"});
        assert_eq!(world.quote(json!({"spend": other})).await["reasons"], json!(["already_decided"]));
    }

    async fn more_units_are_quoted_with_their_charge(world) {
        world.subscribe("u", "small", "2026-01-01T00:00:00").await;
        let units = |count: u32| json!({"units": {"subscription": "sub", "addons": [{"addon": "generative", "units": count}]}});
        let quoted = world.quote(units(2)).await;
        // 2 units × 60 credits now, 2 × 10.00 a cycle.
        assert_eq!((&quoted["credits"], &quoted["charge_per_cycle"], &quoted["available_after"]), (&json!("120"), &json!("20"), &json!("220")));
        world.done("subscription.changed", "u", json!({"subscription": "sub", "addons": [{"addon": "generative", "units": 2}]})).await;
        let fewer = world.quote(units(1)).await;
        // One unit fewer from the next cycle on: nothing now, 10.00 a cycle then.
        assert_eq!((&fewer["credits"], &fewer["charge_per_cycle"], &fewer["available_after"]), (&json!("0"), &json!("10"), &json!("220")));
        let team = world.quote(json!({"units": {"subscription": "sub", "addons": [{"addon": "teamwork", "units": 1}]}})).await;
        assert_eq!(team["reasons"], json!(["unknown_addon"]));
        assert_eq!(world.account("u").await.grants, 2, "nothing but the real change granted");
    }

    async fn an_upgrade_is_quoted(world) {
        world.subscribe("u", "small", "2026-01-01T00:00:00").await;
        assert_eq!(world.uses("u", "image", "20").await, "applied");
        let quoted = world.quote(json!({"plan": {"subscription": "sub", "plan": "large"}})).await;
        // 1000 − 100 at once; 40 are used: 60 + 900.
        assert_eq!((&quoted["credits"], &quoted["charge_per_cycle"], &quoted["available_after"]), (&json!("900"), &json!("0"), &json!("960")));
        let unknown = world.quote(json!({"plan": {"subscription": "sub", "plan": "huge"}})).await;
        assert_eq!(unknown["reasons"], json!(["unknown_plan"]));
        let missing = world.quote(json!({"plan": {"subscription": "other", "plan": "large"}})).await;
        assert_eq!(missing["reasons"], json!(["no_active_subscription"]));
        let paid = world.quote(json!({"plan": {"subscription": "sub", "plan": "bought"}})).await;
        assert_eq!(paid["credits"], "0", "its credits come with its payment");
    }

    async fn an_account_that_is_frozen_is_told_so(world) {
        world.grant("u", "50", json!({})).await;
        world.done("account.frozen", "u", json!({"reason": "fraud", "actor": "ann"})).await;
        let quoted = world.quote(json!({"usage": {"meter": "image", "quantity": 1}})).await;
        assert_eq!(quoted["reasons"], json!(["account_frozen"]));
    }
}
