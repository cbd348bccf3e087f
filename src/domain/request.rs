//! A credit request: a manual purchase that waits for a decision (semantics §5).
//!
//! Owns its frozen terms and its states. Never decides: `decide::credit_request` does.

use super::calendar::CalendarSpan;
use super::credits::{Credits, Money, Overflow};
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
    /// Credits asked for, bonus included: what semantics §6 calls C.
    pub credits: Credits,
    /// The part of them that is the package's bonus.
    pub bonus: Credits,
    /// When the granted credits end, as a span from acceptance.
    pub expires_after: Option<CalendarSpan>,
    /// The price in major units.
    pub price: Money,
    /// The price's currency, ISO 4217; `received` is in it too.
    pub currency: Id,
    /// How it is paid.
    pub method: RequestMethod,
    /// Who asked.
    pub requested_by: Id,
    /// Proof, where given.
    pub evidence: Option<Evidence>,
}

/// What money buys of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Credits as bought.
    pub purchased: Credits,
    /// Credits as bonus.
    pub bonus: Credits,
}

impl RequestTerms {
    /// What the money received buys: `min(C, ⌊C × received / price⌋)` in all (semantics §5), of it
    /// as bonus the bonus' own share, rounded down too. Absent: the whole price was paid.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen for shares below one.
    pub fn share(&self, received: Option<Money>) -> Result<Share, Overflow> {
        let (credits, bonus) = match received.filter(|received| *received < self.price) {
            Some(received) => {
                let part = |of: Credits| of.share_down(received.decimal(), self.price.decimal());
                (part(self.credits)?, part(self.bonus)?)
            }
            None => (self.credits, self.bonus),
        };
        Ok(Share { purchased: credits.minus(bonus)?, bonus })
    }
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
    /// Money that arrived, in the price's currency, when it was told. Absent for a payment in another
    /// currency: how much of the price it is, is for staff to say.
    pub received: Option<Money>,
    /// Credits granted on acceptance, bonus included.
    pub granted: Credits,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Credits {
        Credits::parse(text).unwrap()
    }

    fn terms(credits: &str, bonus: &str, price: &str) -> RequestTerms {
        RequestTerms {
            id: Id::new("r").unwrap(),
            package: None,
            credits: amount(credits),
            bonus: amount(bonus),
            expires_after: None,
            price: amount(price),
            currency: Id::new("USD").unwrap(),
            method: RequestMethod::BankTransfer,
            requested_by: Id::new("ana").unwrap(),
            evidence: None,
        }
    }

    #[test]
    fn money_buys_its_share_of_credits_and_bonus() {
        for (credits, bonus, price, received, purchased, as_bonus) in [
            // The whole price, and more than it.
            ("550", "50", "20", None, "500", "50"),
            ("550", "50", "20", Some("20"), "500", "50"),
            ("550", "50", "20", Some("20.000001"), "500", "50"),
            ("550", "50", "20", Some("100"), "500", "50"),
            // ⌊550 × 10 / 20⌋ = 275 in all, ⌊50 × 10 / 20⌋ = 25 of it as bonus.
            ("550", "50", "20", Some("10"), "250", "25"),
            // ⌊550 × 19 / 20⌋ = 522.5, ⌊50 × 19 / 20⌋ = 47.5.
            ("550", "50", "20", Some("19"), "475", "47.5"),
            // ⌊1100 × 10 / 30⌋ = 366.666666, ⌊100 × 10 / 30⌋ = 33.333333.
            ("1100", "100", "30", Some("10"), "333.333333", "33.333333"),
            // ⌊1000 × 10 / 30⌋ without a bonus.
            ("1000", "0", "30", Some("10"), "333.333333", "0"),
            // ⌊2 × 1 / 3⌋ = 0.666666, of it ⌊1 × 1 / 3⌋ = 0.333333.
            ("2", "1", "3", Some("1"), "0.333333", "0.333333"),
            // ⌊0.000003 × 1 / 2⌋ = 0.000001, ⌊0.000001 × 1 / 2⌋ = 0.
            ("0.000003", "0.000001", "2", Some("1"), "0.000001", "0"),
            ("550", "50", "20", Some("0"), "0", "0"),
            ("999999999999999999", "1", "0.000001", Some("0.000001"), "999999999999999998", "1"),
        ] {
            let share = terms(credits, bonus, price).share(received.map(amount)).unwrap();
            assert_eq!((share.purchased, share.bonus), (amount(purchased), amount(as_bonus)), "{credits} {bonus} {price} {received:?}");
        }
    }
}
