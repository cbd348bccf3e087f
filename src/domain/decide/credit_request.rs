//! `credit_request.submitted`, `.decided`, `.cancelled`: manual purchases (semantics §5).

use super::payment_names::learn;
use super::purchase::{Bought, grant_purchase, reviewed, settle_at_once};
use super::{Case, Draft, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::{CancelRequest, DecideRequest, RequestedGoods, SubmitRequest};
use crate::domain::credits::{Credits, Money, Overflow};
use crate::domain::decision::{Decision, On, Row};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Printable};
use crate::domain::payment::{Payment, PaymentName, PaymentStatus, PaymentTerms, Purchase, payment_of};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::{CreditRequest, RequestMethod, RequestStatus, RequestTerms};
use jiff::SignedDuration;

/// How long a request may wait for its decision (semantics §5).
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

pub fn submit(case: Case<'_>, command: &SubmitRequest) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    if account.status == AccountStatus::Unopened && !case.terms.settings.opens_accounts() {
        return Ok(Decision::Waiting(On::Account));
    }
    let terms = terms(case, command)?;
    if let Some(known) = case.book.requests.get(&command.request) {
        let same = match &terms {
            Some(terms) => same_request(&known.terms, terms, command),
            None => false,
        };
        return Ok(if same { Decision::Duplicate } else { Decision::Quarantined(QuarantineReason::IdempotencyConflict) });
    }
    // A payment's id is the id of its request, should it need one.
    if case.book.knows_payment_id(&command.request) || evidence_taken(case, command) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    let impossible = terms.as_ref().is_some_and(|terms| {
        let currency = case.terms.catalog().map(|catalog| &catalog.currency);
        !terms.credits.is_positive() || !terms.price.is_positive() || currency != Some(&terms.currency)
    });
    let mut reasons = Reasons::default();
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!case.terms.settings.credit_payments, Rejection::CreditsDisabled);
    reasons.add_if(command.method == RequestMethod::Invoice && !account.profile.invoicing, Rejection::NotPermitted);
    reasons.add_if(impossible, Rejection::InvalidAmount);
    reasons.add_if(terms.is_none(), Rejection::UnknownPackage);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let Some(terms) = terms else { return Ok(Decision::Rejected(vec![Rejection::UnknownPackage])) };
    let mut draft = case.draft();
    draft.open_account();
    let expires_at = case.at.checked_add(OPEN_FOR).map_err(|_| Overflow)?;
    let request = CreditRequest {
        terms,
        status: RequestStatus::Pending,
        submitted_at: case.at,
        expires_at: Some(expires_at),
        decided_by: None,
        received: None,
        granted: Credits::ZERO,
    };
    announce(&mut draft, &request, Some(command.requested_by.clone()), None);
    draft.put(Row::Request(request));
    Ok(accept(draft))
}

/// The frozen terms; `None` when the package is not in the catalog.
fn terms(case: Case<'_>, command: &SubmitRequest) -> Result<Option<RequestTerms>, Overflow> {
    let (package, credits, bonus, expires_after, price, currency) = match &command.goods {
        RequestedGoods::Package(key) => {
            let found = case.terms.catalog().and_then(|catalog| Some((catalog, catalog.packages.get(key)?)));
            let Some((catalog, package)) = found else { return Ok(None) };
            let credits = package.credits.plus(package.bonus)?;
            (Some(key.clone()), credits, package.bonus, package.expires_after, package.price, catalog.currency.clone())
        }
        RequestedGoods::Credits { credits, price, currency } => (None, *credits, Credits::ZERO, None, *price, currency.clone()),
    };
    Ok(Some(RequestTerms {
        id: command.request.clone(),
        package,
        credits,
        bonus,
        expires_after,
        price,
        currency,
        method: command.method,
        requested_by: command.requested_by.clone(),
        evidence: command.evidence.clone(),
    }))
}

/// Equal terms; the price a package had when it was frozen is not compared with today's.
fn same_request(known: &RequestTerms, asked: &RequestTerms, command: &SubmitRequest) -> bool {
    let goods = match &command.goods {
        RequestedGoods::Package(key) => known.package.as_ref() == Some(key),
        RequestedGoods::Credits { .. } => {
            known.package.is_none() && known.credits == asked.credits && known.price == asked.price && known.currency == asked.currency
        }
    };
    goods && known.method == asked.method && known.requested_by == asked.requested_by && known.evidence == asked.evidence
}

fn evidence_taken(case: Case<'_>, command: &SubmitRequest) -> bool {
    let Some(evidence) = &command.evidence else { return false };
    case.book.requests.values().any(|other| {
        other.status.holds_evidence()
            && other.terms.method == command.method
            && other.terms.evidence.as_ref().is_some_and(|used| used.reference == evidence.reference)
    })
}

pub fn decide(case: Case<'_>, command: &DecideRequest) -> Result<Decision, Overflow> {
    let Some(request) = case.book.requests.get(&command.request) else {
        return Ok(Decision::Waiting(On::Request(command.request.clone())));
    };
    if let Some(answer) = standing_answer(request, command) {
        return Ok(answer);
    }
    let payment = reviewed(case.book, &request.terms);
    let of_payment = request.terms.method == RequestMethod::Payment;
    if of_payment && payment.is_none() {
        return Ok(Decision::Quarantined(QuarantineReason::InvariantViolated));
    }
    let received = command.received_amount.or(request.received);
    // What a payment in another currency is of the price, nobody but staff can say.
    let incomparable = of_payment && received.is_none();
    let received_wrong = incomparable || command.received_amount.is_some_and(|received| !received.is_positive());
    let four_eyes = case.terms.settings.four_eyes && request.terms.requested_by == command.decided_by;
    let mut reasons = Reasons::default();
    reasons.add_if(!case.terms.may_decide(command.decided_by.as_str()), Rejection::NotPermitted);
    reasons.add_if(four_eyes, Rejection::FourEyes);
    reasons.add_if(received_wrong && command.accepted, Rejection::InvalidAmount);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut request = request.clone();
    let mut draft = case.draft();
    draft.actor = Printable::new(command.decided_by.as_str()).ok();
    request.decided_by = Some(command.decided_by.clone());
    if command.accepted {
        grant_request(&mut draft, &mut request, received, payment.filter(|_| of_payment))?;
    } else {
        request.status = RequestStatus::Rejected;
    }
    announce(&mut draft, &request, Some(command.decided_by.clone()), command.reason.clone());
    draft.put(Row::Request(request));
    Ok(accept(draft))
}

/// Grants what the money received buys. A payment whose request it is, is granted with it: whatever
/// event of it comes later grants nothing.
fn grant_request(
    draft: &mut Draft<'_>,
    request: &mut CreditRequest,
    received: Option<Money>,
    payment: Option<&Payment>,
) -> Result<(), Overflow> {
    let price = request.terms.price;
    let share = request.terms.share(received)?;
    request.received = received;
    request.status = RequestStatus::Accepted;
    request.granted = share.purchased.plus(share.bonus)?;
    // What a payment brought stands under the payment, however it was granted; a manual purchase is its own.
    let payment = payment.cloned().unwrap_or_else(|| manual(&request.terms, received));
    let name = payment.terms.payment.clone();
    draft.occurred_at = draft.at();
    let bought = Bought {
        credits: share.purchased,
        bonus: share.bonus,
        paid: received.unwrap_or(price).min(price),
        expires_after: request.terms.expires_after,
        payment: payment.terms.clone(),
    };
    grant_purchase(draft, &bought)?;
    draft.repay_debt()?;
    learn(draft, [PaymentName { name: name.clone(), provider_id: payment.terms.provider_id.clone() }], &name);
    let paid_at = payment.paid_at.or(Some(draft.at()));
    draft.put(Row::Payment(Payment { status: PaymentStatus::Granted, paid_at, granted: request.granted, ..payment }));
    settle_at_once(draft, &name)?;
    Ok(())
}

/// The payment that an accepted request stands for: what reverses it acts on that.
fn manual(request: &RequestTerms, received: Option<Money>) -> Payment {
    let terms = PaymentTerms {
        payment: payment_of(&request.id),
        provider_id: request.id.clone(),
        package: request.package.clone().map(|package| Purchase { package, quantity: 1 }),
        amount: received.unwrap_or(request.price),
        before_tax: None,
        currency: request.currency.clone(),
        document: request.evidence.as_ref().map(|evidence| evidence.reference.clone()),
    };
    Payment::new(terms, PaymentStatus::Unpaid)
}

/// The answer when the request is not pending: the same decision again returns the first result,
/// another is refused.
fn standing_answer(request: &CreditRequest, command: &DecideRequest) -> Option<Decision> {
    let same_money = command.received_amount.is_none() || command.received_amount == request.received;
    match request.status {
        RequestStatus::Pending => None,
        RequestStatus::Accepted if command.accepted && same_money => Some(Decision::Duplicate),
        RequestStatus::Rejected if !command.accepted => Some(Decision::Duplicate),
        RequestStatus::Accepted | RequestStatus::Rejected | RequestStatus::Cancelled => {
            Some(Decision::Rejected(vec![Rejection::AlreadyDecided]))
        }
        RequestStatus::Expired => Some(Decision::Rejected(vec![Rejection::RequestExpired])),
    }
}

pub fn cancel(case: Case<'_>, command: &CancelRequest) -> Decision {
    let Some(request) = case.book.requests.get(&command.request) else {
        return Decision::Waiting(On::Request(command.request.clone()));
    };
    match request.status {
        RequestStatus::Pending => {}
        RequestStatus::Cancelled => return Decision::Duplicate,
        RequestStatus::Accepted | RequestStatus::Rejected => return Decision::Rejected(vec![Rejection::AlreadyDecided]),
        RequestStatus::Expired => return Decision::Rejected(vec![Rejection::RequestExpired]),
    }
    if request.terms.method == RequestMethod::Payment && !case.terms.may_decide(command.cancelled_by.as_str()) {
        return Decision::Rejected(vec![Rejection::NotPermitted]);
    }
    let mut draft = case.draft();
    withdraw(&mut draft, request.clone(), Some(command.cancelled_by.clone()), None);
    accept(draft)
}

/// Ends a pending request without a decision.
pub fn withdraw(draft: &mut Draft<'_>, mut request: CreditRequest, by: Option<Id>, reason: Option<String>) {
    request.status = RequestStatus::Cancelled;
    request.decided_by.clone_from(&by);
    announce(draft, &request, by, reason);
    draft.put(Row::Request(request));
}

/// Announces a request with its credits, bonus included: asked for, or granted once accepted.
pub fn announce(draft: &mut Draft<'_>, request: &CreditRequest, actor: Option<Id>, reason: Option<String>) {
    let credits = match request.status {
        RequestStatus::Accepted => request.granted,
        RequestStatus::Pending | RequestStatus::Rejected | RequestStatus::Cancelled | RequestStatus::Expired => request.terms.credits,
    };
    draft.announce(Event::Request { request: request.terms.id.clone(), status: request.status, credits, actor, reason });
}
