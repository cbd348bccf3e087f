//! What the ledger announces, in the past tense.
//!
//! Owns the content of every announcement but `balance.changed`, which the ledger derives from the
//! entries of a batch. Rendering is `message`'s.

use super::account::Profile;
use super::clawback::Clawed;
use super::command::RequestRefund;
use super::credits::{Credits, Money};
use super::ids::{Id, MessageId, Printable, Prose};
use super::rejection::Rejection;
use super::request::RequestStatus;
use super::subscription::{Reset, Subscription};
use jiff::Timestamp;
use std::sync::Arc;

/// An announcement about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `usage.rejected`
    UsageRejected(Refusal),
    /// `spend.accepted`
    SpendAccepted {
        /// What was asked.
        asked: Asked,
        /// Credits available after it.
        available: Credits,
    },
    /// `spend.rejected`
    SpendRejected(Refusal),
    /// `invoice.paid`
    InvoicePaid {
        /// The invoice.
        reference: Printable,
        /// What it cost.
        credits: Credits,
    },
    /// `message.rejected`
    MessageRejected {
        /// The message.
        id: MessageId,
        /// Its type on the wire.
        kind: &'static str,
        /// Why.
        reasons: Vec<Rejection>,
    },
    /// `credit_request.pending`, `.accepted`, `.rejected`, `.cancelled`, `.expired`
    Request {
        /// Which.
        request: Id,
        /// What became of it.
        status: RequestStatus,
        /// Asked for, or granted once accepted.
        credits: Credits,
        /// Who.
        actor: Option<Id>,
        /// Why.
        reason: Option<String>,
    },
    /// `cycle.reset`
    CycleReset(Reset),
    /// `debt.incurred`
    DebtIncurred {
        /// The payment whose reversal it comes from; absent for usage and adjustments.
        payment: Option<Printable>,
        /// How much arose.
        amount: Credits,
        /// Owed now.
        debt: Credits,
        /// The charge.
        reference: Option<Printable>,
    },
    /// `debt.repaid`
    DebtRepaid {
        /// The payment the debt came from; absent for debt of usage and adjustments.
        payment: Option<Printable>,
        /// How much was repaid.
        amount: Credits,
        /// Still owed.
        debt: Credits,
    },
    /// `purchase.refunded`, `dispute.opened`, `dispute.closed`
    Reversed {
        /// What happened.
        what: Reversal,
        /// The payment, by the name it is kept under.
        payment: Printable,
        /// How its reversal stands.
        clawed: Clawed,
        /// Owed by the account now.
        debt: Credits,
    },
    /// `refund.requested`
    RefundRequested(RefundAsked),
    /// `refund.refused`
    RefundRefused {
        /// What was asked.
        asked: RefundAsked,
        /// Why, in the contract's order.
        reasons: Vec<Rejection>,
    },
    /// `quote.made`
    QuoteMade(Box<Quoted>),
    /// `subscription.changed`
    SubscriptionChanged(Box<Subscription>),
    /// `account.changed`
    AccountChanged {
        /// Its state on the wire.
        status: &'static str,
        /// What it says about itself.
        profile: Arc<Profile>,
    },
    /// `invoicing.eligible`
    InvoicingEligible {
        /// Its state on the wire.
        status: &'static str,
        /// What it says about itself.
        profile: Arc<Profile>,
    },
}

/// What something that was not done would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The quote.
    pub quote: Id,
    /// What it costs; of a change of a subscription what it adds now. Absent when it cannot be priced.
    pub credits: Option<Credits>,
    /// Money for all units of add-ons from then on, for each cycle; of a change of a subscription only.
    pub charge_per_cycle: Option<Money>,
    /// Grants that would burn, and how much of each, in that order.
    pub burns: Vec<(Id, Credits)>,
    /// Credits available afterwards; as they are, when it would be refused.
    pub available_after: Credits,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Why it would be refused, in the contract's order; empty when it would be done.
    pub reasons: Vec<Rejection>,
}

/// What happened to a payment's reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reversal {
    /// A refund was made, or one that had been made failed.
    Refunded,
    /// A dispute was opened.
    DisputeOpened,
    /// A dispute was decided.
    DisputeClosed,
}

/// A refund that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundAsked {
    /// The message.
    pub id: MessageId,
    /// The payment, as it was named.
    pub payment: Printable,
    /// Who asked.
    pub requested_by: Id,
    /// Why.
    pub reason: Prose,
}

impl RefundAsked {
    /// By this message.
    #[must_use]
    pub fn of(id: &MessageId, asked: &RequestRefund) -> Self {
        let RequestRefund { payment, requested_by, reason } = asked.clone();
        Self { id: id.clone(), payment, requested_by, reason }
    }
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The message.
    pub id: MessageId,
    /// Order, invoice or meter.
    pub reference: Printable,
    /// What it would cost, where it could be priced.
    pub credits: Option<Credits>,
}

/// What was asked and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub asked: Asked,
    /// Credits available.
    pub available: Credits,
    /// Why, in the contract's order.
    pub reasons: Vec<Rejection>,
}
