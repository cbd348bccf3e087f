//! Invoices: of a subscription, or of a purchase; and which payment paid one.
//!
//! Owns the homes of their fields in several API versions: the subscription moved, so did tax and payment.

use super::object::{Metadata, Reference, account_of, currency, money, name, names, read, second};
use crate::domain::command::Command;
use crate::domain::credits::Money;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PaymentName, PaymentTerms};
use crate::domain::provider::{InvoiceLine, NamedPayment, PaidFor, PaymentSaid, ProviderInvoice};
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::Said;
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Invoice<'a> {
    id: String,
    amount_paid: Option<u64>,
    amount_due: Option<u64>,
    currency: Option<String>,
    total_excluding_tax: Option<u64>,
    billing_reason: Option<String>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    metadata: Option<Object<Metadata>>,
    #[serde(borrow)]
    lines: Option<Object<Lines<'a>>>,
    parent: Option<Object<Parent>>,
    // Until 2025 the invoice itself named its subscription, payment and charge.
    subscription: Option<Reference>,
    subscription_details: Option<Object<Details>>,
    payment_intent: Option<Reference>,
    charge: Option<Reference>,
}

#[derive(Deserialize)]
struct Parent {
    subscription_details: Option<Object<Details>>,
}

#[derive(Deserialize)]
struct Details {
    subscription: Option<Reference>,
    metadata: Option<Object<Metadata>>,
}

#[derive(Deserialize)]
struct Lines<'a> {
    #[serde(borrow, default)]
    data: Vec<Object<Line<'a>>>,
    // An event shows ten lines, those of changes first.
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    amount: Option<Number>,
    quantity: Option<Number>,
    #[serde(borrow)]
    period: Option<Object<Period<'a>>>,
    price: Option<Reference>,
    // What prices were called before 2020.
    plan: Option<Reference>,
    pricing: Option<Object<Pricing>>,
    proration: Option<bool>,
    // Where newer versions say it.
    parent: Option<Object<LineParent>>,
}

#[derive(Deserialize)]
struct LineParent {
    subscription_item_details: Option<Object<ItemDetails>>,
    invoice_item_details: Option<Object<ItemDetails>>,
}

#[derive(Deserialize)]
struct ItemDetails {
    proration: Option<bool>,
}

#[derive(Deserialize)]
struct Period<'a> {
    #[serde(borrow)]
    start: Option<&'a RawValue>,
    #[serde(borrow)]
    end: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Pricing {
    price_details: Option<Object<PriceDetails>>,
}

#[derive(Deserialize)]
struct PriceDetails {
    price: Option<Reference>,
}

/// `invoice.paid`, `invoice.payment_failed`: of a subscription; other invoices are known by their payments.
pub(super) fn invoice(object: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let invoice: Invoice<'_> = read(object)?;
    let of_parent = invoice.parent.and_then(|parent| parent.0.subscription_details).map(|details| details.0);
    let details = of_parent.or(invoice.subscription_details.map(|details| details.0));
    let (in_details, of_subscription) = details.map_or((None, None), |details| (details.subscription, details.metadata));
    let account = account_of(of_subscription.as_ref())?.or(account_of(invoice.metadata.as_ref())?);
    let shown = [Some(invoice.id.clone()), invoice.payment_intent.map(Reference::id), invoice.charge.map(Reference::id)];
    let Some(subscription) = in_details.or(invoice.subscription) else {
        // It says that its payment and itself are one.
        return Ok(Said::OfSomebody(Command::NamePayment(NamedPayment { names: names(shown)?, livemode })));
    };
    let paid = kind == "invoice.paid";
    let currency = currency(invoice.currency.as_deref())?;
    let minor = if paid { invoice.amount_paid } else { invoice.amount_due };
    let minor = minor.ok_or_else(|| Fault::malformed("data.object: the amount is missing"))?;
    let before_tax = invoice.total_excluding_tax.filter(|net| *net <= minor).map(|net| money(net, &currency)).transpose()?;
    let (lines, has_more) = invoice.lines.map(|lines| (lines.0.data, lines.0.has_more)).unwrap_or_default();
    let of_an_interval = matches!(invoice.billing_reason.as_deref(), Some("subscription_cycle" | "subscription_create"));
    let created = invoice.created.filter(|_| has_more && of_an_interval);
    let names = names(shown)?.0;
    let command = Command::RecordInvoice(Box::new(ProviderInvoice {
        terms: terms(names.first(), (money(minor, &currency)?, before_tax, currency))?,
        aliases: names.into_iter().skip(1).collect(),
        subscription: name(&subscription.id())?,
        said: if paid { PaymentSaid::Paid } else { PaymentSaid::AttemptFailed },
        details: super::details::details(object),
        pays: PaidFor::Lines {
            lines: lines.into_iter().filter_map(|Object(line)| paid_for(line)).collect::<Result<_, _>>()?,
            interval_at: created.map(|created| second(Some(created), "data.object.created")).transpose()?,
        },
        livemode,
    }));
    Ok(Said::by(account, command))
}

fn terms(own: Option<&PaymentName>, (amount, before_tax, currency): (Money, Option<Money>, Id)) -> Result<PaymentTerms, Fault> {
    let own = own.ok_or_else(|| Fault::malformed("data.object: `id` is none"))?;
    let document = Printable::new(own.provider_id.as_str()).ok();
    Ok(PaymentTerms {
        payment: own.name.clone(),
        provider_id: own.provider_id.clone(),
        package: None,
        amount,
        before_tax,
        currency,
        document,
    })
}

/// What a line is about, how much of it, and from when until when. One without a price or a period pays for no cycle.
fn paid_for(line: Line<'_>) -> Option<Result<InvoiceLine, Fault>> {
    let new = line.pricing.and_then(|pricing| pricing.0.price_details).and_then(|details| details.0.price);
    let price = Printable::new(&line.price.or(new).or(line.plan)?.id()).ok()?;
    let Period { start, end } = line.period?.0;
    let details = line.parent.and_then(|Object(parent)| parent.subscription_item_details.or(parent.invoice_item_details));
    let is_rest = line.proration.or(details.and_then(|details| details.0.proration)).unwrap_or(false);
    let read = |end: &RawValue| {
        Ok(InvoiceLine {
            price,
            // Of what is measured there may be any number; nobody sells that many units.
            units: line.quantity.map_or(1, |quantity| quantity.as_u64().map_or(0, |units| u32::try_from(units).unwrap_or(u32::MAX))),
            from: start.map(|start| second(Some(start), "data.object.lines.period.start")).transpose()?,
            until: second(Some(end), "data.object.lines.period.end")?,
            is_credit: line.amount.is_some_and(|amount| amount.as_f64().is_some_and(|amount| amount < 0.0)),
            is_rest,
        })
    };
    Some(read(end?))
}

#[derive(Deserialize)]
struct InvoicePayment {
    invoice: Option<Reference>,
    payment: Option<Object<Paid>>,
}

#[derive(Deserialize)]
struct Paid {
    payment_intent: Option<Reference>,
    charge: Option<Reference>,
}

/// `invoice_payment.paid`: which PaymentIntent paid an invoice, which newer invoices do not say themselves.
pub(super) fn payment(object: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let shown: InvoicePayment = read(object)?;
    let Some(Object(paid)) = shown.payment else { return Ok(Said::Nothing) };
    let names = names([shown.invoice.map(Reference::id), paid.payment_intent.map(Reference::id), paid.charge.map(Reference::id)])?;
    Ok(Said::OfSomebody(Command::NamePayment(NamedPayment { names, livemode })))
}
