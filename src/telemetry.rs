//! Logs: one line per thing that happened, never a payload.
//!
//! Owns their format. Field names: `account.id`, `message.id`, `message.type`, `outcome`,
//! `duration_ms`.

use crate::config::Log;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error; `RUST_LOG` outweighs the setting.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.filter));
    let on_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(on_terminal);
    // A logger that is already there (tests) stays.
    let _ = if log.format == "json" { builder.json().try_init() } else { builder.try_init() };
}
