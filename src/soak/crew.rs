//! The workers, and who ends them.
//!
//! Owns their processes: one is killed without warning at every tick and another takes its place.

use crate::deployment::{Deployment, stop};
use std::time::Duration;
use tokio::process::Child;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Small enough that a kill leaves some messages under way and others still in the broker.
const SETTINGS: [(&str, &str); 3] = [
    ("CREDITS__AMQP__PREFETCH_USAGE", "512"),
    ("CREDITS__DATABASE__CONNECTIONS_MAX", "12"),
    ("CREDITS__LOG__FILTER", "warn,lapin=off,sqlx=error"),
];

/// Worker processes of one deployment.
pub struct Crew<'a> {
    deployment: &'a Deployment,
    workers: Vec<Child>,
    /// Workers killed.
    pub kills: u64,
    /// Workers that ended by themselves.
    pub crashes: u64,
}

impl<'a> Crew<'a> {
    /// Starts `count` workers.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(deployment: &'a Deployment, count: usize) -> anyhow::Result<Self> {
        let workers = (0..count.max(1)).map(|_| deployment.start(&SETTINGS)).collect::<anyhow::Result<_>>()?;
        Ok(Self { deployment, workers, kills: 0, crashes: 0 })
    }

    /// Kills one worker after the other, until told to stop.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub async fn kill_every(&mut self, every: Duration, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = interval_at(tokio::time::Instant::now() + every, every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.replace_crashed()?;
            let victim = rand::random_range(0..self.workers.len());
            if let Some(worker) = self.workers.get_mut(victim) {
                worker.kill().await?;
                *worker = self.deployment.start(&SETTINGS)?;
                self.kills = self.kills.saturating_add(1);
            }
        }
        self.replace_crashed()
    }

    fn replace_crashed(&mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            if worker.try_wait()?.is_some() {
                self.crashes = self.crashes.saturating_add(1);
                *worker = self.deployment.start(&SETTINGS)?;
            }
        }
        Ok(())
    }

    /// Stops all workers in order.
    ///
    /// # Errors
    /// When one does not end well.
    pub async fn stop(self) -> anyhow::Result<()> {
        for worker in self.workers {
            stop(worker).await?;
        }
        Ok(())
    }
}
