//! Everything that needs real servers, in one binary.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::too_many_arguments)]

mod amqp;
mod both_ways;
mod calendars;
mod claims;
mod commands;
mod conformance;
mod copies;
mod decades;
mod drift;
mod export;
mod failures;
mod http;
mod neighbours;
mod outages;
mod payments;
mod paypal;
mod paypal_worker;
mod planning;
mod proxy;
mod quarantine;
mod query_plans;
mod reconcile;
mod relay;
mod rights;
mod semantics;
mod shortcuts;
mod signals;
mod soak;
mod suspects;
mod tenants;
mod tidy;
mod unclaimed;
mod waiting;
mod worker;
mod world;
