//! Stripe webhooks: whether they are authentic, and what they say about a payment.

mod currency;
mod event;
mod verify;

pub(super) use event::read;
pub use verify::{BadSignature, sign, verify};
