//! Manual invoicing after steady purchases: three months in a row (semantics §5).

use super::disputes::dispute;
use super::refunds::refunded;
use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.pack]
credits = "1000"
price = "1000.00"
[packages.half]
credits = "500"
price = "500.00"
"#;

/// A session of a package paid at an instant, for so many cents, so many of them tax.
fn paid(payment: &str, package: &str, at: &str, (minor, tax): (u32, u32)) -> Value {
    json!({"id": format!("evt_{payment}"), "type": "checkout.session.completed", "livemode": false, "created": instant(at).as_second(),
    "data": {"object": {
        "id": format!("cs_{payment}"), "mode": "payment", "payment_status": "paid", "amount_total": minor, "currency": "usd",
        "total_details": {"amount_tax": tax}, "payment_intent": payment,
        "metadata": {"credit_account": "u", "credit_package": package},
    }}})
}

async fn buys(world: &mut World, payment: &str, at: &str) {
    world.at(at).await;
    assert_eq!(world.stripe(&paid(payment, "pack", at, (100_000, 0))).await, "applied");
}

async fn eligible(world: &World) -> usize {
    world.announced("u", "invoicing.eligible").await.len()
}

scenarios! { CATALOG;
    async fn three_months_in_a_row_open_it_once(world) {
        buys(world, "pi_1", "2026-01-31T23:59:59Z").await;
        buys(world, "pi_2", "2026-02-01T00:00:00Z").await;
        assert_eq!(eligible(world).await, 0);
        buys(world, "pi_3", "2026-03-31T12:00:00Z").await;
        assert_eq!(world.announced("u", "invoicing.eligible").await[0]["invoicing"], json!(true));
        buys(world, "pi_4", "2026-04-01T00:00:00Z").await;
        assert_eq!(eligible(world).await, 1, "once");
        let request = json!({"request": "r", "package": "pack", "method": "invoice", "requested_by": "mia"});
        assert_eq!(world.tell("credit_request.submitted", "u", request).await, "applied");
    }

    async fn before_that_invoices_are_not_for_the_account(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        let request = json!({"request": "r", "package": "pack", "method": "invoice", "requested_by": "mia"});
        assert_eq!(world.tell("credit_request.submitted", "u", request).await, "rejected: not_permitted");
    }

    async fn several_purchases_of_a_month_add_up(world) {
        for month in ["01", "02", "03"] {
            for (half, day) in [("a", "05"), ("b", "25")] {
                let at = format!("2026-{month}-{day}T00:00:00Z");
                world.at(&at).await;
                world.stripe(&paid(&format!("pi_{month}{half}"), "half", &at, (50_000, 0))).await;
            }
        }
        // 500 + 500 in each of three months.
        assert_eq!(eligible(world).await, 1);
    }

    async fn a_month_below_or_without_purchases_breaks_the_row(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        buys(world, "pi_2", "2026-02-15T00:00:00Z").await;
        buys(world, "pi_4", "2026-04-15T00:00:00Z").await;
        buys(world, "pi_5", "2026-05-15T00:00:00Z").await;
        assert_eq!(eligible(world).await, 0);
        // Heard of late, paid in March: January to May are five in a row.
        world.stripe(&paid("pi_3", "pack", "2026-03-15T00:00:00Z", (100_000, 0))).await;
        assert_eq!(eligible(world).await, 1);
    }

    async fn tax_does_not_count(world) {
        world.settings(json!({"price_check": "at_least", "invoicing_threshold": "1000.01"})).await;
        for month in ["01", "02", "03"] {
            let at = format!("2026-{month}-15T00:00:00Z");
            world.at(&at).await;
            // 1190.00 with 190.00 of tax are 1000.00, a cent too little.
            world.stripe(&paid(&format!("pi_{month}"), "pack", &at, (119_000, 19_000))).await;
        }
        assert_eq!(eligible(world).await, 0);
        world.settings(json!({"invoicing_threshold": "1000.00"})).await;
        world.stripe(&paid("pi_4", "half", "2026-03-16T00:00:00Z", (59_500, 9500))).await;
        assert_eq!(eligible(world).await, 1, "the threshold of the moment counts");
    }

    async fn tax_that_is_heard_of_later_does_not_count_either(world) {
        world.settings(json!({"price_check": "at_least"})).await;
        for (payment, at) in [("pi_1", "2026-01-15T00:00:00Z"), ("pi_2", "2026-02-15T00:00:00Z"), ("pi_3", "2026-03-15T00:00:00Z")] {
            world.at(at).await;
            // 1190.00 in all; only the session says that 190.01 of it are tax.
            let intent = json!({"id": format!("evt_i_{payment}"), "type": "payment_intent.succeeded", "created": instant(at).as_second(),
                "data": {"object": {"id": payment, "amount": 119_000, "amount_received": 119_000, "currency": "usd",
                    "metadata": {"credit_account": "u", "credit_package": "pack"}}}});
            assert_eq!(world.stripe(&intent).await, "applied");
            assert_eq!(world.stripe(&paid(payment, "pack", at, (119_000, 19_001))).await, "duplicate");
        }
        assert_eq!(eligible(world).await, 0);
        let months: Vec<String> = world.memory_months("u").await;
        assert_eq!(months, ["999.99", "999.99", "999.99"]);
    }

    async fn the_month_is_that_of_the_accounts_zone(world) {
        world.done("account.opened", "u", json!({"kind": "user", "owner": "u", "time_zone": "Pacific/Auckland"})).await;
        // Auckland is 13 hours ahead: the last of January in UTC is February there, and so on.
        buys(world, "pi_1", "2026-01-31T12:00:00Z").await;
        buys(world, "pi_2", "2026-02-28T12:00:00Z").await;
        assert_eq!(eligible(world).await, 0);
        // 12:00 in UTC is still the 31st of March at 01:00 of the 1st of April: that month is April.
        buys(world, "pi_3", "2026-03-31T12:00:00Z").await;
        assert_eq!(eligible(world).await, 1, "February, March, April");
    }

    async fn and_of_a_zone_behind(world) {
        world.done("account.opened", "u", json!({"kind": "user", "owner": "u", "time_zone": "America/Los_Angeles"})).await;
        // Eight hours behind, seven in summer: the first hours of a month belong to the one before.
        buys(world, "pi_1", "2026-01-01T07:59:59Z").await;
        buys(world, "pi_2", "2026-02-01T08:00:00Z").await;
        buys(world, "pi_3", "2026-03-01T08:00:00Z").await;
        assert_eq!(eligible(world).await, 0, "December, February, March");
        buys(world, "pi_4", "2026-04-01T06:59:59Z").await;
        assert_eq!(eligible(world).await, 0, "March once more");
        buys(world, "pi_5", "2026-04-01T07:00:00Z").await;
        assert_eq!(eligible(world).await, 1, "February, March, April");
    }

    async fn what_went_back_does_not_count(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        buys(world, "pi_2", "2026-02-15T00:00:00Z").await;
        // A cent of February goes back: 1000 × (1000 − 0.01) / 1000.
        assert_eq!(world.stripe(&refunded("evt_r", "pi_2", 1)).await, "applied");
        buys(world, "pi_3", "2026-03-15T00:00:00Z").await;
        assert_eq!(eligible(world).await, 0);
        world.stripe(&paid("pi_4", "half", "2026-02-20T00:00:00Z", (50_000, 0))).await;
        assert_eq!(eligible(world).await, 1);
    }

    async fn a_refund_that_failed_counts_again(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        buys(world, "pi_2", "2026-02-15T00:00:00Z").await;
        let refund = |id: &str, status: &str| {
            json!({"id": id, "type": "refund.updated", "created": instant("2026-02-16T00:00:00Z").as_second(), "data": {"object": {
                "id": "re_1", "amount": 100_000, "currency": "usd", "status": status, "payment_intent": "pi_2",
                "created": instant("2026-02-16T00:00:00Z").as_second()}}})
        };
        world.stripe(&refund("evt_r1", "pending")).await;
        buys(world, "pi_3", "2026-03-15T00:00:00Z").await;
        assert_eq!(eligible(world).await, 0);
        world.stripe(&refund("evt_r2", "failed")).await;
        assert_eq!(eligible(world).await, 1);
    }

    async fn what_a_dispute_lost_does_not_count(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        buys(world, "pi_2", "2026-02-15T00:00:00Z").await;
        assert_eq!(world.stripe(&dispute("evt_d1", "created", "pi_2", 40_000, "needs_response")).await, "applied");
        assert_eq!(world.memory_months("u").await, ["1000", "1000"], "nothing is lost yet");
        assert_eq!(world.stripe(&dispute("evt_d2", "closed", "pi_2", 40_000, "lost")).await, "applied");
        buys(world, "pi_3", "2026-03-15T00:00:00Z").await;
        // February: 1000 − 400
        assert_eq!(world.memory_months("u").await, ["1000", "600", "1000"]);
        assert_eq!(eligible(world).await, 0);
        // 600 + 500
        world.stripe(&paid("pi_4", "half", "2026-02-20T00:00:00Z", (50_000, 0))).await;
        assert_eq!(world.memory_months("u").await, ["1000", "1100", "1000"]);
        assert_eq!(eligible(world).await, 1);
    }

    async fn what_a_dispute_gave_back_counts_again(world) {
        buys(world, "pi_1", "2026-01-15T00:00:00Z").await;
        buys(world, "pi_2", "2026-02-15T00:00:00Z").await;
        assert_eq!(world.stripe(&dispute("evt_d1", "closed", "pi_2", 100_000, "lost")).await, "applied");
        buys(world, "pi_3", "2026-03-15T00:00:00Z").await;
        // February: 1000 − 1000
        assert_eq!(world.memory_months("u").await, ["1000", "0", "1000"]);
        assert_eq!(eligible(world).await, 0);
        assert_eq!(world.stripe(&dispute("evt_d2", "funds_reinstated", "pi_2", 100_000, "won")).await, "applied");
        assert_eq!(world.memory_months("u").await, ["1000", "1000", "1000"]);
        assert_eq!(eligible(world).await, 1);
    }

    async fn what_goes_back_later_takes_nothing_away(world) {
        for (payment, at) in [("pi_1", "2026-01-15T00:00:00Z"), ("pi_2", "2026-02-15T00:00:00Z"), ("pi_3", "2026-03-15T00:00:00Z")] {
            buys(world, payment, at).await;
        }
        world.stripe(&refunded("evt_r", "pi_2", 100_000)).await;
        assert!(world.account("u").await.profile.invoicing, "only staff withdraw it");
    }

    async fn another_currency_does_not_count(world) {
        world.staff("bob", "approver").await;
        for month in ["01", "02", "03"] {
            let at = format!("2026-{month}-15T00:00:00Z");
            world.at(&at).await;
            let mut euros = paid(&format!("pi_{month}"), "pack", &at, (100_000, 0));
            euros["data"]["object"]["currency"] = json!("eur");
            world.stripe(&euros).await;
            let decided = json!({"request": format!("pi_{month}"), "decision": "accepted", "decided_by": "bob", "received_amount": "1000.00"});
            world.done("credit_request.decided", "u", decided).await;
        }
        assert_eq!(eligible(world).await, 0);
    }

    async fn accepted_transfers_count(world) {
        world.staff("bob", "approver").await;
        for month in ["01", "02", "03"] {
            world.at(&format!("2026-{month}-15T00:00:00Z")).await;
            let asked = json!({"request": format!("r{month}"), "package": "pack", "method": "bank_transfer", "requested_by": "mia"});
            world.done("credit_request.submitted", "u", asked).await;
            world.done("credit_request.decided", "u", json!({"request": format!("r{month}"), "decision": "accepted", "decided_by": "bob"})).await;
        }
        assert_eq!(eligible(world).await, 1);
    }

    async fn staff_withdraw_it_and_the_same_months_do_not_bring_it_back(world) {
        for (payment, at) in [("pi_1", "2026-01-15T00:00:00Z"), ("pi_2", "2026-02-15T00:00:00Z"), ("pi_3", "2026-03-15T00:00:00Z")] {
            buys(world, payment, at).await;
        }
        world.done("account.changed", "u", json!({"invoicing": false})).await;
        buys(world, "pi_3b", "2026-03-20T00:00:00Z").await;
        buys(world, "pi_4", "2026-04-15T00:00:00Z").await;
        buys(world, "pi_5", "2026-05-15T00:00:00Z").await;
        assert_eq!((eligible(world).await, world.account("u").await.profile.invoicing), (1, false));
        buys(world, "pi_6", "2026-06-15T00:00:00Z").await;
        assert_eq!((eligible(world).await, world.account("u").await.profile.invoicing), (2, true), "April, May, June");
    }

    async fn staff_open_it_by_hand(world) {
        world.open("u").await;
        world.done("account.changed", "u", json!({"invoicing": true})).await;
        for (payment, at) in [("pi_1", "2026-01-15T00:00:00Z"), ("pi_2", "2026-02-15T00:00:00Z"), ("pi_3", "2026-03-15T00:00:00Z")] {
            buys(world, payment, at).await;
        }
        assert_eq!(eligible(world).await, 0, "it was open");
    }
}
