//! The same message and the same fact count once (semantics §9).

use crate::world::scenarios;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[[rates]]
meter = "unit"
price = "1"
"#;

fn grant(id: &str, credits: &str) -> Value {
    json!({"id": id, "type": "credits.grant", "subject": "u", "time": "2026-01-01T00:00:00Z",
        "data": {"credits": credits, "reason": "gift", "actor": "ann"}})
}

fn usage(id: &str, quantity: u32) -> Value {
    json!({"id": id, "type": "usage.recorded", "subject": "u", "data": {"meter": "unit", "quantity": quantity}})
}

scenarios! { CATALOG;
    async fn the_same_message_again_writes_nothing(world) {
        assert_eq!(world.send(grant("m", "100")).await, "applied");
        let announced = world.events("u").await.len();
        let again = world.settle(grant("m", "100")).await;
        assert_eq!((again.outcome.word(), again.of.as_ref().map(|of| of.outcome.as_str()), again.entries), ("duplicate", Some("applied"), None));
        assert_eq!((world.account("u").await.seq, world.events("u").await.len()), (1, announced));
    }

    async fn the_same_id_with_other_content_is_a_conflict(world) {
        assert_eq!(world.send(grant("m", "100")).await, "applied");
        assert_eq!(world.send(grant("m", "101")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.send(usage("m", 5)).await, "quarantined: idempotency_conflict");
        assert_eq!(world.balance("u").await, "100");
        assert_eq!(world.send(grant("m", "100")).await, "duplicate", "what was recorded first stands");
    }

    async fn delivery_noise_is_not_content(world) {
        assert_eq!(world.send(grant("m", "100")).await, "applied");
        let mut again = grant("m", "100.000");
        again["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        again["time"] = json!("2026-01-01T01:00:00+01:00");
        again["data"]["source"] = json!("promotional");
        assert_eq!(world.send(again).await, "duplicate", "the same instant, amount and default in other words");
    }

    async fn the_source_is_part_of_the_identity(world) {
        assert_eq!(world.send(grant("m", "100")).await, "applied");
        let mut other = grant("m", "100");
        other["source"] = json!("billing");
        assert_eq!(world.send(other).await, "applied");
        assert_eq!(world.balance("u").await, "200");
    }

    async fn the_account_is_part_of_the_identity(world) {
        assert_eq!(world.send(grant("m", "100")).await, "applied");
        let mut other = grant("m", "5");
        other["subject"] = json!("v");
        assert_eq!(world.send(other).await, "applied");
    }

    async fn a_rejection_is_sticky(world) {
        world.open("u").await;
        assert_eq!(world.send(usage("use", 10)).await, "rejected: insufficient_credits");
        world.grant("u", "100", json!({})).await;
        let again = world.settle(usage("use", 10)).await;
        assert_eq!((again.outcome.word(), again.of.as_ref().map(|of| of.outcome.as_str())), ("duplicate", Some("rejected")));
        assert_eq!(world.balance("u").await, "100");
        assert_eq!(world.send(usage("use-2", 10)).await, "applied", "a new try is a new id");
    }

    async fn a_repeat_is_answered_with_the_recorded_reasons(world) {
        world.open("u").await;
        let first = world.ask(usage("use", 10)).await;
        assert_eq!((&first["outcome"], &first["reasons"]), (&json!("rejected"), &json!(["insufficient_credits"])));
        world.grant("u", "100", json!({})).await;
        let again = world.ask(usage("use", 10)).await;
        assert_eq!((&again["outcome"], &again["of"]), (&json!("duplicate"), &json!("rejected")));
        assert_eq!((&again["reasons"], &again["entries"]), (&first["reasons"], &json!([])));
    }

    async fn a_repeat_is_answered_with_the_recorded_entries(world) {
        world.settings(json!({"insufficient": "allow"})).await;
        world.grant("u", "5", json!({})).await;
        world.grant("u", "5", json!({})).await;
        // 20 of 10: two grants are used up and 10 are owed.
        let first = world.ask(usage("use", 20)).await;
        assert_eq!((&first["outcome"], first["entries"].as_array().unwrap().len()), (&json!("applied"), 2));
        world.grant("u", "100", json!({})).await;
        let other = world.ask(usage("use-2", 1)).await;
        for (asked, answered) in [(usage("use", 20), &first), (usage("use-2", 1), &other)] {
            let again = world.ask(asked).await;
            assert_eq!((&again["outcome"], &again["of"]), (&json!("duplicate"), &json!("applied")));
            assert_eq!((&again["reasons"], &again["entries"]), (&json!([]), &answered["entries"]), "line for line");
        }
        assert_eq!(world.tell("usage.recorded", "u", json!({"meter": "unit", "quantity": "1"})).await, "applied");
    }

    async fn a_named_grant_is_one_fact(world) {
        world.grant("u", "100", json!({"grant": "g"})).await;
        let named = |credits: &str| json!({"grant": "g", "credits": credits, "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", named("100")).await, "duplicate");
        assert_eq!(world.tell("credits.grant", "u", named("101")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.tell("credits.grant", "v", named("101")).await, "applied", "per account");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn a_named_grant_stays_one_fact_when_it_is_used_up(world) {
        world.grant("u", "100", json!({"grant": "g"})).await;
        assert_eq!(world.send(usage("use", 100)).await, "applied");
        let again = json!({"grant": "g", "credits": "100", "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", again).await, "duplicate");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_message_names_the_entries_it_caused(world) {
        world.grant("u", "100", json!({})).await;
        let used = world.settle(usage("use", 10)).await;
        assert_eq!(used.entries, Some((2, 2)));
        let (entry, _) = world.history("u").await.pop().unwrap();
        assert_eq!(entry.cause.to_string(), "app use");
    }

    async fn a_reason_is_kept_whole(world) {
        world.staff("bob", "approver").await;
        let long = format!("agreed on the phone\n{}", "because ".repeat(30));
        let said = |credits: &str, reason: &str| json!({"credits": credits, "reason": reason, "actor": "bob"});
        world.done("credits.grant", "u", said("5", &long)).await;
        world.done("credits.adjust", "u", said("-2", &long)).await;
        world.done("credits.adjust", "u", said("-1", "a slip")).await;
        let history = world.history("u").await;
        for (entry, _) in &history[..2] {
            let reference = entry.reference.as_ref().unwrap().as_str();
            assert!(reference.starts_with("agreed on the phone because") && reference.ends_with('…'), "{reference}");
            assert_eq!((reference.chars().count(), entry.memo.as_ref().unwrap().as_str()), (128, long.as_str()));
        }
        let (last, _) = &history[2];
        assert_eq!((last.reference.as_ref().unwrap().as_str(), &last.memo), ("a slip", &None), "said once");
    }

    async fn unknown_keys_are_not_ignored(world) {
        let mut misspelt = grant("m", "100");
        misspelt["data"]["expire_at"] = json!("2026-02-01T00:00:00Z");
        assert_eq!(world.send(misspelt).await, "quarantined: malformed");
    }
}
