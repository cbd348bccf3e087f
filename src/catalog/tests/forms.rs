//! A catalog as JSON, and what a new version changes.

use super::read_good;
use crate::catalog::{changes, parse, parse_json};

#[test]
fn json_means_the_same_as_toml() {
    let toml = r#"
        currency = "USD"
        test_clock = true
        packages.a = { credits = "500", price = 20, expires_after = "P1M" }
        plans.t = { allowance = 1000, rollover = { max = "200", cycles = 1 } }
        rates = [{ meter = "m", price = "2", dimensions = { size = "l" } }]
        stripe.prices.p1 = "plans.t"
        policies.burn_order = ["end"]
    "#;
    let json = serde_json::json!({
        "currency": "USD",
        "test_clock": true,
        "packages": {"a": {"credits": "500", "price": 20, "expires_after": "P1M"}},
        "plans": {"t": {"allowance": 1000, "rollover": {"max": "200", "cycles": 1}}},
        "rates": [{"meter": "m", "price": "2", "dimensions": {"size": "l"}}],
        "stripe": {"prices": {"p1": "plans.t"}},
        "policies": {"burn_order": ["end"]},
    });
    assert_eq!(parse_json(&json), parse("a.toml", toml));
}

#[test]
fn json_is_refused_by_the_same_rules_without_lines() {
    for (json, errors) in [
        (r#""x""#, &["catalog: the catalog is a string; it must be a table"][..]),
        (
            r#"{"currency": "USD", "packages": {"a": {"credits": 1.0, "price": null}}}"#,
            &[
                "catalog: packages.a.credits is a number with a fraction or exponent; it must be a string such as \"12.50\", or an integer",
                "catalog: packages.a.price is null; it must be a string such as \"12.50\", or an integer",
            ],
        ),
        (r#"{"currency": "USD", "plan": {}}"#, &["catalog: plan is not a key of a catalog; did you mean plans?"]),
        (
            r#"{"currency": "USD", "rates": [{"meter": "m", "price": 1}, {"meter": "m", "price": 2}]}"#,
            &[
                "catalog: rates[2] and rates[1] can both match one event of meter m and neither is more specific; give them different values of one dimension, or remove one",
            ],
        ),
    ] {
        let found = parse_json(&serde_json::from_str(json).unwrap()).expect_err(json).to_string();
        assert_eq!(found.lines().collect::<Vec<_>>(), errors, "{json}");
    }
}

#[test]
fn changes_are_told_with_old_and_new_values() {
    let old = read_good(
        r#"
        currency = "USD"
        packages.gone = { credits = 10, price = 1 }
        packages.kept = { credits = 10, price = 1 }
        packages.starter = { credits = 500, price = "20.00", expires_after = "P1Y" }
        plans.team = { allowance = 1000, rollover = { max = 200 } }
        addons.more = { credits_per_unit = 60, unit_price = 10, scope = "user" }
        rates = [{ meter = "image", price = 2 }, { meter = "image", price = 5, dimensions = { quality = "high" } }]
        services.logo = { credits = 150 }
        stripe.prices.p1 = "plans.team"
        "#,
    )
    .catalog;
    let new = read_good(
        r#"
        currency = "EUR"
        packages.kept = { credits = 10, price = 1 }
        packages.starter = { credits = 500, price = "25.50", bonus = 10 }
        plans.team = { allowance = 1000, rollover = { max = 300, cycles = 2 }, scope = ["image", "logo"] }
        addons.more = { credits_per_unit = 60, unit_price = 12, scope = "workspace", plans = ["team"] }
        rates = [{ meter = "image", price = 5, dimensions = { quality = "high" }, insufficient = "allow" }, { meter = "video", price = 3, scale = 2, dimensions = { model = "a b" } }]
        services.logo = { eligible = false }
        stripe.prices.p1 = "addons.more"
        paypal.plans.P-1 = "plans.team"
        "#,
    )
    .catalog;
    assert_eq!(
        changes(Some(&old), &new),
        [
            "changed currency: code USD -> EUR",
            "removed package gone: bonus 0, credits 10, price 1, refundable true",
            "changed package starter: bonus 0 -> 10, expires_after P1Y -> none, price 20 -> 25.5",
            "changed plan team: rollover (max 200, min 0) -> (cycles 2, max 300, min 0), scope none -> image+logo",
            "changed addon more: plans none -> team, scope user -> workspace, unit_price 10 -> 12",
            "removed rate image: minimum 0, per 1, price 2, scale 6",
            "changed rate image quality=high: insufficient none -> allow",
            "added rate video model=\"a b\": minimum 0, per 1, price 3, scale 2",
            "changed service logo: credits 150 -> none, eligible true -> false",
            "changed stripe price p1: addon none -> more, plan team -> none",
            "added paypal plan P-1: plan team",
        ]
    );
    assert_eq!(changes(Some(&new), &new), Vec::<String>::new());
    assert_eq!(changes(None, &new).len(), 10);
    assert!(changes(None, &new).iter().all(|line| line.starts_with("added ")));
}
