//! Everything that needs real servers, in one binary.

mod amqp;
mod tidy;
mod worker;
