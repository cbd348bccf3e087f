//! More of a plan that grants by payment: nobody has it before its invoice is paid, in this cycle or a later one, and
//! each payment bought its own part (semantics §6, §7).

use super::paid_cycles::by_the_year;
use super::refunds::refunded;
use super::stripe_subscriptions::{START, event, told, with};
use crate::world::{World, instant, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[plans.small]
allowance = "100"
grant_on = "payment"
[plans.large]
allowance = "1000"
grant_on = "payment"
[plans.small-share]
allowance = "100"
grant_on = "payment"
prorate = true
[plans.large-share]
allowance = "1000"
grant_on = "payment"
prorate = true
[plans.gift-year]
allowance = "50"
interval = "year"
allowance_every = "month"
[plans.present-year]
allowance = "200"
interval = "year"
allowance_every = "month"
[plans.small-year]
allowance = "100"
interval = "year"
allowance_every = "month"
grant_on = "payment"
rollover = { max = "20" }
[plans.large-year]
allowance = "1000"
interval = "year"
allowance_every = "month"
grant_on = "payment"
[plans.elsewhere]
allowance = "300"
grant_on = "payment"
[addons.seats]
credits_per_unit = "10"
unit_price = "5.00"
[stripe.prices]
price_small = "plans.small"
price_large = "plans.large"
price_small_share = "plans.small-share"
price_large_share = "plans.large-share"
price_gift_year = "plans.gift-year"
price_present_year = "plans.present-year"
price_small_year = "plans.small-year"
price_large_year = "plans.large-year"
price_seat = "addons.seats"
price_team_seat = "addons.seats"
[[rates]]
meter = "unit"
price = "1"
"#;

/// The end of the first paid year, and of the first paid month.
const YEAR: &str = "2027-01-15T10:00:00Z";
const MONTH: &str = "2026-02-15T10:00:00Z";

/// A subscription that is paid by the year, as of an instant.
fn yearly(id: &str, what: &str, at: &str, items: &[(&str, u32)]) -> Value {
    by_the_year(told(id, what, at, items))
}

/// A line: price, quantity, from, until, and what it costs in cents.
type Line = (&'static str, u32, &'static str, &'static str, i64);

/// An invoice of these lines that was paid by an intent of its own: `in_7` by `pi_7`.
fn paid(number: u32, at: &str, lines: &[Line]) -> Value {
    let line = |(price, quantity, from, until, amount): &Line| {
        // What is billed as an interval begins begins with it.
        let is_rest = !from.ends_with("-15T10:00:00Z");
        json!({"amount": amount, "quantity": quantity, "pricing": {"price_details": {"price": price}},
            "parent": {"subscription_item_details": {"proration": is_rest}},
            "period": {"start": instant(from).as_second(), "end": instant(until).as_second()}})
    };
    let object = json!({
        "id": format!("in_{number}"), "amount_paid": 5000, "currency": "usd", "payment_intent": format!("pi_{number}"),
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"credit_account": "u"}}},
        "lines": {"data": lines.iter().map(line).collect::<Vec<_>>()},
    });
    event(&format!("evt_in_{number}"), "invoice.paid", at, &object)
}

/// A year of the small plan, paid by `in_1`.
async fn a_small_year(world: &mut World) {
    world.at(START).await;
    assert_eq!(world.stripe(&yearly("evt_1", "created", START, &[("price_small_year", 1)])).await, "applied");
    assert_eq!(world.stripe(&paid(1, START, &[("price_small_year", 1, START, YEAR, 12_000)])).await, "applied");
    assert_eq!(world.grants("u").await, ["plan 100"]);
}

/// The lines of an upgrade in the middle of a year: the rest of the small plan back, the rest of the large one due.
fn upgraded(number: u32, at: &'static str) -> Value {
    let lines = [("price_small_year", 1, at, YEAR, -9000), ("price_large_year", 1, at, YEAR, 90_000)];
    paid(number, at, &lines)
}

scenarios! { CATALOG;
    async fn an_upgrade_within_a_paid_year_waits_for_its_invoice(world) {
        a_small_year(world).await;
        world.tick("2026-03-10T10:00:00Z").await;
        assert_eq!(world.stripe(&yearly("evt_2", "updated", "2026-03-10T10:00:00Z", &[("price_large_year", 1)])).await, "applied");
        for due in ["2026-03-15T10:00:00Z", "2026-04-15T10:00:00Z"] {
            world.tick(due).await;
            // 100, and 20 of those before
            assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"], "not paid at {due}");
        }
        assert_eq!(world.stripe(&upgraded(2, "2026-04-20T10:00:00Z")).await, "applied");
        // 1000 - 100
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100", "plan 900"]);
        world.tick("2026-05-15T10:00:00Z").await;
        assert_eq!(world.grants("u").await, ["plan 100", "plan 900"], "the large plan rolls nothing over");
    }

    async fn an_invoice_that_comes_before_its_upgrade_grants_with_it(world) {
        a_small_year(world).await;
        world.tick("2026-03-10T10:00:00Z").await;
        assert_eq!(world.stripe(&upgraded(2, "2026-03-10T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "120");
        assert_eq!(world.stripe(&yearly("evt_2", "updated", "2026-03-10T10:00:00Z", &[("price_large_year", 1)])).await, "applied");
        assert_eq!(world.balance("u").await, "1020");
        // What the second payment brought goes with it.
        assert_eq!(world.stripe(&refunded("evt_3", "pi_2", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "120");
    }

    async fn an_invoice_from_before_the_upgrade_pays_for_no_upgrade(world) {
        world.at(START).await;
        world.stripe(&yearly("evt_1", "created", START, &[("price_small_year", 1)])).await;
        let mut first = paid(1, START, &[("price_small_year", 1, START, YEAR, 12_000)]);
        let mut failed = with(first.clone(), "amount_due", json!(5000));
        (failed["id"], failed["type"]) = (json!("evt_failed"), json!("invoice.payment_failed"));
        assert_eq!(world.stripe(&failed).await, "applied");
        world.tick("2026-01-20T10:00:00Z").await;
        assert_eq!(world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_large_year", 1)])).await, "applied");
        world.tick("2026-01-22T10:00:00Z").await;
        first["created"] = json!(instant("2026-01-22T10:00:00Z").as_second());
        assert_eq!(world.stripe(&first).await, "applied");
        assert_eq!(world.balance("u").await, "100");
        world.tick(MONTH).await;
        assert_eq!(world.balance("u").await, "120");
        assert_eq!(world.stripe(&upgraded(2, "2026-02-20T10:00:00Z")).await, "applied");
        assert_eq!(world.balance("u").await, "1020");
    }

    async fn the_refund_of_an_upgrade_takes_its_part_of_every_cycle(world) {
        a_small_year(world).await;
        world.tick("2026-01-20T10:00:00Z").await;
        world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_large_year", 1)])).await;
        world.stripe(&upgraded(2, "2026-01-20T10:00:00Z")).await;
        assert_eq!(world.uses("u", "unit", "1000").await, "applied");
        world.tick(MONTH).await;
        assert_eq!(world.grants("u").await, ["plan 100", "plan 900"]);
        // 900 and 900, of which 900 are used
        assert_eq!(world.stripe(&refunded("evt_3", "pi_2", 5000)).await, "applied");
        assert_eq!(world.entries_after("u", 5).await, ["clawed_back 900", "debt_incurred 900", "debt_repaid 100"]);
        world.tick("2026-03-15T10:00:00Z").await;
        // The debt is repaid as credits come, and the part of the upgrade is taken back as it comes.
        assert_eq!(world.balance("u").await, "0");
        assert_eq!(world.stripe(&refunded("evt_4", "pi_1", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_reset_by_hand_grants_what_is_paid(world) {
        a_small_year(world).await;
        world.tick("2026-03-10T10:00:00Z").await;
        world.stripe(&yearly("evt_2", "updated", "2026-03-10T10:00:00Z", &[("price_large_year", 1)])).await;
        let reset = json!({"as_of": "2026-03-10T10:00:00Z", "manual": true, "subscription": "sub_1"});
        world.done("cycle.reset", "u", reset).await;
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"]);
        world.stripe(&upgraded(2, "2026-03-10T10:00:00Z")).await;
        world.tick("2026-03-11T10:00:00Z").await;
        world.done("cycle.reset", "u", json!({"as_of": "2026-03-11T10:00:00Z", "manual": true, "subscription": "sub_1"})).await;
        assert_eq!(world.grants("u").await, ["plan 100", "plan 900"]);
    }

    async fn units_alone_pay_for_nothing_else(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1), ("price_seat", 2)])).await;
        world.tick("2026-01-20T10:00:00Z").await;
        world.stripe(&told("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_small", 1), ("price_seat", 5)])).await;
        let more = [("price_seat", 2, "2026-01-20T10:00:00Z", MONTH, -700), ("price_seat", 5, "2026-01-20T10:00:00Z", MONTH, 1700)];
        assert_eq!(world.stripe(&paid(2, "2026-01-20T10:00:00Z", &more)).await, "applied");
        assert_eq!(world.grants("u").await, ["addon 50"]);
        let whole = [("price_small", 1, START, MONTH, 1000), ("price_seat", 2, START, MONTH, 1000)];
        assert_eq!(world.stripe(&paid(1, "2026-01-21T10:00:00Z", &whole)).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 100", "addon 50"]);
    }

    async fn units_that_are_not_paid_come_in_no_cycle(world) {
        world.at(START).await;
        world.stripe(&yearly("evt_1", "created", START, &[("price_small_year", 1), ("price_seat", 2), ("price_team_seat", 1)])).await;
        let whole =
            [("price_small_year", 1, START, YEAR, 12_000), ("price_seat", 2, START, YEAR, 1000), ("price_team_seat", 1, START, YEAR, 500)];
        world.stripe(&paid(1, START, &whole)).await;
        assert_eq!(world.grants("u").await, ["plan 100", "addon 30"]);
        world.tick("2026-01-20T10:00:00Z").await;
        let items = [("price_small_year", 1), ("price_seat", 6), ("price_team_seat", 1)];
        assert_eq!(world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &items)).await, "applied");
        world.tick(MONTH).await;
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100", "addon 30"]);
    }

    async fn the_next_interval_is_billed_for_what_it_begins_as(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1)])).await;
        world.stripe(&paid(1, START, &[("price_small", 1, START, MONTH, 1000)])).await;
        world.tick("2026-01-30T22:00:00Z").await;
        world.stripe(&told("evt_2", "updated", "2026-01-30T22:00:00Z", &[("price_large", 1)])).await;
        world.tick(MONTH).await;
        assert_eq!(world.balance("u").await, "0");
        // The rest of the month that is over is billed with the next one: 1000 - 100 of it, and 1000.
        let next = "2026-03-15T10:00:00Z";
        let lines = [
            ("price_small", 1, "2026-01-30T22:00:00Z", MONTH, -500),
            ("price_large", 1, "2026-01-30T22:00:00Z", MONTH, 5000),
            ("price_large", 1, MONTH, next, 10_000),
        ];
        assert_eq!(world.stripe(&paid(2, MONTH, &lines)).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 900", "plan 1000"]);
    }

    async fn the_rest_of_a_month_that_is_over_is_prorated(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small_share", 1)])).await;
        world.stripe(&paid(1, START, &[("price_small_share", 1, START, MONTH, 1000)])).await;
        world.tick("2026-01-30T22:00:00Z").await;
        world.stripe(&told("evt_2", "updated", "2026-01-30T22:00:00Z", &[("price_large_share", 1)])).await;
        world.tick(MONTH).await;
        let lines = [
            ("price_small_share", 1, "2026-01-30T22:00:00Z", MONTH, -500),
            ("price_large_share", 1, "2026-01-30T22:00:00Z", MONTH, 5000),
            ("price_large_share", 1, MONTH, "2026-03-15T10:00:00Z", 10_000),
        ];
        assert_eq!(world.stripe(&paid(2, MONTH, &lines)).await, "applied");
        // 900 × 15.5 / 31
        assert_eq!(world.grants("u").await, ["plan 450", "plan 1000"]);
        assert_eq!(world.stripe(&refunded("evt_3", "pi_2", 5000)).await, "applied");
        assert_eq!(world.balance("u").await, "0");
    }

    async fn a_plan_by_cycle_stays_until_its_upgrade_is_paid(world) {
        world.at(START).await;
        world.stripe(&yearly("evt_1", "created", START, &[("price_gift_year", 1)])).await;
        assert_eq!(world.balance("u").await, "50");
        world.tick("2026-01-20T10:00:00Z").await;
        assert_eq!(world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_small_year", 1)])).await, "applied");
        world.tick(MONTH).await;
        assert_eq!(world.balance("u").await, "50");
        world.stripe(&paid(1, MONTH, &[("price_small_year", 1, "2026-01-20T10:00:00Z", YEAR, 12_000)])).await;
        assert_eq!(world.grants("u").await, ["plan 50", "plan 50"]);
        world.tick("2026-03-15T10:00:00Z").await;
        // 20 of each of two grants
        assert_eq!(world.grants("u").await, ["rollover 20", "rollover 20", "plan 50", "plan 50"]);
    }

    async fn a_change_of_the_clocks_pays_for_no_cycle(world) {
        world.at(START).await;
        world.done("account.opened", "u", json!({"kind": "user", "owner": "mia", "time_zone": "Europe/Berlin"})).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1)])).await;
        world.tick("2026-03-15T10:00:00Z").await;
        // Until 10:00 in UTC; the account's clocks say so an hour before.
        world.stripe(&paid(1, "2026-03-15T10:00:00Z", &[("price_small", 1, "2026-03-15T10:00:00Z", "2026-04-15T10:00:00Z", 1000)])).await;
        assert_eq!(world.balance("u").await, "100");
        world.tick("2026-04-15T09:00:00Z").await;
        assert_eq!(world.balance("u").await, "0", "nobody paid for April yet");
        let april = [("price_small", 1, "2026-04-15T10:00:00Z", "2026-05-15T10:00:00Z", 1000)];
        assert_eq!(world.stripe(&paid(2, "2026-04-15T10:00:00Z", &april)).await, "applied");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn a_quarter_that_is_paid_at_once_pays_for_its_months(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1)])).await;
        world.stripe(&paid(1, START, &[("price_small", 1, START, "2026-04-15T10:00:00Z", 3000)])).await;
        for due in [MONTH, "2026-03-15T10:00:00Z"] {
            world.tick(due).await;
            assert_eq!(world.balance("u").await, "100", "{due}");
        }
        world.tick("2026-04-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
    }

    async fn what_no_invoice_can_show_is_paid_with_what_it_shows(world) {
        world.at(START).await;
        let start = json!({"subscription": "sub_1", "plan": "elsewhere", "interval": "month", "anchor": "2026-01-15T10:00:00",
            "addons": [{"addon": "seats", "units": 2}]});
        world.done("subscription.started", "u", start).await;
        assert_eq!(world.stripe(&paid(1, START, &[("price_seat", 2, START, MONTH, 1000)])).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 300", "addon 20"]);
    }

    async fn a_plan_by_cycle_that_came_later_stays_too(world) {
        world.at(START).await;
        world.stripe(&yearly("evt_1", "created", START, &[("price_gift_year", 1)])).await;
        world.tick("2026-01-20T10:00:00Z").await;
        world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_present_year", 1)])).await;
        assert_eq!(world.balance("u").await, "200");
        world.tick("2026-01-21T10:00:00Z").await;
        assert_eq!(world.stripe(&yearly("evt_3", "updated", "2026-01-21T10:00:00Z", &[("price_large_year", 1)])).await, "applied");
        world.tick(MONTH).await;
        assert_eq!(world.balance("u").await, "200");
    }

    async fn an_invoice_for_nothing_pays_for_no_upgrade(world) {
        a_small_year(world).await;
        world.tick("2026-03-10T10:00:00Z").await;
        world.stripe(&yearly("evt_2", "updated", "2026-03-10T10:00:00Z", &[("price_large_year", 1)])).await;
        // Back again before it was paid: what is given back is more than what is due.
        world.stripe(&yearly("evt_3", "updated", "2026-03-11T10:00:00Z", &[("price_small_year", 1)])).await;
        let back =
            [("price_large_year", 1, "2026-03-11T10:00:00Z", YEAR, -90_000), ("price_small_year", 1, "2026-03-11T10:00:00Z", YEAR, 9000)];
        let mut nothing = paid(3, "2026-03-11T10:00:00Z", &back);
        nothing["data"]["object"]["amount_paid"] = json!(0);
        assert_eq!(world.stripe(&nothing).await, "applied");
        assert_eq!(world.balance("u").await, "120");
        // The same lines, and money for something else.
        assert_eq!(world.stripe(&paid(4, "2026-03-11T10:00:00Z", &back)).await, "applied");
        assert_eq!(world.balance("u").await, "120");
        world.tick("2026-03-15T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "120");
    }

    async fn an_invoice_with_more_lines_than_its_event_shows_pays_for_its_interval(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1), ("price_seat", 1)])).await;
        world.stripe(&paid(1, START, &[("price_small", 1, START, MONTH, 1000), ("price_seat", 1, START, MONTH, 500)])).await;
        world.tick("2026-01-20T10:00:00Z").await;
        world.stripe(&told("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_small", 1), ("price_seat", 4)])).await;
        world.tick("2026-02-18T10:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
        let rests = [("price_seat", 1, "2026-01-20T10:00:00Z", MONTH, -400), ("price_seat", 4, "2026-01-20T10:00:00Z", MONTH, 1600)];
        let mut renewal = paid(2, "2026-02-18T10:00:00Z", &rests);
        let object = &mut renewal["data"]["object"];
        object["lines"]["has_more"] = json!(true);
        (object["billing_reason"], object["created"]) = (json!("subscription_cycle"), json!(instant(MONTH).as_second()));
        assert_eq!(world.stripe(&renewal).await, "applied");
        // 3 × 10 of the month that is over, 100 and 4 × 10 of this one
        assert_eq!(world.grants("u").await, ["plan 100", "addon 30", "addon 40"]);
    }

    async fn any_number_of_what_is_measured_may_be_on_an_invoice(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1)])).await;
        let mut whole = paid(1, START, &[("price_small", 1, START, MONTH, 1000), ("price_tokens", 1, START, MONTH, 1000)]);
        for (index, quantity) in [(1, json!(5_000_000_000_u64)), (0, json!(null))] {
            whole["data"]["object"]["lines"]["data"][index]["quantity"] = quantity;
        }
        assert_eq!(world.stripe(&whole).await, "applied");
        assert_eq!(world.balance("u").await, "100");
    }

    async fn a_prorated_upgrade_is_its_share_before_and_without_the_first_invoice(world) {
        world.at("2026-01-30T22:00:00Z").await;
        let rest = "2026-01-30T22:00:00Z";
        let upgrade = [("price_small_share", 1, rest, MONTH, -500), ("price_large_share", 1, rest, MONTH, 5000)];
        let events = [
            told("evt_1", "created", START, &[("price_small_share", 1)]),
            told("evt_2", "updated", rest, &[("price_large_share", 1)]),
            paid(2, rest, &upgrade),
            paid(1, START, &[("price_small_share", 1, START, MONTH, 1000)]),
        ];
        // 1000 × 15.5 / 31, of which the first invoice's part is half of its 100
        for (order, expected) in [(&[0, 1, 2][..], "500"), (&[0, 1, 2, 3], "500"), (&[0, 1, 3, 2], "500"), (&[0, 3, 1, 2], "500")] {
            let account = format!("u{}", order.iter().map(ToString::to_string).collect::<String>());
            for index in order {
                world.stripe(&of(&events[*index], &account)).await;
            }
            assert_eq!(world.balance(&account).await, expected, "{order:?}");
        }
    }

    async fn later_cycles_belong_to_the_payments_in_the_order_of_their_times(world) {
        world.at("2026-01-20T10:00:00Z").await;
        world.stripe(&yearly("evt_1", "created", START, &[("price_small_year", 1)])).await;
        world.stripe(&yearly("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_large_year", 1)])).await;
        world.stripe(&upgraded(2, "2026-01-20T10:00:00Z")).await;
        world.stripe(&paid(1, START, &[("price_small_year", 1, START, YEAR, 12_000)])).await;
        assert_eq!(world.balance("u").await, "1000");
        assert_eq!(world.uses("u", "unit", "1000").await, "applied");
        world.tick(MONTH).await;
        assert_eq!(world.grants("u").await, ["plan 100", "plan 900"]);
    }

    async fn a_late_month_is_prorated_for_each_change(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small_share", 1), ("price_seat", 2)])).await;
        world.stripe(&paid(1, START, &[("price_small_share", 1, START, MONTH, 1000), ("price_seat", 2, START, MONTH, 1000)])).await;
        let (seats, plan, next) = ("2026-01-23T04:00:00Z", "2026-01-30T22:00:00Z", "2026-03-15T10:00:00Z");
        world.tick(plan).await;
        world.stripe(&told("evt_2", "updated", plan, &[("price_large_share", 1), ("price_seat", 6)])).await;
        world.tick(MONTH).await;
        let lines = [
            ("price_seat", 2, seats, MONTH, -700), ("price_seat", 6, seats, MONTH, 2100), ("price_small_share", 1, plan, MONTH, -500),
            ("price_large_share", 1, plan, MONTH, 5000), ("price_large_share", 1, MONTH, next, 9000), ("price_seat", 6, MONTH, next, 3000),
        ];
        assert_eq!(world.stripe(&paid(2, MONTH, &lines)).await, "applied");
        // 40 × 23.25 / 31 and 900 × 15.5 / 31, then 1000 and 60
        assert_eq!(world.grants("u").await, ["plan 450", "plan 1000", "addon 30", "addon 60"]);
    }

    async fn an_upgrade_that_is_paid_weeks_later_brings_its_difference(world) {
        world.at(START).await;
        world.stripe(&told("evt_1", "created", START, &[("price_small", 1)])).await;
        world.stripe(&paid(1, START, &[("price_small", 1, START, MONTH, 1000)])).await;
        world.stripe(&told("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_large", 1)])).await;
        world.tick("2026-03-20T10:00:00Z").await;
        let rest = [("price_small", 1, "2026-01-20T10:00:00Z", MONTH, -500), ("price_large", 1, "2026-01-20T10:00:00Z", MONTH, 5000)];
        assert_eq!(world.stripe(&paid(2, "2026-03-20T10:00:00Z", &rest)).await, "applied");
        assert_eq!(world.grants("u").await, ["plan 900"]);
    }

    async fn units_by_the_month_beside_a_plan_by_the_year(world) {
        a_small_year(world).await;
        world.tick("2026-08-15T10:00:00Z").await;
        let more = yearly("evt_2", "updated", "2026-08-15T10:00:00Z", &[("price_small_year", 1), ("price_seat", 3)]);
        assert_eq!(world.stripe(&more).await, "applied");
        let month = [("price_seat", 3, "2026-08-15T10:00:00Z", "2026-09-15T10:00:00Z", 1500)];
        assert_eq!(world.stripe(&paid(2, "2026-08-15T10:00:00Z", &month)).await, "applied");
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100", "addon 30"]);
        world.tick("2026-09-15T10:00:00Z").await;
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"], "September's are not paid");
    }

    async fn a_month_that_ends_on_another_day_here_is_no_second_month(world) {
        world.at("2026-02-28T16:00:00Z").await;
        world.done("account.opened", "u", json!({"kind": "user", "owner": "mia", "time_zone": "Asia/Tokyo"})).await;
        let mut start = told("evt_1", "created", "2026-02-28T16:00:00Z", &[("price_small", 1)]);
        start["data"]["object"]["billing_cycle_anchor"] = json!(instant("2026-02-28T16:00:00Z").as_second());
        assert_eq!(world.stripe(&start).await, "applied");
        world.tick("2026-03-31T16:00:00Z").await;
        // Billed from the 28th of March; here the month begins with April.
        let april = [("price_small", 1, "2026-03-28T16:00:00Z", "2026-04-28T16:00:00Z", 1000)];
        let mut april = paid(2, "2026-03-31T16:00:00Z", &april);
        april["data"]["object"]["lines"]["data"][0]["parent"] = json!(null);
        assert_eq!(world.stripe(&april).await, "applied");
        assert_eq!(world.balance("u").await, "100");
        world.tick("2026-04-30T16:00:00Z").await;
        assert_eq!(world.balance("u").await, "0");
    }

    async fn every_order_of_a_start_an_upgrade_and_their_invoices_ends_alike(world) {
        world.at("2026-01-20T10:00:00Z").await;
        let events = [
            told("evt_1", "created", START, &[("price_small", 1), ("price_seat", 1)]),
            paid(1, START, &[("price_small", 1, START, MONTH, 1000), ("price_seat", 1, START, MONTH, 500)]),
            told("evt_2", "updated", "2026-01-20T10:00:00Z", &[("price_large", 1), ("price_seat", 3)]),
            paid(2, "2026-01-20T10:00:00Z", &[
                ("price_small", 1, "2026-01-20T10:00:00Z", MONTH, -800), ("price_large", 1, "2026-01-20T10:00:00Z", MONTH, 8000),
                ("price_seat", 1, "2026-01-20T10:00:00Z", MONTH, -400), ("price_seat", 3, "2026-01-20T10:00:00Z", MONTH, 1200),
            ]),
        ];
        // Without the last of them, nothing of the upgrade is there.
        for (count, expected) in [(3, "110"), (4, "1030")] {
            for (number, order) in orders(count).into_iter().enumerate() {
                let account = format!("u{count}-{number}");
                for index in &order {
                    world.stripe(&of(&events[*index], &account)).await;
                }
                assert_eq!(world.balance(&account).await, expected, "{order:?}");
            }
        }
    }
}

/// Every order of the first `count` numbers.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let inserted = |order: &Vec<usize>| (0..=last).map(|at| [&order[..at], &[last], &order[at..]].concat()).collect::<Vec<_>>();
    orders(last).iter().flat_map(inserted).collect()
}

/// The same event of another account, with names of its own.
fn of(event: &Value, account: &str) -> Value {
    let mut text = event.to_string().replace("\"u\"", &format!("\"{account}\""));
    for name in ["sub_1", "in_1", "in_2", "pi_1", "pi_2", "evt_1", "evt_2"] {
        text = text.replace(&format!("{name}\""), &format!("{name}_{account}\""));
    }
    serde_json::from_str(&text).unwrap()
}
