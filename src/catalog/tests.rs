//! Every key is read, and every refusal names its line.

use super::*;
use crate::domain::account::AccountKind;
use crate::domain::burn_down::BurnKey;
use crate::domain::calendar::{CalendarSpan, Interval};
use crate::domain::catalog::{Addon, GrantOn, Package, Plan, Service};
use crate::domain::credits::Credits;
use crate::domain::grant::RolloverRule;
use crate::domain::settings::{Insufficient, OpenAccounts, PriceCheck, Priorities, SettingChange, Settings, Shortfall};

const EXAMPLE: &str = include_str!("../../config/catalog.example.toml");
const AGENCY: &str = include_str!("../../config/demo/agency.toml");
const STUDIO: &str = include_str!("../../config/demo/studio.toml");

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn read_good(text: &str) -> CatalogFile {
    parse("a.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of a file whose first line is the currency, without the name of the file.
fn refusals(text: &str) -> Vec<String> {
    let errors = parse("a.toml", &format!("currency = \"USD\"\n{text}")).expect_err(text);
    errors.to_string().lines().map(|line| line.strip_prefix("a.toml:").unwrap().to_owned()).collect()
}

fn rate<'a>(catalog: &'a Catalog, meter: &str, dimensions: &[(&str, &str)]) -> &'a crate::domain::rate_card::Rate {
    let dimensions = dimensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    catalog.rates.rate(&id(meter), &dimensions).unwrap()
}

#[test]
fn the_example_says_what_its_comments_say() {
    let CatalogFile { test_clock, catalog, policies } = read_good(EXAMPLE);
    assert!(!test_clock);
    assert_eq!((catalog.version, catalog.effective_at, catalog.currency.as_str()), (0, None, "USD"));
    let starter = Package {
        credits: credits("500"),
        bonus: credits("50"),
        price: credits("20"),
        expires_after: CalendarSpan::parse("P1Y"),
        refundable: true,
        checkout_url: Some("https://example.com/buy/starter".into()),
    };
    assert_eq!(catalog.packages, BTreeMap::from([(id("starter"), starter)]));
    let rollover =
        RolloverRule { min: Credits::ZERO, max: Some(credits("200")), max_percent: Some(credits("50")), count: Some(1), cycles: Some(1) };
    let team = Plan {
        allowance: credits("1000"),
        interval: Some(Interval::Year),
        allowance_every: Some(Interval::Month),
        grant_on: GrantOn::Cycle,
        rollover: Some(rollover),
        prorate: false,
        scope: vec![id("image"), id("logo")],
    };
    let personal =
        Plan { allowance: credits("300"), interval: None, allowance_every: None, rollover: None, scope: Vec::new(), ..team.clone() };
    assert_eq!(catalog.plans, BTreeMap::from([(id("team"), team), (id("personal"), personal)]));
    let generative =
        Addon { credits_per_unit: credits("200"), unit_price: credits("30"), scope: Some(AccountKind::Workspace), plans: vec![id("team")] };
    assert_eq!(catalog.addons, BTreeMap::from([(id("generative"), generative)]));
    let plain = rate(&catalog, "image", &[]);
    assert_eq!((plain.price, plain.per, plain.minimum), (credits("2"), credits("1"), Credits::ZERO));
    assert_eq!((plain.scale, plain.insufficient), (6, None));
    let high = rate(&catalog, "image", &[("quality", "high")]);
    assert_eq!((high.price, high.insufficient), (credits("5"), Some(Insufficient::Allow)));
    let logo = Service { eligible: true, credits: Some(credits("150")) };
    let consulting = Service { eligible: false, credits: None };
    assert_eq!(catalog.services, BTreeMap::from([(id("logo"), logo), (id("consulting"), consulting)]));
    let target = |prices: &BTreeMap<Printable, PriceTarget>, key: &str| prices.get(key).cloned();
    assert_eq!(target(&catalog.stripe_prices, "price_123"), Some(PriceTarget::Plan(id("team"))));
    assert_eq!(target(&catalog.stripe_prices, "price_456"), Some(PriceTarget::Addon(id("generative"))));
    assert_eq!(target(&catalog.paypal_plans, "P-5ML4271244454362WXNWU5NQ"), Some(PriceTarget::Plan(id("personal"))));
    let defaults =
        Settings { debt_max: Some(credits("100")), rollover_cap: Some(credits("5000")), livemode: Some(false), ..Settings::default() };
    assert_eq!(policies.applied_to(&Settings::default()), defaults);
    assert_eq!(policies.0.len(), 13);
}

#[test]
fn the_example_shows_every_key() {
    // The lists of keys are what the reader refuses everything else by: ask it for them.
    for (path, text) in [
        ("", "x = 1"),
        ("packages.starter", "[packages.starter]\nx = 1"),
        ("plans.team", "[plans.team]\nx = 1"),
        ("rollover", "[plans.team]\nallowance = 1\nrollover = { x = 1 }"),
        ("addons.generative", "[addons.generative]\nx = 1"),
        ("rates", "[[rates]]\nx = 1"),
        ("services.logo", "[services.logo]\nx = 1"),
        ("policies", "[policies]\nx = 1"),
        ("policies.priorities", "[policies]\npriorities = { x = 1 }"),
        ("stripe", "[stripe]\nx = 1"),
        ("paypal", "[paypal]\nx = 1"),
    ] {
        let refused = refusals(text);
        let keys = refused.iter().find_map(|line| line.split_once("use one of: ")).unwrap().1;
        for key in keys.split(", ") {
            let shown = |line: &str| {
                let header = line.trim_start_matches('[');
                line.starts_with(&format!("{key} =")) || header.split([']', '.']).any(|part| line.starts_with('[') && part == key)
            };
            assert!(EXAMPLE.lines().any(shown), "{path} {key}");
        }
    }
}

#[test]
fn the_demo_catalogs_sell_what_the_demo_tells() {
    let agency = read_good(AGENCY);
    assert!(agency.test_clock);
    let packages: Vec<_> =
        agency.catalog.packages.iter().map(|(id, it)| format!("{id} {} {} {}", it.credits, it.bonus, it.price)).collect();
    assert_eq!(packages, ["growth 2000 200 70", "starter 500 0 20"]);
    let services: Vec<_> = agency.catalog.services.iter().map(|(id, it)| format!("{id} {} {:?}", it.eligible, it.credits)).collect();
    assert_eq!(services, ["consulting false None", "copywriting true None", "logo true Some(150)"]);
    let studio = read_good(STUDIO);
    assert!(studio.test_clock);
    let plans: Vec<_> = studio
        .catalog
        .plans
        .iter()
        .map(|(id, it)| format!("{id} {} {:?}", it.allowance, it.rollover.as_ref().map(|rule| (rule.max, rule.cycles))))
        .collect();
    assert_eq!(plans, ["personal 300 None", "team 1000 Some((Some(200), Some(1)))"]);
    let addons: Vec<_> = studio
        .catalog
        .addons
        .iter()
        .map(|(id, it)| format!("{id} {} {} {:?} {:?}", it.credits_per_unit, it.unit_price, it.scope, it.plans))
        .collect();
    assert_eq!(addons, [r#"generative 200 30 Some(Workspace) ["team"]"#, r#"generative_personal 60 10 Some(User) ["personal"]"#]);
    let video = rate(&studio.catalog, "video", &[("resolution", "720p")]);
    assert_eq!([video.credits(credits("2")), video.credits(credits("10.01"))], [Ok(credits("5")), Ok(credits("15.02"))]);
    assert_eq!(rate(&studio.catalog, "image", &[("quality", "high")]).price, credits("5"));
}

#[test]
fn policies_are_only_what_the_file_names() {
    assert_eq!(read_good("currency = \"EUR\"").policies, SettingsChange::default());
    let text = r#"
        currency = "EUR"
        [policies]
        livemode = true
        open_accounts = "explicit"
        price_check = "at_least"
        insufficient = "allow"
        shortfall = "debt"
        burn_order = ["end", "priority"]
        priorities = { purchased = 5 }
    "#;
    let expected = vec![
        SettingChange::Insufficient(Insufficient::Allow),
        SettingChange::PriceCheck(PriceCheck::AtLeast),
        SettingChange::Shortfall(Shortfall::Debt),
        SettingChange::BurnOrder(vec![BurnKey::End, BurnKey::Priority]),
        SettingChange::Priorities(Priorities { purchased: 5, ..Priorities::default() }),
        SettingChange::OpenAccounts(OpenAccounts::Explicit),
        SettingChange::Livemode(Some(true)),
    ];
    assert_eq!(read_good(text).policies, SettingsChange(expected));
}

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
            "[[rates]]\nmeter = \"m\"\nprice = 1\ninsufficient = \"partial\"",
            "5: rates[1].insufficient is \"partial\"; it must be \"reject\" or \"allow\"",
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
        ("[policies]\ninsufficient = \"allow_to\"", "3: policies.insufficient is \"allow_to\"; it must be \"reject\" or \"allow\""),
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
