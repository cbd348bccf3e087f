//! One line of the append-only history, and the hash that chains it to the line before.
//!
//! Owns the kinds, their direction and the canonical bytes that are hashed. Entries are never
//! changed once written; a correction is another entry.

use super::credits::{Credits, Overflow};
use super::ids::{Hash, MessageId, Printable, Prose};
use super::word::words;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

words! {
    /// Which way an entry moves the balance.
    Direction {
        /// Raises it.
        In "in",
        /// Lowers it.
        Out "out",
        /// Leaves it: only held, frozen or debt changes.
        Neutral "none",
    }
}

impl Direction {
    /// The balance after an entry of this direction.
    ///
    /// # Errors
    /// [`Overflow`] when it leaves its bounds.
    pub fn moved(self, balance: Credits, amount: Credits) -> Result<Credits, Overflow> {
        match self {
            Self::In => balance.plus(amount),
            Self::Out => balance.minus(amount),
            Self::Neutral => Ok(balance),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $word:literal $direction:ident,)*) => {
        /// Why the numbers of an account changed (semantics §1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntryKind { $($(#[$doc])* $kind,)* }

        impl EntryKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The word used on the wire and in the database.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// Which way it moves the balance.
            #[must_use]
            pub fn direction(self) -> Direction {
                match self { $(Self::$kind => Direction::$direction,)* }
            }
        }
    };
}

kinds! {
    /// Bought credits arrived.
    Purchased "purchased" In,
    /// Credits were given.
    Granted "granted" In,
    /// A plan's allowance began.
    Allowance "allowance" In,
    /// Add-on units began.
    Addon "addon" In,
    /// A rollover began.
    RolledIn "rolled_in" In,
    /// A grant refilled itself.
    Refilled "refilled" In,
    /// A reversed charge gave credits back.
    Returned "returned" In,
    /// Staff raised the balance.
    AdjustedIn "adjusted" In,
    /// Metered usage burned credits.
    Used "used" Out,
    /// A service or invoice was paid.
    Spent "spent" Out,
    /// A hold was settled.
    Settled "settled" Out,
    /// A grant reached its own date.
    Expired "expired" Out,
    /// A cycle's close took what did not roll over.
    Forfeited "forfeited" Out,
    /// A cycle's close handed credits on.
    RolledOut "rolled_out" Out,
    /// Staff voided a grant.
    Voided "voided" Out,
    /// A refund or dispute took credits back.
    ClawedBack "clawed_back" Out,
    /// Credits repaid debt.
    DebtRepaid "debt_repaid" Out,
    /// Staff lowered the balance.
    AdjustedOut "adjusted" Out,
    /// Credits were frozen.
    Frozen "frozen" Neutral,
    /// Credits were unfrozen.
    Unfrozen "unfrozen" Neutral,
    /// Debt arose.
    DebtIncurred "debt_incurred" Neutral,
    /// Debt is not owed any more, because what it came from was undone.
    DebtCancelled "debt_cancelled" Neutral,
    /// Debt is not owed any more, because the tenant bears it.
    WrittenOff "written_off" Neutral,
}

impl EntryKind {
    /// True when it ends credits that nobody used.
    #[must_use]
    pub fn is_breakage(self) -> bool {
        matches!(self, Self::Expired | Self::Forfeited)
    }

    /// The kind for a database or wire word and direction word.
    #[must_use]
    pub fn from_words(word: &str, direction: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word && kind.direction().word() == direction)
    }
}

/// What one entry did to one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The grant's number in the account.
    pub grant: u32,
    /// Change of its remainder; below zero when it burned.
    pub change: Credits,
}

/// One line of an account's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Gap-free position in the account, from 1.
    pub seq: u64,
    /// Why.
    pub kind: EntryKind,
    /// How much the balance moved; never negative, 0 for neutral kinds.
    pub amount: Credits,
    /// The balance after this entry.
    pub balance_after: Credits,
    /// Change of the held number.
    pub held_change: Credits,
    /// Change of the frozen number.
    pub frozen_change: Credits,
    /// Change of the debt.
    pub debt_change: Credits,
    /// Order, invoice, payment or request it belongs to.
    pub reference: Option<Printable>,
    /// What caused it.
    pub cause: MessageId,
    /// Who asked for it, where a person did.
    pub actor: Option<Printable>,
    /// What was priced: meter, quantity and catalog version, for usage. Why, for what people do, where
    /// the reference does not hold all of it.
    pub memo: Option<Prose>,
    /// The world's time.
    pub occurred_at: Timestamp,
    /// Ours; never goes back within an account.
    pub recorded_at: Timestamp,
    /// The grants it touched.
    pub touched: Vec<Touch>,
}

impl Entry {
    /// SHA-256 over the previous entry's hash and every field of this one in a fixed text form, so
    /// that changing any column of any entry breaks the chain from there on.
    #[must_use]
    pub fn hash(&self, previous: Hash) -> Hash {
        let mut text = String::with_capacity(256);
        let optional = |value: &Option<Printable>| value.as_ref().map_or_else(String::new, |value| format!("={value}"));
        // A line break in it must not look like the next field's.
        let escaped = |memo: &Prose| format!("={}", memo.as_str().replace('\\', "\\\\").replace('\n', "\\n"));
        let memo = self.memo.as_ref().map_or_else(String::new, escaped);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.seq,
            self.kind.word(),
            self.kind.direction().word(),
            self.amount,
            self.balance_after,
            self.held_change,
            self.frozen_change,
            self.debt_change,
            optional(&self.reference),
            self.cause.source,
            self.cause.id,
            optional(&self.actor),
            memo,
            self.occurred_at.as_microsecond(),
            self.recorded_at.as_microsecond(),
        );
        for touch in &self.touched {
            let _ = write!(text, "\n{} {}", touch.grant, touch.change);
        }
        Hash(Sha256::new().chain_update(previous.0).chain_update(text).finalize().into())
    }
}
