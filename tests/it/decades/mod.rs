//! Ten years of cycles through the real worker (semantics §7): accounts of every anchor, zone and way of selling,
//! whose units change, whose usage is heard of late, whose subscriptions are cancelled and begun anew, and whose
//! worker is killed again and again.
//!
//! Afterwards three judges are asked, none of whom takes the worker's word: `reconcile`; the second calendar
//! (`calendars::oracle`), which says every reset there must be; and memory, where the same messages must leave the
//! same history, entry by entry.
//!
//! An account has at most one message under way: the next is sent when the round is answered. So its messages take
//! effect in the order they were sent, whatever is delivered twice.

mod calendar;
mod customers;
mod delivery;
mod memory;
mod traffic;

use crate::calendars::oracle::{DAY, Zone};
use crate::worker::Deployment;
use calendar::Moved;
use credit_ledger::catalog;
use credit_ledger::domain::ids::Id;
use credit_ledger::store::postgres::catalogs;
use customers::{CATALOG, Customer, TENANT, zones};
use delivery::Delivery;
use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How much is lived through.
#[derive(Debug, Clone, Copy)]
struct Size {
    accounts: usize,
    years: i64,
}

/// In the ordinary run.
const ORDINARY: Size = Size { accounts: 24, years: 10 };
/// In the nightly profile.
const NIGHTLY: Size = Size { accounts: 1000, years: 10 };

/// Messages, steps and kills are drawn alike in every run.
const SEED: u64 = 20_100_101;
/// 1 January 2010: zones are seldom as awkward as in the ten years from there.
const START: i64 = 1_262_304_000;
/// 365 days and a quarter.
const YEAR: i64 = 31_557_600;
/// Rounds of messages after each step of the clock.
const ROUNDS: u32 = 2;
/// How likely an account has a message in a round.
const BUSY: f64 = 0.45;

/// What must have happened, or the run proves nothing.
const LIVED: [(&str, &str); 15] = [
    (
        "returns to grants that had ended, for usage that was heard of late",
        "entries as e cross join unnest(touched_grants) as touched join grants as g \
         on (g.shard, g.account_id, g.number) = (e.shard, e.account_id, touched) where e.kind = 'returned' and g.status = 'ended'",
    ),
    (
        "credits that had rolled over and went back, for usage that was heard of late",
        "entries as e cross join unnest(touched_grants) as touched join grants as g \
         on (g.shard, g.account_id, g.number) = (e.shard, e.account_id, touched) where e.kind = 'rolled_in' and g.parent is null",
    ),
    ("uses that were heard of too late", "entries where kind in ('used', 'debt_incurred') and memo like '%, late%'"),
    (
        "times that three cycles or more of a subscription were missed at once",
        "(select from resets where n = 0 group by shard, account_id, subscription, recorded_at having count(*) > 2) as missed",
    ),
    ("resets by hand", "resets where n > 0 and next_boundary is not null"),
    ("last closes", "resets where next_boundary is null"),
    ("cycles before their anchor", "resets where k < 0"),
    ("rollovers of rollovers", "grants where generation > 1"),
    ("units granted", "entries where kind = 'addon'"),
    ("credits forfeited", "entries where kind = 'forfeited'"),
    ("grants expired", "entries where kind = 'expired'"),
    ("grants refilled", "entries where kind = 'refilled'"),
    ("grants voided", "entries where kind = 'voided' and amount > 0"),
    ("debts incurred", "entries where kind = 'debt_incurred'"),
    ("debts repaid", "entries where kind = 'debt_repaid'"),
];

/// Messages of which some must have been applied, each with a key that their data has.
const APPLIED: [(&str, &str); 9] = [
    ("subscription.changed", "addons"),
    ("subscription.changed", "plan"),
    ("subscription.cancelled", "at_cycle_end"),
    ("subscription.resumed", "subscription"),
    ("usage.recorded", "meter"),
    ("credits.grant", "rollover"),
    ("credits.grant", "expires_at"),
    ("credits.void", "grant"),
    ("cycle.reset", "manual"),
];

/// Accounts and years of the profile; `DECADES=200x3` sets them in any.
fn size() -> Size {
    let set = std::env::var("DECADES").ok().map(|text| {
        let (accounts, years) = text.split_once('x').expect("DECADES is accounts and years, such as 200x3");
        Size { accounts: accounts.parse().unwrap(), years: years.parse().unwrap() }
    });
    let is_nightly = std::env::var("NEXTEST_PROFILE").is_ok_and(|profile| profile == "nightly");
    set.unwrap_or(if is_nightly { NIGHTLY } else { ORDINARY })
}

/// The RFC 3339 text of an instant in seconds.
fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

/// One of them.
fn pick<T: Copy>(draw: &mut SmallRng, from: &[T]) -> T {
    from[draw.random_range(0..from.len())]
}

/// A message as it is sent.
#[derive(Debug)]
pub struct Said {
    /// The account it is about, by its place among the customers; absent for one about the tenant.
    pub who: Option<usize>,
    pub id: String,
    pub kind: &'static str,
    pub event: Value,
}

struct Run {
    delivery: Delivery,
    zones: BTreeMap<&'static str, Zone>,
    customers: Vec<Customer>,
    draw: SmallRng,
    /// The tenant's clock, in seconds.
    clock: i64,
    /// Where it stood before its last step.
    before: i64,
    numbered: u32,
    sent: Vec<Said>,
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_years_of_cycles_end_as_a_second_calendar_and_memory_say() {
    let size = size();
    let mut run = Box::pin(Run::begin(size)).await;
    while run.clock < START + size.years * YEAR {
        Box::pin(run.step()).await;
    }
    run.delivery.deployment.kill();
    run.is_reconciled().await;
    let moved = calendar::compare(&run.delivery.deployment, &run.customers, (&run.zones, run.clock)).await;
    memory::compare(&run.delivery.deployment, &run.customers, &run.sent, &run.delivery.answers).await;
    if size.accounts >= ORDINARY.accounts && size.years >= ORDINARY.years {
        run.has_lived(moved).await;
    }
    run.delivery.deployment.remove().await;
}

impl Run {
    /// A tenant with a clock of its own, its staff, its accounts and their first subscriptions.
    async fn begin(size: Size) -> Self {
        let mut deployment = Deployment::new().await;
        let file = catalog::parse("decade", CATALOG).unwrap();
        catalogs::apply(&deployment.pool, &Id::new(TENANT).unwrap(), &file, CATALOG).await.unwrap();
        // A worker that follows one that was killed has much to warn of.
        deployment.settings.push(("CREDITS__LOG__FILTER".into(), "error,lapin=off".into()));
        deployment.start();
        let mut run = Self {
            delivery: Delivery::new(deployment).await,
            zones: zones(),
            customers: (0..size.accounts).map(Customer::new).collect(),
            draw: SmallRng::seed_from_u64(SEED),
            clock: START,
            before: START,
            numbered: 0,
            sent: Vec::new(),
        };
        let staff = run.said(None, "member.changed", START, json!({"member": "ann", "role": "approver"}));
        run.settle(vec![staff]).await;
        let mut round = Vec::new();
        for who in 0..size.accounts {
            let data = run.customers[who].opening();
            round.push(run.said(Some(who), "account.opened", START, data));
        }
        run.settle(round).await;
        let mut round = Vec::new();
        for who in 0..size.accounts {
            let data = run.customers[who].start(START, &mut run.draw);
            round.push(run.said(Some(who), "subscription.started", START, data));
        }
        run.settle(round).await;
        run
    }

    /// Moves the clock and waits until all that is due is written; then accounts send what they have.
    async fn step(&mut self) {
        let to = self.next_clock();
        let reset = self.said(None, "cycle.reset", self.clock, json!({"as_of": instant(to)}));
        self.settle(vec![reset]).await;
        (self.before, self.clock) = (self.clock, to);
        for _ in 0..ROUNDS {
            let busy: Vec<usize> = (0..self.customers.len()).filter(|_| self.draw.random_bool(BUSY)).collect();
            let mut round = Vec::with_capacity(busy.len());
            for who in busy {
                let (kind, time, data) = self.customers[who].message((self.clock, self.before), &mut self.draw);
                round.push(self.said(Some(who), kind, time, data));
            }
            self.settle(round).await;
        }
    }

    /// Days to several months on, so that several cycles are missed at once; sometimes to the very instant of a
    /// boundary.
    fn next_clock(&mut self) -> i64 {
        let days: RangeInclusive<i64> = match self.draw.random_range(0..10_u32) {
            0..2 => 4..=12,
            2..5 => 20..=45,
            5..8 => 60..=120,
            _ => 120..=200,
        };
        let to = self.clock + self.draw.random_range(days) * DAY + self.draw.random_range(0..DAY);
        if self.draw.random_bool(0.8) {
            return to;
        }
        let customer = &self.customers[self.draw.random_range(0..self.customers.len())];
        let boundary = customer.current().boundary_after(&self.zones[customer.zone], to);
        // A year's may be far away.
        boundary.min(to + 40 * DAY)
    }

    fn said(&mut self, who: Option<usize>, kind: &'static str, time: i64, data: Value) -> Said {
        self.numbered += 1;
        let id = format!("m-{}", self.numbered);
        let mut event = json!({"specversion": "1.0", "id": id, "source": "decades", "type": kind, "tenant": TENANT, "time": instant(time)});
        event["data"] = data;
        if let Some(who) = who {
            event["subject"] = json!(self.customers[who].name);
        }
        Said { who, id, kind, event }
    }

    /// Sends a round of messages, waits for their answers and learns from them.
    async fn settle(&mut self, round: Vec<Said>) {
        self.delivery.settle(&round).await;
        for said in &round {
            let answer = &self.delivery.answers[&said.id];
            match said.who {
                Some(who) => self.customers[who].learn(said, answer, self.clock),
                None => assert_eq!(answer.outcome, "applied", "{said:?}"),
            }
        }
        self.sent.extend(round);
    }

    /// The audit finds nothing, and nothing was set aside or left undone.
    async fn is_reconciled(&self) {
        let deployment = &self.delivery.deployment;
        let told = deployment.tool(&["reconcile"]).output().await.unwrap();
        let said = [told.stdout, told.stderr].concat();
        assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
        for table in ["quarantine", "waiting", "reset_jobs"] {
            assert_eq!(deployment.count(table).await, 0, "{table}");
        }
    }

    async fn has_lived(&self, moved: Moved) {
        let delivery = &self.delivery;
        println!("{} messages, {} kills, {} of them of a transaction; {moved:?}", self.sent.len(), delivery.kills, delivery.interrupted);
        for (what, rows) in LIVED {
            let count = delivery.deployment.count(rows).await;
            println!("{count} {what}");
            assert!(count > 0, "no {what}");
        }
        for (kind, key) in APPLIED {
            let asked = self.sent.iter().filter(|said| said.kind == kind && !said.event["data"][key].is_null());
            let count = asked.filter(|said| delivery.answers[&said.id].outcome == "applied").count();
            println!("{count} {kind} with {key} applied");
            assert!(count > 0, "no {kind} with {key} was applied");
        }
        assert!(delivery.kills >= 6 && delivery.interrupted >= 2, "{} kills, {} of a transaction", delivery.kills, delivery.interrupted);
        // Of the first accounts alone, whose subscriptions are never cancelled.
        assert!(moved.forward >= 3 && moved.back >= 2, "{moved:?}");
    }
}
