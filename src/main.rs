//! The binary: one command, or a worker by its roles.

use credit_ledger::app::{self, Roles};
use credit_ledger::cli::{self, BadInput, BenchArgs, Next, Role, RunArgs, Services, SoakArgs};
use credit_ledger::{bench, config, demo, figures, lanes::LaneLimits, soak, telemetry};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// A batch allocates many small pieces and frees them together, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Accounts a soak run is about: few enough that each sees every kind of trouble.
const SOAK_ACCOUNTS: u32 = 200;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::report(&error.into()),
    };
    runtime.block_on(answer()).unwrap_or_else(|error| cli::report(&error))
}

async fn answer() -> anyhow::Result<ExitCode> {
    match cli::run(std::env::args_os()).await? {
        Next::Exit(status) => return Ok(status),
        Next::Run(args, services) => work(&args, services).await?,
        Next::Bench(args, services) => measure(&args, &services).await?,
        Next::Demo(services) => Box::pin(demo::run(services.reachable_database().await?, services.broker()?)).await?,
        Next::Soak(args, services) => endure(&args, &services).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a worker.
async fn work(args: &RunArgs, services: Services) -> anyhow::Result<()> {
    let mut settings = config::load(args.config.as_deref()).map_err(|error| BadInput::new(error.to_string()))?;
    if let Some(url) = services.database_url {
        settings.database.url.0 = url;
    }
    if let Some(url) = services.amqp_url {
        settings.amqp.url.0 = url;
    }
    telemetry::start(&settings.log);
    let has = |role: Role| args.roles.contains(&role);
    let roles = Roles {
        consume: has(Role::Consume),
        relay: has(Role::Relay),
        schedule: has(Role::Schedule),
        ingress: has(Role::Ingress),
        api: has(Role::Api),
    };
    config::addresses(&settings, roles.needs_database(), roles.needs_broker()).map_err(|error| BadInput::new(error.to_string()))?;
    app::run(settings, roles, figures::install()?).await
}

/// Kills workers while messages are sent, and compares what is left with what was sent.
async fn endure(args: &SoakArgs, services: &Services) -> anyhow::Result<()> {
    let span: jiff::SignedDuration = args.kill_every.parse().map_err(|_| BadInput::new("--kill-every is a time like 1s or 500ms"))?;
    let kill_every = Duration::try_from(span).map_err(|_| BadInput::new("--kill-every is above zero"))?;
    let options = soak::Options {
        messages: args.messages,
        workers: args.workers,
        kill_every,
        accounts: SOAK_ACCOUNTS,
        database_url: services.reachable_database().await?.to_owned(),
        amqp_url: services.broker()?.to_owned(),
    };
    Box::pin(soak::run(options)).await?;
    Ok(())
}

async fn measure(args: &BenchArgs, services: &Services) -> anyhow::Result<()> {
    let options = bench::Options {
        database_url: services.reachable_database().await?.to_owned(),
        amqp_url: services.amqp_url.clone(),
        messages: args.messages,
        rounds: args.rounds,
        yardstick_seconds: args.yardstick_seconds,
        limits: LaneLimits { batch_max: args.batch_max, at_work_max: args.at_work_max },
    };
    let watched = std::io::stderr().is_terminal();
    let progress = |what: &str| {
        if watched {
            eprintln!("{what} …");
        }
    };
    let text = if args.resets {
        let turn =
            bench::turn::Turn { accounts: args.messages, rounds: args.rounds, yardstick_seconds: args.yardstick_seconds, kill: args.kill };
        let report = bench::turn::run(&turn, &options.database_url, services.broker()?, progress).await?;
        if args.json { serde_json::to_string(&report)? } else { report.text() }
    } else if args.webhooks {
        let report = bench::storm::run(&options, services.broker()?, progress).await?;
        if args.json { serde_json::to_string(&report)? } else { report.text() }
    } else {
        let report = bench::run(&options, progress).await?;
        if args.json { serde_json::to_string(&report)? } else { report.text() }
    };
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
