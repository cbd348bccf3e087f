//! Refunds by target: what is taken back is what the sum of refunds aims at (semantics §6).

use super::purchases::{checkout, decide, intent};
use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

/// P 100.00, C 1000; with bonus 1000 + 200 for the same price.
pub(super) const CATALOG: &str = r#"
[packages.pack]
credits = "1000"
price = "100.00"
[packages.double]
credits = "2000"
price = "200.00"
[packages.plus]
credits = "1000"
bonus = "200"
price = "100.00"
[packages.brief]
credits = "1000"
price = "100.00"
expires_after = "P1M"
[packages.final]
credits = "1000"
price = "100.00"
refundable = false
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "open"
price = "1"
insufficient = "allow"
"#;

const CREATED: &str = "2026-01-01T00:00:00Z";

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": instant(CREATED).as_second(), "data": {"object": object}})
}

/// One refund of a payment, in the state Stripe says.
pub(super) fn refund(id: &str, refund: &str, payment: &str, minor: u32, status: &str) -> Value {
    let object = json!({"id": refund, "object": "refund", "amount": minor, "currency": "usd", "status": status,
        "charge": format!("ch_{payment}"), "payment_intent": payment, "created": instant(CREATED).as_second()});
    event(id, if status == "failed" { "refund.failed" } else { "refund.created" }, &object)
}

/// The charge of a payment with the sum of all that was refunded of it.
pub(super) fn refunded(id: &str, payment: &str, minor: u32) -> Value {
    event(
        id,
        "charge.refunded",
        &json!({"id": format!("ch_{payment}"), "object": "charge", "amount": 10_000, "amount_refunded": minor,
        "currency": "usd", "payment_intent": payment}),
    )
}

/// Buys a package and uses some of it.
pub(super) async fn bought(world: &mut World, payment: &str, package: &str, used: &str) {
    let minor = if package == "double" { 20_000 } else { 10_000 };
    assert_eq!(world.stripe(&checkout(&format!("evt_{payment}"), payment, package, minor, 0)).await, "applied");
    if used != "0" {
        assert_eq!(world.uses("u", "unit", used).await, "applied");
    }
}

pub(super) async fn numbers(world: &World) -> [String; 3] {
    [world.balance("u").await, world.available("u").await, world.debt("u").await]
}

scenarios! { CATALOG;
    async fn a_refund_of_spent_credits_becomes_debt_and_the_next_purchase_repays_it(world) {
        bought(world, "pi_1", "pack", "900").await;
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 10_000)).await, "applied");
        // target 1000, 1000 − 900 = 100 unused, 900 short
        assert_eq!(world.entries_after("u", 2).await, ["clawed_back 100", "debt_incurred 900"]);
        assert_eq!(numbers(world).await, ["0", "0", "900"]);
        // A later update of the same refund changes nothing.
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 10_000, "succeeded")).await, "duplicate");
        assert_eq!(world.stripe(&refunded("evt_r3", "pi_1", 10_000)).await, "duplicate");
        bought(world, "pi_2", "double", "0").await;
        // 2000 − 900
        assert_eq!(world.entries_after("u", 4).await, ["purchased 2000", "debt_repaid 900"]);
        assert_eq!(numbers(world).await, ["1100", "1100", "0"]);
        let told = world.announced("u", "purchase.refunded").await;
        let expected = json!({"payment": "stripe:pi_1", "target": "1000", "taken": "100", "shortfall": "900", "debt": "900"});
        assert_eq!(told, [expected]);
        assert_eq!(world.heard("u", "debt.incurred", "payment").await, ["stripe:pi_1"]);
        assert_eq!(world.heard("u", "debt.repaid", "payment").await, ["stripe:pi_1"]);
    }

    async fn f75_refunds_delivered_in_reverse_count_once(world) {
        bought(world, "pi_1", "pack", "0").await;
        // The second of two refunds of 25.00 comes first and shows both: 1000 × 50 / 100.
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_1", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "500");
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 2500)).await, "duplicate");
        assert_eq!(world.stripe(&refund("evt_r3", "re_1", "pi_1", 2500, "succeeded")).await, "duplicate");
        assert_eq!(world.stripe(&refund("evt_r4", "re_2", "pi_1", 2500, "succeeded")).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 500"]);
    }

    async fn f75_single_refunds_and_their_sum_are_the_same_money(world) {
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "pending")).await, "applied");
        assert_eq!(world.balance("u").await, "750");
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_1", 2500)).await, "duplicate");
        assert_eq!(world.stripe(&refund("evt_r3", "re_1", "pi_1", 2500, "succeeded")).await, "duplicate");
        assert_eq!(world.stripe(&refund("evt_r4", "re_2", "pi_1", 2500, "succeeded")).await, "applied");
        assert_eq!(world.stripe(&refunded("evt_r5", "pi_1", 5000)).await, "duplicate");
        assert_eq!(world.balance("u").await, "500");
    }

    async fn a_refund_that_fails_later_gives_the_credits_back(world) {
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "applied");
        // 1000 × 25 / 100
        assert_eq!(world.balance("u").await, "750");
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 2500, "failed")).await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 250", "returned 250"]);
        assert_eq!(world.grants("u").await, ["purchased 1000"]);
        // An event from before that comes late takes nothing back.
        assert_eq!(world.stripe(&refund("evt_r3", "re_1", "pi_1", 2500, "succeeded")).await, "duplicate");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn a_failed_refund_undoes_debt_first_and_then_what_repaid_it(world) {
        bought(world, "pi_1", "pack", "900").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 10_000, "succeeded")).await, "applied");
        world.done("credits.grant", "u", json!({"credits": "300", "reason": "gift", "actor": "ann"})).await;
        // 900 − 300
        assert_eq!(numbers(world).await, ["0", "0", "600"]);
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 10_000, "failed")).await, "applied");
        // 600 are not owed any more, 300 go back to the gift that repaid them, 100 to the purchase.
        let seq = world.account("u").await.seq;
        assert_eq!(world.entries_after("u", seq - 3).await, ["debt_cancelled -600", "returned 300", "returned 100"]);
        assert_eq!(world.grants("u").await, ["promotional 300", "purchased 100"]);
        assert_eq!(numbers(world).await, ["400", "400", "0"]);
    }

    async fn credits_and_bonus_go_together(world) {
        bought(world, "pi_1", "plus", "0").await;
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 3333)).await, "applied");
        // ⌊1200 × 33.33 / 100⌋ = 399.96, of what burns last: 1000 − 399.96
        assert_eq!(world.grants("u").await, ["bonus 200", "purchased 600.04"]);
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_1", 10_000)).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(world.entries_after("u", 3).await, ["clawed_back 600.04", "clawed_back 200"]);
    }

    async fn tax_is_part_of_what_was_paid(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "pack", 11_900, 1900)).await, "applied");
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 5950)).await, "applied");
        // 1000 × 59.50 / 119.00
        assert_eq!(world.balance("u").await, "500");
    }

    async fn more_than_was_paid_takes_no_more_than_was_granted(world) {
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 99_000)).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn what_ended_unused_is_excused_once(world) {
        bought(world, "pi_1", "brief", "300").await;
        world.tick("2026-02-01T00:00:00Z").await;
        // 300 used, 700 ended: half of the money is 500, all of it excused.
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 5000)).await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 1000", "used 300", "expired 700"]);
        // The other 500: 200 more had ended, 300 were used.
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_1", 10_000)).await, "applied");
        assert_eq!(world.entries_after("u", 3).await, ["debt_incurred 300"]);
        assert_eq!(world.announced("u", "purchase.refunded").await[1]["shortfall"], "300");
    }

    async fn what_returns_to_a_grant_that_is_over_ends_at_once(world) {
        bought(world, "pi_1", "brief", "0").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 4000, "succeeded")).await, "applied");
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 4000, "failed")).await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 400", "expired 600", "returned 400", "expired 400"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn a_refund_before_its_payment_waits_for_it(world) {
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "waiting");
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "waiting");
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 250"]);
        assert_eq!(world.outcome("u", "evt_r1").await, "applied");
    }

    async fn a_refund_of_a_payment_that_never_comes_is_ignored(world) {
        world.open("u").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "waiting");
        world.tick("2026-01-30T23:59:59Z").await;
        assert_eq!(world.outcome("u", "evt_r1").await, "waiting");
        world.tick("2026-01-31T00:00:00Z").await;
        assert_eq!(world.outcome("u", "evt_r1").await, "ignored");
    }

    async fn a_refund_shows_what_its_charge_is_called(world) {
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "pack", 10_000, 0)).await, "applied");
        let mut by_charge = refund("evt_r1", "re_1", "pi_1", 2500, "succeeded");
        by_charge["data"]["object"]["payment_intent"] = json!(null);
        assert_eq!(world.stripe(&by_charge).await, "waiting", "no event has shown this charge");
        let mut shown = intent("evt_2", "pi_1", "pack", 10_000);
        shown["data"]["object"]["latest_charge"] = json!("ch_pi_1");
        assert_eq!(world.stripe(&shown).await, "duplicate");
        assert_eq!(world.balance("u").await, "750");
    }

    async fn a_refund_before_staff_decide_counts_when_they_do(world) {
        world.settings(json!({"price_check": "review"})).await;
        assert_eq!(world.stripe(&checkout("evt_1", "pi_1", "pack", 10_000, 0)).await, "applied");
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(decide(world, "pi_1", "accepted").await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 250"]);
    }

    async fn the_tenant_may_bear_the_shortfall(world) {
        world.settings(json!({"shortfall": "write_off"})).await;
        bought(world, "pi_1", "pack", "900").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 10_000, "succeeded")).await, "applied");
        assert_eq!(world.entries_after("u", 2).await, ["clawed_back 100", "debt_incurred 900", "written_off -900"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert!(world.announced("u", "debt.incurred").await.is_empty(), "nobody owes it");
        bought(world, "pi_2", "double", "0").await;
        assert_eq!(numbers(world).await, ["2000", "2000", "0"]);
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 10_000, "failed")).await, "applied");
        assert_eq!(world.entries_after("u", 6).await, ["written_off 900", "debt_cancelled -900", "returned 100"]);
        assert_eq!(numbers(world).await, ["2100", "2100", "0"]);
    }

    async fn only_bought_credits_may_cover_the_shortfall(world) {
        world.settings(json!({"shortfall": "take_other_paid"})).await;
        bought(world, "pi_1", "pack", "900").await;
        world.done("credits.grant", "u", json!({"credits": "500", "reason": "gift", "actor": "ann"})).await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 10_000, "succeeded")).await, "applied");
        // The gift is left alone; 900 are taken from what is bought next.
        assert_eq!(numbers(world).await, ["500", "500", "900"]);
        bought(world, "pi_2", "double", "0").await;
        assert_eq!(world.grants("u").await, ["promotional 500", "purchased 1100"]);
        assert_eq!(numbers(world).await, ["1600", "1600", "0"]);
    }

    async fn another_currency_or_amount_is_a_contradiction(world) {
        bought(world, "pi_1", "pack", "0").await;
        let mut euros = refunded("evt_r1", "pi_1", 5000);
        euros["data"]["object"]["currency"] = json!("eur");
        assert_eq!(world.stripe(&euros).await, "quarantined: idempotency_conflict");
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 2500, "succeeded")).await, "applied");
        assert_eq!(world.stripe(&refund("evt_r3", "re_1", "pi_1", 3000, "succeeded")).await, "quarantined: idempotency_conflict");
        bought(world, "pi_2", "pack", "0").await;
        assert_eq!(world.stripe(&refund("evt_r4", "re_1", "pi_2", 2500, "succeeded")).await, "quarantined: idempotency_conflict");
        assert_eq!(world.balance("u").await, "1750");
    }

    async fn a_refund_of_the_other_mode_is_set_aside(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.settings(json!({"livemode": true})).await;
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 5000)).await, "quarantined: not_permitted");
        assert_eq!(world.balance("u").await, "1000");
    }

    async fn a_closed_account_is_refunded_too(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.done("account.closed", "u", json!({"reason": "left", "actor": "ann"})).await;
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_1", 10_000)).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        bought(world, "pi_2", "pack", "0").await;
        assert_eq!((world.balance("u").await, world.available("u").await), ("1000".into(), "0".into()), "money in arrives frozen");
        assert_eq!(world.stripe(&refunded("evt_r2", "pi_2", 4000)).await, "applied");
        assert_eq!((world.balance("u").await, world.frozen("u").await), ("600".into(), "600".into()));
    }

    async fn a_refund_may_be_asked_for(world) {
        bought(world, "pi_1", "pack", "0").await;
        bought(world, "pi_2", "final", "0").await;
        let ask = |payment: &str| json!({"payment": payment, "requested_by": "mia", "reason": "not needed"});
        assert_eq!(world.tell("refund.requested", "u", ask("stripe:pi_1")).await, "applied");
        assert_eq!(world.tell("refund.requested", "u", ask("pi_1")).await, "applied");
        assert_eq!(world.heard("u", "refund.requested", "reference").await, ["stripe:pi_1", "pi_1"]);
        assert_eq!(world.tell("refund.requested", "u", ask("pi_2")).await, "rejected: non_refundable");
        assert_eq!(world.heard("u", "refund.refused", "reasons").await, [r#"["non_refundable"]"#]);
        assert_eq!(world.balance("u").await, "2000", "asking moves nothing");
        // A refund the provider has made is honoured.
        assert_eq!(world.stripe(&refunded("evt_r1", "pi_2", 10_000)).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.tell("refund.requested", "u", ask("pi_2")).await, "rejected: already_decided non_refundable");
        assert_eq!(world.tell("refund.requested", "u", ask("pi_3")).await, "waiting");
    }

    async fn what_was_ignored_in_the_end_is_not_decided_anew(world) {
        world.open("u").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "waiting");
        // Sent again after its time, before anybody noticed.
        world.at("2026-02-01T00:00:00Z").await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "ignored");
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 2500, "succeeded")).await, "duplicate");
        world.tick("2026-04-01T00:00:00Z").await;
        assert_eq!(world.outcome("u", "evt_r1").await, "ignored");
    }

    async fn a_grant_that_refilled_itself_takes_back_no_more_than_it_holds(world) {
        bought(world, "pi_1", "pack", "1000").await;
        let daily = json!({"credits": "100", "recurs": {"interval": "P1D", "anchor": "2026-01-01T00:00:00"}, "reason": "free", "actor": "ann"});
        world.done("credits.grant", "u", daily).await;
        assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 10_000, "succeeded")).await, "applied");
        world.tick("2026-01-02T00:00:00Z").await;
        // 1000 − 100 − 100
        assert_eq!(world.debt("u").await, "800");
        assert_eq!(world.stripe(&refund("evt_r2", "re_1", "pi_1", 10_000, "failed")).await, "applied");
        // 200 go back to what holds 100.
        assert_eq!((world.balance("u").await, world.debt("u").await), ("100".into(), "0".into()));
    }

    async fn a_refund_of_what_turns_out_to_be_the_payment_counts(world) {
        let mut failed = intent("evt_1", "pi_1", "pack", 10_000);
        failed["type"] = json!("payment_intent.payment_failed");
        assert_eq!(world.stripe(&failed).await, "applied");
        assert_eq!(world.stripe(&refunded("evt_2", "pi_1", 10_000)).await, "applied");
        let mut session = checkout("evt_3", "pi_1", "pack", 10_000, 0);
        session["data"]["object"]["payment_intent"] = json!(null);
        assert_eq!(world.stripe(&session).await, "applied");
        assert_eq!(world.balance("u").await, "1000");
        // Both are one: all of it was refunded.
        assert_eq!(world.stripe(&checkout("evt_4", "pi_1", "pack", 10_000, 0)).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn what_is_refunded_before_it_is_paid_is_announced_when_it_is(world) {
        let mut unpaid = checkout("evt_1", "pi_1", "pack", 10_000, 0);
        unpaid["data"]["object"]["payment_status"] = json!("unpaid");
        world.stripe(&unpaid).await;
        world.stripe(&refunded("evt_2", "pi_1", 5000)).await;
        world.stripe(&checkout("evt_3", "pi_1", "pack", 10_000, 0)).await;
        assert_eq!(world.heard("u", "purchase.refunded", "target").await, ["0", "500"]);
    }

    async fn a_refund_may_be_asked_for_before_the_payment_is_known(world) {
        let ask = json!({"payment": "pi_1", "requested_by": "mia", "reason": "not needed"});
        world.open("u").await;
        assert_eq!(world.tell("refund.requested", "u", ask).await, "waiting");
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.heard("u", "refund.requested", "reference").await, ["pi_1"]);
    }
}
