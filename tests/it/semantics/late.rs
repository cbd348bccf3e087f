//! Usage of a cycle or grant that has ended by the time it is heard of (semantics §7).

use crate::world::{BEGIN, TENANT, World, instant, scenarios};
use credit_ledger::message::Line;
use credit_ledger::secrets::Secrets;
use credit_ledger::simulate::{Simulation, Step};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const CATALOG: &str = r#"
[packages.month]
credits = "100"
price = "10.00"
expires_after = "P1M"
[plans.half]
allowance = "100"
rollover = { max = "50" }
[plans.twice]
allowance = "100"
rollover = { max = "50", count = 2 }
[plans.floor]
allowance = "100"
rollover = { min = "20", max = "50" }
[plans.plain]
allowance = "100"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "image"
price = "1"
insufficient = "allow"
"#;
const JANUARY: &str = "2026-01-15T00:00:00Z";
const FEBRUARY: &str = "2026-02-01T00:00:00Z";
const ANCHOR: &str = "2026-01-01T00:00:00";

impl World {
    /// Usage of a meter that happened at `time` and is heard of now.
    pub(super) async fn metered_at(&mut self, meter: &str, time: &str, quantity: &str) -> String {
        self.send(json!({"type": "usage.recorded", "subject": "u", "time": time, "data": {"meter": meter, "quantity": quantity}})).await
    }

    pub(super) async fn used_at(&mut self, time: &str, quantity: &str) -> String {
        self.metered_at("unit", time, quantity).await
    }

    async fn close_by_hand(&mut self, time: &str) {
        self.at(time).await;
        self.done("cycle.reset", "u", json!({"as_of": time, "manual": true})).await;
    }

    /// What is written with the last entry.
    pub(super) async fn last_memo(&self) -> String {
        self.history("u").await.pop().unwrap().0.memo.unwrap().to_string()
    }
}

scenarios! { CATALOG;
    async fn a_closed_lot_pays_with_what_it_forfeited_and_handed_on(world) {
        world.grant("u", "100", json!({"rollover": {"max": "50"}})).await;
        world.at(JANUARY).await;
        assert_eq!(world.uses("u", "unit", "30").await, "applied");
        world.close_by_hand(FEBRUARY).await;
        // 70 left: 50 rolled over, 20 forfeited.
        assert_eq!(world.entries("u").await, ["granted 100", "used 30", "rolled_out 50", "forfeited 20", "rolled_in 50"]);
        assert_eq!(world.used_at(JANUARY, "40").await, "applied");
        // Had it come in time, 30 had been left and rolled over: the 20 come back, 20 of the rollover too.
        assert_eq!(world.entries_after("u", 5).await, ["returned 20", "rolled_out 20", "rolled_in 20", "used 40"]);
        assert_eq!(world.grants("u").await, ["rollover 30"]);
        let (used, _) = world.history("u").await.pop().unwrap();
        assert_eq!((used.occurred_at, used.recorded_at), (instant(JANUARY), instant(FEBRUARY)));
        // What was undone belongs to the close.
        let returned = &world.history("u").await[5].0;
        assert_eq!(returned.occurred_at, instant(FEBRUARY));
    }

    async fn an_allowance_is_reopened_and_the_new_one_is_left_alone(world) {
        world.subscribe("u", "half", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "30").await, "applied");
        world.tick(FEBRUARY).await;
        assert_eq!(world.used_at(JANUARY, "40").await, "applied");
        assert_eq!(world.grants("u").await, ["rollover 30", "plan 100"]);
        // A second one finds what the first has left: 30, all of it in the rollover.
        assert_eq!(world.used_at(JANUARY, "10").await, "applied");
        assert_eq!(world.entries_after("u", 10).await, ["rolled_out 10", "rolled_in 10", "used 10"]);
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"]);
    }

    async fn what_went_on_twice_comes_back_through_both_closes(world) {
        world.subscribe("u", "twice", ANCHOR).await;
        // Nobody was at work: both closes are recorded now, and 50 of January's 100 rolled over twice.
        world.tick("2026-03-02T00:00:00Z").await;
        assert_eq!(world.grants("u").await, ["rollover 50", "rollover 50", "plan 100"]);
        let before = world.account("u").await.seq;
        assert_eq!(world.used_at(JANUARY, "80").await, "applied");
        // 50 were forfeited in January; 30 go back from March's rollover to February's and to January's lot.
        assert_eq!(
            world.entries_after("u", before).await,
            ["returned 50", "rolled_out 30", "rolled_in 30", "rolled_out 30", "rolled_in 30", "used 80"]
        );
        let mut grants = world.grants("u").await;
        grants.sort();
        assert_eq!(grants, ["plan 100", "rollover 20", "rollover 50"]);
    }

    async fn what_the_rollover_has_spent_is_burned_from_current_credits(world) {
        world.subscribe("u", "half", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "30").await, "applied");
        world.tick(FEBRUARY).await;
        world.at("2026-02-02T00:00:00Z").await;
        assert_eq!(world.uses("u", "unit", "45").await, "applied");
        assert_eq!(world.grants("u").await, ["rollover 5", "plan 100"]);
        let before = world.account("u").await.seq;
        assert_eq!(world.used_at(JANUARY, "40").await, "applied");
        // 20 forfeited, 5 left of the rollover; 15 more out of February's allowance.
        assert_eq!(world.entries_after("u", before).await, ["returned 20", "rolled_out 5", "rolled_in 5", "used 25", "used 15"]);
        assert_eq!(world.grants("u").await, ["plan 85"]);
    }

    async fn a_minimum_rolls_over_all_the_same(world) {
        world.subscribe("u", "floor", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "75").await, "applied");
        world.tick(FEBRUARY).await;
        assert_eq!(world.grants("u").await, ["rollover 25", "plan 100"]);
        let before = world.account("u").await.seq;
        assert_eq!(world.used_at(JANUARY, "20").await, "applied");
        // 5 would have been left, and max(20, 5) = 20 rolled over: 5 come back, 15 the rule would have added.
        assert_eq!(world.entries_after("u", before).await, ["rolled_out 5", "rolled_in 5", "rolled_in 15", "used 20"]);
        assert_eq!(world.grants("u").await, ["rollover 20", "plan 100"]);
        assert_eq!(world.used_at(JANUARY, "7").await, "applied");
        // 5 that the rule would have added, 2 of current credits.
        assert_eq!(world.grants("u").await, ["rollover 18", "plan 100"]);
    }

    async fn a_grant_that_expired_pays_for_what_happened_before(world) {
        world.grant("u", "100", json!({"expires_at": FEBRUARY})).await;
        world.grant("u", "50", json!({"priority": 60})).await;
        world.tick(FEBRUARY).await;
        world.at("2026-02-03T23:59:59Z").await;
        assert_eq!(world.used_at("2026-01-31T23:59:59Z", "30").await, "applied");
        assert_eq!(world.entries_after("u", 3).await, ["returned 30", "used 30"]);
        assert_eq!(world.grants("u").await, ["promotional 50"]);
        // What happens when it is over it does not pay for.
        assert_eq!(world.used_at(FEBRUARY, "30").await, "applied");
        assert_eq!(world.grants("u").await, ["promotional 20"]);
    }

    async fn after_the_grace_current_credits_pay_and_it_is_marked(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.tick(FEBRUARY).await;
        // 72 hours after the close was recorded, and not a moment later.
        world.at("2026-02-04T00:00:00Z").await;
        assert_eq!(world.used_at(JANUARY, "10").await, "applied");
        assert_eq!(world.entries_after("u", 3).await, ["used 10"]);
        assert_eq!(world.grants("u").await, ["plan 90"]);
        assert_eq!(world.last_memo().await, "unit × 10, catalog 1, late");
        assert_eq!(world.used_at("2026-02-02T00:00:00Z", "10").await, "applied");
        assert_eq!(world.last_memo().await, "unit × 10, catalog 1", "of the running cycle");
    }

    async fn the_grace_runs_from_the_record_of_the_close(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.tick("2026-02-10T00:00:00Z").await;
        world.at("2026-02-12T23:59:59Z").await;
        assert_eq!(world.used_at(JANUARY, "10").await, "applied");
        assert_eq!(world.entries_after("u", 3).await, ["returned 10", "used 10"]);
        assert_eq!(world.last_memo().await, "unit × 10, catalog 1");
    }

    async fn a_tenant_without_grace_reopens_nothing(world) {
        world.settings(json!({"late_grace_hours": 0})).await;
        world.subscribe("u", "plain", ANCHOR).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.used_at(JANUARY, "10").await, "applied");
        assert_eq!(world.grants("u").await, ["plan 90"]);
    }

    async fn what_both_cannot_cover_goes_by_the_policy_of_the_meter(world) {
        world.subscribe("u", "plain", ANCHOR).await;
        world.tick(FEBRUARY).await;
        let before = world.account("u").await.seq;
        // 100 forfeited and 100 current are 200.
        assert_eq!(world.used_at(JANUARY, "201").await, "rejected: insufficient_credits");
        assert_eq!(world.account("u").await.seq, before, "nothing was reopened for it");
        assert_eq!(world.metered_at("image", JANUARY, "205").await, "applied");
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "5".into()));
        assert_eq!(world.entries_after("u", before).await, ["returned 100", "used 100", "used 100", "debt_incurred 5"]);
    }

    async fn the_order_is_that_of_the_grants_that_were_usable_then(world) {
        world.grant("u", "10", json!({"priority": 1})).await;
        world.grant("u", "20", json!({"priority": 2, "expires_at": FEBRUARY})).await;
        world.grant("u", "30", json!({"priority": 0, "effective_at": FEBRUARY})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.used_at(JANUARY, "35").await, "applied");
        // 10 and the expired 20 were usable on 15 January; the 30 that began later come last.
        assert_eq!(world.entries_after("u", 4).await, ["returned 20", "used 30", "used 5"]);
        assert_eq!(world.grants("u").await, ["promotional 25"]);
    }

    async fn out_of_scope_or_voided_nothing_is_reopened(world) {
        world.staff("ann", "approver").await;
        world.grant("u", "40", json!({"scope": ["image"], "expires_at": FEBRUARY})).await;
        world.grant("u", "50", json!({"grant": "gift", "expires_at": FEBRUARY})).await;
        world.grant("u", "60", json!({})).await;
        world.done("credits.void", "u", json!({"grant": "gift", "credits": "45", "reason": "error", "actor": "ann"})).await;
        world.tick(FEBRUARY).await;
        assert_eq!(world.used_at(JANUARY, "20").await, "applied");
        // Of the gift 5 expired; the 45 that staff took stay taken; images are something else.
        assert_eq!(world.entries_after("u", 6).await, ["returned 5", "used 20"]);
        assert_eq!(world.grants("u").await, ["promotional 45"]);
    }

    async fn what_a_refund_has_excused_does_not_come_back(world) {
        let price = |id: &str, kind: &str, object: Value| {
            json!({"id": id, "type": kind, "livemode": false, "created": 1_767_225_600, "data": {"object": object}})
        };
        let session = json!({"id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 1000, "currency": "usd",
            "payment_intent": "pi_1", "metadata": {"credit_account": "u", "credit_package": "month"}});
        assert_eq!(world.stripe(&price("evt_1", "checkout.session.completed", session)).await, "applied");
        world.tick(FEBRUARY).await;
        let refund = json!({"id": "re_1", "amount": 600, "currency": "usd", "status": "succeeded", "payment_intent": "pi_1", "created": 1_767_225_600});
        assert_eq!(world.stripe(&price("evt_2", "refund.created", refund)).await, "applied");
        // 60 of the 100 that expired count as taken: 40 can still be used late.
        assert_eq!(world.used_at(JANUARY, "41").await, "rejected: insufficient_credits");
        assert_eq!(world.used_at(JANUARY, "40").await, "applied");
        assert_eq!(world.entries("u").await, ["purchased 100", "expired 100", "returned 40", "used 40"]);
        let again = json!({"id": "re_2", "amount": 400, "currency": "usd", "status": "succeeded", "payment_intent": "pi_1", "created": 1_767_225_600});
        assert_eq!(world.stripe(&price("evt_3", "refund.created", again)).await, "applied");
        // 100 are to be taken, 60 were excused, 40 were used: debt.
        assert_eq!(world.debt("u").await, "40");
    }

    async fn what_was_used_late_is_late_for_a_trimmed_rollover_too(world) {
        world.settings(json!({"rollover_cap": "30"})).await;
        world.subscribe("u", "half", ANCHOR).await;
        assert_eq!(world.uses("u", "unit", "40").await, "applied");
        world.tick(FEBRUARY).await;
        // 60 left: 50 rolled over, of which the cap took 20.
        assert_eq!(world.grants("u").await, ["rollover 30", "plan 100"]);
        assert_eq!(world.used_at(JANUARY, "25").await, "applied");
        // 35 would have been left and 30 kept. 10 forfeited come back, and 15 of the rollover: 15 are kept, and the cap's 20 stay gone.
        assert_eq!(world.grants("u").await, ["rollover 15", "plan 100"]);
    }
}

/// The remaining credits of an account at an instant, by either clock.
async fn read(simulation: &mut Simulation, at: &str, basis: &str) -> Value {
    let line = json!({"read": {"tenant": TENANT, "account": "u", "at": at, "as": basis}});
    let line = Line::parse(&line.to_string()).unwrap().unwrap();
    let Step::Shown(_, view) = simulation.take(&line).await.unwrap() else { panic!("{line:?}") };
    serde_json::from_str::<Value>(&view.json(None)).unwrap()["account"].clone()
}

fn used(id: &str, at: &str, quantity: u32) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "app", "type": "usage.recorded", "tenant": TENANT, "subject": "u", "time": at,
        "data": {"meter": "unit", "quantity": quantity}})
}

/// A plan's account in memory, until a tick.
async fn simulated(rule: &Value, lines: &[Value]) -> Simulation {
    let catalog =
        json!({"currency": "USD", "plans": {"p": {"allowance": 100, "rollover": rule}}, "rates": [{"meter": "unit", "price": "1"}]});
    let start = json!({"specversion": "1.0", "id": "start", "source": "app", "type": "subscription.started", "tenant": TENANT, "subject": "u",
        "time": BEGIN, "data": {"subscription": "s", "plan": "p", "interval": "month", "anchor": ANCHOR}});
    let mut simulation = Simulation::new(PathBuf::new(), Secrets::default());
    for line in [json!({"tenant": TENANT, "catalog": catalog}), start].iter().chain(lines) {
        let line = Line::parse(&line.to_string()).unwrap().unwrap();
        simulation.take(&line).await.unwrap();
    }
    simulation
}

#[tokio::test]
async fn a_past_instant_is_told_as_it_was_recorded_and_as_it_is_known() {
    let heard_late = json!({"tick": "2026-02-02T00:00:00Z"});
    let lines = [used("a", JANUARY, 30), heard_late, used("b", "2026-01-20T00:00:00Z", 40)];
    let mut simulation = simulated(&json!({"max": "50"}), &lines).await;
    let balance = |account: Value| account["balance"].as_str().unwrap().to_owned();
    for (at, recorded, known) in [
        ("2026-01-19T00:00:00Z", "70", "70"),  // 100 − 30
        ("2026-01-21T00:00:00Z", "70", "30"),  // the 40 were used the day before
        ("2026-02-01T12:00:00Z", "70", "130"), // the close was recorded on 2 February; 30 rolled over, 100 came
        ("2026-02-02T00:00:00Z", "130", "130"),
    ] {
        assert_eq!(balance(read(&mut simulation, at, "recorded").await), recorded, "{at} as recorded");
        assert_eq!(balance(read(&mut simulation, at, "known").await), known, "{at} as known");
    }
}

#[tokio::test]
async fn what_current_credits_paid_for_late_is_told_of_them_only() {
    let lines = [used("a", JANUARY, 100), json!({"tick": "2026-02-02T00:00:00Z"}), used("b", "2026-01-20T00:00:00Z", 40)];
    let mut simulation = simulated(&json!({}), &lines).await;
    let january = read(&mut simulation, "2026-01-21T00:00:00Z", "known").await;
    assert_eq!((&january["balance"], &january["grants"]), (&json!("0"), &json!([])), "nothing was there to be used");
    assert_eq!(read(&mut simulation, "2026-02-01T00:00:00Z", "known").await["balance"], json!("60"), "February's 100 − 40");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Usage that comes within the grace leaves what it would have left in time, while nobody has used what it
    /// needs: rules, amounts and the number of closes in between are drawn.
    #[test]
    fn late_within_the_grace_is_as_in_time(
        (min, max) in (0_u32..60).prop_flat_map(|min| (Just(min), prop::option::of(min..=100))),
        (count, cycles) in (prop::option::of(0_u32..4), 1_u32..3),
        (first, late, more) in (0_u32..=100, 0_u32..=100, 0_u32..=100),
        months in 1_u32..5,
    ) {
        let mut rule = json!({"min": min, "cycles": cycles});
        if let Some(max) = max { rule["max"] = json!(max); }
        if let Some(count) = count { rule["count"] = json!(count); }
        let (first, late) = (first, late.min(100 - first));
        let more = more.min(100 - first - late);
        let end = format!("2026-{:02}-01T12:00:00Z", 1 + months);
        let (a, b, c) = (used("a", "2026-01-10T00:00:00Z", first), used("b", "2026-01-20T00:00:00Z", late), used("c", "2026-01-25T00:00:00Z", more));
        let tick = json!({"tick": end});
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ends = |lines: Vec<Value>| runtime.block_on(async {
            let mut simulation = simulated(&rule, &lines).await;
            let line = Line::parse(&json!({"read": {"tenant": TENANT, "account": "u"}}).to_string()).unwrap().unwrap();
            let Step::Shown(_, view) = simulation.take(&line).await.unwrap() else { panic!() };
            let account = serde_json::from_str::<Value>(&view.json(None)).unwrap()["account"].clone();
            let lots = account["grants"].as_array().unwrap().iter().map(|lot| (lot["source"].clone(), lot["remaining"].clone(), lot["ends_at"].clone()));
            (account["balance"].clone(), lots.collect::<Vec<_>>())
        });
        let in_time = ends(vec![a.clone(), b.clone(), c.clone(), tick.clone()]);
        prop_assert_eq!(&ends(vec![a.clone(), c.clone(), tick.clone(), b.clone()]), &in_time, "one late");
        prop_assert_eq!(&ends(vec![tick, c, a, b]), &in_time, "all late");
    }
}
