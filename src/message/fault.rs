//! Why a message cannot be read, in words for people.
//!
//! Owns the sentence that goes into quarantine and logs. Never repeats a value out of a message:
//! payloads are private, and a forged one must not be able to write log lines.

use crate::domain::rejection::QuarantineReason;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The closed word.
    pub(super) reason: QuarantineReason,
    /// What is wrong, for people.
    pub(super) detail: String,
}

impl Fault {
    /// It cannot be read.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self { reason: QuarantineReason::Malformed, detail: detail.into() }
    }

    /// Its type, or a part that would make it another kind of command, is not known here.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self { reason: QuarantineReason::UnknownType, detail: detail.into() }
    }

    /// It is not for this queue, tenant or routing key.
    pub(super) fn not_permitted(detail: impl Into<String>) -> Self {
        Self { reason: QuarantineReason::NotPermitted, detail: detail.into() }
    }

    /// The same fault, naming where it was found.
    pub(super) fn within(mut self, place: &str) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::malformed(without_values(&error.to_string()))
    }
}

/// What serde says, without the values it quotes out of the message.
///
/// serde's own sentences are "invalid type: VALUE, expected WHAT", "unknown variant `VALUE`,
/// expected WHAT" and "unknown field `KEY`, expected WHAT"; in all others every word is ours. WHAT
/// is ours and never contains ", expected ", so the last one is the border.
fn without_values(message: &str) -> String {
    let tail = message.rsplit_once(", expected ").map_or("something else", |(_, tail)| tail);
    if let Some(rest) = message.strip_prefix("unknown field `") {
        // A misspelt key is what people look for; one that cannot be a key of ours is not shown.
        let key: &str = rest.split('`').next().unwrap_or_default();
        let shown = key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        return if shown { format!("unknown key `{key}`") } else { "unknown key".into() };
    }
    if ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "].iter().any(|start| message.starts_with(start)) {
        return format!("expected {tail}");
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_message_are_not_repeated() {
        for (said, shown) in [
            ("invalid type: string \"secret, expected x\", expected u32 at line 1 column 9", "expected u32 at line 1 column 9"),
            ("invalid value: integer `-5`, expected u32", "expected u32"),
            ("unknown variant `pin 1234`, expected `a` or `b`", "expected `a` or `b`"),
            ("unknown field `crdits`, expected one of `credits`, `reason`", "unknown key `crdits`"),
            ("unknown field `a\nfake log line`, expected `b`", "unknown key"),
            ("missing field `credits` at line 1 column 2", "missing field `credits` at line 1 column 2"),
            ("duplicate field `credits`", "duplicate field `credits`"),
        ] {
            assert_eq!(without_values(said), shown);
        }
    }
}
