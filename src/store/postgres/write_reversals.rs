//! Rows of what reverses payments: debts, refunds, disputes.
//!
//! Owns one statement per table and what a row of it is made of. When they are executed is `write_rare`'s.

use super::load::instant;
use super::written::{small, written};
use crate::domain::account::Debt;
use crate::domain::ids::{Id, Printable};
use crate::domain::reversal::{Dispute, Refund};
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;

pub(super) const DEBTS: &str = "insert into debts (shard, account_id, number, amount, remaining, scope, cause_source, cause_id, reference, payment, \
     paid_only, written_off, undone, repaid_grants, repaid_amounts) select $1, new.* from unnest($2::written_debt[]) as new \
     on conflict (shard, account_id, number) do update set remaining = excluded.remaining, written_off = excluded.written_off, \
     undone = excluded.undone, repaid_grants = excluded.repaid_grants, repaid_amounts = excluded.repaid_amounts";

pub(super) const REFUNDS: &str = "insert into refunds (shard, account_id, refund, payment, amount, status, created_at) \
     select $1, new.* from unnest($2::written_refund[]) as new \
     on conflict (shard, account_id, refund) do update set payment = excluded.payment, status = excluded.status";

pub(super) const DISPUTES: &str = "insert into disputes (shard, account_id, dispute, payment, amount, stage, opened_at) \
     select $1, new.* from unnest($2::written_dispute[]) as new \
     on conflict (shard, account_id, dispute) do update set payment = excluded.payment, amount = excluded.amount, \
     stage = excluded.stage, opened_at = excluded.opened_at";

written! {
    /// A debt, new or partly repaid.
    WrittenDebt = "written_debt" {
        account_id: i64,
        number: i32,
        amount: Decimal,
        remaining: Decimal,
        scope: Option<&'a str>,
        cause_source: &'a str,
        cause_id: &'a str,
        reference: Option<&'a str>,
        payment: Option<&'a str>,
        paid_only: bool,
        written_off: Decimal,
        undone: Decimal,
        repaid_grants: Vec<i32>,
        repaid_amounts: Vec<Decimal>,
    }
}

impl<'a> WrittenDebt<'a> {
    pub(super) fn of(account_id: i64, row: &'a Debt) -> Self {
        Self {
            account_id,
            number: small(row.number),
            amount: row.amount.decimal(),
            remaining: row.remaining.decimal(),
            scope: row.scope.as_ref().map(Id::as_str),
            cause_source: row.cause.source.as_str(),
            cause_id: row.cause.id.as_str(),
            reference: row.reference.as_ref().map(Printable::as_str),
            payment: row.payment.as_ref().map(Printable::as_str),
            paid_only: row.paid_only,
            written_off: row.written_off.decimal(),
            undone: row.undone.decimal(),
            repaid_grants: row.repaid_by.keys().map(|grant| small(*grant)).collect(),
            repaid_amounts: row.repaid_by.values().map(|amount| amount.decimal()).collect(),
        }
    }
}

written! {
    /// A refund.
    WrittenRefund = "written_refund" {
        account_id: i64,
        refund: &'a str,
        payment: &'a str,
        amount: Decimal,
        status: &'static str,
        created_at: SqlTimestamp,
    }
}

impl<'a> WrittenRefund<'a> {
    pub(super) fn of(account_id: i64, row: &'a Refund) -> Self {
        Self {
            account_id,
            refund: row.id.as_str(),
            payment: row.payment.as_str(),
            amount: row.amount.decimal(),
            status: row.status.word(),
            created_at: instant(row.created_at),
        }
    }
}

written! {
    /// A dispute.
    WrittenDispute = "written_dispute" {
        account_id: i64,
        dispute: &'a str,
        payment: &'a str,
        amount: Decimal,
        stage: &'static str,
        opened_at: SqlTimestamp,
    }
}

impl<'a> WrittenDispute<'a> {
    pub(super) fn of(account_id: i64, row: &'a Dispute) -> Self {
        Self {
            account_id,
            dispute: row.id.as_str(),
            payment: row.payment.as_str(),
            amount: row.amount.decimal(),
            stage: row.stage.word(),
            opened_at: instant(row.opened_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::tests::check;
    use super::*;

    #[test]
    fn rows_of_reversals_have_one_order_of_columns() {
        check(WrittenDebt::SHAPE, DEBTS);
        check(WrittenRefund::SHAPE, REFUNDS);
        check(WrittenDispute::SHAPE, DISPUTES);
    }
}
