//! An ingress in this process, on a topology of its own at the real broker.

use super::{Reply, SOON, exchange, request};
use crate::worker::{SECRET, environment};
use crate::world::paypal::{CLIENT_ID, CLIENT_SECRET};
use credit_ledger::amqp::Topology;
use credit_ledger::http::{Bounds, Handover, Ingress, IngressBounds, serve};
use credit_ledger::keyring::Keyring;
use credit_ledger::message::paypal::Base;
use credit_ledger::message::{Queue, sign};
use credit_ledger::paypal::{Certificates, Client};
use credit_ledger::secrets::Secrets;
use jiff::Timestamp;
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The id of the tenant's webhook at PayPal.
pub const WEBHOOK_ID: &str = "2N242548W9943490U";

pub struct Plan {
    pub amqp_url: String,
    pub connections_max: usize,
    pub head_time: Duration,
    pub confirm_time: Duration,
    pub bounds: IngressBounds,
    pub certificates: Option<Certificates>,
    pub asking: Option<(Client, Option<Base>)>,
}

impl Plan {
    pub fn new() -> Self {
        let bounds = IngressBounds { body_time: Duration::from_secs(10), per_second: 10_000, burst: 10_000 };
        let (head_time, confirm_time) = (Duration::from_secs(5), Duration::from_secs(5));
        Self { amqp_url: environment("AMQP_URL"), connections_max: 64, head_time, confirm_time, bounds, certificates: None, asking: None }
    }
}

pub struct Door {
    pub address: SocketAddr,
    pub topology: Topology,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    publishing: JoinHandle<()>,
    channel: lapin::Channel,
    connection: lapin::Connection,
}

impl Door {
    pub async fn open() -> Self {
        Self::open_as(Plan::new()).await
    }

    pub async fn open_as(plan: Plan) -> Self {
        let topology = Topology::new(format!("t{}", uuid::Uuid::from_u128(rand::random()).simple()));
        topology.apply(&environment("AMQP_URL")).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("acme/stripe/primary", SECRET),
            ("acme/paypal/primary", WEBHOOK_ID),
            ("acme/paypal_api/client_id", CLIENT_ID),
            ("acme/paypal_api/secret", CLIENT_SECRET),
            ("other/stripe/primary", "whsec_of_another_tenant"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let secrets = watch::Sender::new(Arc::new(Secrets::load(dir.path()).unwrap())).subscribe();
        let (handover, publishing) = Handover::new(&plan.amqp_url, plan.confirm_time);
        let keyring = match plan.certificates {
            Some(certificates) => Keyring::new(secrets.clone(), Arc::new(certificates), plan.asking),
            None => Keyring::of_stripe(secrets.clone()).unwrap(),
        };
        let router = Ingress::new(keyring, secrets, topology.clone(), handover, plan.bounds).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let life = Duration::from_secs(30);
        let bounds = Bounds { name: "test", connections_max: plan.connections_max, head_time: plan.head_time, life };
        let serving = tokio::spawn(serve(listener, router, bounds, stop.clone()));
        let publishing = tokio::spawn(publishing);
        let connection = lapin::Connection::connect(&environment("AMQP_URL"), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { address, topology, stop, serving, publishing, channel, connection }
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        exchange(self.address, &request(method, target, headers, body)).await.unwrap_or_else(|| panic!("no answer to {method} {target}"))
    }

    pub async fn stripe(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send("POST", "/webhooks/stripe/acme", headers, body).await
    }

    /// Posts a body that is signed as it is now.
    pub async fn signed(&self, body: &[u8]) -> Reply {
        self.stripe(&[("Stripe-Signature", &signature(body))], body).await
    }

    /// The next message that reached the queue; `None` when it is empty.
    pub async fn queued(&self) -> Option<BasicGetMessage> {
        let queue = self.topology.queue(Queue::Payments);
        self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    }

    /// Nothing reached the queue but this one, which is posted now: what is confirmed stands behind what was
    /// confirmed before.
    pub async fn only_this_one(&self) {
        let body = b"{\"id\":\"evt_last\"}";
        assert_eq!(self.signed(body).await.status, 200);
        assert_eq!(self.queued().await.expect("it is in the queue").delivery.data, body);
    }

    /// Stops, and leaves what is in the queues.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        timeout(SOON, &mut self.serving).await.expect("it goes on serving").unwrap();
        timeout(SOON, &mut self.publishing).await.expect("it goes on publishing").unwrap();
    }

    /// Stops if it has not stopped yet, and removes the queues.
    pub async fn close(mut self) {
        if !self.stop.is_cancelled() {
            self.stop().await;
        }
        self.connection.close(200, "bye".into()).await.unwrap();
        self.topology.delete(&environment("AMQP_URL")).await.unwrap();
    }
}

/// What Stripe would send with a body now.
pub fn signature(body: &[u8]) -> String {
    sign(SECRET.as_bytes(), Timestamp::now().as_second(), body).unwrap()
}
