//! The whole worker: a real process, a real broker, a real database.

use credit_ledger::amqp::{Events, Outgoing, Published, Publisher, Replies, Topology};
use credit_ledger::catalog;
use credit_ledger::domain::ids::Id;
use credit_ledger::message::sign;
use credit_ledger::reconcile::differences;
use credit_ledger::store::postgres::{catalogs, migrate, pool};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, PgPool};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const SHARDS: i16 = 4;
const ROLES: &str = "consume,relay,schedule";
pub const SOON: Duration = Duration::from_secs(30);
pub const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";
const CATALOG: &str = r#"
currency = "USD"
[packages.starter]
credits = "500"
price = "20.00"
[[rates]]
meter = "image"
price = "2"
[services.logo]
credits = "150"
"#;

pub fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run: ./dev services && eval \"$(./dev env)\""))
}

/// Servers' corner of one test: a database and a topology of its own, and a worker on them.
pub struct Deployment {
    pub database: String,
    pub pool: PgPool,
    pub topology: Topology,
    secrets: tempfile::TempDir,
    /// Further settings of every program, as environment variables.
    pub settings: Vec<(String, String)>,
    pub worker: Option<Child>,
    pub publisher: Publisher,
    replies: Replies,
}

impl Deployment {
    pub async fn new() -> Self {
        let name = format!("t_{}", uuid::Uuid::from_u128(rand::random()).simple());
        let server = environment("DATABASE_URL");
        let mut admin = PgConnection::connect(&server).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&mut admin).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let database = format!("{base}/{name}");
        migrate::migrate(&database, SHARDS).await.unwrap();
        let pool = pool(&database, 3).await.unwrap();
        let file = catalog::parse("test", CATALOG).unwrap();
        catalogs::apply(&pool, &Id::new("acme").unwrap(), &file, CATALOG).await.unwrap();
        let topology = Topology::new(&name);
        topology.apply(&environment("AMQP_URL")).await.unwrap();
        let secrets = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(secrets.path().join("acme/stripe")).unwrap();
        std::fs::write(secrets.path().join("acme/stripe/primary"), SECRET).unwrap();
        Self {
            database,
            pool,
            topology,
            secrets,
            settings: Vec::new(),
            worker: None,
            publisher: Publisher::new(environment("AMQP_URL"), "test"),
            replies: Replies::open(&environment("AMQP_URL")).await.unwrap(),
        }
    }

    pub fn start(&mut self) {
        self.start_as(ROLES);
    }

    /// Starts a worker with some roles only.
    pub fn start_as(&mut self, roles: &str) {
        self.worker = Some(self.command(roles).spawn().unwrap());
    }

    fn command(&self, roles: &str) -> Command {
        self.tool(&["run", "--roles", roles])
    }

    /// The program, on this test's servers.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
        command
            .args(arguments)
            .env("DATABASE_URL", &self.database)
            .env("AMQP_URL", environment("AMQP_URL"))
            .env("AMQP_PREFIX", self.topology.prefix())
            .env("CREDITS_SECRETS_DIR", self.secrets.path())
            .env("CREDITS_HTTP_BIND", "127.0.0.1:0")
            .env("CREDITS__DATABASE__SHARDS", SHARDS.to_string())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Gives another tenant a signing secret.
    pub fn add_secret(&self, tenant: &str) {
        self.add_secret_of(tenant, "primary", SECRET);
    }

    /// Puts a signing secret of a tenant into a file.
    pub fn add_secret_of(&self, tenant: &str, file: &str, secret: &str) {
        self.add_file(&format!("{tenant}/stripe/{file}"), secret);
    }

    /// Puts a file into the folder of secrets.
    pub fn add_file(&self, path: &str, content: &str) {
        let path = self.secrets.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Where such a file is.
    pub fn file(&self, path: &str) -> String {
        self.secrets.path().join(path).to_str().unwrap().to_owned()
    }

    /// Puts a key of a tenant's host application into a file.
    pub fn add_key(&self, tenant: &str, id: &str, key: &str) {
        self.add_file(&format!("{tenant}/api/{id}"), key);
    }

    /// Takes it away again.
    pub fn remove_key(&self, tenant: &str, id: &str) {
        std::fs::remove_file(self.file(&format!("{tenant}/api/{id}"))).unwrap();
    }

    pub fn kill(&mut self) {
        drop(self.worker.take());
    }

    pub async fn publish(&mut self, routing_key: &str, headers: Vec<(String, String)>, body: Vec<u8>) {
        let message = Outgoing {
            exchange: self.topology.incoming(),
            routing_key: routing_key.into(),
            content_type: "application/cloudevents+json".into(),
            headers,
            correlation_id: Some("c".into()),
            reply_to: Some(self.replies.name().into()),
            message_id: None,
            mandatory: true,
            body,
        };
        assert_eq!(self.publisher.publish_all(&[message]).await.unwrap(), [Published::Confirmed]);
    }

    pub async fn send(&mut self, id: &str, kind: &str, subject: Option<&str>, data: Value) {
        self.send_to("acme", id, kind, subject, data).await;
    }

    /// Sends a message of any tenant.
    pub async fn send_to(&mut self, tenant: &str, id: &str, kind: &str, subject: Option<&str>, data: Value) {
        let mut event = json!({"specversion": "1.0", "id": id, "source": "test", "type": kind, "tenant": tenant,
            "time": "2026-01-01T00:00:00Z", "data": data});
        if let Some(subject) = subject {
            event["subject"] = subject.into();
        }
        self.publish(&format!("{kind}.{tenant}"), Vec::new(), event.to_string().into_bytes()).await;
    }

    pub async fn reply(&mut self) -> Value {
        let (_, body) = timeout(SOON, self.replies.next()).await.expect("no reply came").unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub async fn ask(&mut self, id: &str, kind: &str, subject: &str, data: Value) -> Value {
        self.send(id, kind, Some(subject), data).await;
        self.reply().await
    }

    pub async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn remove(mut self) {
        self.kill();
        let (_, differences) = differences(&self.database, 20).await.unwrap();
        assert!(differences.is_empty(), "{differences:#?}");
        self.pool.close().await;
        self.topology.delete(&environment("AMQP_URL")).await.unwrap();
        let mut admin = PgConnection::connect(&environment("DATABASE_URL")).await.unwrap();
        let (_, name) = self.database.rsplit_once('/').unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut admin).await.unwrap();
    }
}

pub fn grant(credits: &str) -> Value {
    json!({"credits": credits, "reason": "welcome", "actor": "ops"})
}

fn usage(quantity: &str) -> Value {
    json!({"meter": "image", "quantity": quantity})
}

pub fn stripe_session(event: &str, amount: i64) -> Vec<u8> {
    json!({"id": event, "object": "event", "type": "checkout.session.completed", "livemode": false, "created": 1_767_225_600,
        "data": {"object": {"id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": "paid",
            "payment_intent": "pi_1", "amount_total": amount, "currency": "usd",
            "metadata": {"credit_account": "ann", "credit_package": "starter"}}}})
    .to_string()
    .into_bytes()
}

impl Deployment {
    pub async fn webhook(&mut self, body: Vec<u8>, secret: &str) {
        let received = "2026-01-01T00:00:05Z";
        let signature = sign(secret.as_bytes(), 1_767_225_600, &body).unwrap();
        let headers =
            vec![("Stripe-Signature".into(), signature), ("x-received-at".into(), received.into()), ("x-tenant".into(), "acme".into())];
        self.publish("payment.stripe.acme", headers, body).await;
    }
}

macro_rules! worker_test {
    ($name:ident, |$deployment:ident| $body:block) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            // Not every test sends something.
            #[allow(unused_mut)]
            let mut $deployment = $crate::worker::Deployment::new().await;
            $body
            $deployment.remove().await;
        }
    };
}

pub(crate) use worker_test;

worker_test!(a_grant_and_usage_reach_the_ledger_and_are_announced, |deployment| {
    let mut events = Events::subscribe(&environment("AMQP_URL"), &deployment.topology, "#").await.unwrap();
    deployment.start();
    let granted = deployment.ask("g1", "credits.grant", "ann", grant("100")).await;
    assert_eq!(granted["outcome"], "applied");
    let used = deployment.ask("u1", "usage.recorded", "ann", usage("30")).await;
    // 30 images × 2 = 60 of 100
    assert_eq!((used["outcome"].as_str(), used["entries"][0]["balance_after"].as_str()), (Some("applied"), Some("40")));
    let mut last_seq = 0;
    while last_seq < 2 {
        let (key, body) = timeout(SOON, events.next()).await.expect("no event came").unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        if key == "balance.changed.acme" {
            assert_eq!(event["data"]["from_seq"], last_seq + 1, "ranges have no gap");
            last_seq = event["data"]["to_seq"].as_i64().unwrap();
        }
    }
});

worker_test!(the_same_message_again_is_answered_and_writes_nothing, |deployment| {
    deployment.start();
    for expected in ["applied", "duplicate", "duplicate"] {
        let reply = deployment.ask("g1", "credits.grant", "ann", grant("100")).await;
        assert_eq!(reply["outcome"], expected);
    }
    let other = deployment.ask("g1", "credits.grant", "ann", grant("101")).await;
    assert_eq!((other["outcome"].as_str(), other["reasons"][0].as_str()), (Some("quarantined"), Some("idempotency_conflict")));
    assert_eq!(deployment.count("entries").await, 1);
});

worker_test!(a_signed_webhook_delivered_three_times_credits_once, |deployment| {
    deployment.start();
    for expected in ["applied", "duplicate", "duplicate"] {
        deployment.webhook(stripe_session("evt_1", 2000), SECRET).await;
        assert_eq!(deployment.reply().await["outcome"], expected);
    }
    deployment.webhook(stripe_session("evt_2", 2000), SECRET).await;
    assert_eq!(deployment.reply().await["outcome"], "duplicate", "another event about the same payment adds nothing");
    deployment.webhook(stripe_session("evt_3", 2000), "whsec_of_somebody_else_entirely").await;
    let forged = deployment.reply().await;
    assert_eq!(forged["reasons"][0], "bad_signature");
    assert_eq!(deployment.count("entries").await, 1);
});

worker_test!(what_cannot_be_read_is_set_aside_and_the_rest_goes_on, |deployment| {
    deployment.start();
    deployment.publish("credits.grant.acme", Vec::new(), b"{\"specversion\": oops".to_vec()).await;
    assert_eq!(deployment.reply().await["reasons"][0], "malformed");
    deployment.send("x", "credits.grant", Some("ann"), json!({"credits": "1", "reson": "typo", "actor": "ops"})).await;
    assert_eq!(deployment.reply().await["reasons"][0], "malformed");
    assert_eq!(deployment.ask("g1", "credits.grant", "ann", grant("100")).await["outcome"], "applied");
    assert_eq!(deployment.count("quarantine").await, 2);
});

worker_test!(one_reference_belongs_to_one_account, |deployment| {
    deployment.start();
    for account in ["ann", "bob"] {
        assert_eq!(deployment.ask(&format!("g-{account}"), "credits.grant", account, grant("500")).await["outcome"], "applied");
    }
    let spend = json!({"purpose": "service", "reference": "order-1", "service": "logo", "credits": "150"});
    assert_eq!(deployment.ask("s1", "credits.spend", "ann", spend.clone()).await["outcome"], "applied");
    assert_eq!(deployment.ask("s2", "credits.spend", "ann", spend.clone()).await["outcome"], "duplicate");
    let other = deployment.ask("s3", "credits.spend", "bob", spend).await;
    assert_eq!(other["reasons"][0], "idempotency_conflict");
});

worker_test!(a_refused_claim_is_free_for_another_account, |deployment| {
    deployment.start();
    assert_eq!(deployment.ask("o", "account.opened", "poor", json!({"kind": "user", "owner": "o"})).await["outcome"], "applied");
    assert_eq!(deployment.ask("g", "credits.grant", "rich", grant("500")).await["outcome"], "applied");
    let spend = json!({"purpose": "invoice", "reference": "inv-7", "credits": "150"});
    let refused = deployment.ask("s1", "credits.spend", "poor", spend.clone()).await;
    assert_eq!(refused["reasons"][0], "insufficient_credits");
    assert_eq!(deployment.ask("s2", "credits.spend", "rich", spend).await["outcome"], "applied");
});

worker_test!(staff_decide_requests_under_four_eyes, |deployment| {
    deployment.start();
    for (member, role) in [("eve", "approver"), ("tom", "viewer")] {
        deployment.send(member, "member.changed", None, json!({"member": member, "role": role})).await;
        assert_eq!(deployment.reply().await["outcome"], "applied");
    }
    let request = json!({"request": "r1", "package": "starter", "method": "bank_transfer", "requested_by": "eve"});
    assert_eq!(deployment.ask("q1", "credit_request.submitted", "ann", request).await["outcome"], "applied");
    let decide = |by: &str| json!({"request": "r1", "decision": "accepted", "decided_by": by});
    let viewer = deployment.ask("d1", "credit_request.decided", "ann", decide("tom")).await;
    assert_eq!(viewer["reasons"][0], "not_permitted");
    let own = deployment.ask("d2", "credit_request.decided", "ann", decide("eve")).await;
    assert_eq!(own["reasons"][0], "four_eyes");
});

worker_test!(a_killed_worker_loses_and_doubles_nothing, |deployment| {
    for index in 0..300 {
        deployment.send(&format!("g{index}"), "credits.grant", Some(&format!("a{}", index % 7)), grant("1")).await;
    }
    for _ in 0..3 {
        deployment.start();
        let _ = deployment.reply().await;
        deployment.kill();
    }
    deployment.start();
    // Every message is answered in the end; some twice.
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < 297 {
        answered.insert(deployment.reply().await["id"].to_string());
    }
    while deployment.count("outcomes").await < 300 {
        tokio::task::yield_now().await;
    }
    assert_eq!(deployment.count("entries").await, 300);
});

#[tokio::test]
async fn what_the_broker_gave_up_on_is_set_aside() {
    let mut deployment = Deployment::new().await;
    let body = json!({"specversion": "1.0", "id": "m", "source": "test", "type": "credits.grant", "tenant": "acme", "subject": "u",
        "time": "2026-01-01T00:00:00Z", "data": {"credits": "1", "reason": "gift", "actor": "ann"}});
    let parked = Outgoing {
        exchange: String::new(),
        routing_key: deployment.topology.parking(),
        content_type: "application/cloudevents+json".into(),
        headers: Vec::new(),
        correlation_id: Some("c".into()),
        reply_to: Some(deployment.replies.name().into()),
        message_id: None,
        mandatory: true,
        body: body.to_string().into_bytes(),
    };
    assert_eq!(deployment.publisher.publish_all(&[parked]).await.unwrap(), [Published::Confirmed]);
    deployment.start();
    let reply = deployment.reply().await;
    assert_eq!((&reply["outcome"], &reply["reasons"]), (&json!("quarantined"), &json!(["retries_exhausted"])));
    assert_eq!((deployment.count("quarantine").await, deployment.count("entries").await), (1, 0));
    deployment.remove().await;
}

#[tokio::test]
async fn a_refused_message_about_a_tenant_is_answered_and_announced() {
    let mut deployment = Deployment::new().await;
    deployment.start();
    deployment.send("r", "cycle.reset", None, json!({"as_of": "2390-01-01T00:00:00Z"})).await;
    let reply = deployment.reply().await;
    assert_eq!((&reply["outcome"], &reply["reasons"]), (&json!("rejected"), &json!(["reset_in_future"])));
    let sql = "select routing_key, body from outbox where not is_reply";
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&deployment.pool).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0, "message.rejected.acme");
    let event: Value = serde_json::from_slice(&rows[0].1).unwrap();
    assert_eq!(event["data"], json!({"source": "test", "id": "r", "type": "cycle.reset", "reasons": ["reset_in_future"]}));
    // The same again is answered, not announced anew.
    deployment.send("r", "cycle.reset", None, json!({"as_of": "2390-01-01T00:00:00Z"})).await;
    let again = deployment.reply().await;
    assert_eq!((&again["outcome"], &again["of"], &again["reasons"]), (&json!("duplicate"), &json!("rejected"), &reply["reasons"]));
    assert_eq!(deployment.count("outbox where not is_reply").await, 1);
    deployment.remove().await;
}

/// Neither does the broker library have one, whose errors are in the log as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_an_orderly_stop_log_no_error() {
    let deployment = Deployment::new().await;
    let mut worker = deployment.command(ROLES).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut log, mut lines) = (String::new(), BufReader::new(worker.stderr.take().unwrap()).lines());
    while let Some(line) = timeout(SOON, lines.next_line()).await.expect("the worker did not start").unwrap() {
        log.push_str(&line);
        log.push('\n');
        if line.contains("the worker has started") {
            let asked = Command::new("kill").arg("-TERM").arg(worker.id().unwrap().to_string()).status().await.unwrap();
            assert!(asked.success());
        }
    }
    let ended = timeout(SOON, worker.wait()).await.expect("the worker did not stop").unwrap();
    assert!(ended.success() && log.contains("stopped"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    deployment.remove().await;
}
