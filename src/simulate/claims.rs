//! Which account of a tenant a business fact belongs to, in memory (semantics §9).
//!
//! Owns the same rule as the directory of the database: a claim is final once the fact exists in
//! its account, and open to others once every message that claimed it was refused.

use crate::domain::book::Book;
use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::domain::ids::{AccountKey, Id, MessageKey};
use crate::message::Unaddressed;
use crate::store::facts::{FactKind, claims, of_request, request_named, shown};
use crate::store::memory::Memory;
use std::collections::{BTreeSet, HashMap};

/// Who claims a fact.
#[derive(Debug)]
struct Held {
    account: AccountKey,
    by: Vec<MessageKey>,
}

/// Every claim of a simulation.
#[derive(Debug, Default)]
pub struct Claims {
    held: HashMap<(Id, FactKind, String), Held>,
}

impl Claims {
    /// Claims the facts of a message for its account.
    pub fn claim(&mut self, memory: &Memory, message: &Message) -> Claim {
        if request_named(message).is_some_and(|request| self.is_elsewhere(memory, message, request)) {
            return Claim::Elsewhere;
        }
        let facts = claims(message);
        for (kind, key) in &facts {
            let fact = (message.account.tenant.clone(), *kind, key.clone());
            let Some(claim) = self.held.get(&fact).filter(|claim| claim.account != message.account) else { continue };
            let Some(holder) = memory.accounts.get(&claim.account) else { continue };
            if exists(&holder.state.book, *kind, key) {
                return Claim::Taken;
            }
            if holder.state.waiting.iter().any(|waiting| claim.by.contains(&waiting.message.id.key())) {
                return Claim::Undecided;
            }
        }
        for (kind, key) in facts {
            let fact = (message.account.tenant.clone(), kind, key);
            let claim = self.held.entry(fact).or_insert_with(|| Held { account: message.account.clone(), by: Vec::new() });
            if claim.account != message.account {
                *claim = Held { account: message.account.clone(), by: Vec::new() };
            }
            claim.by.push(message.id.key());
        }
        Claim::Ours
    }

    /// Whether another account has a request of this id.
    fn is_elsewhere(&self, memory: &Memory, message: &Message, request: &Id) -> bool {
        of_request(request).any(|(kind, key)| {
            let claim = self.held.get(&(message.account.tenant.clone(), kind, key)).filter(|claim| claim.account != message.account);
            let holder = claim.and_then(|claim| memory.accounts.get(&claim.account));
            holder.is_some_and(|holder| holder.state.book.requests.contains_key(request))
        })
    }
}

impl Claims {
    /// Whose the payment is that a message is about, if somebody's alone.
    pub fn address(&self, message: &Unaddressed) -> Address {
        let holder = |(kind, name): (FactKind, String)| self.held.get(&(message.tenant.clone(), kind, name));
        let accounts: BTreeSet<&AccountKey> = shown(&message.command).into_iter().filter_map(holder).map(|held| &held.account).collect();
        match accounts.len() {
            0 => Address::Nobody,
            1 => accounts.first().map_or(Address::Nobody, |only| Address::To(only.account.clone())),
            _ => Address::Several,
        }
    }
}

/// Whose a payment is.
pub enum Address {
    /// This account's.
    To(Id),
    /// Nobody has claimed any of its names.
    Nobody,
    /// Its names belong to several accounts: a contradiction.
    Several,
}

fn exists(book: &Book, kind: FactKind, key: &str) -> bool {
    match kind {
        FactKind::Payment => book.payment_names.contains_key(key),
        FactKind::Request => book.requests.contains_key(key),
        FactKind::Subscription => book.subscriptions.values().any(|one| one.told.as_ref().is_some_and(|told| told.name.as_str() == key)),
        FactKind::Refund => book.refunds.contains_key(key),
        FactKind::Dispute => book.disputes.contains_key(key),
        FactKind::Reference => book.charges.contains_key(key),
        FactKind::Evidence => book.requests.values().filter(|request| request.status.holds_evidence()).any(|request| {
            let evidence = request.terms.evidence.as_ref().map(|evidence| evidence.reference.as_str());
            evidence.is_some_and(|reference| key.split_once(':') == Some((request.terms.method.word(), reference)))
        }),
    }
}
