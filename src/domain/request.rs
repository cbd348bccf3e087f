//! A credit request: a manual purchase that waits for a decision (semantics §5).
//!
//! Owns its frozen terms and its states. Never decides: `decide::credit_request` does.

use super::calendar::CalendarSpan;
use super::credits::{Credits, Money};
use super::ids::{Id, Link, Printable};
use super::word::words;
use jiff::Timestamp;

words! {
    /// How the customer says they pay.
    RequestMethod {
        /// A bank transfer.
        BankTransfer "bank_transfer",
        /// A crypto payment.
        Crypto "crypto",
        /// On invoice terms.
        Invoice "invoice",
        /// Anything else.
        Other "other",
        /// A provider's payment whose amount did not fit its package; its id is the payment's.
        Payment "payment",
    }
}

words! {
    /// Where a request is: `pending → accepted | rejected | cancelled | expired`, once.
    RequestStatus {
        /// Waits for staff.
        Pending "pending",
        /// Credits were granted.
        Accepted "accepted",
        /// Staff said no.
        Rejected "rejected",
        /// Taken back before a decision.
        Cancelled "cancelled",
        /// Nobody decided within 30 days.
        Expired "expired",
    }
}

impl RequestStatus {
    /// True while its evidence may not be used by another request.
    #[must_use]
    pub fn holds_evidence(self) -> bool {
        match self {
            Self::Pending | Self::Accepted => true,
            Self::Rejected | Self::Cancelled | Self::Expired => false,
        }
    }
}

/// Proof of payment: unique per (tenant, method, reference) while its request is pending or
/// accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Bank reference or transaction hash.
    pub reference: Printable,
    /// Where to look at it.
    pub url: Option<Link>,
}

/// What was asked for, frozen at submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTerms {
    /// The request's id in the tenant.
    pub id: Id,
    /// The package, when one was named.
    pub package: Option<Id>,
    /// Credits asked for, without the bonus.
    pub credits: Credits,
    /// The package's bonus.
    pub bonus: Credits,
    /// When the granted credits end, as a span from acceptance.
    pub expires_after: Option<CalendarSpan>,
    /// The price in major units.
    pub price: Money,
    /// ISO 4217.
    pub currency: Id,
    /// How it is paid.
    pub method: RequestMethod,
    /// Who asked.
    pub requested_by: Id,
    /// Proof, where given.
    pub evidence: Option<Evidence>,
}

/// A credit request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditRequest {
    /// What was asked for.
    pub terms: RequestTerms,
    /// Where it is.
    pub status: RequestStatus,
    /// When it was submitted, recorded time.
    pub submitted_at: Timestamp,
    /// When an undecided request ends; absent for a payment under review.
    pub expires_at: Option<Timestamp>,
    /// Who decided or cancelled.
    pub decided_by: Option<Id>,
    /// Money that arrived, when it was told.
    pub received: Option<Money>,
    /// Credits granted on acceptance, bonus included.
    pub granted: Credits,
}
