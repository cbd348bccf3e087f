//! One command, one state, one answer: the match that sends each command to its rules.
//!
//! Owns nothing but the match. Identity was asked before; what is due has been written.

mod account;
mod adjust;
mod credit_request;
mod cycle_reset;
mod dispute;
mod grant;
mod invoice;
mod payment_names;
mod provider_subscription;
mod purchase;
mod quote;
mod refund;
mod refund_request;
mod spend;
mod subscription;
mod usage;
mod void;

pub use usage::price;

use super::book::Book;
use super::command::{Command, Message};
use super::credits::Overflow;
use super::decision::{Decision, Row};
use super::draft::Draft;
use super::rejection::{QuarantineReason, Rejection};
use super::settings::Terms;
use jiff::Timestamp;

/// Everything a rule may look at.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The account as it is.
    pub book: &'a Book,
    /// The tenant's terms.
    pub terms: &'a Terms,
    /// The message being decided.
    pub message: &'a Message,
    /// The recorded time.
    pub at: Timestamp,
    /// Up to which instant refills have happened: the recorded time, and for a message that waited for its time,
    /// that time.
    pub passed: Timestamp,
}

impl<'a> Case<'a> {
    /// A draft whose entries are caused by the message.
    fn draft(&self) -> Draft<'a> {
        let mut draft = Draft::new(self.book, self.terms, self.message.id.clone(), self.message.occurred_at.min(self.at), self.at);
        draft.passed = self.passed;
        draft
    }

    /// True for a provider's event of the mode, live or test, that the tenant does not take.
    fn is_other_mode(&self) -> bool {
        self.message.command.livemode().zip(self.terms.settings.livemode).is_some_and(|(event, wanted)| event != wanted)
    }
}

/// The decision; an amount that leaves its bounds refuses the command.
#[must_use]
pub fn decide(case: Case<'_>) -> Decision {
    if case.is_other_mode() {
        return Decision::Quarantined(QuarantineReason::NotPermitted);
    }
    let decided = match &case.message.command {
        Command::Grant(command) => grant::decide(case, command),
        Command::RecordUsage(command) => usage::decide(case, command),
        Command::Spend(command) => spend::decide(case, command),
        Command::Adjust(command) => adjust::decide(case, command),
        Command::VoidGrant(command) => void::decide(case, command),
        Command::Quote(command) => quote::decide(case, command),
        Command::RecordPayment(command) => purchase::decide(case, command),
        Command::NamePayment(named) => purchase::name(case, &named.names),
        Command::RecordRefund(command) => refund::decide(case, command),
        Command::RecordDispute(command) => dispute::decide(case, command),
        Command::RecordSubscription(command) => provider_subscription::record(case, command),
        Command::RecordInvoice(command) => invoice::record(case, command),
        // The directory has learnt whose they are; of the payment the account hears by its own event.
        Command::NameSubscription(_) => Ok(Decision::Ignored),
        Command::RequestRefund(command) => refund_request::decide(case, command),
        Command::ReverseRequest(command) => refund::reverse_request(case, command),
        Command::SubmitRequest(command) => credit_request::submit(case, command),
        Command::DecideRequest(command) => credit_request::decide(case, command),
        Command::CancelRequest(command) => Ok(credit_request::cancel(case, command)),
        Command::OpenAccount(command) => Ok(account::open(case, command)),
        Command::ChangeAccount(command) => Ok(account::change(case, command)),
        Command::FreezeAccount(act) => Ok(account::freeze(case, act)),
        Command::UnfreezeAccount(act) => Ok(account::unfreeze(case, act)),
        Command::CloseAccount(act) => account::close(case, act),
        Command::StartSubscription(command) => subscription::start(case, command),
        Command::ChangeSubscription(command) => subscription::change(case, command),
        Command::CancelSubscription { subscription, at_cycle_end } => subscription::cancel(case, subscription, *at_cycle_end),
        Command::ResumeSubscription { subscription } => Ok(subscription::resume(case, subscription)),
        Command::ResetCycle(command) => cycle_reset::decide(case, command),
    };
    let decision = decided.unwrap_or_else(|Overflow| Decision::Rejected(vec![Rejection::InvalidAmount]));
    with_details(case, decision)
}

/// What an event shows of a payment beside what is decided by is kept, whatever was decided, once the payment
/// is the account's.
fn with_details(case: Case<'_>, decision: Decision) -> Decision {
    let Some(details) = case.message.command.details() else { return decision };
    let row = Row::Details(Box::new(details));
    match decision {
        Decision::Accepted(mut mutation) => {
            mutation.rows.push(row);
            Decision::Accepted(mutation)
        }
        Decision::Named(mut mutation) => {
            mutation.rows.push(row);
            Decision::Named(mutation)
        }
        Decision::Duplicate => {
            let mut draft = case.draft();
            draft.put(row);
            Decision::Named(Box::new(draft.finish()))
        }
        kept @ (Decision::Rejected(_) | Decision::Ignored | Decision::Waiting(_) | Decision::Quarantined(_)) => kept,
    }
}

/// The mutation of a draft that is complete. What it grants must still fit when it starts or refills: then
/// there is nobody to refuse it to, and the account could not be written any more.
fn accept(draft: Draft<'_>) -> Decision {
    if draft.promises_too_much() {
        return Decision::Rejected(vec![Rejection::InvalidAmount]);
    }
    Decision::Accepted(Box::new(draft.finish()))
}

/// Reasons collected in the contract's order.
#[derive(Debug, Default)]
struct Reasons(Vec<Rejection>);

impl Reasons {
    fn add_if(&mut self, applies: bool, reason: Rejection) {
        if applies {
            self.0.push(reason);
        }
    }

    /// The refusal, when any reason applies.
    fn refusal(mut self) -> Option<Decision> {
        self.0.sort_unstable();
        self.0.dedup();
        (!self.0.is_empty()).then_some(Decision::Rejected(self.0))
    }
}
