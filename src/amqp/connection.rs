//! One way to connect, one way to wait.
//!
//! Owns the connection settings that every user of the broker shares and the
//! deadline put on every wait. Never reconnects by itself: whoever holds a
//! connection rebuilds everything from here, and the client library's automatic
//! recovery stays off because it hides errors and gives up silently.

use super::error::BrokerError;
use backon::{BackoffBuilder, ExponentialBuilder};
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use std::future::Future;
use std::time::Duration;

/// A broker in good health answers in milliseconds; quorum queues that elect a
/// leader need seconds.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The client gives a silent connection up after twice this value.
const HEARTBEAT_S: u16 = 15;
const CONNECT_MS: u64 = 5_000;
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Waits between attempts to reach the broker: 250 ms doubling up to 2.5 s, each
/// with up to as much again at random (so never more than 5 s), without end.
pub fn reconnect_delays() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_millis(2_500))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Opens a connection that the broker lists under `name`.
pub(super) async fn connect(url: &str, name: &str) -> Result<Connection, BrokerError> {
    // The parser's own message can quote the address, and with it the password.
    let mut uri: AMQPUri = url.parse().map_err(|_| BrokerError::Address)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    uri.query.connection_timeout.get_or_insert(CONNECT_MS);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let doing = format!("connecting to {}", place(&uri));
    within(&doing, Connection::connect_uri(uri, properties)).await
}

/// Where to, without user and password.
fn place(uri: &AMQPUri) -> String {
    let server = format!("{}:{}", uri.authority.host, uri.authority.port);
    // Behind a password with a bare `/` the rest of the address is read as a virtual host.
    if uri.vhost.contains('@') { server } else { format!("{server}, virtual host {}", uri.vhost) }
}

/// Waits for an answer of the broker, at most [`DEADLINE`].
pub(super) async fn within<T>(doing: &str, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(result) => result.map_err(|error| BrokerError::from_client(doing, error)),
        Err(_) => Err(late(doing)),
    }
}

pub(super) fn late(doing: &str) -> BrokerError {
    BrokerError::Deadline { doing: doing.to_owned(), seconds: DEADLINE.as_secs() }
}

/// Closes a channel and waits until it is. One that is only dropped is closed by the library some time
/// later; when its connection is closed before that, the library takes it for a broken connection and
/// logs an error. A refusal has closed the channel already.
pub(super) async fn close_channel(channel: &Channel) {
    if !channel.status().connected() {
        return;
    }
    let goodbye = channel.close(200, ShortString::default());
    if let Err(error) = within("closing a channel", goodbye).await {
        tracing::debug!(%error, "a RabbitMQ channel was already closed");
    }
}

/// Says goodbye, but not for long: an unclean end costs redeliveries at most.
pub(super) async fn close(connection: &Connection) {
    let goodbye = connection.close(200, ShortString::default());
    match tokio::time::timeout(CLOSE_DEADLINE, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "RabbitMQ connection was already closed"),
        Err(_) => tracing::debug!("RabbitMQ did not answer the close of a connection"),
    }
}

/// A name as AMQP wants it. The library's own conversion panics beyond 255 bytes.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|_| BrokerError::TooLong { what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_between_a_quarter_and_five_seconds() {
        for delay in reconnect_delays().take(200) {
            assert!(delay >= Duration::from_millis(250), "{delay:?}");
            assert!(delay <= Duration::from_secs(5), "{delay:?}");
        }
    }

    #[test]
    fn long_names_are_an_error_not_a_panic() {
        assert!(short("the prefix", &"x".repeat(255)).is_ok());
        let error = short("the prefix", &"x".repeat(256)).unwrap_err();
        assert!(error.to_string().starts_with("the prefix is longer"));
        assert!(!error.is_transient());
    }

    #[tokio::test]
    async fn an_unreadable_address_is_not_repeated() {
        let error = connect("http://u:hunter2@h/", "test").await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, BrokerError::Address));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test]
    async fn the_place_is_told_and_no_password() {
        for (url, told) in
            [("amqp://u:12hunter@127.0.0.1:1/%2f", "127.0.0.1:1, virtual host /;"), ("amqp://127.0.0.1:1/hunter@h/%2f", "127.0.0.1:1;")]
        {
            let shown = connect(url, "test").await.unwrap_err().to_string();
            assert!(shown.contains(told) && !shown.contains("hunter"), "{shown}");
        }
    }
}
