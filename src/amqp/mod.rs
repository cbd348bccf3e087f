//! `RabbitMQ`: the only part that names the client library.
//!
//! Owns the names and properties of exchanges and queues ([`Topology`]), a
//! supervised consumer that hands out deliveries and writes acknowledgements
//! ([`consume`]), and a publisher that knows what the broker has confirmed
//! ([`Publisher`]).
//!
//! Never reads a message body, never decides what becomes of a message, never
//! touches the database. Never acknowledges a delivery whose [`Ticket`] was not
//! settled, and never creates or deletes broker objects outside
//! [`Topology::apply`] and [`Topology::delete`].

mod acks;
mod connection;
mod consumer;
mod delivery;
mod error;
mod listen;
mod parking;
mod publisher;
mod subscription;
mod topology;

pub use connection::reconnect_delays;
pub use consumer::{ConsumeConfig, Prefetch, consume};
pub use delivery::{Delivery, Ticket};
pub use error::{BrokerError, Cause};
pub use listen::{Events, Replies};
pub use parking::Parking;
pub use publisher::{Outgoing, Published, Publisher};
pub use topology::{Difference, Topology};
