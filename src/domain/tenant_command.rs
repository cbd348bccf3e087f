//! What can be asked of a tenant as a whole.
//!
//! Owns those few commands; what an account can be asked is `command`'s.

use super::ids::Id;
use super::settings::{SettingsChange, StaffRole};
use jiff::Timestamp;

/// Something asked of a tenant as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantCommand {
    /// `tenant.settings_changed`
    ChangeSettings(Box<SettingsChange>),
    /// `member.changed` without subject.
    ChangeStaff {
        /// Who.
        member: Id,
        /// As what.
        role: StaffRole,
    },
    /// `member.removed` without subject.
    RemoveStaff {
        /// Who.
        member: Id,
    },
    /// `cycle.reset` without subject: everything that is due by then.
    ResetCycles {
        /// Until when; moves a test clock.
        as_of: Timestamp,
    },
}

impl TenantCommand {
    /// The message type it comes from.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::ChangeSettings(_) => "tenant.settings_changed",
            Self::ChangeStaff { .. } => "member.changed",
            Self::RemoveStaff { .. } => "member.removed",
            Self::ResetCycles { .. } => "cycle.reset",
        }
    }
}
