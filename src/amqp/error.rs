//! What can go wrong with the broker, sorted by what helps.
//!
//! Classifies by AMQP reply code, never by message text. Never carries a
//! password.

use lapin::ErrorKind;

/// The error underneath, for the chain of `source()`; its type is nobody's
/// business outside this module.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed exchange with `RabbitMQ`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Not reachable, or the connection or channel ended. Passes by itself.
    #[error("no connection to RabbitMQ while {doing}; if this stays, check the address and that the broker runs")]
    Connection {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The client library's report.
        #[source]
        source: Cause,
    },
    /// A stream of deliveries ended without an error: the queue was deleted or
    /// the broker withdrew the subscription.
    #[error("RabbitMQ ended the subscription to {queue}; check that the queue exists (`topology check`)")]
    SubscriptionEnded {
        /// Name of the queue.
        queue: String,
    },
    /// No answer in time. The connection is given up, because what it did
    /// meanwhile is unknown.
    #[error("RabbitMQ did not answer within {seconds} s while {doing}; check its alarms (memory, disk) and the network")]
    Deadline {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The deadline that passed, in seconds.
        seconds: u64,
    },
    /// User, password, virtual host or permissions do not allow it.
    #[error("RabbitMQ refused access while {doing}; check user, password, virtual host and permissions")]
    Access {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The broker's own words.
        #[source]
        source: Cause,
    },
    /// An exchange or queue that is not there.
    #[error("RabbitMQ does not have what was named while {doing}; run `topology apply`")]
    Missing {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The broker's own words.
        #[source]
        source: Cause,
    },
    /// An exchange or queue exists with other properties than declared here.
    #[error("{name} exists in RabbitMQ with other properties; let its messages be consumed, delete it, then run `topology apply` again")]
    Mismatch {
        /// Name of the exchange or queue.
        name: String,
        /// The broker's own words; they name the property.
        #[source]
        source: Cause,
    },
    /// The broker understood and said no (for example: message too large).
    #[error("RabbitMQ refused the request while {doing}; sending the same again will not help")]
    Refused {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The broker's own words.
        #[source]
        source: Cause,
    },
    /// The address is not an AMQP address. It is not shown: it holds a password.
    #[error("the RabbitMQ address cannot be read; write amqp://USER:PASSWORD@HOST:PORT/VHOST (the default vhost is %2f)")]
    Address,
    /// A name, key or property longer than AMQP can carry.
    #[error("{what} is longer than the 255 bytes AMQP allows; shorten it")]
    TooLong {
        /// Which name or property.
        what: String,
    },
}

impl BrokerError {
    /// True when trying again can succeed without anybody doing anything:
    /// connection, deadline, a subscription that ended. False when a person has
    /// to change permissions, topology, configuration or the message.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Deadline { .. } | Self::SubscriptionEnded { .. } => true,
            Self::Access { .. }
            | Self::Missing { .. }
            | Self::Mismatch { .. }
            | Self::Refused { .. }
            | Self::Address
            | Self::TooLong { .. } => false,
        }
    }

    pub(super) fn from_client(doing: &str, error: lapin::Error) -> Self {
        let doing = doing.to_owned();
        let code = reply_code(&error);
        let refused_login = matches!(error.kind(), ErrorKind::AuthProviderError(_));
        let source = Cause::from(error);
        match code {
            Some(403 | 530) => Self::Access { doing, source },
            Some(404) => Self::Missing { doing, source },
            Some(311 | 405 | 406) => Self::Refused { doing, source },
            _ if refused_login => Self::Access { doing, source },
            _ => Self::Connection { doing, source },
        }
    }
}

/// The AMQP reply code of a refusal by the broker; `None` for everything that
/// happened on this side or on the wire.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}
