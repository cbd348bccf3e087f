//! Grants that staff take back, in whole or in part (semantics §1).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.keeping]
allowance = "100"
rollover = {}
[[rates]]
meter = "unit"
price = "1"
"#;

impl World {
    pub(super) async fn void(&mut self, grant: &str, credits: Option<&str>) -> String {
        let mut data = json!({"grant": grant, "reason": "granted by mistake", "actor": "ann"});
        if let Some(credits) = credits {
            data["credits"] = json!(credits);
        }
        self.tell("credits.void", "u", data).await
    }
}

fn named(name: &str) -> Value {
    json!({"grant": name})
}

scenarios! { CATALOG;
    async fn the_whole_grant_ends(world) {
        world.staff("ann", "approver").await;
        world.grant("u", "100", named("gift")).await;
        assert_eq!(world.uses("u", "unit", "30").await, "applied");
        assert_eq!(world.void("gift", None).await, "applied");
        assert_eq!(world.entries("u").await, ["granted 100", "used 30", "voided 70"]);
        let (entry, _) = world.history("u").await.pop().unwrap();
        assert_eq!((entry.reference.unwrap().as_str(), entry.actor.unwrap().as_str()), ("granted by mistake", "ann"));
        assert_eq!(world.uses("u", "unit", "1").await, "rejected: insufficient_credits");
        assert_eq!(world.void("gift", None).await, "rejected: insufficient_credits", "it is over");
    }

    async fn a_part_leaves_the_rest(world) {
        world.staff("ann", "admin").await;
        world.grant("u", "100", named("gift")).await;
        assert_eq!(world.void("gift", Some("40")).await, "applied");
        assert_eq!(world.grants("u").await, ["promotional 60"]);
        assert_eq!(world.void("gift", Some("60.000001")).await, "rejected: insufficient_credits");
        assert_eq!(world.void("gift", Some("60")).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_grant_that_has_not_begun_never_does(world) {
        world.staff("ann", "approver").await;
        world.grant("u", "100", json!({"grant": "later", "effective_at": "2026-02-01T00:00:00Z"})).await;
        assert_eq!(world.void("later", Some("40")).await, "rejected: invalid_amount", "a part of what is not there");
        assert_eq!(world.void("later", None).await, "applied");
        world.tick("2026-03-01T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["voided 0"], "who did it and why stays in the history");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn only_staff_may_and_only_what_there_is(world) {
        world.staff("vic", "viewer").await;
        world.grant("u", "100", named("gift")).await;
        let by = |actor: &str, grant: &str, credits: &str| json!({"grant": grant, "credits": credits, "reason": "r", "actor": actor});
        assert_eq!(world.tell("credits.void", "u", by("ann", "gift", "1")).await, "rejected: not_permitted");
        assert_eq!(world.tell("credits.void", "u", by("vic", "gift", "1")).await, "rejected: not_permitted");
        world.staff("ann", "approver").await;
        assert_eq!(world.tell("credits.void", "u", by("ann", "other", "1")).await, "rejected: unknown_grant");
        assert_eq!(world.tell("credits.void", "u", by("vic", "other", "0")).await, "rejected: not_permitted invalid_amount unknown_grant");
        assert_eq!(world.tell("credits.void", "u", by("ann", "gift", "-1")).await, "rejected: invalid_amount");
        assert_eq!(world.tell("credits.void", "nobody", by("ann", "gift", "1")).await, "waiting");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn a_voided_allowance_does_not_roll_over_and_a_refill_that_is_over_does_not_refill(world) {
        world.staff("ann", "approver").await;
        world.subscribe("u", "keeping", "2026-01-01T00:00:00").await;
        let allowance = world.lots("u").await[0].terms.id.to_string();
        world.grant("u", "10", json!({"grant": "daily", "recurs": {"interval": "P1D", "anchor": "2026-01-01T00:00:00"}})).await;
        assert_eq!(world.uses("u", "unit", "105").await, "applied");
        // The allowance is used up, and may still be closed; 5 of the daily 10 are left.
        assert_eq!(world.void(&allowance, None).await, "applied");
        assert_eq!(world.void("daily", None).await, "applied");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.entries_after("u", 3).await, ["voided 0", "voided 5", "allowance 100"]);
    }

    async fn a_part_of_a_refilling_grant_comes_back_with_the_next_refill(world) {
        world.staff("ann", "approver").await;
        world.grant("u", "10", json!({"grant": "daily", "recurs": {"interval": "P1D", "anchor": "2026-01-01T00:00:00"}})).await;
        assert_eq!(world.void("daily", Some("4")).await, "applied");
        world.tick("2026-01-02T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["granted 10", "voided 4", "refilled 4"]);
    }

    async fn the_same_message_again_voids_nothing_more(world) {
        world.staff("ann", "approver").await;
        world.grant("u", "100", named("gift")).await;
        let message = json!({"type": "credits.void", "subject": "u", "id": "v", "data": {"grant": "gift", "credits": "40", "reason": "r", "actor": "ann"}});
        assert_eq!(world.send(message.clone()).await, "applied");
        assert_eq!(world.send(message).await, "duplicate");
        assert_eq!(world.balance("u").await, "60");
    }
}
