//! Messages about payments that nobody had claimed: are they somebody's by now?
//!
//! Owns asking the directory again and handing what has an owner to the lanes, under the same identity as it
//! came with. What nobody claims in time is answered as ignored.

use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::domain::rejection::QuarantineReason;
use crate::failure::Failure;
use crate::lanes::{Job, Lanes};
use crate::message::Raw;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::directory::{Address, Unclaimed};
use crate::store::postgres::tenant::TenantAsk;
use crate::store::{QuarantineRow, Submission};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Messages of one shard asked about at a time; each may be as large as a webhook.
const ASKED_MAX: i64 = 64;

/// Asks about the messages of a shard that are to be asked about now; true when some found their account.
pub async fn round(store: &PostgresStore, lanes: &Lanes<PostgresStore>, shard: i16) -> Result<bool, Failure> {
    let (over, open): (Vec<Unclaimed>, Vec<Unclaimed>) =
        store.unclaimed(shard, ASKED_MAX).await?.into_iter().partition(|unclaimed| unclaimed.is_over);
    for unclaimed in over {
        end(store, lanes, unclaimed).await?;
    }
    let messages: Vec<_> = open.iter().map(|unclaimed| &unclaimed.message).collect();
    let addresses = store.address(&messages).await?;
    let mut found: Vec<(Arc<Message>, Arc<Raw>)> = Vec::new();
    for (unclaimed, address) in open.into_iter().zip(addresses) {
        match address {
            Address::Nobody if unclaimed.is_answered => store.rest(&unclaimed.message).await?,
            Address::Nobody => {}
            Address::To(account) => found.push((Arc::new(unclaimed.message.addressed(account)), unclaimed.raw)),
            Address::Several => set_aside(store, lanes, unclaimed).await?,
        }
    }
    submit(store, lanes, found).await
}

/// Claims the names that messages show for the account they were found to be about, and has them decided; true
/// when any were.
async fn submit(store: &PostgresStore, lanes: &Lanes<PostgresStore>, found: Vec<(Arc<Message>, Arc<Raw>)>) -> Result<bool, Failure> {
    let messages: Vec<&Message> = found.iter().map(|(message, _)| &**message).collect();
    let claims = store.claim(&messages).await?;
    store.wake(&messages).await?;
    let mut under_way = Vec::new();
    for ((message, raw), claim) in found.into_iter().zip(claims) {
        // Another account's message about it is undecided: it is asked about again.
        if claim != Claim::Undecided {
            let (done, settled) = oneshot::channel();
            let tell = move |_| {
                // A receiver that is gone has stopped asking.
                let _ = done.send(());
            };
            lanes.submit(Job::Message(Submission { message: message.clone(), raw, claim }, Box::new(tell)));
            under_way.push((message, settled));
        }
    }
    let any = !under_way.is_empty();
    for (message, settled) in under_way {
        if settled.await.is_ok() {
            store.forget(&message.account.tenant, &message.id).await?;
        }
    }
    Ok(any)
}

/// The names it shows for one payment are those of several accounts.
async fn set_aside(store: &PostgresStore, lanes: &Lanes<PostgresStore>, unclaimed: Unclaimed) -> Result<(), Failure> {
    let Unclaimed { message, raw, .. } = unclaimed;
    let row = QuarantineRow {
        reason: QuarantineReason::IdempotencyConflict,
        detail: "the names it shows for one payment stand for payments of several accounts; what was recorded first stands".to_owned(),
        tenant: Some(message.tenant.clone()),
        account: None,
        message: Some(message.id.clone()),
        kind: Some(message.command.word().to_owned()),
        raw,
    };
    if lanes.set_aside(&[row]).await {
        store.forget(&message.tenant, &message.id).await?;
    }
    Ok(())
}

/// Nobody claimed it in time: it is not ours.
async fn end(store: &PostgresStore, lanes: &Lanes<PostgresStore>, unclaimed: Unclaimed) -> Result<(), Failure> {
    let Unclaimed { message, raw, is_answered, .. } = unclaimed;
    if !is_answered {
        let (tenant, id, content) = (message.tenant.clone(), message.id.clone(), message.content);
        let ask = TenantAsk { origin: lanes.origin().to_owned(), tenant, id, content, command: None, occurred_at: None };
        store.answer_tenant(&ask, &raw).await?;
    }
    store.forget(&message.tenant, &message.id).await
}
