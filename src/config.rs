//! The worker's settings: `config/default.toml`, a file of the operator's, the environment.
//!
//! Owns their names and their checks. A key nobody knows is refused: a misspelt setting must not be
//! ignored. Secrets never appear in an error.

use config::{Config, Environment, File, FileFormat};
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// Connections for what a worker does beside its lanes: claims, the relay, the scheduler, what is set aside.
const BESIDE_LANES: usize = 8;

/// The defaults, with every key explained.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// Why the worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A source cannot be read, or has a key or value that is not known.
    #[error("the settings cannot be used: {0}")]
    Unusable(#[from] config::ConfigError),
    /// A setting is missing or contradicts another.
    #[error("{0}")]
    Wrong(String),
}

/// An address with a password in it: never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Address(pub String);

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(address)")
    }
}

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who this is.
    pub deployment: Deployment,
    /// Postgres.
    pub database: Database,
    /// `RabbitMQ`.
    pub amqp: Amqp,
    /// Batching.
    pub lanes: Lanes,
    /// Signing secrets.
    pub secrets: Secrets,
    /// PayPal's webhooks.
    pub paypal: PayPal,
    /// Publishing.
    pub relay: Relay,
    /// Health, and reading accounts.
    pub http: Http,
    /// Reading accounts.
    pub api: Api,
    /// Taking webhooks.
    pub ingress: Ingress,
    /// Logs.
    pub log: Log,
}

/// Who this is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The CloudEvents source of announcements.
    pub name: String,
}

/// Postgres.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its address.
    pub url: Address,
    /// Most connections.
    pub connections_max: u32,
    /// Shards of the ledger.
    pub shards: i16,
}

/// `RabbitMQ`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amqp {
    /// Its address.
    pub url: Address,
    /// First word of every name.
    pub prefix: String,
    /// Unacknowledged payments.
    pub prefetch_payments: u16,
    /// Unacknowledged usage events.
    pub prefetch_usage: u16,
    /// Unacknowledged approvals.
    pub prefetch_approvals: u16,
    /// Unacknowledged commands.
    pub prefetch_commands: u16,
}

/// Batching.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lanes {
    /// Most messages of one transaction.
    pub batch_max: usize,
    /// Most transactions in flight.
    pub at_work_max: usize,
}

/// Publishing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// Hours that published rows are kept.
    pub keep_published_hours: u64,
}

/// Signing secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Their folder; empty: none.
    pub dir: String,
}

/// PayPal's webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayPal {
    /// certificate or api.
    pub verify: String,
    /// Hours that a webhook may have been sent before it was received.
    pub window_back_hours: u32,
    /// Seconds that it may seem to have been sent after.
    pub window_ahead_seconds: u32,
    /// A file of roots instead of the machine's; empty: the machine's.
    pub roots: String,
    /// A file of certificates that may stand between; empty: none.
    pub intermediates: String,
    /// Further places of certificates, apart by spaces.
    pub bases: String,
    /// Where PayPal is asked; empty: where the webhook's mode says.
    pub api_base: String,
    /// Believe what `publish` and the demo sign.
    pub trust_test_authority: bool,
}

/// Health, and reading accounts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// host:port.
    pub bind: String,
    /// Connections at a time.
    pub connections_max: usize,
    /// Seconds that the head of a request may take.
    pub head_seconds: u32,
}

/// Reading accounts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Connections to the database.
    pub database_connections: u32,
    /// Requests a second from one source.
    pub requests_per_second: u32,
    /// Requests at once from one source.
    pub requests_burst: u32,
}

/// Taking webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// host:port.
    pub bind: String,
    /// Connections at a time.
    pub connections_max: usize,
    /// Seconds that the head of a request may take.
    pub head_seconds: u32,
    /// Seconds that its body may take.
    pub body_seconds: u32,
    /// Seconds that the broker may take to confirm.
    pub confirm_seconds: u32,
    /// Requests a second from one source.
    pub requests_per_second: u32,
    /// Requests at once from one source.
    pub requests_burst: u32,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// text or json.
    pub format: String,
    /// What is logged.
    pub filter: String,
}

/// Short names of the environment, for what every deployment sets.
const SHORT: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("AMQP_URL", "amqp.url"),
    ("AMQP_PREFIX", "amqp.prefix"),
    ("CREDITS_SECRETS_DIR", "secrets.dir"),
    ("CREDITS_HTTP_BIND", "http.bind"),
    ("CREDITS_INGRESS_BIND", "ingress.bind"),
];

/// Reads all sources, the later ones winning: defaults, file, environment.
///
/// # Errors
/// [`ConfigError`] names the key; nothing was started.
pub fn load(file: Option<&Path>) -> Result<Settings, ConfigError> {
    let mut builder = Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    builder = builder.add_source(Environment::with_prefix("CREDITS").prefix_separator("__").separator("__").try_parsing(true));
    for (short, key) in SHORT {
        if let Ok(value) = std::env::var(short)
            && !value.is_empty()
        {
            builder = builder.set_override(key, value)?;
        }
    }
    let settings: Settings = builder.build()?.try_deserialize()?;
    check(&settings)?;
    Ok(settings)
}

/// Checks the addresses of what a process is to use: the database, the broker.
///
/// # Errors
/// [`ConfigError`] names the one that is missing; nothing was started.
pub fn addresses(settings: &Settings, database: bool, broker: bool) -> Result<(), ConfigError> {
    let wrong = |text: &str| Err(ConfigError::Wrong(text.to_owned()));
    if database && settings.database.url.0.is_empty() {
        return wrong("database.url is missing: set DATABASE_URL to the Postgres address");
    }
    if broker && settings.amqp.url.0.is_empty() {
        return wrong("amqp.url is missing: set AMQP_URL to the RabbitMQ address");
    }
    Ok(())
}

fn check(settings: &Settings) -> Result<(), ConfigError> {
    let wrong = |text: &str| Err(ConfigError::Wrong(text.to_owned()));
    let (http, api, ingress) = (&settings.http, &settings.api, &settings.ingress);
    if http.connections_max == 0 || http.head_seconds == 0 || api.database_connections == 0 {
        return wrong("http.connections_max, http.head_seconds and api.database_connections must be above 0");
    }
    if [api.requests_per_second, api.requests_burst, ingress.requests_per_second, ingress.requests_burst].contains(&0) {
        return wrong("api.requests_* and ingress.requests_* must be above 0: nobody could ask");
    }
    if ingress.connections_max == 0 || [ingress.head_seconds, ingress.body_seconds, ingress.confirm_seconds].contains(&0) {
        return wrong("ingress.connections_max and ingress.*_seconds must be above 0");
    }
    if settings.lanes.batch_max == 0 || settings.lanes.at_work_max == 0 {
        return wrong("lanes.batch_max and lanes.at_work_max must be above 0");
    }
    let connections = usize::try_from(settings.database.connections_max).unwrap_or(usize::MAX);
    if connections < settings.lanes.at_work_max.saturating_add(BESIDE_LANES) {
        return wrong(
            "database.connections_max must be at least 8 more than lanes.at_work_max: lanes would wait for what else the worker does",
        );
    }
    let amqp = &settings.amqp;
    if [amqp.prefetch_payments, amqp.prefetch_usage, amqp.prefetch_approvals, amqp.prefetch_commands].contains(&0) {
        return wrong("amqp.prefetch_* must be above 0: RabbitMQ takes 0 for no limit, and nothing would bound the worker's memory");
    }
    if settings.relay.keep_published_hours == 0 {
        return wrong("relay.keep_published_hours must be above 0");
    }
    if !["certificate", "api"].contains(&settings.paypal.verify.as_str()) {
        return wrong("paypal.verify is certificate or api");
    }
    if !["text", "json"].contains(&settings.log.format.as_str()) {
        return wrong("log.format is text or json");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_defaults_is_known_and_explained() {
        let parsed = Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml)).build().unwrap();
        let settings: Settings = parsed.try_deserialize().unwrap();
        assert_eq!(settings.amqp.prefix, "credits");
        let lines: Vec<&str> = DEFAULT.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
            let block_has_reason = lines[..index].iter().rev().take_while(|line| !line.is_empty()).any(|line| line.starts_with("# "));
            assert!(line.starts_with('#') || block_has_reason, "{line} has no comment above it");
        }
    }

    #[test]
    fn too_few_connections_are_refused_before_anything_starts() {
        let parsed = Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml)).build().unwrap();
        let mut settings: Settings = parsed.try_deserialize().unwrap();
        settings.database.url.0 = "postgres://u@h/d".into();
        settings.amqp.url.0 = "amqp://h".into();
        assert!(check(&settings).is_ok());
        let enough = u32::try_from(settings.lanes.at_work_max).unwrap() + 8;
        settings.database.connections_max = enough;
        assert!(check(&settings).is_ok());
        settings.database.connections_max = enough - 1;
        assert!(check(&settings).unwrap_err().to_string().starts_with("database.connections_max"));
    }
}
