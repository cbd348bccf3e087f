//! Setting up: schema, topology, catalogs, tenants.
//!
//! Owns what these commands print. Never changes a balance.

use super::{BadInput, Services, print, told};
use crate::amqp::Topology;
use crate::catalog::{self, CatalogErrors, CatalogFile};
use crate::domain::ids::Id;
use crate::statement;
use crate::store::postgres::catalogs::{self, ApplyError};
use crate::store::postgres::{migrate, policies};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Shards of a new database; fixed from then on.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(i16).range(1..=1024))]
    shards: i16,
}

pub async fn migrate(services: &Services, args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    migrate::migrate(services.reachable_database().await?, args.shards).await?;
    print(&format!("the database is ready: schema for worker version {}, {} shards", migrate::WORKER, args.shards))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Declare exchanges, queues and bindings; what exists is left alone.
    #[command(after_help = "Example: credit-ledger topology apply --amqp-prefix credits")]
    Apply,
    /// Compare the broker with the declaration; exit status 1 if it differs.
    #[command(after_help = "Example: credit-ledger topology check")]
    Check,
}

pub async fn topology(services: &Services, command: &TopologyCommand) -> anyhow::Result<ExitCode> {
    let topology = Topology::new(&services.amqp_prefix);
    let url = services.broker()?;
    match command {
        TopologyCommand::Apply => {
            let applied = topology.apply(url).await;
            applied.context("not everything is declared; what was there before is as it was; it is safe to run this again")?;
            print(&format!("exchanges and queues of {} are declared", topology.prefix()))?;
            Ok(ExitCode::SUCCESS)
        }
        TopologyCommand::Check => {
            let differences = topology.check(url).await.context("exchanges and queues were not compared; nothing was changed")?;
            for difference in &differences {
                print(&difference.to_string())?;
            }
            if differences.is_empty() {
                print(&format!("no difference: exchanges and queues of {} are as declared", topology.prefix()))?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Say everything that is wrong with a file, with its line.
    #[command(after_help = "Example: credit-ledger catalog check catalog.toml")]
    Check {
        /// The catalog.
        file: PathBuf,
    },
    /// Store a file as the tenant's next version, making the tenant if it is new.
    #[command(after_help = "Example: credit-ledger catalog apply catalog.toml --tenant acme")]
    Apply {
        /// The catalog.
        file: PathBuf,
        /// Whose.
        #[arg(long, value_parser = id, value_name = "ID")]
        tenant: Id,
    },
}

/// Reads an id on the command line.
pub fn id(text: &str) -> Result<Id, String> {
    Id::new(text).map_err(|error| error.to_string())
}

fn load(file: &Path) -> anyhow::Result<(CatalogFile, String)> {
    let name = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| BadInput::new(format!("{name} cannot be read: {error}; nothing was changed")))?;
    let read = catalog::parse(&name, &text);
    let read =
        read.map_err(|errors: CatalogErrors| BadInput::new(format!("the catalog cannot be used and nothing was changed\n{errors}")))?;
    Ok((read, text))
}

pub async fn catalog(services: &Services, command: &CatalogCommand) -> anyhow::Result<ExitCode> {
    match command {
        CatalogCommand::Check { file } => {
            let (read, _) = load(file)?;
            let goods = &read.catalog;
            let goods = [
                told::count(goods.packages.len(), "package", "packages"),
                told::count(goods.plans.len(), "plan", "plans"),
                told::count(goods.addons.len(), "add-on", "add-ons"),
                told::count(goods.rates.iter().count(), "rate", "rates"),
                told::count(goods.services.len(), "service", "services"),
            ];
            print(&format!("{} can be used: {}", file.display(), goods.join(", ")))?;
        }
        CatalogCommand::Apply { file, tenant } => {
            let (read, text) = load(file)?;
            for line in apply(services, tenant, &read, &text).await? {
                print(&line)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Stores a catalog and says what it changed.
pub async fn apply(services: &Services, tenant: &Id, file: &CatalogFile, text: &str) -> anyhow::Result<Vec<String>> {
    let store = services.store().await?;
    let before = catalogs::newest(store.pool(), tenant).await?;
    // A version that this worker cannot read any more is no reason to refuse the next.
    let old = before.as_deref().and_then(|text| catalog::parse("before", text).ok());
    let version = match catalogs::apply(store.pool(), tenant, file, text).await {
        Ok(version) => version,
        Err(wrong @ ApplyError::TestClock { .. }) => return Err(BadInput::new(wrong.to_string())),
        Err(error) => return Err(anyhow::Error::new(error).context("the catalog was not stored")),
    };
    let mut lines = catalog::changes(old.as_ref().map(|file| &file.catalog), &file.catalog);
    let made = before.is_none();
    lines.push(match (made, lines.is_empty()) {
        (true, _) => format!("tenant {tenant} was made with catalog version {version}"),
        (false, true) => {
            format!("tenant {tenant} stays at catalog version {version}: nothing that is sold changed; the file's policies are in force")
        }
        (false, false) => format!("tenant {tenant} is at catalog version {version}"),
    });
    Ok(lines)
}

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List tenants with their catalog version and number of accounts.
    #[command(after_help = "Example: credit-ledger tenant list --json")]
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show what a tenant has set: every version, from when it was in force and what changed it.
    #[command(after_help = "Example: credit-ledger tenant policies acme")]
    Policies {
        /// Whose.
        #[arg(value_parser = id, value_name = "TENANT")]
        tenant: Id,
        /// One JSON object a line, with all settings of each version.
        #[arg(long)]
        json: bool,
    },
}

pub async fn tenant(services: &Services, command: &TenantCommand) -> anyhow::Result<ExitCode> {
    match command {
        TenantCommand::List { json } => tenants(services, *json).await,
        TenantCommand::Policies { tenant, json } => policy_versions(services, tenant, *json).await,
    }
}

async fn policy_versions(services: &Services, tenant: &Id, json: bool) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let versions = policies::all(store.pool(), tenant).await.context("the settings cannot be read")?;
    if versions.is_empty() {
        return Err(BadInput::new(told::no_tenant(tenant)));
    }
    let mut table = statement::table(&["Version", "Since", "Changed by", "Sets"], &[0]);
    let mut before = serde_json::Map::new();
    for one in versions {
        let serde_json::Value::Object(settings) = serde_json::to_value(&one.settings)? else { continue };
        let since = one.effective_at.map(|at| at.to_string());
        if json {
            let version =
                serde_json::json!({"version": one.version, "effective_at": since, "changed_by": one.changed_by, "settings": settings});
            print(&version.to_string())?;
            continue;
        }
        let changed = settings.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let sets: Vec<String> = changed.map(|(key, value)| format!("{key} = {value}")).collect();
        table.add_row([one.version.to_string(), since.unwrap_or_else(|| "the beginning".to_owned()), one.changed_by, sets.join("\n")]);
        before = settings;
    }
    if !json {
        print(&statement::shown(&table))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn tenants(services: &Services, json: bool) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let tenants = catalogs::tenants(store.pool()).await.context("tenants cannot be listed")?;
    if json {
        for one in tenants {
            let clock = one.clock.map(|at| at.to_string());
            print(
                &serde_json::json!({"tenant": one.tenant, "catalog": one.catalog, "accounts": one.accounts, "test_clock": one.test_clock, "clock": clock})
                    .to_string(),
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = statement::table(&["Tenant", "Catalog", "Accounts", "Time"], &[1, 2]);
    for one in tenants {
        let time = match (one.test_clock, one.clock) {
            (false, _) => "real".to_owned(),
            (true, None) => "test clock, not started".to_owned(),
            (true, Some(at)) => format!("test clock at {at}"),
        };
        table.add_row([one.tenant, one.catalog.to_string(), one.accounts.to_string(), time]);
    }
    print(&statement::shown(&table))?;
    Ok(ExitCode::SUCCESS)
}
