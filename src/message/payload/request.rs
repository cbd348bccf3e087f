//! `credit_request.submitted`, `.decided`, `.cancelled`, `.reversed`: manual purchases; `refund.requested`.
//! Reads them; who may decide is the core's.

use super::{Asked, read};
use crate::domain::command::{CancelRequest, Command, DecideRequest, RequestRefund, RequestedGoods, ReverseRequest, SubmitRequest};
use crate::domain::ids::{Id, Link, Printable, Prose};
use crate::domain::request::{Evidence, RequestMethod};
use crate::message::amount::Amount;
use crate::message::fault::Fault;
use crate::message::field::{Currency, Field, Spelt, one_of};
use crate::message::json::Object;
use crate::message::schema::only;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    only(&["package"], &["credits", "price", "currency"]),
    only(&["credits", "price", "currency"], &["package"]),
]))]
pub(super) struct Submitted {
    request: Field<Id>,
    package: Option<Field<Id>>,
    credits: Option<Amount>,
    price: Option<Amount>,
    currency: Option<Field<Currency>>,
    method: Field<RequestMethod>,
    requested_by: Field<Id>,
    evidence: Option<Object<Proof>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    reference: Field<Printable>,
    url: Option<Field<Link>>,
}

pub(super) fn submitted(data: &str) -> Result<Asked, Fault> {
    let data: Submitted = read(data)?;
    let goods = match (data.package, data.credits, data.price, data.currency) {
        (Some(package), None, None, None) => RequestedGoods::Package(package.0),
        (None, Some(credits), Some(price), Some(currency)) => {
            RequestedGoods::Credits { credits: credits.0, price: price.0, currency: currency.0.0 }
        }
        _ => return Err(Fault::malformed("data: either `package`, or `credits`, `price` and `currency` together")),
    };
    Ok(Command::SubmitRequest(SubmitRequest {
        request: data.request.0,
        goods,
        method: data.method.0,
        requested_by: data.requested_by.0,
        evidence: data.evidence.map(|Object(proof)| Evidence { reference: proof.reference.0, url: proof.url.map(|url| url.0) }),
    })
    .into())
}

/// The word of a decision.
struct Accepted(bool);

impl Spelt for Accepted {
    const FORM: &'static str = "accepted or rejected";

    fn spelt(text: &str) -> Option<Self> {
        match text {
            "accepted" => Some(Self(true)),
            "rejected" => Some(Self(false)),
            _ => None,
        }
    }

    fn schema() -> Schema {
        one_of(["accepted", "rejected"])
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    request: Field<Id>,
    decision: Field<Accepted>,
    decided_by: Field<Id>,
    reason: Option<Field<Prose>>,
    received_amount: Option<Amount>,
}

pub(super) fn decided(data: &str) -> Result<Asked, Fault> {
    let data: Decided = read(data)?;
    Ok(Command::DecideRequest(DecideRequest {
        request: data.request.0,
        accepted: data.decision.0.0,
        decided_by: data.decided_by.0,
        reason: data.reason.map(|reason| reason.0.to_string()),
        received_amount: data.received_amount.map(|amount| amount.0),
    })
    .into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancelled {
    request: Field<Id>,
    cancelled_by: Field<Id>,
}

pub(super) fn cancelled(data: &str) -> Result<Asked, Fault> {
    let data: Cancelled = read(data)?;
    Ok(Command::CancelRequest(CancelRequest { request: data.request.0, cancelled_by: data.cancelled_by.0 }).into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reversed {
    request: Field<Id>,
    amount: Option<Amount>,
    reversed_by: Field<Id>,
    reason: Field<Prose>,
}

pub(super) fn reversed(data: &str) -> Result<Asked, Fault> {
    let data: Reversed = read(data)?;
    Ok(Command::ReverseRequest(ReverseRequest {
        request: data.request.0,
        amount: data.amount.map(|amount| amount.0),
        reversed_by: data.reversed_by.0,
        reason: data.reason.0,
    })
    .into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundRequested {
    payment: Field<Printable>,
    requested_by: Field<Id>,
    reason: Field<Prose>,
}

pub(super) fn refund_requested(data: &str) -> Result<Asked, Fault> {
    let data: RefundRequested = read(data)?;
    Ok(Command::RequestRefund(RequestRefund { payment: data.payment.0, requested_by: data.requested_by.0, reason: data.reason.0 }).into())
}
