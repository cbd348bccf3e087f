//! Payments as people and programs see them: what was paid, what it brought, what came back.
//!
//! Owns the sentences and the JSON. Every number is one that the ledger has; nothing is computed but sums.

use super::second;
use crate::domain::credits::Credits;
use crate::domain::grant::Grant;
use crate::domain::ids::{Id, Link, Printable};
use crate::domain::payment::Payment;
use crate::domain::payment_details::{Details, Payer};
use crate::domain::reversal::{Dispute, Refund};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A payment and everything on it.
#[derive(Debug, Clone)]
pub struct PaymentRecord {
    /// The payment.
    pub payment: Payment,
    /// What else is known of it; of an accepted request, the method that was asked for.
    pub details: Details,
    /// When who paid was erased.
    pub erased_at: Option<Timestamp>,
    /// The grants it bought, and what rolled over from them, by number.
    pub grants: Vec<Grant>,
    /// Its refunds, by the time they were made.
    pub refunds: Vec<Refund>,
    /// Its disputes, by the time they were opened.
    pub disputes: Vec<Dispute>,
    /// What a reversal aimed at and could not take: owed, borne by the tenant, or repaid since.
    pub shortfall: Credits,
}

impl PaymentRecord {
    /// One with nothing on it yet.
    #[must_use]
    pub fn new(payment: Payment) -> Self {
        Self {
            payment,
            details: Details::default(),
            erased_at: None,
            grants: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            shortfall: Credits::ZERO,
        }
    }
}

/// Payments, a paragraph each.
#[must_use]
pub fn payments(records: &[PaymentRecord]) -> String {
    records.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

fn paragraph(record: &PaymentRecord) -> String {
    let PaymentRecord { payment, details, .. } = record;
    let terms = &payment.terms;
    let when = payment.paid_at.map_or_else(|| payment.status.word().to_owned(), |at| format!("{}  {}", second(at), payment.status.word()));
    let by = details.method.as_ref().map_or_else(String::new, |method| format!(", {method}"));
    let mut lines = vec![format!("{}  {when}  {} {}{by}", terms.payment, terms.amount, terms.currency)];
    lines.extend(tax(record).map(|tax| format!("  tax {tax}")));
    let papers = [
        terms.document.as_ref().map(Printable::to_string),
        details.number.as_ref().map(|number| format!("number {number}")),
        details.receipt.as_ref().map(Link::to_string),
    ];
    let papers: Vec<String> = papers.into_iter().flatten().collect();
    lines.extend((!papers.is_empty()).then(|| format!("  document {}", papers.join(", "))));
    lines.extend(payer(record).map(|payer| format!("  payer {payer}")));
    lines.extend(goods(payment).map(|goods| format!("  {goods}")));
    lines.extend(record.grants.iter().map(|grant| format!("  {}", bought(grant))));
    let money = |amount: Credits| format!("{amount} {}", terms.currency);
    lines.extend(
        record
            .refunds
            .iter()
            .map(|one| format!("  refund {} of {}, {}, {}", one.id, money(one.amount), one.status.word(), second(one.created_at))),
    );
    lines.extend(
        record
            .disputes
            .iter()
            .map(|one| format!("  dispute {} over {}, {}, {}", one.id, money(one.amount), one.stage.word(), second(one.opened_at))),
    );
    let more = payment.refunded_most;
    let known = Credits::sum(record.refunds.iter().map(|one| one.amount)).unwrap_or_default();
    lines.extend((more > known).then(|| format!("  refunded in all {}", money(more))));
    lines.extend(payment.excused.is_positive().then(|| format!("  {} of what went back had ended unused", payment.excused)));
    lines.extend(record.shortfall.is_positive().then(|| format!("  {} of what went back had been spent", record.shortfall)));
    lines.join("\n")
}

fn tax(record: &PaymentRecord) -> Option<String> {
    let terms = &record.payment.terms;
    let amount = terms.tax().filter(|tax| tax.is_positive());
    let amount = amount.map(|tax| format!("{tax} {}", terms.currency));
    let told = record.details.tax.as_ref().map(Printable::to_string);
    match (amount, told) {
        (Some(amount), Some(told)) => Some(format!("{amount} ({told})")),
        (amount, told) => amount.or(told),
    }
}

fn payer(record: &PaymentRecord) -> Option<String> {
    if let Some(at) = record.erased_at {
        return Some(format!("erased {}", second(at)));
    }
    let Payer { name, email, country } = &record.details.payer;
    let known: Vec<&str> = [name, email, country].into_iter().flatten().map(Printable::as_str).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn goods(payment: &Payment) -> Option<String> {
    let package = payment.terms.package.as_ref().map(|purchase| match purchase.quantity {
        1 => format!("package {}", purchase.package),
        several => format!("{several} × package {}", purchase.package),
    });
    let credits = payment.granted.is_positive().then(|| format!("{} credits", payment.granted));
    match (package, credits) {
        (Some(package), Some(credits)) => Some(format!("{package}: {credits}")),
        (package, credits) => package.or(credits),
    }
}

fn bought(grant: &Grant) -> String {
    let terms = &grant.terms;
    let mut text = format!("grant {} ({}): {} of {} left", terms.number, terms.source.word(), grant.remaining, terms.credits);
    for (amount, word) in [
        (grant.frozen, "frozen"),
        (grant.clawed, "taken back"),
        (grant.breakage, "ended unused"),
        (grant.trimmed, "over the cap"),
        (grant.voided, "voided"),
    ] {
        if amount.is_positive() {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {amount} {word}");
        }
    }
    text
}

/// Payments as `{"payments": […]}`.
#[must_use]
pub fn payments_json(records: &[PaymentRecord]) -> String {
    json!({ "payments": records.iter().map(value).collect::<Vec<_>>() }).to_string()
}

fn value(record: &PaymentRecord) -> Value {
    let PaymentRecord { payment, details, .. } = record;
    let terms = &payment.terms;
    let grant = |grant: &Grant| {
        json!({
            "grant": grant.terms.id.as_str(), "number": grant.terms.number, "source": grant.terms.source.word(),
            "credits": grant.terms.credits.to_string(), "remaining": grant.remaining.to_string(), "frozen": grant.frozen.to_string(),
            "taken_back": grant.clawed.to_string(), "ended_unused": grant.breakage.to_string(), "over_the_cap": grant.trimmed.to_string(), "voided": grant.voided.to_string(),
        })
    };
    json!({
        "payment": terms.payment.as_str(),
        "status": payment.status.word(),
        "paid_at": payment.paid_at.map(|at| at.to_string()),
        "method": details.method.as_ref().map(Printable::as_str),
        "amount": terms.amount.to_string(),
        "currency": terms.currency.as_str(),
        "before_tax": terms.before_tax.map(|amount| amount.to_string()),
        "tax": terms.tax().map(|amount| amount.to_string()),
        "tax_details": details.tax.as_ref().map(Printable::as_str),
        "document": terms.document.as_ref().map(Printable::as_str),
        "number": details.number.as_ref().map(Printable::as_str),
        "receipt": details.receipt.as_ref().map(Link::as_str),
        "payer": {
            "name": details.payer.name.as_ref().map(Printable::as_str),
            "email": details.payer.email.as_ref().map(Printable::as_str),
            "country": details.payer.country.as_ref().map(Printable::as_str),
            "erased_at": record.erased_at.map(|at| at.to_string()),
        },
        "package": terms.package.as_ref().map(|purchase| Id::as_str(&purchase.package)),
        "quantity": terms.package.as_ref().map(|purchase| purchase.quantity),
        "credits": payment.granted.to_string(),
        "grants": record.grants.iter().map(grant).collect::<Vec<_>>(),
        "refunds": record.refunds.iter().map(|one| json!({
            "refund": one.id.as_str(), "amount": one.amount.to_string(), "status": one.status.word(), "created_at": one.created_at.to_string(),
        })).collect::<Vec<_>>(),
        "refunded_most": payment.refunded_most.to_string(),
        "disputes": record.disputes.iter().map(|one| json!({
            "dispute": one.id.as_str(), "amount": one.amount.to_string(), "stage": one.stage.word(), "opened_at": one.opened_at.to_string(),
        })).collect::<Vec<_>>(),
        "excused": payment.excused.to_string(),
        "shortfall": record.shortfall.to_string(),
    })
}
