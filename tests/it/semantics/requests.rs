//! Manual purchases: asked for, decided once by staff (semantics §5).

use crate::world::{World, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.plus]
credits = "1000"
bonus = "100"
price = "30.00"
"#;

#[allow(clippy::needless_pass_by_value, reason = "scenarios read better without borrows")]
fn asks(request: &str, more: Value) -> Value {
    let mut data = json!({"request": request, "method": "bank_transfer", "requested_by": "mia"});
    data.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    data
}

fn free(request: &str) -> Value {
    asks(request, json!({"credits": "1000", "price": "30.00", "currency": "USD"}))
}

async fn submit(world: &mut World, data: Value) -> String {
    world.tell("credit_request.submitted", "u", data).await
}

/// Tells who may decide, and submits `r` for 1000 credits at 30.00.
async fn pending(world: &mut World) {
    world.staff("bob", "approver").await;
    assert_eq!(submit(world, free("r")).await, "applied");
}

async fn decide(world: &mut World, decision: &str, by: &str) -> String {
    world.tell("credit_request.decided", "u", json!({"request": "r", "decision": decision, "decided_by": by})).await
}

async fn receive(world: &mut World, amount: &str) -> String {
    let data = json!({"request": "r", "decision": "accepted", "decided_by": "bob", "received_amount": amount});
    world.tell("credit_request.decided", "u", data).await
}

scenarios! { CATALOG;
    async fn an_accepted_package_grants_credits_and_bonus(world) {
        world.staff("bob", "admin").await;
        assert_eq!(submit(world, asks("r", json!({"package": "plus"}))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
        assert_eq!(world.grants("u").await, ["bonus 100", "purchased 1000"]);
        assert_eq!(world.heard("u", "credit_request.accepted", "credits").await, ["1100"]);
        let history = world.history("u").await;
        assert_eq!((history[0].0.actor.as_ref().unwrap().as_str(), history[0].0.reference.as_ref().unwrap().as_str()), ("bob", "r"));
    }

    async fn an_accepted_amount_grants_what_was_asked(world) {
        pending(world).await;
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
        assert_eq!(world.grants("u").await, ["purchased 1000"]);
        // 30.00 / 1000
        assert_eq!(world.lots("u").await[0].terms.cost_basis.to_string(), "0.03");
    }

    async fn a_rejected_request_grants_nothing(world) {
        pending(world).await;
        assert_eq!(decide(world, "rejected", "bob").await, "applied");
        assert_eq!(world.entries("u").await, Vec::<String>::new());
        assert_eq!(world.heard("u", "credit_request.rejected", "actor").await, ["bob"]);
    }

    async fn b53_nobody_decides_their_own_request(world) {
        world.staff("mia", "admin").await;
        assert_eq!(submit(world, free("r")).await, "applied");
        assert_eq!(decide(world, "accepted", "mia").await, "rejected: four_eyes");
        world.settings(json!({"four_eyes": false})).await;
        assert_eq!(decide(world, "accepted", "mia").await, "applied");
    }

    async fn b53_only_admins_and_approvers_decide(world) {
        pending(world).await;
        world.staff("eve", "viewer").await;
        assert_eq!(decide(world, "accepted", "eve").await, "rejected: not_permitted");
        assert_eq!(decide(world, "accepted", "nobody").await, "rejected: not_permitted");
        assert_eq!(decide(world, "accepted", "mia").await, "rejected: not_permitted four_eyes");
        world.tenant("member.removed", json!({"member": "bob"})).await;
        assert_eq!(decide(world, "accepted", "bob").await, "rejected: not_permitted");
    }

    async fn an_underpaid_request_grants_its_share(world) {
        pending(world).await;
        assert_eq!(receive(world, "10.00").await, "applied");
        // min(1000, ⌊1000 × 10 / 30⌋)
        assert_eq!(world.balance("u").await, "333.333333");
    }

    async fn an_underpaid_package_grants_its_share_of_credits_and_bonus(world) {
        world.staff("bob", "admin").await;
        assert_eq!(submit(world, asks("r", json!({"package": "plus"}))).await, "applied");
        assert_eq!(world.heard("u", "credit_request.pending", "credits").await, ["1100"]);
        assert_eq!(receive(world, "15.00").await, "applied");
        // ⌊1100 × 15 / 30⌋ = 550, of it ⌊100 × 15 / 30⌋ = 50 as bonus.
        assert_eq!(world.grants("u").await, ["bonus 50", "purchased 500"]);
        assert_eq!(world.heard("u", "credit_request.accepted", "credits").await, ["550"]);
        // 15.00 / 500
        assert_eq!(world.lots("u").await[1].terms.cost_basis.to_string(), "0.03");
    }

    async fn whatever_becomes_of_a_request_its_credits_mean_the_same(world) {
        world.staff("bob", "admin").await;
        submit(world, asks("r", json!({"package": "plus"}))).await;
        decide(world, "rejected", "bob").await;
        submit(world, asks("r-2", json!({"package": "plus"}))).await;
        world.done("credit_request.cancelled", "u", json!({"request": "r-2", "cancelled_by": "mia"})).await;
        submit(world, asks("r-3", json!({"package": "plus"}))).await;
        world.tick("2026-01-31T00:00:00Z").await;
        for state in ["pending", "rejected", "cancelled", "expired"] {
            let credits = world.heard("u", &format!("credit_request.{state}"), "credits").await;
            assert!(!credits.is_empty() && credits.iter().all(|credits| credits == "1100"), "{state}: {credits:?}");
        }
    }

    async fn invoice_terms_are_for_accounts_that_have_them(world) {
        let invoice = |request: &str, more: Value| {
            let mut data = asks(request, more);
            data["method"] = json!("invoice");
            data
        };
        assert_eq!(submit(world, invoice("r", json!({"package": "plus"}))).await, "rejected: not_permitted");
        world.open("u").await;
        assert_eq!(submit(world, invoice("r", json!({"package": "plus"}))).await, "rejected: not_permitted");
        let nothing = json!({"credits": "0", "price": "1.00", "currency": "USD"});
        assert_eq!(submit(world, invoice("r", nothing)).await, "rejected: not_permitted invalid_amount");
        world.done("account.changed", "u", json!({"invoicing": true})).await;
        assert_eq!(submit(world, invoice("r", json!({"package": "plus"}))).await, "applied");
    }

    async fn an_overpaid_request_grants_no_more(world) {
        pending(world).await;
        assert_eq!(receive(world, "45.00").await, "applied");
        // min(1000, ⌊1000 × 45 / 30⌋)
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn nothing_received_is_no_payment(world) {
        pending(world).await;
        assert_eq!(receive(world, "0").await, "rejected: invalid_amount");
        assert_eq!(receive(world, "-5").await, "rejected: invalid_amount");
    }

    async fn b51_f71_the_same_decision_again_is_a_duplicate(world) {
        pending(world).await;
        decide(world, "accepted", "bob").await;
        assert_eq!(decide(world, "accepted", "bob").await, "duplicate");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn b51_f71_another_decision_is_refused(world) {
        pending(world).await;
        decide(world, "rejected", "bob").await;
        assert_eq!(decide(world, "rejected", "bob").await, "duplicate");
        assert_eq!(decide(world, "accepted", "bob").await, "rejected: already_decided");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn b51_a_request_expires_after_thirty_days(world) {
        pending(world).await;
        world.tick("2026-01-30T23:59:59Z").await;
        assert_eq!(world.announced("u", "credit_request.expired").await.len(), 0);
        world.tick("2026-01-31T00:00:00Z").await;
        assert_eq!(world.heard("u", "credit_request.expired", "request").await, ["r"]);
        assert_eq!(decide(world, "accepted", "bob").await, "rejected: request_expired");
    }

    async fn a_decision_on_the_last_second_counts(world) {
        pending(world).await;
        world.at("2026-01-30T23:59:59Z").await;
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
    }

    async fn an_expiry_needs_no_job(world) {
        pending(world).await;
        world.at("2026-01-31T00:00:00Z").await;
        assert_eq!(decide(world, "accepted", "bob").await, "rejected: request_expired");
    }

    async fn a_request_can_be_cancelled_while_it_is_pending(world) {
        pending(world).await;
        let cancel = json!({"request": "r", "cancelled_by": "mia"});
        world.done("credit_request.cancelled", "u", cancel.clone()).await;
        assert_eq!(world.tell("credit_request.cancelled", "u", cancel).await, "duplicate");
        assert_eq!(decide(world, "accepted", "bob").await, "rejected: already_decided");
    }

    async fn a_decided_request_cannot_be_cancelled(world) {
        pending(world).await;
        decide(world, "accepted", "bob").await;
        let cancel = json!({"request": "r", "cancelled_by": "mia"});
        assert_eq!(world.tell("credit_request.cancelled", "u", cancel).await, "rejected: already_decided");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn b54_b55_a_request_is_one_fact(world) {
        pending(world).await;
        assert_eq!(submit(world, free("r")).await, "duplicate");
        let more = asks("r", json!({"credits": "1001", "price": "30.00", "currency": "USD"}));
        assert_eq!(submit(world, more).await, "quarantined: idempotency_conflict");
        decide(world, "accepted", "bob").await;
        assert_eq!(submit(world, free("r")).await, "duplicate", "also once it is decided");
    }

    async fn b54_a_request_without_a_name_is_malformed(world) {
        world.staff("bob", "approver").await;
        let mut absent = free("r");
        absent.as_object_mut().unwrap().remove("request");
        for nameless in [absent, free(""), asks("r", json!({"package": "plus", "request": null}))] {
            assert_eq!(submit(world, nameless.clone()).await, "quarantined: malformed", "{nameless}");
        }
        let decided = json!({"decision": "accepted", "decided_by": "bob"});
        let mut empty = decided.clone();
        empty["request"] = json!("");
        for nameless in [decided, empty] {
            assert_eq!(world.tell("credit_request.decided", "u", nameless.clone()).await, "quarantined: malformed", "{nameless}");
        }
        assert_eq!(submit(world, free("r")).await, "applied", "the first that is a request");
        assert_eq!(world.heard("u", "credit_request.pending", "request").await, ["r"]);
    }

    async fn b55_evidence_serves_one_request_while_it_is_pending_or_accepted(world) {
        world.staff("bob", "approver").await;
        let proven = |request: &str, method: &str| {
            let mut data = free(request);
            data["evidence"] = json!({"reference": "SEPA-1"});
            data["method"] = json!(method);
            data
        };
        assert_eq!(submit(world, proven("r", "bank_transfer")).await, "applied");
        assert_eq!(submit(world, proven("r-2", "bank_transfer")).await, "quarantined: idempotency_conflict");
        assert_eq!(submit(world, proven("r-3", "crypto")).await, "applied", "per method");
        decide(world, "accepted", "bob").await;
        assert_eq!(submit(world, proven("r-4", "bank_transfer")).await, "quarantined: idempotency_conflict");
    }

    async fn evidence_of_a_rejected_request_can_be_used_again(world) {
        world.staff("bob", "approver").await;
        let proven = |request: &str| {
            let mut data = free(request);
            data["evidence"] = json!({"reference": "SEPA-1"});
            data
        };
        assert_eq!(submit(world, proven("r")).await, "applied");
        decide(world, "rejected", "bob").await;
        assert_eq!(submit(world, proven("r-2")).await, "applied");
    }

    async fn a_long_link_to_the_evidence_is_kept(world) {
        world.staff("bob", "approver").await;
        let url = |characters: usize| format!("https://bank.example/{}", "x".repeat(characters - 21));
        let proven = |url: String| {
            let mut data = free("r");
            data["evidence"] = json!({"reference": "SEPA-1", "url": url});
            data
        };
        assert_eq!(submit(world, proven(url(2049))).await, "quarantined: malformed");
        assert_eq!(submit(world, proven(url(2048))).await, "applied");
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
        assert_eq!(submit(world, proven(url(2048))).await, "duplicate");
        assert_eq!(submit(world, proven(url(2047))).await, "quarantined: idempotency_conflict");
    }

    async fn terms_are_frozen_when_they_are_submitted(world) {
        world.staff("bob", "approver").await;
        assert_eq!(submit(world, asks("r", json!({"package": "plus"}))).await, "applied");
        world.catalog("[packages.plus]\ncredits = \"10\"\nprice = \"99.00\"\n").await;
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
        assert_eq!(world.balance("u").await, "1100");
    }

    async fn impossible_requests_are_refused(world) {
        let priced = |credits: &str, price: &str, currency: &str| asks("r", json!({"credits": credits, "price": price, "currency": currency}));
        assert_eq!(submit(world, priced("0", "30", "USD")).await, "rejected: invalid_amount");
        assert_eq!(submit(world, priced("1000", "0", "USD")).await, "rejected: invalid_amount");
        assert_eq!(submit(world, priced("1000", "30", "EUR")).await, "rejected: invalid_amount");
        assert_eq!(submit(world, asks("r", json!({"package": "none"}))).await, "rejected: unknown_package");
    }

    async fn credit_payments_off_refuses_new_requests_only(world) {
        pending(world).await;
        world.settings(json!({"credit_payments": false})).await;
        assert_eq!(submit(world, free("r-2")).await, "rejected: credits_disabled");
        assert_eq!(decide(world, "accepted", "bob").await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }
}
