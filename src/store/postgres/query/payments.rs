//! An account's payments with everything on them: details, payer, grants, refunds, disputes, what was not covered.
//!
//! Owns how what is kept under several names of a payment becomes one: field by field, the first in the order of
//! the names. Under one name the first that was heard stays.

use super::super::PostgresStore;
use super::super::rows::{GrantRow, optional_printable, select_grants, unreadable};
use super::super::rows_money::{DebtRow, DisputeRow, PaymentRow, RefundRow};
use super::Home;
use crate::domain::ids::{Link, Printable};
use crate::domain::payment_details::{Details, Payer};
use crate::failure::Failure;
use crate::statement::PaymentRecord;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

const PAYMENTS: &str = "select * from payments where shard = $1 and account_id = $2 and status <> 'joined' \
     order by paid_at nulls last, payment";

/// What is kept under the names `n` of one payment, `d` details and `p` payers.
macro_rules! kept_details {
    () => {
        "(array_agg(d.method order by n.name) filter (where d.method is not null))[1] as method, \
         (array_agg(d.tax order by n.name) filter (where d.tax is not null))[1] as tax, \
         (array_agg(d.number order by n.name) filter (where d.number is not null))[1] as number, \
         (array_agg(d.receipt order by n.name) filter (where d.receipt is not null))[1] as receipt, \
         (array_agg(p.payer order by n.name) filter (where p.payer is not null))[1] as payer, \
         (array_agg(p.email order by n.name) filter (where p.email is not null))[1] as email, \
         (array_agg(p.country order by n.name) filter (where p.country is not null))[1] as country, max(p.erased_at) as erased_at"
    };
}
pub(super) use kept_details;

const DETAILS: &str = concat!(
    "select n.payment, ",
    kept_details!(),
    " from payment_names n left join payment_details d using (shard, account_id, name) left join payers p using (shard, account_id, name) \
     where n.shard = $1 and n.account_id = $2 group by n.payment \
     union all \
     select 'request:' || request, method, null, null, null, null, null, null, null from credit_requests \
     where shard = $1 and account_id = $2 and status = 'accepted' and method <> 'payment'"
);

const GRANTS: &str = select_grants!("", "where shard = $1 and account_id = $2 and payment is not null order by number");

const REFUNDS: &str = "select * from refunds where shard = $1 and account_id = $2 order by created_at, refund";

const DISPUTES: &str = "select * from disputes where shard = $1 and account_id = $2 order by opened_at, dispute";

const SHORTFALLS: &str = "select * from debts where shard = $1 and account_id = $2 and payment is not null";

/// A row without a payer stays behind under every name.
const ERASE: &str = "with named as ( \
       select name, payment from payment_names where shard = $1 and account_id = $2 and ($3::text is null or payment in ( \
         select payment from payment_names where shard = $1 and account_id = $2 and name = $3))), \
     erased as ( \
       insert into payers as known (shard, account_id, name, erased_at) select $1, $2, name, now() from named \
       on conflict (shard, account_id, name) do update set payer = null, email = null, country = null, \
       erased_at = coalesce(known.erased_at, excluded.erased_at)) \
     select count(distinct payment) from named";

#[derive(sqlx::FromRow)]
pub(super) struct DetailsRow {
    payment: String,
    method: Option<String>,
    tax: Option<String>,
    number: Option<String>,
    receipt: Option<String>,
    payer: Option<String>,
    email: Option<String>,
    country: Option<String>,
    erased_at: Option<SqlTimestamp>,
}

impl DetailsRow {
    pub(super) fn details(&self) -> Result<Details, Failure> {
        Ok(Details {
            method: optional_printable(self.method.as_ref())?,
            tax: optional_printable(self.tax.as_ref())?,
            number: optional_printable(self.number.as_ref())?,
            receipt: self.receipt.as_deref().and_then(|text| Link::new(text).ok()),
            payer: Payer {
                name: optional_printable(self.payer.as_ref())?,
                email: optional_printable(self.email.as_ref())?,
                country: optional_printable(self.country.as_ref())?,
            },
        })
    }
}

/// Payments, found by the name each is kept under.
struct Records<'a> {
    records: &'a mut [PaymentRecord],
    places: BTreeMap<Printable, usize>,
}

impl Records<'_> {
    fn payment(&mut self, name: &str) -> Option<&mut PaymentRecord> {
        self.records.get_mut(*self.places.get(name)?)
    }
}

/// All rows of one of the statements above.
async fn rows<R>(connection: &mut PgConnection, sql: &'static str, home: Home) -> Result<Vec<R>, Failure>
where
    R: for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin,
{
    Ok(sqlx::query_as(sql).bind(home.shard).bind(home.account_id).fetch_all(connection).await?)
}

impl PostgresStore {
    /// An account's payments, by the time they were paid; those that were not come last.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn payments_of(&self, home: Home) -> Result<Vec<PaymentRecord>, Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *transaction).await?;
        let payments: Vec<PaymentRow> = rows(&mut transaction, PAYMENTS, home).await?;
        let mut records: Vec<PaymentRecord> = payments.iter().map(|row| row.payment().map(PaymentRecord::new)).collect::<Result<_, _>>()?;
        let places: BTreeMap<Printable, usize> =
            records.iter().enumerate().map(|(place, record)| (record.payment.terms.payment.clone(), place)).collect();
        let mut of = Records { records: &mut records, places };
        for row in rows::<DetailsRow>(&mut transaction, DETAILS, home).await? {
            if let Some(record) = of.payment(&row.payment) {
                record.details = std::mem::take(&mut record.details).or(row.details()?);
                record.erased_at = record.erased_at.or(row.erased_at.map(SqlTimestamp::to_jiff));
            }
        }
        for row in rows::<GrantRow>(&mut transaction, GRANTS, home).await? {
            let grant = row.grant()?;
            if let Some(record) = grant.terms.payment.as_ref().and_then(|payment| of.payment(payment.as_str())) {
                record.grants.push(grant);
            }
        }
        for row in rows::<RefundRow>(&mut transaction, REFUNDS, home).await? {
            let refund = row.refund()?;
            if let Some(record) = of.payment(refund.payment.as_str()) {
                record.refunds.push(refund);
            }
        }
        for row in rows::<DisputeRow>(&mut transaction, DISPUTES, home).await? {
            let dispute = row.dispute()?;
            if let Some(record) = of.payment(dispute.payment.as_str()) {
                record.disputes.push(dispute);
            }
        }
        for row in rows::<DebtRow>(&mut transaction, SHORTFALLS, home).await? {
            let debt = row.debt()?;
            if let Some(record) = debt.payment.as_ref().and_then(|payment| of.payment(payment.as_str())) {
                let more = debt.stands().and_then(|stands| record.shortfall.plus(stands));
                record.shortfall = more.map_err(|_| unreadable("debt", &debt.number.to_string()))?;
            }
        }
        transaction.commit().await?;
        Ok(records)
    }

    /// Erases who paid: of one payment, by any of its names, or of every payment of the account. What comes
    /// later does not fill it again. Returns how many payments that were.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn erase_payers(&self, home: Home, payment: Option<&Printable>) -> Result<u64, Failure> {
        let erased = sqlx::query_scalar::<_, i64>(ERASE).bind(home.shard).bind(home.account_id).bind(payment.map(Printable::as_str));
        Ok(u64::try_from(erased.fetch_one(&self.pool).await?).unwrap_or_default())
    }
}
