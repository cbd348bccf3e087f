//! Whole processes with the roles `ingress` and `api`.

use super::door::signature;
use super::{Reply, SOON, exchange, get, request};
use crate::claims::until;
use crate::proxy::Proxy;
use crate::worker::{Deployment, environment, grant, stripe_session};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A process and where it listens.
pub struct Front {
    child: Child,
    pub http: SocketAddr,
    pub ingress: Option<SocketAddr>,
}

impl Front {
    /// Starts a process and reads from its log where it listens.
    pub async fn start(deployment: &Deployment, roles: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = deployment.tool(&["run", "--roles", roles]);
        command.env("CREDITS_INGRESS_BIND", "127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut http, mut ingress) = (None, None);
        while http.is_none() || (roles.contains("ingress") && ingress.is_none()) {
            let line = timeout(SOON, lines.next_line()).await.expect("it does not listen").unwrap().expect("it ended");
            let address = || line.split("address=").nth(1).unwrap().trim().parse::<SocketAddr>().unwrap();
            if line.contains("http.bind listens") {
                http = Some(address());
            } else if line.contains("ingress.bind listens") {
                ingress = Some(address());
            }
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, http: http.unwrap(), ingress }
    }

    /// Waits until it is ready, or until it gives another reason than that.
    pub async fn says(&self, words: &str) {
        let said = async {
            while !get(self.http, "/readyz", &[]).await.body.contains(words) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, said).await.unwrap_or_else(|_| panic!("it does not say {words:?}"));
    }

    async fn post(&self, body: &[u8]) -> Reply {
        let signed = signature(body);
        let bytes = request("POST", "/webhooks/stripe/acme", &[("Stripe-Signature", &signed)], body);
        exchange(self.ingress.unwrap(), &bytes).await.unwrap()
    }

    /// Asks it to read its secrets again.
    pub async fn hang_up(&self) {
        self.signal("-HUP").await;
    }

    async fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().unwrap().to_string()).status().await.unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop and waits for the end.
    async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM").await;
        timeout(SOON, self.child.wait()).await.expect("it does not stop").unwrap().code()
    }
}

/// The value of a figure, by its name and labels as they are written.
async fn figure(front: &Front, name: &str) -> Option<f64> {
    let text = get(front.http, "/metrics", &[]).await.body;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_posted_twice_is_one_credit() {
    let deployment = Deployment::new().await;
    let front = Front::start(&deployment, "consume,relay,schedule,ingress,api", |_| ()).await;
    front.says("ready").await;
    let body = stripe_session("evt_1", 2000);
    for _ in 0..2 {
        assert_eq!(front.post(&body).await.status, 200);
    }
    assert_eq!(
        front.post(br#"{"id":"evt_9","object":"event","type":"customer.created","livemode":false,"data":{"object":{}}}"#).await.status,
        200
    );
    until(&deployment, "the credits are there", "select count(*) = 1 from accounts where account = 'ann' and balance = 500").await;
    for (labels, expected) in [
        (r#"credit_ledger_messages_total{queue="payments",outcome="applied"}"#, 1.0),
        (r#"credit_ledger_messages_total{queue="payments",outcome="duplicate"}"#, 1.0),
        (r#"credit_ledger_messages_total{queue="payments",outcome="ignored"}"#, 1.0),
        (r#"credit_ledger_webhooks_total{provider="stripe",status="200"}"#, 3.0),
        (r#"credit_ledger_connected{part="ingress"}"#, 1.0),
        (r#"credit_ledger_connected{part="consume"}"#, 1.0),
        (r#"credit_ledger_connected{part="database"}"#, 1.0),
        (r#"credit_ledger_outbox_unpublished{part="batch"}"#, 0.0),
    ] {
        let counted = async {
            while figure(&front, labels).await != Some(expected) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let is_counted = timeout(SOON, counted).await.is_ok();
        assert!(is_counted, "{labels} is not {expected}: {}", get(front.http, "/metrics", &[]).await.body);
    }
    let text = get(front.http, "/metrics", &[]).await.body;
    assert!(figure(&front, "credit_ledger_batch_messages_count").await.is_some_and(|count| count >= 1.0), "{text}");
    #[cfg(target_os = "linux")]
    assert!(figure(&front, "credit_ledger_process_resident_bytes").await.is_some_and(|bytes| bytes > 1e6), "{text}");
    for name in ["acme", "ann", "evt_", "whsec"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert_eq!(deployment.count("entries").await, 1);
    assert_eq!(front.stop().await, Some(0));
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_alone_has_no_connection_to_the_database() {
    let deployment = Deployment::new().await;
    let front = Front::start(&deployment, "ingress", |command| {
        command.env_remove("DATABASE_URL");
    })
    .await;
    front.says("ready").await;
    assert_eq!(front.post(&stripe_session("evt_1", 2000)).await.status, 200);
    // What only the other listener has.
    assert_eq!(get(front.ingress.unwrap(), "/metrics", &[]).await.status, 404);
    assert_eq!(get(front.ingress.unwrap(), "/readyz", &[]).await.status, 404);
    assert_eq!(get(front.http, "/v1/tenants/acme/accounts/ann/balance", &[]).await.status, 404);
    assert_eq!(exchange(front.http, &request("POST", "/webhooks/stripe/acme", &[], b"{}")).await.unwrap().status, 404);
    assert_eq!(front.stop().await, Some(0));
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_503_and_nothing_is_lost() {
    let mut deployment = Deployment::new().await;
    let broker = Proxy::start(&environment("AMQP_URL")).await;
    let front = Front::start(&deployment, "ingress", |command| {
        command.env("AMQP_URL", &broker.url).env_remove("DATABASE_URL");
    })
    .await;
    front.says("ready").await;
    let event = |number: u32| {
        let text = String::from_utf8(stripe_session(&format!("evt_{number}"), 2000)).unwrap();
        text.replace("cs_1", &format!("cs_{number}")).replace("pi_1", &format!("pi_{number}")).into_bytes()
    };
    assert_eq!(front.post(&event(0)).await.status, 200);
    broker.refuse.store(true, Ordering::SeqCst);
    broker.cut();
    let away = front.post(&event(1)).await;
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")), "{}", away.body);
    front.says("not connected to the broker").await;
    assert_eq!(get(front.http, "/livez", &[]).await.status, 200);
    broker.refuse.store(false, Ordering::SeqCst);
    // As a provider does: again until it is taken. In between, connections are cut at any moment.
    for number in 1..20 {
        let body = event(number);
        let taken = async {
            while front.post(&body).await.status != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let cut = async {
            tokio::task::yield_now().await;
            if number % 3 == 0 {
                broker.cut();
            }
        };
        timeout(SOON, async { tokio::join!(taken, cut) }).await.expect("it is never taken");
    }
    deployment.start();
    until(&deployment, "every payment is there, once", "select count(*) = 1 from accounts where account = 'ann' and balance = 20 * 500")
        .await;
    assert_eq!(deployment.count("entries").await, 20);
    drop(front);
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_queue_is_503() {
    let deployment = Deployment::new().await;
    let front = Front::start(&deployment, "ingress", |command| {
        command.env_remove("DATABASE_URL");
    })
    .await;
    front.says("ready").await;
    let connection = lapin::Connection::connect(&environment("AMQP_URL"), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = deployment.topology.queue(credit_ledger::message::Queue::Payments);
    channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();
    assert_eq!(front.post(b"{}").await.status, 503);
    deployment.topology.apply(&environment("AMQP_URL")).await.unwrap();
    assert_eq!(front.post(b"{}").await.status, 200);
    connection.close(200, "bye".into()).await.unwrap();
    drop(front);
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_without_its_address_does_not_open() {
    let deployment = Deployment::new().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |roles: &str, key: &str, value: &str| {
        let mut command = deployment.tool(&["run", "--roles", roles]);
        command.env("CREDITS_INGRESS_BIND", "127.0.0.1:0").env(key, value);
        async move { command.output().await.unwrap() }
    };
    for (roles, key, value, told) in [
        ("ingress", "CREDITS_INGRESS_BIND", &*address, "nothing can listen at ingress.bind"),
        ("ingress", "AMQP_URL", "", "amqp.url is missing"),
        ("api", "DATABASE_URL", "", "database.url is missing"),
        ("ingress", "CREDITS__INGRESS__REQUESTS_BURST", "0", "ingress.requests_* must be above 0"),
    ] {
        let output = run(roles, key, value).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(told), "{roles} {key}: {said}");
    }
    deployment.remove().await;
}

/// Gives an account 100 credits.
pub async fn with_credits(deployment: &mut Deployment, account: &str) {
    assert_eq!(deployment.ask(&format!("g-{account}"), "credits.grant", account, grant("100")).await["outcome"], "applied");
}
