//! Closed vocabularies: enums whose every variant is one word on the wire, in catalogs and in the
//! database.
//!
//! Owns how such an enum is written down, so that each word stands in one place. Never knows what
//! a word means.

/// An enum of words.
pub trait Word: Copy + 'static {
    /// Every one, in order.
    const ALL: &'static [Self];
    /// The words to choose from, as a sentence has them.
    const CHOICE: &'static str;

    /// The word used on the wire and in the database.
    fn word(self) -> &'static str;

    /// The one for a word.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

/// Makes an enum with its words: `word`, `from_word`, `ALL`, `Display` and [`Word`].
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word used on the wire and in the database.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one for a word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                <Self as $crate::domain::word::Word>::from_word(word)
            }
        }

        impl $crate::domain::word::Word for $name {
            const ALL: &'static [Self] = Self::ALL;
            const CHOICE: &'static str = $crate::domain::word::choice!($($word),*);

            fn word(self) -> &'static str {
                self.word()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.word())
            }
        }
    };
}

/// `a or b or c`
macro_rules! choice {
    ($first:literal $(, $rest:literal)*) => { concat!($first $(, " or ", $rest)*) };
}

pub(crate) use {choice, words};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::{AccountKind, AccountStatus};
    use crate::domain::burn_down::BurnKey;
    use crate::domain::calendar::Interval;
    use crate::domain::catalog::GrantOn;
    use crate::domain::charge::Purpose;
    use crate::domain::decision::{Claim, On};
    use crate::domain::entry::Direction;
    use crate::domain::grant::{GrantSource, GrantStatus};
    use crate::domain::ids::{Id, Printable};
    use crate::domain::payment::PaymentStatus;
    use crate::domain::rejection::{QuarantineReason, Rejection};
    use crate::domain::request::{RequestMethod, RequestStatus};
    use crate::domain::reversal::{DisputeStage, RefundStatus};
    use crate::domain::settings::{Insufficient, OpenAccounts, PriceCheck, Shortfall, StaffRole};
    use std::collections::BTreeSet;

    fn holds<T: Word + PartialEq + std::fmt::Debug>() {
        let words: BTreeSet<&str> = T::ALL.iter().map(|one| one.word()).collect();
        assert_eq!(words.len(), T::ALL.len(), "no word stands for two: {}", T::CHOICE);
        for one in T::ALL {
            assert_eq!(T::from_word(one.word()), Some(*one));
            assert!(one.word().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", one.word());
        }
        assert_eq!(T::CHOICE, T::ALL.iter().map(|one| one.word()).collect::<Vec<_>>().join(" or "));
        assert_eq!((T::from_word(""), T::from_word(T::CHOICE).filter(|_| T::ALL.len() > 1)), (None, None));
    }

    #[test]
    fn every_vocabulary_has_one_word_for_each_and_reads_it_back() {
        holds::<AccountKind>();
        holds::<AccountStatus>();
        holds::<BurnKey>();
        holds::<Claim>();
        holds::<Direction>();
        holds::<GrantOn>();
        holds::<GrantStatus>();
        holds::<Insufficient>();
        holds::<Interval>();
        holds::<OpenAccounts>();
        holds::<PaymentStatus>();
        holds::<PriceCheck>();
        holds::<Purpose>();
        holds::<QuarantineReason>();
        holds::<Rejection>();
        holds::<DisputeStage>();
        holds::<RefundStatus>();
        holds::<RequestMethod>();
        holds::<RequestStatus>();
        holds::<Shortfall>();
        holds::<StaffRole>();
        let (name, until) = (Id::new("undecided").unwrap(), jiff::Timestamp::UNIX_EPOCH);
        let names = ["stripe:pi_1", "stripe:ch 1"].map(|name| Printable::new(name).unwrap()).to_vec();
        let waits = [
            On::Account,
            On::Request(name.clone()),
            On::Decision(name.clone()),
            On::Subscription(name),
            On::Payment(names),
            On::Time(until),
            On::Claim(Claim::Undecided),
        ];
        for on in waits {
            assert_eq!(On::from_word(on.word(), on.key().as_deref(), Some(until)), Some(on));
        }
        assert_eq!((On::from_word("request", None, Some(until)), On::from_word("time", Some("undecided"), None)), (None, None));
        for source in GrantSource::ALL {
            assert_eq!(GrantSource::from_stored_word(source.stored_word()), Some(source));
        }
    }
}
