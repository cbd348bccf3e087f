//! Names given by others: identifiers, references and message identities.
//!
//! Owns their alphabets and bounds (message contract, Formats). Never invents a random name: what
//! the ledger names itself is derived from the message that caused it.

use sha2::{Digest, Sha256};
use std::{borrow::Borrow, fmt, sync::Arc};

/// A text does not have the form its kind of name asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Za-z0-9_-]{1,64}`.
    #[error("an id has 1 to 64 characters out of A-Z a-z 0-9 _ -")]
    Id,
    /// Not 1–128 printable characters.
    #[error("a source, message id or reference has 1 to 128 printable characters")]
    Printable,
    /// Not 1–1000 characters that are line feeds or no control characters.
    #[error("a reason has 1 to 1000 characters, none of them control characters but line feeds")]
    Prose,
    /// Not 1–2048 printable characters.
    #[error("a link has 1 to 2048 printable characters")]
    Link,
}

/// How long an id may be, in characters.
pub const ID_CHARACTERS_MAX: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text if it has the right form.
            ///
            /// # Errors
            /// [`NameError`] with the form that was expected.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err($error) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

fn is_id(text: &str) -> bool {
    (1..=ID_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The most characters of a source, message id or reference.
const PRINTABLE_MAX: usize = 128;

/// No control character, and none that breaks a line (U+2028, U+2029) or turns the direction of what
/// follows (U+202A–202E, U+2066–2069): a name shows as what it is, in every list and log.
fn shows(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_printable(text: &str) -> bool {
    is_plain(text, PRINTABLE_MAX)
}

fn is_link(text: &str) -> bool {
    is_plain(text, 2048)
}

fn is_plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && text.chars().all(shows)
}

fn is_prose(text: &str) -> bool {
    (1..=1000).contains(&text.chars().count()) && text.chars().all(|letter| letter == '\n' || !letter.is_control())
}

name! {
    /// An identifier: `[A-Za-z0-9_-]{1,64}`.
    Id, NameError::Id, is_id
}
name! {
    /// A source, message id or reference: 1–128 printable characters.
    Printable, NameError::Printable, is_printable
}
name! {
    /// A text for people: 1–1000 characters, line feeds allowed, no other control characters.
    Prose, NameError::Prose, is_prose
}
name! {
    /// Where to look at something, for people: 1–2048 printable characters.
    Link, NameError::Link, is_link
}

impl Printable {
    /// `<word>:<id>`, for a word of at most 63 letters: an id is printable and short enough.
    #[must_use]
    pub fn joined(word: &'static str, id: &Id) -> Self {
        Self(format!("{word}:{id}").into())
    }
}

impl Prose {
    /// The text on one line of at most 128 characters, and true when that is not all of it.
    #[must_use]
    pub fn headline(&self) -> (Printable, bool) {
        if is_printable(self.as_str()) {
            return (Printable(self.0.clone()), false);
        }
        let mut line: String = self.as_str().chars().map(|letter| if shows(letter) { letter } else { ' ' }).collect();
        if let Some((cut, _)) = line.char_indices().nth(PRINTABLE_MAX) {
            let last = line.char_indices().nth(PRINTABLE_MAX.saturating_sub(1)).map_or(cut, |(last, _)| last);
            line.truncate(last);
            line.push('…');
        }
        (Printable(line.into()), true)
    }
}

/// Which account of which tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The company that sells the credits.
    pub tenant: Id,
    /// The holder of the balance inside it.
    pub account: Id,
}

impl fmt::Display for AccountKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.tenant, self.account)
    }
}

/// Who said it and under which id: with the account, the identity of a message (semantics §9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The producer.
    pub source: Printable,
    /// Its id for this message.
    pub id: Printable,
}

impl MessageId {
    /// The identity of something the ledger did itself because it was due.
    #[must_use]
    pub fn due(what: &str) -> Self {
        let short: String = what.chars().filter(|letter| shows(*letter)).take(PRINTABLE_MAX).collect();
        Self { source: Printable("credit-ledger".into()), id: Printable(if short.is_empty() { "due".into() } else { short.into() }) }
    }

    /// The fixed-width form that indexes use: the first 16 bytes of SHA-256 over source, zero, id.
    #[must_use]
    pub fn key(&self) -> MessageKey {
        let digest = Sha256::new().chain_update(self.source.as_str()).chain_update([0]).chain_update(self.id.as_str()).finalize();
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        MessageKey(key)
    }

    /// A name for the `index`-th thing this message made, e.g. a grant nobody named.
    #[must_use]
    pub fn derived(&self, prefix: &str, index: u32) -> Id {
        let digest = Sha256::new().chain_update(self.key().0).chain_update(index.to_be_bytes()).finalize();
        Id(format!("{prefix}_{}", hex::encode(digest.get(..10).unwrap_or_default())).into())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.source, self.id)
    }
}

/// The fixed-width key of a message within its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(pub [u8; 16]);

/// A SHA-256 digest: of a message's content, or of an entry and its predecessor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_their_alphabet() {
        for good in ["a", "A-b_9", &"x".repeat(64)] {
            assert!(Id::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a.b", &"x".repeat(65), "a\n"] {
            assert_eq!(Id::new(bad), Err(NameError::Id), "{bad:?}");
        }
    }

    #[test]
    fn references_are_printable_and_bounded() {
        assert!(Printable::new("https://example.com/orders#42 — paid").is_ok());
        let bad = ["", "a\u{0}b", "line\nbreak", &"x".repeat(129), "a\u{2028}b", "a\u{2029}b", "\u{202e}gpj.exe", "a\u{2066}b", "\u{2069}"];
        for bad in bad {
            assert_eq!(Printable::new(bad), Err(NameError::Printable), "{bad:?}");
        }
        assert!(Printable::new("עברית \u{200f}\u{2019}").is_ok(), "letters of every script");
    }

    #[test]
    fn reasons_are_free_text() {
        for good in ["r", "two\nlines", &"ä".repeat(1000)] {
            assert!(Prose::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\u{0}b", "a\rb", "a\tb", "\u{85}", &"ä".repeat(1001)] {
            assert_eq!(Prose::new(bad), Err(NameError::Prose), "{bad:?}");
        }
    }

    #[test]
    fn a_headline_is_printable_and_says_when_it_is_not_all() {
        let headline = |text: &str| {
            let (line, cut) = Prose::new(text).unwrap().headline();
            assert!(is_printable(line.as_str()));
            (line.to_string(), cut)
        };
        assert_eq!(headline("double refund"), ("double refund".into(), false));
        assert_eq!(headline(&"ä".repeat(128)), ("ä".repeat(128), false));
        assert_eq!(headline("two\nlines"), ("two lines".into(), true));
        assert_eq!(headline(&"ä".repeat(129)), (format!("{}…", "ä".repeat(127)), true));
    }

    #[test]
    fn links_are_longer_than_references() {
        assert!(Link::new(&format!("https://bank.example/{}", "x".repeat(2027))).is_ok());
        for bad in ["", "https://x\n", &"x".repeat(2049)] {
            assert_eq!(Link::new(bad), Err(NameError::Link), "{bad:?}");
        }
    }

    #[test]
    fn keys_do_not_run_source_and_id_together() {
        let key = |source: &str, id: &str| MessageId { source: Printable::new(source).unwrap(), id: Printable::new(id).unwrap() }.key();
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_eq!(key("a", "b"), key("a", "b"));
    }
}
