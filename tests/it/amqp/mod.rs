//! The `RabbitMQ` module against a real broker. Needs `AMQP_URL`.

mod consuming;
mod listening;
mod publishing;
mod topology;

use credit_ledger::amqp::{ConsumeConfig, Delivery, Outgoing, Published, Publisher, Topology, consume};
use credit_ledger::message::Queue;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

fn url() -> String {
    std::env::var("AMQP_URL").expect("AMQP_URL is not set; run: eval \"$(./dev env)\"")
}

/// A topology of its own, deleted at the end, also when the test fails.
async fn with_topology<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Topology) -> F) {
    let topology = Topology::new(format!("t{}", uuid::Uuid::from_u128(rand::random()).simple()));
    topology.apply(&url()).await.unwrap();
    let result = tokio::spawn(test(topology.clone())).await;
    topology.delete(&url()).await.unwrap();
    if let Err(error) = result {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn message(topology: &Topology, key: &str, body: &str) -> Outgoing {
    Outgoing {
        exchange: topology.incoming(),
        routing_key: key.into(),
        content_type: "application/json".into(),
        headers: vec![("x-tenant".into(), "acme".into())],
        correlation_id: Some("c-1".into()),
        reply_to: Some("nowhere".into()),
        message_id: Some(body.into()),
        mandatory: true,
        body: body.as_bytes().to_vec(),
    }
}

async fn publish(topology: &Topology, key: &str, bodies: &[&str]) {
    let mut publisher = Publisher::new(url(), "test");
    let messages: Vec<_> = bodies.iter().map(|body| message(topology, key, body)).collect();
    let answers = publisher.publish_all(&messages).await.unwrap();
    assert!(answers.iter().all(|p| *p == Published::Confirmed), "{answers:?}");
    publisher.close().await;
}

struct Running {
    deliveries: mpsc::Receiver<Delivery>,
    status: watch::Receiver<bool>,
    gate: watch::Sender<bool>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(url: String, topology: &Topology, change: fn(&mut ConsumeConfig)) -> Self {
        let (gate, gate_rx) = watch::channel(true);
        let mut config = ConsumeConfig::new(url, topology.clone(), gate_rx);
        change(&mut config);
        let (handler_tx, deliveries) = mpsc::channel(16);
        let (status_tx, status) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(consume(config, handler_tx, shutdown.clone(), status_tx));
        let mut running = Self { deliveries, status, gate, shutdown, task };
        running.connected(true).await;
        running
    }

    async fn connected(&mut self, wanted: bool) {
        soon("status", self.status.wait_for(|up| *up == wanted)).await.unwrap();
    }

    async fn next(&mut self) -> Delivery {
        soon("a delivery", self.deliveries.recv()).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon("the end of the consumer", self.task).await.unwrap();
    }

    async fn nothing_for(&mut self, wait: Duration) {
        let seen = timeout(wait, self.deliveries.recv()).await;
        assert!(seen.is_err(), "{seen:?}");
    }
}

async fn left_in(topology: &Topology, queue: Queue) -> u32 {
    let name = topology.queue(queue);
    let options = QueueDeclareOptions::durable().passive();
    let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap();
    queue.message_count()
}

/// A quorum queue refreshes the number it shows every five seconds.
async fn eventually_left(topology: &Topology, queue: Queue, expected: u32) {
    for _ in 0..400 {
        if left_in(topology, queue).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left_in(topology, queue).await, expected);
}
