//! The command line: what a person or a script asks, and how it is answered.
//!
//! Owns the commands, their options and exit statuses: 0 done; 1 it was looked at and something is
//! wrong, or a service refused; 2 the input, the usage or the settings are wrong and nothing was
//! changed. Prints results to standard output, everything else to standard error. Never shows the
//! password of an address.

mod account;
mod admin;
mod drift;
mod export;
mod health;
mod messages;
mod new_file;
mod permute;
mod plan;
mod publish;
mod quarantine;
mod reconcile;
mod report;
mod schema;
mod simulate;
mod told;
mod toml;

use crate::store::postgres::PostgresStore;
use crate::store::postgres::reach::reach;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
pub use report::report;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// An exact, append-only ledger of prepaid credits.
#[derive(Debug, Parser)]
#[command(name = "credit-ledger", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the services are.
    #[command(flatten)]
    pub services: Services,
}

/// Where the services are.
#[derive(Clone, Args)]
#[command(next_help_heading = "Services")]
pub struct Services {
    /// Postgres address: postgres://USER:PASSWORD@HOST:PORT/DATABASE.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// RabbitMQ address: amqp://USER:PASSWORD@HOST:PORT/VHOST.
    #[arg(long, global = true, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    pub amqp_url: Option<String>,
    /// The first word of every exchange and queue.
    #[arg(long, global = true, env = "AMQP_PREFIX", default_value = "credits", value_name = "WORD")]
    pub amqp_prefix: String,
    /// Folder with TENANT/stripe/*, one signing secret per file.
    #[arg(long, global = true, env = "CREDITS_SECRETS_DIR", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
}

impl fmt::Debug for Services {
    /// Whether, never what: addresses hold passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Services")
            .field("database_url", &self.database_url.is_some())
            .field("amqp_url", &self.amqp_url.is_some())
            .field("amqp_prefix", &self.amqp_prefix)
            .field("secrets_dir", &self.secrets_dir)
            .finish()
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a worker until it is told to stop.
    #[command(after_help = "Example: credit-ledger run --roles consume,relay\n\
                            A door for webhooks, on a machine that only needs the broker: credit-ledger run --roles ingress")]
    Run(RunArgs),
    /// Create or update the database schema.
    #[command(after_help = "Example: credit-ledger migrate --shards 16")]
    Migrate(admin::MigrateArgs),
    /// Declare or compare exchanges and queues.
    #[command(subcommand, after_help = "Example: credit-ledger topology apply")]
    Topology(admin::TopologyCommand),
    /// Check or load what a tenant sells.
    #[command(subcommand, after_help = "Example: credit-ledger catalog apply catalog.toml --tenant acme")]
    Catalog(admin::CatalogCommand),
    /// Look at tenants.
    #[command(subcommand, after_help = "Example: credit-ledger tenant list")]
    Tenant(admin::TenantCommand),
    /// Show an account's numbers and its grants in burn order.
    #[command(after_help = "Example: credit-ledger balance acme user-42 --json")]
    Balance(account::BalanceArgs),
    /// Show an account's entries with the running balance.
    #[command(after_help = "Example: credit-ledger history acme user-42 --limit 20")]
    History(account::HistoryArgs),
    /// Show an account's credit requests.
    #[command(after_help = "Example: credit-ledger requests acme user-42")]
    Requests(account::AccountArgs),
    /// Show an account's purchases with what they brought and what came back of them.
    #[command(after_help = "Example: credit-ledger payments acme user-42 --json")]
    Payments(account::AccountArgs),
    /// Erase who paid: name, mail address and country. Amounts and credits stay.
    #[command(after_help = "Example: credit-ledger erase-payer acme user-42 stripe:pi_3Qx\n\
                            Without a payment, of every payment of the account.")]
    ErasePayer(account::ErasePayerArgs),
    /// Show an account's plans with renewal dates and add-ons.
    #[command(after_help = "Example: credit-ledger subscriptions acme user-42")]
    Subscriptions(account::AccountArgs),
    /// Show what became of a message.
    #[command(after_help = "Example: credit-ledger outcome acme user-42 https://shop.example order-7 --json\n\
                            A message about the tenant itself: credit-ledger outcome acme - SOURCE ID")]
    Outcome(account::OutcomeArgs),
    /// Write entries or payments as CSV or JSON, for other programs.
    #[command(subcommand, after_help = "Example: credit-ledger export entries acme --from 2026-01-01 --to 2026-02-01 --output january.csv")]
    Export(export::ExportCommand),
    /// Look at messages that could not be applied; replay or discard them.
    #[command(subcommand, after_help = "Example: credit-ledger quarantine list --tenant acme")]
    Quarantine(quarantine::QuarantineCommand),
    /// Compute every number of the ledger again and compare.
    #[command(after_help = "Example: credit-ledger reconcile\nExit status 1 if anything differs. A worker may run meanwhile.")]
    Reconcile(reconcile::ReconcileArgs),
    /// Compare a provider's own list of payments with the ledger.
    #[command(after_help = "Example: credit-ledger drift --provider stripe --file payments.csv\n\
        Changes nothing. What each difference means and how to export the list: docs/drift.md\n\
        Exit status: 0 no difference; 1 differences; 2 it could not be compared, or not all of it: a row cannot be read, the \
        database is away, the provider refuses the key; 130 interrupted.")]
    Drift(drift::DriftArgs),
    /// Send a message file to the worker and print the outcomes.
    #[command(after_help = "Example: credit-ledger publish messages.jsonl\n\
        Needs the broker (AMQP_URL), and the database (DATABASE_URL) to know test clocks and what a message waits for. \
        Without DATABASE_URL only messages can be sent, and only of tenants without a test clock.\n\
        Exit status: 0 every message was answered, whatever the outcome; 1 not every message was sent and answered; \
        2 a line or a setting is wrong, and nothing was sent.")]
    Publish(publish::PublishArgs),
    /// Apply a message file in memory, or try a plan of a catalog month by month; needs no service.
    #[command(after_help = simulate::HELP)]
    Simulate(simulate::SimulateArgs),
    /// Try the messages of a file in other orders and with repeats; needs no service.
    #[command(after_help = "Example: credit-ledger permute webhooks.jsonl\n\
        Webhooks, credit_request.* and refund.requested change places with each other; any other line keeps its place, and \
        what stands between two of them stays there. Up to 720 orders are all tried, of more some are drawn.\n\n\
        Exit status: 0 every order ends with the same balances; 1 one does not; 2 a line or a file cannot be read.")]
    Permute(permute::PermuteArgs),
    /// Write JSON Schemas of all messages and an AsyncAPI document.
    #[command(after_help = "Example: credit-ledger schema --dir docs")]
    Schema(schema::SchemaArgs),
    /// Ask a running worker whether it is ready; exit status 0 if it is.
    #[command(after_help = "Example: HTTP_URL=http://127.0.0.1:8080 credit-ledger health")]
    Health(health::HealthArgs),
    /// Print completions for a shell.
    #[command(after_help = "Example: credit-ledger completions bash > /etc/bash_completion.d/credit-ledger")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Measure how many messages a second this machine applies.
    #[command(after_help = "Example: credit-ledger bench --webhooks")]
    Bench(BenchArgs),
    /// Run workers and traffic for a long time while failing on purpose.
    #[command(after_help = "Example: credit-ledger soak --messages 200000 --workers 3 --kill-every 1s")]
    Soak(SoakArgs),
    /// Show the ledger at work on a small example.
    #[command(after_help = "Example: credit-ledger demo")]
    Demo,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Take messages and apply them.
    Consume,
    /// Publish what was announced.
    Relay,
    /// Write what is due without a message.
    Schedule,
    /// Take webhooks over HTTP and hand them to the broker.
    Ingress,
    /// Let accounts be read over HTTP.
    Api,
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// What the process does; by default all but `ingress` and `api`, which open doors.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "consume,relay,schedule", value_name = "ROLE,...")]
    pub roles: Vec<Role>,
    /// A settings file; `config/default.toml` lists every key.
    #[arg(long, env = "CREDITS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Messages per figure, accounts with --resets; 50000 by default with --webhooks.
    #[arg(long, default_value_t = 100_000, default_value_if("webhooks", "true", "50000"), value_name = "N")]
    pub messages: u32,
    /// Interleaved rounds; figures are their medians.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rounds: usize,
    /// Seconds of each pgbench run; 0 leaves the yardstick out.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub yardstick_seconds: u32,
    /// Most messages of one transaction.
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub batch_max: usize,
    /// Most transactions in flight.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub at_work_max: usize,
    /// Compare signed Stripe webhooks with as many grants of the same size, instead; needs the broker.
    #[arg(long, conflicts_with = "resets")]
    pub webhooks: bool,
    /// Reset as many accounts, all due at one second, by two worker processes while usage goes on, instead; needs the
    /// broker.
    #[arg(long)]
    pub resets: bool,
    /// With --resets: kill one worker half-way and start another.
    #[arg(long, requires = "resets")]
    pub kill: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Options of `soak`.
#[derive(Debug, Clone, Args)]
pub struct SoakArgs {
    /// Messages to send, repeats and contradictions included.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub messages: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub workers: usize,
    /// How often one of them is killed, in seconds or milliseconds: 1s, 500ms.
    #[arg(long, default_value = "1s", value_name = "TIME")]
    pub kill_every: String,
}

/// What the caller does after the command line was read.
#[derive(Debug)]
pub enum Next {
    /// Nothing: the command is done.
    Exit(ExitCode),
    /// Run a worker.
    Run(RunArgs, Services),
    /// Run the benchmark.
    Bench(BenchArgs, Services),
    /// Run the soak test.
    Soak(SoakArgs, Services),
    /// Run the demonstration.
    Demo(Services),
}

/// The input, the usage or a setting is wrong; nothing was changed. Exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(String);

impl BadInput {
    /// The error as the command line reports it.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "it is only ever reported")]
    pub fn new(what: impl Into<String>) -> anyhow::Error {
        Self(what.into()).into()
    }
}

/// Reads the arguments and carries the command out, unless it is the caller's.
///
/// # Errors
/// What happened, what was not changed and what to do; [`report`] prints it.
pub async fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> anyhow::Result<Next> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_environment(error);
            let status = if error.use_stderr() { 2 } else { 0 };
            error.print()?;
            return Ok(Next::Exit(ExitCode::from(status)));
        }
    };
    let services = cli.services;
    let status = match cli.command {
        Command::Run(args) => return Ok(Next::Run(args, services)),
        Command::Bench(args) => return Ok(Next::Bench(args, services)),
        Command::Soak(args) => return Ok(Next::Soak(args, services)),
        Command::Demo => return Ok(Next::Demo(services)),
        Command::Migrate(args) => admin::migrate(&services, &args).await?,
        Command::Topology(command) => admin::topology(&services, &command).await?,
        Command::Catalog(command) => admin::catalog(&services, &command).await?,
        Command::Tenant(command) => admin::tenant(&services, &command).await?,
        Command::Balance(args) => account::balance(&services, &args).await?,
        Command::History(args) => account::history(&services, &args).await?,
        Command::Requests(args) => account::requests(&services, &args).await?,
        Command::Payments(args) => account::payments(&services, &args).await?,
        Command::ErasePayer(args) => account::erase_payer(&services, &args).await?,
        Command::Subscriptions(args) => account::subscriptions(&services, &args).await?,
        Command::Outcome(args) => account::outcome(&services, &args).await?,
        Command::Export(command) => export::run(&services, &command).await?,
        Command::Quarantine(command) => quarantine::run(&services, &command).await?,
        Command::Reconcile(args) => reconcile::run(&services, &args).await?,
        Command::Drift(args) => drift::run(&services, &args).await?,
        Command::Publish(args) => publish::run(&services, &args).await?,
        Command::Simulate(args) => simulate::run(&services, &args).await?,
        Command::Permute(args) => permute::run(&services, &args).await?,
        Command::Schema(args) => schema::run(&args)?,
        Command::Health(args) => health::run(&args).await?,
        Command::Completions { shell } => completions(shell)?,
    };
    Ok(Next::Exit(status))
}

/// Takes what the environment gave out of the usage line: it would stand there as if it had to be
/// written.
fn without_environment(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return error };
    let mut command = Cli::command();
    command.build();
    let usage = from_environment(&command).iter().fold(usage.to_string(), |usage, option| usage.replace(option, ""));
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
    error
}

/// Every option that the environment can give, as it stands in a usage line.
fn from_environment(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter(|option| option.get_env().is_some()).map(|option| format!(" {option}"));
    own.chain(command.get_subcommands().flat_map(from_environment)).collect()
}

impl Services {
    /// The database's address.
    ///
    /// # Errors
    /// When none was named.
    pub fn database(&self) -> anyhow::Result<&str> {
        self.database_url
            .as_deref()
            .filter(|url| !url.is_empty())
            .ok_or_else(|| BadInput::new("no database was named and nothing was changed; set DATABASE_URL or give --database-url"))
    }

    /// The broker's address.
    ///
    /// # Errors
    /// When none was named.
    pub fn broker(&self) -> anyhow::Result<&str> {
        self.amqp_url
            .as_deref()
            .filter(|url| !url.is_empty())
            .ok_or_else(|| BadInput::new("no broker was named and nothing was changed; set AMQP_URL or give --amqp-url"))
    }

    /// The database's address, after a login that succeeded: a pool would say of a wrong password only
    /// that it got no connection.
    ///
    /// # Errors
    /// When none was named, or what is in the way of a login.
    pub async fn reachable_database(&self) -> anyhow::Result<&str> {
        let url = self.database()?;
        reach(url).await?;
        Ok(url)
    }

    async fn store(&self) -> anyhow::Result<PostgresStore> {
        Ok(PostgresStore::connect(self.reachable_database().await?, 2).await?)
    }

    fn secrets(&self) -> anyhow::Result<crate::secrets::Secrets> {
        let Some(dir) = self.secrets_dir.as_deref().filter(|dir| !dir.as_os_str().is_empty()) else {
            return Ok(crate::secrets::Secrets::default());
        };
        crate::secrets::Secrets::load(dir).map_err(|error| BadInput::new(error.to_string()))
    }
}

/// Prints lines to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "credit-ledger", &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_one_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert_eq!(help.matches("Example: ").count(), 1, "{}", command.get_name());
        }
    }

    #[test]
    fn a_usage_line_asks_for_what_is_missing_only() {
        let services = ["--database-url", "postgres://h/d", "--amqp-url", "amqp://h", "--amqp-prefix", "p", "--secrets-dir", "s"];
        let error = Cli::try_parse_from(["credit-ledger", "balance", "acme"].iter().chain(&services)).unwrap_err();
        let said = without_environment(error).to_string();
        assert!(said.contains("Usage: credit-ledger balance <TENANT> <ACCOUNT>\n"), "{said}");
        let error = Cli::try_parse_from(["credit-ledger", "quarantine", "discard", "--actor", "ann", "3f"].iter().chain(&services));
        let said = without_environment(error.unwrap_err()).to_string();
        assert!(said.contains("Usage: credit-ledger quarantine discard --reason <TEXT> <DIGEST_PREFIX>\n"), "{said}");
    }

    #[test]
    fn roles_are_a_list() {
        let cli = Cli::try_parse_from(["credit-ledger", "run", "--roles", "consume,relay"]).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run") };
        assert_eq!(args.roles, [Role::Consume, Role::Relay]);
        let cli = Cli::try_parse_from(["credit-ledger", "run"]).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run") };
        assert_eq!(args.roles, [Role::Consume, Role::Relay, Role::Schedule]);
    }

    #[test]
    fn addresses_are_never_shown() {
        let cli = Cli::try_parse_from([
            "credit-ledger",
            "reconcile",
            "--database-url",
            "postgres://u:hush@h/d",
            "--amqp-url",
            "amqp://u:hush@h/",
        ])
        .unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
    }
}
