//! What differs, in words for people and fields for programs.
//!
//! Owns the kinds of differences, what each means and what to do about it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Characters of a foreign text that are shown.
const SHOWN_MAX: usize = 80;

/// Letters that are not seen and change how others are.
const DIRECTING: [char; 13] = [
    '\u{200b}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}', '\u{feff}',
];

/// What kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Paid there, and no credits were granted for it here.
    NotGranted,
    /// Credits were granted here, and the provider's list does not have it as paid.
    NotPaid,
    /// Another amount or currency there than here.
    Amount,
    /// More money went back there than credits were taken back for here.
    NotClawed,
    /// Credits were taken back here for money that did not go back there.
    ClawedTooMuch,
    /// Test money where live money is taken, or the other way round.
    Mode,
    /// Paid there, nobody knows it here, and nothing says that it is ours.
    Unknown,
    /// A row that cannot be read, so nothing is known of what it tells.
    Unreadable,
}

impl Kind {
    /// The word that programs see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::NotPaid => "not_paid",
            Self::Amount => "amount",
            Self::NotClawed => "not_clawed",
            Self::ClawedTooMuch => "clawed_too_much",
            Self::Mode => "mode",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::NotGranted => "send its event again from the provider's dashboard, or ask what became of it in quarantine and requests",
            Self::NotPaid => "look it up at the provider; if it is of another period or account, compare with that list too",
            Self::Amount => "look it up at the provider before the credits are corrected with credits.adjust",
            Self::NotClawed => "send the refund's or dispute's event again from the provider's dashboard",
            Self::ClawedTooMuch => "look up refunds and disputes at the provider; send the event that ended them again",
            Self::Mode => "compare with a list of the tenant's own mode",
            Self::Unknown => "if it is ours, send its event again; if not, name the account on our payments and use --unknown ignore",
            Self::Unreadable => "export again, without opening the file in a spreadsheet",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// The payment, as `provider:id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// Whose it is, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The line of the file, or the number in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// What the provider says, with its currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<String>,
    /// What the ledger says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<String>,
    /// In words.
    pub what: String,
}

impl Finding {
    /// A difference without particulars.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, payment: None, account: None, place: None, there: None, here: None, what: what.into() }
    }

    /// As one JSON object, with what to do.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = serde_json::json!(self);
        object["advice"] = self.kind.advice().into();
        object.to_string()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.kind.word())?;
        if let Some(payment) = &self.payment {
            write!(formatter, " {}", shown(payment))?;
        }
        if let Some(account) = &self.account {
            write!(formatter, " of {}", shown(account))?;
        }
        if let Some(place) = self.place {
            write!(formatter, " (row {place})")?;
        }
        write!(formatter, ": {}", self.what)?;
        if let Some(there) = &self.there {
            write!(formatter, "; there {}", shown(there))?;
        }
        if let Some(here) = &self.here {
            write!(formatter, "; here {}", shown(here))?;
        }
        write!(formatter, ". To do: {}", self.kind.advice())
    }
}

/// A foreign text as it may be shown: bounded, without control characters, and marked with `'` where a
/// spreadsheet would take it for a formula.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    if text.starts_with(['=', '+', '-', '@']) {
        shown.push('\'');
    }
    for letter in text.chars().take(SHOWN_MAX) {
        if letter.is_control() || DIRECTING.contains(&letter) { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "(nothing)".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_harmless() {
        assert_eq!(shown("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_MAX + 1);
        assert_eq!(shown(""), "(nothing)");
        for harmful in ["+1", "-1", "@x"] {
            assert!(shown(harmful).starts_with('\''), "{harmful}");
        }
    }
}
