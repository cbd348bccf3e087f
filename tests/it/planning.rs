//! `simulate --plan` as a command: statuses, table, JSON and page. It needs no server.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Allowance 1000, at most 200 roll over, an image is a credit.
const CATALOG: &str = r#"
currency = "USD"
[packages.starter]
credits = "500"
price = "20.00"
[plans.team]
allowance = "1000"
rollover = { max = "200" }
[plans.small]
allowance = "100"
[addons.extra]
credits_per_unit = "200"
unit_price = "30.00"
plans = ["team"]
[[rates]]
meter = "image"
price = "1"
"#;

/// What the command prints, what it says beside it, and its status, in a folder with the catalog.
fn simulated(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    fs::write(folder.join("catalog.toml"), CATALOG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.current_dir(folder).arg("simulate").args(arguments).env_remove("DATABASE_URL").env_remove("AMQP_URL");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

fn tried(arguments: &[&str]) -> (String, String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    simulated(folder.path(), &[&["--catalog", "catalog.toml"], arguments].concat())
}

/// Month 1: 1000 in, 700 burned, 300 left: 200 roll over, 100 are forfeited.
/// Month 2: 200 and 1000 in, 700 burned, of 500 left of the plan 200 roll over, 300 are forfeited.
#[test]
fn a_year_of_a_plan_is_told_month_by_month() {
    let (told, beside, status) = tried(&["--plan", "team", "--usage", "image=700/month"]);
    assert_eq!((status, beside.as_str()), (Some(0), ""), "{told}");
    let rows: Vec<Vec<&str>> = told.lines().filter(|line| line.contains("-01 to ")).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 12, "{told}");
    // At start, granted, rolled in, burned, lost, handed on, at end, last day.
    assert_eq!(rows[0][..3], ["2026-01-01", "to", "2026-01-31"]);
    assert_eq!(rows[0][3..], ["0", "1,000", "0", "700", "100", "200", "0", "300"]);
    assert_eq!(rows[1][3..], ["0", "1,000", "200", "700", "300", "200", "0", "500"]);
    for words in [
        "Plan team, 12 months from 1 January 2026\n",
        "Usage: image=700/month\n",
        "█ burned",
        "In 12 of 12 months credits were lost unused: 3,400 in all, 28 % of what was granted.\n",
        "All usage was covered.\n",
    ] {
        assert!(told.contains(words), "{words:?} in {told}");
    }
}

#[test]
fn programs_get_one_object() {
    let arguments = ["--plan", "team", "--usage", "image=700/month", "--months", "2", "--addon", "extra=1", "--buy", "starter@2", "--json"];
    let (told, _, status) = tried(&arguments);
    assert_eq!(status, Some(0), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let mut keys: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "addons",
        "currency",
        "interval",
        "meaning",
        "months",
        "notes",
        "plan",
        "purchases",
        "seed",
        "start",
        "time_zone",
        "total",
        "usage",
    ];
    assert_eq!(keys, expected);
    let months = told["months"].as_array().unwrap();
    assert_eq!((months.len(), &months[1]["first_day"], &months[1]["until"]), (2, &"2026-02-01".into(), &"2026-03-01T00:00:00Z".into()));
    let number = |month: &Value, key: &str| month[key].as_str().unwrap().parse::<i64>().unwrap();
    for month in months.iter().chain([&told["total"]]) {
        let came = ["start", "granted", "rolled_in", "bought"].map(|key| number(month, key)).iter().sum::<i64>();
        let went = ["burned", "repaid", "lost", "handed_on"].map(|key| number(month, key)).iter().sum::<i64>();
        assert_eq!(came - went, number(month, "end"), "{month}");
    }
    // The package stays; two months of one unit.
    let total = &told["total"];
    let shown = ["granted", "bought", "end", "addons_price", "packages_price"].map(|key| number(total, key));
    assert_eq!((shown, &total["refused_days"]), ([2400, 500, 500, 60, 20], &0.into()));
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let drawn = |seed: &str| {
        let folder = tempfile::tempdir().unwrap();
        let arguments =
            ["--catalog", "catalog.toml", "--plan", "team", "--usage", "image=10..60/day,weekdays", "--seed", seed, "--html", "page.html"];
        let (told, beside, status) = simulated(folder.path(), &arguments);
        assert_eq!(status, Some(0), "{beside}");
        (told, fs::read_to_string(folder.path().join("page.html")).unwrap())
    };
    assert_eq!(drawn("5"), drawn("5"));
    assert_ne!(drawn("5").1, drawn("6").1);
}

/// Every element is closed in the order it was opened, and every attribute has its quotes.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (_, body) = page.split_once("<!DOCTYPE html>").unwrap();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        assert!(open.last() == Some(&"style") || !text.contains('>'), "{text}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn a_page_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), "an older page").unwrap();
    let arguments = [
        "--catalog",
        "catalog.toml",
        "--plan",
        "team",
        "--usage",
        "image=40/day",
        "--usage",
        "image{q=<i>&\"'}=1/day",
        "--html",
        "page.html",
    ];
    let (told, beside, status) = simulated(folder.path(), &arguments);
    assert_eq!(status, Some(0), "{beside}");
    assert!(told.starts_with("Plan team, 12 months"), "{told}");
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_well_formed(&page);
    let alone = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for reference in ["http://", "https://", "<script", "<link", "<img", "@import", "src=", "<i>"] {
        assert!(!alone.contains(reference), "{reference}");
    }
    for words in ["<title id=\"chart-title\">", "<desc id=\"chart-description\">", "<caption>", "2026-12-01 to 2026-12-31", "&lt;i&gt;"] {
        assert!(page.contains(words), "{words}");
    }
    // Nothing of the writing stays beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_is_wrong_is_2_and_writes_nothing() {
    let team = ["--plan", "team"];
    for (arguments, words) in [
        (&["--plan", "teem"][..], &["teem is no plan", "small, team"][..]),
        (&["--plan", "small", "--addon", "extra=1"], &["extra does not go with the plan small"]),
        (&["--plan", "team", "--usage", "film=1/day"], &["film is no meter", "image"]),
        (
            &["--plan", "team", "--usage", "image=9..1/day"],
            &["ends below", "\n  image=9..1/day\n        ^^^^\n", "for example: --usage image="],
        ),
        (&["--plan", "team", "--usage", "image=@none.txt"], &["none.txt cannot be read"]),
        (&["--plan", "team", "--usage", "image=1/day", "--usage", "image=2/day"], &["given twice", "image=1/day and image=2/day"]),
        (&["--plan", "team", "--addon", "extra"], &["--addon", "extra", "generative=2"]),
        (&["--plan", "team", "--buy", "starter@13"], &["in month 13", "1 to 12"]),
        (&["--plan", "team", "--months", "0"], &["--months", "1..=120"]),
        (&["--plan", "team", "--start", "31.01.2026"], &["--start", "2026-01-31T12:00:00"]),
        (&["--plan", "team", "--start", "1999-01-01"], &["2000 to 2389"]),
        (&["--plan", "team", "--time-zone", "Berlin"], &["--time-zone", "Europe/Berlin"]),
        (&["--plan", "team", "messages.jsonl"], &["cannot be used with", "--plan"]),
        (&["--usage", "image=1/day"], &["required", "--plan"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&["--catalog", "catalog.toml", "--html", "page.html"], arguments].concat();
        let (told, beside, status) = simulated(folder.path(), &arguments);
        assert_eq!((status, told.as_str()), (Some(2), ""), "{arguments:?}: {beside}");
        assert!(words.iter().all(|word| beside.contains(word)), "{words:?} in {beside}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the catalog alone: {arguments:?}");
    }
    for page in ["no-such-folder/page.html", "."] {
        let (told, beside, status) = tried(&[&team[..], &["--html", page]].concat());
        assert_eq!((status, told.as_str()), (Some(2), ""), "{beside}");
        assert!(beside.contains("cannot be written"), "{beside}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (catalog, words) in [("none.toml", "none.toml cannot be read"), ("bad.toml", "bad.toml:2: plans.team.allowance")] {
        fs::write(folder.path().join("bad.toml"), "currency = \"USD\"\nplans.team.allowance = \"many\"\n").unwrap();
        let (told, beside, status) = simulated(folder.path(), &["--catalog", catalog, "--plan", "team"]);
        assert_eq!((status, told.as_str()), (Some(2), ""), "{beside}");
        assert!(beside.contains(words), "{words} in {beside}");
    }
    let (_, beside, status) = simulated(folder.path(), &["--plan", "team"]);
    assert_eq!(status, Some(2));
    assert!(beside.contains("--catalog"), "{beside}");
    let (_, beside, status) = simulated(folder.path(), &[]);
    assert_eq!(status, Some(2));
    assert!(beside.contains("FILE") && beside.contains("--plan"), "{beside}");
}

#[test]
fn a_list_of_days_is_read_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("days.txt"), "90\n20\n").unwrap();
    // 100 a month: 90 are burned, 20 are refused on the second day, the rest is lost.
    let arguments = ["--catalog", "catalog.toml", "--plan", "small", "--usage", "image=@days.txt", "--months", "1"];
    let (told, beside, status) = simulated(folder.path(), &arguments);
    assert_eq!(status, Some(0), "{beside}");
    for words in ["lists 2 of 31 days", "refused on 1 day, first on 2 January 2026: 20 credits", "10 in all, 10 % of what was granted"] {
        assert!(told.contains(words), "{words} in {told}");
    }
}
