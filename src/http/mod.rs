//! HTTP: what comes in by it, and what can be read by it.
//!
//! Owns two listeners. One is for providers ([`Ingress`]): webhooks are verified and handed to the broker.
//! The other is for operators and the host application: health, figures and, with the role `api`, reading
//! accounts ([`Api`]). Speaks HTTP/1 without TLS, one request a connection: a proxy in front ends TLS.
//! Never decides about credits and never writes to the database; the ingress has no connection to it.
//!
//! Reading order: how connections come in (`listen`, `head`), how often (`rate`), what is answered
//! (`answer`); then health, the ingress with its way to the broker (`handover`), the API with its tokens.

mod answer;
mod api;
mod handover;
mod head;
mod health;
mod ingress;
mod listen;
mod rate;
mod token;

pub use api::{Accounts, Api};
pub use handover::{Handover, NotTaken};
pub use health::{Readiness, health};
pub use ingress::{Ingress, IngressBounds};
pub use listen::{Bounds, serve};
pub use rate::Rate;
pub use token::{Claims, Refused, Scope, claims};
