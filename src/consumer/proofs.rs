//! PayPal webhooks that nobody can verify yet: a certificate must be fetched, or PayPal asked.
//!
//! Owns holding them outside of every batch while that happens, and trying again while PayPal is away. One
//! fetch does for all that name the same certificate. What is held too long, or beyond the room for it, is set
//! aside to be replayed: nothing is lost, and other providers' webhooks go on. Never says what is authentic.

use super::{Finish, Ways};
use crate::domain::rejection::QuarantineReason;
use crate::failure::pause;
use crate::keyring::{Keyring, NotObtained, Obtained};
use crate::message::paypal::CertificateUrl;
use crate::message::{NotRead, Raw, Unreadable, read, reread};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::warn;

/// How long a webhook is held for.
const HELD_FOR: Duration = Duration::from_mins(10);
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A webhook that nobody can verify yet.
pub struct Unproven {
    raw: Arc<Raw>,
    finish: Finish,
    url: CertificateUrl,
    since: Instant,
}

impl Unproven {
    pub fn new(raw: Arc<Raw>, finish: Finish, url: CertificateUrl) -> Self {
        Self { raw, finish, url, since: Instant::now() }
    }
}

/// Webhooks that one answer is for.
struct Group {
    held: Vec<Unproven>,
    attempt: u32,
}

/// What groups are told apart by: the certificate's address and, where PayPal is asked about each webhook, a
/// number.
type Key = (CertificateUrl, u64);
type Tried = (Key, Result<Obtained, NotObtained>);

struct Proofs {
    keyring: Keyring,
    ways: Ways,
    held_max: usize,
    groups: HashMap<Key, Group>,
    under_way: FuturesUnordered<BoxFuture<'static, Tried>>,
    numbers: u64,
}

pub async fn run(keyring: Keyring, ways: Ways, held_max: usize, mut asked: mpsc::UnboundedReceiver<Unproven>) {
    let mut proofs = Proofs { keyring, ways, held_max, groups: HashMap::new(), under_way: FuturesUnordered::new(), numbers: 0 };
    loop {
        tokio::select! {
            one = asked.recv() => match one {
                Some(one) => proofs.hold(one, 0),
                // Stopping: what is held returns to the broker.
                None => return,
            },
            Some((key, tried)) = proofs.under_way.next(), if !proofs.under_way.is_empty() => proofs.tried(key, tried),
        }
    }
}

impl Proofs {
    /// Holds a webhook, and sees to it that what it lacks is asked for.
    fn hold(&mut self, one: Unproven, attempt: u32) {
        let number = if self.keyring.is_shared() {
            0
        } else {
            self.numbers = self.numbers.wrapping_add(1);
            self.numbers
        };
        let key = (one.url.clone(), number);
        let raw = one.raw.clone();
        if let Some(group) = self.groups.get_mut(&key) {
            group.held.push(one);
        } else {
            self.groups.insert(key.clone(), Group { held: vec![one], attempt });
            self.ask(key, raw, attempt);
        }
        self.make_room();
    }

    fn ask(&self, key: Key, raw: Arc<Raw>, attempt: u32) {
        let keyring = self.keyring.clone();
        self.under_way.push(Box::pin(async move {
            if let Some(before) = attempt.checked_sub(1) {
                tokio::time::sleep(pause(before, PAUSE_MIN, PAUSE_MAX)).await;
            }
            let tried = keyring.obtain(&raw, &key.0).await;
            (key, tried)
        }));
    }

    fn tried(&mut self, key: Key, tried: Result<Obtained, NotObtained>) {
        let Some(Group { held, attempt }) = self.groups.remove(&key) else { return };
        match tried {
            Ok(obtained) => {
                for one in held {
                    self.go_on(one, obtained, attempt.saturating_add(1));
                }
            }
            Err(why) if why.is_final() => {
                for one in held {
                    self.set_aside(one, QuarantineReason::BadSignature, &why.to_string());
                }
            }
            Err(why) => self.again(key, held, (attempt, &why)),
        }
    }

    /// It is read now, as if it had just come.
    fn go_on(&mut self, one: Unproven, obtained: Obtained, attempt: u32) {
        let read = match obtained {
            Obtained::Certificate => read(&one.raw, &self.keyring.now()),
            Obtained::Word => reread(&one.raw).map_err(|unreadable| NotRead::Unreadable(Box::new(unreadable))),
        };
        match read {
            Ok(incoming) => self.ways.hand_on(incoming, one.raw, one.finish),
            Err(NotRead::Unreadable(unreadable)) => self.ways.set_aside(*unreadable, one.raw, one.finish),
            // Its certificate was pushed out by others in between.
            Err(NotRead::NoCertificate(url)) => self.hold(Unproven { url, ..one }, attempt),
        }
    }

    /// PayPal is away: those that have waited long enough are set aside, the others wait on.
    fn again(&mut self, key: Key, held: Vec<Unproven>, (attempt, why): (u32, &NotObtained)) {
        if attempt == 0 {
            let cause = why.source().map_or_else(|| why.to_string(), |source| format!("{why}: {source}"));
            warn!(%cause, webhooks = held.len(), "PayPal webhooks cannot be verified yet; it is tried again");
        }
        let (late, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|one| one.since.elapsed() >= HELD_FOR);
        for one in late {
            self.give_up(one, why);
        }
        if let Some(first) = held.first() {
            let (raw, attempt) = (first.raw.clone(), attempt.saturating_add(1));
            self.groups.insert(key.clone(), Group { held, attempt });
            self.ask(key, raw, attempt);
        }
    }

    /// The oldest make room: others than PayPal's need some of what the broker hands out at a time.
    fn make_room(&mut self) {
        let count: usize = self.groups.values().map(|group| group.held.len()).sum();
        if count <= self.held_max {
            return;
        }
        let oldest =
            self.groups.iter().filter_map(|(key, group)| Some((group.held.first()?.since, key.clone()))).min_by_key(|(since, _)| *since);
        let Some((_, key)) = oldest else { return };
        let Some(group) = self.groups.get_mut(&key) else { return };
        let one = group.held.remove(0);
        if group.held.is_empty() {
            self.groups.remove(&key);
        }
        self.set_aside(one, QuarantineReason::RetriesExhausted, "too many PayPal webhooks waited to be verified at a time; replay it");
    }

    fn give_up(&self, one: Unproven, why: &NotObtained) {
        self.set_aside(one, QuarantineReason::RetriesExhausted, &format!("{why}; replay it once that is mended"));
    }

    fn set_aside(&self, one: Unproven, reason: QuarantineReason, detail: &str) {
        // What it says is not proven, but worth knowing for whoever looks at it.
        let (tenant, id, kind) = match reread(&one.raw) {
            Ok(incoming) => incoming.names(),
            Err(Unreadable { tenant, id, kind, .. }) => (tenant, id, kind),
        };
        self.ways.set_aside(Unreadable { reason, detail: detail.to_owned(), tenant, id, kind }, one.raw, one.finish);
    }
}
