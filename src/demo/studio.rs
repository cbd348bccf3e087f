//! A generative studio: a team and one person on plans with add-on units, for a year.
//!
//! Owns this half of the story and its own arithmetic of allowances, units and rollover, which
//! shares nothing with the ledger's.

use super::show;
use super::stage::{Line, Stage};
use serde_json::{Value, json};

const TEAM: &str = "atelier";
const PERSON: &str = "lena";

/// What an account of a plan should have.
struct Expected {
    account: &'static str,
    allowance: i64,
    per_unit: i64,
    units: i64,
    units_next: i64,
    rollover_max: i64,
    rolled: i64,
    plan: i64,
    addon: i64,
}

impl Expected {
    fn new(account: &'static str, [allowance, per_unit, units, rollover_max]: [i64; 4]) -> Self {
        Self { account, allowance, per_unit, units, units_next: units, rollover_max, rolled: 0, plan: allowance, addon: units * per_unit }
    }

    fn balance(&self) -> i64 {
        self.rolled + self.plan + self.addon
    }

    /// Rollover burns first, then the allowance, then units.
    fn used(&mut self, mut credits: i64) {
        for lot in [&mut self.rolled, &mut self.plan, &mut self.addon] {
            let burned = credits.min(*lot);
            *lot -= burned;
            credits -= burned;
        }
    }

    /// Units added count at once.
    fn raise(&mut self, units: i64) {
        self.addon += (units - self.units) * self.per_unit;
        (self.units, self.units_next) = (units, units);
    }

    /// Of the allowance some rolls over; units and earlier rollovers do not.
    fn reset(&mut self) {
        self.units = self.units_next;
        self.rolled = self.plan.min(self.rollover_max);
        (self.plan, self.addon) = (self.allowance, self.units * self.per_unit);
    }
}

/// A year of two plans.
pub async fn tell(stage: &mut Stage) -> anyhow::Result<()> {
    show::heading("A generative studio");
    show::say("Teams have 1000 credits a month, units of 200, and up to 200 unused credits last one more month.");
    show::say("A personal plan has 300 a month and units of 60; what is left at the end of the month is gone.");
    stage.enter("studio", "2026-01-01T00:00:00Z");
    let mut team = Expected::new(TEAM, [1000, 200, 2, 200]);
    let mut person = Expected::new(PERSON, [300, 60, 1, 0]);
    start(stage).await?;
    stage.has(TEAM, team.balance()).await?;
    stage.has(PERSON, person.balance()).await?;
    january(stage, &mut team, &mut person).await?;
    year(stage, &mut team, &mut person).await?;
    stage.statement(TEAM).await?;
    stage.statement(PERSON).await
}

async fn start(stage: &mut Stage) -> anyhow::Result<()> {
    let line = |account, kind, says| Line { account: Some(account), kind, says, expects: "applied" };
    stage.say(line(TEAM, "account.opened", "atelier, a workspace, gets an account"), json!({"kind": "workspace", "owner": "mira"})).await?;
    stage.say(line(PERSON, "account.opened", "lena gets an account of her own"), json!({"kind": "user", "owner": "lena"})).await?;
    let team = json!({"subscription": "sub-atelier", "plan": "team", "interval": "month", "anchor": "2026-01-01T00:00:00",
        "addons": [{"addon": "generative", "units": 2}]});
    stage.say(line(TEAM, "subscription.started", "atelier subscribes to team with two units: 1000 + 2 × 200"), team).await?;
    let person = json!({"subscription": "sub-lena", "plan": "personal", "interval": "month", "anchor": "2026-01-01T00:00:00",
        "addons": [{"addon": "generative_personal", "units": 1}]});
    stage.say(line(PERSON, "subscription.started", "lena subscribes to personal with one unit: 300 + 60"), person).await?;
    Ok(())
}

async fn usage(stage: &mut Stage, expected: &mut Expected, says: &str, (data, credits): (Value, i64)) -> anyhow::Result<()> {
    let line = Line { account: Some(expected.account), kind: "usage.recorded", says, expects: "applied" };
    stage.say(line, data).await?;
    expected.used(credits);
    Ok(())
}

fn images(quality: &str, count: i64, price: i64) -> (Value, i64) {
    (json!({"meter": "image", "quantity": count, "dimensions": {"quality": quality}}), count * price)
}

fn video(resolution: &str, seconds: &str, credits: i64) -> (Value, i64) {
    (json!({"meter": "video", "quantity": seconds, "dimensions": {"resolution": resolution}}), credits)
}

async fn january(stage: &mut Stage, team: &mut Expected, person: &mut Expected) -> anyhow::Result<()> {
    show::say("\nJanuary: usage is priced by meter and settings.");
    usage(stage, team, "atelier: 20 images in high quality, 5 credits each", images("high", 20, 5)).await?;
    usage(stage, team, "atelier: 30 drafts, 1 credit each", images("draft", 30, 1)).await?;
    usage(stage, team, "atelier: 12.5 s of video in 1080p, 4 credits a second", video("1080p", "12.5", 50)).await?;
    usage(stage, team, "atelier: 2 s in 720p, 1.5 a second and at least 5", video("720p", "2", 5)).await?;
    let refused = Line {
        account: Some(TEAM),
        kind: "usage.recorded",
        says: "atelier: video in a resolution without a price",
        expects: "rejected unknown_meter",
    };
    stage.say(refused, video("8k", "1", 0).0).await?;
    usage(stage, person, "lena: 80 images in standard quality, 2 credits each", images("standard", 80, 2)).await?;
    stage.has(TEAM, team.balance()).await?;
    stage.has(PERSON, person.balance()).await?;
    show::say("\nUnits added count at once; taking them away and adding them again mints nothing.");
    for (units, says) in
        [(3, "atelier: a third unit, + 200"), (2, "atelier: back to two, from the next month on"), (3, "atelier: three after all")]
    {
        change(stage, units, says).await?;
    }
    team.raise(3);
    stage.has(TEAM, team.balance()).await
}

async fn change(stage: &mut Stage, units: i64, says: &str) -> anyhow::Result<()> {
    let line = Line { account: Some(TEAM), kind: "subscription.changed", says, expects: "applied" };
    stage.say(line, json!({"subscription": "sub-atelier", "addons": [{"addon": "generative", "units": units}]})).await?;
    Ok(())
}

/// Standard images of the team and of lena in each month from February on.
const MONTHS: [(&str, i64, i64); 11] = [
    ("February", 450, 150),
    ("March", 550, 100),
    ("April", 300, 180),
    ("May", 700, 40),
    ("June", 600, 175),
    ("July", 420, 120),
    ("August", 0, 0),
    ("September", 500, 90),
    ("October", 580, 160),
    ("November", 250, 110),
    ("December", 330, 20),
];

async fn year(stage: &mut Stage, team: &mut Expected, person: &mut Expected) -> anyhow::Result<()> {
    show::say("\nThe year goes on: at the first of each month the cycle resets, with rollover for the team and without for lena.");
    for (index, (month, of_team, of_person)) in MONTHS.iter().enumerate() {
        let number = index.saturating_add(2);
        stage.until(&format!("2026-{number:02}-01T00:00:00Z"), &format!("the first of {month}: reset")).await?;
        team.reset();
        person.reset();
        stage.has(TEAM, team.balance()).await?;
        stage.has(PERSON, person.balance()).await?;
        for (expected, count) in [(&mut *team, *of_team), (&mut *person, *of_person)] {
            if count > 0 {
                let says = format!("{}: {count} images in standard quality, 2 credits each", expected.account);
                usage(stage, expected, &says, images("standard", count, 2)).await?;
            }
        }
        if *month == "June" {
            change(stage, 0, "atelier removes its units; those of this month stay").await?;
            team.units_next = 0;
            stage.has(TEAM, team.balance()).await?;
        }
    }
    show::say("\nAtelier cancels: what is paid for lasts until the end of the month, then nothing is left.");
    let line = Line { account: Some(TEAM), kind: "subscription.cancelled", says: "atelier cancels its plan", expects: "applied" };
    stage.say(line, json!({"subscription": "sub-atelier"})).await?;
    stage.has(TEAM, team.balance()).await?;
    stage.until("2027-01-01T00:00:00Z", "New Year: lena's cycle resets, atelier's plan ends").await?;
    person.reset();
    stage.has(TEAM, 0).await?;
    stage.has(PERSON, person.balance()).await
}
