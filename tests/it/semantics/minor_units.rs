//! Currencies that have no decimals, and such as have three: Stripe's integers mean other amounts there (semantics §1, §5, §6).

use super::disputes::dispute;
use super::purchases::{checkout, with};
use super::refunds::{numbers, refund, refunded};
use crate::world::scenarios;
use serde_json::{Value, json};

const YEN: &str = r#"
currency = "JPY"
[packages.pack]
credits = "500"
price = "1000"
[[rates]]
meter = "unit"
price = "1"
"#;

/// A third and a half of a price must both be whole numbers of fils.
const DINAR: &str = r#"
currency = "KWD"
[packages.pack]
credits = "1000"
price = "12.345"
[packages.even]
credits = "1000"
price = "12.340"
[[rates]]
meter = "unit"
price = "1"
"#;

fn yen(event: Value) -> Value {
    with(event, "currency", json!("jpy"))
}

fn dinar(event: Value) -> Value {
    with(event, "currency", json!("kwd"))
}

scenarios! { YEN;
    async fn b15_a_thousand_minor_units_are_a_thousand_yen(world) {
        assert_eq!(world.stripe(&yen(checkout("evt_1", "pi_1", "pack", 1000, 0))).await, "applied");
        assert_eq!(world.grants("u").await, ["purchased 500"]);
        // 1000 / 500 yen a credit
        assert_eq!(world.lots("u").await[0].terms.cost_basis.to_string(), "2");
    }

    async fn b15_yen_are_not_counted_by_the_hundred(world) {
        assert_eq!(world.stripe(&yen(checkout("evt_1", "pi_1", "pack", 100_000, 0))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        let reasons = world.heard("u", "credit_request.pending", "reason").await;
        assert_eq!(reasons, ["paid 100000 JPY before tax; the package costs 1000 JPY"]);
    }

    async fn b15_tax_in_yen_is_no_part_of_the_price(world) {
        assert_eq!(world.stripe(&yen(checkout("evt_1", "pi_1", "pack", 1100, 100))).await, "applied");
        // 1100 − 100 = 1000; 1100 / 500 = 2.2 a credit.
        assert_eq!(world.lots("u").await[0].terms.cost_basis.to_string(), "2.2");
    }

    async fn b15_half_of_the_yen_is_half_of_the_credits(world) {
        assert_eq!(world.stripe(&yen(checkout("evt_1", "pi_1", "pack", 1000, 0))).await, "applied");
        assert_eq!(world.stripe(&refunded("evt_2", "pi_1", 500)).await, "quarantined: idempotency_conflict", "5 dollars are not 500 yen");
        assert_eq!(world.stripe(&yen(refunded("evt_3", "pi_1", 500))).await, "applied");
        // 500 × 500 / 1000
        assert_eq!(world.entries("u").await, ["purchased 500", "clawed_back 250"]);
        assert_eq!(world.stripe(&yen(refund("evt_4", "re_1", "pi_1", 500, "succeeded"))).await, "duplicate", "the same 500");
        assert_eq!(numbers(world).await, ["250", "250", "0"]);
    }

    async fn b15_a_dispute_about_yen_freezes_and_takes_its_share(world) {
        assert_eq!(world.stripe(&yen(checkout("evt_1", "pi_1", "pack", 1000, 0))).await, "applied");
        assert_eq!(world.stripe(&yen(refunded("evt_2", "pi_1", 500))).await, "applied");
        assert_eq!(world.stripe(&yen(dispute("evt_3", "created", "pi_1", 200, "needs_response"))).await, "applied");
        // 500 × (500 + 200) / 1000 = 350 are at stake, 250 of them gone: 100 are frozen.
        assert_eq!(numbers(world).await, ["250", "150", "0"]);
        assert_eq!(world.stripe(&yen(dispute("evt_4", "closed", "pi_1", 200, "lost"))).await, "applied");
        assert_eq!(numbers(world).await, ["150", "150", "0"]);
        assert_eq!(world.heard("u", "dispute.closed", "target").await, ["350"]);
    }
}

scenarios! { DINAR;
    async fn b15_12345_minor_units_are_12_345_dinars(world) {
        assert_eq!(world.stripe(&dinar(checkout("evt_1", "pi_1", "pack", 12_345, 0))).await, "applied");
        assert_eq!(world.grants("u").await, ["purchased 1000"]);
        // 12.345 / 1000 dinars a credit
        assert_eq!(world.lots("u").await[0].terms.cost_basis.to_string(), "0.012345");
    }

    async fn b15_dinars_are_not_counted_by_the_hundred(world) {
        assert_eq!(world.stripe(&dinar(checkout("evt_1", "pi_1", "pack", 1235, 0))).await, "applied");
        assert_eq!(world.balance("u").await, "0");
        let reasons = world.heard("u", "credit_request.pending", "reason").await;
        assert_eq!(reasons, ["paid 1.235 KWD before tax; the package costs 12.345 KWD"]);
    }

    async fn b15_half_of_the_dinars_is_half_of_the_credits(world) {
        assert_eq!(world.stripe(&dinar(checkout("evt_1", "pi_1", "even", 12_340, 0))).await, "applied");
        assert_eq!(world.stripe(&dinar(refunded("evt_2", "pi_1", 6170))).await, "applied");
        // 1000 × 6.170 / 12.340
        assert_eq!(world.entries("u").await, ["purchased 1000", "clawed_back 500"]);
        assert_eq!(numbers(world).await, ["500", "500", "0"]);
    }

    async fn b15_a_dispute_about_dinars_freezes_its_share(world) {
        assert_eq!(world.stripe(&dinar(checkout("evt_1", "pi_1", "pack", 12_345, 0))).await, "applied");
        assert_eq!(world.stripe(&dinar(refund("evt_2", "re_1", "pi_1", 4115, "succeeded"))).await, "applied");
        // ⌊1000 × 4.115 / 12.345⌋ = 333.333333
        assert_eq!(numbers(world).await, ["666.666667", "666.666667", "0"]);
        assert_eq!(world.stripe(&dinar(dispute("evt_3", "created", "pi_1", 4115, "needs_response"))).await, "applied");
        // ⌊1000 × 8.230 / 12.345⌋ − 333.333333 = 666.666666 − 333.333333 are frozen.
        assert_eq!(numbers(world).await, ["666.666667", "333.333334", "0"]);
        assert_eq!(world.stripe(&dinar(dispute("evt_4", "closed", "pi_1", 4115, "won"))).await, "applied");
        assert_eq!(numbers(world).await, ["666.666667", "666.666667", "0"]);
    }
}
