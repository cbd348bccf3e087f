//! Captures and sales: what they say about one payment, or about a payment for a subscription.
//!
//! Owns which of their fields name the account, the goods and the money.

use super::object::{Amount, Custom, Sign, instant, name, read};
use crate::domain::command::Command;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PAYPAL, PaymentTerms, Purchase};
use crate::domain::payment_details::Details;
use crate::domain::provider::{PaidFor, PaymentSaid, ProviderInvoice, ProviderPayment};
use crate::message::fault::Fault;
use crate::message::json::Object;
use crate::message::provider::Said;
use serde::Deserialize;

#[derive(Deserialize)]
struct Paid {
    id: String,
    amount: Option<Object<Amount>>,
    custom_id: Option<String>,
    invoice_id: Option<String>,
    create_time: Option<String>,
    // Of sales.
    billing_agreement_id: Option<String>,
    custom: Option<String>,
    invoice_number: Option<String>,
}

/// An event about a capture or a sale.
pub(super) fn payment(resource: &str, kind: &str, livemode: Option<bool>) -> Result<Said, Fault> {
    let paid: Paid = read(resource)?;
    let said = if kind == "PAYMENT.CAPTURE.DENIED" { PaymentSaid::Failed } else { PaymentSaid::Paid };
    let custom = Custom::read(paid.custom_id.as_deref().or(paid.custom.as_deref()));
    // Other agreements (`B-…`) are ways to pay, not subscriptions.
    if let Some(subscription) = paid.billing_agreement_id.as_ref().filter(|id| id.starts_with("I-")) {
        let (subscription, at) = (name(subscription)?, instant(paid.create_time.as_deref(), "resource.create_time")?);
        let account = match custom? {
            Custom::Ours { account, .. } | Custom::Word(account) => Some(account),
            Custom::Foreign => None,
        };
        let invoice = ProviderInvoice {
            terms: terms(&paid, None)?,
            aliases: Vec::new(),
            subscription,
            said,
            pays: PaidFor::IntervalAt(at),
            details: by_paypal(),
            livemode,
        };
        return Ok(Said::by(account, Command::RecordInvoice(Box::new(invoice))));
    }
    // No other event says whose a capture is, so one without a package sells something else.
    let Custom::Ours { account, package } = custom? else { return Ok(Said::Nothing) };
    let terms = terms(&paid, Some(package))?;
    let payment = ProviderPayment { terms, aliases: Vec::new(), said, details: by_paypal(), is_addressed: true, livemode };
    Ok(Said::Of(account, Command::RecordPayment(payment)))
}

/// How it was paid; PayPal's captures and sales show no more of that.
fn by_paypal() -> Details {
    Details { method: Printable::new(PAYPAL).ok(), ..Details::default() }
}

fn terms(paid: &Paid, package: Option<Id>) -> Result<PaymentTerms, Fault> {
    let own = name(&paid.id)?;
    let Object(amount) = paid.amount.as_ref().ok_or_else(|| Fault::malformed("resource: the amount is missing"))?;
    let (currency, money) = amount.read(Sign::Plain)?;
    let document = paid.invoice_id.as_deref().or(paid.invoice_number.as_deref());
    Ok(PaymentTerms {
        payment: own.name,
        provider_id: own.provider_id,
        package: package.map(|package| Purchase { package, quantity: 1 }),
        amount: money,
        before_tax: amount.before_tax(&currency, money)?,
        currency,
        document: document.and_then(|document| Printable::new(document).ok()),
    })
}
