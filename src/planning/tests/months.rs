use super::{CATALOG, credits, id, outlook, scenario, tried};
use crate::domain::calendar::Interval;
use crate::planning::month::{COLUMNS, Sums};
use crate::planning::{Outlook, PlanningError};

/// Some numbers of a month by their keys, in the order of the keys.
fn shown(sums: &Sums, keys: &str) -> String {
    let value = |key: &str| (COLUMNS.iter().find(|column| column.key == key).unwrap().of)(sums).to_string();
    keys.split(' ').map(value).collect::<Vec<_>>().join(" ")
}

fn months(outlook: &Outlook, keys: &str) -> Vec<String> {
    outlook.months.iter().map(|month| shown(&month.sums, keys)).collect()
}

/// Allowance 1000, at most 200 roll over once, 700 are used a month.
/// Month 1: 1000 − 700 = 300 left; 200 handed on, 100 lost.
/// Month 2: 200 rolled in burn first, then 500 of 1000; of 500 left 200 are handed on, 300 lost. And so on.
#[tokio::test]
async fn what_does_not_roll_over_is_lost_month_by_month() {
    let outlook = outlook(&scenario("team", 12, &["image=700/month"])).await;
    let keys = "start granted rolled_in burned lost handed_on end left";
    let mut expected = vec!["0 1000 0 700 100 200 0 300".to_owned()];
    expected.extend(vec!["0 1000 200 700 300 200 0 500".to_owned(); 11]);
    assert_eq!(months(&outlook, keys), expected);
    // 12 × 1000; 11 × 200; 12 × 700; 100 + 11 × 300; 12 × 200.
    assert_eq!(shown(&outlook.total, keys), "0 12000 2200 8400 3400 2400 0 500");
    assert_eq!(
        outlook.meaning(),
        [
            "The customer burned 8,400 of the 12,000 credits that were granted (70 %) and ends with 0.",
            "In 12 of 12 months credits were lost unused: 3,400 in all, 28 % of what was granted.",
            "All usage was covered.",
            "Rollover handed on 2,400 credits to the next cycle, in 12 months.",
        ]
    );
}

/// 100 a month, 10 a day: the eleventh day and the 20 after it are refused.
#[tokio::test]
async fn what_is_not_covered_is_refused_whole() {
    let outlook = outlook(&scenario("plain", 1, &["image=10/day"])).await;
    assert_eq!(months(&outlook, "granted burned lost refused indebted end"), ["100 100 0 210 0 0"]);
    assert_eq!(outlook.refused_on.len(), 21);
    assert_eq!(
        outlook.meaning()[1..],
        ["No credits were lost.", "Usage was refused on 21 days, first on 11 January 2026: 210 credits in all."]
    );
}

/// 100 a month, 10 a day, and the rate allows debt. January: 100 burned, 210 into debt. February: the allowance
/// repays 100; nothing is left for its 28 days: 280 more.
#[tokio::test]
async fn what_is_allowed_without_credits_is_owed_and_repaid_first() {
    let outlook = outlook(&scenario("plain", 2, &["film=10/day"])).await;
    let keys = "granted burned repaid indebted owed end";
    assert_eq!(months(&outlook, keys), ["100 100 0 210 210 0", "100 0 100 280 390 0"]);
    // 21 + 28 days.
    let said = "Usage went into debt on 49 days, first on 11 January 2026: 490 credits in all, of which 390 are owed at the end.";
    assert_eq!(outlook.meaning()[2], said);
}

/// Beside the plan's 1000: 2 units of 200 a month, and 500 + 50 bought in month 2, which end a month after.
/// Month 1: 700 of the plan; 300 left: 200 handed on, 100 lost, and 400 of units.
/// Month 2: 200 + 500 burned; 500 left: 200 handed on, 300 lost, and 400; the package stays.
/// Month 3: the package expires at its end, on 1 March; then as month 2.
#[tokio::test]
async fn units_and_packages_come_and_are_paid() {
    let mut asked = scenario("team", 3, &["image=700/month"]);
    asked.addons.insert(id("extra"), 2);
    asked.purchases.push((id("starter"), 2));
    let outlook = outlook(&asked).await;
    let keys = "start granted rolled_in bought burned lost expired handed_on end left addons_price packages_price";
    assert_eq!(
        months(&outlook, keys),
        [
            "0 1400 0 0 700 500 0 200 0 700 60 0",
            "0 1400 200 550 700 700 0 200 550 1450 60 20",
            "550 1400 200 0 700 1250 550 200 0 900 60 0",
        ]
    );
    let said = "Add-on units cost 180 USD and packages cost 20 USD; the plan itself has no price in the catalog.";
    assert_eq!(outlook.meaning().last().unwrap(), said);
}

/// Of the 200 handed on, the cap leaves 50: the other 150 are lost as the next month begins.
#[tokio::test]
async fn what_a_cap_trims_is_lost_in_the_month_that_it_came_into() {
    let capped = format!("{CATALOG}[policies]\nrollover_cap = \"50\"\n");
    let outlook = tried(&capped, &scenario("team", 3, &["image=700/month"])).await.unwrap();
    // Then 50 + 1000 − 700 = 350 are left: 200 handed on, 150 lost.
    assert_eq!(
        months(&outlook, "start granted rolled_in burned lost handed_on end"),
        ["0 1000 0 700 100 200 0", "0 1000 200 700 300 200 0", "0 1000 200 700 300 200 0"]
    );
}

/// 1200 for a year, 50 a month: 600 are left at its end, and lost.
#[tokio::test]
async fn a_year_is_one_cycle() {
    let outlook = outlook(&scenario("yearly", 12, &["image=50/month"])).await;
    assert_eq!(outlook.interval, Interval::Year);
    let months = months(&outlook, "start granted burned lost end");
    assert_eq!((months[0].as_str(), months[1].as_str()), ("0 1200 50 0 1150", "1150 0 50 0 1100"));
    assert_eq!(months[11], "650 0 50 600 0");
}

#[tokio::test]
async fn a_plan_that_grants_by_payment_counts_as_paid() {
    let outlook = outlook(&scenario("billed", 2, &[])).await;
    assert_eq!(months(&outlook, "granted lost"), ["1000 1000"; 2]);
    assert!(outlook.notes[0].contains("invoice"), "{:?}", outlook.notes);
    assert_eq!(outlook.meaning()[2], "Nothing was used.");
}

#[tokio::test]
async fn months_of_any_start_and_zone_add_up() {
    for (start, zone) in [
        ("2026-01-31T15:00:00", "Europe/Berlin"),
        ("2024-02-29T00:00:00", "America/New_York"),
        ("2011-12-15T00:00:00", "Pacific/Apia"),
        ("2026-03-29T02:30:00", "Europe/Berlin"),
        ("2026-10-25T12:00:00", "Australia/Lord_Howe"),
    ] {
        let mut asked = scenario("team", 14, &["image=40..60/day,+3%", "film=10.5/week,weekdays", "image{quality=high}=1/day"]);
        asked.start = start.parse().unwrap();
        asked.zone = crate::domain::account::Zone::named(zone).unwrap();
        asked.addons.insert(id("seats"), 7);
        asked.purchases.extend([(id("starter"), 3), (id("starter"), 3), (id("starter"), 14)]);
        let outlook = outlook(&asked).await;
        assert_eq!(outlook.months.len(), 14, "{start} {zone}");
        let Sums { granted, bought, .. } = outlook.total;
        // 14 × (1000 + 7 × 10); 3 × 550.
        assert_eq!((granted, bought), (credits("14980"), credits("1650")), "{start} {zone}");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_months() {
    let mut asked = scenario("team", 3, &["image=10..90/day", "film=0..5/day"]);
    let first = outlook(&asked).await;
    assert_eq!(first.months, outlook(&asked).await.months);
    asked.seed = 2;
    assert_ne!(first.months, outlook(&asked).await.months);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let with = |change: fn(&mut super::Scenario)| {
        let mut asked = scenario("team", 2, &[]);
        change(&mut asked);
        asked
    };
    let mut both = scenario("team", 2, &[]);
    both.addons.extend([(id("seats"), 1), (id("pool"), 1)]);
    let mut wrong_plan = scenario("plain", 2, &[]);
    wrong_plan.addons.insert(id("extra"), 1);
    for (asked, words) in [
        (with(|asked| asked.plan = id("teem")), &["teem is no plan", "billed, plain, team, yearly"][..]),
        (with(|asked| asked.addons.extend([(id("more"), 1)])), &["more is no add-on", "extra, pool, seats"]),
        (wrong_plan, &["extra does not go with the plan plain", "pool, seats"]),
        (both, &["pool is for accounts of kind workspace", "seats for user"]),
        (with(|asked| asked.purchases = vec![(id("big"), 1)]), &["big is no package", "starter"]),
        (with(|asked| asked.purchases = vec![(id("starter"), 3)]), &["in month 3", "1 to 2"]),
        (scenario("team", 2, &["sound=1/day"]), &["sound is no meter with a rate", "film, image, note"]),
        (scenario("team", 2, &["note=1/day"]), &["no rate prices note", "note{kind=long}"]),
        (scenario("team", 99, &["image=999999999999999999/month,+100%"]), &["grows beyond 18 digits"]),
    ] {
        let told = tried(CATALOG, &asked).await.unwrap_err();
        assert!(matches!(told, PlanningError::Asked(_)), "{told:?}");
        let told = told.to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    let mut monthly = scenario("yearly", 2, &[]);
    monthly.interval = Some(Interval::Month);
    let told = tried(CATALOG, &monthly).await.unwrap_err().to_string();
    assert!(told.contains("sold by the year, not by the month"), "{told}");
}

#[tokio::test]
async fn what_the_ledger_refuses_is_told_with_its_reason() {
    let closed = format!("{CATALOG}[policies]\ncredit_payments = false\n");
    let mut asked = scenario("team", 2, &[]);
    asked.purchases.push((id("starter"), 1));
    let told = tried(&closed, &asked).await.unwrap_err();
    assert!(matches!(told, PlanningError::Refused(_)), "{told:?}");
    assert!(told.to_string().contains("starter") && told.to_string().contains("credits_disabled"), "{told}");
}
