//! Every refusal names its line and what to do.

use super::refusals;
use crate::catalog::parse;

#[test]
fn the_file_itself() {
    for (text, errors) in [
        ("", &["1: currency is missing; add it"][..]),
        ("currency = \"usd\"", &["1: currency is \"usd\"; it must be an ISO 4217 code of three upper-case letters, such as \"USD\""]),
        ("\ncurrency = \"EURO\"", &["2: currency is \"EURO\"; it must be an ISO 4217 code of three upper-case letters, such as \"USD\""]),
        ("currency = 840", &["1: currency is an integer; it must be a string"]),
        ("currency = \"USD\"\ntest_clock = \"yes\"", &["2: test_clock is a string; it must be true or false"]),
        ("test_clock = 1", &["1: currency is missing; add it", "1: test_clock is an integer; it must be true or false"]),
        ("currency = \"USD\"\ncurrency = \"EUR\"", &["2: this is not TOML: duplicate key"]),
        (
            "currency = \"USD\"\n\n[packages.a\n\n[plans",
            &["3: this is not TOML: unclosed table, expected `]`", "5: this is not TOML: unclosed table, expected `]`"],
        ),
    ] {
        let found = parse("a.toml", text).expect_err(text).to_string();
        assert_eq!(found.lines().collect::<Vec<_>>(), errors.iter().map(|error| format!("a.toml:{error}")).collect::<Vec<_>>(), "{text}");
    }
}

/// Each line of the table: what follows the currency in line 1, and the one error it gives.
fn refused(table: &[(&str, &str)]) {
    for (text, error) in table {
        assert_eq!(refusals(text), [*error], "{text}");
    }
}

#[test]
fn misspelt_keys() {
    refused(&[
        ("curency = \"USD\"", "2: curency is not a key of a catalog; did you mean currency?"),
        ("[package.a]", "2: package is not a key of a catalog; did you mean packages?"),
        (
            "[packages.a]\ncredits = 1\nprice = 1\nrefundabel = false",
            "5: packages.a.refundabel is not a key of a catalog; did you mean refundable?",
        ),
        (
            "[packages.a]\ncredits = 1\nprice = 1\ncolour = 1",
            "5: packages.a.colour is not a key of a catalog; remove it, or use one of: credits, bonus, price, expires_after, refundable, checkout_url",
        ),
        ("[plans.a]\nallowance = 1\ninterwal = \"month\"", "4: plans.a.interwal is not a key of a catalog; did you mean interval?"),
        ("[plans.a]\nallowance = 1\nrollover = { mx = 1 }", "4: plans.a.rollover.mx is not a key of a catalog; did you mean max?"),
        ("[addons.a]\ncredits_per_unit = 1\nunit_price = 1\nplan = []", "5: addons.a.plan is not a key of a catalog; did you mean plans?"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nminimun = 1", "5: rates[1].minimun is not a key of a catalog; did you mean minimum?"),
        ("[services.a]\neligable = true", "3: services.a.eligable is not a key of a catalog; did you mean eligible?"),
        ("[policies]\nfour_eye = true", "3: policies.four_eye is not a key of a catalog; did you mean four_eyes?"),
        ("[policies]\npriorities = { purchase = 1 }", "3: policies.priorities.purchase is not a key of a catalog; did you mean purchased?"),
        ("[stripe.price]", "2: stripe.price is not a key of a catalog; did you mean prices?"),
        ("[paypal.prices]", "2: paypal.prices is not a key of a catalog; remove it, or use one of: plans"),
        (
            "[packages.\"a b\"]\ncredits = 1\nprice = 1",
            "2: packages.a b is not a good name; an id has 1 to 64 characters out of A-Z a-z 0-9 _ -",
        ),
        ("packages = 1", "2: packages is an integer; it must be a table"),
        ("packages.a = 1", "2: packages.a is an integer; it must be a table"),
        ("[rates]\nmeter = \"m\"", "2: rates is a table; it must be a list"),
        ("rates = [1]", "2: rates[1] is an integer; it must be a table"),
    ]);
}

#[test]
fn amounts() {
    for (value, error) in [
        ("20.5", "is a number with a fraction or exponent; it must be a string such as \"12.50\", or an integer"),
        ("1e3", "is a number with a fraction or exponent; it must be a string such as \"12.50\", or an integer"),
        ("inf", "is a number with a fraction or exponent; it must be a string such as \"12.50\", or an integer"),
        ("true", "is true or false; it must be a string such as \"12.50\", or an integer"),
        ("2026-01-01", "is a date or time; it must be a string such as \"12.50\", or an integer"),
        ("\"1e3\"", "is \"1e3\"; an amount is written -?digits, optionally with a point and 1 to 6 digits"),
        ("\"0.0000001\"", "is \"0.0000001\"; an amount has at most 6 decimal places"),
        ("1000000000000000000", "is \"1000000000000000000\"; an amount has at most 18 digits before the point"),
        ("99999999999999999999999999999999999999999", "is an integer without bounds; it must be a string such as \"12.50\", or an integer"),
        ("-5", "is -5; it must be above 0"),
        ("0", "is 0; it must be above 0"),
        ("\"0.00\"", "is 0.00; it must be above 0"),
    ] {
        let text = format!("[packages.a]\ncredits = 1_000\nprice = {value}");
        assert_eq!(refusals(&text), [format!("4: packages.a.price {error}")]);
    }
}

#[test]
fn packages() {
    refused(&[
        ("\n[packages.a]\nprice = 1", "3: packages.a.credits is missing; add it"),
        ("[packages.a]\ncredits = 1", "2: packages.a.price is missing; add it"),
        ("packages.a.credits = 1", "2: packages.a.price is missing; add it"),
        ("[packages.a]\nprice = 1\ncredits = 0", "4: packages.a.credits is 0; it must be above 0"),
        ("[packages.a]\ncredits = 1\nprice = 1\nbonus = \"-1\"", "5: packages.a.bonus is -1; it must be 0 or more"),
        (
            "[packages.a]\ncredits = 1\nprice = 1\nexpires_after = \"1 month\"",
            "5: packages.a.expires_after is \"1 month\"; it must be an ISO 8601 duration above zero, such as \"P1M\" or \"P90D\"",
        ),
        (
            "[packages.a]\ncredits = 1\nprice = 1\nexpires_after = \"-P1M\"",
            "5: packages.a.expires_after is \"-P1M\"; it must be an ISO 8601 duration above zero, such as \"P1M\" or \"P90D\"",
        ),
        ("[packages.a]\ncredits = 1\nprice = 1\nexpires_after = 30", "5: packages.a.expires_after is an integer; it must be a string"),
        ("[packages.a]\ncredits = 1\nprice = 1\nrefundable = \"no\"", "5: packages.a.refundable is a string; it must be true or false"),
        (
            "[packages.a]\ncredits = 1\nprice = 1\ncheckout_url = \"javascript:alert(1)\"",
            "5: packages.a.checkout_url is \"javascript:alert(1)\"; it must begin with https:// or http:// and hold no spaces",
        ),
    ]);
}

#[test]
fn plans() {
    refused(&[
        ("[plans.a]", "2: plans.a.allowance is missing; add it"),
        ("[plans.a]\nallowance = -1", "3: plans.a.allowance is -1; it must be 0 or more"),
        ("[plans.a]\nallowance = 1\ninterval = \"week\"", "4: plans.a.interval is \"week\"; it must be \"month\" or \"year\""),
        (
            "[plans.a]\nallowance = 1\ninterval = \"month\"\nallowance_every = \"year\"",
            "5: plans.a.allowance_every is longer than the interval; set interval = \"year\", or allowance_every = \"month\"",
        ),
        (
            "[plans.a]\nallowance = 1\nallowance_every = \"P1Y\"",
            "4: plans.a.allowance_every is longer than the interval; set interval = \"year\", or allowance_every = \"month\"",
        ),
        ("[plans.a]\nallowance = 1\ngrant_on = \"invoice\"", "4: plans.a.grant_on is \"invoice\"; it must be \"cycle\" or \"payment\""),
        ("[plans.a]\nallowance = 1\nprorate = 1", "4: plans.a.prorate is an integer; it must be true or false"),
        ("[plans.a]\nallowance = 1\nscope = \"image\"", "4: plans.a.scope is a string; it must be a list"),
        ("[plans.a]\nallowance = 1\nscope = [\n\"image\",\n1]", "6: plans.a.scope holds an integer; it must be a list of strings"),
        (
            "[plans.a]\nallowance = 1\nscope = [\n\"an image\"]",
            "5: plans.a.scope holds \"an image\"; an id has 1 to 64 characters out of A-Z a-z 0-9 _ -",
        ),
        ("[plans.a]\nallowance = 1\nrollover = 200", "4: plans.a.rollover is an integer; it must be a table"),
        ("[plans.a]\nallowance = 1\nrollover = { min = 3, max = 2 }", "4: plans.a.rollover.min is 3, above max 2; lower min or raise max"),
        (
            "[plans.a]\nallowance = 10\nrollover = { min = 3, max_percent = 20 }",
            "4: plans.a.rollover.min is 3, above the 2 that max_percent allows; lower min or raise max_percent",
        ),
        ("[plans.a]\nallowance = 1\nrollover = { min = -1 }", "4: plans.a.rollover.min is -1; it must be 0 or more"),
        ("[plans.a]\nallowance = 1\nrollover = { max = -1 }", "4: plans.a.rollover.max is -1; it must be 0 or more"),
        (
            "[plans.a]\nallowance = 1\nrollover = { max_percent = \"100.5\" }",
            "4: plans.a.rollover.max_percent is 100.5; it must be at most 100, the whole allowance",
        ),
        (
            "[plans.a]\nallowance = 1\n[plans.a.rollover]\ncycles = 0",
            "5: plans.a.rollover.cycles is 0; it must be an integer from 1 to 4294967295",
        ),
        (
            "[plans.a]\nallowance = 1\nrollover = { count = \"1\" }",
            "4: plans.a.rollover.count is a string; it must be an integer from 0 to 4294967295",
        ),
    ]);
}

#[test]
fn addons_and_services() {
    refused(&[
        ("[addons.a]\nunit_price = 1", "2: addons.a.credits_per_unit is missing; add it"),
        ("[addons.a]\ncredits_per_unit = 1", "2: addons.a.unit_price is missing; add it"),
        ("[addons.a]\ncredits_per_unit = 0\nunit_price = 1", "3: addons.a.credits_per_unit is 0; it must be above 0"),
        ("[addons.a]\ncredits_per_unit = 1\nunit_price = -1", "4: addons.a.unit_price is -1; it must be 0 or more"),
        (
            "[addons.a]\ncredits_per_unit = 1\nunit_price = 1\nscope = \"team\"",
            "5: addons.a.scope is \"team\"; it must be \"user\" or \"workspace\"",
        ),
        (
            "[addons.a]\ncredits_per_unit = 1\nunit_price = 1\nplans = [\"b\"]\n[plans.c]\nallowance = 1",
            "5: addons.a.plans names b, which is no plan of this catalog; add [plans.b] or take it out",
        ),
        ("[services.a]\neligible = \"no\"", "3: services.a.eligible is a string; it must be true or false"),
        ("[services.a]\neligible = true\ncredits = 0", "4: services.a.credits is 0; it must be above 0"),
    ]);
}

#[test]
fn rates() {
    refused(&[
        ("[[rates]]\nprice = 1", "2: rates[1].meter is missing; add it"),
        ("[[rates]]\nmeter = \"m\"", "2: rates[1].price is missing; add it"),
        ("[[rates]]\nmeter = \"a m\"\nprice = 1", "3: rates[1].meter is \"a m\"; an id has 1 to 64 characters out of A-Z a-z 0-9 _ -"),
        ("[[rates]]\nmeter = \"m\"\nprice = -1", "4: rates[1].price is -1; it must be 0 or more"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nper = 0", "5: rates[1].per is 0; it must be above 0"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nper = \"-1\"", "5: rates[1].per is -1; it must be above 0"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nminimum = -1", "5: rates[1].minimum is -1; it must be 0 or more"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nscale = 7", "5: rates[1].scale is 7; it must be an integer from 0 to 6"),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\nscale = -1", "5: rates[1].scale is -1; it must be an integer from 0 to 6"),
        (
            "[[rates]]\nmeter = \"m\"\nprice = 1\ninsufficient = \"never\"",
            "5: rates[1].insufficient is \"never\"; it must be \"reject\" or \"partial\" or \"allow_to\" or \"allow\"",
        ),
        ("[[rates]]\nmeter = \"m\"\nprice = 1\ndimensions = []", "5: rates[1].dimensions is a list; it must be a table of strings"),
        (
            "[[rates]]\nmeter = \"m\"\nprice = 1\n[rates.dimensions]\nsize = 4",
            "6: rates[1].dimensions.size is an integer; it must be a string, as usage has it",
        ),
    ]);
}

#[test]
fn ambiguous_rates_name_both_lines() {
    let text = r#"
[[rates]]
meter = "m"
price = 1
dimensions = { size = "l" }

[[rates]]
meter = "m"
price = 1
dimensions = { model = "p" }

[[rates]]
meter = "m"
price = 2
dimensions = { size = "l" }

[[rates]]
meter = "m"
price = 2
dimensions = { size = "l", model = "p" }
"#;
    let advice =
        "can both match one event of meter m and neither is more specific; give them different values of one dimension, or remove one";
    let expected = [(8, 2, 1, 3), (13, 3, 1, 3), (13, 3, 2, 8)]
        .map(|(line, later, earlier, at)| format!("{line}: rates[{later}] and rates[{earlier}] of line {at} {advice}"));
    assert_eq!(refusals(text), expected);
}

#[test]
fn policies() {
    refused(&[
        ("[policies]\ncredit_payments = 1", "3: policies.credit_payments is an integer; it must be true or false"),
        (
            "[policies]\ninsufficient = \"never\"",
            "3: policies.insufficient is \"never\"; it must be \"reject\" or \"partial\" or \"allow_to\" or \"allow\"",
        ),
        ("[policies]\nfour_eyes = \"on\"", "3: policies.four_eyes is a string; it must be true or false"),
        ("[policies]\nprice_check = \"loose\"", "3: policies.price_check is \"loose\"; it must be \"exact\" or \"at_least\" or \"review\""),
        (
            "[policies]\nshortfall = \"forgive\"",
            "3: policies.shortfall is \"forgive\"; it must be \"debt\" or \"write_off\" or \"take_other_paid\"",
        ),
        ("[policies]\nburn_order = \"end\"", "3: policies.burn_order is a string; it must be a list"),
        (
            "[policies]\nburn_order = [\n\"age\"]",
            "4: policies.burn_order holds \"age\"; it may hold \"priority\" or \"end\" or \"promotional_first\" or \"cost_basis\" or \"effective_at\"",
        ),
        ("[policies]\nburn_order = [\"end\",\n\"end\"]", "4: policies.burn_order holds \"end\" twice; take one out"),
        ("[policies.priorities]\nplan = -1", "3: policies.priorities.plan is -1; it must be an integer from 0 to 2147483647"),
        ("[policies]\nlate_grace_hours = 87601", "3: policies.late_grace_hours is 87601; it must be an integer from 0 to 87600"),
        ("[policies]\ndebt_max = -1", "3: policies.debt_max is -1; it must be 0 or more"),
        ("[policies]\nrollover_cap = -1", "3: policies.rollover_cap is -1; it must be 0 or more"),
        ("[policies]\nopen_accounts = true", "3: policies.open_accounts is true or false; it must be a string"),
        ("[policies]\nopen_accounts = \"manual\"", "3: policies.open_accounts is \"manual\"; it must be \"automatic\" or \"explicit\""),
        (
            "[policies]\ninvoicing_threshold = 1000.00",
            "3: policies.invoicing_threshold is a number with a fraction or exponent; it must be a string such as \"12.50\", or an integer",
        ),
        ("[policies]\nlivemode = \"test\"", "3: policies.livemode is a string; it must be true or false"),
    ]);
}

#[test]
fn price_targets() {
    let good = "[plans.a]\nallowance = 1\n";
    for (text, error) in [
        (
            "[stripe.prices]\np1 = \"plans.b\"",
            "5: stripe.prices.p1 is \"plans.b\"; it must be \"plans.<key>\" or \"addons.<key>\" of this catalog",
        ),
        (
            "[stripe.prices]\np1 = \"addons.a\"",
            "5: stripe.prices.p1 is \"addons.a\"; it must be \"plans.<key>\" or \"addons.<key>\" of this catalog",
        ),
        ("[paypal.plans]\np1 = \"a\"", "5: paypal.plans.p1 is \"a\"; it must be \"plans.<key>\" or \"addons.<key>\" of this catalog"),
        ("[paypal.plans]\np1 = 1", "5: paypal.plans.p1 is an integer; it must be a string"),
        (
            "[stripe.prices]\n\"\" = \"plans.a\"",
            "5: stripe.prices. is not a price id; a source, message id or reference has 1 to 128 printable characters",
        ),
    ] {
        assert_eq!(refusals(&format!("{good}{text}")), [error]);
    }
}

#[test]
fn all_errors_of_a_file_come_at_once_in_the_order_of_lines() {
    let text = "[services.z]\ncredits = -1\n[packages.b]\ncredits = 1.5\n[addons.a]\nplans = [\"x\"]\n[plans.p]\nalowance = 1";
    let lines: Vec<_> = refusals(text).iter().map(|line| line.split("; ").next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        [
            "3: services.z.credits is -1",
            "4: packages.b.price is missing",
            "5: packages.b.credits is a number with a fraction or exponent",
            "6: addons.a.credits_per_unit is missing",
            "6: addons.a.unit_price is missing",
            "7: addons.a.plans names x, which is no plan of this catalog",
            "8: plans.p.allowance is missing",
            "9: plans.p.alowance is not a key of a catalog",
        ]
    );
    let errors = parse("a.toml", text).unwrap_err();
    let first = errors.iter().next().unwrap();
    assert_eq!((first.file.as_str(), first.line), ("a.toml", Some(1)));
}
