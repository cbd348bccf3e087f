use super::{credits, id, outlook, scenario};
use crate::planning::{chart, grouped, percent, report};

#[test]
fn numbers_are_grouped_and_shares_are_whole_percent() {
    for (amount, shown) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567.5", "-1,234,567.5"), ("0.000001", "0.000001")] {
        assert_eq!(grouped(credits(amount)), shown);
    }
    for (part, whole, shown) in [("2140", "12000", "18 %"), ("1", "1000", "less than 1 %"), ("0", "5", "0 %"), ("5", "5", "100 %")] {
        assert_eq!(percent(credits(part), credits(whole)).as_deref(), Some(shown));
    }
    assert_eq!(percent(credits("1"), credits("0")), None);
}

/// Of 1200, the longest bar: 700 are 29.2 marks, 900 are 37.5, 1000 are 41.7.
#[tokio::test]
async fn a_bar_has_the_length_of_its_month() {
    let outlook = outlook(&scenario("team", 2, &["image=700/month"])).await;
    let plot = chart::plot(&outlook.months);
    let lines: Vec<&str> = plot.lines().collect();
    assert!(lines[0].contains("█ burned  ▒ handed on  ░ lost  × not covered; the longest bar is 1,200 credits"), "{plot}");
    let bar = |marks: [usize; 3]| ["█", "▒", "░"].iter().zip(marks).map(|(mark, count)| mark.repeat(count)).collect::<String>();
    assert_eq!(lines[1], format!("Jan 2026  {}", bar([29, 9, 4])));
    assert_eq!(lines[2], format!("Feb 2026  {}", bar([29, 9, 12])));
}

#[tokio::test]
async fn nothing_has_no_plot() {
    let mut asked = scenario("team", 1, &[]);
    asked.plan = id("none");
    let free = "currency = \"USD\"\n[plans.none]\nallowance = \"0\"\n";
    let outlook = super::tried(free, &asked).await.unwrap();
    assert_eq!(chart::plot(&outlook.months), "");
    assert_eq!(outlook.meaning()[0], "The plan granted nothing, and nothing was bought.");
    assert!(report::html(&outlook).contains("</svg>"));
}

#[tokio::test]
async fn a_page_shows_every_number_and_no_name_breaks_it() {
    let mut asked = scenario("team", 12, &["image=700/month", "image{q=<b>&\"'}=1/day"]);
    asked.addons.insert(id("extra"), 1);
    let outlook = outlook(&asked).await;
    let page = report::html(&outlook);
    assert_eq!(page, report::html(&outlook));
    assert!(page.contains("image{q=&lt;b&gt;&amp;&quot;&#39;}=1/day") && !page.contains("<b>"), "{page}");
    for words in [
        "<title>Plan team, 12 months from 1 January 2026</title>",
        "<desc id=\"chart-description\">",
        "prefers-color-scheme: dark",
        "@media print",
        "<th scope=\"row\">2026-01-01 to 2026-01-31</th>",
        "<th scope=\"col\">Add-ons (USD)</th>",
        "<dt>Add-ons</dt><dd>1 × extra</dd>",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    for sentence in outlook.meaning() {
        assert!(page.contains(&sentence), "{sentence}");
    }
    // One part of a bar for each number above 0, one point a month, and the legend's.
    assert_eq!(page.matches("<circle class=\"balance-point\"").count(), 13);
    assert_eq!(page.matches("<rect class=\"burned\"").count(), 13);
    assert!(!page.contains("<script"));
    assert_eq!(page.matches("http://").count() + page.matches("https://").count(), 1, "the name of SVG only");
}

#[tokio::test]
async fn a_list_that_ends_early_is_told() {
    let outlook = outlook(&scenario("team", 1, &["image=@days.txt"])).await;
    assert_eq!(outlook.notes, ["image=@days.txt lists 3 of 31 days; nothing is used after them."]);
    // 3 + 2.5
    assert_eq!(outlook.total.burned, credits("5.5"));
}
