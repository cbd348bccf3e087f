//! Everything that needs real servers, in one binary.

mod amqp;
mod semantics;
mod worker;
mod world;
