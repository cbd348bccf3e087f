//! What PayPal's resources have in common: names of a payment, amounts, instants, whose it is.
//!
//! Owns the homes of their fields in both versions of the resources, and how narrowly an amount is read: what
//! could mean two things is refused. A field that is never read cannot stop money.

use crate::domain::credits::Money;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{PAYPAL, PaymentName};
use crate::message::fault::Fault;
use crate::message::field::{Currency, Spelt as _};
use crate::message::json::Object;
use jiff::Timestamp;
use serde::Deserialize;

/// Currencies that PayPal writes without decimals
/// (<https://developer.paypal.com/api/rest/reference/currency-codes/>).
const WHOLE: [&str; 3] = ["HUF", "JPY", "TWD"];
/// Digits before the point. PayPal's own limit is lower.
const DIGITS_MAX: usize = 12;

/// An amount of money: version 2 of the resources, or version 1.
#[derive(Deserialize)]
pub(super) struct Amount {
    currency_code: Option<String>,
    value: Option<String>,
    // Version 1.
    currency: Option<String>,
    total: Option<String>,
    details: Option<Object<Details>>,
}

#[derive(Deserialize)]
struct Details {
    tax: Option<String>,
}

/// Whether an amount may be written as one that went out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// What came in has none.
    Plain,
    /// Version 1 of the resources writes what went back with a minus.
    WentBack,
}

impl Amount {
    /// The currency and the amount.
    pub(super) fn read(&self, sign: Sign) -> Result<(Id, Money), Fault> {
        let currency = self.currency_code.as_deref().or(self.currency.as_deref()).unwrap_or_default();
        let Currency(currency) = Currency::spelt(currency).ok_or_else(|| Fault::malformed("resource: the currency is no currency"))?;
        let text = self.value.as_deref().or(self.total.as_deref()).unwrap_or_default();
        let text = if sign == Sign::WentBack { text.strip_prefix('-').unwrap_or(text) } else { text };
        let amount = money(text, &currency).ok_or_else(|| {
            Fault::malformed("resource: the amount is not 1 to 12 digits, with a point and 1 or 2 more where the currency has them")
        })?;
        Ok((currency, amount))
    }

    /// What of it is not tax, where the resource says that.
    pub(super) fn before_tax(&self, currency: &Id, whole: Money) -> Result<Option<Money>, Fault> {
        let Some(tax) = self.details.as_ref().and_then(|details| details.0.tax.as_deref()) else { return Ok(None) };
        let wrong = || Fault::malformed("resource: the tax is no amount, or more than the whole");
        let tax = money(tax, currency).filter(|tax| *tax <= whole).ok_or_else(wrong)?;
        whole.minus(tax).map(Some).map_err(|_| wrong())
    }
}

fn money(text: &str, currency: &Id) -> Option<Money> {
    let decimals = if WHOLE.contains(&currency.as_str()) { 0 } else { 2 };
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_amount = digits(whole, DIGITS_MAX) && fraction.is_none_or(|fraction| digits(fraction, decimals));
    is_amount.then(|| Money::parse(text).ok()).flatten()
}

/// A related resource.
#[derive(Deserialize)]
pub(super) struct Link {
    rel: Option<String>,
    href: Option<String>,
}

impl Link {
    /// The id of the payment a refund leads up to.
    pub(super) fn payment(&self) -> Option<&str> {
        let href = self.href.as_deref().filter(|_| matches!(self.rel.as_deref(), Some("up" | "capture" | "sale")))?;
        let (_, id) = href.rsplit_once("/captures/").or(href.rsplit_once("/capture/")).or(href.rsplit_once("/sale/"))?;
        Some(id).filter(|id| !id.contains(['/', '?', '#', '%']))
    }
}

/// A name of a payment.
pub(super) fn name(id: &str) -> Result<PaymentName, Fault> {
    PaymentName::of(PAYPAL, id).map_err(|_| Fault::malformed("resource: `id` is none"))
}

/// The name of something else of PayPal's: a refund, a dispute.
pub(super) fn printable(id: &str) -> Result<Printable, Fault> {
    Printable::new(&format!("{PAYPAL}:{id}")).map_err(|_| Fault::malformed("resource: `id` is none"))
}

/// Reads the resource of an event.
pub(super) fn read<'a, T: Deserialize<'a>>(resource: &'a str) -> Result<T, Fault> {
    let Object(read): Object<T> = serde_json::from_str(resource).map_err(|error| Fault::from(error).within("resource"))?;
    Ok(read)
}

/// An instant as PayPal writes them.
pub(super) fn instant(text: Option<&str>, name: &str) -> Result<Timestamp, Fault> {
    text.and_then(Timestamp::spelt).ok_or_else(|| Fault::malformed(format!("`{name}` is no RFC 3339 instant in the years 2000 to 2400")))
}

/// Whose and what: `<account>:<package>` (message contract, Webhooks).
pub(super) enum Custom {
    /// Ours.
    Ours {
        /// The account.
        account: Id,
        /// What it buys.
        package: Id,
    },
    /// No colon in it: an account, if the resource is one that names nothing else.
    Word(Id),
    /// Somebody else's.
    Foreign,
}

impl Custom {
    /// Reads what the seller wrote. Others write there what they like: only what must be meant for a ledger
    /// and is wrong is a flaw.
    pub(super) fn read(text: Option<&str>) -> Result<Self, Fault> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::Foreign) };
        let Some((account, package)) = text.split_once(':') else {
            return Ok(Id::new(text).map_or(Self::Foreign, Self::Word));
        };
        match (Id::new(account), Id::new(package)) {
            (Ok(account), Ok(package)) => Ok(Self::Ours { account, package }),
            (Err(_), Ok(_)) if !account.is_empty() => {
                Err(Fault::malformed("resource: `custom_id` is <account>:<package>, but the account is no id"))
            }
            _ => Ok(Self::Foreign),
        }
    }
}

/// The account that a `custom_id` names for a purchase, if it is one of ours.
#[must_use]
pub fn account_in(custom: &str) -> Option<Id> {
    match Custom::read(Some(custom)) {
        Ok(Custom::Ours { account, .. }) => Some(account),
        Ok(Custom::Word(_) | Custom::Foreign) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str, currency: &str, sign: Sign) -> Option<String> {
        let json = serde_json::json!({"currency_code": currency, "value": text});
        let amount: Amount = serde_json::from_value(json).unwrap();
        amount.read(sign).ok().map(|(_, amount)| amount.to_string())
    }

    #[test]
    fn b27_amounts_have_one_form_per_currency() {
        for (text, currency, shown) in [
            ("10.00", "USD", "10"),
            ("10", "USD", "10"),
            ("10.5", "EUR", "10.5"),
            ("0.01", "EUR", "0.01"),
            ("999999999999.99", "USD", "999999999999.99"),
            ("1000", "JPY", "1000"),
            ("1000", "HUF", "1000"),
        ] {
            assert_eq!(amount(text, currency, Sign::Plain).as_deref(), Some(shown), "{text} {currency}");
        }
        for (text, currency) in [
            ("10.005", "USD"),
            ("1,000.00", "USD"),
            ("1e3", "USD"),
            ("٣", "USD"),
            ("-1.00", "USD"),
            ("+1.00", "USD"),
            ("", "USD"),
            (".5", "USD"),
            ("5.", "USD"),
            (" 5", "USD"),
            ("1000000000000", "USD"),
            ("10.00", "JPY"),
            ("10.00", "usd"),
            ("10.00", "US"),
            ("10.00", ""),
        ] {
            assert_eq!(amount(text, currency, Sign::Plain), None, "{text:?} {currency:?}");
        }
        assert_eq!(amount("-1.00", "USD", Sign::WentBack).as_deref(), Some("1"));
        assert_eq!(amount("--1.00", "USD", Sign::WentBack), None);
    }

    #[test]
    fn a_link_leads_to_a_payment_and_to_nothing_else() {
        let link = |rel: &str, href: &str| Link { rel: Some(rel.into()), href: Some(href.into()) }.payment().map(str::to_owned);
        assert_eq!(link("up", "https://api.paypal.com/v2/payments/captures/0JF852973C016714D").as_deref(), Some("0JF852973C016714D"));
        assert_eq!(link("sale", "https://api.paypal.com/v1/payments/sale/9T0916710M1105906").as_deref(), Some("9T0916710M1105906"));
        assert_eq!(link("capture", "https://api.paypal.com/v1/payments/capture/1A").as_deref(), Some("1A"));
        assert_eq!(link("self", "https://api.paypal.com/v2/payments/captures/0JF852973C016714D"), None);
        assert_eq!(link("up", "https://api.paypal.com/v2/checkout/orders/5O190127TN364715T"), None);
        assert_eq!(link("up", "https://api.paypal.com/v2/payments/captures/1/refund"), None);
    }

    #[test]
    fn what_others_write_is_no_flaw() {
        assert!(
            matches!(Custom::read(Some("u1:starter")), Ok(Custom::Ours { account, package }) if account.as_str() == "u1" && package.as_str() == "starter")
        );
        assert!(matches!(Custom::read(Some("order-77")), Ok(Custom::Word(_))));
        for foreign in ["", "order 77", "{\"order\": 7}", "a:b:c", ":starter", "u1:", "see https://shop.example/7"] {
            assert!(matches!(Custom::read(Some(foreign)), Ok(Custom::Foreign)), "{foreign}");
        }
        assert!(matches!(Custom::read(None), Ok(Custom::Foreign)));
        assert!(Custom::read(Some("u@x.example:starter")).is_err(), "a package is named, so it is ours");
    }
}
