//! What the core answers: a decision, and the outcome that is stored for a message.

use super::account::{Account, Debt, Profile};
use super::charge::Charge;
use super::entry::Entry;
use super::event::Event;
use super::grant::Grant;
use super::ids::{Id, Printable};
use super::invoicing::PurchaseMonth;
use super::payment::{KnownName, Payment};
use super::payment_details::PaymentDetails;
use super::rejection::{QuarantineReason, Rejection};
use super::request::CreditRequest;
use super::reversal::{Dispute, Refund};
use super::subscription::{HighWater, Reset, Subscription};
use super::word::words;
use jiff::Timestamp;
use std::sync::Arc;

/// The answer to one command under one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It happens: these rows and entries.
    Accepted(Box<Mutation>),
    /// Its identity or its business fact is already applied on equal terms.
    Duplicate,
    /// Its business fact is already applied on equal terms, under a name that was not known: rows
    /// only, neither entries nor announcements. Answered as a duplicate.
    Named(Box<Mutation>),
    /// Refused, with every reason that applies, in the contract's order.
    Rejected(Vec<Rejection>),
    /// Not ours.
    Ignored,
    /// Something it depends on is not there yet.
    Waiting(On),
    /// It contradicts what is recorded, or is authentic but not for here.
    Quarantined(QuarantineReason),
}

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// The account to be opened (24 h).
    Account,
    /// A credit request to be submitted (30 days).
    Request(Id),
    /// A credit request to be decided (30 days).
    Decision(Id),
    /// A payment to be known under one of these names (30 days).
    Payment(Vec<Printable>),
    /// A subscription to start (30 days).
    Subscription(Id),
    /// An instant to come.
    Time(Timestamp),
    /// A business fact that another account's message claims and has not decided (30 days).
    Claim(Claim),
}

words! {
    /// Whose the business facts of a message are, as far as the directory knows (semantics §9).
    Claim {
        /// Its own account's, or it names none: it is decided.
        Ours "ours",
        /// Another account's message about one of them is undecided: it waits.
        Undecided "undecided",
        /// Another account has one of them: it contradicts what is recorded.
        Taken "taken",
        /// It names a request without claiming it, and another account has one of that id: a
        /// contradiction unless its own account has one too.
        Elsewhere "elsewhere",
    }
}

impl On {
    /// The word used in the database.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Request(_) => "request",
            Self::Decision(_) => "decision",
            Self::Payment(_) => "payment",
            Self::Subscription(_) => "subscription",
            Self::Time(_) => "time",
            Self::Claim(_) => "claim",
        }
    }

    /// What is waited for, by name; of several names each on its own line, which no name contains.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Request(id) | Self::Decision(id) | Self::Subscription(id) => Some(id.to_string()),
            Self::Payment(names) => Some(names.iter().map(Printable::as_str).collect::<Vec<_>>().join("\n")),
            Self::Claim(claim) => Some(claim.word().to_owned()),
            Self::Account | Self::Time(_) => None,
        }
    }

    /// The one for a word of the database, with the [key](Self::key) or instant that was stored beside it.
    #[must_use]
    pub fn from_word(word: &str, key: Option<&str>, until: Option<Timestamp>) -> Option<Self> {
        let id = key.and_then(|key| Id::new(key).ok());
        let names = key.and_then(|key| key.split('\n').map(|name| Printable::new(name).ok()).collect());
        let claim = key.and_then(Claim::from_word).map(Self::Claim);
        let named = [id.clone().map(Self::Request), id.clone().map(Self::Decision), id.map(Self::Subscription), names.map(Self::Payment)];
        let others = [Some(Self::Account), until.map(Self::Time), claim];
        named.into_iter().chain(others).flatten().find(|on| on.word() == word)
    }
}

/// Everything one accepted command changes, as data: rows are images after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The account after it.
    pub account: Account,
    /// Lines of history, in order.
    pub entries: Vec<Entry>,
    /// Announcements, in order, each with the position of the last entry before it.
    pub events: Vec<(u64, Event)>,
    /// Rows made or changed.
    pub rows: Vec<Row>,
}

/// A row of an account after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A grant.
    Grant(Grant),
    /// A debt.
    Debt(Debt),
    /// A payment.
    Payment(Payment),
    /// A name of a payment.
    PaymentName(KnownName),
    /// A refund of a payment.
    Refund(Refund),
    /// A dispute about a payment.
    Dispute(Dispute),
    /// What else is known of a payment; added to what is kept of it.
    Details(Box<PaymentDetails>),
    /// A credit request.
    Request(CreditRequest),
    /// A charge.
    Charge(Charge),
    /// What was bought in a month.
    PurchaseMonth(PurchaseMonth),
    /// A subscription.
    Subscription(Subscription),
    /// A high-water mark.
    HighWater(HighWater),
    /// The record of a reset; never changed.
    Reset(Reset),
    /// What the account says about itself beyond what every batch writes.
    Profile(Arc<Profile>),
}

/// The final answer to a message, stored before it is acknowledged (message contract, Outcomes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Applied,
    /// It had happened.
    Duplicate,
    /// It was refused.
    Rejected(Vec<Rejection>),
    /// It is not ours.
    Ignored,
    /// It waits.
    Waiting,
    /// It was set aside.
    Quarantined(QuarantineReason),
}

/// What is stored of an outcome, as a repeat of its message is told it (message contract, Outcomes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The [word](Outcome::word).
    pub outcome: String,
    /// The [reasons](Outcome::reasons), in their order. Words, because another version may have stored
    /// one that this version does not know.
    pub reasons: Vec<String>,
    /// Positions of the entries the message wrote, first and last.
    pub entries: Option<(u64, u64)>,
}

impl Recorded {
    /// What is stored of an outcome that wrote these entries.
    #[must_use]
    pub fn of(outcome: &Outcome, entries: Option<(u64, u64)>) -> Self {
        Self { outcome: outcome.word().to_owned(), reasons: outcome.reasons().into_iter().map(str::to_owned).collect(), entries }
    }
}

impl Outcome {
    /// The word used on the wire and in the database.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Rejected(_) => "rejected",
            Self::Ignored => "ignored",
            Self::Waiting => "waiting",
            Self::Quarantined(_) => "quarantined",
        }
    }

    /// The reasons of a rejection or quarantine, as words.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        match self {
            Self::Rejected(reasons) => reasons.iter().map(|reason| reason.word()).collect(),
            Self::Quarantined(reason) => vec![reason.word()],
            Self::Applied | Self::Duplicate | Self::Ignored | Self::Waiting => Vec::new(),
        }
    }
}
