//! The closed list of business refusals, in their order (message contract, Outcomes), and the
//! closed list of reasons for quarantine.

use super::word::words;

words! {
    /// Why a message was refused although it was understood. Variants stand in the order in which
    /// reasons are reported.
    Rejection {
        /// Staff froze the account.
        AccountFrozen "account_frozen",
        /// The account is closed.
        AccountClosed "account_closed",
        /// The tenant has switched credit payments off.
        CreditsDisabled "credits_disabled",
        /// The actor may not do this.
        NotPermitted "not_permitted",
        /// The requester may not decide their own request.
        FourEyes "four_eyes",
        /// An amount is not possible or not the catalog's.
        InvalidAmount "invalid_amount",
        /// A time is not possible.
        InvalidTime "invalid_time",
        /// No rate prices this meter with these dimensions.
        UnknownMeter "unknown_meter",
        /// The catalog has no such package.
        UnknownPackage "unknown_package",
        /// The catalog has no such plan.
        UnknownPlan "unknown_plan",
        /// The catalog has no such add-on for this plan and kind of account.
        UnknownAddon "unknown_addon",
        /// No time zone has this name.
        UnknownZone "unknown_zone",
        /// No such entry.
        UnknownEntry "unknown_entry",
        /// No such grant.
        UnknownGrant "unknown_grant",
        /// No such hold.
        UnknownHold "unknown_hold",
        /// Credits may not pay for this service.
        ServiceNotEligible "service_not_eligible",
        /// The member's limit is reached.
        MemberLimitReached "member_limit_reached",
        /// Not enough credits that may be used for this.
        InsufficientCredits "insufficient_credits",
        /// Another decision stands.
        AlreadyDecided "already_decided",
        /// The request ended undecided.
        RequestExpired "request_expired",
        /// The quote lapsed.
        QuoteExpired "quote_expired",
        /// The hold is over.
        HoldClosed "hold_closed",
        /// The subscription has ended.
        NoActiveSubscription "no_active_subscription",
        /// The package may not be refunded on request.
        NonRefundable "non_refundable",
        /// The cycle has been reset beyond this instant.
        ResetBackwards "reset_backwards",
        /// The instant is ahead of the clock.
        ResetInFuture "reset_in_future",
    }
}

words! {
    /// Why a message was set aside for people instead of being applied.
    QuarantineReason {
        /// It cannot be read.
        Malformed "malformed",
        /// Its type is not known.
        UnknownType "unknown_type",
        /// Its version is not known.
        UnsupportedVersion "unsupported_version",
        /// No secret of the tenant made its signature.
        BadSignature "bad_signature",
        /// It is authentic but not for here (the other mode, another queue).
        NotPermitted "not_permitted",
        /// It contradicts what its identity or its business fact already stands for.
        IdempotencyConflict "idempotency_conflict",
        /// It is larger than its queue allows.
        TooLarge "too_large",
        /// There is no such tenant.
        UnknownTenant "unknown_tenant",
        /// What it waited for did not come in time.
        WaitTimeout "wait_timeout",
        /// Applying it would break an invariant.
        InvariantViolated "invariant_violated",
        /// It ended the process or the transaction each time it was tried.
        RetriesExhausted "retries_exhausted",
    }
}
