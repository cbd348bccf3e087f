//! Reading what most batches do not need: debts, payments, requests, charges, subscriptions.
//!
//! Owns one statement per table and reason, executed when an account of the batch has such rows open or
//! one of its messages names some.

use super::load::Batch;
use super::rows::of_each;
use super::rows_money::{
    ChargeRow, DebtRow, DisputeRow, HighWaterRow, NamedRow, PaymentRow, PurchaseMonthRow, RefundRow, RequestRow, Stands, SubscriptionRow,
};
use crate::domain::apply;
use crate::domain::ids::{AccountKey, Id, Printable};
use crate::domain::payment::{PaymentStatus, may_be_cut, named_by_id};
use crate::failure::Failure;
use crate::store::{LoadedAccount, Named, Needs, OpenRows};
use jiff::Timestamp;
use sqlx::PgConnection;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The rows of a table that pairs of account and key name.
macro_rules! named_rows {
    ($table:literal, $key:literal) => {
        of_each!(
            "unnest($2::bigint[], $3::text[]) as asked (account_id, key)",
            concat!(
                "select * from ",
                $table,
                " known where known.shard = $1 and known.account_id = asked.account_id and known.",
                $key,
                " = asked.key"
            )
        )
    };
}

/// All names of the payments that have one of the names `asked.key`.
macro_rules! payment_names {
    ($is_asked:literal) => {
        concat!(
            "select found.* from (",
            of_each!(
                "unnest($2::bigint[], $3::text[]) as asked (account_id, key)",
                concat!("select account_id, payment from payment_names known where known.shard = $1 and known.account_id = asked.account_id and ", $is_asked)
            ),
            ") as named cross join lateral (select account_id, name, provider_id, payment from payment_names known \
             where known.shard = $1 and known.account_id = named.account_id and known.payment = named.payment offset 0) as found"
        )
    };
}

/// The payments that are named, and which of some requests exist.
const NAMED: &str = concat!(
    payment_names!("known.name = asked.key"),
    " union all ",
    of_each!(
        "unnest($4::bigint[], $5::text[]) as asked (account_id, key)",
        "select account_id, request, request, null from credit_requests known \
         where known.shard = $1 and known.account_id = asked.account_id and known.request = asked.key"
    )
);

/// The payments with a name that begins so and has the same id of the provider: an id may be cut, names are not.
const NAMED_BY_ID: &str = payment_names!(
    "known.name >= asked.key and known.name <= asked.key || chr(1114111) and known.provider_id = substr(asked.key, strpos(asked.key, ':') + 1)"
);

/// Which tables that most accounts have no rows in must be read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenTables {
    debts: bool,
    requests: bool,
    subscriptions: bool,
}

impl OpenTables {
    pub(super) fn note(&mut self, open: OpenRows) {
        self.debts |= open.debts > 0;
        self.requests |= open.requests > 0;
        self.subscriptions |= open.subscriptions > 0;
    }
}

impl Batch {
    /// Tables most batches do not touch.
    pub(super) async fn rare(
        &mut self,
        connection: &mut PgConnection,
        needs: &Needs,
        clock: &(dyn Fn(&AccountKey) -> Timestamp + Sync),
    ) -> Result<(), Failure> {
        let open = self.open;
        if open.debts {
            let rows: Vec<DebtRow> =
                self.all(connection, "select * from debts where shard = $1 and account_id = any($2) and remaining > 0").await?;
            for row in rows {
                let debt = row.debt()?;
                self.book(row.account_id)?.debts.insert(debt.number, debt);
            }
        }
        self.subscriptions(connection, needs, open).await?;
        let mut needs = Cow::Borrowed(needs);
        let ahead: Named<Printable> = self.paid_ahead(&needs, clock);
        if !ahead.is_empty() {
            let needs = needs.to_mut();
            needs.months.extend(ahead.iter().map(|(key, _)| key.clone()));
            needs.payments.extend(ahead.iter().cloned());
            needs.reversed.extend(ahead);
        }
        self.months(connection, &needs).await?;
        let reviewed = self.payments(connection, &needs).await?;
        let sql = named_rows!("charges", "reference");
        for row in self.named::<ChargeRow, _>(connection, sql, &needs.charges).await? {
            let charge = row.charge()?;
            self.book(row.account_id)?.charges.insert(charge.reference.clone(), charge);
        }
        let requests = needs.requests.union(&reviewed).cloned().collect();
        self.requests(connection, (&requests, &needs.evidence), open).await
    }

    /// What was bought by month, of accounts whose payments may count.
    async fn months(&mut self, connection: &mut PgConnection, needs: &Needs) -> Result<(), Failure> {
        let mut wanted: Vec<i64> = Vec::new();
        for loaded in self.accounts.values().filter(|loaded| needs.months.contains(&loaded.state.book.account.key)) {
            let Some(places) = self.places.get_mut(&loaded.account_id) else { continue };
            if !std::mem::replace(&mut places.months, true) {
                wanted.push(loaded.account_id);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let sql = of_each!(
            "unnest($2::bigint[]) as asked (account_id)",
            "select * from purchase_months known where known.shard = $1 and known.account_id = asked.account_id"
        );
        let rows: Vec<PurchaseMonthRow> = sqlx::query_as(sql).bind(self.shard).bind(wanted).fetch_all(connection).await?;
        for row in rows {
            let month = row.month()?;
            self.book(row.account_id)?.months.insert(month.month, month);
        }
        Ok(())
    }

    /// Payments of cycles that open now or are issued more: it is added to what they brought.
    fn paid_ahead(&self, needs: &Needs, clock: &(dyn Fn(&AccountKey) -> Timestamp + Sync)) -> Named<Printable> {
        let ahead = |loaded: &LoadedAccount| {
            let book = &loaded.state.book;
            let at = apply::recorded_time(&loaded.state, clock(&book.account.key));
            let now = needs.issued_more.contains(&book.account.key);
            let opening = book.subscriptions.values().filter(|one| now || one.cycle.end <= at);
            opening.flat_map(|one| one.paid_ahead(now)).map(|payment| (book.account.key.clone(), payment.clone())).collect::<Vec<_>>()
        };
        self.accounts.values().flat_map(ahead).collect()
    }

    /// Payments with all of their names; returns the ids that requests for staff have or would have.
    async fn payments(&mut self, connection: &mut PgConnection, needs: &Needs) -> Result<Named<Id>, Failure> {
        let mut requests = Named::new();
        if needs.payments.is_empty() && needs.provider_ids.is_empty() {
            return Ok(requests);
        }
        let names = |(key, id): &(AccountKey, Id)| named_by_id(id).map(|name| (key.clone(), name)).collect::<Vec<_>>();
        let (cut, whole): (Named<Id>, Named<Id>) = needs.provider_ids.iter().cloned().partition(|(_, id)| may_be_cut(id));
        let named: Named<Printable> = whole.iter().flat_map(names).chain(needs.payments.iter().cloned()).collect();
        let (accounts, names_asked) = self.pairs(&named, Printable::to_string);
        let (taken_in, taken) = self.pairs(&needs.reviews, Id::to_string);
        let asked = sqlx::query_as(NAMED).bind(self.shard).bind(accounts).bind(names_asked).bind(taken_in).bind(taken);
        let mut rows: Vec<NamedRow> = asked.fetch_all(&mut *connection).await?;
        rows.extend(self.named::<NamedRow, _>(connection, NAMED_BY_ID, &cut.iter().flat_map(names).collect()).await?);
        let mut payments: Named<Printable> = Named::new();
        for row in rows {
            let stands = row.stands_for()?;
            if let (Stands::Payment(known), Some(places)) = (&stands, self.places.get_mut(&row.account_id)) {
                places.names.insert(known.name.name.clone());
            }
            let book = self.book(row.account_id)?;
            let of = book.account.key.clone();
            match stands {
                Stands::Payment(known) => {
                    payments.insert((of, known.payment.clone()));
                    book.payment_names.insert(known.name.name.clone(), known);
                }
                Stands::Request(request) => drop(requests.insert((of, request))),
            }
        }
        let sql = named_rows!("payments", "payment");
        // A payment that was granted is what it is, unless it is reversed, or its tax becomes known; of another one that
        // may still come.
        let mut open: Named<Printable> = Named::new();
        for row in self.named::<PaymentRow, _>(connection, sql, &payments).await? {
            let payment = row.payment()?;
            let book = self.book(row.account_id)?;
            let name = (book.account.key.clone(), payment.terms.payment.clone());
            if payment.status != PaymentStatus::Granted || payment.terms.before_tax.is_none() || needs.refunds_asked {
                open.insert(name);
            }
            requests.insert((book.account.key.clone(), payment.terms.provider_id.clone()));
            book.payments.insert(payment.terms.payment.clone(), payment);
        }
        // Names that this batch learns may make any payment of such an account the one that is reversed; usage may
        // turn out to be late, and then what a reversal has excused counts.
        let accounts: BTreeSet<&AccountKey> =
            needs.reversed.iter().map(|(key, _)| key).chain(open.iter().map(|(key, _)| key)).chain(needs.used_from.keys()).collect();
        let reversed: Named<Printable> = payments.iter().filter(|(key, _)| accounts.contains(key)).cloned().collect();
        self.reversals(connection, &open.union(&reversed).cloned().collect(), needs).await?;
        self.what_was_bought(connection, &reversed).await?;
        Ok(requests)
    }

    /// Refunds and disputes of payments, and those that messages name.
    async fn reversals(&mut self, connection: &mut PgConnection, payments: &Named<Printable>, needs: &Needs) -> Result<(), Failure> {
        let of_payments = named_rows!("refunds", "payment");
        let named = named_rows!("refunds", "refund");
        let mut refunds: Vec<RefundRow> = self.named(connection, of_payments, payments).await?;
        refunds.extend(self.named::<RefundRow, _>(connection, named, &needs.refunds).await?);
        for row in refunds {
            let refund = row.refund()?;
            self.book(row.account_id)?.refunds.insert(refund.id.clone(), refund);
        }
        let of_payments = named_rows!("disputes", "payment");
        let named = named_rows!("disputes", "dispute");
        let mut disputes: Vec<DisputeRow> = self.named(connection, of_payments, payments).await?;
        disputes.extend(self.named::<DisputeRow, _>(connection, named, &needs.disputes).await?);
        for row in disputes {
            let dispute = row.dispute()?;
            self.book(row.account_id)?.disputes.insert(dispute.id.clone(), dispute);
        }
        Ok(())
    }

    /// Grants that payments bought, shortfalls of their reversal, and the grants that repaid those.
    async fn what_was_bought(&mut self, connection: &mut PgConnection, payments: &Named<Printable>) -> Result<(), Failure> {
        self.grants_of(connection, payments).await?;
        let sql = named_rows!("debts", "payment");
        let mut repaid_by: Vec<(i64, u32)> = Vec::new();
        for row in self.named::<DebtRow, _>(connection, sql, payments).await? {
            let debt = row.debt()?;
            repaid_by.extend(debt.repaid_by.keys().map(|grant| (row.account_id, *grant)));
            self.book(row.account_id)?.debts.insert(debt.number, debt);
        }
        self.grants_numbered(connection, &repaid_by).await
    }

    async fn requests(
        &mut self,
        connection: &mut PgConnection,
        (requests, evidence): (&Named<Id>, &Named<Printable>),
        open: OpenTables,
    ) -> Result<(), Failure> {
        let mut rows: Vec<RequestRow> = Vec::new();
        if open.requests {
            let sql = "select * from credit_requests where shard = $1 and account_id = any($2) and status = 'pending'";
            rows.extend(self.all(connection, sql).await?);
        }
        let sql = named_rows!("credit_requests", "request");
        rows.extend(self.named(connection, sql, requests).await?);
        let sql = named_rows!("credit_requests", "evidence_reference");
        rows.extend(self.named(connection, sql, evidence).await?);
        for row in rows {
            let request = row.request()?;
            self.book(row.account_id)?.requests.insert(request.terms.id.clone(), request);
        }
        Ok(())
    }

    async fn subscriptions(&mut self, connection: &mut PgConnection, needs: &Needs, open: OpenTables) -> Result<(), Failure> {
        if open.subscriptions || !needs.subscriptions.is_empty() {
            let (accounts, names) = self.pairs(&needs.subscriptions, Id::to_string);
            let sql = "select * from subscriptions where shard = $1 and account_id = any($2) and (not is_ended \
                       or (account_id, subscription) in (select * from unnest($3::bigint[], $4::text[])))";
            let rows: Vec<SubscriptionRow> =
                sqlx::query_as(sql).bind(self.shard).bind(&self.ids).bind(accounts).bind(names).fetch_all(&mut *connection).await?;
            for row in rows {
                let subscription = row.subscription()?;
                self.book(row.account_id)?.subscriptions.insert(subscription.id.clone(), subscription);
            }
        }
        if open.subscriptions || needs.high_waters {
            let rows: Vec<HighWaterRow> =
                self.all(connection, "select * from high_waters where shard = $1 and account_id = any($2)").await?;
            for row in rows {
                let mark = row.high_water()?;
                self.book(row.account_id)?.high_waters.insert(mark.item.clone(), mark);
            }
        }
        Ok(())
    }
}
