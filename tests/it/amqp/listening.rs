//! The parking queue, replies and events.

use super::{message, publish, soon, url, with_topology};
use credit_ledger::amqp::{Events, Outgoing, Parking, Published, Publisher, Replies};
use credit_ledger::message::Queue;
use lapin::options::{BasicGetOptions, BasicNackOptions};

#[tokio::test(flavor = "multi_thread")]
async fn parked_messages_keep_their_origin_and_leave_when_settled() {
    with_topology(|topology| async move {
        publish(&topology, "payment.stripe.acme", &["1", "2", "3"]).await;
        let connection = lapin::Connection::connect(&url(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = topology.queue(Queue::Payments);
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
        assert!(parked.iter().all(|d| d.queue == Queue::Payments));
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
