//! What is sent, and what must come of it.
//!
//! Owns the generated messages and the rule that makes the expected ledger independent of the order
//! in which they arrive: of the messages about one fact exactly one is applied, whichever comes
//! first; those with the same terms add nothing, those with other terms are conflicts. Knows
//! nothing of the ledger.

use crate::deployment::{Said, signed};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// The tenant of the run.
pub const TENANT: &str = "soak";
/// Its catalog: one credit an image, two packages, a service without a price.
pub const CATALOG: &str = r#"
currency = "USD"
[packages.starter]
credits = "500"
price = "20.00"
[packages.growth]
credits = "2000"
bonus = "200"
price = "70.00"
[[rates]]
meter = "image"
price = "2"
[services.design]
eligible = true
"#;

/// What every account is given first, so that nothing ever lacks credits.
const RICH: i64 = 100_000_000;
const TIME: &str = "2026-01-01T00:00:00Z";
const SECOND: i64 = 1_767_225_600;
/// The journal is the same in every run; the kills are not.
const SEED: u64 = 20_260_101;

/// What a message does to its account when it is the one that is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Moves the balance by this much in this many entries.
    Moves(i64, i64),
    /// Files a request for this many credits.
    Files(i64),
    /// Accepts what the fact of this number filed.
    Accepts(usize),
    /// Rejects a request.
    Rejects,
}

/// One message, byte for byte.
#[derive(Debug, Clone)]
pub struct Message {
    /// The account's number.
    pub account: u32,
    /// With `id` and the account its identity.
    pub source: &'static str,
    /// See `source`.
    pub id: String,
    /// Where it is published.
    pub routing_key: String,
    /// The provider's, if it is a webhook.
    pub headers: Vec<(String, String)>,
    /// The bytes.
    pub body: Vec<u8>,
    /// Which of the contradicting terms of its fact it names.
    pub terms: u8,
    /// What it does if it is applied.
    pub effect: Effect,
}

/// All messages, the facts they are about and the order in which copies of them are published.
#[derive(Debug, Default)]
pub struct Journal {
    /// Distinct messages; the first of each account grants it its riches.
    pub messages: Vec<Message>,
    /// By fact: the messages about it.
    pub facts: Vec<Vec<usize>>,
    /// Message numbers in the order of publishing, with repeats.
    pub copies: Vec<usize>,
    /// Messages that contradict another.
    pub contradictory: usize,
}

/// The name of an account.
#[must_use]
pub fn account_name(number: u32) -> String {
    format!("a{number}")
}

impl Journal {
    /// Generates at least `copies` copies for `accounts` accounts, after one grant for each account.
    ///
    /// # Errors
    /// When a webhook cannot be signed.
    pub fn generate(copies: usize, accounts: u32, secret: &str) -> anyhow::Result<Self> {
        let mut maker = Maker { journal: Self::default(), places: Vec::new(), random: StdRng::seed_from_u64(SEED), accounts, secret };
        for account in 0..accounts {
            let message = maker.event(account, "credits.grant", &grant(RICH), Effect::Moves(RICH, 1));
            maker.fact(vec![message]);
            maker.places.clear();
        }
        while maker.places.len() < copies {
            maker.one_fact()?;
        }
        maker.places.sort_by(|one, other| one.0.total_cmp(&other.0));
        maker.journal.copies = maker.places.iter().map(|(_, message)| *message).collect();
        Ok(maker.journal)
    }
}

struct Maker<'a> {
    journal: Journal,
    /// Where in the run each copy is published, from 0 to 1.
    places: Vec<(f64, usize)>,
    random: StdRng,
    accounts: u32,
    secret: &'a str,
}

impl Maker<'_> {
    fn chance(&mut self, of: f64) -> bool {
        self.random.random_bool(of)
    }

    fn one_fact(&mut self) -> anyhow::Result<()> {
        let account = self.random.random_range(0..self.accounts);
        let contradicted = self.chance(0.13);
        match self.random.random_range(0..100) {
            0..15 => self.simple(account, "credits.grant", contradicted, |amount, _| (grant(amount), amount)),
            15..60 => self.simple(account, "usage.recorded", contradicted, |amount, _| (usage(amount), amount.saturating_mul(-2))),
            60..75 => self.spend(account, contradicted),
            75..85 => self.request(account, contradicted),
            _ => self.payment(account, contradicted)?,
        }
        Ok(())
    }

    /// A fact of one message; its rival says another amount under the same id.
    fn simple(&mut self, account: u32, kind: &str, contradicted: bool, make: fn(i64, &str) -> (Value, i64)) {
        let amount = self.random.random_range(1..100);
        let reference = format!("ref-{}", self.journal.messages.len());
        let (data, change) = make(amount, &reference);
        let first = self.event(account, kind, &data, Effect::Moves(change, 1));
        let mut messages = vec![first];
        if contradicted {
            let (data, change) = make(amount.saturating_add(1), &reference);
            let id = messages.first().map_or_else(String::new, |first| first.id.clone());
            messages.push(Message { terms: 1, ..event(account, kind, &id, &data, Effect::Moves(change, 1)) });
        }
        self.fact(messages);
    }

    /// An order; its rival says another amount under the same id, another amount under the same
    /// reference, or the same for another account.
    fn spend(&mut self, account: u32, contradicted: bool) {
        let rival = self.random.random_range(0..3);
        if !contradicted || rival == 0 {
            return self
                .simple(account, "credits.spend", contradicted, |amount, reference| (spend(reference, amount), amount.saturating_neg()));
        }
        let amount = self.random.random_range(1..100);
        let reference = format!("order-{}", self.journal.messages.len());
        let first = self.event(account, "credits.spend", &spend(&reference, amount), Effect::Moves(amount.saturating_neg(), 1));
        let (of, amount) = if rival == 1 { (account, amount.saturating_add(7)) } else { (self.other(account), amount) };
        let second = self.event(of, "credits.spend", &spend(&reference, amount), Effect::Moves(amount.saturating_neg(), 1));
        self.fact(vec![first, Message { terms: 1, ..second }]);
    }

    /// A request and its decision; its rival files other credits, or the same for another account
    /// (then nobody decides: the decision would have to know who came first).
    fn request(&mut self, account: u32, contradicted: bool) {
        let credits = self.random.random_range(1..1000);
        let request = format!("req-{}", self.journal.messages.len());
        let mut messages = vec![self.event(account, "credit_request.submitted", &submit(&request, credits), Effect::Files(credits))];
        let elsewhere = contradicted && self.chance(0.5);
        if contradicted {
            let (of, credits) = if elsewhere { (self.other(account), credits) } else { (account, credits.saturating_add(3)) };
            let rival = self.event(of, "credit_request.submitted", &submit(&request, credits), Effect::Files(credits));
            messages.push(Message { terms: 1, ..rival });
        }
        let place = self.fact(messages);
        if elsewhere {
            return;
        }
        let filed = self.journal.facts.len().saturating_sub(1);
        let accepted = self.chance(0.7);
        let effect = if accepted { Effect::Accepts(filed) } else { Effect::Rejects };
        let decision = self.event(account, "credit_request.decided", &decide(&request, accepted), effect);
        // Sometimes before the request itself: it waits then.
        let near = place + self.random.random_range(-0.002..0.01);
        self.fact_at(vec![decision], near);
    }

    /// A card payment, shown by one or two events; its rival names another package or account.
    fn payment(&mut self, account: u32, contradicted: bool) -> anyhow::Result<()> {
        let number = self.journal.messages.len();
        let echoed = self.chance(0.3);
        let mut messages = vec![self.webhook(account, number, "checkout.session.completed", "starter")?];
        if echoed {
            messages.push(self.webhook(account, number, "payment_intent.succeeded", "starter")?);
        }
        if contradicted {
            let (of, package) = if self.chance(0.5) { (self.other(account), "starter") } else { (account, "growth") };
            messages.push(Message { terms: 1, ..self.webhook(of, number, "checkout.session.async_payment_succeeded", package)? });
        }
        self.fact(messages);
        Ok(())
    }

    fn webhook(&mut self, account: u32, payment: usize, kind: &str, package: &str) -> anyhow::Result<Message> {
        let id = format!("evt_{payment}_{kind}_{package}_{account}");
        let (minor, effect) = if package == "growth" { (7000, Effect::Moves(2200, 2)) } else { (2000, Effect::Moves(500, 1)) };
        let metadata = json!({"credit_account": account_name(account), "credit_package": package});
        let object = if kind.starts_with("payment_intent") {
            json!({"id": format!("pi_{payment}"), "object": "payment_intent", "amount": minor, "amount_received": minor,
                "currency": "usd", "metadata": metadata})
        } else {
            json!({"id": format!("cs_{payment}_{package}"), "object": "checkout.session", "mode": "payment", "payment_status": "paid",
                "payment_intent": format!("pi_{payment}"), "amount_total": minor, "currency": "usd", "metadata": metadata})
        };
        let event = json!({"id": id, "object": "event", "type": kind, "livemode": false, "created": SECOND, "data": {"object": object}});
        let body = event.to_string().into_bytes();
        let headers = signed(TENANT, self.secret, SECOND, &body)?;
        let routing_key = format!("payment.stripe.{TENANT}");
        Ok(Message { account, source: "stripe", id, routing_key, headers, body, terms: 0, effect })
    }

    fn event(&mut self, account: u32, kind: &str, data: &Value, effect: Effect) -> Message {
        let id = format!("m{}-{:08x}", self.journal.messages.len(), self.random.random::<u32>());
        event(account, kind, &id, data, effect)
    }

    fn other(&mut self, account: u32) -> u32 {
        account.saturating_add(self.random.random_range(1..self.accounts.max(2))).checked_rem(self.accounts).unwrap_or(account)
    }

    fn fact(&mut self, messages: Vec<Message>) -> f64 {
        let place = self.random.random_range(0.0..1.0);
        self.fact_at(messages, place);
        place
    }

    /// Adds a fact: its first message at `place`, rivals near it or anywhere, repeats later.
    fn fact_at(&mut self, messages: Vec<Message>, place: f64) {
        let mut members = Vec::with_capacity(messages.len());
        for message in messages {
            let number = self.journal.messages.len();
            let at = if members.is_empty() {
                place
            } else if self.chance(0.5) {
                place + self.random.random_range(-0.0005..0.0005)
            } else {
                self.random.random_range(0.0..1.0)
            };
            self.journal.contradictory = self.journal.contradictory.saturating_add(usize::from(message.terms > 0));
            members.push(number);
            self.places.push((at, number));
            if self.chance(0.5) {
                let later = at + self.random.random_range(0.0..1.0) * (1.0 - at).max(0.0);
                self.places.push((later, number));
            }
            self.journal.messages.push(message);
        }
        self.journal.facts.push(members);
    }
}

fn event(account: u32, kind: &str, id: &str, data: &Value, effect: Effect) -> Message {
    let name = account_name(account);
    let said = Said { tenant: TENANT, account: Some(&name), source: "soak", id, kind, time: TIME };
    let (routing_key, body) = (said.routing_key(), said.body(data));
    Message { account, source: "soak", id: id.to_owned(), routing_key, headers: Vec::new(), body, terms: 0, effect }
}

fn grant(credits: i64) -> Value {
    json!({"credits": credits, "reason": "soak", "actor": "ops"})
}

fn usage(quantity: i64) -> Value {
    json!({"meter": "image", "quantity": quantity})
}

fn spend(reference: &str, credits: i64) -> Value {
    json!({"purpose": "service", "reference": reference, "service": "design", "credits": credits})
}

fn submit(request: &str, credits: i64) -> Value {
    json!({"request": request, "credits": credits, "price": "10.00", "currency": "USD", "method": "bank_transfer", "requested_by": "kim"})
}

fn decide(request: &str, accepted: bool) -> Value {
    json!({"request": request, "decision": if accepted { "accepted" } else { "rejected" }, "decided_by": "eve"})
}
