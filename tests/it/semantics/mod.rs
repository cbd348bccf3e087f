//! The rules of the ledger, each told as a scenario with its arithmetic beside it.

mod accounts;
mod batches;
mod burn_order;
mod cycles;
mod disputes;
mod identity;
mod invoice_names;
mod invoicing;
pub mod order;
mod other_mode;
mod payment_names;
mod payment_reviews;
mod paypal;
mod plans;
mod purchases;
mod reasons;
mod refunds;
mod requests;
mod reversals;
mod rollover;
mod spends;
mod stripe_subscriptions;
mod time;
mod usage;
mod waiting;
