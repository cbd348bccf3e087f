//! Facts claimed by several accounts at once.

use crate::world::TENANT;
use crate::world::database::Database;
use credit_ledger::catalog;
use credit_ledger::domain::command::Message;
use credit_ledger::message::{Incoming, Queue, Raw, read};
use credit_ledger::store::postgres::directory::Claimed;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Barrier;

fn spend(account: usize, reference: usize) -> Message {
    let event = json!({
        "specversion": "1.0", "id": format!("m{account}-{reference}"), "source": "shop", "type": "credits.spend", "tenant": TENANT,
        "subject": format!("a{account}"), "time": "2026-01-01T00:00:00Z",
        "data": {"purpose": "invoice", "reference": format!("inv-{reference}"), "credits": 1},
    });
    let raw = Raw {
        queue: Queue::Commands,
        routing_key: format!("credits.spend.{TENANT}"),
        content_type: Some("application/cloudevents+json".into()),
        headers: std::collections::BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: event.to_string().into_bytes(),
    };
    match read(&raw, &|_: &_| Vec::new()) {
        Ok(Incoming::Account(message)) => *message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_accounts_that_claim_one_fact_at_once_exactly_one_goes_on() {
    const ACCOUNTS: usize = 4;
    const FACTS: usize = 300;
    let database = Database::create().await;
    let text = "currency = \"USD\"";
    let file = catalog::parse("test", text).unwrap();
    database.catalog(&file, text).await;
    let barrier = Arc::new(Barrier::new(ACCOUNTS));
    let claiming = (0..ACCOUNTS).map(|account| {
        let (store, barrier) = (database.store.clone(), barrier.clone());
        tokio::spawn(async move {
            let mut mine = vec![false; FACTS];
            for (fact, mine) in mine.iter_mut().enumerate() {
                let message = spend(account, fact);
                barrier.wait().await;
                *mine = store.claim(&[&message]).await.unwrap()[0] == Claimed::Yes;
            }
            mine
        })
    });
    let mut winners = vec![0; FACTS];
    for mine in futures_util::future::join_all(claiming).await {
        for (winners, mine) in winners.iter_mut().zip(mine.unwrap()) {
            *winners += usize::from(mine);
        }
    }
    database.drop().await;
    assert!(winners.iter().all(|count| *count == 1), "{:?}", winners.iter().filter(|count| **count != 1).count());
}
