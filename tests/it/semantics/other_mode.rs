//! Events of the mode, live or test, that a tenant does not take: set aside, and nothing is learnt from them
//! (semantics §5).

use super::disputes::dispute;
use super::refunds::{self, bought, numbers, refund, refunded};
use super::stripe_subscriptions::{self, START, invoice, told};
use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

const NOT_PERMITTED: &str = "quarantined: not_permitted";
const END: &str = "2026-02-15T10:00:00Z";

fn live(mut event: Value) -> Value {
    event["livemode"] = json!(true);
    event
}

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": instant(START).as_second(), "data": {"object": object}})
}

/// Which PaymentIntent paid an invoice.
fn paid_by(id: &str, invoice: &str, payment: &str) -> Value {
    let object =
        json!({"id": "inpay_1", "invoice": invoice, "amount_paid": 5000, "payment": {"type": "payment_intent", "payment_intent": payment}});
    event(id, "invoice_payment.paid", &object)
}

/// The checkout of subscription `sub_1`.
#[allow(clippy::needless_pass_by_value, reason = "scenarios read better without borrows")]
fn subscribed(id: &str, metadata: Value) -> Value {
    let object = json!({"id": "cs_1", "mode": "subscription", "payment_status": "paid", "amount_total": 5000, "currency": "usd",
        "subscription": "sub_1", "invoice": "in_1", "payment_intent": null, "metadata": metadata});
    event(id, "checkout.session.completed", &object)
}

/// A live subscription that is paid for, of a tenant that takes live events only.
async fn paid_live(world: &mut World) {
    world.at(START).await;
    world.settings(json!({"livemode": true})).await;
    assert_eq!(world.stripe(&live(told("evt_1", "created", START, &[("price_paid", 1)]))).await, "applied");
    assert_eq!(world.stripe(&live(invoice("evt_2", "in_1", START, END))).await, "applied");
    assert_eq!(world.entries("u").await, ["allowance 1000"]);
}

scenarios! { refunds::CATALOG;
    async fn f81_disputes_of_the_other_mode_are_set_aside(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.settings(json!({"livemode": true})).await;
        for (id, what, status) in [
            ("evt_d1", "created", "needs_response"),
            ("evt_d2", "updated", "under_review"),
            ("evt_d3", "funds_withdrawn", "needs_response"),
            ("evt_d4", "closed", "lost"),
            ("evt_d5", "funds_reinstated", "won"),
        ] {
            assert_eq!(world.stripe(&dispute(id, what, "pi_1", 10_000, status)).await, NOT_PERMITTED, "{what}");
        }
        assert_eq!(world.entries("u").await, ["purchased 1000"]);
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
        assert!(world.announced("u", "dispute.opened").await.is_empty());
        // Had one of them been kept, this would be old news.
        assert_eq!(world.stripe(&live(dispute("evt_d6", "created", "pi_1", 10_000, "needs_response"))).await, "applied");
        assert_eq!(numbers(world).await, ["1000", "0", "0"]);
    }

    async fn f81_refunds_of_the_other_mode_are_set_aside(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 2500, "failed")).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&refunded("evt_r3", "pi_1", 10_000)).await, NOT_PERMITTED);
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
        assert_eq!(world.stripe(&live(refund("evt_r4", "re_1", "pi_1", 2500, "succeeded"))).await, "applied");
        // 1000 × 25 / 100: neither had it failed, nor was more refunded.
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 250"]);
    }

    async fn f81_live_events_are_set_aside_where_tests_are_wanted(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.settings(json!({"livemode": false})).await;
        assert_eq!(world.stripe(&live(dispute("evt_d1", "created", "pi_1", 10_000, "needs_response"))).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&live(refunded("evt_r1", "pi_1", 10_000))).await, NOT_PERMITTED);
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_1", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "500");
    }

    async fn f81_a_catalog_may_say_which_mode_is_wanted(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.catalog(&format!("{}[policies]\nlivemode = true\n", refunds::CATALOG)).await;
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await, NOT_PERMITTED);
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
        assert_eq!(world.stripe(&live(dispute("evt_d2", "created", "pi_1", 10_000, "needs_response"))).await, "applied");
    }
}

scenarios! { stripe_subscriptions::CATALOG;
    async fn f81_subscriptions_of_the_other_mode_are_set_aside(world) {
        world.at(START).await;
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&told("evt_1", "created", START, &[("price_team", 1)])).await, NOT_PERMITTED);
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.stripe(&live(told("evt_2", "created", START, &[("price_team", 1)]))).await, "applied");
        world.at("2026-01-17T10:00:00Z").await;
        assert_eq!(world.stripe(&told("evt_3", "updated", "2026-01-16T10:00:00Z", &[("price_pro", 1)])).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&told("evt_4", "deleted", "2026-01-17T10:00:00Z", &[("price_team", 1)])).await, NOT_PERMITTED);
        assert_eq!(world.grants("u").await, ["plan 1000"]);
        world.tick(END).await;
        assert_eq!(world.grants("u").await, ["plan 1000"], "it has neither changed nor ended");
        // Older than those two: it counts, because they do not.
        assert_eq!(world.stripe(&live(told("evt_5", "updated", "2026-01-15T11:00:00Z", &[("price_pro", 1)]))).await, "applied");
        assert_eq!(world.balance("u").await, "5000");
    }

    async fn f81_invoices_of_the_other_mode_are_set_aside(world) {
        world.at(START).await;
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&live(told("evt_1", "created", START, &[("price_paid", 1)]))).await, "applied");
        let mut failed = invoice("evt_2", "in_1", START, END);
        failed["type"] = json!("invoice.payment_failed");
        failed["data"]["object"]["amount_due"] = json!(5000);
        assert_eq!(world.stripe(&failed).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&invoice("evt_3", "in_1", START, END)).await, NOT_PERMITTED);
        assert_eq!(world.entries("u").await, Vec::<String>::new());
        assert_eq!(world.stripe(&live(invoice("evt_4", "in_1", START, END))).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn f81_what_paid_an_invoice_is_not_learnt_from_the_other_mode(world) {
        paid_live(world).await;
        assert_eq!(world.stripe(&paid_by("evt_3", "in_1", "pi_1")).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&live(refunded("evt_4", "pi_1", 2500))).await, "waiting", "nobody has said what pi_1 paid for");
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.stripe(&live(paid_by("evt_5", "in_1", "pi_1"))).await, "duplicate");
        // 1000 × 25 / 50
        assert_eq!(world.entries("u").await, ["allowance 1000", "clawed_back 500"]);
    }

    async fn f81_a_subscriptions_checkout_of_the_other_mode_is_set_aside(world) {
        paid_live(world).await;
        let ours = json!({"credit_account": "u"});
        assert_eq!(world.stripe(&subscribed("evt_3", ours.clone())).await, NOT_PERMITTED);
        assert_eq!(world.stripe(&subscribed("evt_4", json!({}))).await, NOT_PERMITTED, "known by its subscription");
        assert_eq!(world.entries("u").await, ["allowance 1000"]);
        assert_eq!(world.stripe(&live(subscribed("evt_5", ours))).await, "ignored", "it only says whose the subscription is");
    }

    async fn f81_a_checkout_of_the_other_mode_opens_no_account(world) {
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&subscribed("evt_1", json!({"credit_account": "u"}))).await, NOT_PERMITTED);
        assert_eq!(world.entries("u").await, Vec::<String>::new());
        assert_eq!(world.uses("u", "unit", "1").await, "waiting", "there is no account yet");
    }
}
