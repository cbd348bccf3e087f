//! A long run under faults.

pub mod audit;
