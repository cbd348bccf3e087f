//! Debts, payments, requests, charges and subscriptions as Postgres holds them.
//!
//! Owns the mapping; a row that means nothing is a failure, never a default.

use super::rows::{credits, id, message_id, number, optional_id, optional_printable, printable, unreadable, word};
use crate::domain::account::{Debt, Zone};
use crate::domain::calendar::CalendarSpan;
use crate::domain::charge::Charge;
use crate::domain::ids::{Id, Link};
use crate::domain::invoicing::{Counted, PurchaseMonth};
use crate::domain::paid::{Entitlement, Paid};
use crate::domain::payment::{KnownName, Payment, PaymentName, PaymentTerms, Purchase};
use crate::domain::request::{CreditRequest, Evidence, RequestTerms};
use crate::domain::reversal::{Dispute, Refund};
use crate::domain::subscription::{Cycle, HighWater, Subscription, Told, Wanted};
use crate::failure::Failure;
use jiff_sqlx::{Date as SqlDate, DateTime as SqlDateTime, Timestamp as SqlTimestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use std::collections::BTreeMap;

#[derive(sqlx::FromRow)]
pub struct DebtRow {
    pub account_id: i64,
    number: i32,
    amount: Decimal,
    remaining: Decimal,
    scope: Option<String>,
    cause_source: String,
    cause_id: String,
    reference: Option<String>,
    payment: Option<String>,
    paid_only: bool,
    written_off: Decimal,
    undone: Decimal,
    repaid_grants: Vec<i32>,
    repaid_amounts: Vec<Decimal>,
}

impl DebtRow {
    pub fn debt(&self) -> Result<Debt, Failure> {
        let repaid = self.repaid_grants.iter().zip(&self.repaid_amounts);
        let repaid = repaid.map(|(grant, amount)| Ok((number((*grant).into())?, credits(*amount)?)));
        Ok(Debt {
            number: number(self.number.into())?,
            amount: credits(self.amount)?,
            remaining: credits(self.remaining)?,
            scope: optional_id(self.scope.as_ref())?,
            cause: message_id(&self.cause_source, &self.cause_id)?,
            reference: optional_printable(self.reference.as_ref())?,
            payment: optional_printable(self.payment.as_ref())?,
            paid_only: self.paid_only,
            written_off: credits(self.written_off)?,
            undone: credits(self.undone)?,
            repaid_by: repaid.collect::<Result<_, Failure>>()?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub struct PurchaseMonthRow {
    pub account_id: i64,
    month: SqlDate,
    net: Decimal,
    is_withdrawn: bool,
}

impl PurchaseMonthRow {
    pub fn month(&self) -> Result<PurchaseMonth, Failure> {
        Ok(PurchaseMonth { month: self.month.to_jiff(), net: credits(self.net)?, withdrawn: self.is_withdrawn })
    }
}

#[derive(sqlx::FromRow)]
pub struct RefundRow {
    pub account_id: i64,
    refund: String,
    payment: String,
    amount: Decimal,
    status: String,
    created_at: SqlTimestamp,
}

impl RefundRow {
    pub fn refund(&self) -> Result<Refund, Failure> {
        Ok(Refund {
            id: printable(&self.refund)?,
            payment: printable(&self.payment)?,
            amount: credits(self.amount)?,
            status: word("refund status", &self.status)?,
            created_at: self.created_at.to_jiff(),
        })
    }
}

#[derive(sqlx::FromRow)]
pub struct DisputeRow {
    pub account_id: i64,
    dispute: String,
    payment: String,
    amount: Decimal,
    stage: String,
    opened_at: SqlTimestamp,
}

impl DisputeRow {
    pub fn dispute(&self) -> Result<Dispute, Failure> {
        Ok(Dispute {
            id: printable(&self.dispute)?,
            payment: printable(&self.payment)?,
            amount: credits(self.amount)?,
            stage: word("dispute stage", &self.stage)?,
            opened_at: self.opened_at.to_jiff(),
        })
    }
}

#[derive(sqlx::FromRow)]
pub struct PaymentRow {
    pub account_id: i64,
    payment: String,
    provider_id: String,
    package: Option<String>,
    quantity: Option<i64>,
    amount: Decimal,
    before_tax: Option<Decimal>,
    currency: String,
    document: Option<String>,
    status: String,
    paid_at: Option<SqlTimestamp>,
    granted: Decimal,
    refunded_most: Decimal,
    excused: Decimal,
    counted_month: Option<SqlDate>,
    counted_net: Option<Decimal>,
}

impl PaymentRow {
    pub fn payment(&self) -> Result<Payment, Failure> {
        let package = match (&self.package, self.quantity) {
            (Some(package), Some(quantity)) => Some(Purchase { package: id(package)?, quantity: number(quantity)? }),
            _ => None,
        };
        Ok(Payment {
            terms: PaymentTerms {
                payment: printable(&self.payment)?,
                provider_id: id(&self.provider_id)?,
                package,
                amount: credits(self.amount)?,
                before_tax: self.before_tax.map(credits).transpose()?,
                currency: id(&self.currency)?,
                document: optional_printable(self.document.as_ref())?,
            },
            status: word("payment status", &self.status)?,
            paid_at: self.paid_at.map(SqlTimestamp::to_jiff),
            granted: credits(self.granted)?,
            refunded_most: credits(self.refunded_most)?,
            excused: credits(self.excused)?,
            counted: match (self.counted_month, self.counted_net) {
                (Some(month), Some(net)) => Some(Counted { month: month.to_jiff(), net: credits(net)? }),
                _ => None,
            },
        })
    }
}

/// What the name of a payment stands for.
#[derive(sqlx::FromRow)]
pub struct NamedRow {
    pub account_id: i64,
    name: String,
    provider_id: String,
    /// None for a request that is called as the payment is.
    payment: Option<String>,
}

/// What a [`NamedRow`] says.
pub enum Stands {
    Payment(KnownName),
    Request(Id),
}

impl NamedRow {
    pub fn stands_for(&self) -> Result<Stands, Failure> {
        let provider_id = id(&self.provider_id)?;
        let Some(payment) = &self.payment else { return Ok(Stands::Request(provider_id)) };
        let name = PaymentName { name: printable(&self.name)?, provider_id };
        Ok(Stands::Payment(KnownName { name, payment: printable(payment)? }))
    }
}

#[derive(sqlx::FromRow)]
pub struct RequestRow {
    pub account_id: i64,
    request: String,
    package: Option<String>,
    credits: Decimal,
    bonus: Decimal,
    expires_after: Option<String>,
    price: Decimal,
    currency: String,
    method: String,
    requested_by: String,
    evidence_reference: Option<String>,
    evidence_url: Option<String>,
    status: String,
    submitted_at: SqlTimestamp,
    expires_at: Option<SqlTimestamp>,
    decided_by: Option<String>,
    received: Option<Decimal>,
    granted: Decimal,
}

impl RequestRow {
    pub fn request(&self) -> Result<CreditRequest, Failure> {
        let link = |text: &String| Link::new(text).map_err(|_| unreadable("link", text));
        let evidence = match optional_printable(self.evidence_reference.as_ref())? {
            Some(reference) => Some(Evidence { reference, url: self.evidence_url.as_ref().map(link).transpose()? }),
            None => None,
        };
        let span = |text: &String| CalendarSpan::parse(text).ok_or_else(|| unreadable("duration", text));
        Ok(CreditRequest {
            terms: RequestTerms {
                id: id(&self.request)?,
                package: optional_id(self.package.as_ref())?,
                credits: credits(self.credits)?,
                bonus: credits(self.bonus)?,
                expires_after: self.expires_after.as_ref().map(span).transpose()?,
                price: credits(self.price)?,
                currency: id(&self.currency)?,
                method: word("method", &self.method)?,
                requested_by: id(&self.requested_by)?,
                evidence,
            },
            status: word("request status", &self.status)?,
            submitted_at: self.submitted_at.to_jiff(),
            expires_at: self.expires_at.map(SqlTimestamp::to_jiff),
            decided_by: optional_id(self.decided_by.as_ref())?,
            received: self.received.map(credits).transpose()?,
            granted: credits(self.granted)?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub struct ChargeRow {
    pub account_id: i64,
    reference: String,
    purpose: String,
    service: Option<String>,
    credits: Decimal,
}

impl ChargeRow {
    pub fn charge(&self) -> Result<Charge, Failure> {
        Ok(Charge {
            reference: printable(&self.reference)?,
            purpose: word("purpose", &self.purpose)?,
            service: optional_id(self.service.as_ref())?,
            credits: credits(self.credits)?,
        })
    }
}

/// Plan and units as they are stored.
#[derive(Serialize, Deserialize)]
pub struct WantedRow {
    plan: String,
    addons: BTreeMap<String, u32>,
}

impl WantedRow {
    pub fn of(wanted: &Wanted) -> Json<Self> {
        let addons = wanted.addons.iter().map(|(addon, units)| (addon.to_string(), *units)).collect();
        Json(Self { plan: wanted.plan.to_string(), addons })
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        Ok(Wanted { plan: id(&self.plan)?, addons: units(&self.addons)? })
    }
}

/// A payment for cycles as it is stored.
#[derive(Serialize, Deserialize)]
pub struct PaidRow {
    from: jiff::Timestamp,
    until: jiff::Timestamp,
    since: Option<jiff::Timestamp>,
    by: String,
    plan: Option<String>,
    addons: BTreeMap<String, u32>,
    opens: bool,
}

impl PaidRow {
    pub fn of(paid: &Paid) -> Self {
        Self {
            from: paid.from,
            until: paid.until,
            since: paid.since,
            opens: paid.opens,
            by: paid.by.to_string(),
            plan: paid.shows.plan.as_ref().map(Id::to_string),
            addons: paid.shows.addons.iter().map(|(addon, units)| (addon.to_string(), *units)).collect(),
        }
    }

    fn paid(&self) -> Result<Paid, Failure> {
        let shows = Entitlement { plan: self.plan.as_deref().map(id).transpose()?, addons: units(&self.addons)? };
        Ok(Paid { from: self.from, until: self.until, since: self.since, by: printable(&self.by)?, shows, opens: self.opens })
    }
}

fn units(by_addon: &BTreeMap<String, u32>) -> Result<BTreeMap<Id, u32>, Failure> {
    by_addon.iter().map(|(addon, units)| Ok((id(addon)?, *units))).collect()
}

#[derive(sqlx::FromRow)]
pub struct SubscriptionRow {
    pub account_id: i64,
    subscription: String,
    started_with: Json<WantedRow>,
    period: String,
    allowance_every: String,
    anchor: SqlDateTime,
    time_zone: String,
    started_at: SqlTimestamp,
    wanted_began: Json<WantedRow>,
    wanted: Json<WantedRow>,
    wanted_next: Option<Json<WantedRow>>,
    is_cancelled: bool,
    is_ended: bool,
    cycle_k: i32,
    cycle_n: i32,
    cycle_start: SqlTimestamp,
    cycle_end: SqlTimestamp,
    cycle_catalog: i32,
    cycle_allowance: Decimal,
    cycle_units: Json<BTreeMap<String, u32>>,
    provider_name: Option<String>,
    told_at: Option<SqlTimestamp>,
    paid: Json<Vec<PaidRow>>,
}

impl SubscriptionRow {
    pub fn subscription(&self) -> Result<Subscription, Failure> {
        Ok(Subscription {
            id: id(&self.subscription)?,
            started_with: self.started_with.0.wanted()?,
            interval: word("interval", &self.period)?,
            allowance_every: word("interval", &self.allowance_every)?,
            anchor: self.anchor.to_jiff(),
            zone: Zone::named(&self.time_zone).ok_or_else(|| unreadable("time zone", &self.time_zone))?,
            started_at: self.started_at.to_jiff(),
            began: self.wanted_began.0.wanted()?,
            current: self.wanted.0.wanted()?,
            next: self.wanted_next.as_ref().map(|next| next.0.wanted()).transpose()?,
            cancelled: self.is_cancelled,
            ended: self.is_ended,
            told: match (&self.provider_name, self.told_at) {
                (Some(name), Some(at)) => Some(Told { name: printable(name)?, at: at.to_jiff() }),
                _ => None,
            },
            paid: self.paid.0.iter().map(PaidRow::paid).collect::<Result<_, _>>()?,
            cycle: Cycle {
                k: self.cycle_k,
                n: number(self.cycle_n.into())?,
                start: self.cycle_start.to_jiff(),
                end: self.cycle_end.to_jiff(),
                catalog: number(self.cycle_catalog.into())?,
                allowance: credits(self.cycle_allowance)?,
                units: units(&self.cycle_units.0)?,
            },
        })
    }
}

#[derive(sqlx::FromRow)]
pub struct HighWaterRow {
    pub account_id: i64,
    item: String,
    issued: Decimal,
    until: SqlTimestamp,
}

impl HighWaterRow {
    pub fn high_water(&self) -> Result<HighWater, Failure> {
        Ok(HighWater { item: printable(&self.item)?, issued: credits(self.issued)?, until: self.until.to_jiff() })
    }
}
