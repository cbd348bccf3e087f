//! Reading what nothing is decided by.
//!
//! Owns the one place where a wrong form is no fault: it is as if the field were not there.

use super::json::string;
use crate::domain::ids::{Link, Printable};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Characters of a text that are kept.
const TEXT_MAX: usize = 128;

/// A value, if it is there and has the form.
pub(super) fn lenient<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

/// A text, cut if it is long; none with characters that steer a terminal.
pub(super) fn text(value: Option<&RawValue>) -> Option<Printable> {
    printable(&string(value?).ok()?)
}

/// The same of a text that was put together.
pub(super) fn printable(text: &str) -> Option<Printable> {
    let cut: String = text.trim().chars().take(TEXT_MAX).collect();
    Printable::new(cut.trim_end()).ok()
}

/// The address of a page; of no other scheme, because people will open it.
pub(super) fn link(value: Option<&RawValue>) -> Option<Link> {
    Link::new(&string(value?).ok().filter(|text| text.starts_with("https://"))?).ok()
}
