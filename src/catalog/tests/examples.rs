//! The example and the demonstration's catalogs say what their comments say, and show every key.

use super::{read_good, refusals};
use crate::catalog::CatalogFile;
use crate::domain::account::AccountKind;
use crate::domain::burn_down::BurnKey;
use crate::domain::calendar::{CalendarSpan, Interval};
use crate::domain::catalog::{Addon, Catalog, GrantOn, Package, Plan, PriceTarget, Service};
use crate::domain::credits::Credits;
use crate::domain::grant::RolloverRule;
use crate::domain::ids::{Id, Printable};
use crate::domain::settings::{
    Insufficient, OpenAccounts, PriceCheck, PrioritiesChange, PriorityChange, SettingChange, Settings, SettingsChange, Shortfall,
};
use std::collections::BTreeMap;

const EXAMPLE: &str = include_str!("../../../config/catalog.example.toml");
const AGENCY: &str = include_str!("../../../config/demo/agency.toml");
const STUDIO: &str = include_str!("../../../config/demo/studio.toml");

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
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
        SettingChange::Priorities(PrioritiesChange { purchased: PriorityChange::Number(5), ..PrioritiesChange::default() }),
        SettingChange::OpenAccounts(OpenAccounts::Explicit),
        SettingChange::Livemode(Some(true)),
    ];
    assert_eq!(read_good(text).policies, SettingsChange(expected));
}
