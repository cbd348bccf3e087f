//! Reading an account: balance, history, requests, subscriptions, the outcome of a message.
//!
//! Owns what these commands print. Never writes.

use super::admin::id;
use super::{BadInput, Services, print, told};
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::message::entry_json;
use crate::message::line::Basis;
use crate::statement::{self, AccountView};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::query::waits::Wait;
use crate::store::postgres::query::{Found, Home};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::process::ExitCode;

/// Waiting messages that are told one by one.
const WAITS_MAX: i64 = 10;
/// The outcome that is not one yet.
const WAITING: &str = "waiting";

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
    /// The balance at a past instant (like 2026-01-31T12:00:00Z) instead of now.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
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
pub struct ErasePayerArgs {
    /// Whose account.
    #[arg(value_parser = id)]
    tenant: Id,
    /// Which account.
    #[arg(value_parser = id)]
    account: Id,
    /// Which payment, by any of its names, like stripe:pi_3Qx; all without it.
    #[arg(value_parser = Printable::new)]
    payment: Option<Printable>,
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
        match store.home(&self.tenant, Some(&self.account)).await? {
            Some(home) => Ok(home),
            None => Err(unknown(store, &self.key()).await),
        }
    }
}

/// Reads an instant on the command line.
fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write it with date, time and offset, like 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00".to_owned())
}

/// Why nothing is known of an account: its tenant, or the account itself.
async fn unknown(store: &PostgresStore, key: &AccountKey) -> anyhow::Error {
    match no_tenant(store, &key.tenant).await {
        Ok(None) => anyhow!(
            "the ledger has no account {key}; check its name, or send the message that opens it: its first credit, or account.opened"
        ),
        Ok(Some(error)) | Err(error) => error,
    }
}

async fn no_tenant(store: &PostgresStore, tenant: &Id) -> anyhow::Result<Option<anyhow::Error>> {
    let known = store.tenant_clock(tenant).await?.is_some();
    Ok((!known).then(|| anyhow!(told::no_tenant(tenant))))
}

/// Refuses an instant that the tenant's time has not reached: what is due by then is not written yet.
async fn not_ahead(store: &PostgresStore, tenant: &Id, at: Timestamp) -> anyhow::Result<()> {
    let clock = store.tenant_clock(tenant).await?.filter(|clock| clock.is_test).and_then(|clock| clock.clock);
    let now = clock.unwrap_or_else(Timestamp::now);
    if at <= now {
        return Ok(());
    }
    let time = if clock.is_some() { "the tenant's test clock" } else { "now" };
    Err(BadInput::new(format!("--at {at} is later than {time} ({now}), and what will happen is not known; leave --at out for the present")))
}

/// What messages of the account wait for, a line each; empty when none does.
async fn waits(store: &PostgresStore, key: &AccountKey, home: Home) -> anyhow::Result<String> {
    let (all, waits) = store.waits(home, WAITS_MAX).await?;
    let Some(all) = usize::try_from(all).ok().filter(|all| *all > 0) else { return Ok(String::new()) };
    let mut lines = vec![format!("{} not in these numbers:", told::count(all, "message waits and is", "messages wait and are"))];
    lines.extend(waits.iter().map(|wait| format!("  {} waits {}", wait.message, told::wait(Some(key), &wait.on, wait.deadline))));
    lines.extend((all > waits.len()).then(|| format!("  and {} more", all.saturating_sub(waits.len()))));
    Ok(format!("\n{}", lines.join("\n")))
}

/// The balance of an account now or at a past instant; `None` for an account nobody named.
pub async fn view(store: &PostgresStore, key: &AccountKey, at: Option<Timestamp>, basis: Basis) -> anyhow::Result<Option<AccountView>> {
    let Some(reading) = store.reading(key, at).await? else { return Ok(None) };
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
    let home = args.of.home(&store).await?;
    if let Some(at) = args.at {
        not_ahead(&store, &key.tenant, at).await?;
    }
    let Some(view) = view(&store, &key, args.at, basis).await? else { return Err(unknown(&store, &key).await) };
    print(&if args.of.json {
        view.json(None)
    } else if args.at.is_some() {
        view.text()
    } else {
        view.text() + &waits(&store, &key, home).await?
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn history(services: &Services, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let home = args.of.home(&store).await?;
    let entries = store.history(home, args.limit).await?;
    if args.of.json {
        let entries: Vec<_> = entries.iter().map(entry_json).collect();
        print(&serde_json::json!({ "entries": entries }).to_string())?;
    } else {
        let history = if entries.is_empty() { "no entries yet".to_owned() } else { statement::history(&entries) };
        print(&(history + &waits(&store, &args.of.key(), home).await?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What an account has of something, as JSON or text, or that it has none.
fn listed<T>(json: bool, rows: &[T], none: &str, shown: (fn(&[T]) -> String, fn(&[T]) -> String)) -> anyhow::Result<ExitCode> {
    print(&match (json, rows.is_empty()) {
        (true, _) => shown.0(rows),
        (false, true) => none.to_owned(),
        (false, false) => shown.1(rows),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn requests(services: &Services, args: &AccountArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let requests = store.requests_of(args.home(&store).await?).await?;
    listed(args.json, &requests, "no credit requests", (statement::requests_json, statement::requests))
}

pub async fn payments(services: &Services, args: &AccountArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let payments = store.payments_of(args.home(&store).await?).await?;
    listed(args.json, &payments, "no payments", (statement::payments_json, statement::payments))
}

pub async fn erase_payer(services: &Services, args: &ErasePayerArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let of = AccountArgs { tenant: args.tenant.clone(), account: args.account.clone(), json: false };
    let erased = store.erase_payers(of.home(&store).await?, args.payment.as_ref()).await?;
    let Some(payment) = args.payment.as_ref().filter(|_| erased == 0) else {
        print(&format!(
            "{}; later events do not fill it again",
            told::count(usize::try_from(erased)?, "payment has no payer any more", "payments have no payer any more")
        ))?;
        return Ok(ExitCode::SUCCESS);
    };
    Err(anyhow!(
        "{} has no payment {payment}; nothing was erased; `credit-ledger payments {} {}` lists them",
        of.key(),
        args.tenant,
        args.account
    ))
}

pub async fn subscriptions(services: &Services, args: &AccountArgs) -> anyhow::Result<ExitCode> {
    let store = services.store().await?;
    let subscriptions = store.subscriptions_of(args.home(&store).await?).await?;
    listed(args.json, &subscriptions, "no subscriptions", (statement::subscriptions_json, statement::subscriptions))
}

pub async fn outcome(services: &Services, args: &OutcomeArgs) -> anyhow::Result<ExitCode> {
    let account = match args.account.as_str() {
        "-" => None,
        name => Some(id(name).map_err(|error| BadInput::new(format!("{name:?} is no account: {error}")))?),
    };
    let named = |text: &str| Printable::new(text).map_err(|error| BadInput::new(format!("{text:?}: {error}")));
    let message = MessageId { source: named(&args.source)?, id: named(&args.id)? };
    let store = services.store().await?;
    // A provider's event does not say whose it is: until somebody claims its payment it is the tenant's.
    let unclaimed = store.wait_of_nobody(&args.tenant, &message).await?;
    let mut found = unclaimed.as_ref().map(|_| Found::waiting());
    for of in [account.as_ref(), None] {
        if found.is_none() {
            found = store.find_outcome(&args.tenant, of, &message).await?;
        }
    }
    let Some(found) = found else { return Err(not_found(&store, args, &message).await) };
    let wait = match &account {
        _ if unclaimed.is_some() => unclaimed,
        Some(account) if found.outcome == WAITING => store.wait(&args.tenant, account, &message).await?,
        Some(_) | None => None,
    };
    print(&if args.json { outcome_json(&found, wait.as_ref())? } else { outcome_text(&found, wait.as_ref(), (args, account)) })?;
    Ok(ExitCode::SUCCESS)
}

async fn not_found(store: &PostgresStore, args: &OutcomeArgs, message: &MessageId) -> anyhow::Error {
    match no_tenant(store, &args.tenant).await {
        Ok(None) => anyhow!(
            "the ledger has no outcome for {message} of {}/{}: it has not arrived, is still queued, or was sent under other names; \
             check the four names, look into `credit-ledger quarantine list`, and whether a worker is ready (`credit-ledger health`); \
             when in doubt send it again with the same id",
            args.tenant,
            args.account
        ),
        Ok(Some(error)) | Err(error) => error,
    }
}

fn outcome_json(found: &Found, wait: Option<&Wait>) -> anyhow::Result<String> {
    let entries: Vec<_> = found.entries.iter().map(entry_json).collect();
    let mut text = format!(
        "{{\"outcome\":{},\"reasons\":{},\"entries\":{}",
        serde_json::to_string(&found.outcome)?,
        serde_json::to_string(&found.reasons)?,
        serde_json::to_string(&entries)?
    );
    if !found.held_up_by.is_empty() {
        text.push_str(",\"held_up_by\":");
        text.push_str(&serde_json::to_string(&found.held_up_by)?);
    }
    if let Some(wait) = wait {
        text.push_str(",\"waits_for\":");
        text.push_str(&told::wait_json(&wait.on, wait.deadline).to_string());
    }
    text.push('}');
    Ok(text)
}

fn outcome_text(found: &Found, wait: Option<&Wait>, (args, account): (&OutcomeArgs, Option<Id>)) -> String {
    let reasons = if found.reasons.is_empty() { String::new() } else { format!(": {}", found.reasons.join(", ")) };
    let mut lines = vec![format!("{}{reasons}", found.outcome)];
    if let Some(wait) = wait {
        let of = account.map(|account| AccountKey { tenant: args.tenant.clone(), account });
        lines.push(told::wait(of.as_ref(), &wait.on, wait.deadline));
    } else if found.outcome == WAITING {
        lines.push("until everything of the tenant that is due is written".to_owned());
    }
    if found.outcome == "quarantined" {
        lines.push(format!("find it and its reason with: credit-ledger quarantine list --tenant {} --ended", args.tenant));
    }
    if !found.held_up_by.is_empty() {
        lines.push(format!("held up by accounts that cannot be written: {}", found.held_up_by.join(", ")));
    }
    if !found.entries.is_empty() {
        lines.push(statement::history(&found.entries));
    }
    lines.join("\n")
}
