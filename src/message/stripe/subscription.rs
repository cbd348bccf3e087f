//! Subscriptions: what is subscribed to, since when, and whether it runs.
//!
//! Owns how Stripe's words for a subscription's state are understood. Prices are read in both their homes.

use super::object::{Metadata, account_of, name, read, second};
use crate::domain::calendar::Interval;
use crate::domain::command::Command;
use crate::domain::ids::Printable;
use crate::domain::provider::{ProviderSubscription, SubscriptionSaid};
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::Said;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Subscription<'a> {
    id: String,
    status: Option<String>,
    metadata: Option<Object<Metadata>>,
    items: Option<Object<Items>>,
    cancel_at_period_end: Option<bool>,
    #[serde(borrow)]
    billing_cycle_anchor: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Items {
    #[serde(default)]
    data: Vec<Object<Item>>,
}

#[derive(Deserialize)]
struct Item {
    price: Option<Object<Price>>,
    // What prices were called before 2020.
    plan: Option<Object<Price>>,
    quantity: Option<u64>,
}

#[derive(Deserialize)]
struct Price {
    id: String,
    // Of a plan.
    interval: Option<String>,
    recurring: Option<Object<Recurring>>,
}

#[derive(Deserialize)]
struct Recurring {
    interval: Option<String>,
}

/// Any event about a subscription.
pub(super) fn subscription(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let subscription: Subscription<'_> = read(object)?;
    let account = account_of(subscription.metadata.as_ref())?;
    let mut interval = None;
    let mut items = Vec::new();
    for Object(item) in subscription.items.map(|items| items.0.data).unwrap_or_default() {
        let Some(Object(price)) = item.price.or(item.plan) else { continue };
        let every = price.recurring.and_then(|recurring| recurring.0.interval).or(price.interval);
        interval = interval.or(every.as_deref().and_then(Interval::from_word));
        let quantity = u32::try_from(item.quantity.unwrap_or(1)).map_err(|_| Fault::malformed("data.object: `quantity` is too large"))?;
        let id = Printable::new(&price.id).map_err(|_| Fault::malformed("data.object: a price's `id` is none"))?;
        items.push((id, quantity));
    }
    let said = match subscription.status.as_deref() {
        _ if kind == "customer.subscription.deleted" => SubscriptionSaid::Over,
        // One that is `unpaid` or `past_due` may still be paid.
        Some("canceled" | "incomplete_expired") => SubscriptionSaid::Over,
        Some("incomplete") => SubscriptionSaid::Pending,
        _ => SubscriptionSaid::Running,
    };
    let command = Command::RecordSubscription(ProviderSubscription {
        name: name(&subscription.id)?,
        items,
        interval,
        anchor: second(subscription.billing_cycle_anchor, "data.object.billing_cycle_anchor")?,
        said,
        cancels: subscription.cancel_at_period_end.unwrap_or(false),
        livemode,
    });
    Ok(Said::by(account, command))
}
