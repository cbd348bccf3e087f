//! The wire: bytes to commands, events to bytes.
//!
//! Owns every serde type that leaves the process, the message contract's strictness, webhook
//! signatures, and the hash of a message's content. Knows no broker and no database; decides
//! nothing about credits.
//!
//! Reading order: a delivery ([`raw`]), how it is read ([`mod@read`]), CloudEvents and their payloads,
//! Stripe, PayPal; then what goes out ([`event`], [`outcome`]), message files ([`mod@line`]), and what all of
//! them look like to others ([`schemas`]).
//!
//! Adding a type: a struct in `payload/<area>.rs`, one line in its registry, one arm in `content`,
//! an example under `tests/fixtures/messages/`, and its schema by `credit-ledger schema`.

mod amount;
mod announced;
mod cloudevent;
mod content;
mod fault;
mod field;
mod json;
mod lenient;
mod payload;
mod provider;
mod schema;
mod state;
mod stripe;

pub mod event;
pub mod line;
pub mod outcome;
pub mod paypal;
pub mod raw;
pub mod read;

pub use announced::announced_types;
pub use event::{Change, Heading, Outgoing, balance_changed, entry_json, quarantined, render};
pub use line::{Line, Signing};
pub use outcome::Reply;
pub use payload::types;
pub use raw::{Queue, Raw};
pub use read::{Incoming, Keys, NotRead, TenantMessage, Unaddressed, Unreadable, authentic, paypal_webhook, read, reread};
pub use schema::schemas;
pub use stripe::{BadSignature, decimals, major, sign, verify};

#[cfg(test)]
mod tests;
