//! What Stripe's objects show of a payment that nothing is decided by: method, tax, receipt, payer.
//!
//! Owns its homes in sessions, PaymentIntents, charges and invoices, old and new. Read apart from everything
//! else, and leniently: what has another form is left out, because it must never stop money.

use super::object::Reference;
use crate::domain::ids::Link;
use crate::domain::payment_details::{Details, Payer};
use crate::message::lenient::{lenient, link, text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Everything that any of the objects may have. Unread, so that a surprise in one spoils no other.
#[derive(Deserialize, Default)]
struct Shown<'a> {
    // Sessions.
    #[serde(borrow)]
    customer_details: Option<&'a RawValue>,
    #[serde(borrow)]
    total_details: Option<&'a RawValue>,
    // Sessions and PaymentIntents.
    #[serde(borrow)]
    payment_method_types: Option<&'a RawValue>,
    // PaymentIntents.
    #[serde(borrow)]
    receipt_email: Option<&'a RawValue>,
    #[serde(borrow)]
    charges: Option<&'a RawValue>,
    // Charges.
    #[serde(borrow)]
    payment_method_details: Option<&'a RawValue>,
    #[serde(borrow)]
    billing_details: Option<&'a RawValue>,
    #[serde(borrow)]
    receipt_url: Option<&'a RawValue>,
    // Invoices.
    #[serde(borrow)]
    hosted_invoice_url: Option<&'a RawValue>,
    #[serde(borrow)]
    number: Option<&'a RawValue>,
    #[serde(borrow)]
    customer_name: Option<&'a RawValue>,
    #[serde(borrow)]
    customer_email: Option<&'a RawValue>,
    #[serde(borrow)]
    customer_address: Option<&'a RawValue>,
    #[serde(borrow)]
    total_taxes: Option<&'a RawValue>,
    // Invoices until 2025.
    #[serde(borrow)]
    total_tax_amounts: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Person<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    email: Option<&'a RawValue>,
    #[serde(borrow)]
    address: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Address<'a> {
    #[serde(borrow)]
    country: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Method<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Charges<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct TotalDetails {
    breakdown: Option<Breakdown>,
}

#[derive(Deserialize)]
struct Breakdown {
    taxes: Vec<Tax>,
}

#[derive(Deserialize)]
struct Tax {
    amount: Option<i64>,
    // Sessions, whole; invoices until 2025, as a reference.
    rate: Option<Rate>,
    tax_rate: Option<Reference>,
    tax_rate_details: Option<RateDetails>,
}

#[derive(Deserialize)]
struct Rate {
    display_name: Option<String>,
    percentage: Option<serde_json::Number>,
    country: Option<String>,
}

#[derive(Deserialize)]
struct RateDetails {
    tax_rate: Option<String>,
}

impl Tax {
    /// `VAT 19% DE: 380`, in minor units as they came; `txr_1: 380` where the rate is not shown.
    fn told(self) -> Option<String> {
        let of_rate = |rate: Rate| {
            let percentage = rate.percentage.map(|percentage| format!("{percentage}%"));
            [rate.display_name, percentage, rate.country].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        let named = self.tax_rate.map(Reference::id).or(self.tax_rate_details.and_then(|details| details.tax_rate));
        let mut told = self.rate.map(of_rate).filter(|told| !told.is_empty()).or(named)?;
        if let Some(amount) = self.amount {
            // Writing to a String cannot fail.
            let _ = write!(told, ": {amount}");
        }
        Some(told)
    }
}

/// What an object shows.
pub(super) fn details(object: &str) -> Details {
    let shown: Shown<'_> = serde_json::from_str(object).unwrap_or_default();
    // The newest comes first.
    let charge = lenient::<Charges<'_>>(shown.charges).and_then(|charges| charges.data.first().copied());
    let own = of(&shown);
    match charge {
        Some(charge) => own.or(of(&serde_json::from_str(charge.get()).unwrap_or_default())),
        None => own,
    }
}

fn of(shown: &Shown<'_>) -> Details {
    let method = lenient::<Method<'_>>(shown.payment_method_details).and_then(|method| text(method.kind));
    Details {
        method: method.or_else(|| only(shown.payment_method_types)),
        tax: tax(shown),
        number: text(shown.number),
        receipt: receipt(shown),
        payer: payer(shown),
    }
}

/// The method, if there is no choice.
fn only(methods: Option<&RawValue>) -> Option<crate::domain::ids::Printable> {
    match lenient::<Vec<&RawValue>>(methods)?.as_slice() {
        [one] => text(Some(one)),
        _ => None,
    }
}

fn receipt(shown: &Shown<'_>) -> Option<Link> {
    link(shown.receipt_url).or_else(|| link(shown.hosted_invoice_url))
}

fn payer(shown: &Shown<'_>) -> Payer {
    let person: Person<'_> = lenient(shown.customer_details).or_else(|| lenient(shown.billing_details)).unwrap_or_default();
    let address: Address<'_> = lenient(person.address).or_else(|| lenient(shown.customer_address)).unwrap_or_default();
    Payer {
        name: text(person.name).or_else(|| text(shown.customer_name)),
        email: text(person.email).or_else(|| text(shown.customer_email)).or_else(|| text(shown.receipt_email)),
        country: text(address.country),
    }
}

fn tax(shown: &Shown<'_>) -> Option<crate::domain::ids::Printable> {
    let of_session = lenient::<TotalDetails>(shown.total_details).and_then(|details| details.breakdown).map(|breakdown| breakdown.taxes);
    let taxes = of_session.or_else(|| lenient(shown.total_taxes)).or_else(|| lenient(shown.total_tax_amounts))?;
    let told: Vec<String> = taxes.into_iter().filter_map(Tax::told).collect();
    crate::message::lenient::printable(&told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(object: &serde_json::Value) -> [Option<String>; 7] {
        let Details { method, tax, number, receipt, payer } = details(&object.to_string());
        let text = |text: Option<crate::domain::ids::Printable>| text.map(|text| text.to_string());
        let receipt = receipt.map(|link| link.to_string());
        [text(method), text(tax), text(number), receipt, text(payer.name), text(payer.email), text(payer.country)]
    }

    fn some(texts: [&str; 7]) -> [Option<String>; 7] {
        texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    #[test]
    fn every_object_shows_what_it_has() {
        let person = json!({"name": "Ana", "email": "ana@shop.example", "address": {"country": "DE"}});
        let rate = json!({"display_name": "VAT", "percentage": 19.0, "country": "DE"});
        let session = json!({"customer_details": person, "payment_method_types": ["card"],
            "total_details": {"amount_tax": 380, "breakdown": {"taxes": [{"amount": 380, "rate": rate}]}}});
        assert_eq!(shown(&session), some(["card", "VAT 19.0% DE: 380", "", "", "Ana", "ana@shop.example", "DE"]));
        let intent = json!({"payment_method_types": ["card", "link"], "receipt_email": "ana@shop.example",
            "charges": {"data": [{"payment_method_details": {"type": "sepa_debit"}, "receipt_url": "https://pay.stripe.example/r/1"}]}});
        assert_eq!(shown(&intent), some(["sepa_debit", "", "", "https://pay.stripe.example/r/1", "", "ana@shop.example", ""]));
        let charge =
            json!({"payment_method_details": {"type": "card"}, "billing_details": person, "receipt_url": "https://pay.stripe.example/r/2"});
        assert_eq!(shown(&charge), some(["card", "", "", "https://pay.stripe.example/r/2", "Ana", "ana@shop.example", "DE"]));
        for taxes in [
            json!({"total_taxes": [{"amount": 380, "tax_rate_details": {"tax_rate": "txr_1"}}]}),
            json!({"total_tax_amounts": [{"amount": 380, "tax_rate": "txr_1"}]}),
        ] {
            let mut invoice = json!({"hosted_invoice_url": "https://invoice.stripe.example/i/1", "number": "ABC-0001", "customer_name": "Ana",
                "customer_email": "ana@shop.example", "customer_address": {"country": "DE"}});
            invoice.as_object_mut().unwrap().extend(taxes.as_object().cloned().unwrap());
            assert_eq!(
                shown(&invoice),
                some(["", "txr_1: 380", "ABC-0001", "https://invoice.stripe.example/i/1", "Ana", "ana@shop.example", "DE"])
            );
        }
    }

    #[test]
    fn what_has_another_form_is_left_out() {
        for object in [
            json!({"customer_details": 7, "total_details": [], "payment_method_types": "card", "receipt_url": "javascript:x"}),
            json!({"customer_details": {"name": 7, "email": "a\u{1b}[31m", "address": "DE"}, "number": {"a": 1}}),
            json!({"charges": {"data": 7}, "payment_method_details": {"type": ["card"]}}),
            json!([1]),
            json!({}),
        ] {
            assert!(details(&object.to_string()).is_empty(), "{object}");
        }
        let long = json!({"customer_details": {"name": "x".repeat(1000)}});
        assert_eq!(details(&long.to_string()).payer.name.unwrap().as_str().len(), 128);
    }
}
