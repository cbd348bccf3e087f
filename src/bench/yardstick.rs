//! TPC-B by `pgbench`, on a database of its own: what this machine and disk can do.
//!
//! Owns starting it and reading its figure.

use crate::store::postgres::admin::Scratch;
use anyhow::{Context as _, bail};
use tokio::process::Command;

/// The yardstick's database.
pub struct Yardstick {
    database: Scratch,
    seconds: u32,
}

impl Yardstick {
    /// Makes the database at scale 50; nothing when it is left out.
    pub async fn new(server: &str, seconds: u32) -> anyhow::Result<Self> {
        let yardstick = Self { database: Scratch::name(server, "bench_tpcb")?, seconds };
        if seconds > 0 {
            yardstick.database.create().await.context("a database of its own cannot be made")?;
            if !yardstick.database.is_durable().await? {
                bail!(
                    "fsync, full_page_writes or synchronous_commit is off: nothing that is measured without them would survive a power cut"
                );
            }
            yardstick.pgbench(&["-i", "-q", "-s", "50"]).await?;
        }
        Ok(yardstick)
    }

    async fn pgbench(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("pgbench")
            .args(arguments)
            .arg(self.database.url())
            .output()
            .await
            .context("pgbench cannot be started; it comes with Postgres (or leave it out with --yardstick-seconds 0)")?;
        if !output.status.success() {
            bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Transactions per second of one run.
    pub async fn measure(&mut self) -> anyhow::Result<f64> {
        if self.seconds == 0 {
            return Ok(0.0);
        }
        let seconds = self.seconds.to_string();
        let output = self.pgbench(&["-c", "8", "-j", "2", "-M", "prepared", "-T", &seconds]).await?;
        let figure = output.lines().find_map(|line| line.strip_prefix("tps = ")).and_then(|rest| rest.split(' ').next());
        figure.and_then(|figure| figure.parse().ok()).context("pgbench printed no figure")
    }

    /// Drops the database.
    pub async fn remove(self) -> anyhow::Result<()> {
        if self.seconds > 0 {
            self.database.drop().await?;
        }
        Ok(())
    }
}
