//! Accounts: opened, changed, frozen, closed; corrections by staff (semantics §1, §4).

use crate::world::{instant, scenarios};
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.starter]
credits = "500"
price = "20.00"
[packages.month]
credits = "50"
price = "10.00"
expires_after = "P1M"
[plans.basic]
allowance = "100"
[[rates]]
meter = "unit"
price = "1"
"#;

fn act() -> Value {
    json!({"reason": "because", "actor": "ann"})
}

fn adjust(credits: &str) -> Value {
    json!({"credits": credits, "reason": "correction", "actor": "bob"})
}

/// A payment for `u`, in cents.
fn paid(package: &str, amount: u32) -> Value {
    json!({"id": "evt_1", "type": "payment_intent.succeeded", "created": instant("2026-01-01T00:00:00Z").as_second(),
        "data": {"object": {"id": "pi_1", "amount_received": amount, "currency": "usd",
            "metadata": {"credit_account": "u", "credit_package": package}}}})
}

scenarios! { CATALOG;
    async fn an_account_is_opened_once(world) {
        world.open("u").await;
        assert_eq!(world.tell("account.opened", "u", json!({"kind": "user", "owner": "u"})).await, "duplicate");
    }

    async fn a_change_keeps_what_it_does_not_name(world) {
        world.done("account.opened", "u", json!({"kind": "user", "owner": "mia", "time_zone": "Europe/Berlin"})).await;
        world.done("account.changed", "u", json!({"owner": "leo"})).await;
        let changed = world.announced("u", "account.changed").await;
        assert_eq!((&changed[1]["owner"], &changed[1]["kind"], &changed[1]["time_zone"]), (&json!("leo"), &json!("user"), &json!("Europe/Berlin")));
    }

    async fn a_zone_must_exist(world) {
        for zone in ["Mars/Olympus", "Etc/Unknown", "etc/unknown"] {
            let martian = json!({"kind": "user", "owner": "u", "time_zone": zone});
            assert_eq!(world.tell("account.opened", "u", martian).await, "rejected: unknown_zone", "{zone}");
        }
    }

    async fn a_frozen_account_refuses_usage_and_spends(world) {
        world.grant("u", "100", json!({})).await;
        world.done("account.frozen", "u", act()).await;
        assert_eq!(world.uses("u", "unit", "1").await, "rejected: account_frozen");
        assert_eq!(world.uses("u", "unit", "101").await, "rejected: account_frozen insufficient_credits");
        let invoice = json!({"purpose": "invoice", "reference": "I-1", "credits": "1"});
        assert_eq!(world.tell("credits.spend", "u", invoice.clone()).await, "rejected: account_frozen");
        assert_eq!(world.tell("account.frozen", "u", act()).await, "duplicate");
        world.done("account.unfrozen", "u", act()).await;
        world.done("credits.spend", "u", invoice).await;
    }

    async fn money_in_and_cycles_go_on_while_frozen(world) {
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        world.done("account.frozen", "u", act()).await;
        world.grant("u", "50", json!({})).await;
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!(world.entries("u").await, ["allowance 100", "granted 50", "forfeited 100", "allowance 100"]);
    }

    async fn closing_stops_cycles_and_leaves_the_rest(world) {
        world.grant("u", "50", json!({})).await;
        world.subscribe("u", "basic", "2026-01-01T00:00:00").await;
        world.done("account.closed", "u", act()).await;
        // The plan's 100 are forfeited with its cycle, the other 50 stay as they are.
        assert_eq!(world.entries("u").await, ["granted 50", "allowance 100", "forfeited 100"]);
        assert_eq!((world.balance("u").await, world.frozen("u").await, world.available("u").await), ("50".into(), "0".into(), "50".into()));
        world.tick("2026-03-01T00:00:00Z").await;
        assert_eq!(world.account("u").await.seq, 3);
    }

    async fn a_closed_account_refuses_what_it_is_asked(world) {
        world.grant("u", "50", json!({})).await;
        world.done("account.closed", "u", act()).await;
        assert_eq!(world.tell("account.closed", "u", act()).await, "duplicate");
        assert_eq!(world.uses("u", "unit", "50").await, "rejected: account_closed", "the credits would do");
        assert_eq!(world.uses("u", "unit", "51").await, "rejected: account_closed insufficient_credits");
        for (kind, data) in [
            ("credits.grant", json!({"credits": "1", "reason": "gift", "actor": "ann"})),
            ("subscription.started", json!({"subscription": "s", "plan": "basic", "interval": "month", "anchor": "2026-01-01T00:00:00"})),
            ("credit_request.submitted", json!({"request": "r", "package": "starter", "method": "crypto", "requested_by": "mia"})),
            ("account.frozen", act()),
            ("account.changed", json!({"owner": "leo"})),
        ] {
            assert_eq!(world.tell(kind, "u", data).await, "rejected: account_closed", "{kind}");
        }
    }

    async fn a_closed_account_is_reset_and_refilled_no_more(world) {
        world.staff("bob", "admin").await;
        world.grant("u", "80", json!({"rollover": {"max": "50"}})).await;
        world.grant("u", "50", json!({"priority": 1, "recurs": {"interval": "P1D", "anchor": "2026-01-01T12:00:00"}})).await;
        world.done("account.closed", "u", act()).await;
        let reset = json!({"as_of": "2026-01-01T00:00:00Z", "manual": true});
        assert_eq!(world.tell("cycle.reset", "u", reset).await, "rejected: account_closed");
        // Staff pay out what is left.
        world.done("credits.adjust", "u", adjust("-60")).await;
        assert_eq!(world.balance("u").await, "70");
        world.tick("2026-03-01T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "70");
    }

    async fn a_payment_to_a_closed_account_is_credited_frozen(world) {
        world.open("u").await;
        world.done("account.closed", "u", act()).await;
        assert_eq!(world.stripe(&paid("starter", 2000)).await, "applied");
        assert_eq!((world.balance("u").await, world.frozen("u").await, world.available("u").await), ("500".into(), "500".into(), "0".into()));
    }

    async fn frozen_credits_that_end_are_unfrozen_together(world) {
        world.open("u").await;
        world.done("account.closed", "u", act()).await;
        assert_eq!(world.stripe(&paid("month", 1000)).await, "applied");
        assert_eq!((world.balance("u").await, world.frozen("u").await), ("50".into(), "50".into()));
        world.tick("2026-02-01T00:00:00Z").await;
        assert_eq!((world.balance("u").await, world.frozen("u").await), ("0".into(), "0".into()));
        assert_eq!(world.entries("u").await, ["purchased 50", "expired 50"]);
    }

    async fn only_what_comes_after_closing_is_frozen(world) {
        world.staff("bob", "admin").await;
        world.grant("u", "30", json!({})).await;
        world.grant("u", "20", json!({"effective_at": "2026-01-10T00:00:00Z"})).await;
        world.done("account.closed", "u", act()).await;
        assert_eq!(world.stripe(&paid("starter", 2000)).await, "applied");
        world.tick("2026-01-10T00:00:00Z").await;
        // 30 + 500 + 20; the 500 and the 20 arrived later.
        assert_eq!((world.balance("u").await, world.frozen("u").await, world.available("u").await), ("550".into(), "520".into(), "30".into()));
        assert_eq!(world.tell("account.unfrozen", "u", act()).await, "rejected: account_closed", "nothing opens it again");
        assert_eq!(world.uses("u", "unit", "30").await, "rejected: account_closed");
        // Staff may pay out what is free: 30, not 31.
        assert_eq!(world.tell("credits.adjust", "u", adjust("-31")).await, "rejected: insufficient_credits");
        world.done("credits.adjust", "u", adjust("-30")).await;
        assert_eq!((world.balance("u").await, world.frozen("u").await), ("520".into(), "520".into()));
    }

    async fn who_an_account_is_is_said_once(world) {
        let opened = |kind: &str, owner: &str| json!({"kind": kind, "owner": owner});
        world.done("account.opened", "u", opened("user", "mia")).await;
        for other in [opened("workspace", "mia"), opened("user", "leo"), json!({"kind": "user", "owner": "mia", "time_zone": "Europe/Berlin"})] {
            assert_eq!(world.tell("account.opened", "u", other.clone()).await, "quarantined: idempotency_conflict", "{other}");
        }
        assert_eq!(world.tell("account.opened", "u", opened("user", "mia")).await, "duplicate");
        // Changing it is a message of its own.
        world.done("account.changed", "u", opened("workspace", "leo")).await;
        assert_eq!(world.tell("account.opened", "u", opened("workspace", "leo")).await, "duplicate");
    }

    async fn an_account_that_credits_opened_is_told_who_it_is(world) {
        world.grant("u", "10", json!({})).await;
        world.done("account.opened", "u", json!({"kind": "user", "owner": "mia", "time_zone": "Europe/Berlin"})).await;
        world.grant("v", "10", json!({})).await;
        world.done("account.changed", "v", json!({"owner": "mia"})).await;
        let opened = |owner: &str| json!({"kind": "user", "owner": owner});
        assert_eq!(world.tell("account.opened", "v", opened("leo")).await, "quarantined: idempotency_conflict");
        world.done("account.opened", "v", opened("mia")).await;
    }

    async fn what_an_account_says_about_itself_is_kept_and_announced(world) {
        let opened = json!({
            "kind": "workspace", "owner": "ana", "time_zone": "Europe/Berlin", "invoicing": true,
            "metadata": {"crm": "A-17", "tier": "gold"},
            "alerts": [{"level": "100", "margin": "20"}, {"percent": "12.5"}],
            "auto_topup": {"package": "starter", "threshold": "50", "target": "400.50", "max": "1000", "window": "P1M"},
        });
        world.done("account.opened", "u", opened.clone()).await;
        assert_eq!(world.tell("account.opened", "u", opened.clone()).await, "duplicate", "it says nothing new");
        let mut whole = opened;
        whole["status"] = json!("open");
        whole["auto_topup"]["target"] = json!("400.5");
        assert_eq!(world.announced("u", "account.changed").await, [whole.clone()]);
        // Other messages leave it alone.
        world.grant("u", "10", json!({})).await;
        world.done("account.changed", "u", json!({"owner": "leo"})).await;
        whole["owner"] = json!("leo");
        assert_eq!(world.announced("u", "account.changed").await[1], whole, "absent keys stay");
        world.done("account.changed", "u", json!({"metadata": {"crm": "B-1"}, "alerts": [], "auto_topup": null, "invoicing": false})).await;
        for (key, value) in [("metadata", json!({"crm": "B-1"})), ("alerts", json!([])), ("auto_topup", json!(null)), ("invoicing", json!(false))] {
            whole[key] = value;
        }
        assert_eq!(world.announced("u", "account.changed").await[2], whole, "what is there replaces the whole");
        world.done("account.changed", "u", json!({"metadata": {}})).await;
        assert!(world.account("u").await.profile.metadata.is_empty());
    }

    async fn a_topup_buys_a_package_up_to_its_threshold_at_least(world) {
        world.open("u").await;
        for (topup, outcome) in [
            (json!({"package": "gone", "threshold": "50"}), "rejected: unknown_package"),
            (json!({"package": "starter", "threshold": "50", "target": "49"}), "rejected: invalid_amount"),
            (json!({"package": "gone", "threshold": "50", "target": "49"}), "rejected: invalid_amount unknown_package"),
            (json!({"package": "starter", "threshold": "50", "target": "50"}), "applied"),
        ] {
            assert_eq!(world.tell("account.changed", "u", json!({"auto_topup": topup})).await, outcome);
        }
        assert_eq!(world.heard("u", "message.rejected", "type").await, ["account.changed"; 3]);
    }

    async fn only_staff_adjust(world) {
        world.open("u").await;
        assert_eq!(world.tell("credits.adjust", "u", adjust("10")).await, "rejected: not_permitted");
        world.staff("bob", "viewer").await;
        assert_eq!(world.tell("credits.adjust", "u", adjust("10")).await, "rejected: not_permitted");
        for role in ["approver", "admin"] {
            world.staff("bob", role).await;
            world.done("credits.adjust", "u", adjust("10")).await;
        }
        assert_eq!(world.grants("u").await, ["adjustment 10", "adjustment 10"]);
    }

    async fn an_adjustment_below_zero_burns(world) {
        world.staff("bob", "admin").await;
        world.grant("u", "100", json!({})).await;
        world.done("credits.adjust", "u", adjust("-30")).await;
        assert_eq!(world.entries("u").await, ["granted 100", "adjusted 30"]);
        assert_eq!(world.tell("credits.adjust", "u", adjust("-71")).await, "rejected: insufficient_credits");
        assert_eq!(world.balance("u").await, "70");
    }

    async fn an_adjustment_may_leave_debt_when_it_says_so(world) {
        world.staff("bob", "admin").await;
        world.grant("u", "100", json!({})).await;
        let mut beyond = adjust("-130");
        beyond["allow_debt"] = json!(true);
        world.done("credits.adjust", "u", beyond).await;
        // 130 − 100 = 30 owed
        assert_eq!((world.balance("u").await, world.debt("u").await), ("0".into(), "30".into()));
        world.done("credits.adjust", "u", adjust("50")).await;
        assert_eq!((world.balance("u").await, world.debt("u").await), ("20".into(), "0".into()));
    }

    async fn an_adjustment_moves_something(world) {
        world.staff("bob", "admin").await;
        assert_eq!(world.tell("credits.adjust", "u", adjust("0")).await, "waiting", "nothing opens an account for it");
        world.open("u").await;
        assert_eq!(world.tell("credits.adjust", "u", adjust("0")).await, "rejected: invalid_amount");
    }

    async fn grants_are_above_zero(world) {
        for credits in ["0", "-1"] {
            let grant = json!({"credits": credits, "reason": "gift", "actor": "ann"});
            assert_eq!(world.tell("credits.grant", "u", grant).await, "rejected: invalid_amount", "{credits}");
        }
    }

    async fn amounts_have_six_places_and_eighteen_digits(world) {
        for (credits, outcome) in [
            ("0.000001", "applied"),
            ("0.0000001", "quarantined: malformed"),
            ("1e3", "quarantined: malformed"),
            ("NaN", "quarantined: malformed"),
            ("1000000000000000000", "quarantined: malformed"),
            ("999999999999999999", "applied"),
            ("1", "rejected: invalid_amount"), // the balance would have 19 digits
        ] {
            let grant = json!({"credits": credits, "reason": "gift", "actor": "ann"});
            assert_eq!(world.tell("credits.grant", "u", grant).await, outcome, "{credits}");
        }
        let grant = json!({"credits": 1.5, "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", grant).await, "quarantined: malformed", "no fractions in JSON numbers");
    }

    async fn what_is_promised_has_eighteen_digits_too(world) {
        let later = |credits: &str| json!({"credits": credits, "effective_at": "2026-01-10T00:00:00Z", "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", later("600000000000000000")).await, "applied");
        assert_eq!(world.tell("credits.grant", "u", later("400000000000000000")).await, "rejected: invalid_amount", "6 + 4 = 10 of 9.99");
        let now = json!({"credits": "399999999999999999", "recurs": {"interval": "P1D", "anchor": "2026-01-01T00:00:00"}, "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", now).await, "applied");
        assert_eq!(world.uses("u", "unit", "99999999999999999").await, "applied");
        let now = json!({"credits": "1", "reason": "gift", "actor": "ann"});
        assert_eq!(world.tell("credits.grant", "u", now).await, "rejected: invalid_amount", "what was burned refills");
        world.tick("2026-01-11T00:00:00Z").await;
        assert_eq!(world.balance("u").await, "999999999999999999");
    }

    async fn every_change_is_announced_with_its_entries(world) {
        world.grant("u", "100", json!({})).await;
        assert_eq!(world.uses("u", "unit", "40").await, "applied");
        let changed = world.announced("u", "balance.changed").await;
        assert_eq!((&changed[0]["balance"], &changed[0]["from_seq"], &changed[0]["to_seq"]), (&json!("100"), &json!(1), &json!(1)));
        assert_eq!((&changed[1]["balance"], &changed[1]["from_seq"], &changed[1]["to_seq"]), (&json!("60"), &json!(2), &json!(2)));
        assert_eq!(changed[1]["entries"][0]["kind"], "used");
    }
}
