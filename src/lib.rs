//! credit-ledger: a background worker that keeps an exact, append-only ledger of prepaid credits.
//!
//! The modules stand in reading order; each uses only those above it.

pub mod domain;
pub mod failure;

pub mod config;
pub mod telemetry;

pub mod figures;

pub mod message;

pub mod statement;

pub mod catalog;

pub mod api_key;
pub mod secrets;

pub mod paypal;

pub mod keyring;

pub mod store;

pub mod amqp;

pub mod ledger;

pub mod lanes;

pub mod relay;

pub mod scheduler;

pub mod consumer;

pub mod http;

pub mod app;

pub mod asyncapi;

pub mod reconcile;

pub mod drift;

pub mod export;

pub mod simulate;

pub mod planning;

pub mod permute;

pub mod cli;

pub mod deployment;

pub mod bench;

pub mod soak;

pub mod demo;
