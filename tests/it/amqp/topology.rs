//! What `topology apply` declares and `topology check` tells.

use super::{url, with_topology};
use credit_ledger::amqp::{BrokerError, Difference, Topology};
use credit_ledger::message::Queue;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

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
        let name = topology.queue(Queue::Usage);
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
