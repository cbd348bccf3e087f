//! A charge: a service or an invoice paid with credits (semantics §4).
//!
//! Owns the fact that one reference is charged once.

use super::credits::Credits;
use super::ids::{Id, Printable};
use super::word::words;

words! {
    /// What is paid for.
    Purpose {
        /// A catalog service.
        Service "service",
        /// An invoice of the tenant.
        Invoice "invoice",
    }
}

/// An accepted charge; the same reference with the same terms is the same charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Order or invoice.
    pub reference: Printable,
    /// What for.
    pub purpose: Purpose,
    /// The service, when one was bought.
    pub service: Option<Id>,
    /// Its price in credits.
    pub credits: Credits,
}
