//! What a batch needs to know beside the open rows of its accounts.
//!
//! Owns which things each command names. How they are found is each store's.

use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Id, MessageKey, Printable};
use crate::domain::payment::payment_of;
use crate::domain::provider::{NamedPayment, ProviderDispute, ProviderRefund, ProviderSubscription};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Things named, each with the account it is looked for in.
pub type Named<T> = BTreeSet<(AccountKey, T)>;

/// What a batch needs beside the open rows of its accounts.
#[derive(Debug, Default, Clone)]
pub struct Needs {
    /// Identities whose recorded answers are wanted.
    pub messages: Named<MessageKey>,
    /// Payments named, by any of their names.
    pub payments: Named<Printable>,
    /// Payments named by what their provider calls them.
    pub provider_ids: Named<Id>,
    /// Those of the payments named whose reversal is at stake: what they bought and the shortfalls of them are
    /// wanted, too.
    pub reversed: Named<Printable>,
    /// Refunds named.
    pub refunds: Named<Printable>,
    /// Disputes named.
    pub disputes: Named<Printable>,
    /// True when somebody asks for a refund, so what was refunded is wanted.
    pub refunds_asked: bool,
    /// Requests named.
    pub requests: Named<Id>,
    /// Requests that the review of a payment would be called like: wanted if they exist, which they hardly ever do.
    pub reviews: Named<Id>,
    /// Evidence references named.
    pub evidence: Named<Printable>,
    /// Charges named.
    pub charges: Named<Printable>,
    /// Grants named.
    pub grants: Named<Id>,
    /// Subscriptions named.
    pub subscriptions: Named<Id>,
    /// Accounts of which a running cycle may be issued more, or opened by hand: what paid for it is wanted, too.
    pub issued_more: BTreeSet<AccountKey>,
    /// True when high-water marks are wanted.
    pub high_waters: bool,
    /// The time of each tenant's first message: a test clock that was never set starts there.
    pub first_times: BTreeMap<Id, Timestamp>,
    /// When the earliest usage of an account happened: grants that have ended since are wanted.
    pub used_from: BTreeMap<AccountKey, Timestamp>,
    /// Accounts whose purchases by month are wanted.
    pub months: BTreeSet<AccountKey>,
    /// Accounts that a message may open: what waits for that is wanted too.
    pub opened: BTreeSet<AccountKey>,
}

impl Needs {
    /// Adds the answer that a message may have had before.
    pub fn look_up(&mut self, message: &Message) {
        self.messages.insert((message.account.clone(), message.id.key()));
    }

    /// Adds what one message needs to be decided.
    pub fn add(&mut self, message: &Message) {
        self.first_times.entry(message.account.tenant.clone()).or_insert(message.occurred_at);
        self.add_asked(&message.account, &message.command, message.occurred_at);
        if message.command.may_count() {
            self.months.insert(message.account.clone());
        }
        if message.command.may_open() {
            self.opened.insert(message.account.clone());
        }
    }

    /// What a command names that happened at an instant.
    fn add_asked(&mut self, of: &AccountKey, command: &Command, occurred_at: Timestamp) {
        match command {
            Command::Grant(grant) => name(&mut self.grants, of, grant.grant.as_ref()),
            Command::VoidGrant(void) => name(&mut self.grants, of, [&void.grant]),
            Command::Quote(quote) => self.add_asked(of, &quote.asked, occurred_at),
            Command::RecordUsage(_) => self.used(of, occurred_at),
            Command::RecordPayment(_)
            | Command::NamePayment(_)
            | Command::RecordRefund(_)
            | Command::RecordDispute(_)
            | Command::RecordSubscription(_)
            | Command::RecordInvoice(_)
            | Command::NameSubscription(_) => self.add_told(of, command),
            Command::RequestRefund(refund) => {
                name(&mut self.payments, of, [&refund.payment]);
                name(&mut self.provider_ids, of, Id::new(refund.payment.as_str()).ok().as_ref());
                self.refunds_asked = true;
            }
            Command::ReverseRequest(reversal) => {
                name(&mut self.requests, of, [&reversal.request]);
                name(&mut self.payments, of, [&payment_of(&reversal.request)]);
                name(&mut self.reversed, of, [&payment_of(&reversal.request)]);
            }
            Command::Spend(spend) => name(&mut self.charges, of, [&spend.reference]),
            Command::SubmitRequest(request) => {
                name(&mut self.requests, of, [&request.request]);
                name(&mut self.provider_ids, of, [&request.request]);
                name(&mut self.evidence, of, request.evidence.as_ref().map(|evidence| &evidence.reference));
            }
            Command::DecideRequest(decision) => {
                name(&mut self.requests, of, [&decision.request]);
                name(&mut self.provider_ids, of, [&decision.request]);
            }
            Command::CancelRequest(cancel) => name(&mut self.requests, of, [&cancel.request]),
            Command::StartSubscription(start) => {
                name(&mut self.subscriptions, of, [&start.subscription]);
                self.high_waters = true;
            }
            Command::ChangeSubscription(change) => {
                name(&mut self.subscriptions, of, [&change.subscription]);
                self.issued_more.insert(of.clone());
                self.high_waters = true;
            }
            Command::CancelSubscription { subscription, .. } | Command::ResumeSubscription { subscription } => {
                name(&mut self.subscriptions, of, [subscription]);
            }
            Command::ResetCycle(reset) => {
                name(&mut self.subscriptions, of, reset.subscription.as_ref());
                if reset.manual {
                    self.issued_more.insert(of.clone());
                }
            }
            Command::Adjust(_)
            | Command::OpenAccount(_)
            | Command::ChangeAccount(_)
            | Command::FreezeAccount(_)
            | Command::UnfreezeAccount(_)
            | Command::CloseAccount(_) => {}
        }
    }

    /// The earliest usage of each account: what has ended since it may be wanted.
    fn used(&mut self, of: &AccountKey, occurred_at: Timestamp) {
        match self.used_from.get_mut(of) {
            Some(first) => *first = occurred_at.min(*first),
            None => drop(self.used_from.insert(of.clone(), occurred_at)),
        }
    }

    /// What a provider's message names.
    fn add_told(&mut self, of: &AccountKey, command: &Command) {
        match command {
            Command::RecordPayment(payment) => {
                for known in payment.names() {
                    name(&mut self.payments, of, [&known.name]);
                    name(&mut self.reviews, of, [&known.provider_id]);
                }
            }
            Command::NamePayment(NamedPayment { names, .. }) => name(&mut self.payments, of, &names.printed()),
            Command::RecordSubscription(ProviderSubscription { name: known, .. }) => {
                name(&mut self.subscriptions, of, [&known.provider_id]);
                self.issued_more.insert(of.clone());
                self.high_waters = true;
            }
            Command::RecordInvoice(invoice) => {
                name(&mut self.payments, of, invoice.names().map(|known| known.name).collect::<Vec<_>>().iter());
                name(&mut self.subscriptions, of, [&invoice.subscription.provider_id]);
                self.issued_more.insert(of.clone());
                self.high_waters = true;
            }
            Command::RecordRefund(ProviderRefund { names, refunds, .. }) => {
                name(&mut self.payments, of, &names.printed());
                name(&mut self.reversed, of, &names.printed());
                name(&mut self.refunds, of, refunds.iter().map(|refund| &refund.id));
            }
            Command::RecordDispute(ProviderDispute { names, dispute, .. }) => {
                name(&mut self.payments, of, &names.printed());
                name(&mut self.reversed, of, &names.printed());
                name(&mut self.disputes, of, [dispute]);
            }
            _ => {}
        }
    }
}

fn name<'a, T: Clone + Ord + 'a>(named: &mut Named<T>, account: &AccountKey, names: impl IntoIterator<Item = &'a T>) {
    named.extend(names.into_iter().map(|one| (account.clone(), one.clone())));
}
