//! The content of a message: what it asks, hashed (semantics §9).
//!
//! Owns one canonical text per command. Key order, spaces, the spelling of numbers, trace context
//! and defaults that were spelt out do not reach it, so a producer that sends the same thing again
//! is a duplicate and not a conflict. The text never changes for what it already covers: a new
//! field adds a line only when it is there. It never uses `Debug`, whose form is nobody's promise.

mod provider;

use super::payload::Asked;
use crate::domain::account::AccountKind;
use crate::domain::alert::AlertLevel;
use crate::domain::command::{
    Act, Command, GrantCredits, ProfileChange, Quote, RequestedGoods, Spend, StartSubscription, SubmitRequest, TopupChange, Usage,
};
use crate::domain::ids::{AccountKey, Hash, Id};
use crate::domain::settings::{OpenAccounts, PriorityChange, SettingChange, SettingsChange};
use crate::domain::tenant_command::TenantCommand;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

/// The hash of what a message asks of an account.
pub(super) fn of_account(kind: &str, key: &AccountKey, at: Timestamp, asked: &Asked) -> Hash {
    let mut text = Text::begin(kind, &key.tenant);
    text.put("account", &key.account);
    text.put("time", at.as_microsecond());
    command(&mut text, &asked.command);
    text.hash()
}

/// The hash of what a provider says of a payment without saying whose it is.
pub(super) fn of_unaddressed(kind: &str, tenant: &Id, at: Timestamp, asked: &Asked) -> Hash {
    let mut text = Text::begin(kind, tenant);
    text.put("time", at.as_microsecond());
    command(&mut text, &asked.command);
    text.hash()
}

/// The hash of what a message asks of a tenant.
pub(super) fn of_tenant(kind: &str, tenant: &Id, at: Timestamp, asked: &TenantCommand) -> Hash {
    let mut text = Text::begin(kind, tenant);
    text.put("time", at.as_microsecond());
    match asked {
        TenantCommand::ChangeSettings(change) => settings(&mut text, change),
        TenantCommand::ChangeStaff { member, role } => {
            text.put("member", member);
            text.put("role", role.word());
        }
        TenantCommand::RemoveStaff { member } => text.put("member", member),
        TenantCommand::ResetCycles { as_of } => text.put("as_of", as_of.as_microsecond()),
    }
    text.hash()
}

/// The hash of a message that is authentic but not ours.
pub(super) fn of_ignored(kind: &str, tenant: &Id) -> Hash {
    Text::begin(kind, tenant).hash()
}

/// Lines of `name=value`; line breaks and backslashes in values are escaped, so no value can write
/// a line of its own.
struct Text(String);

impl Text {
    fn begin(kind: &str, tenant: &Id) -> Self {
        let mut text = Self(String::with_capacity(384));
        text.put("content", 1);
        text.put("type", kind);
        text.put("tenant", tenant);
        text
    }

    fn put(&mut self, name: &str, value: impl Display) {
        self.0.push_str(name);
        self.0.push('=');
        // Writing to a String cannot fail.
        let _ = write!(Escaped(&mut self.0), "{value}");
        self.0.push('\n');
    }

    fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn hash(self) -> Hash {
        Hash::of(self.0.as_bytes())
    }
}

struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '\n' => self.0.push_str("\\n"),
                '\\' => self.0.push_str("\\\\"),
                plain => self.0.push(plain),
            }
        }
        Ok(())
    }
}

fn command(text: &mut Text, asked: &Command) {
    match asked {
        Command::Grant(asked) => grant(text, asked),
        Command::RecordUsage(asked) => usage(text, asked),
        Command::Spend(asked) => spend(text, asked),
        Command::Adjust(asked) => {
            text.put("credits", asked.credits);
            text.put("allow_debt", asked.allow_debt);
            act(text, &asked.act);
        }
        Command::Quote(asked) => quote(text, asked),
        Command::VoidGrant(asked) => {
            text.put("grant", &asked.grant);
            text.maybe("credits", asked.credits);
            act(text, &asked.act);
        }
        Command::RecordPayment(_)
        | Command::NamePayment(_)
        | Command::RecordRefund(_)
        | Command::RecordDispute(_)
        | Command::RecordSubscription(_)
        | Command::RecordInvoice(_)
        | Command::NameSubscription(_) => provider::put(text, asked),
        Command::RequestRefund(asked) => {
            text.put("payment", &asked.payment);
            text.put("requested_by", &asked.requested_by);
            text.put("reason", &asked.reason);
        }
        Command::ReverseRequest(asked) => {
            text.put("request", &asked.request);
            text.maybe("amount", asked.amount);
            text.put("reversed_by", &asked.reversed_by);
            text.put("reason", &asked.reason);
        }
        Command::SubmitRequest(asked) => request(text, asked),
        Command::DecideRequest(asked) => {
            text.put("request", &asked.request);
            text.put("accepted", asked.accepted);
            text.put("decided_by", &asked.decided_by);
            text.maybe("reason", asked.reason.as_ref());
            text.maybe("received_amount", asked.received_amount);
        }
        Command::CancelRequest(asked) => {
            text.put("request", &asked.request);
            text.put("cancelled_by", &asked.cancelled_by);
        }
        Command::OpenAccount(asked) | Command::ChangeAccount(asked) => profile(text, asked),
        Command::FreezeAccount(asked) | Command::UnfreezeAccount(asked) | Command::CloseAccount(asked) => act(text, asked),
        Command::StartSubscription(asked) => start(text, asked),
        Command::ChangeSubscription(asked) => {
            text.put("subscription", &asked.subscription);
            text.maybe("plan", asked.plan.as_ref());
            if let Some(all) = &asked.addons {
                // "None of them" is another content than "as they are".
                text.put("addons", all.len());
                addons(text, all);
            }
        }
        Command::CancelSubscription { subscription, at_cycle_end } => {
            text.put("subscription", subscription);
            text.put("at_cycle_end", at_cycle_end);
        }
        Command::ResumeSubscription { subscription } => text.put("subscription", subscription),
        Command::ResetCycle(asked) => {
            text.put("as_of", asked.as_of.as_microsecond());
            text.put("manual", asked.manual);
            text.maybe("subscription", asked.subscription.as_ref());
        }
    }
}

fn quote(text: &mut Text, asked: &Quote) {
    text.put("quote", &asked.quote);
    text.put("of", asked.asked.word());
    command(text, &asked.asked);
}

fn act(text: &mut Text, asked: &Act) {
    text.put("reason", &asked.reason);
    text.put("actor", &asked.actor);
}

fn grant(text: &mut Text, asked: &GrantCredits) {
    text.maybe("grant", asked.grant.as_ref());
    text.put("credits", asked.credits);
    text.put("source", asked.source.word());
    text.maybe("effective_at", asked.effective_at.map(Timestamp::as_microsecond));
    text.maybe("expires_at", asked.expires_at.map(Timestamp::as_microsecond));
    text.maybe("priority", asked.priority);
    for item in &asked.scope {
        text.put("scope", item);
    }
    text.put("cost_basis", asked.cost_basis);
    if let Some(rule) = &asked.rollover {
        text.put("rollover.min", rule.min);
        text.maybe("rollover.max", rule.max);
        text.maybe("rollover.max_percent", rule.max_percent);
        text.maybe("rollover.count", rule.count);
        text.maybe("rollover.cycles", rule.cycles);
    }
    if let Some(recurs) = &asked.recurs {
        text.put("recurs.interval", recurs.interval);
        text.put("recurs.anchor", recurs.anchor);
    }
    act(text, &asked.act);
}

fn usage(text: &mut Text, asked: &Usage) {
    text.put("meter", &asked.meter);
    text.put("quantity", asked.quantity);
    for (name, value) in &asked.dimensions {
        text.put("dimension", name);
        text.put("is", value);
    }
    text.maybe("member", asked.member.as_ref());
}

fn spend(text: &mut Text, asked: &Spend) {
    text.put("purpose", asked.purpose.word());
    text.put("reference", &asked.reference);
    text.maybe("service", asked.service.as_ref());
    text.put("credits", asked.credits);
    text.maybe("member", asked.member.as_ref());
}

fn request(text: &mut Text, asked: &SubmitRequest) {
    text.put("request", &asked.request);
    match &asked.goods {
        RequestedGoods::Package(package) => text.put("package", package),
        RequestedGoods::Credits { credits, price, currency } => {
            text.put("credits", credits);
            text.put("price", price);
            text.put("currency", currency);
        }
    }
    text.put("method", asked.method.word());
    text.put("requested_by", &asked.requested_by);
    if let Some(evidence) = &asked.evidence {
        text.put("evidence", &evidence.reference);
        text.maybe("evidence.url", evidence.url.as_ref());
    }
}

fn profile(text: &mut Text, asked: &ProfileChange) {
    text.maybe("kind", asked.kind.map(AccountKind::word));
    text.maybe("owner", asked.owner.as_ref());
    text.maybe("time_zone", asked.zone.as_ref().map(|(name, _)| name));
    if let Some(metadata) = &asked.metadata {
        text.put("metadata", metadata.len());
        for (name, value) in metadata {
            text.put("name", name);
            text.put("is", value);
        }
    }
    if let Some(alerts) = &asked.alerts {
        text.put("alerts", alerts.len());
        for alert in alerts {
            match alert.level {
                AlertLevel::Credits(level) => text.put("level", level),
                AlertLevel::Percent(percent) => text.put("percent", percent),
            }
            text.maybe("margin", alert.margin);
        }
    }
    match &asked.auto_topup {
        None => {}
        Some(TopupChange::Off) => text.put("auto_topup", "off"),
        Some(TopupChange::On(topup)) => {
            text.put("auto_topup", &topup.package);
            text.put("threshold", topup.threshold);
            text.maybe("target", topup.target);
            text.maybe("max", topup.max);
            text.maybe("window", topup.window);
        }
    }
    text.maybe("invoicing", asked.invoicing);
}

fn start(text: &mut Text, asked: &StartSubscription) {
    text.put("subscription", &asked.subscription);
    text.put("plan", &asked.plan);
    text.put("interval", asked.interval.word());
    text.put("anchor", asked.anchor);
    addons(text, &asked.addons);
}

fn addons(text: &mut Text, units: &BTreeMap<Id, u32>) {
    for (addon, units) in units {
        text.put("addon", addon);
        text.put("units", units);
    }
}

fn settings(text: &mut Text, change: &SettingsChange) {
    for change in &change.0 {
        match change {
            SettingChange::CreditPayments(on) => text.put("credit_payments", on),
            SettingChange::Insufficient(policy) => text.put("insufficient", policy.word()),
            SettingChange::FourEyes(on) => text.put("four_eyes", on),
            SettingChange::PriceCheck(check) => text.put("price_check", check.word()),
            SettingChange::Shortfall(policy) => text.put("shortfall", policy.word()),
            SettingChange::BurnOrder(order) => {
                text.put("burn_order", order.len());
                for key in order {
                    text.put("by", key);
                }
            }
            SettingChange::Priorities(named) => {
                for (name, change) in [
                    ("priorities.rollover", named.rollover),
                    ("priorities.plan", named.plan),
                    ("priorities.addon", named.addon),
                    ("priorities.promotional", named.promotional),
                    ("priorities.purchased", named.purchased),
                ] {
                    match change {
                        PriorityChange::Stays => {}
                        PriorityChange::Usual => unset(text, name, None::<&u32>),
                        PriorityChange::Number(number) => text.put(name, number),
                    }
                }
            }
            SettingChange::OpenAccounts(how) => text.put("open_accounts_automatically", *how == OpenAccounts::Automatic),
            SettingChange::RolloverCap(cap) => unset(text, "rollover_cap", cap.as_ref()),
            SettingChange::Livemode(live) => unset(text, "livemode", live.as_ref()),
            SettingChange::DebtMax(most) => unset(text, "debt_max", most.as_ref()),
            SettingChange::InvoicingThreshold(amount) => text.put("invoicing_threshold", amount),
            SettingChange::LateGraceHours(hours) => text.put("late_grace_hours", hours),
        }
    }
}

/// A setting that is unset says so: that is another content than not naming it.
fn unset(text: &mut Text, name: &str, value: Option<&impl Display>) {
    match value {
        Some(value) => text.put(name, value),
        None => text.put(name, "unset"),
    }
}
