//! What can be asked of the ledger: one command per message type, in the imperative.
//!
//! Owns the normalised content of a message, free of delivery noise. Never knows how it was
//! written on the wire.

use super::account::{AccountKind, Zone};
use super::alert::{Alert, AutoTopup};
use super::calendar::Interval;
use super::charge::Purpose;
use super::credits::{Credits, Money};
use super::grant::{GrantSource, Recurrence, RolloverRule};
use super::ids::{AccountKey, Hash, Id, MessageId, Printable, Prose};
use super::provider::{
    NamedPayment, ProviderDispute, ProviderInvoice, ProviderPayment, ProviderRefund, ProviderSubscription, SubscriptionNames,
};
use super::request::{Evidence, RequestMethod};
use jiff::{Timestamp, civil::DateTime};
use std::collections::BTreeMap;

/// A message: who said what about which account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Source and id.
    pub id: MessageId,
    /// Hash of the normalised content (semantics §9).
    pub content: Hash,
    /// The account it is about.
    pub account: AccountKey,
    /// The world's time.
    pub occurred_at: Timestamp,
    /// What it asks.
    pub command: Command,
}

/// Something asked of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `credits.grant`
    Grant(GrantCredits),
    /// `usage.recorded`
    RecordUsage(Usage),
    /// `credits.spend`
    Spend(Spend),
    /// `credits.adjust`
    Adjust(Adjust),
    /// `credits.void`
    VoidGrant(VoidGrant),
    /// `credits.quote`
    Quote(Quote),
    /// A provider's payment event.
    RecordPayment(ProviderPayment),
    /// A provider's event that shows two names of one payment and says nothing else about it.
    NamePayment(NamedPayment),
    /// A provider's refund event.
    RecordRefund(ProviderRefund),
    /// A provider's dispute event.
    RecordDispute(ProviderDispute),
    /// A provider's event about a subscription.
    RecordSubscription(ProviderSubscription),
    /// A provider's event about an invoice of a subscription.
    RecordInvoice(Box<ProviderInvoice>),
    /// A provider's event that shows a subscription and names of its first payment, and nothing else.
    NameSubscription(SubscriptionNames),
    /// `refund.requested`
    RequestRefund(RequestRefund),
    /// `credit_request.reversed`
    ReverseRequest(ReverseRequest),
    /// `credit_request.submitted`
    SubmitRequest(SubmitRequest),
    /// `credit_request.decided`
    DecideRequest(DecideRequest),
    /// `credit_request.cancelled`
    CancelRequest(CancelRequest),
    /// `account.opened`
    OpenAccount(Box<ProfileChange>),
    /// `account.changed`
    ChangeAccount(Box<ProfileChange>),
    /// `account.frozen`
    FreezeAccount(Act),
    /// `account.unfrozen`
    UnfreezeAccount(Act),
    /// `account.closed`
    CloseAccount(Act),
    /// `subscription.started`
    StartSubscription(StartSubscription),
    /// `subscription.changed`
    ChangeSubscription(ChangeSubscription),
    /// `subscription.cancelled`
    CancelSubscription {
        /// Which.
        subscription: Id,
        /// At the end of the paid interval, or now.
        at_cycle_end: bool,
    },
    /// `subscription.resumed`
    ResumeSubscription {
        /// Which.
        subscription: Id,
    },
    /// `cycle.reset` of one account.
    ResetCycle(ResetCycle),
}

/// `credits.grant`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantCredits {
    /// Its name; derived from the message when absent.
    pub grant: Option<Id>,
    /// How much.
    pub credits: Credits,
    /// What it counts as.
    pub source: GrantSource,
    /// From when; absent: now.
    pub effective_at: Option<Timestamp>,
    /// Until when; absent: never.
    pub expires_at: Option<Timestamp>,
    /// Explicit priority.
    pub priority: Option<u32>,
    /// Meters or services it pays for; empty: all.
    pub scope: Vec<Id>,
    /// Money per credit.
    pub cost_basis: Money,
    /// Its own rollover rule.
    pub rollover: Option<RolloverRule>,
    /// Refills itself.
    pub recurs: Option<Recurrence>,
    /// Why and who.
    pub act: Act,
}

/// `usage.recorded`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What was used.
    pub meter: Id,
    /// How much of it.
    pub quantity: Credits,
    /// With which settings.
    pub dimensions: BTreeMap<String, String>,
    /// By whom.
    pub member: Option<Id>,
}

/// `credits.spend`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Service or invoice.
    pub purpose: Purpose,
    /// Order or invoice.
    pub reference: Printable,
    /// The catalog's service, required for a service.
    pub service: Option<Id>,
    /// The price.
    pub credits: Credits,
    /// By whom.
    pub member: Option<Id>,
}

/// `credits.void`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoidGrant {
    /// Which grant.
    pub grant: Id,
    /// How much of it; absent: all that is left, and it ends.
    pub credits: Option<Credits>,
    /// Why and who.
    pub act: Act,
}

/// `credits.adjust`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// Signed.
    pub credits: Credits,
    /// What credits do not cover may become debt.
    pub allow_debt: bool,
    /// Why and who.
    pub act: Act,
}

/// `credits.quote`: what something would do, without doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Its name.
    pub quote: Id,
    /// What would be asked: usage, a spend, or a change of a subscription.
    pub asked: Box<Command>,
}

/// `refund.requested`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRefund {
    /// The payment, by any of its names or as its provider calls it.
    pub payment: Printable,
    /// Who asks.
    pub requested_by: Id,
    /// Why.
    pub reason: Prose,
}

/// `credit_request.reversed`: the money of an accepted request went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseRequest {
    /// Which request.
    pub request: Id,
    /// How much went back; absent: all.
    pub amount: Option<Money>,
    /// Who says so.
    pub reversed_by: Id,
    /// Why.
    pub reason: Prose,
}

/// `credit_request.submitted`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitRequest {
    /// Its id in the tenant.
    pub request: Id,
    /// What is asked for.
    pub goods: RequestedGoods,
    /// How it is paid.
    pub method: RequestMethod,
    /// Who asks.
    pub requested_by: Id,
    /// Proof, where given.
    pub evidence: Option<Evidence>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedGoods {
    /// A package of the catalog.
    Package(Id),
    /// An amount at a price.
    Credits {
        /// How many.
        credits: Credits,
        /// For how much.
        price: Money,
        /// In which currency.
        currency: Id,
    },
}

/// `credit_request.decided`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecideRequest {
    /// Which request.
    pub request: Id,
    /// Accepted or rejected.
    pub accepted: bool,
    /// Who decided.
    pub decided_by: Id,
    /// Why.
    pub reason: Option<String>,
    /// Money that arrived, when it is not the price.
    pub received_amount: Option<Money>,
}

/// `credit_request.cancelled`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Which request.
    pub request: Id,
    /// Who took it back.
    pub cancelled_by: Id,
}

/// What an account says about itself; absent keys stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    /// Person or pool.
    pub kind: Option<AccountKind>,
    /// Who owns it.
    pub owner: Option<Id>,
    /// The IANA name as it was written, and the zone if there is one of that name.
    pub zone: Option<(String, Option<Zone>)>,
    /// All texts by name.
    pub metadata: Option<BTreeMap<String, String>>,
    /// All levels it wants to be told about.
    pub alerts: Option<Vec<Alert>>,
    /// Another top-up, or none any more.
    pub auto_topup: Option<TopupChange>,
    /// Manual invoicing, by staff.
    pub invoicing: Option<bool>,
}

/// A change of the automatic top-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopupChange {
    /// None any more.
    Off,
    /// This one.
    On(AutoTopup),
}

/// Why and who, for what people do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Why.
    pub reason: Prose,
    /// Who.
    pub actor: Printable,
}

/// `subscription.started`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSubscription {
    /// Its id in the account.
    pub subscription: Id,
    /// The plan.
    pub plan: Id,
    /// The paid interval.
    pub interval: Interval,
    /// The local date-time boundaries are counted from.
    pub anchor: DateTime,
    /// Units by add-on.
    pub addons: BTreeMap<Id, u32>,
}

/// `subscription.changed`: the full desired state of what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSubscription {
    /// Which.
    pub subscription: Id,
    /// The plan; absent: stays.
    pub plan: Option<Id>,
    /// All add-ons; absent: stay.
    pub addons: Option<BTreeMap<Id, u32>>,
}

/// `cycle.reset` of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetCycle {
    /// Until when what is due is written.
    pub as_of: Timestamp,
    /// Close now, whether due or not.
    pub manual: bool,
    /// Whose cycle a manual reset closes; absent: only grants with a rollover of their own.
    pub subscription: Option<Id>,
}
