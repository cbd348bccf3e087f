//! A provider's payment: granted once, when it is paid and its price fits (semantics §5, §9).

use super::credit_request::{announce, withdraw};
use super::{Case, Draft, accept};
use crate::domain::account::AccountStatus;
use crate::domain::calendar::CalendarSpan;
use crate::domain::catalog::Package;
use crate::domain::command::ProviderPayment;
use crate::domain::credits::{Credits, Money, Overflow};
use crate::domain::decision::{Decision, On, Row};
use crate::domain::grant::{GrantEnd, GrantSource, GrantTerms};
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{Payment, PaymentStatus, PaymentTerms};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::{CreditRequest, RequestMethod, RequestStatus, RequestTerms};
use crate::domain::settings::PriceCheck;
use rust_decimal::Decimal;

pub fn decide(case: Case<'_>, command: &ProviderPayment) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    let other_mode = command.livemode.zip(case.terms.settings.livemode).is_some_and(|(event, wanted)| event != wanted);
    if other_mode {
        return Ok(Decision::Quarantined(QuarantineReason::NotPermitted));
    }
    let known = case.book.payments.get(&command.terms.payment);
    if known.is_some_and(|known| contradicts(&known.terms, &command.terms)) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    if known.is_some_and(|known| known.status == PaymentStatus::Granted) {
        return Ok(Decision::Duplicate);
    }
    if account.status == AccountStatus::Unopened && !case.terms.settings.opens_accounts() {
        return Ok(Decision::Waiting(On::Account));
    }
    let terms = merged(known.map(|known| &known.terms), &command.terms);
    if !command.paid {
        return Ok(remember_unpaid(case, known, terms));
    }
    let Some(purchase) = &terms.package else { return Ok(Decision::Ignored) };
    let catalog = case.terms.catalog();
    let Some((catalog, package)) = catalog.and_then(|catalog| Some((catalog, catalog.packages.get(&purchase.package)?))) else {
        return Ok(Decision::Rejected(vec![Rejection::UnknownPackage]));
    };
    let quantity = Decimal::from(purchase.quantity);
    let price = package.price.share_down(quantity, Decimal::ONE)?;
    let asked = Asked {
        credits: package.credits.share_down(quantity, Decimal::ONE)?,
        bonus: package.bonus.share_down(quantity, Decimal::ONE)?,
        price,
    };
    let fits = catalog.currency == terms.currency && price_fits(case.terms.settings.price_check, price, &terms);
    if fits { grant(case, terms, package, &asked) } else { Ok(review(case, known, terms, package, &asked)) }
}

struct Asked {
    credits: Credits,
    bonus: Credits,
    price: Money,
}

/// Terms are compared where both events name them: account, package, amount, currency.
fn contradicts(known: &PaymentTerms, event: &PaymentTerms) -> bool {
    let packages = known.package.as_ref().zip(event.package.as_ref()).is_some_and(|(known, event)| known != event);
    packages || known.amount != event.amount || known.currency != event.currency
}

/// What is known of a payment after this event: each event fills in what earlier ones left open.
fn merged(known: Option<&PaymentTerms>, event: &PaymentTerms) -> PaymentTerms {
    let Some(known) = known else { return event.clone() };
    PaymentTerms {
        package: event.package.clone().or_else(|| known.package.clone()),
        before_tax: event.before_tax.or(known.before_tax),
        document: event.document.clone().or_else(|| known.document.clone()),
        ..event.clone()
    }
}

fn remember_unpaid(case: Case<'_>, known: Option<&Payment>, terms: PaymentTerms) -> Decision {
    let payment = Payment { terms, status: PaymentStatus::Unpaid, granted: Credits::ZERO };
    if known.is_some() {
        return Decision::Duplicate;
    }
    let mut draft = case.draft();
    draft.put(Row::Payment(payment));
    accept(draft)
}

fn price_fits(check: PriceCheck, price: Money, terms: &PaymentTerms) -> bool {
    let before_tax = terms.before_tax.unwrap_or(terms.amount);
    match check {
        PriceCheck::Exact => before_tax == price,
        PriceCheck::AtLeast => before_tax >= price,
        PriceCheck::Review => false,
    }
}

fn grant(case: Case<'_>, terms: PaymentTerms, package: &Package, asked: &Asked) -> Result<Decision, Overflow> {
    let mut draft = case.draft();
    draft.open_account();
    if let Some(request) = pending_review(case, &terms) {
        withdraw(&mut draft, request.clone(), None, Some("a later event showed the right amount".into()));
    }
    let bought = Bought {
        credits: asked.credits,
        bonus: asked.bonus,
        paid: terms.amount,
        expires_after: package.expires_after,
        reference: Some(terms.payment.clone()),
    };
    grant_purchase(&mut draft, &bought)?;
    draft.repay_debt()?;
    let granted = asked.credits.plus(asked.bonus)?;
    draft.put(Row::Payment(Payment { terms, status: PaymentStatus::Granted, granted }));
    Ok(accept(draft))
}

/// A mismatch becomes a pending request for staff, with the payment's id and no expiry.
fn review(case: Case<'_>, known: Option<&Payment>, terms: PaymentTerms, package: &Package, asked: &Asked) -> Decision {
    if known.is_some_and(|known| known.status == PaymentStatus::Review) {
        return Decision::Duplicate;
    }
    let mut draft = case.draft();
    draft.open_account();
    let request = CreditRequest {
        terms: RequestTerms {
            id: terms.provider_id.clone(),
            package: terms.package.as_ref().map(|purchase| purchase.package.clone()),
            credits: asked.credits,
            bonus: asked.bonus,
            expires_after: package.expires_after,
            price: asked.price,
            currency: terms.currency.clone(),
            method: RequestMethod::Payment,
            requested_by: case.message.account.account.clone(),
            evidence: None,
        },
        status: RequestStatus::Pending,
        submitted_at: case.at,
        expires_at: None,
        decided_by: None,
        received: Some(terms.before_tax.unwrap_or(terms.amount)),
        granted: Credits::ZERO,
    };
    announce(&mut draft, &request, None, Some("the amount paid is not the price of the package".into()));
    draft.put(Row::Request(request));
    draft.put(Row::Payment(Payment { terms, status: PaymentStatus::Review, granted: Credits::ZERO }));
    accept(draft)
}

fn pending_review<'a>(case: Case<'a>, terms: &PaymentTerms) -> Option<&'a CreditRequest> {
    case.book
        .requests
        .get(&terms.provider_id)
        .filter(|request| request.status == RequestStatus::Pending && request.terms.method == RequestMethod::Payment)
}

/// What was bought.
pub struct Bought {
    pub credits: Credits,
    pub bonus: Credits,
    /// All that was paid, for the cost basis.
    pub paid: Money,
    pub expires_after: Option<CalendarSpan>,
    pub reference: Option<Printable>,
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
        draft.grant(GrantTerms { cost_basis, end: end.clone(), ..terms }, bought.reference.clone())?;
    }
    Ok(())
}
