//! Billing subscriptions: they run, change, pause, end.
//!
//! Owns what PayPal's words for that mean. A subscription that PayPal bills no more runs until the end of what
//! was paid; one that nobody ever paid for is over.

use super::object::{Custom, instant, name, read};
use crate::domain::command::Command;
use crate::domain::ids::Printable;
use crate::domain::provider::{ProviderSubscription, SubscriptionSaid};
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::{SHOWN_MAX, Said};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Subscription {
    id: String,
    plan_id: Option<String>,
    quantity: Option<String>,
    status: Option<String>,
    start_time: Option<String>,
    create_time: Option<String>,
    custom_id: Option<String>,
    billing_info: Option<Object<Billing>>,
}

#[derive(Deserialize)]
struct Billing {
    last_payment: Option<IgnoredAny>,
    #[serde(default)]
    cycle_executions: Vec<Object<Executed>>,
}

#[derive(Deserialize)]
struct Executed {
    cycles_completed: Option<u32>,
}

impl Billing {
    fn has_begun(&self) -> bool {
        let executed = |Object(one): &Object<Executed>| one.cycles_completed.is_some_and(|completed| completed > 0);
        self.last_payment.is_some() || self.cycle_executions.iter().take(SHOWN_MAX).any(executed)
    }
}

/// Any event about a subscription.
pub(super) fn subscription(resource: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let subscription: Subscription = read(resource)?;
    let account = match Custom::read(subscription.custom_id.as_deref())? {
        Custom::Ours { account, .. } | Custom::Word(account) => Some(account),
        Custom::Foreign => None,
    };
    let has_begun = subscription.billing_info.as_ref().is_some_and(|billing| billing.0.has_begun());
    let (said, cancels) = said(kind, subscription.status.as_deref(), has_begun);
    let quantity = subscription.quantity.as_deref().unwrap_or("1");
    let quantity = quantity.parse().map_err(|_| Fault::malformed("resource: `quantity` is no number"))?;
    let plan = subscription.plan_id.as_deref().map(Printable::new).transpose();
    let plan = plan.map_err(|_| Fault::malformed("resource: `plan_id` is none"))?;
    let begins = subscription.start_time.as_deref().or(subscription.create_time.as_deref());
    let command = Command::RecordSubscription(ProviderSubscription {
        name: name(&subscription.id)?,
        items: plan.map(|plan| (plan, quantity)).into_iter().collect(),
        interval: None,
        anchor: instant(begins, "resource.start_time")?,
        said,
        cancels,
        livemode,
    });
    Ok(Said::by(account, command))
}

/// Where it is, and whether it ends with what was paid. The event says more than the status, which may have
/// moved on since.
fn said(kind: &str, status: Option<&str>, has_begun: bool) -> (SubscriptionSaid, bool) {
    let stops = match kind {
        "BILLING.SUBSCRIPTION.ACTIVATED" => false,
        "BILLING.SUBSCRIPTION.CANCELLED" | "BILLING.SUBSCRIPTION.EXPIRED" | "BILLING.SUBSCRIPTION.SUSPENDED" => true,
        _ => matches!(status, Some("CANCELLED" | "EXPIRED" | "SUSPENDED")),
    };
    match status {
        _ if stops && !has_begun => (SubscriptionSaid::Over, false),
        _ if stops => (SubscriptionSaid::Running, true),
        Some("APPROVAL_PENDING" | "APPROVED") if kind == "BILLING.SUBSCRIPTION.UPDATED" => (SubscriptionSaid::Pending, false),
        _ => (SubscriptionSaid::Running, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_billed_no_more_runs_until_its_end() {
        use SubscriptionSaid::{Over, Pending, Running};
        for (event, status, has_begun, expected) in [
            ("ACTIVATED", "ACTIVE", false, (Running, false)),
            ("ACTIVATED", "CANCELLED", true, (Running, false)),
            ("UPDATED", "ACTIVE", true, (Running, false)),
            ("UPDATED", "APPROVAL_PENDING", false, (Pending, false)),
            ("UPDATED", "SUSPENDED", true, (Running, true)),
            ("SUSPENDED", "SUSPENDED", true, (Running, true)),
            ("CANCELLED", "CANCELLED", true, (Running, true)),
            ("EXPIRED", "EXPIRED", true, (Running, true)),
            ("CANCELLED", "CANCELLED", false, (Over, false)),
            ("EXPIRED", "EXPIRED", false, (Over, false)),
        ] {
            assert_eq!(said(&format!("BILLING.SUBSCRIPTION.{event}"), Some(status), has_begun), expected, "{event} {status} {has_begun}");
        }
    }
}
