//! What an authentic webhook says, whoever sent it, and how that becomes a message.
//!
//! Owns the step from a provider's event, once it is understood, to what is handed on: one of an account, one
//! about a payment of somebody's, or nothing that concerns the ledger. The forms are `stripe`'s and `paypal`'s.

use super::content;
use super::fault::Fault;
use super::payload::Asked;
use super::read::{Incoming, Unaddressed};
use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use jiff::Timestamp;

/// Related objects that are read of one: more than any provider shows.
pub(super) const SHOWN_MAX: usize = 100;

/// What an event says.
pub(super) enum Said {
    /// Something about an account it names.
    Of(Id, Command),
    /// Something about a payment, without saying whose it is.
    OfSomebody(Command),
    /// Nothing about a payment, or about one that is not ours.
    Nothing,
}

impl Said {
    /// Something about the account, if there is one.
    pub(super) fn by(account: Option<Id>, command: Command) -> Self {
        match account {
            Some(account) => Self::Of(account, command),
            None => Self::OfSomebody(command),
        }
    }
}

/// Who sent which event.
pub(super) struct Envelope<'a> {
    pub(super) tenant: &'a Id,
    pub(super) id: MessageId,
    pub(super) kind: &'a str,
}

/// The provider's event under its provider's name.
pub(super) fn message_id(provider: &str, event: &Printable) -> Result<MessageId, Fault> {
    let source = Printable::new(provider).map_err(|_| Fault::malformed("the source"))?;
    Ok(MessageId { source, id: event.clone() })
}

/// The message. When the event was made is asked for only if it says something.
pub(super) fn incoming(envelope: Envelope<'_>, said: Said, at: impl FnOnce() -> Result<Timestamp, Fault>) -> Result<Incoming, Fault> {
    let Envelope { tenant, id, kind } = envelope;
    let tenant = tenant.clone();
    match said {
        Said::Nothing => Ok(Incoming::Ignored { content: content::of_ignored(kind, &tenant), tenant, id }),
        Said::Of(account, command) => {
            let (key, occurred_at, asked) = (AccountKey { tenant, account }, at()?, Asked::from(command));
            let content = content::of_account(kind, &key, occurred_at, &asked);
            Ok(Incoming::Account(Box::new(Message { id, content, account: key, occurred_at, command: asked.command })))
        }
        Said::OfSomebody(command) => {
            let (occurred_at, asked) = (at()?, Asked::from(command));
            let content = content::of_unaddressed(kind, &tenant, occurred_at, &asked);
            Ok(Incoming::Unaddressed(Box::new(Unaddressed { tenant, id, content, occurred_at, command: asked.command })))
        }
    }
}
