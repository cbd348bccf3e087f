//! A deployment for one run: a database, a topology and workers that vanish afterwards.
//!
//! Owns making and removing them, and talking to the worker as any producer would: over the broker,
//! by the message contract. Never touches another database or prefix, never writes to the ledger.

use crate::amqp::{BrokerError, Outgoing, Published, Publisher, Replies, Topology};
use crate::catalog;
use crate::domain::ids::Id;
use crate::message::paypal::TestAuthority;
use crate::message::sign;
use crate::store::postgres::admin::Scratch;
use crate::store::postgres::{PostgresStore, catalogs, migrate};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Shards of the run's database.
pub const SHARDS: i16 = 16;
/// The id of every tenant's webhook at the PayPal of the test authority.
const PAYPAL_WEBHOOK: &str = "WH-DEMO";
/// Makes a worker believe that PayPal, which anybody could be.
pub const TRUST_TEST_AUTHORITY: (&str, &str) = ("CREDITS__PAYPAL__TRUST_TEST_AUTHORITY", "true");
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Where a run takes place.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Postgres, with any database of it; the run makes its own beside it.
    pub database_url: String,
    /// `RabbitMQ`.
    pub amqp_url: String,
    /// The worker's program.
    pub program: PathBuf,
}

/// One run's own database, exchanges, queues and folder.
pub struct Deployment {
    servers: Servers,
    database: Scratch,
    store: PostgresStore,
    topology: Topology,
    folder: PathBuf,
}

impl Deployment {
    /// Makes everything, under a name that begins with `word`.
    ///
    /// # Errors
    /// When a server refuses; what was made so far is removed again.
    pub async fn make(servers: Servers, word: &str) -> anyhow::Result<Self> {
        let database = Scratch::name(&servers.database_url, word)?;
        database.create().await.context("a database of its own cannot be made at DATABASE_URL")?;
        match Self::fill(&servers, &database).await {
            Ok((store, topology, folder)) => Ok(Self { servers, database, store, topology, folder }),
            Err(error) => {
                drop_database(&database).await?;
                Err(error)
            }
        }
    }

    async fn fill(servers: &Servers, database: &Scratch) -> anyhow::Result<(PostgresStore, Topology, PathBuf)> {
        migrate::migrate(database.url(), SHARDS).await?;
        let store = PostgresStore::connect(database.url(), 4).await?;
        let topology = Topology::new(database.as_str());
        topology.apply(&servers.amqp_url).await.context("RabbitMQ cannot be set up at AMQP_URL")?;
        let folder = std::env::temp_dir().join(database.as_str());
        fs::create_dir_all(folder.join("secrets"))?;
        Ok((store, topology, folder))
    }

    /// Its database, for reading.
    #[must_use]
    pub fn store(&self) -> &PostgresStore {
        &self.store
    }

    /// The database's address.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// Its exchanges and queues.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The broker's address.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.servers.amqp_url
    }

    /// Where the workers' logs are; it is removed with the deployment.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("worker.log")
    }

    /// Makes a tenant by its catalog and returns its generated webhook signing secret.
    ///
    /// # Errors
    /// When the catalog is wrong or cannot be stored.
    pub async fn tenant(&self, name: &str, document: &str) -> anyhow::Result<String> {
        let tenant = Id::new(name)?;
        let file = catalog::parse(name, document).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        catalogs::apply(self.store.pool(), &tenant, &file, document).await?;
        let secret = format!("whsec_{:032x}", rand::random::<u128>());
        let folder = self.folder.join("secrets").join(name).join("stripe");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("primary"), &secret)?;
        let folder = self.folder.join("secrets").join(name).join("paypal");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("primary"), PAYPAL_WEBHOOK)?;
        Ok(secret)
    }

    /// Starts a worker process; it is killed when dropped.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(&self, settings: &[(&str, &str)]) -> anyhow::Result<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        Command::new(&self.servers.program)
            .arg("run")
            .env("DATABASE_URL", self.database.url())
            .env("AMQP_URL", &self.servers.amqp_url)
            .env("AMQP_PREFIX", self.topology.prefix())
            .env("CREDITS_SECRETS_DIR", self.folder.join("secrets"))
            .env("CREDITS_HTTP_BIND", "127.0.0.1:0")
            .env("CREDITS__DATABASE__SHARDS", SHARDS.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the worker {} cannot be started", self.servers.program.display()))
    }

    /// Removes everything; the log too, unless it is to be kept.
    ///
    /// # Errors
    /// When a server refuses; the names of what is left are in the error.
    pub async fn remove(self, keep_log: bool) -> anyhow::Result<()> {
        self.store.close().await;
        let broker = self.topology.delete(&self.servers.amqp_url).await;
        drop_database(&self.database).await?;
        broker.with_context(|| format!("exchanges and queues {}.* could not be deleted", self.database.as_str()))?;
        let _ = fs::remove_dir_all(self.folder.join("secrets"));
        if !keep_log {
            let _ = fs::remove_dir_all(&self.folder);
        }
        Ok(())
    }
}

async fn drop_database(database: &Scratch) -> anyhow::Result<()> {
    database.drop().await.with_context(|| format!("database {} could not be dropped", database.as_str()))
}

/// Stops a worker in order and waits for its end.
///
/// # Errors
/// When it does not end, or not well.
pub async fn stop(mut worker: Child) -> anyhow::Result<()> {
    let Some(id) = worker.id() else { bail!("the worker ended by itself") };
    let asked = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
    let ended = timeout(ANSWER_MAX, worker.wait()).await.context("the worker did not stop")??;
    if !asked.success() || !ended.success() {
        bail!("the worker ended with {ended}");
    }
    Ok(())
}

/// A message about a tenant or one of its accounts, as a CloudEvent.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The account; none for the tenant itself.
    pub account: Option<&'a str>,
    /// Source of the message id.
    pub source: &'a str,
    /// The message id.
    pub id: &'a str,
    /// The type.
    pub kind: &'a str,
    /// The world's time.
    pub time: &'a str,
}

impl Said<'_> {
    /// The CloudEvent.
    #[must_use]
    pub fn body(&self, data: &Value) -> Vec<u8> {
        let mut event = json!({"specversion": "1.0", "id": self.id, "source": self.source, "type": self.kind,
            "tenant": self.tenant, "time": self.time, "data": data});
        if let Some(account) = self.account {
            event["subject"] = account.into();
        }
        event.to_string().into_bytes()
    }

    /// Where it is published.
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("{}.{}", self.kind, self.tenant)
    }
}

/// The headers of a signed Stripe webhook that was received as it was signed.
///
/// # Errors
/// When the secret is empty or the time is out of bounds.
pub fn signed(tenant: &str, secret: &str, at: i64, body: &[u8]) -> anyhow::Result<Vec<(String, String)>> {
    let signature = sign(secret.as_bytes(), at, body).context("the webhook cannot be signed")?;
    let received = jiff::Timestamp::from_second(at)?.to_string();
    Ok(vec![("Stripe-Signature".into(), signature), ("x-received-at".into(), received), ("x-tenant".into(), tenant.into())])
}

/// The headers of a PayPal webhook that the test authority signed for a tenant of a deployment.
///
/// # Errors
/// When it cannot sign, or the time is out of bounds.
pub fn signed_as_paypal(tenant: &str, at: i64, body: &[u8]) -> anyhow::Result<Vec<(String, String)>> {
    let at = jiff::Timestamp::from_second(at)?;
    let signed = TestAuthority::built_in().and_then(|authority| authority.signer.sign(PAYPAL_WEBHOOK, at, body));
    let headers = signed.context("the webhook cannot be signed")?.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(headers.chain([("x-received-at".to_owned(), at.to_string()), ("x-tenant".to_owned(), tenant.to_owned())]).collect())
}

/// A producer that awaits the outcome of every message.
pub struct Client {
    publisher: Publisher,
    replies: Replies,
    incoming: String,
    asked: u64,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn connect(amqp_url: &str, topology: &Topology) -> Result<Self, BrokerError> {
        Ok(Self {
            publisher: Publisher::new(amqp_url, "credit-ledger producer"),
            replies: Replies::open(amqp_url).await?,
            incoming: topology.incoming(),
            asked: 0,
        })
    }

    /// Publishes one message and waits for its final outcome.
    ///
    /// # Errors
    /// When the broker does not take it, or no outcome comes in time.
    pub async fn ask(&mut self, routing_key: String, headers: Vec<(String, String)>, body: Vec<u8>) -> anyhow::Result<Value> {
        self.asked = self.asked.saturating_add(1);
        let correlation = self.asked.to_string();
        let message = Outgoing {
            exchange: self.incoming.clone(),
            content_type: if headers.is_empty() { "application/cloudevents+json".into() } else { "application/json".into() },
            routing_key,
            headers,
            correlation_id: Some(correlation.clone()),
            reply_to: Some(self.replies.name().to_owned()),
            message_id: None,
            mandatory: true,
            body,
        };
        let published = self.publisher.publish_all(&[message]).await?;
        if published != [Published::Confirmed] {
            bail!("the broker did not take the message: {published:?}");
        }
        timeout(ANSWER_MAX, self.final_answer(&correlation)).await.context("no outcome came in time")?
    }

    async fn final_answer(&mut self, correlation: &str) -> anyhow::Result<Value> {
        loop {
            let (id, body) = self.replies.next().await.context("the connection to the broker was lost")?;
            let answer: Value = serde_json::from_slice(&body)?;
            if id.as_deref() == Some(correlation) && answer["outcome"] != "waiting" {
                return Ok(answer);
            }
        }
    }
}

/// The program that is running, to be started as a worker.
///
/// # Errors
/// When the system does not say.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program is unknown")
}

/// Runs what a deployment was made for until it ends or is interrupted.
///
/// # Errors
/// Those of the work, or that it was interrupted.
pub async fn until_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// Says where the log of a failed run is.
#[must_use]
pub fn log_hint(log: &Path) -> String {
    format!("the workers' log is kept in {}", log.display())
}
