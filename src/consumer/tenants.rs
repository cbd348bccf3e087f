//! Messages about a tenant as a whole, one after the other.
//!
//! Owns their order and carrying out tenant-wide resets before they are answered.

use super::Finish;
use crate::domain::decision::Outcome;
use crate::failure::{Failure, pause};
use crate::lanes::Lanes;
use crate::message::Raw;
use crate::scheduler::reset_tenant;
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::tenant::{TenantAnswer, TenantAsk};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::warn;

pub async fn run(
    store: PostgresStore,
    lanes: Lanes<PostgresStore>,
    aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    mut asked: mpsc::UnboundedReceiver<(TenantAsk, Arc<Raw>, Finish)>,
) {
    while let Some((ask, raw, finish)) = asked.recv().await {
        let mut attempt = 0;
        let outcome = loop {
            match answer(&store, &lanes, &ask, &raw).await {
                Ok(outcome) => break outcome,
                Err(error) => {
                    if attempt == 0 {
                        warn!(%error, message.id = %ask.id, "a tenant message cannot be answered; it is tried again");
                    }
                    tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))).await;
                    attempt = attempt.saturating_add(1);
                }
            }
        };
        if let Outcome::Quarantined(reason) = outcome {
            let row = QuarantineRow {
                reason,
                detail: "contradicts what its id already stands for, or names no tenant".into(),
                tenant: Some(ask.tenant),
                account: None,
                message: Some(ask.id),
                raw,
            };
            let _ = aside.send((row, finish));
        } else {
            finish();
        }
    }
}

async fn answer(store: &PostgresStore, lanes: &Lanes<PostgresStore>, ask: &TenantAsk, raw: &Raw) -> Result<Outcome, Failure> {
    match store.answer_tenant(ask, raw).await? {
        TenantAnswer::Final(outcome) => Ok(outcome),
        TenantAnswer::Reset(as_of) => {
            reset_tenant(store, lanes, ask.tenant.as_str(), as_of).await?;
            store.finish_tenant(ask, raw).await?;
            Ok(Outcome::Applied)
        }
    }
}
