//! The ledger, the quarantine and the events against the journal.
//!
//! Owns the verdict. Uses the journal's own arithmetic; reads tables as they are and none of the
//! ledger's code.

use super::journal::{Effect, Journal, Message, TENANT, account_name};
use super::traffic::Received;
use anyhow::Context as _;
use rust_decimal::Decimal;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};

/// A message's identity: account, source, id.
type Identity = (String, String, String);

/// What differs.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Facts of the journal that are not in the ledger.
    pub lost: u64,
    /// Facts that are in the ledger more than once.
    pub twice: u64,
    /// Contradictory messages that are in quarantine, as they must be.
    pub set_aside: u64,
    /// Everything that is wrong, for people.
    pub wrong: Vec<String>,
}

/// What the tables say.
pub struct Ledger {
    outcomes: HashMap<Identity, String>,
    entries: HashMap<Identity, (Decimal, i64)>,
    quarantine: HashMap<Vec<u8>, String>,
    accounts: HashMap<String, (Decimal, i64)>,
}

/// Compares everything.
#[must_use]
pub fn compare(ledger: &Ledger, journal: &Journal, received: &Received) -> Verdict {
    let mut verdict = Verdict::default();
    let mut expected = Expected::default();
    let winners: Vec<Option<usize>> = journal.facts.iter().map(|fact| verdict.winner(journal, fact, ledger)).collect();
    for (fact, winner) in journal.facts.iter().zip(&winners) {
        let Some(message) = winner.and_then(|winner| journal.messages.get(winner)) else { continue };
        let (change, entries) = effect(journal, &winners, message);
        verdict.applied(message, (change, entries), ledger);
        expected.add(message, change);
        verdict.others(journal, fact, (winner.unwrap_or_default(), message.terms), ledger, &mut expected);
    }
    verdict.nothing_else(journal, ledger, &expected);
    verdict.accounts(ledger, &expected, received);
    verdict
}

#[derive(Default)]
struct Expected {
    balances: HashMap<u32, i64>,
    /// Bodies that must be in quarantine.
    set_aside: HashSet<Vec<u8>>,
    causes: HashSet<Identity>,
}

impl Expected {
    fn add(&mut self, message: &Message, change: i64) {
        let balance = self.balances.entry(message.account).or_default();
        *balance = balance.saturating_add(change);
        self.causes.insert(identity(message));
    }
}

fn identity(message: &Message) -> Identity {
    (account_name(message.account), message.source.to_owned(), message.id.clone())
}

/// Change of the balance and number of entries of an applied message.
fn effect(journal: &Journal, winners: &[Option<usize>], message: &Message) -> (i64, i64) {
    match message.effect {
        Effect::Moves(change, entries) => (change, entries),
        Effect::Files(_) | Effect::Rejects => (0, 0),
        Effect::Accepts(fact) => {
            let filed = winners.get(fact).copied().flatten().and_then(|winner| journal.messages.get(winner));
            match filed.map(|filed| filed.effect) {
                Some(Effect::Files(credits)) => (credits, 1),
                _ => (0, 0),
            }
        }
    }
}

impl Verdict {
    fn wrong(&mut self, what: &str, message: &Message, detail: &str) {
        self.wrong.push(format!(
            "{what}: {} {} {}{}{detail}",
            message.routing_key,
            account_name(message.account),
            message.id,
            if detail.is_empty() { "" } else { ": " }
        ));
    }

    /// The one message of a fact that was applied. Rivals under one id have one outcome; which of
    /// them it is, is told by the other one being in quarantine.
    fn winner(&mut self, journal: &Journal, fact: &[usize], ledger: &Ledger) -> Option<usize> {
        let applied: Vec<usize> = fact
            .iter()
            .copied()
            .filter(|number| {
                journal.messages.get(*number).is_some_and(|message| {
                    ledger.outcomes.get(&identity(message)).is_some_and(|outcome| outcome == "applied")
                        && !ledger.quarantine.contains_key(&message.body)
                })
            })
            .collect();
        let first = fact.first().and_then(|number| journal.messages.get(*number))?;
        match applied.as_slice() {
            [one] => return Some(*one),
            [] => {
                self.lost = self.lost.saturating_add(1);
                let outcome = ledger.outcomes.get(&identity(first)).cloned();
                let reason = ledger.quarantine.get(&first.body).cloned();
                self.wrong("lost", first, &format!("outcome {outcome:?}, quarantine {reason:?}"));
            }
            _ => {
                self.twice = self.twice.saturating_add(1);
                self.wrong("applied twice", first, "two messages about one fact");
            }
        }
        None
    }

    fn applied(&mut self, message: &Message, (change, entries): (i64, i64), ledger: &Ledger) {
        let (total, count) = ledger.entries.get(&identity(message)).copied().unwrap_or_default();
        if (total, count) == (Decimal::from(change), entries) {
            return;
        }
        let lost = count < entries;
        if lost {
            self.lost = self.lost.saturating_add(1);
        } else {
            self.twice = self.twice.saturating_add(1);
        }
        let detail = format!("{count} entries of {total} in all, expected {entries} of {change}");
        self.wrong(if lost { "lost" } else { "twice" }, message, &detail);
    }

    /// The other messages of a fact: the same terms add nothing, other terms are conflicts.
    fn others(&mut self, journal: &Journal, fact: &[usize], (winner, terms): (usize, u8), ledger: &Ledger, expected: &mut Expected) {
        for message in fact.iter().filter(|number| **number != winner).filter_map(|number| journal.messages.get(*number)) {
            let reason = ledger.quarantine.get(&message.body);
            if message.terms == terms {
                if ledger.outcomes.get(&identity(message)).map(String::as_str) != Some("duplicate") || reason.is_some() {
                    self.wrong("no duplicate", message, &format!("{reason:?}"));
                }
                continue;
            }
            expected.set_aside.insert(message.body.clone());
            if reason.map(String::as_str) == Some("idempotency_conflict") {
                self.set_aside = self.set_aside.saturating_add(1);
            } else {
                self.wrong("conflict not in quarantine", message, &format!("{reason:?}"));
            }
        }
    }

    /// Nothing stands in the ledger or in quarantine that the journal does not explain.
    fn nothing_else(&mut self, journal: &Journal, ledger: &Ledger, expected: &Expected) {
        let known: HashSet<Identity> = journal.messages.iter().map(identity).collect();
        for identity in ledger.entries.keys().filter(|identity| !expected.causes.contains(*identity)) {
            self.wrong.push(format!("entries without a message: {identity:?}"));
        }
        for identity in ledger.outcomes.keys().filter(|identity| !known.contains(*identity)) {
            self.wrong.push(format!("an outcome without a message: {identity:?}"));
        }
        for (body, reason) in ledger.quarantine.iter().filter(|(body, _)| !expected.set_aside.contains(*body)) {
            self.wrong.push(format!("in quarantine without contradiction, {reason}: {}", String::from_utf8_lossy(body)));
        }
    }

    /// Balances of the ledger and of the last events are the journal's.
    fn accounts(&mut self, ledger: &Ledger, expected: &Expected, received: &Received) {
        for (number, balance) in &expected.balances {
            let name = account_name(*number);
            let (in_ledger, last_seq) = ledger.accounts.get(&name).copied().unwrap_or_default();
            if in_ledger != Decimal::from(*balance) {
                self.wrong.push(format!("balance of {name}: {in_ledger} in the ledger, {balance} by the journal"));
            }
            let heard = received.accounts.get(&name).cloned().unwrap_or_default();
            if heard.to != last_seq || heard.balance != balance.to_string() {
                self.wrong
                    .push(format!("events of {name}: entry {} and balance {}, expected {last_seq} and {balance}", heard.to, heard.balance));
            }
        }
        self.wrong.extend(received.gaps.iter().cloned());
        if usize::try_from(received.quarantined) != Ok(ledger.quarantine.len()) {
            self.wrong.push(format!("{} announcements of {} messages in quarantine", received.quarantined, ledger.quarantine.len()));
        }
    }
}

impl Ledger {
    /// Reads all of it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read(pool: &PgPool) -> anyhow::Result<Self> {
        let outcomes: Vec<(String, String, String, String)> = sqlx::query_as(
            "select a.account, o.source, o.id, o.outcome from outcomes o join accounts a using (shard, account_id) where a.tenant = $1 and a.account <> ''",
        )
        .bind(TENANT)
        .fetch_all(pool)
        .await
        .context("outcomes")?;
        let entries: Vec<(String, String, String, Decimal, i64)> = sqlx::query_as(
            "select a.account, e.cause_source, e.cause_id, sum(case direction when 'in' then amount when 'out' then -amount else 0 end), count(*) \
             from entries e join accounts a using (shard, account_id) group by 1, 2, 3",
        )
        .fetch_all(pool)
        .await
        .context("entries")?;
        let quarantine: Vec<(Vec<u8>, String)> =
            sqlx::query_as("select body, reason from quarantine").fetch_all(pool).await.context("quarantine")?;
        let accounts: Vec<(String, Decimal, i64)> = sqlx::query_as("select account, balance, last_seq from accounts where account <> ''")
            .fetch_all(pool)
            .await
            .context("accounts")?;
        Ok(Self {
            outcomes: outcomes.into_iter().map(|(account, source, id, outcome)| ((account, source, id), outcome)).collect(),
            entries: entries.into_iter().map(|(account, source, id, total, count)| ((account, source, id), (total, count))).collect(),
            quarantine: quarantine.into_iter().collect(),
            accounts: accounts.into_iter().map(|(account, balance, seq)| (account, (balance, seq))).collect(),
        })
    }
}
