//! The types of CloudEvents that are read, one registry line each.
//!
//! Owns which type belongs to which queue, what reads its `data` and what schema it has. A type of
//! the contract that has no line here is not built yet and is quarantined as `unknown_type`, to be
//! replayed later.

mod account;
mod adjust;
mod cycle;
mod grant;
mod quote;
mod request;
mod spend;
mod subscription;
mod tenant;
mod usage;

use super::fault::Fault;
use super::json::Object;
use super::raw::Queue;
use super::schema::{self, Draw};
use crate::domain::command::{Act, Command};
use crate::domain::ids::{Printable, Prose};
use crate::domain::tenant_command::TenantCommand;
use schemars::JsonSchema as _;
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

/// What `data` is when a message has a subject, or when it has none.
pub(super) struct Form<Read> {
    /// Reads it.
    pub(super) read: Read,
    /// Its schema, which is that of the struct it is read into.
    pub(super) schema: Draw,
}

/// A type of CloudEvent.
pub(super) struct Kind {
    /// Its name on the wire.
    pub(super) word: &'static str,
    /// The queue it may come through.
    pub(super) queue: Queue,
    /// Its data when the message has a subject; absent: it may not have one.
    pub(super) of_account: Option<Form<OfAccount>>,
    /// Its data when the message has no subject; absent: it must have one.
    pub(super) of_tenant: Option<Form<OfTenant>>,
}

const fn account(word: &'static str, queue: Queue, read: OfAccount, schema: Draw) -> Kind {
    Kind { word, queue, of_account: Some(Form { read, schema }), of_tenant: None }
}

const fn tenant(word: &'static str, queue: Queue, read: OfTenant, schema: Draw) -> Kind {
    Kind { word, queue, of_account: None, of_tenant: Some(Form { read, schema }) }
}

const fn either(word: &'static str, queue: Queue, of_account: Form<OfAccount>, of_tenant: Form<OfTenant>) -> Kind {
    Kind { word, queue, of_account: Some(of_account), of_tenant: Some(of_tenant) }
}

/// Members of an account are not built yet; only staff are.
const MEMBER: Form<OfAccount> = Form { read: tenant::member_of_account, schema: schema::unbuilt };

/// Every type that is read; the most frequent first.
pub(super) const KINDS: &[Kind] = &[
    account("usage.recorded", Queue::Usage, usage::recorded, usage::Recorded::json_schema),
    account("credits.spend", Queue::Commands, spend::spend, spend::Spending::json_schema),
    account("credits.grant", Queue::Commands, grant::grant, grant::Granting::json_schema),
    account("credits.adjust", Queue::Commands, adjust::adjust, adjust::Adjusting::json_schema),
    account("credits.quote", Queue::Commands, quote::quote, quote::Quoting::json_schema),
    account("credits.void", Queue::Commands, adjust::void, adjust::Voiding::json_schema),
    account("credit_request.submitted", Queue::Approvals, request::submitted, request::Submitted::json_schema),
    account("credit_request.decided", Queue::Approvals, request::decided, request::Decided::json_schema),
    account("credit_request.cancelled", Queue::Approvals, request::cancelled, request::Cancelled::json_schema),
    account("credit_request.reversed", Queue::Approvals, request::reversed, request::Reversed::json_schema),
    account("refund.requested", Queue::Commands, request::refund_requested, request::RefundRequested::json_schema),
    account("account.opened", Queue::Commands, account::opened, account::Opened::json_schema),
    account("account.changed", Queue::Commands, account::changed, account::Said::json_schema),
    account("account.frozen", Queue::Commands, account::frozen, account::Acted::json_schema),
    account("account.unfrozen", Queue::Commands, account::unfrozen, account::Acted::json_schema),
    account("account.closed", Queue::Commands, account::closed, account::Acted::json_schema),
    account("subscription.started", Queue::Commands, subscription::started, subscription::Started::json_schema),
    account("subscription.changed", Queue::Commands, subscription::changed, subscription::Changed::json_schema),
    account("subscription.cancelled", Queue::Commands, subscription::cancelled, subscription::Cancelled::json_schema),
    account("subscription.resumed", Queue::Commands, subscription::resumed, subscription::Resumed::json_schema),
    either(
        "cycle.reset",
        Queue::Commands,
        Form { read: cycle::of_account, schema: cycle::Reset::json_schema },
        Form { read: cycle::of_tenant, schema: cycle::ResetAll::json_schema },
    ),
    either("member.changed", Queue::Commands, MEMBER, Form { read: tenant::staff_changed, schema: tenant::StaffChanged::json_schema }),
    either("member.removed", Queue::Commands, MEMBER, Form { read: tenant::staff_removed, schema: tenant::StaffRemoved::json_schema }),
    tenant("tenant.settings_changed", Queue::Commands, tenant::settings_changed, tenant::Changed::json_schema),
];

/// The types that are read, by name.
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
fn act(reason: Prose, actor: Printable) -> Act {
    Act { reason, actor }
}
