//! The `RabbitMQ` module against a real broker. Needs `AMQP_URL`.

use credit_ledger::amqp::{
    BrokerError, ConsumeConfig, Delivery, Difference, Events, Outgoing, Parking, Prefetch, Published, Publisher, Replies, Topology,
    WorkQueue, consume,
};
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
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

async fn left_in(topology: &Topology, queue: WorkQueue) -> u32 {
    let name = queue.name(topology);
    let options = QueueDeclareOptions::durable().passive();
    let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap();
    queue.message_count()
}

/// A quorum queue refreshes the number it shows every five seconds.
async fn eventually_left(topology: &Topology, queue: WorkQueue, expected: u32) {
    for _ in 0..400 {
        if left_in(topology, queue).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left_in(topology, queue).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn topology_applies_twice_and_shows_no_difference() {
    with_topology(|topology| async move {
        topology.apply(&url()).await.unwrap();
        assert_eq!(topology.check(&url()).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_missing_and_creates_nothing() {
    let topology = Topology::new(format!("t{}", rand::random::<u64>()));
    for _ in 0..2 {
        let differences = topology.check(&url()).await.unwrap();
        assert_eq!(differences.len(), 8);
        assert!(differences.iter().all(|d| matches!(d, Difference::Missing { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_named() {
    with_topology(|topology| async move {
        let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = WorkQueue::Usage.name(&topology);
        let options = QueueDeleteOptions::default();
        channel.queue_delete(name.as_str().into(), options).await.unwrap();
        let options = QueueDeclareOptions::durable();
        channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.unwrap();
        let differences = topology.check(&url()).await.unwrap();
        assert_eq!(differences.len(), 1, "{differences:?}");
        let shown = differences[0].to_string();
        assert!(shown.contains(&name) && shown.contains("inequivalent arg"), "{shown}");
        let error = topology.apply(&url()).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Mismatch { name: n, .. } if *n == name), "{error}");
        assert!(!error.is_transient());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart() {
    let wrong_password = url().replacen("credits:", "credits:no", 1);
    let error = Topology::new("x").check(&wrong_password).await.unwrap_err();
    assert!(matches!(error, BrokerError::Access { .. }), "{error:?}");
    let error = Topology::new("x").check("amqp://u:p@127.0.0.1:1/%2f").await.unwrap_err();
    assert!(matches!(error, BrokerError::Connection { .. }), "{error:?}");
    assert!(error.is_transient());
    let long = Topology::new("x".repeat(300)).apply(&url()).await.unwrap_err();
    assert!(matches!(long, BrokerError::TooLong { .. }), "{long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_tells_confirmed_from_unroutable() {
    with_topology(|topology| async move {
        let mut publisher = Publisher::new(url(), "test");
        // Mixed, so that an answer credited to the wrong message would show.
        let keys = ["usage.acme", "nobody.acme", "payment.stripe.acme", "nothing.acme"];
        let messages: Vec<_> = (0..400).map(|i| message(&topology, keys[i % 4], "b")).collect();
        let answers = publisher.publish_all(&messages).await.unwrap();
        for (message, published) in messages.iter().zip(&answers) {
            let expected = if message.routing_key.starts_with('n') { Published::Unroutable } else { Published::Confirmed };
            assert_eq!(*published, expected, "{message:?}");
        }
        let mut event = message(&topology, "balance.changed.acme", "e");
        event.exchange = topology.events();
        event.mandatory = false;
        assert_eq!(publisher.publish_all(&[event]).await.unwrap(), [Published::Confirmed]);
        eventually_left(&topology, WorkQueue::Usage, 100).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exchange_is_permanent_and_the_publisher_recovers() {
    with_topology(|topology| async move {
        let mut publisher = Publisher::new(url(), "test");
        let mut astray = message(&topology, "usage.acme", "1");
        astray.exchange = "no-such-exchange".into();
        let messages = vec![astray; 50];
        let error = publisher.publish_all(&messages).await.unwrap_err();
        assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
        assert!(!publisher.is_connected());
        let good = message(&topology, "usage.acme", "2");
        assert_eq!(publisher.publish_all(&[good]).await.unwrap(), [Published::Confirmed]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_carry_everything_and_settled_ones_are_gone() {
    with_topology(|topology| async move {
        publish(&topology, "payment.stripe.acme", &["p"]).await;
        publish(&topology, "credit_request.decided.acme", &["a"]).await;
        publish(&topology, "cycle.reset.acme", &["c"]).await;
        let bodies: Vec<String> = (0..500).map(|i| i.to_string()).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        publish(&topology, "usage.recorded.acme", &bodies).await;
        let mut running = Running::start(url(), &topology, |_| {}).await;
        let mut seen = BTreeMap::<WorkQueue, Vec<Delivery>>::new();
        for _ in 0..503 {
            let delivery = running.next().await;
            seen.entry(delivery.queue).or_default().push(delivery);
        }
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), WorkQueue::ALL);
        let payment = &seen[&WorkQueue::Payments][0];
        assert_eq!(payment.routing_key, "payment.stripe.acme");
        assert_eq!(payment.content_type.as_deref(), Some("application/json"));
        assert_eq!(payment.headers["x-tenant"], "acme");
        assert_eq!(payment.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(payment.reply_to.as_deref(), Some("nowhere"));
        assert_eq!(payment.message_id.as_deref(), Some("p"));
        assert_eq!((payment.delivery_count, payment.redelivered), (0, false));
        assert_eq!(payment.body, b"p");
        let order: Vec<_> = seen[&WorkQueue::Usage].iter().map(|d| d.body.clone()).collect();
        assert!(order.iter().map(Vec::as_slice).eq(bodies.iter().map(|b| b.as_bytes())));
        // Backwards with gaps: every third stays open and must come back. Some of
        // the others may too: a closing channel forgets acknowledgements.
        let mut open = BTreeSet::new();
        for (index, delivery) in seen.into_values().flatten().rev().enumerate() {
            if index % 3 == 0 {
                open.insert(delivery.body);
            } else {
                delivery.ticket.settle();
            }
        }
        running.stop().await;
        let mut running = Running::start(url(), &topology, |_| {}).await;
        while let Ok(delivery) = timeout(Duration::from_secs(2), running.deliveries.recv()).await {
            let delivery = delivery.unwrap();
            assert_eq!(delivery.delivery_count, 1);
            open.remove(&delivery.body);
            delivery.ticket.settle();
        }
        assert!(open.is_empty(), "acknowledged without being settled: {open:?}");
        running.stop().await;
        for queue in WorkQueue::ALL {
            eventually_left(&topology, queue, 0).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsettled_delivery_comes_back_counted() {
    with_topology(|topology| async move {
        publish(&topology, "usage.acme", &["once more"]).await;
        for count in 0..3 {
            let mut running = Running::start(url(), &topology, |_| {}).await;
            let delivery = running.next().await;
            assert_eq!((delivery.delivery_count, delivery.redelivered), (count, count > 0));
            drop(delivery);
            running.stop().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_for_tickets_but_not_for_ever() {
    with_topology(|topology| async move {
        publish(&topology, "usage.acme", &["1", "2"]).await;
        let mut running = Running::start(url(), &topology, |_| {}).await;
        let (first, second) = (running.next().await, running.next().await);
        running.shutdown.cancel();
        running.connected(true).await;
        first.ticket.settle();
        second.ticket.settle();
        soon("the end", running.task).await.unwrap();
        eventually_left(&topology, WorkQueue::Usage, 0).await;

        publish(&topology, "usage.acme", &["3"]).await;
        let config = |config: &mut ConsumeConfig| config.drain_max = Duration::from_millis(300);
        let mut running = Running::start(url(), &topology, config).await;
        let stuck = running.next().await;
        running.stop().await;
        eventually_left(&topology, WorkQueue::Usage, 1).await;
        stuck.ticket.settle();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_holds_then_gives_back_and_subscribes_again() {
    with_topology(|topology| async move {
        let config = |config: &mut ConsumeConfig| {
            config.hold_max = Duration::from_secs(1);
            config.prefetch = Prefetch { usage: 1, ..Prefetch::default() };
        };
        let mut running = Running::start(url(), &topology, config).await;
        publish(&topology, "usage.acme", &["1", "2"]).await;
        let held = running.next().await;
        running.gate.send_replace(false);
        held.ticket.settle();
        running.nothing_for(Duration::from_millis(300)).await;
        running.gate.send_replace(true);
        let held = running.next().await;
        assert!(!held.redelivered, "a short pause must not give deliveries back");
        running.gate.send_replace(false);
        running.connected(false).await;
        eventually_left(&topology, WorkQueue::Usage, 1).await;
        held.ticket.settle();
        running.gate.send_replace(true);
        let again = running.next().await;
        assert_eq!((again.body.as_slice(), again.delivery_count), (&b"2"[..], 1));
        again.ticket.settle();
        running.stop().await;
        eventually_left(&topology, WorkQueue::Usage, 0).await;
    })
    .await;
}

/// A TCP proxy that can cut what passes through it, or refuse.
struct Proxy {
    url: String,
    cut: watch::Sender<u32>,
    refuse: Arc<AtomicBool>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, rest) = url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (target, vhost) = rest.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (cut, cuts) = watch::channel(0);
        let refuse = Arc::new(AtomicBool::new(false));
        let refusing = refuse.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, mut cuts) = (target.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = cuts.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { url: format!("{before}@127.0.0.1:{port}/{vhost}"), cut, refuse }
    }

    fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_reconnects_and_old_tickets_are_harmless() {
    with_topology(|topology| async move {
        let proxy = Proxy::start().await;
        let mut running = Running::start(proxy.url.clone(), &topology, |_| {}).await;
        publish(&topology, "usage.acme", &["1"]).await;
        let old = running.next().await;
        proxy.refuse.store(true, Ordering::SeqCst);
        proxy.cut();
        running.connected(false).await;
        publish(&topology, "usage.acme", &["2"]).await;
        proxy.refuse.store(false, Ordering::SeqCst);
        running.connected(true).await;
        old.ticket.settle();
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let delivery = running.next().await;
            bodies.push((delivery.body, delivery.delivery_count));
        }
        bodies.sort();
        assert_eq!(bodies, [(b"1".to_vec(), 1), (b"2".to_vec(), 0)]);
        for count in 1..=5 {
            proxy.cut();
            running.connected(false).await;
            running.connected(true).await;
            let (one, two) = (running.next().await, running.next().await);
            assert_eq!(one.delivery_count + two.delivery_count, 2 * count + 1);
            if count == 5 {
                one.ticket.settle();
                two.ticket.settle();
            }
        }
        running.stop().await;
        eventually_left(&topology, WorkQueue::Usage, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_noticed_and_taken_up_again() {
    with_topology(|topology| async move {
        let mut running = Running::start(url(), &topology, |_| {}).await;
        let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = WorkQueue::Commands.name(&topology);
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        running.connected(false).await;
        topology.apply(&url()).await.unwrap();
        running.connected(true).await;
        publish(&topology, "tenant.settings_changed.acme", &["1"]).await;
        running.next().await.ticket.settle();
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_reconnects_after_a_cut() {
    with_topology(|topology| async move {
        let proxy = Proxy::start().await;
        let mut publisher = Publisher::new(proxy.url.clone(), "test");
        let one = [message(&topology, "usage.acme", "1")];
        publisher.publish_all(&one).await.unwrap();
        proxy.cut();
        // The cut may be noticed before the call or within it.
        let error = publisher.publish_all(&one).await.err();
        assert!(error.is_none_or(|error| error.is_transient()));
        assert_eq!(publisher.publish_all(&one).await.unwrap(), [Published::Confirmed]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_do_not_see_each_other() {
    with_topology(|mine| async move {
        with_topology(|other| async move {
            let mut running = Running::start(url(), &mine, |_| {}).await;
            publish(&other, "usage.acme", &["theirs"]).await;
            running.nothing_for(Duration::from_millis(300)).await;
            publish(&mine, "usage.acme", &["ours"]).await;
            let delivery = running.next().await;
            assert_eq!(delivery.body, b"ours");
            delivery.ticket.settle();
            running.stop().await;
            eventually_left(&other, WorkQueue::Usage, 1).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_messages_keep_their_origin_and_leave_when_settled() {
    with_topology(|topology| async move {
        publish(&topology, "payment.stripe.acme", &["1", "2", "3"]).await;
        let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = WorkQueue::Payments.name(&topology);
        for _ in 0..3 {
            let got = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.unwrap();
            // Rejected for good, as the broker does beyond the delivery limit.
            got.unwrap().delivery.nack(BasicNackOptions::default()).await.unwrap();
        }
        let mut parking = Parking::open(&url(), &topology).await.unwrap();
        let mut parked = Vec::new();
        while parked.len() < 3 {
            parked.extend(soon("parked", parking.take(2)).await.unwrap());
        }
        assert!(parked.iter().all(|d| d.queue == WorkQueue::Payments));
        assert_eq!(parked[0].routing_key, "payment.stripe.acme");
        assert_eq!((parked[0].body.as_slice(), parked[2].body.as_slice()), (&b"1"[..], &b"3"[..]));
        let unsettled = parked.remove(0);
        for delivery in parked {
            delivery.ticket.settle();
        }
        parking.close().await;
        drop(unsettled);
        let mut parking = Parking::open(&url(), &topology).await.unwrap();
        let again = parking.take(10).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].body, b"1");
        assert!(parking.take(10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_and_events_are_heard() {
    with_topology(|topology| async move {
        let mut replies = Replies::open(&url()).await.unwrap();
        let mut events = Events::subscribe(&url(), &topology, "balance.#").await.unwrap();
        let mut publisher = Publisher::new(url(), "test");
        let mut reply = message(&topology, replies.name(), "reply");
        reply.exchange = String::new();
        let mut unheard = message(&topology, "hold.placed.acme", "hold");
        unheard.exchange = topology.events();
        unheard.mandatory = false;
        let mut event = message(&topology, "balance.changed.acme", "event");
        event.exchange = topology.events();
        let lost = Outgoing { routing_key: "no-such-queue".into(), ..reply.clone() };
        assert_eq!(
            publisher.publish_all(&[reply, unheard, event, lost]).await.unwrap(),
            [Published::Confirmed, Published::Confirmed, Published::Confirmed, Published::Unroutable]
        );
        let (id, body) = soon("a reply", replies.next()).await.unwrap();
        assert_eq!((id.as_deref(), body.as_slice()), (Some("c-1"), &b"reply"[..]));
        let (key, body) = soon("an event", events.next()).await.unwrap();
        assert_eq!((key.as_str(), body.as_slice()), ("balance.changed.acme", &b"event"[..]));
    })
    .await;
}
