//! Provider's events that do not say whose they are, through the whole worker: they find their account,
//! whichever comes first.

use crate::claims::until;
use crate::semantics::order::{parsed, sets, six_messages};
use crate::worker::{Deployment, SECRET, stripe_session, worker_test};
use credit_ledger::secrets::Secrets;
use credit_ledger::simulate::{Numbers, Simulation};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

const AT: i64 = 1_767_225_600;

fn event(id: &str, kind: &str, object: &Value) -> Vec<u8> {
    json!({"id": id, "type": kind, "livemode": false, "created": AT, "data": {"object": object}}).to_string().into_bytes()
}

fn refund(id: &str, minor: i64) -> Vec<u8> {
    let object = json!({"id": "re_1", "amount": minor, "currency": "usd", "status": "succeeded", "charge": "ch_1", "created": AT});
    event(id, "refund.created", &object)
}

/// Shows that the charge is the session's payment, and not whose it is.
fn intent(id: &str) -> Vec<u8> {
    let object = json!({"id": "pi_1", "amount": 2000, "amount_received": 2000, "currency": "usd", "latest_charge": "ch_1", "metadata": {}});
    event(id, "payment_intent.succeeded", &object)
}

impl Deployment {
    /// Delivers a webhook and returns its first answer.
    pub async fn hook(&mut self, body: Vec<u8>) -> String {
        self.webhook(body, SECRET).await;
        self.reply().await["outcome"].as_str().unwrap().to_owned()
    }

    async fn asked(&self, event: &str) -> Value {
        let told = self.tool(&["outcome", "acme", "ann", "stripe", event, "--json"]).output().await.unwrap();
        serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"))
    }
}

worker_test!(f74_a_refund_finds_the_payment_that_comes_later, |deployment| {
    deployment.add_secret("acme");
    deployment.start();
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "waiting");
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "waiting", "the same once more");
    assert_eq!(deployment.hook(refund("evt_r", 600)).await, "quarantined", "the same id with other content");
    assert_eq!(deployment.count("unclaimed").await, 1);
    let waits = deployment.asked("evt_r").await;
    assert_eq!((&waits["outcome"], &waits["waits_for"]["name"]), (&json!("waiting"), &json!("stripe:ch_1")));
    // Neither says whose it is; what it shows is kept.
    assert_eq!(deployment.hook(intent("evt_p")).await, "ignored");
    assert_eq!(deployment.hook(intent("evt_p")).await, "duplicate");
    assert_eq!(deployment.hook(stripe_session("evt_s", 2000)).await, "applied");
    let last = deployment.reply().await;
    assert_eq!((&last["id"], &last["outcome"], &last["account"]), (&json!("evt_r"), &json!("applied"), &json!("ann")));
    until(&deployment, "nothing waits", "select (select count(*) from unclaimed) + (select count(*) from unclaimed_names) = 0").await;
    // 500 − 500 × 5 / 20
    assert_eq!(deployment.count("accounts where account = 'ann' and balance = 375").await, 1);
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "duplicate");
    assert_eq!(deployment.asked("evt_r").await["outcome"], "applied");
});

worker_test!(what_nobody_claims_in_time_is_ignored, |deployment| {
    deployment.add_secret("acme");
    deployment.start();
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "waiting");
    sqlx::query("update unclaimed set deadline = clock_timestamp(), ask_at = clock_timestamp()").execute(&deployment.pool).await.unwrap();
    let last = deployment.reply().await;
    assert_eq!((&last["id"], &last["outcome"]), (&json!("evt_r"), &json!("ignored")));
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "duplicate");
    assert_eq!(deployment.asked("evt_r").await["outcome"], "ignored");
    until(&deployment, "it is gone", "select count(*) = 0 from unclaimed").await;
});

worker_test!(a_refund_that_waits_survives_the_worker, |deployment| {
    deployment.add_secret("acme");
    deployment.start();
    assert_eq!(deployment.hook(refund("evt_r", 500)).await, "waiting");
    deployment.kill();
    deployment.start();
    deployment.webhook(intent("evt_p"), SECRET).await;
    deployment.webhook(stripe_session("evt_s", 2000), SECRET).await;
    until(&deployment, "it was taken back", "select count(*) = 1 from accounts where account = 'ann' and balance = 375").await;
});

worker_test!(names_of_two_accounts_are_a_contradiction, |deployment| {
    deployment.add_secret("acme");
    deployment.start();
    assert_eq!(deployment.hook(stripe_session("evt_1", 2000)).await, "applied");
    let other = String::from_utf8(stripe_session("evt_2", 2000)).unwrap();
    let other = other.replace("pi_1", "pi_2").replace("cs_1", "cs_2").replace("\"ann\"", "\"bob\"");
    assert_eq!(deployment.hook(other.into_bytes()).await, "applied");
    let both = json!({"id": "pi_1", "amount": 2000, "currency": "usd", "latest_charge": "pi_2", "metadata": {}});
    assert_eq!(deployment.hook(event("evt_3", "payment_intent.succeeded", &both)).await, "quarantined");
    assert_eq!(deployment.count("accounts where balance = 500").await, 2);
});

/// The lines of a set for an account of its own, whose payments and requests have names of their own; of a
/// tenant that bears shortfalls as the set says.
fn renamed(lines: &[Value], account: &str) -> (String, Vec<Value>) {
    let tenant = lines[0]["catalog"]["policies"]["shortfall"].as_str().unwrap();
    let rename = |line: &Value| {
        let mut text = line.to_string().replace("\"acme\"", &format!("{tenant:?}")).replace("\"u\"", &format!("{account:?}"));
        for prefix in ["pi_", "ch_", "cs_", "re_", "dp_", "evt_"] {
            text = text.replace(&format!("\"{prefix}"), &format!("\"{prefix}{account}_"));
        }
        serde_json::from_str(&text.replace("\"request\":\"r\"", &format!("\"request\":\"r_{account}\""))).unwrap()
    };
    (tenant.to_owned(), lines.iter().map(rename).collect())
}

/// Where a set ends in memory.
async fn end(lines: &[Value]) -> Numbers {
    let mut simulation = Simulation::new(PathBuf::new(), Secrets::default());
    for (_, line) in parsed(lines) {
        simulation.take(&line).await.unwrap();
    }
    *simulation.numbers().await.values().next().unwrap()
}

/// Sets of messages in many orders each, all at once through one worker: every order has an account of its own,
/// and ends where the set ends in memory.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_ends_alike_in_postgres_too() {
    const SETS: usize = 16;
    const ORDERS: usize = 16;
    let mut deployment = Deployment::new().await;
    let mut draw = SmallRng::seed_from_u64(11);
    let mut runner = TestRunner::deterministic();
    let sets: Vec<Vec<Value>> = (0..SETS).map(|_| sets().new_tree(&mut runner).unwrap().current()).collect();
    // Catalog and staff; gift and first purchase; use; then everything else, with repeats.
    let mut stages: [Vec<Value>; 4] = Default::default();
    for (set, order) in (0..SETS * ORDERS).map(|number| (number / ORDERS, number % ORDERS)) {
        for (index, line) in renamed(&sets[set], &format!("s{set}o{order}")).1.into_iter().enumerate() {
            let stage = (index / 2).min(2) + usize::from(index > 4);
            if stage > 2 && draw.random_bool(0.3) {
                stages[3].push(line.clone());
            }
            if stage > 0 || !stages[0].contains(&line) {
                stages[stage].push(line);
            }
        }
    }
    stages[3].shuffle(&mut draw);
    for tenant in ["debt", "write_off", "take_other_paid"] {
        deployment.add_secret(tenant);
    }
    deployment.start();
    for stage in &stages {
        deployment.publish_file(stage).await;
    }
    deployment.until_all_is_decided().await;
    for (set, lines) in sets.iter().enumerate() {
        let end = end(lines).await;
        for order in 0..ORDERS {
            deployment.ended(lines, &format!("s{set}o{order}"), end).await;
        }
    }
    deployment.remove().await;
}

/// One of the 720 orders of six things: what is left of `number` picks the next of those left.
fn order_of_six(mut number: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..6).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.remove(number % left.len()));
        number /= left.len() + 1;
    }
    order
}

/// All orders of six messages about one payment, and all of them again behind it: every order has an account of
/// its own whose messages stand in the queue in that order.
#[tokio::test(flavor = "multi_thread")]
async fn all_orders_of_six_messages_end_alike_in_postgres_too() {
    const ORDERS: usize = 720;
    let lines = six_messages("debt");
    let orders: BTreeSet<Vec<usize>> = (0..ORDERS).map(order_of_six).collect();
    assert_eq!(orders.len(), ORDERS);
    let mut deployment = Deployment::new().await;
    deployment.add_secret("debt");
    deployment.start();
    let mut file = renamed(&lines[..2], "nobody").1;
    deployment.publish_file(&file).await;
    file.clear();
    let of_accounts: Vec<Vec<Value>> = orders
        .iter()
        .enumerate()
        .map(|(number, order)| {
            let own = renamed(&lines, &format!("o{number}")).1;
            order.iter().map(|place| own[2 + place].clone()).collect()
        })
        .collect();
    // The first of every account, then the second of every account, …; then all of it once more.
    for place in (0..6).chain(0..6) {
        file.extend(of_accounts.iter().map(|messages| messages[place].clone()));
    }
    deployment.publish_file(&file).await;
    deployment.until_all_is_decided().await;
    let end = end(&lines).await;
    // 1000 bought, 30 % refunded, 70 % withdrawn: nothing is left, and nothing is owed.
    assert_eq!((end.balance.decimal(), end.debt.decimal()), (Decimal::ZERO, Decimal::ZERO));
    for number in 0..ORDERS {
        deployment.ended(&lines, &format!("o{number}"), end).await;
    }
    assert_eq!(deployment.count("grants").await, i64::try_from(ORDERS).unwrap(), "each was granted once");
    assert_eq!(deployment.count("quarantine").await, 0);
    deployment.remove().await;
}

impl Deployment {
    /// Sends lines as `publish` does and waits until all are answered.
    async fn publish_file(&self, lines: &[Value]) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        let told = self.tool(&["publish", file.path().to_str().unwrap()]).output().await.unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }

    async fn until_all_is_decided(&self) {
        let done = "select (select count(*) from unclaimed where not is_answered) + (select count(*) from waiting) = 0";
        until(self, "everything is decided", done).await;
    }

    /// The account of an order of `lines` ended as they do in memory.
    async fn ended(&self, lines: &[Value], account: &str, end: Numbers) {
        let Numbers { balance, frozen, debt, .. } = end;
        let ended: (Decimal, Decimal, Decimal) =
            sqlx::query_as("select balance, frozen, debt from accounts where tenant = $1 and account = $2")
                .bind(renamed(lines, account).0)
                .bind(account)
                .fetch_one(&self.pool)
                .await
                .unwrap();
        assert_eq!(ended, (balance.decimal(), frozen.decimal(), debt.decimal()), "{account} of {lines:#?}");
    }
}
