//! The demonstration: a worker on real servers, and the story of two companies.
//!
//! Owns the order of the story and the check at its end. Everything goes over the broker as any
//! producer's messages do; a single unexpected outcome ends it with an error.

mod agency;
mod money_back;
mod show;
mod stage;
mod studio;

use crate::deployment::{Deployment, Servers, TRUST_TEST_AUTHORITY, log_hint, stop, this_program, until_interrupted};
use crate::reconcile::differences;
use anyhow::bail;
use stage::Stage;
use std::time::Instant;

/// Differences printed before the story ends with an error.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// Tells the story on a database and a topology of its own, which are removed afterwards.
///
/// # Errors
/// When a server cannot be used, an outcome is not the expected one, or a number cannot be
/// recomputed from the entries.
pub async fn run(database_url: &str, amqp_url: &str) -> anyhow::Result<()> {
    let servers = Servers { database_url: database_url.to_owned(), amqp_url: amqp_url.to_owned(), program: this_program()? };
    run_on(servers).await
}

/// As [`run`], with a worker program of the caller's choice.
///
/// # Errors
/// As [`run`].
pub async fn run_on(servers: Servers) -> anyhow::Result<()> {
    let started = Instant::now();
    let deployment = Deployment::make(servers, "demo").await?;
    let told = until_interrupted(tell(&deployment)).await;
    let log = deployment.log();
    deployment.remove(told.is_err()).await?;
    told.map_err(|error| error.context(log_hint(&log)))?;
    println!("\nDone in {:.1} s; the demo's database, exchanges and queues are removed again.", started.elapsed().as_secs_f64());
    Ok(())
}

async fn tell(deployment: &Deployment) -> anyhow::Result<()> {
    show::heading("A worker, Postgres and RabbitMQ");
    let secret = deployment.tenant("agency", include_str!("../../config/demo/agency.toml")).await?;
    deployment.tenant("studio", include_str!("../../config/demo/studio.toml")).await?;
    let mut stage = Stage::open(deployment).await?;
    let worker = deployment.start(&[TRUST_TEST_AUTHORITY])?;
    show::say("A new database and a new topology are made, a worker runs on them, a subscriber listens to all events.");
    show::say("From here on everything is a message: published with confirmation, answered with its outcome.");
    agency::tell(&mut stage, &secret).await?;
    money_back::tell(&mut stage, &secret).await?;
    studio::tell(&mut stage).await?;
    show::heading("What the subscriber received");
    stage.heard_all().await?;
    show::events(&stage.ear.events);
    show::heading("Reconcile");
    show::say("Every balance, grant and hash is recomputed from the entries alone.");
    stop(worker).await?;
    let (report, found) = differences(deployment.database_url(), DIFFERENCES_SHOWN_MAX).await?;
    for difference in &found {
        println!("  differs: {difference}");
    }
    if report.differences > 0 {
        bail!("{} numbers differ from the entries", report.differences);
    }
    println!("  reconcile: {} accounts, {} entries, no difference", report.counts.accounts, report.counts.entries);
    Ok(())
}
