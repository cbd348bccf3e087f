//! Who lives through the decade: accounts of every day, time of day, zone and way of selling, and what the test
//! knows of their subscriptions without asking the ledger but for its answers.

use super::delivery::Answer;
use super::{Said, pick};
use crate::calendars::oracle::{Day, Local, Zone};
use rand::Rng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const TENANT: &str = "decade";
pub const CATALOG: &str = r#"
currency = "USD"
test_clock = true
[plans.plain]
allowance = "100"
[plans.keeping]
allowance = "200"
rollover = { max = "80", count = 3 }
[plans.floor]
allowance = "60"
rollover = { min = "10", max = "40", cycles = 2 }
[plans.share]
allowance = "300"
prorate = true
rollover = { max_percent = "25", count = 2 }
[plans.spread]
allowance = "120"
interval = "year"
allowance_every = "month"
rollover = { max = "50" }
[plans.large]
allowance = "240"
interval = "year"
allowance_every = "month"
rollover = { max_percent = "50", count = 2, cycles = 2 }
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
scope = "user"
[addons.shared]
credits_per_unit = "200"
unit_price = "30.00"
scope = "workspace"
[addons.extra]
credits_per_unit = "7.5"
unit_price = "1.00"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "image"
price = "2"
insufficient = "allow"
[[rates]]
meter = "clip"
price = "0.35"
insufficient = "partial"
[policies]
late_grace_hours = 72
rollover_cap = "150"
"#;

const HOUR: i64 = 3600;
/// Clocks that are left alone, and clocks that are moved by half an hour, an hour, two hours, back and forth for
/// Ramadan, or over a whole day. Thirteen of them: zones, days, times and ways of selling have no common factor,
/// so among many accounts each comes with each.
const ZONES: [&str; 13] = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Nuuk",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
];
/// Times of day at which clocks are moved somewhere.
const TIMES: [i64; 7] = [0, HOUR / 2, HOUR + HOUR / 2, 2 * HOUR, 2 * HOUR + HOUR / 2, 3 * HOUR, 24 * HOUR - 1];
/// Months that have every day.
const LONG_MONTHS: [i64; 7] = [1, 3, 5, 7, 8, 10, 12];
/// Zone, day, time and way of selling of the first accounts, whose subscriptions are never cancelled.
const AWKWARD: [(&str, (i64, i64, i64), i64, usize); 4] = [
    // There was no half past two on 27 March 2011 and 2016, and two on 27 October 2013 and 2019.
    ("Europe/Berlin", (2010, 1, 27), 2 * HOUR + HOUR / 2, 0),
    // Samoa had no 30 December 2011.
    ("Pacific/Apia", (2010, 1, 30), 10 * HOUR, 2),
    ("UTC", (2008, 2, 29), 0, 1),
    ("America/New_York", (2008, 2, 29), 24 * HOUR - 1, 2),
];

/// A way of selling.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    interval: &'static str,
    /// Months of a cycle.
    pub months: i64,
    /// Cycles of a paid interval.
    pub cycles: i64,
    pub plans: &'static [&'static str],
}

const ANY_INTERVAL: &[&str] = &["plain", "keeping", "floor", "share"];
/// By the month, by the year, and by the year with a monthly allowance.
const OFFERS: [Offer; 3] = [
    Offer { interval: "month", months: 1, cycles: 1, plans: ANY_INTERVAL },
    Offer { interval: "year", months: 12, cycles: 1, plans: ANY_INTERVAL },
    Offer { interval: "year", months: 1, cycles: 12, plans: &["spread", "large"] },
];

/// A subscription as it was sold, and what has become of it since. Instants are in seconds.
#[derive(Debug)]
pub struct Sold {
    pub id: String,
    pub offer: Offer,
    pub anchor: Local,
    pub started: i64,
    /// When it was reset by hand.
    pub by_hand: Vec<i64>,
    /// When it was cancelled (true) for the end of the paid interval, and resumed.
    pub cancelled: Vec<(i64, bool)>,
    /// When it was cancelled at once.
    pub ended_at_once: Option<i64>,
}

impl Sold {
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.last().is_some_and(|(_, cancelled)| *cancelled)
    }
}

/// An account.
#[derive(Debug)]
pub struct Customer {
    pub name: String,
    pub zone: &'static str,
    kind: &'static str,
    pub is_steady: bool,
    /// What is sold first.
    planned: Option<(Local, Offer)>,
    /// Its subscriptions, one after the other.
    pub sold: Vec<Sold>,
    /// Whether the last of them is known to have ended.
    pub is_over: bool,
    /// How many grants it was given, by name.
    pub gifts: u32,
}

/// The second calendar of every zone.
pub fn zones() -> BTreeMap<&'static str, Zone> {
    ZONES.iter().map(|name| (*name, Zone::named(name))).collect()
}

/// What an account of a number begins with, if it is not one of the awkward.
fn planned(number: usize) -> (Local, Offer) {
    let small = |number: usize| i64::try_from(number).unwrap();
    // The last days first, in few accounts too; some anchors lie ahead.
    let day = Day::new(2008 + small(number % 4), LONG_MONTHS[number / 7 % 7], 31 - small(number % 31));
    (Local { day, time: TIMES[number % 7] }, OFFERS[number % 3])
}

/// The anchor of a subscription that follows another.
fn drawn(draw: &mut SmallRng, clock: i64) -> (Local, Offer) {
    let year = Local::shown(clock).day.year + draw.random_range(-1..=1_i64);
    let day = Day::new(year, pick(draw, &LONG_MONTHS), draw.random_range(1..=31_i64));
    (Local { day, time: pick(draw, &TIMES) }, pick(draw, &OFFERS))
}

/// `2010-01-31T02:30:00`.
fn text(Local { day, time }: Local) -> String {
    let (hour, minute, second) = (time / HOUR, time / 60 % 60, time % 60);
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", day.year, day.month, day.day)
}

impl Customer {
    pub fn new(number: usize) -> Self {
        let awkward = AWKWARD.get(number).copied();
        let own = number.saturating_sub(AWKWARD.len());
        let (zone, planned) = match awkward {
            Some((zone, (year, month, day), time, offer)) => (zone, (Local { day: Day::new(year, month, day), time }, OFFERS[offer])),
            None => (ZONES[own % ZONES.len()], planned(own)),
        };
        Self {
            name: format!("a-{number}"),
            zone,
            kind: if number.is_multiple_of(2) { "user" } else { "workspace" },
            is_steady: awkward.is_some(),
            planned: Some(planned),
            sold: Vec::new(),
            is_over: false,
            gifts: 0,
        }
    }

    /// The data of `account.opened`.
    pub fn opening(&self) -> Value {
        json!({"kind": self.kind, "owner": "o", "time_zone": self.zone})
    }

    /// The subscription that was sold last.
    pub fn current(&self) -> &Sold {
        self.sold.last().unwrap()
    }

    /// The data of `subscription.started`, for the next subscription.
    pub fn start(&mut self, clock: i64, draw: &mut SmallRng) -> Value {
        let (anchor, offer) = self.planned.take().unwrap_or_else(|| drawn(draw, clock));
        let id = format!("s-{}", self.sold.len());
        let plan = pick(draw, offer.plans);
        let data =
            json!({"subscription": id, "plan": plan, "interval": offer.interval, "anchor": text(anchor), "addons": self.units(draw)});
        let (by_hand, cancelled) = (Vec::new(), Vec::new());
        self.sold.push(Sold { id, offer, anchor, started: clock, by_hand, cancelled, ended_at_once: None });
        self.is_over = false;
        data
    }

    /// Units of what goes with this kind of account.
    pub fn units(&self, draw: &mut SmallRng) -> Value {
        let own = if self.kind == "user" { "generative" } else { "shared" };
        let (own_units, extra_units) = (draw.random_range(0..=5_u32), draw.random_range(0..=3_u32));
        json!([{"addon": own, "units": own_units}, {"addon": "extra", "units": extra_units}])
    }

    /// Takes note of what was answered at this time of the clock.
    pub fn learn(&mut self, said: &Said, answer: &Answer, clock: i64) {
        let data = &said.event["data"];
        let is_applied = answer.outcome == "applied";
        assert!(is_applied || !["account.opened", "subscription.started"].contains(&said.kind), "{said:?}: {answer:?}");
        self.is_over |= answer.reasons.iter().any(|reason| reason == "no_active_subscription");
        let Some(current) = self.sold.last_mut().filter(|_| is_applied) else { return };
        match said.kind {
            "subscription.cancelled" if data["at_cycle_end"] == false => {
                current.ended_at_once = Some(clock);
                self.is_over = true;
            }
            "subscription.cancelled" => current.cancelled.push((clock, true)),
            "subscription.resumed" => current.cancelled.push((clock, false)),
            "cycle.reset" if data["subscription"].is_string() => current.by_hand.push(clock),
            _ => {}
        }
    }
}
