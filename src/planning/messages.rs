//! The messages of a scenario, as a producer would send them.
//!
//! Owns their ids and data. Never decides anything by them: the ledger reads them like any others.

use super::Scenario;
use super::pattern::Pattern;
use crate::domain::account::{AccountKind, Zone};
use crate::domain::calendar::Interval;
use crate::domain::credits::Credits;
use crate::domain::ids::{AccountKey, Id, NameError};
use crate::message::Line;
use crate::message::line::CatalogText;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Who sells.
const TENANT: &str = "trial";
/// Who is on the plan.
const CUSTOMER: &str = "customer";
/// Who accepts what the customer buys.
const STAFF: &str = "staff";

/// Makes messages, each with an id of its own.
#[derive(Debug)]
pub(super) struct Messages {
    key: AccountKey,
    made: u64,
}

impl Messages {
    /// Messages about the one account of a scenario.
    pub(super) fn new() -> Result<Self, NameError> {
        Ok(Self { key: AccountKey { tenant: Id::new(TENANT)?, account: Id::new(CUSTOMER)? }, made: 0 })
    }

    /// The account of the customer.
    pub(super) fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The catalog, which makes the tenant.
    pub(super) fn catalog(&self, tree: Value) -> Line {
        Line::Catalog { tenant: self.key.tenant.clone(), catalog: CatalogText::Inline(tree) }
    }

    /// Somebody who may decide about requests.
    pub(super) fn staff(&mut self, at: Timestamp) -> Line {
        self.event("member.changed", None, at, &json!({"member": STAFF, "role": "admin"}))
    }

    /// The customer's account.
    pub(super) fn account(&mut self, at: Timestamp, kind: AccountKind, zone: &Zone) -> Line {
        let data = json!({"kind": kind.word(), "owner": CUSTOMER, "time_zone": zone.name()});
        self.event("account.opened", Some(CUSTOMER), at, &data)
    }

    /// The start of the plan, anchored where the scenario begins.
    pub(super) fn subscription(&mut self, at: Timestamp, scenario: &Scenario, interval: Interval) -> Line {
        let addons: Vec<Value> = scenario.addons.iter().map(|(addon, units)| json!({"addon": addon.as_str(), "units": units})).collect();
        let data = json!({"subscription": "plan", "plan": scenario.plan.as_str(), "interval": interval.word(),
            "anchor": scenario.start.to_string(), "addons": addons});
        self.event("subscription.started", Some(CUSTOMER), at, &data)
    }

    /// The request for a package, and its acceptance.
    pub(super) fn purchase(&mut self, at: Timestamp, package: &Id) -> [Line; 2] {
        let request = format!("buy-{}", self.made);
        let asked = json!({"request": request, "package": package.as_str(), "method": "bank_transfer", "requested_by": CUSTOMER});
        let decided = json!({"request": request, "decision": "accepted", "decided_by": STAFF});
        [
            self.event("credit_request.submitted", Some(CUSTOMER), at, &asked),
            self.event("credit_request.decided", Some(CUSTOMER), at, &decided),
        ]
    }

    /// Usage of a meter.
    pub(super) fn usage(&mut self, at: Timestamp, pattern: &Pattern, quantity: Credits) -> Line {
        let data = json!({"meter": pattern.meter.as_str(), "quantity": quantity.to_string(), "dimensions": pattern.dimensions});
        self.event("usage.recorded", Some(CUSTOMER), at, &data)
    }

    fn event(&mut self, kind: &str, subject: Option<&str>, at: Timestamp, data: &Value) -> Line {
        self.made += 1;
        let mut event = json!({"specversion": "1.0", "id": format!("m-{}", self.made), "source": "simulate", "type": kind,
            "tenant": TENANT, "time": at.to_string(), "data": data});
        if let (Some(subject), Some(members)) = (subject, event.as_object_mut()) {
            members.insert("subject".to_owned(), subject.into());
        }
        Line::Event { tenant: TENANT.to_owned(), kind: kind.to_owned(), body: event.to_string().into_bytes() }
    }
}
