//! What reverses a payment: its refunds and disputes, and how many credits they aim at (semantics §6).
//!
//! Owns the states they go through and the arithmetic of the target. Never moves credits: `clawback` does.

use super::book::Book;
use super::credits::{Credits, Money, Overflow};
use super::ids::Printable;
use super::payment::{Payment, STRIPE};
use super::word::words;
use jiff::Timestamp;

words! {
    /// Where a refund is. States only move forward, in this order.
    RefundStatus {
        /// Under way: it counts, because the money is promised.
        Pending "pending",
        /// The customer has the money.
        Succeeded "succeeded",
        /// It failed or was called off: the seller has the money again.
        Failed "failed",
    }
}

/// One refund of a payment; the reversal of an accepted request is one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// `stripe:re_…`: unique in the tenant.
    pub id: Printable,
    /// The payment, by the name it is kept under.
    pub payment: Printable,
    /// How much, in the payment's currency.
    pub amount: Money,
    /// Where it is.
    pub status: RefundStatus,
    /// When its provider made it.
    pub created_at: Timestamp,
}

words! {
    /// Where a dispute is. It only moves forward, in this order; the last two are one place.
    DisputeStage {
        /// Opened: the money is still the seller's.
        Opened "opened",
        /// The money was withdrawn from the seller.
        Withdrawn "withdrawn",
        /// The customer was right.
        Lost "lost",
        /// The money was given back to the seller.
        Reinstated "reinstated",
        /// The seller was right.
        Won "won",
    }
}

impl DisputeStage {
    /// True when the dispute moves on by going there.
    #[must_use]
    pub fn leads_to(self, next: Self) -> bool {
        next > self && !self.is_over_for_good()
    }

    /// True when the seller has the money, whatever else is heard of it.
    #[must_use]
    pub fn is_over_for_good(self) -> bool {
        matches!(self, Self::Reinstated | Self::Won)
    }

    /// True when it is decided.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self >= Self::Lost
    }
}

/// One dispute about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// `stripe:dp_…`: unique in the tenant.
    pub id: Printable,
    /// The payment, by the name it is kept under.
    pub payment: Printable,
    /// How much, as the event of its furthest stage says, in the payment's currency: some of it may be lost.
    pub amount: Money,
    /// Where it is.
    pub stage: DisputeStage,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// What is known of the reversal of one payment.
#[derive(Debug, Clone, Copy)]
pub struct Reversed<'a> {
    book: &'a Book,
    payment: &'a Payment,
}

impl<'a> Reversed<'a> {
    /// Of this payment, as far as the book knows.
    #[must_use]
    pub fn of(book: &'a Book, payment: &'a Payment) -> Self {
        Self { book, payment }
    }

    fn refunds(self) -> impl Iterator<Item = &'a Refund> {
        self.book.refunds.values().filter(move |refund| refund.payment == self.payment.terms.payment)
    }

    fn disputes(self) -> impl Iterator<Item = &'a Dispute> {
        self.book.disputes.values().filter(move |dispute| dispute.payment == self.payment.terms.payment)
    }

    /// R: live refunds, and what the provider says was refunded beyond those that are known.
    ///
    /// # Errors
    /// [`Overflow`] when the sum leaves its bounds.
    pub fn refunded(self) -> Result<Money, Overflow> {
        let known = Money::sum(self.refunds().map(|refund| refund.amount))?;
        let live = Money::sum(self.refunds().filter(|refund| refund.status != RefundStatus::Failed).map(|refund| refund.amount))?;
        live.plus(self.payment.refunded_most.minus(known)?.at_least_zero())
    }

    /// What one dispute costs once the money is gone. PayPal reports a lost one as a refund or reversal
    /// too, which must not count twice.
    fn disputed(self, dispute: &Dispute) -> Result<Money, Overflow> {
        if self.payment.terms.payment.as_str().starts_with(STRIPE) {
            return Ok(dispute.amount);
        }
        let since = |refund: &&Refund| refund.status != RefundStatus::Failed && refund.created_at >= dispute.opened_at;
        Ok(dispute.amount.minus(Money::sum(self.refunds().filter(since).map(|refund| refund.amount))?)?.at_least_zero())
    }

    /// The money that disputes are about, but for those that ended for the seller: open or gone. What a
    /// refund tells of too is not in it.
    ///
    /// # Errors
    /// [`Overflow`] when the sum leaves its bounds.
    pub fn in_dispute(self) -> Result<Money, Overflow> {
        let against = self.disputes().filter(|dispute| !dispute.stage.is_over_for_good());
        Money::sum(against.map(|dispute| self.disputed(dispute)).collect::<Result<Vec<_>, _>>()?)
    }

    /// L: the money that is gone, at most all that was paid.
    ///
    /// # Errors
    /// [`Overflow`] when the sum leaves its bounds.
    pub fn lost(self) -> Result<Money, Overflow> {
        let gone = self.disputes().filter(|dispute| matches!(dispute.stage, DisputeStage::Withdrawn | DisputeStage::Lost));
        let disputed = gone.map(|dispute| self.disputed(dispute)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.refunded()?.plus(Money::sum(disputed)?)?.min(self.payment.terms.amount))
    }

    /// The money that would be gone if every open dispute were lost.
    ///
    /// # Errors
    /// [`Overflow`] when the sum leaves its bounds.
    pub fn at_stake(self) -> Result<Money, Overflow> {
        let open = self.disputes().filter(|dispute| dispute.stage == DisputeStage::Opened);
        let disputed = open.map(|dispute| self.disputed(dispute)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.lost()?.plus(Money::sum(disputed)?)?.min(self.payment.terms.amount))
    }

    /// The credits that go with that much money: none with none, all with all, else ⌊C × L / P⌋.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `lost ≤ paid`.
    pub fn target(self, lost: Money) -> Result<Credits, Overflow> {
        let (paid, credits) = (self.payment.terms.amount, self.payment.granted);
        if !lost.is_positive() {
            return Ok(Credits::ZERO);
        }
        if lost >= paid { Ok(credits) } else { credits.share_down(lost.decimal(), paid.decimal()) }
    }
}
