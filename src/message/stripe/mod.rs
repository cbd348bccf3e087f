//! Stripe webhooks: whether they are authentic, and what they say about a payment.

mod currency;
mod details;
mod dispute;
mod event;
mod invoice;
mod object;
mod payment;
mod refund;
mod subscription;
mod verify;

pub use currency::{decimals, major};
pub(super) use event::read;
pub use verify::{BadSignature, sign, verify};
