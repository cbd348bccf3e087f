//! The engine without a broker: messages are handed to the lanes, so many at a time.
//!
//! Owns the window; refills it as messages are answered, as a prefetch does.

use super::workload::{ACCOUNTS, CATALOG, Maker, Spread, TENANT};
use super::{Bench, EngineRates, Options, SINGLE};
use crate::catalog;
use crate::domain::ids::Id;
use crate::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use crate::store::Submission;
use crate::store::postgres::catalogs;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Measures all engine figures; returns them and how many messages were applied.
///
/// # Errors
/// When the database cannot be used.
pub async fn measure(bench: &Bench, options: &Options) -> anyhow::Result<(EngineRates, u64)> {
    let mut applied = prepare(bench, options.limits).await?;
    let maker = Maker::new()?;
    let mut rate = async |limits: LaneLimits, window: u32, spread: Spread, count: u32| {
        applied += u64::from(count);
        drive(bench, limits, window, (0..count).map(|_| maker.usage(spread))).await
    };
    let rates = EngineRates {
        single: rate(SINGLE, 64, Spread::Uniform, options.messages / 10).await?,
        batch_64: rate(options.limits, 64, Spread::Uniform, options.messages / 2).await?,
        batch_1024: rate(options.limits, 1024, Spread::Uniform, options.messages).await?,
        hot_1024: rate(options.limits, 1024, Spread::Hot, options.messages).await?,
    };
    Ok((rates, applied))
}

/// Makes the tenant and 10,000 accounts of two grants each; returns how many messages that took.
///
/// # Errors
/// When the database cannot be used.
pub async fn prepare(bench: &Bench, limits: LaneLimits) -> anyhow::Result<u64> {
    let file = catalog::parse("bench", CATALOG)?;
    catalogs::apply(bench.store.pool(), &Id::new(TENANT)?, &file, CATALOG).await?;
    let maker = Maker::new()?;
    drive(bench, limits, 4096, (0..2 * ACCOUNTS).map(|index| maker.grant(index))).await?;
    bench.store.vacuum().await?;
    Ok(u64::from(2 * ACCOUNTS))
}

/// Hands messages over, at most `window` at a time; messages per second.
async fn drive(
    bench: &Bench,
    limits: LaneLimits,
    window: u32,
    messages: impl Iterator<Item = anyhow::Result<Submission>>,
) -> anyhow::Result<f64> {
    let setup = LaneSetup { origin: "bench".into(), shards: bench.store.shards(), limits, stop: CancellationToken::new() };
    let (lanes, tasks) = Lanes::start(bench.store.clone(), setup, |_, _| {});
    let room = Arc::new(Semaphore::new(usize::try_from(window)?));
    let mut count = 0_u32;
    let start = Instant::now();
    for submission in messages {
        let permit = room.clone().acquire_owned().await?;
        lanes.submit(Job::Message(submission?, Box::new(move |_| drop(permit))));
        count += 1;
    }
    drop(room.acquire_many(window).await?);
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    drop(lanes);
    tasks.wait().await;
    Ok(rate)
}
