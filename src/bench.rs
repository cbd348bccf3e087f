//! The benchmark: how fast the ledger applies messages, beside the database's own yardstick.
//!
//! Owns the workload, the clock and the audit. A run whose audit fails has no speed.

use crate::domain::command::{Act, Command, GrantCredits, Message, Usage};
use crate::domain::credits::Credits;
use crate::domain::grant::GrantSource;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, Printable};
use crate::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use crate::message::raw::{Queue, Raw};
use crate::store::Submission;
use crate::store::postgres::{PostgresStore, catalogs, migrate};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub const TENANT: &str = "bench";
pub const CATALOG: &str = "currency = \"USD\"\n[[rates]]\nmeter = \"image\"\nprice = \"1\"\n";

pub fn name(text: &str) -> anyhow::Result<Id> {
    Ok(Id::new(text)?)
}

pub fn message(id: &str, account: &str, command: Command) -> anyhow::Result<Message> {
    Ok(Message {
        id: MessageId { source: Printable::new("bench")?, id: Printable::new(id)? },
        content: Hash::of(id.as_bytes()),
        account: AccountKey { tenant: name(TENANT)?, account: name(account)? },
        occurred_at: Timestamp::now(),
        command,
    })
}

pub fn submission(message: Message) -> Submission {
    let raw = Raw {
        queue: Queue::Usage,
        routing_key: String::new(),
        content_type: None,
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: Vec::new(),
    };
    Submission { message: Arc::new(message), raw: Arc::new(raw) }
}

/// Hands `messages` to the lanes, at most `window` at a time; returns messages per second.
pub async fn drive(store: &Arc<PostgresStore>, limits: LaneLimits, window: usize, messages: Vec<Submission>) -> anyhow::Result<f64> {
    let setup = LaneSetup { origin: "bench".into(), shards: store.shards(), limits, stop: CancellationToken::new() };
    let (lanes, tasks) = Lanes::start(store.clone(), setup, |_| {});
    let room = Arc::new(Semaphore::new(window));
    let count = messages.len();
    let start = Instant::now();
    for submission in messages {
        let permit = room.clone().acquire_owned().await?;
        lanes.submit(Job::Message(submission, Box::new(move |_| drop(permit))));
    }
    drop(room.acquire_many(u32::try_from(window)?).await?);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    drop(lanes);
    tasks.wait().await;
    Ok(rate)
}

pub fn grant(credits: u32) -> anyhow::Result<Command> {
    Ok(Command::Grant(GrantCredits {
        grant: None,
        credits: Credits::whole(credits),
        source: GrantSource::Promotional,
        effective_at: None,
        expires_at: None,
        priority: None,
        scope: Vec::new(),
        cost_basis: Credits::ZERO,
        rollover: None,
        recurs: None,
        act: Act { reason: Printable::new("bench")?, actor: Printable::new("bench")? },
    }))
}

pub fn usage() -> anyhow::Result<Command> {
    Ok(Command::RecordUsage(Usage { meter: name("image")?, quantity: Credits::whole(1), dimensions: BTreeMap::new(), member: None }))
}

/// A first measurement.
pub async fn quick(url: &str) -> anyhow::Result<()> {
    migrate::migrate(url, 16).await?;
    let store = Arc::new(PostgresStore::connect(url, 16).await?);
    catalogs::apply(store.pool(), &name(TENANT)?, &crate::catalog::parse("bench", CATALOG).map_err(|e| anyhow::anyhow!("{e}"))?, CATALOG).await?;
    let many = LaneLimits { batch_max: 256, at_work_max: std::env::var("AT_WORK").ok().and_then(|v| v.parse().ok()).unwrap_or(8) };
    let tag = Timestamp::now().as_microsecond();
    let mut setup = Vec::new();
    for account in 0..10_000 {
        for which in 0..2 {
            setup.push(submission(message(&format!("{tag}-g{which}-{account}"), &format!("acct_{account}"), grant(1_000_000)?)?));
        }
    }
    println!("setup {:.0}/s", drive(&store, many, 4096, setup).await?);
    for (label, limits, window, count) in [
        ("single", LaneLimits { batch_max: 1, at_work_max: 8 }, 64, 10_000),
        ("batch_64", many, 64, 30_000),
        ("batch_1024", many, 1024, 100_000),
        ("batch_1024", many, 1024, 100_000),
    ] {
        let mut messages = Vec::new();
        for index in 0..count {
            let account = rand::random_range(0..10_000);
            messages.push(submission(message(&format!("{tag}-{label}-{window}-{index}-{}", rand::random::<u32>()), &format!("acct_{account}"), usage()?)?));
        }
        println!("{label} {:.0}/s", drive(&store, limits, window, messages).await?);
    }
    let mut messages = Vec::new();
    for index in 0..100_000 {
        messages.push(submission(message(&format!("{tag}-hot-{index}"), "acct_1", usage()?)?));
    }
    println!("hot {:.0}/s", drive(&store, many, 1024, messages).await?);
    Ok(())
}
