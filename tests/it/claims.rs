//! Two accounts and one fact: one of them gets it, the other hears about it, whatever happens between.

use crate::worker::{Deployment, SECRET, SOON, grant, worker_test};
use crate::world::database::Database;
use credit_ledger::catalog;
use credit_ledger::domain::command::Message;
use credit_ledger::domain::decision::Claim;
use credit_ledger::store::postgres::PostgresStore;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::time::timeout;

fn spend(reference: &str) -> Value {
    json!({"purpose": "invoice", "reference": reference, "credits": "150"})
}

/// A message as the store sees it.
fn message(kind: &str, account: &str, id: &str, data: &Value) -> Message {
    let event = json!({"specversion": "1.0", "id": id, "source": "test", "type": kind, "tenant": "acme", "subject": account,
        "time": "2026-01-01T00:00:00Z", "data": data});
    (*crate::world::submission(&event).message).clone()
}

async fn claim(store: &PostgresStore, messages: &[Message]) -> Vec<Claim> {
    store.claim(&messages.iter().collect::<Vec<_>>()).await.unwrap()
}

impl Deployment {
    /// The final answers to some messages; a worker that is killed may repeat one, never change it.
    async fn finals(&mut self, wanted: &[&str]) -> BTreeMap<String, String> {
        let mut finals = BTreeMap::new();
        while !wanted.iter().all(|id| finals.contains_key(*id)) {
            let reply = self.reply().await;
            let outcome = reply["outcome"].as_str().unwrap();
            if ["waiting", "duplicate"].contains(&outcome) {
                continue;
            }
            let reason = reply["reasons"][0].as_str().map_or_else(String::new, |reason| format!(" {reason}"));
            let answer = format!("{outcome}{reason}");
            if let Some(before) = finals.insert(reply["id"].as_str().unwrap().to_owned(), answer.clone()) {
                assert_eq!(before, answer);
            }
        }
        finals
    }

    async fn poor_waits_and_rich_behind_it(&mut self) {
        assert_eq!(self.ask("g", "credits.grant", "rich", grant("500")).await["outcome"], "applied");
        // Nobody has opened this account, so its claim is undecided for up to a day.
        assert_eq!(self.ask("s-poor", "credits.spend", "poor", spend("inv-7")).await["outcome"], "waiting");
        assert_eq!(self.ask("s-rich", "credits.spend", "rich", spend("inv-7")).await["outcome"], "waiting");
        assert_eq!(self.count("waiting where waits_on = 'claim'").await, 1, "it is stored, and so acknowledged");
    }
}

worker_test!(a_claim_that_waits_and_is_refused_goes_to_the_next, |deployment| {
    deployment.start();
    deployment.poor_waits_and_rich_behind_it().await;
    deployment.send("o", "account.opened", Some("poor"), json!({"kind": "user", "owner": "o"})).await;
    let finals = deployment.finals(&["s-poor", "s-rich"]).await;
    assert_eq!((finals["s-poor"].as_str(), finals["s-rich"].as_str()), ("rejected insufficient_credits", "applied"));
    assert_eq!(deployment.count("waiting").await, 0);
});

worker_test!(a_claim_that_waits_and_is_accepted_stays, |deployment| {
    deployment.start();
    deployment.poor_waits_and_rich_behind_it().await;
    deployment.send("g2", "credits.grant", Some("poor"), grant("200")).await;
    let finals = deployment.finals(&["s-poor", "s-rich"]).await;
    assert_eq!((finals["s-poor"].as_str(), finals["s-rich"].as_str()), ("applied", "quarantined idempotency_conflict"));
    assert_eq!(deployment.count("entries where kind = 'spent'").await, 1);
    assert_eq!(deployment.ask("s-rich", "credits.spend", "rich", spend("inv-7")).await["reasons"][0], "idempotency_conflict");
});

worker_test!(a_waiting_claim_survives_the_worker, |deployment| {
    deployment.start();
    deployment.poor_waits_and_rich_behind_it().await;
    deployment.kill();
    deployment.start();
    deployment.send("o", "account.opened", Some("poor"), json!({"kind": "user", "owner": "o"})).await;
    let finals = deployment.finals(&["s-poor", "s-rich"]).await;
    assert_eq!((finals["s-poor"].as_str(), finals["s-rich"].as_str()), ("rejected insufficient_credits", "applied"));
    assert_eq!(deployment.count("waiting").await, 0);
});

worker_test!(a_refusal_stands_though_another_account_got_the_fact, |deployment| {
    deployment.start();
    assert_eq!(deployment.ask("o", "account.opened", "poor", json!({"kind": "user", "owner": "o"})).await["outcome"], "applied");
    assert_eq!(deployment.ask("g", "credits.grant", "rich", grant("500")).await["outcome"], "applied");
    assert_eq!(deployment.ask("s1", "credits.spend", "poor", spend("inv-7")).await["outcome"], "rejected");
    assert_eq!(deployment.ask("s2", "credits.spend", "rich", spend("inv-7")).await["outcome"], "applied");
    let again = deployment.ask("s1", "credits.spend", "poor", spend("inv-7")).await;
    assert_eq!((again["outcome"].as_str(), again["of"].as_str()), (Some("duplicate"), Some("rejected")), "identity comes first");
});

worker_test!(who_holds_a_fact_is_told_so_behind_others_that_want_it, |deployment| {
    let store = PostgresStore::connect(&deployment.database, 4).await.unwrap();
    let wants = |account: &str| message("credits.spend", account, &format!("s-{account}"), &spend("inv-1"));
    let asked = [wants("ann"), wants("bob"), wants("bob"), wants("cid")];
    assert_eq!(claim(&store, &asked[1..2]).await, [Claim::Ours]);
    // As a worker asks that begins where another was killed, or a scheduler about those that wait.
    for _ in 0..2 {
        assert_eq!(claim(&store, &asked).await, [Claim::Undecided, Claim::Ours, Claim::Ours, Claim::Undecided]);
    }
    store.pool().close().await;
});

worker_test!(workers_that_race_for_facts_never_both_get_one, |deployment| {
    let (one, two) =
        (PostgresStore::connect(&deployment.database, 6).await.unwrap(), PostgresStore::connect(&deployment.database, 6).await.unwrap());
    for round in 0..10 {
        let batch = |account: &str| -> Vec<Message> {
            (0..20)
                .map(|index| message("credits.spend", account, &format!("s{round}-{index}"), &spend(&format!("inv-{round}-{index}"))))
                .collect()
        };
        let (anns, mut bobs) = (batch("ann"), batch("bob"));
        bobs.reverse();
        let (ann, mut bob) = tokio::join!(claim(&one, &anns), claim(&two, &bobs));
        bob.reverse();
        for (index, (ann, bob)) in ann.into_iter().zip(bob).enumerate() {
            let got = [ann, bob].into_iter().filter(|claim| *claim == Claim::Ours).count();
            assert_eq!(got, 1, "fact {round}-{index}: ann {ann:?}, bob {bob:?}");
        }
    }
    one.pool().close().await;
    two.pool().close().await;
});

#[tokio::test(flavor = "multi_thread")]
async fn of_accounts_that_claim_one_fact_at_once_exactly_one_goes_on() {
    const ACCOUNTS: usize = 4;
    const FACTS: usize = 300;
    let database = Database::create().await;
    let text = "currency = \"USD\"";
    database.catalog(&catalog::parse("test", text).unwrap(), text).await;
    let barrier = Arc::new(Barrier::new(ACCOUNTS));
    let claiming = (0..ACCOUNTS).map(|account| {
        let (store, barrier) = (database.store.clone(), barrier.clone());
        tokio::spawn(async move {
            let mut mine = vec![false; FACTS];
            for (fact, mine) in mine.iter_mut().enumerate() {
                let message =
                    message("credits.spend", &format!("a{account}"), &format!("m{account}-{fact}"), &spend(&format!("inv-{fact}")));
                barrier.wait().await;
                *mine = claim(&store, &[message]).await == [Claim::Ours];
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

worker_test!(one_batch_gives_a_fact_to_one_account, |deployment| {
    let store = PostgresStore::connect(&deployment.database, 6).await.unwrap();
    let batch = [("ann", "1"), ("bob", "2"), ("ann", "3")].map(|(account, id)| message("credits.spend", account, id, &spend("inv")));
    assert_eq!(claim(&store, &batch).await, [Claim::Ours, Claim::Undecided, Claim::Ours]);
    store.pool().close().await;
});

worker_test!(requests_with_evidence_never_wait_for_each_other, |deployment| {
    let (one, two) =
        (PostgresStore::connect(&deployment.database, 6).await.unwrap(), PostgresStore::connect(&deployment.database, 6).await.unwrap());
    for round in 0..10 {
        let batch = |account: &str| -> Vec<Message> {
            let request = |index| {
                let data = json!({"request": format!("r{round}-{index}"), "package": "starter", "method": "bank_transfer",
                    "requested_by": "mia", "evidence": {"reference": format!("e{round}-{index}")}});
                message("credit_request.submitted", account, &format!("{account}-{round}-{index}"), &data)
            };
            (0..10).map(request).collect()
        };
        let (anns, mut bobs) = (batch("ann"), batch("bob"));
        bobs.reverse();
        let (ann, mut bob) = tokio::join!(claim(&one, &anns), claim(&two, &bobs));
        bob.reverse();
        for (ann, bob) in ann.into_iter().zip(bob) {
            // Whoever has the first of the two facts gets the second.
            assert!([(Claim::Ours, Claim::Undecided), (Claim::Undecided, Claim::Ours)].contains(&(ann, bob)), "{ann:?} {bob:?}");
        }
    }
    one.pool().close().await;
    two.pool().close().await;
});

worker_test!(a_replay_takes_its_fact_back, |deployment| {
    let store = PostgresStore::connect(&deployment.database, 6).await.unwrap();
    let (ann, bob) = (message("credits.spend", "ann", "1", &spend("inv")), message("credits.spend", "bob", "2", &spend("inv")));
    assert_eq!(claim(&store, std::slice::from_ref(&ann)).await, [Claim::Ours]);
    let aside = "insert into quarantine (shard, queue, digest, reason, detail, tenant, account, source, id, message_key, raw, body, body_bytes) \
        select $1, 'commands', '\\x01', 'wait_timeout', '', 'acme', 'ann', 'test', '1', $2, '{}', '', 0";
    let shard = credit_ledger::store::shard_of("acme", "ann", store.shards());
    sqlx::query(aside).bind(shard).bind(uuid::Uuid::from_bytes(ann.id.key().0)).execute(store.pool()).await.unwrap();
    // The replayed message claims again: what happened before counts no more.
    assert_eq!(claim(&store, std::slice::from_ref(&ann)).await, [Claim::Ours]);
    assert_eq!(claim(&store, std::slice::from_ref(&bob)).await, [Claim::Undecided]);
    sqlx::query("update quarantine set last_seen_at = clock_timestamp()").execute(store.pool()).await.unwrap();
    assert_eq!(claim(&store, std::slice::from_ref(&bob)).await, [Claim::Ours]);
    assert_eq!(claim(&store, std::slice::from_ref(&ann)).await, [Claim::Undecided]);
    store.pool().close().await;
});

/// A paid checkout of the starter package by an account, with or without its PaymentIntent.
fn checkout(event: &str, account: &str, intent: Option<&str>, minor: u32) -> Value {
    json!({"id": event, "type": "checkout.session.completed", "created": 1_767_225_600, "livemode": false, "data": {"object": {
        "id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": minor, "currency": "usd", "payment_intent": intent,
        "metadata": {"credit_account": account, "credit_package": "starter"}}}})
}

impl Deployment {
    async fn stripe(&mut self, event: &Value) -> String {
        self.webhook(event.to_string().into_bytes(), SECRET).await;
        self.answer().await
    }

    async fn told(&mut self, id: &str, kind: &str, account: &str, data: Value) -> String {
        self.send(id, kind, Some(account), data).await;
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        let reply = self.reply().await;
        let reason = reply["reasons"][0].as_str().map_or_else(String::new, |reason| format!(" {reason}"));
        format!("{}{reason}", reply["outcome"].as_str().unwrap())
    }
}

worker_test!(every_name_of_a_payment_belongs_to_one_account, |deployment| {
    deployment.start();
    assert_eq!(deployment.stripe(&checkout("a", "ann", None, 2000)).await, "applied");
    assert_eq!(deployment.stripe(&checkout("b", "bob", Some("pi_1"), 2000)).await, "quarantined idempotency_conflict");
    // What bob's event claimed beside it is free again.
    assert_eq!(deployment.stripe(&checkout("c", "ann", Some("pi_1"), 2000)).await, "duplicate");
    assert_eq!(deployment.stripe(&checkout("d", "bob", Some("pi_1"), 2000)).await, "quarantined idempotency_conflict");
    let names = "directory where kind = 'payment' and account = 'ann' and key in ('stripe:cs_1', 'stripe:pi_1')";
    assert_eq!((deployment.count(names).await, deployment.count("payment_names").await), (2, 2));
    assert_eq!(deployment.count("entries where kind = 'purchased'").await, 1);
});

worker_test!(a_payment_refused_for_want_of_a_package_is_free_for_another_account, |deployment| {
    deployment.start();
    let mut unnamed = checkout("a", "ann", None, 2000);
    unnamed["data"]["object"]["metadata"] = json!({"credit_account": "ann"});
    assert_eq!(deployment.stripe(&unnamed).await, "rejected unknown_package");
    assert_eq!(deployment.stripe(&checkout("b", "bob", Some("pi_1"), 2000)).await, "applied");
    assert_eq!(deployment.stripe(&checkout("c", "ann", None, 2000)).await, "quarantined idempotency_conflict");
});

worker_test!(a_request_of_another_account_is_not_waited_for, |deployment| {
    deployment.start();
    let submit = json!({"request": "r", "package": "starter", "method": "bank_transfer", "requested_by": "mia"});
    let decide = |request: &str| json!({"request": request, "decision": "accepted", "decided_by": "boss"});
    let conflict = "quarantined idempotency_conflict";
    assert_eq!(deployment.told("s", "credit_request.submitted", "ann", submit).await, "applied");
    assert_eq!(deployment.told("d1", "credit_request.decided", "bob", decide("r")).await, conflict);
    assert_eq!(deployment.told("c1", "credit_request.cancelled", "bob", json!({"request": "r", "cancelled_by": "mia"})).await, conflict);
    assert_eq!(deployment.told("d2", "credit_request.decided", "bob", decide("nobodys")).await, "waiting");
    // A payment that staff look at has a request of its id.
    assert_eq!(deployment.stripe(&checkout("e", "ann", None, 1000)).await, "applied");
    assert_eq!(deployment.told("d3", "credit_request.decided", "bob", decide("cs_1")).await, conflict);
    assert_eq!(
        deployment.told("d4", "credit_request.decided", "ann", decide("cs_1")).await,
        "rejected not_permitted",
        "nobody of the staff"
    );
});

worker_test!(a_request_that_is_undecided_elsewhere_is_waited_for, |deployment| {
    let store = PostgresStore::connect(&deployment.database, 6).await.unwrap();
    let submit = json!({"request": "r", "package": "starter", "method": "bank_transfer", "requested_by": "mia"});
    let submitted = message("credit_request.submitted", "ann", "1", &submit);
    let decided = message("credit_request.decided", "bob", "2", &json!({"request": "r", "decision": "rejected", "decided_by": "boss"}));
    assert_eq!(claim(&store, &[submitted.clone(), decided.clone()]).await, [Claim::Ours, Claim::Ours]);
    assert_eq!(deployment.count("credit_requests").await, 0);
    deployment.start();
    assert_eq!(deployment.told("1", "credit_request.submitted", "ann", submit).await, "applied");
    assert_eq!(claim(&store, &[submitted, decided]).await, [Claim::Ours, Claim::Elsewhere]);
    store.pool().close().await;
});

/// A request for the starter package that shows how it was paid.
fn proven(request: &str, evidence: &str) -> Value {
    json!({"request": request, "package": "starter", "method": "bank_transfer", "requested_by": "mia", "evidence": {"reference": evidence}})
}

worker_test!(evidence_serves_one_account_and_what_the_other_asked_for_is_kept, |deployment| {
    deployment.start();
    deployment.send("boss", "member.changed", None, json!({"member": "boss", "role": "approver"})).await;
    assert_eq!(deployment.reply().await["outcome"], "applied");
    assert_eq!(deployment.told("a", "credit_request.submitted", "ann", proven("r-ann", "SEPA-1")).await, "applied");
    let second = deployment.told("b", "credit_request.submitted", "bob", proven("r-bob", "SEPA-1")).await;
    assert_eq!(second, "quarantined idempotency_conflict");
    assert_eq!((deployment.count("credit_requests").await, deployment.count("quarantine").await), (1, 1));
    // Refused, ann's holds its evidence no more.
    let refusal = json!({"request": "r-ann", "decision": "rejected", "decided_by": "boss"});
    assert_eq!(deployment.told("d", "credit_request.decided", "ann", refusal).await, "applied");
    let digest: String = sqlx::query_scalar("select encode(digest, 'hex') from quarantine").fetch_one(&deployment.pool).await.unwrap();
    let replay = deployment.tool(&["quarantine", "replay", &digest]).output().await.unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let pending = "select count(*) = 1 from credit_requests where request = 'r-bob' and status = 'pending'";
    until(&deployment, "what bob asked for is pending", pending).await;
    assert_eq!(deployment.count("directory where kind = 'evidence' and account = 'bob'").await, 1);
});

worker_test!(of_accounts_that_show_one_evidence_at_once_one_is_heard, |deployment| {
    const ROUNDS: i64 = 10;
    deployment.start();
    for round in 0..ROUNDS {
        let (ann, bob) = (format!("ann-{round}"), format!("bob-{round}"));
        for (account, id) in [("ann", &ann), ("bob", &bob)] {
            deployment.send(id, "credit_request.submitted", Some(account), proven(id, &format!("SEPA-{round}"))).await;
        }
        let finals = deployment.finals(&[ann.as_str(), bob.as_str()]).await;
        let mut answers: Vec<&str> = finals.values().map(String::as_str).collect();
        answers.sort_unstable();
        assert_eq!(answers, ["applied", "quarantined idempotency_conflict"], "round {round}");
    }
    assert_eq!((deployment.count("credit_requests").await, deployment.count("quarantine").await), (ROUNDS, ROUNDS));
});

/// Waits until a query says yes.
pub async fn until(deployment: &Deployment, what: &str, query: &'static str) {
    let yes = async {
        while !sqlx::query_scalar::<_, bool>(query).fetch_one(&deployment.pool).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(4 * SOON, yes).await.unwrap_or_else(|_| panic!("{what}"));
}
