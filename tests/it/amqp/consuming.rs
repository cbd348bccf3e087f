//! Deliveries: settled, given back, cut off, taken up again.

use super::{Running, eventually_left, publish, soon, url, with_topology};
use crate::proxy::Proxy;
use credit_ledger::amqp::{ConsumeConfig, Delivery, Prefetch};
use credit_ledger::message::Queue;
use lapin::options::QueueDeleteOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

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
        let mut seen = BTreeMap::<Queue, Vec<Delivery>>::new();
        for _ in 0..503 {
            let delivery = running.next().await;
            seen.entry(delivery.queue).or_default().push(delivery);
        }
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), Queue::ALL);
        let payment = &seen[&Queue::Payments][0];
        assert_eq!(payment.routing_key, "payment.stripe.acme");
        assert_eq!(payment.content_type.as_deref(), Some("application/json"));
        assert_eq!(payment.headers["x-tenant"], "acme");
        assert_eq!(payment.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(payment.reply_to.as_deref(), Some("nowhere"));
        assert_eq!(payment.message_id.as_deref(), Some("p"));
        assert_eq!((payment.delivery_count, payment.redelivered), (0, false));
        assert_eq!(payment.body, b"p");
        let order: Vec<_> = seen[&Queue::Usage].iter().map(|d| d.body.clone()).collect();
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
        for queue in Queue::ALL {
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
        eventually_left(&topology, Queue::Usage, 0).await;

        publish(&topology, "usage.acme", &["3"]).await;
        let config = |config: &mut ConsumeConfig| config.drain_max = Duration::from_millis(300);
        let mut running = Running::start(url(), &topology, config).await;
        let stuck = running.next().await;
        running.stop().await;
        eventually_left(&topology, Queue::Usage, 1).await;
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
        eventually_left(&topology, Queue::Usage, 1).await;
        held.ticket.settle();
        running.gate.send_replace(true);
        let again = running.next().await;
        assert_eq!((again.body.as_slice(), again.delivery_count), (&b"2"[..], 1));
        again.ticket.settle();
        running.stop().await;
        eventually_left(&topology, Queue::Usage, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_reconnects_and_old_tickets_are_harmless() {
    with_topology(|topology| async move {
        let proxy = Proxy::start(&url()).await;
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
        eventually_left(&topology, Queue::Usage, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_noticed_and_taken_up_again() {
    with_topology(|topology| async move {
        let mut running = Running::start(url(), &topology, |_| {}).await;
        let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = topology.queue(Queue::Commands);
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
            eventually_left(&other, Queue::Usage, 1).await;
        })
        .await;
    })
    .await;
}
