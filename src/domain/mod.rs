//! The functional core: what the ledger decides, as data.
//!
//! Owns every rule of what credits mean. Does no I/O, reads no clock, draws no random number and
//! knows no wire format or database; time and terms are parameters.
//!
//! Reading order: amounts and names, the things of a ledger, what is asked and answered, then how
//! a decision is made.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions))]

pub mod credits;
pub mod ids;
pub mod invoicing;
pub mod word;

pub mod account;
pub mod alert;
pub mod calendar;
pub mod charge;
pub mod entry;
pub mod grant;
pub mod grants;
pub mod payment;
pub mod payment_details;
pub mod rate_card;
pub mod request;
pub mod reversal;
pub mod subscription;

pub mod book;
pub mod burn_down;
pub mod catalog;
pub mod clawback;
pub mod closes;
pub mod cycle;
pub mod draft;
pub mod late;
pub mod paid;
pub mod refill;
pub mod rollover;
pub mod row_images;
pub mod settings;

pub mod command;
mod command_kind;
pub mod decision;
pub mod event;
pub mod provider;
pub mod rejection;
pub mod tenant_command;

pub mod advance;
pub mod decide;

pub mod apply;
