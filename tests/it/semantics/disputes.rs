//! Disputes: what they freeze, take and give back (semantics §6).

use super::refunds::{CATALOG, bought, numbers, refund};
use crate::world::{instant, scenarios};
use serde_json::{Value, json};

/// An event of a dispute about a payment.
pub(super) fn dispute(id: &str, what: &str, payment: &str, minor: u32, status: &str) -> Value {
    let at = instant("2026-01-01T00:00:00Z").as_second();
    json!({"id": id, "type": format!("charge.dispute.{what}"), "livemode": false, "created": at, "data": {"object": {
        "id": format!("dp_{payment}"), "object": "dispute", "amount": minor, "currency": "usd", "status": status,
        "charge": format!("ch_{payment}"), "payment_intent": payment, "created": at,
    }}})
}

scenarios! { CATALOG;
    async fn an_open_dispute_freezes_what_is_unused(world) {
        bought(world, "pi_1", "pack", "300").await;
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await, "applied");
        // All 1000 are at stake, 700 are left.
        assert_eq!(world.entries_after("u", 2).await, ["frozen 700"]);
        assert_eq!(numbers(world).await, ["700", "0", "0"]);
        assert_eq!(world.uses("u", "unit", "1").await, "rejected: insufficient_credits");
        let told = json!({"payment": "stripe:pi_1", "target": "0", "taken": "0", "shortfall": "0", "debt": "0"});
        assert_eq!(world.announced("u", "dispute.opened").await, [told]);
    }

    async fn a_won_dispute_unfreezes(world) {
        bought(world, "pi_1", "pack", "300").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 5000, "needs_response")).await;
        // 1000 × 50 / 100
        assert_eq!(numbers(world).await, ["700", "200", "0"]);
        assert_eq!(world.stripe(&dispute("evt_d2", "closed", "pi_1", 5000, "won")).await, "applied");
        assert_eq!(world.entries_after("u", 2).await, ["frozen 500", "unfrozen -500"]);
        assert_eq!(numbers(world).await, ["700", "700", "0"]);
        assert_eq!(world.heard("u", "dispute.closed", "target").await, ["0"]);
    }

    async fn a_lost_dispute_takes_what_it_froze(world) {
        bought(world, "pi_1", "pack", "300").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await;
        assert_eq!(world.stripe(&dispute("evt_d2", "closed", "pi_1", 10_000, "lost")).await, "applied");
        assert_eq!(world.entries_after("u", 3).await, ["clawed_back 700", "debt_incurred 300"]);
        assert_eq!((numbers(world).await, world.frozen("u").await), (["0", "0", "300"].map(str::to_owned), "0".into()));
        assert_eq!(world.heard("u", "dispute.closed", "shortfall").await, ["300"]);
    }

    async fn withdrawn_money_takes_and_reinstated_money_gives_back(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await;
        assert_eq!(world.stripe(&dispute("evt_d2", "funds_withdrawn", "pi_1", 10_000, "needs_response")).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(world.stripe(&dispute("evt_d3", "closed", "pi_1", 10_000, "lost")).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(world.stripe(&dispute("evt_d4", "funds_reinstated", "pi_1", 10_000, "won")).await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 1000", "frozen 1000", "clawed_back 1000", "returned 1000"]);
        assert_eq!(numbers(world).await, ["1000", "1000", "0"]);
    }

    async fn f77_a_dispute_in_any_order_ends_where_it_went(world) {
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.stripe(&dispute("evt_d4", "funds_reinstated", "pi_1", 10_000, "won")).await, "applied");
        assert_eq!(world.stripe(&dispute("evt_d3", "closed", "pi_1", 10_000, "won")).await, "duplicate");
        assert_eq!(world.stripe(&dispute("evt_d2", "funds_withdrawn", "pi_1", 10_000, "needs_response")).await, "duplicate");
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await, "duplicate");
        assert_eq!(world.entries("u").await, ["purchased 1000"]);
    }

    async fn a_refund_and_a_lost_dispute_add_up(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.stripe(&refund("evt_r1", "re_1", "pi_1", 3000, "succeeded")).await;
        // 1000 × 30 / 100 are gone, then all of it.
        assert_eq!(world.balance("u").await, "700");
        world.stripe(&dispute("evt_d1", "funds_withdrawn", "pi_1", 7000, "needs_response")).await;
        world.stripe(&dispute("evt_d2", "closed", "pi_1", 7000, "lost")).await;
        assert_eq!(world.balance("u").await, "0");
        // Won after all: 700 come back.
        world.stripe(&dispute("evt_d3", "funds_reinstated", "pi_1", 7000, "won")).await;
        assert_eq!(world.balance("u").await, "700");
    }

    async fn a_dispute_before_its_payment_waits_for_it(world) {
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await, "waiting");
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.entries("u").await, ["purchased 1000", "frozen 1000"]);
    }

    async fn a_dispute_of_a_payment_that_never_comes_is_ignored(world) {
        world.open("u").await;
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await, "waiting");
        world.tick("2026-01-30T23:59:59Z").await;
        assert_eq!(world.outcome("u", "evt_d1").await, "waiting");
        world.tick("2026-01-31T00:00:00Z").await;
        assert_eq!(world.outcome("u", "evt_d1").await, "ignored");
        // A payment of that name later is not frozen by it.
        bought(world, "pi_1", "pack", "0").await;
        assert_eq!(world.entries("u").await, ["purchased 1000"]);
    }

    async fn frozen_credits_that_end_are_expired_and_unfrozen_together(world) {
        bought(world, "pi_1", "brief", "0").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await;
        world.tick("2026-02-01T00:00:00Z").await;
        let history = world.history("u").await;
        let (last, _) = history.last().unwrap();
        assert_eq!((last.kind.word(), last.amount.to_string(), last.frozen_change.to_string()), ("expired", "1000".into(), "-1000".into()));
        // Lost after they ended: nothing is left to take, and nobody owes it.
        assert_eq!(world.stripe(&dispute("evt_d2", "closed", "pi_1", 10_000, "lost")).await, "applied");
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
    }

    async fn what_a_closed_account_holds_frozen_stays_frozen(world) {
        world.open("u").await;
        world.done("account.closed", "u", json!({"reason": "left", "actor": "ann"})).await;
        bought(world, "pi_1", "pack", "0").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await;
        world.stripe(&dispute("evt_d2", "closed", "pi_1", 10_000, "won")).await;
        assert_eq!((world.balance("u").await, world.frozen("u").await), ("1000".into(), "1000".into()));
    }

    async fn an_inquiry_that_came_to_nothing_costs_nothing(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "warning_needs_response")).await;
        assert_eq!(world.available("u").await, "0");
        world.stripe(&dispute("evt_d2", "closed", "pi_1", 10_000, "warning_closed")).await;
        assert_eq!(world.available("u").await, "1000");
    }

    async fn debt_repaid_by_what_a_dispute_freed(world) {
        bought(world, "pi_1", "pack", "0").await;
        world.stripe(&dispute("evt_d1", "created", "pi_1", 10_000, "needs_response")).await;
        assert_eq!(world.uses("u", "open", "400").await, "applied");
        assert_eq!(numbers(world).await, ["1000", "0", "400"]);
        world.stripe(&dispute("evt_d2", "closed", "pi_1", 10_000, "won")).await;
        assert_eq!(numbers(world).await, ["600", "600", "0"]);
    }
}
