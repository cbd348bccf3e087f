//! Reading an account: balance, history, requests, subscriptions, the outcome of a message.
//!
//! Owns what these commands print. Never writes.

use super::admin::id;
use super::{BadInput, Services, print};
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::message::entry_json;
use crate::message::line::Basis;
use crate::statement::{self, AccountView};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::query::Home;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::process::ExitCode;

#[derive(Debug, Clone, Args)]
pub struct AccountArgs {
    /// Whose account.
    #[arg(value_parser = id)]
    tenant: Id,
    /// Which account.
    #[arg(value_parser = id)]
    account: Id,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BasisArg {
    /// What is known today about the instant.
    Known,
    /// What was recorded by the instant.
    Recorded,
}

#[derive(Debug, Args)]
pub struct BalanceArgs {
    #[command(flatten)]
    of: AccountArgs,
    /// The balance at a past instant (RFC 3339) instead of now.
    #[arg(long, value_name = "INSTANT")]
    at: Option<Timestamp>,
    /// What counts for the instant.
    #[arg(long = "as", value_enum, default_value = "known", requires = "at", value_name = "BASIS")]
    basis: BasisArg,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    of: AccountArgs,
    /// Show the newest N entries.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
}

#[derive(Debug, Args)]
pub struct OutcomeArgs {
    /// Whose message.
    #[arg(value_parser = id)]
    tenant: Id,
    /// Its account; `-` for a message about the tenant itself.
    account: String,
    /// Its source.
    source: String,
    /// Its id.
    id: String,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl AccountArgs {
    fn key(&self) -> AccountKey {
        AccountKey { tenant: self.tenant.clone(), account: self.account.clone() }
    }

    async fn home(&self, store: &PostgresStore) -> anyhow::Result<Home> {
        store.home(&self.tenant, Some(&self.account)).await?.ok_or_else(|| unknown(&self.key()))
    }
}

fn unknown(key: &AccountKey) -> anyhow::Error {
    anyhow!("the ledger has no account {key}; check the names, or send the message that opens it")
}

/// The balance of an account now or at a past instant; `None` for an account nobody named.
pub async fn view(store: &PostgresStore, key: &AccountKey, at: Option<Timestamp>, basis: Basis) -> anyhow::Result<Option<AccountView>> {
    let Some(reading) = store.reading(key).await? else { return Ok(None) };
    let (account, grants, settings) = (&reading.account, &reading.grants, &reading.settings);
    let (Some(at), Some(home)) = (at, store.home(&key.tenant, Some(&key.account)).await?) else {
        return Ok(Some(AccountView::of(account, grants, settings)));
    };
    let entries = store.entries_until(home, at, basis).await?;
    Ok(Some(AccountView::at(account, grants, settings, &entries)?))
}

pub async fn balance(services: &Services, args: &BalanceArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let basis = match args.basis {
        BasisArg::Known => Basis::Known,
        BasisArg::Recorded => Basis::Recorded,
    };
    let key = args.of.key();
    let view = view(&store, &key, args.at, basis).await?.ok_or_else(|| unknown(&key))?;
    print(&if args.of.json { view.json(None) } else { view.text() })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn history(services: &Services, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let entries = store.history(args.of.home(&store).await?, args.limit).await?;
    if args.of.json {
        let entries: Vec<_> = entries.iter().map(entry_json).collect();
        print(&serde_json::json!({ "entries": entries }).to_string())?;
    } else if entries.is_empty() {
        print("no entries yet")?;
    } else {
        print(&statement::history(&entries))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn requests(services: &Services, args: &AccountArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let requests = store.requests_of(args.home(&store).await?).await?;
    print(&match (args.json, requests.is_empty()) {
        (true, _) => statement::requests_json(&requests),
        (false, true) => "no credit requests".to_owned(),
        (false, false) => statement::requests(&requests),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn subscriptions(services: &Services, args: &AccountArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let subscriptions = store.subscriptions_of(args.home(&store).await?).await?;
    print(&match (args.json, subscriptions.is_empty()) {
        (true, _) => statement::subscriptions_json(&subscriptions),
        (false, true) => "no subscriptions".to_owned(),
        (false, false) => statement::subscriptions(&subscriptions),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn outcome(services: &Services, args: &OutcomeArgs) -> anyhow::Result<ExitCode> {
    let account = match args.account.as_str() {
        "-" => None,
        name => Some(id(name).map_err(|error| BadInput::new(format!("{name:?} is no account: {error}")))?),
    };
    let named = |text: &str| Printable::new(text).map_err(|error| BadInput::new(format!("{text:?}: {error}")));
    let message = MessageId { source: named(&args.source)?, id: named(&args.id)? };
    let store = services.store().await?;
    let Some(found) = store.find_outcome(&args.tenant, account.as_ref(), &message).await? else {
        return Err(anyhow!(
            "the ledger has no outcome for {message} of {}/{}: it has not arrived, is still queued, or was sent under other names",
            args.tenant,
            args.account
        ));
    };
    if args.json {
        let entries: Vec<_> = found.entries.iter().map(entry_json).collect();
        let mut text = String::from("{\"outcome\":");
        text.push_str(&serde_json::to_string(&found.outcome)?);
        text.push_str(",\"reasons\":");
        text.push_str(&serde_json::to_string(&found.reasons)?);
        text.push_str(",\"entries\":");
        text.push_str(&serde_json::to_string(&entries)?);
        if !found.held_up_by.is_empty() {
            text.push_str(",\"held_up_by\":");
            text.push_str(&serde_json::to_string(&found.held_up_by)?);
        }
        text.push('}');
        print(&text)?;
    } else {
        let reasons = if found.reasons.is_empty() { String::new() } else { format!(": {}", found.reasons.join(", ")) };
        print(&format!("{}{reasons}", found.outcome))?;
        if !found.held_up_by.is_empty() {
            print(&format!("held up by accounts that cannot be written: {}", found.held_up_by.join(", ")))?;
        }
        if !found.entries.is_empty() {
            print(&statement::history(&found.entries))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
