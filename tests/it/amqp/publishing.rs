//! Publishing: confirmed, unroutable, refused, cut.

use super::{eventually_left, message, url, with_topology};
use crate::proxy::Proxy;
use credit_ledger::amqp::{BrokerError, Published, Publisher};
use credit_ledger::message::Queue;

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
        eventually_left(&topology, Queue::Usage, 100).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exchange_is_permanent_and_the_publisher_recovers() {
    with_topology(|topology| async move {
        let mut publisher = Publisher::new(url(), "test");
        let good = message(&topology, "usage.acme", "2");
        let mut astray = message(&topology, "usage.acme", "1");
        astray.exchange = "no-such-exchange".into();
        // From the beginning, and once some hundred have been handed over.
        let late: Vec<_> = std::iter::repeat_n(good.clone(), 300).chain([astray.clone()]).chain(vec![good.clone(); 300]).collect();
        for messages in [vec![astray; 50], late] {
            let error = publisher.publish_all(&messages).await.unwrap_err();
            assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
            assert!(!publisher.is_connected());
            assert_eq!(publisher.publish_all(std::slice::from_ref(&good)).await.unwrap(), [Published::Confirmed]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_reconnects_after_a_cut() {
    with_topology(|topology| async move {
        let proxy = Proxy::start(&url()).await;
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
