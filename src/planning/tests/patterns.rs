use super::{credits, pattern};
use crate::domain::account::Zone;
use crate::domain::credits::Credits;
use crate::planning::days::{Day, calendar};
use crate::planning::pattern::{Amount, Every, Quantity};
use crate::planning::spread::daily;

fn days(start: &str, months: u32) -> Vec<Day> {
    calendar(start.parse().unwrap(), &Zone::utc(), months).unwrap().1
}

/// What is used on each day from 1 January 2026, a Thursday.
fn spread(text: &str, months: u32, seed: u64) -> Vec<Credits> {
    daily(&pattern(text).unwrap(), &days("2026-01-01T00:00:00", months), usize::try_from(months).unwrap(), seed).unwrap()
}

/// The sum of each month.
fn sums(text: &str, months: u32) -> Vec<String> {
    let days = days("2026-01-01T00:00:00", months);
    let amounts = spread(text, months, 1);
    let of = |month: usize| days.iter().zip(&amounts).filter(move |(day, _)| day.month == month).map(|(_, amount)| *amount);
    (0..usize::try_from(months).unwrap()).map(|month| Credits::sum(of(month)).unwrap().to_string()).collect()
}

#[test]
fn every_form_is_read() {
    let read = pattern("image{quality=high,size=a b}=0.50/week,weekdays,-2.5%").unwrap();
    assert_eq!((read.meter.as_str(), read.weekdays, read.growth), ("image", true, credits("-2.5")));
    assert_eq!(read.name(), "image{quality=high,size=a b}");
    assert_eq!(read.amount, Amount::Steady(Quantity { amount: credits("0.5"), places: 2 }, Every::Week));
    let read = pattern("image=10..30.5/day,+1000%").unwrap();
    let (low, high) = (Quantity { amount: credits("10"), places: 0 }, Quantity { amount: credits("30.5"), places: 1 });
    assert_eq!((read.amount, read.growth, read.weekdays), (Amount::Drawn { low, high }, credits("1000"), false));
    assert_eq!(pattern("image=@days.txt").unwrap().amount, Amount::Listed(vec![credits("3"), credits("0"), credits("2.5")]));
}

#[test]
fn what_is_wrong_is_pointed_at_and_an_example_is_shown() {
    for (text, part, words) in [
        ("image", "image", "METER=QUANTITY"),
        ("=20/day", "=", "is no meter"),
        ("im age=20/day", "im age", "is no meter"),
        ("image=20", "20", "/day, /week or /month"),
        ("image=20/year", "year", "not day, week or month"),
        ("image=many/day", "many", "is no quantity"),
        ("image=1e3/day", "1e3", "is no quantity"),
        ("image=-5/day", "-5", "0 or more"),
        ("image=1.1234567/day", "1.1234567", "6 decimal places"),
        ("image=30..10/day", "30..10", "ends below its beginning"),
        ("image=10..30/month", "month", "drawn for each day"),
        ("image=20/day,+10", "+10", "neither weekdays nor a growth"),
        ("image=20/day,10%", "10%", "neither weekdays nor a growth"),
        ("image=20/day,+-5%", "+-5%", "neither weekdays nor a growth"),
        ("image=20/day,weekend", "weekend", "neither weekdays nor a growth"),
        ("image=20/day,+x%", "+x%", "is no growth"),
        ("image=20/day,-101%", "-101%", "at most"),
        ("image=20/day,+1001%", "+1001%", "at most"),
        ("image=20/day,+1%,+2%", "+2%", "said twice"),
        ("image{quality=20/day", "quality=20/day", "do not end with }="),
        ("image{quality}=20/day", "quality", "NAME=VALUE"),
        ("image{}=20/day", "}", "NAME=VALUE"),
        ("image{a=1,a=2}=20/day", "a", "there twice"),
        ("image=@none.txt", "@none.txt", "none.txt cannot be read"),
        ("image=@bad.txt", "@bad.txt", "bad.txt:2: \"many\""),
        ("image=@empty.txt", "@empty.txt", "holds no quantity"),
        ("bild-ä=20/day", "bild-ä", "is no meter"),
    ] {
        let told = pattern(text).unwrap_err().to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines.len(), lines[1].trim_start()), (4, text), "{told}");
        let marked: String = lines[1].chars().zip(lines[2].chars()).filter(|(_, mark)| *mark == '^').map(|(letter, _)| letter).collect();
        assert_eq!(marked, part, "{told}");
        assert!(lines[0].contains(words), "{told}");
        assert!(lines[3].starts_with("  for example: --usage ") && pattern(lines[3].rsplit(' ').next().unwrap()).is_ok(), "{told}");
    }
}

#[test]
fn a_quantity_is_spread_evenly_and_sums_up_exactly() {
    // Whole things stay whole: 700 over 31 days are 22 or 23 a day.
    let january = spread("image=700/month", 1, 1);
    assert!(january.iter().all(|amount| [credits("22"), credits("23")].contains(amount)), "{january:?}");
    assert_eq!(sums("image=700/month", 3), ["700"; 3]);
    // In hundredths: 700 / 31 = 22.58…
    let january = spread("image=700.00/month", 1, 1);
    assert!(january.iter().all(|amount| [credits("22.58"), credits("22.59")].contains(amount)), "{january:?}");
    assert_eq!(sums("image=700.00/month", 2), ["700"; 2]);
    // Less than there are days, in the finest steps there are, and more than any machine word of millionths.
    for quantity in ["5", "0", "0.000005", "999999999999999999.999999"] {
        assert_eq!(sums(&format!("image={quantity}/month"), 2), [quantity; 2]);
        assert_eq!(sums(&format!("image={quantity}/month,weekdays"), 2), [quantity; 2]);
    }
}

#[test]
fn weekdays_are_monday_to_friday() {
    // 1 January 2026 is a Thursday: 2 days, then a weekend.
    assert_eq!(spread("image=3/day,weekdays", 1, 1)[..5], ["3", "3", "0", "0", "3"].map(credits));
    // 10 a week on 5 days: 2 a day, on 22 weekdays of January and 20 of February.
    assert_eq!(sums("image=10/week,weekdays", 2), ["44", "40"]);
    // 14 a week on 7 days: 2 a day.
    assert_eq!(sums("image=14/week", 2), ["62", "56"]);
}

#[test]
fn growth_is_counted_month_by_month() {
    assert_eq!(sums("image=100/month,+10%", 4), ["100", "110", "121", "133"]);
    assert_eq!(sums("image=100.00/month,-10%", 4), ["100", "90", "81", "72.9"]);
    assert_eq!(sums("image=100/month,-100%", 2), ["100", "0"]);
    // 10 × 31; 10.5 × 28 = 294, as 10 or 11 a day.
    assert_eq!(sums("image=10/day,+5%", 2), ["310", "294"]);
}

#[test]
fn a_range_is_drawn_alike_from_one_seed() {
    let drawn = spread("image=10..30/day,weekdays", 2, 7);
    assert_eq!(drawn, spread("image=10..30/day,weekdays", 2, 7));
    assert_ne!(drawn, spread("image=10..30/day,weekdays", 2, 8));
    let days = days("2026-01-01T00:00:00", 2);
    for (day, amount) in days.iter().zip(&drawn) {
        let bounds = if day.is_weekday() { credits("10")..=credits("30") } else { Credits::ZERO..=Credits::ZERO };
        assert!(bounds.contains(amount) && !amount.to_string().contains('.'), "{day:?} {amount}");
    }
    // Both ends are drawn in the long run, in steps of the finer one.
    let tenths = spread("image=1..1.2/day", 12, 1);
    assert!(["1", "1.1", "1.2"].iter().all(|amount| tenths.contains(&credits(amount))));
    assert_eq!(spread("image=4..4/day", 1, 1), vec![credits("4"); 31]);
}

#[test]
fn a_list_is_used_up_day_by_day() {
    let amounts = spread("image=@days.txt", 1, 1);
    assert_eq!(amounts[..4], ["3", "0", "2.5", "0"].map(credits));
    assert_eq!(Credits::sum(amounts).unwrap(), credits("5.5"));
}

#[test]
fn a_month_begins_on_the_day_of_the_start() {
    let (periods, days) = calendar("2026-01-31T15:00:00".parse().unwrap(), &Zone::named("Europe/Berlin").unwrap(), 2).unwrap();
    let told: Vec<String> = periods.iter().map(|one| format!("{} {} {} {}", one.from, one.first, one.last, one.label())).collect();
    assert_eq!(told, ["2026-01-31T14:00:00Z 2026-01-31 2026-02-27 31 Jan 2026", "2026-02-28T14:00:00Z 2026-02-28 2026-03-30 28 Feb 2026"]);
    assert_eq!(days.iter().filter(|day| day.month == 0).count(), 28);
    // The clocks go forward on 29 March: 15:00 and 12 hours is 03:00 of the next day, which is 01:00 UTC.
    let march = days.iter().find(|day| day.date.to_string() == "2026-03-28").unwrap();
    assert_eq!(march.noon.to_string(), "2026-03-29T01:00:00Z");
}
