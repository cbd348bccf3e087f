//! Everything that needs real servers, in one binary.

mod amqp;
mod semantics;
mod tidy;
mod worker;
mod world;
