//! THE WIRE: what leaves and enters the process, as types.
//!
//! Owns bytes → command and event → bytes. Never decides and never looks anything up.

pub mod event;
pub mod outcome;
pub mod raw;
pub enum Incoming { Account(Box<crate::domain::command::Message>) }
pub fn reread(_raw: &raw::Raw) -> Result<Incoming, ()> { Err(()) }
