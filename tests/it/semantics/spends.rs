//! Services bought and invoices paid with credits: all or nothing (semantics §4, §9).

use crate::world::scenarios;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[services.logo]
credits = "150"
[services.custom]
[services.gold]
eligible = false
credits = "100"
"#;

fn service(service: &str, reference: &str, credits: &str) -> Value {
    json!({"purpose": "service", "service": service, "reference": reference, "credits": credits})
}

fn invoice(reference: &str, credits: &str) -> Value {
    json!({"purpose": "invoice", "reference": reference, "credits": credits})
}

scenarios! { CATALOG;
    async fn a_service_is_bought_whole_or_not_at_all(world) {
        world.grant("u", "200", json!({})).await;
        world.done("credits.spend", "u", service("logo", "O-1", "150")).await;
        assert_eq!(world.tell("credits.spend", "u", service("logo", "O-2", "150")).await, "rejected: insufficient_credits");
        // 200 − 150
        assert_eq!(world.balance("u").await, "50");
        assert_eq!(world.entries("u").await, ["granted 200", "spent 150"]);
    }

    async fn allow_does_not_apply_to_spends(world) {
        world.settings(json!({"insufficient": "allow"})).await;
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "101")).await, "rejected: insufficient_credits");
        assert_eq!((world.balance("u").await, world.debt("u").await), ("100".into(), "0".into()));
    }

    async fn every_reason_is_named_at_once_in_order(world) {
        world.open("u").await;
        world.done("account.frozen", "u", json!({"reason": "fraud", "actor": "ann"})).await;
        world.settings(json!({"credit_payments": false})).await;
        let outcome = world.tell("credits.spend", "u", service("gold", "O-1", "99")).await;
        // Frozen; payments off; asked at 99, not 100; not eligible; 0 credits.
        assert_eq!(outcome, "rejected: account_frozen credits_disabled invalid_amount service_not_eligible insufficient_credits");
        let refused = world.announced("u", "spend.rejected").await;
        assert_eq!(refused[0]["reasons"], json!(["account_frozen", "credits_disabled", "invalid_amount", "service_not_eligible", "insufficient_credits"]));
    }

    async fn a_service_is_asked_at_its_catalog_price(world) {
        world.grant("u", "1000", json!({})).await;
        for credits in ["149", "151", "0"] {
            assert_eq!(world.tell("credits.spend", "u", service("logo", "O-1", credits)).await, "rejected: invalid_amount", "{credits}");
        }
        world.done("credits.spend", "u", service("custom", "O-1", "37.5")).await;
        assert_eq!(world.balance("u").await, "962.5");
    }

    async fn amounts_are_above_zero(world) {
        world.grant("u", "1000", json!({})).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "0")).await, "rejected: invalid_amount");
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "-5")).await, "rejected: invalid_amount");
    }

    async fn a_service_that_is_not_sold_for_credits_is_refused(world) {
        world.grant("u", "1000", json!({})).await;
        assert_eq!(world.tell("credits.spend", "u", service("gold", "O-1", "100")).await, "rejected: service_not_eligible");
        assert_eq!(world.tell("credits.spend", "u", service("none", "O-1", "100")).await, "rejected: service_not_eligible");
    }

    async fn an_invoice_is_paid_once(world) {
        world.grant("u", "100", json!({})).await;
        world.done("credits.spend", "u", invoice("I-1", "60")).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "60")).await, "duplicate", "another message about the same invoice");
        assert_eq!(world.balance("u").await, "40");
        assert_eq!(world.heard("u", "invoice.paid", "reference").await, ["I-1"]);
        assert_eq!(world.heard("u", "spend.accepted", "reference").await, ["I-1"]);
    }

    async fn a_reference_on_other_terms_is_a_conflict(world) {
        world.grant("u", "500", json!({})).await;
        world.done("credits.spend", "u", invoice("R-1", "60")).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("R-1", "61")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.tell("credits.spend", "u", service("custom", "R-1", "60")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.balance("u").await, "440");
    }

    async fn a_refused_spend_does_not_claim_its_reference(world) {
        world.grant("u", "50", json!({})).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "60")).await, "rejected: insufficient_credits");
        world.grant("u", "50", json!({})).await;
        world.done("credits.spend", "u", invoice("I-1", "70")).await;
        // 50 + 50 − 70
        assert_eq!(world.balance("u").await, "30");
    }

    async fn credit_payments_off_refuses_spends_only(world) {
        world.settings(json!({"credit_payments": false})).await;
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.tell("credits.spend", "u", invoice("I-1", "60")).await, "rejected: credits_disabled");
        world.settings(json!({"credit_payments": true})).await;
        world.done("credits.spend", "u", invoice("I-1", "60")).await;
    }

    async fn a_service_must_be_named(world) {
        world.grant("u", "100", json!({})).await;
        let nameless = json!({"purpose": "service", "reference": "O-1", "credits": "1"});
        assert_eq!(world.tell("credits.spend", "u", nameless).await, "quarantined: malformed");
    }
}
