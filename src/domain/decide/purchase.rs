//! A provider's payment: granted once, when it is paid and its price fits (semantics §5, §9).
//!
//! Owns what its events add up to, in whatever order and under whichever of its names they come.
//! What staff decide about one is `credit_request`'s.

use super::credit_request::{announce, withdraw};
use super::payment_names::{Contradiction, known, learn, learnt, named};
use super::refund::announce as announce_reversal;
use super::{Case, Draft, accept};
use crate::domain::account::AccountStatus;
use crate::domain::book::Book;
use crate::domain::calendar::CalendarSpan;
use crate::domain::catalog::{Catalog, Package};
use crate::domain::clawback;
use crate::domain::credits::{Credits, Money, Overflow};
use crate::domain::decision::{Decision, On, Row};
use crate::domain::event::Reversal;
use crate::domain::grant::{GrantEnd, GrantSource, GrantTerms};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{Payment, PaymentStatus, PaymentTerms, Purchase};
use crate::domain::provider::{PaymentNames, PaymentSaid, ProviderPayment};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::{CreditRequest, RequestMethod, RequestStatus, RequestTerms};
use crate::domain::settings::PriceCheck;
use rust_decimal::Decimal;

/// An event about a payment, and the payment as it is known so far.
#[derive(Clone, Copy)]
struct Seen<'a> {
    case: Case<'a>,
    event: &'a ProviderPayment,
    known: Option<&'a Payment>,
}

/// What the catalog gives for a payment, and for how much.
struct Offer {
    package: Purchase,
    /// Bonus included.
    credits: Credits,
    bonus: Credits,
    price: Money,
    currency: Id,
    expires_after: Option<CalendarSpan>,
}

pub fn decide(case: Case<'_>, event: &ProviderPayment) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    let Ok(known) = known(case.book, event.names(), |known| contradicts(known, &event.terms)) else {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    };
    let seen = Seen { case, event, known };
    if let Some(known) = known.filter(|known| known.status == PaymentStatus::Granted) {
        // The money cannot have failed to come and be here: a person must look.
        let contradicted = event.said == PaymentSaid::Failed;
        return if contradicted { Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict)) } else { already(seen, known) };
    }
    if known.is_none() && !event.is_addressed {
        return Ok(Decision::Waiting(On::Payment(event.names().map(|name| name.name).collect())));
    }
    let terms = merged(known, event);
    // Of an invoice's payment, say: what it is for, others tell.
    if let (false, None, Some(known)) = (event.is_addressed, &terms.package, known) {
        return already(seen, known);
    }
    // Ours, because it names an account; but for what, nobody knows. Another event may say it.
    let Some(purchase) = &terms.package else { return Ok(Decision::Rejected(vec![Rejection::UnknownPackage])) };
    if account.status == AccountStatus::Unopened && !case.terms.settings.opens_accounts() {
        return Ok(Decision::Waiting(On::Account));
    }
    if event.said != PaymentSaid::Paid {
        return remember_unpaid(seen, terms);
    }
    let catalog = case.terms.catalog();
    let Some((catalog, package)) = catalog.and_then(|catalog| Some((catalog, catalog.packages.get(&purchase.package)?))) else {
        return Ok(Decision::Rejected(vec![Rejection::UnknownPackage]));
    };
    let offer = offer(catalog, package, purchase)?;
    if price_fits(case.terms.settings.price_check, &offer, &terms) { grant(seen, terms, &offer) } else { review(seen, terms, &offer) }
}

/// Terms are compared where both events name them: account, package, amount, currency.
fn contradicts(known: &PaymentTerms, event: &PaymentTerms) -> bool {
    let packages = known.package.as_ref().zip(event.package.as_ref()).is_some_and(|(known, event)| known != event);
    packages || known.amount != event.amount || known.currency != event.currency
}

/// What is known of a payment after this event: each event fills in what earlier ones left open.
///
/// An event is about the name that says most, a PaymentIntent rather than its session; a payment is
/// kept under it, unless money was taken up under another one before.
fn merged(known: Option<&Payment>, event: &ProviderPayment) -> PaymentTerms {
    let seen = &event.terms;
    let Some(Payment { terms: known, status, .. }) = known else { return seen.clone() };
    let says_more = !status.is_taken_up() && event.aliases.iter().any(|alias| alias.name == known.payment);
    let named = if says_more { seen } else { known };
    PaymentTerms {
        payment: named.payment.clone(),
        provider_id: named.provider_id.clone(),
        package: seen.package.clone().or_else(|| known.package.clone()),
        before_tax: seen.before_tax.or(known.before_tax),
        document: seen.document.clone().or_else(|| known.document.clone()),
        ..seen.clone()
    }
}

/// An event that only shows what a payment is called.
pub fn name(case: Case<'_>, names: &PaymentNames) -> Result<Decision, Overflow> {
    match known(case.book, names.0.iter().cloned(), |_| false) {
        Err(Contradiction) => Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict)),
        Ok(None) => Ok(Decision::Waiting(On::Payment(names.printed()))),
        Ok(Some(payment)) => learnt(case.draft(), names.0.iter().cloned(), &payment.terms.payment),
    }
}

/// Nothing is left to do for a payment but to learn what else it is called, and what of it was tax: less counts
/// among the purchases of its month then.
fn already(seen: Seen<'_>, known: &Payment) -> Result<Decision, Overflow> {
    let mut draft = seen.case.draft();
    let name = &known.terms.payment;
    if let (None, Some(net), PaymentStatus::Granted) = (known.terms.before_tax, seen.event.terms.before_tax, known.status) {
        let terms = PaymentTerms { before_tax: Some(net), ..known.terms.clone() };
        draft.put(Row::Payment(Payment { terms, ..known.clone() }));
        clawback::settle(&mut draft, name)?;
    }
    learnt(draft, seen.event.names(), name)
}

/// Keeps a payment with the names its event shows.
fn keep(draft: &mut Draft<'_>, event: &ProviderPayment, payment: Payment) {
    let name = payment.terms.payment.clone();
    draft.put(Row::Payment(payment));
    learn(draft, event.names(), &name);
}

fn remember_unpaid(seen: Seen<'_>, terms: PaymentTerms) -> Result<Decision, Overflow> {
    let failed = matches!(seen.event.said, PaymentSaid::Failed | PaymentSaid::AttemptFailed);
    let before = seen.known.map(|known| known.status);
    let status = match before {
        // A late word of the beginning does not take back how it ended.
        Some(status) if !failed || status.is_taken_up() => status,
        Some(_) | None if failed => PaymentStatus::Failed,
        Some(_) | None => PaymentStatus::Unpaid,
    };
    if let Some(known) = seen.known.filter(|known| known.terms.payment == terms.payment && known.status == status) {
        return already(seen, known);
    }
    let mut draft = seen.case.draft();
    let known = seen.known.cloned().unwrap_or_else(|| Payment::new(terms.clone(), status));
    keep(&mut draft, seen.event, Payment { terms, status, ..known });
    Ok(if before == Some(status) { named(draft) } else { accept(draft) })
}

fn offer(catalog: &Catalog, package: &Package, purchase: &Purchase) -> Result<Offer, Overflow> {
    let times = |amount: Credits| amount.share_down(Decimal::from(purchase.quantity), Decimal::ONE);
    let bonus = times(package.bonus)?;
    Ok(Offer {
        package: purchase.clone(),
        credits: times(package.credits)?.plus(bonus)?,
        bonus,
        price: times(package.price)?,
        currency: catalog.currency.clone(),
        expires_after: package.expires_after,
    })
}

/// What is compared with a price: the amount before tax, where it is shown.
fn before_tax(terms: &PaymentTerms) -> Money {
    terms.before_tax.unwrap_or(terms.amount)
}

fn price_fits(check: PriceCheck, offer: &Offer, terms: &PaymentTerms) -> bool {
    let fits = match check {
        PriceCheck::Exact => before_tax(terms) == offer.price,
        PriceCheck::AtLeast => before_tax(terms) >= offer.price,
        PriceCheck::Review => false,
    };
    // Amounts of two currencies cannot be compared.
    fits && offer.currency == terms.currency
}

fn grant(seen: Seen<'_>, terms: PaymentTerms, offer: &Offer) -> Result<Decision, Overflow> {
    let mut draft = seen.case.draft();
    draft.open_account();
    if let Some(request) = pending_review(seen.case, &terms) {
        withdraw(&mut draft, request.clone(), None, Some("a later event showed the right amount".into()));
    }
    let payment = terms.payment.clone();
    let bought = Bought {
        credits: offer.credits.minus(offer.bonus)?,
        bonus: offer.bonus,
        paid: terms.amount,
        expires_after: offer.expires_after,
        payment: terms.clone(),
    };
    grant_purchase(&mut draft, &bought)?;
    draft.repay_debt()?;
    let known = seen.known.cloned().unwrap_or_else(|| Payment::new(terms.clone(), PaymentStatus::Unpaid));
    let paid_at = known.paid_at.or(Some(seen.case.message.occurred_at));
    keep(&mut draft, seen.event, Payment { terms, status: PaymentStatus::Granted, paid_at, granted: offer.credits, ..known });
    // What was refunded before it was paid for.
    settle_at_once(&mut draft, &payment)?;
    Ok(accept(draft))
}

/// A mismatch becomes a pending request for staff, with the payment's id and no expiry.
fn review(seen: Seen<'_>, terms: PaymentTerms, offer: &Offer) -> Result<Decision, Overflow> {
    if let Some(known) = seen.known.filter(|known| known.status == PaymentStatus::Review) {
        return already(seen, known);
    }
    // One id, one request: somebody asked for credits under the payment's id.
    if seen.case.book.requests.contains_key(&terms.provider_id) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    let mut draft = seen.case.draft();
    draft.open_account();
    let request = CreditRequest {
        terms: RequestTerms {
            id: terms.provider_id.clone(),
            package: Some(offer.package.package.clone()),
            credits: offer.credits,
            bonus: offer.bonus,
            expires_after: offer.expires_after,
            price: offer.price,
            currency: offer.currency.clone(),
            method: RequestMethod::Payment,
            requested_by: seen.case.message.account.account.clone(),
            evidence: None,
        },
        status: RequestStatus::Pending,
        submitted_at: seen.case.at,
        expires_at: None,
        decided_by: None,
        received: (offer.currency == terms.currency).then(|| before_tax(&terms)),
        granted: Credits::ZERO,
    };
    announce(&mut draft, &request, None, Some(why_reviewed(&terms, offer)));
    draft.put(Row::Request(request));
    let known = seen.known.cloned().unwrap_or_else(|| Payment::new(terms.clone(), PaymentStatus::Unpaid));
    keep(&mut draft, seen.event, Payment { terms, status: PaymentStatus::Review, paid_at: Some(seen.case.message.occurred_at), ..known });
    Ok(accept(draft))
}

/// Why a payment waits for staff, in words for them.
fn why_reviewed(terms: &PaymentTerms, offer: &Offer) -> String {
    if price_fits(PriceCheck::Exact, offer, terms) {
        return "every payment is reviewed".to_owned();
    }
    let Offer { price, currency: priced_in, package: Purchase { quantity, .. }, .. } = offer;
    let paid = match terms.before_tax {
        Some(net) => format!("paid {net} {} before tax", terms.currency),
        None => format!("paid {} {}, tax not shown", terms.amount, terms.currency),
    };
    match quantity {
        1 => format!("{paid}; the package costs {price} {priced_in}"),
        several => format!("{paid}; {several} of the package cost {price} {priced_in}"),
    }
}

fn pending_review<'a>(case: Case<'a>, terms: &PaymentTerms) -> Option<&'a CreditRequest> {
    case.book
        .requests
        .get(&terms.provider_id)
        .filter(|request| request.status == RequestStatus::Pending && request.terms.method == RequestMethod::Payment)
}

/// The payment under review whose request this is.
pub fn reviewed<'a>(book: &'a Book, request: &RequestTerms) -> Option<&'a Payment> {
    book.payments.values().find(|payment| payment.status == PaymentStatus::Review && payment.terms.provider_id == request.id)
}

/// Takes back what was refunded of a payment before it brought anything.
pub fn settle_at_once(draft: &mut Draft<'_>, payment: &Printable) -> Result<(), Overflow> {
    let clawed = clawback::settle(draft, payment)?;
    if clawed.target.is_positive() {
        announce_reversal(draft, Reversal::Refunded, payment, clawed);
    }
    Ok(())
}

/// What was bought.
pub struct Bought {
    pub credits: Credits,
    pub bonus: Credits,
    /// All that was paid, for the cost basis.
    pub paid: Money,
    pub expires_after: Option<CalendarSpan>,
    /// What it stands under, and what reverses it.
    pub payment: PaymentTerms,
}

/// Grants a purchase and its bonus: the one place where bought credits arrive.
pub fn grant_purchase(draft: &mut Draft<'_>, bought: &Bought) -> Result<(), Overflow> {
    let Bought { credits, bonus, paid, expires_after, .. } = *bought;
    let zone = draft.book.account.profile.zone.clone();
    let end = expires_after.and_then(|span| span.after(draft.at(), zone.rules())).map_or(GrantEnd::Never, GrantEnd::At);
    let cost_basis = if credits.is_positive() { paid.share_down(Decimal::ONE, credits.decimal())? } else { Money::ZERO };
    for (source, amount, cost_basis) in [(GrantSource::Purchased, credits, cost_basis), (GrantSource::Bonus, bonus, Money::ZERO)] {
        if !amount.is_positive() {
            continue;
        }
        let id: Id = draft.derived_id("gr");
        let terms = GrantTerms::plain(id, source, amount, draft.occurred_at, draft.cause.clone());
        let payment = Some(bought.payment.payment.clone());
        draft.grant(GrantTerms { cost_basis, end: end.clone(), payment, ..terms }, Some(bought.payment.reference()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payment::PaymentName;

    fn amount(text: &str) -> Credits {
        Credits::parse(text).unwrap()
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn paid(amount_paid: &str, before_tax: Option<&str>, currency: &str) -> PaymentTerms {
        let PaymentName { name, provider_id } = PaymentName::of("stripe", "pi_1").unwrap();
        PaymentTerms {
            payment: name,
            provider_id,
            package: None,
            amount: amount(amount_paid),
            before_tax: before_tax.map(amount),
            currency: id(currency),
            document: None,
        }
    }

    fn offered(quantity: u32, price: &str) -> Offer {
        Offer {
            package: Purchase { package: id("starter"), quantity },
            credits: amount("550"),
            bonus: amount("50"),
            price: amount(price),
            currency: id("USD"),
            expires_after: None,
        }
    }

    #[test]
    fn a_price_is_compared_before_tax_and_in_its_own_currency() {
        use PriceCheck::{AtLeast, Exact, Review};
        for (terms, exact, at_least) in [
            (paid("20", None, "USD"), true, true),
            (paid("23.8", Some("20"), "USD"), true, true),
            (paid("23.8", None, "USD"), false, true),
            (paid("19.99", None, "USD"), false, false),
            (paid("20", Some("16.81"), "USD"), false, false),
            (paid("20", None, "EUR"), false, false),
            (paid("2000", None, "JPY"), false, false),
        ] {
            let fits = [Exact, AtLeast, Review].map(|check| price_fits(check, &offered(1, "20"), &terms));
            assert_eq!(fits, [exact, at_least, false], "{terms:?}");
        }
    }

    #[test]
    fn staff_read_what_was_paid_and_what_it_costs() {
        for (terms, quantity, price, why) in [
            (paid("2000", None, "JPY"), 1, "20", "paid 2000 JPY, tax not shown; the package costs 20 USD"),
            (paid("2380", Some("2000"), "JPY"), 1, "20", "paid 2000 JPY before tax; the package costs 20 USD"),
            (paid("19.99", Some("19.99"), "USD"), 1, "20", "paid 19.99 USD before tax; the package costs 20 USD"),
            (paid("50", Some("50"), "USD"), 3, "60", "paid 50 USD before tax; 3 of the package cost 60 USD"),
            (paid("23.8", Some("20"), "USD"), 1, "20", "every payment is reviewed"),
        ] {
            assert_eq!(why_reviewed(&terms, &offered(quantity, price)), why);
        }
    }

    #[test]
    fn a_name_keeps_all_of_a_long_id_and_an_id_its_first_characters() {
        let session = format!("cs_live_{}", "x".repeat(58));
        let name = PaymentName::of("stripe", &session).unwrap();
        assert_eq!((name.name.as_str(), name.provider_id.as_str()), (format!("stripe:{session}").as_str(), &session[..64]));
        assert!(PaymentName::of("stripe", "").is_err() && PaymentName::of("stripe", "pi 1").is_err());
    }
}
