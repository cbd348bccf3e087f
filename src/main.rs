//! The binary: one command, or a worker by its roles.

use credit_ledger::app::{self, Roles};
use credit_ledger::cli::{self, BadInput, BenchArgs, Next, Role, RunArgs, Services};
use credit_ledger::{bench, config, demo, lanes::LaneLimits, telemetry};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

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
        Next::Demo(services) => demo::run(services.database()?, services.broker()?).await?,
        Next::Soak(..) => return Err(BadInput::new("soak is not in this build")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a worker. What an operator has to mend before it can start ends it with status 2.
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
    let roles = Roles { consume: has(Role::Consume), relay: has(Role::Relay), schedule: has(Role::Schedule) };
    app::run(settings, roles).await
}

async fn measure(args: &BenchArgs, services: &Services) -> anyhow::Result<()> {
    let options = bench::Options {
        database_url: services.database()?.to_owned(),
        amqp_url: services.amqp_url.clone(),
        messages: args.messages,
        rounds: args.rounds,
        yardstick_seconds: args.yardstick_seconds,
        limits: LaneLimits { batch_max: args.batch_max, at_work_max: args.at_work_max },
    };
    let watched = std::io::stderr().is_terminal();
    let report = bench::run(&options, |what| {
        if watched {
            eprintln!("{what} …");
        }
    })
    .await?;
    let text = if args.json { serde_json::to_string(&report)? } else { report.text() };
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
