//! The types of CloudEvents that are read, one registry line each.
//!
//! Owns which type belongs to which queue and what reads its `data`. A type of the contract that
//! has no line here is not built yet and is quarantined as `unknown_type`, to be replayed later.

mod account;
mod adjust;
mod cycle;
mod grant;
mod request;
mod spend;
mod subscription;
mod tenant;
mod usage;

use super::fault::Fault;
use super::json::Object;
use super::raw::Queue;
use crate::domain::command::{Act, Command, TenantCommand};
use crate::domain::ids::Printable;
use serde::Deserialize;

/// What a message asks of one account.
pub(super) struct Asked {
    /// The command.
    pub(super) command: Command,
}

impl From<Command> for Asked {
    fn from(command: Command) -> Self {
        Self { command }
    }
}

type OfAccount = fn(&str) -> Result<Asked, Fault>;
type OfTenant = fn(&str) -> Result<TenantCommand, Fault>;

/// A type of CloudEvent.
pub(super) struct Kind {
    /// Its name on the wire.
    pub(super) word: &'static str,
    /// The queue it may come through.
    pub(super) queue: Queue,
    /// Reads its data when the message has a subject; absent: it may not have one.
    pub(super) of_account: Option<OfAccount>,
    /// Reads its data when the message has no subject; absent: it must have one.
    pub(super) of_tenant: Option<OfTenant>,
}

const fn account(word: &'static str, queue: Queue, read: OfAccount) -> Kind {
    Kind { word, queue, of_account: Some(read), of_tenant: None }
}

const fn tenant(word: &'static str, queue: Queue, read: OfTenant) -> Kind {
    Kind { word, queue, of_account: None, of_tenant: Some(read) }
}

const fn either(word: &'static str, queue: Queue, of_account: OfAccount, of_tenant: OfTenant) -> Kind {
    Kind { word, queue, of_account: Some(of_account), of_tenant: Some(of_tenant) }
}

/// Every type that is read; the most frequent first.
pub(super) const KINDS: &[Kind] = &[
    account("usage.recorded", Queue::Usage, usage::recorded),
    account("credits.spend", Queue::Commands, spend::spend),
    account("credits.grant", Queue::Commands, grant::grant),
    account("credits.adjust", Queue::Commands, adjust::adjust),
    account("credit_request.submitted", Queue::Approvals, request::submitted),
    account("credit_request.decided", Queue::Approvals, request::decided),
    account("credit_request.cancelled", Queue::Approvals, request::cancelled),
    account("account.opened", Queue::Commands, account::opened),
    account("account.changed", Queue::Commands, account::changed),
    account("account.frozen", Queue::Commands, account::frozen),
    account("account.unfrozen", Queue::Commands, account::unfrozen),
    account("account.closed", Queue::Commands, account::closed),
    account("subscription.started", Queue::Commands, subscription::started),
    account("subscription.changed", Queue::Commands, subscription::changed),
    account("subscription.cancelled", Queue::Commands, subscription::cancelled),
    account("subscription.resumed", Queue::Commands, subscription::resumed),
    either("cycle.reset", Queue::Commands, cycle::of_account, cycle::of_tenant),
    either("member.changed", Queue::Commands, tenant::member_of_account, tenant::staff_changed),
    either("member.removed", Queue::Commands, tenant::member_of_account, tenant::staff_removed),
    tenant("tenant.settings_changed", Queue::Commands, tenant::settings_changed),
];

/// The types that are read, by name: for schemas, examples and documents.
#[must_use]
pub fn types() -> Vec<(&'static str, Queue)> {
    KINDS.iter().map(|kind| (kind.word, kind.queue)).collect()
}

/// The type of this name.
pub(super) fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}

/// Reads `data` into its struct.
fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Fault> {
    let object: Object<T> = serde_json::from_str(data).map_err(|error| Fault::from(error).within("data"))?;
    Ok(object.0)
}

/// Why and who.
fn act(reason: Printable, actor: Printable) -> Act {
    Act { reason, actor }
}
