//! credit-ledger: a background worker that keeps an exact, append-only ledger of prepaid credits.

pub mod domain;
pub mod message;
