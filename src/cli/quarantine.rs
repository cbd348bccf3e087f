//! Messages set aside: look at them, send them again or give them up.
//!
//! Owns how one is named, by the beginning of its digest. Ends a row only after the broker has
//! confirmed the message, so that nothing is lost in between: at worst it is sent twice, and its
//! identity makes the second a duplicate.

use super::admin::id;
use super::{BadInput, Services, print, told};
use crate::amqp::{Outgoing, Published, Publisher, Topology};
use crate::domain::ids::Id;
use crate::message::Raw;
use crate::message::raw::CLOUDEVENT;
use crate::statement;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::quarantine::{self, End, Filter, Quarantined};
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::process::ExitCode;

/// Rows listed at most.
const LIST_MAX: i64 = 1_000;
/// What is shown of a body.
const SHOWN_BYTES_MAX: usize = 4_096;

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what was set aside, oldest first.
    #[command(after_help = "Example: credit-ledger quarantine list --tenant acme --json")]
    List {
        /// Only of this tenant.
        #[arg(long, value_parser = id, value_name = "ID")]
        tenant: Option<Id>,
        /// What was replayed or discarded too.
        #[arg(long)]
        ended: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its headers and the beginning of its body.
    #[command(after_help = "Example: credit-ledger quarantine show 3f9a0c")]
    Show(Named),
    /// Send one to the worker again, byte for byte.
    #[command(after_help = "Example: credit-ledger quarantine replay 3f9a0c")]
    Replay {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        by: By,
    },
    /// Give one up; its row stays, with the reason.
    #[command(after_help = "Example: credit-ledger quarantine discard 3f9a0c --reason \"sent by a test\" --actor ann")]
    Discard {
        #[command(flatten)]
        named: Named,
        /// Why; kept with the row.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, Args)]
pub struct Named {
    /// The beginning of its digest, as `quarantine list` shows it.
    digest_prefix: String,
}

#[derive(Debug, Args)]
pub struct By {
    /// Who does this; kept with the row. Without it, the role at the database.
    #[arg(long, env = "USER", value_name = "NAME")]
    actor: Option<String>,
}

pub async fn run(services: &Services, command: &QuarantineCommand) -> anyhow::Result<ExitCode> {
    match command {
        QuarantineCommand::List { tenant, ended, json } => {
            let filter = Filter { tenant: tenant.as_ref().map(Id::as_str), prefix: "", ended: *ended };
            list(&services.store().await?, filter, *json).await?;
        }
        QuarantineCommand::Show(named) => {
            let store = services.store().await?;
            let row = named.one(&store, true).await?;
            show(&row, &quarantine::raw(store.pool(), &row).await?)?;
        }
        QuarantineCommand::Replay { named, by } => replay(services, named, by).await?,
        QuarantineCommand::Discard { named, reason, by } => {
            if reason.trim().is_empty() {
                return Err(BadInput::new("a reason is needed to discard a message; nothing was changed"));
            }
            let store = services.store().await?;
            let row = named.one(&store, false).await?;
            let end = End::Discarded { reason: reason.trim() };
            if !quarantine::end(store.pool(), &row, end, by.actor.as_deref()).await? {
                bail!("{} has come again or was ended by somebody else meanwhile; nothing was changed; look at it again", short(&row));
            }
            print(&format!("{} is discarded ({}); its row and bytes stay in the table", short(&row), plain(reason.trim())))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Named {
    /// The one row the prefix names: an open one, else, if they may be looked at, one that ended.
    async fn one(&self, store: &PostgresStore, ended: bool) -> anyhow::Result<Quarantined> {
        let prefix = self.digest_prefix.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadInput::new(format!("{:?} is not the beginning of a digest; `quarantine list` shows them", self.digest_prefix)));
        }
        let filter = Filter { prefix: &prefix, ..Filter::default() };
        let mut rows = quarantine::list(store.pool(), filter, 2).await?;
        if rows.is_empty() {
            let mut with_ended = quarantine::list(store.pool(), Filter { ended: true, ..filter }, 2).await?;
            if ended {
                rows = with_ended;
            } else if let Some(how) = with_ended.pop().as_ref().and_then(self::ended) {
                bail!(
                    "no open message in quarantine begins with {prefix}: it was {how}; nothing was changed; \
                     `quarantine list --ended` shows it"
                );
            }
        }
        match (rows.pop(), rows.pop()) {
            (Some(row), None) => Ok(row),
            (Some(_), Some(_)) => {
                Err(BadInput::new(format!("more than one message in quarantine begins with {prefix}; give more of the digest")))
            }
            (None, _) => Err(anyhow!(
                "no {}message in quarantine begins with {prefix}; `quarantine list` shows the open ones, with --ended all",
                if ended { "" } else { "open " }
            )),
        }
    }
}

/// Enough of a digest to name it.
fn short(row: &Quarantined) -> String {
    told::short(&row.digest)
}

async fn list(store: &PostgresStore, filter: Filter<'_>, json: bool) -> anyhow::Result<()> {
    let rows = quarantine::list(store.pool(), filter, LIST_MAX).await?;
    if json {
        for row in &rows {
            print(&object(row).to_string())?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        return print("nothing is in quarantine");
    }
    let mut header = vec!["Digest", "Since (UTC)", "Queue", "Reason", "Tenant", "Account", "Message", "Seen"];
    header.extend(filter.ended.then_some("Ended"));
    let mut table = statement::table(&header, &[7]);
    for row in &rows {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
        let mut cells = vec![
            short(row),
            second(row.first_seen_at.to_jiff()),
            row.queue.clone(),
            row.reason.clone(),
            or_unknown(&row.tenant),
            or_unknown(&row.account),
            or_unknown(&row.id),
            row.seen.to_string(),
        ];
        cells.extend(filter.ended.then(|| ended(row).unwrap_or_else(|| "open".to_owned())));
        table.add_row(cells);
    }
    print(&statement::shown(&table))?;
    if usize::try_from(LIST_MAX).is_ok_and(|most| rows.len() >= most) {
        print(&format!("these are the oldest {LIST_MAX}; there may be more: name a --tenant, or replay and discard first"))?;
    }
    Ok(())
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How, when, by whom and why a row ended, on one line.
fn ended(row: &Quarantined) -> Option<String> {
    let (at, how) = (row.ended_at?, row.ended_as.as_deref()?);
    let by = row.ended_by.as_deref().map(|by| format!(" by {}", plain(by))).unwrap_or_default();
    let why = row.ended_reason.as_deref().map(|why| format!(": {}", plain(why).replace('\n', " "))).unwrap_or_default();
    Some(format!("{how} {}{by}{why}", second(at.to_jiff())))
}

fn object(row: &Quarantined) -> serde_json::Value {
    serde_json::json!({
        "digest": hex::encode(&row.digest), "queue": row.queue, "reason": row.reason, "detail": row.detail,
        "tenant": row.tenant, "account": row.account, "source": row.source, "id": row.id, "seen": row.seen,
        "first_seen_at": row.first_seen_at.to_jiff().to_string(), "body_bytes": row.body_bytes,
        "ended_at": row.ended_at.map(|at| at.to_jiff().to_string()), "ended_as": row.ended_as, "ended_by": row.ended_by,
        "ended_reason": row.ended_reason,
    })
}

/// Everything known about a message. A signature header would let a reader forge nothing: it signs
/// these bytes only.
fn show(row: &Quarantined, raw: &Raw) -> anyhow::Result<()> {
    print(&format!("digest       {}\nreason       {}: {}", hex::encode(&row.digest), row.reason, row.detail))?;
    for (name, value) in [("tenant", &row.tenant), ("account", &row.account), ("source", &row.source), ("id", &row.id)] {
        print(&format!("{name:12} {}", value.as_deref().unwrap_or("could not be read")))?;
    }
    print(&format!("routing key  {}\nfirst seen   {}\nseen         {}", raw.routing_key, row.first_seen_at.to_jiff(), row.seen))?;
    if let Some(ended) = ended(row) {
        print(&format!("ended        {ended}"))?;
    }
    for (name, value) in &raw.headers {
        print(&format!("header       {}: {}", plain(name), plain(value)))?;
    }
    let shown = raw.body.get(..SHOWN_BYTES_MAX).unwrap_or(&raw.body);
    print(&format!("body         {} bytes\n{}", row.body_bytes, plain(&String::from_utf8_lossy(shown))))?;
    if shown.len() < raw.body.len() {
        print(&format!("(the first {SHOWN_BYTES_MAX} bytes)"))?;
    }
    Ok(())
}

/// Text of strangers must not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter }).collect()
}

async fn replay(services: &Services, named: &Named, by: &By) -> anyhow::Result<()> {
    let store = services.store().await?;
    let url = services.broker()?;
    let row = named.one(&store, false).await?;
    let raw = quarantine::raw(store.pool(), &row).await?;
    if usize::try_from(row.body_bytes).is_ok_and(|bytes| bytes > raw.body.len()) {
        bail!("{} was too large and only its beginning was kept; it cannot be replayed; ask its producer to send it again", short(&row));
    }
    let exchange = Topology::new(&services.amqp_prefix).incoming();
    let mut publisher = Publisher::new(url, "credit-ledger replay");
    publisher.connect().await.with_context(|| format!("{} was not sent and stays in quarantine", short(&row)))?;
    let published = publisher.publish_all(&[outgoing(&exchange, raw)]).await;
    publisher.close().await;
    let published = published.map_err(|error| {
        let became = if error.is_transient() {
            "may have arrived, and stays in quarantine; replay it again: what arrives twice is applied once"
        } else {
            "was not sent and stays in quarantine"
        };
        anyhow::Error::new(error).context(format!("{} {became}", short(&row)))
    })?;
    match published.first() {
        Some(Published::Confirmed) => {}
        Some(Published::Unroutable) => {
            return Err(anyhow!(
                "no queue takes the routing key of {}; it stays in quarantine; run `topology check`, or discard it",
                short(&row)
            ));
        }
        Some(Published::Refused) | None => bail!("the broker did not take {}; it stays in quarantine; try again", short(&row)),
    }
    if !quarantine::end(store.pool(), &row, End::Replayed, by.actor.as_deref()).await? {
        bail!("{} was sent, and is in quarantine again or was ended by somebody else meanwhile; `quarantine show` tells why", short(&row));
    }
    print(&format!("{} is sent again; `credit-ledger outcome` shows what becomes of it", short(&row)))
}

/// A delivery on its way to the worker.
pub fn outgoing(exchange: &str, raw: Raw) -> Outgoing {
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: raw.routing_key,
        content_type: raw.content_type.unwrap_or_else(|| if raw.headers.is_empty() { CLOUDEVENT } else { "application/json" }.to_owned()),
        headers: raw.headers.into_iter().collect(),
        correlation_id: raw.correlation_id,
        reply_to: raw.reply_to,
        message_id: None,
        mandatory: true,
        body: raw.body,
    }
}
