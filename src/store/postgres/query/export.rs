//! The rows of an export: entries and payments of a tenant's accounts, a page at a time.
//!
//! Owns one snapshot of the database for the whole export, and the order of its rows: by name of the
//! account, then by number of the entry or name of the payment; names in the order of their bytes, whatever
//! shards the accounts live on. Never writes; never holds more than a page of rows.

use super::payments::{DetailsRow, kept_details};
use super::snapshot::snapshot;
use super::{ENTRY_COLUMNS, EntryRow};
use crate::domain::book::Book;
use crate::domain::clawback;
use crate::domain::credits::{Credits, Money};
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Id};
use crate::domain::payment::Payment;
use crate::domain::payment_details::Details;
use crate::domain::reversal::Reversed;
use crate::failure::Failure;
use crate::store::postgres::load::instant;
use crate::store::postgres::rows::{GrantRow, id, number, select_grants};
use crate::store::postgres::rows_money::{DebtRow, DisputeRow, PaymentRow, RefundRow};
use crate::store::postgres::written::signed;
use crate::store::shard_of;
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

/// A span of time: from its beginning on, up to and without its end. An absent side is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// The first instant in it.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub to: Option<Timestamp>,
}

/// Where an account's rows are, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    shard: i16,
    account_id: i64,
    /// Its name.
    pub account: Id,
}

/// Accounts of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Whose.
    pub tenant: &'a Id,
    /// The accounts, in the order of their names.
    pub places: &'a [Place],
}

/// A payment with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The payment.
    pub payment: Payment,
    /// What else is known of it, and who paid, unless that was erased.
    pub details: Details,
    /// Money refunded or promised back.
    pub refunded: Money,
    /// Money in dispute, or gone by one; what refunds tell of too is not in it.
    pub disputed: Money,
    /// Credits taken back from what it bought.
    pub clawed: Credits,
    /// Credits that should have been taken back and could not be.
    pub shortfall: Credits,
}

/// A row with the position of what it belongs to in the list that was asked about, from 1.
#[derive(sqlx::FromRow)]
struct Of<T> {
    place: i64,
    #[sqlx(flatten)]
    row: T,
}

#[derive(sqlx::FromRow)]
struct PlaceRow {
    shard: i16,
    account_id: i64,
    account: String,
}

/// The accounts of a tenant on all shards: of each shard the next ones by its index, and the first of those.
const ACCOUNTS: &str = "select a.shard, a.account_id, a.account from generate_series(0, $1::integer - 1) as s (shard) \
     cross join lateral (select shard, account_id, account from accounts \
       where shard = s.shard::smallint and tenant = $2 and account > $3 order by account limit $4) as a \
     order by a.account limit $4";

/// Payments of accounts after a name. One that turned out to be another is that one; what is not paid is in no
/// period.
const PAYMENTS: &str = "select w.place, p.* from unnest($1::smallint[], $2::bigint[], $3::text[]) with ordinality as w (shard, account_id, after, place) \
     cross join lateral (select * from payments where shard = w.shard and account_id = w.account_id and payment > w.after collate \"C\" \
       and status <> 'joined' and ($4::timestamptz is null or paid_at >= $4) and ($5::timestamptz is null or paid_at < $5) \
       order by payment limit $6) as p \
     order by w.place, p.payment limit $6";

/// A statement about the rows of a table that belong to payments.
macro_rules! of_payments {
    ($table:literal) => {
        concat!(
            "select w.place, r.* from unnest($1::smallint[], $2::bigint[], $3::text[]) with ordinality as w (shard, account_id, payment, place) \
             join ",
            $table,
            " r on r.shard = w.shard and r.account_id = w.account_id and r.payment = w.payment"
        )
    };
}

const GRANTS: &str = select_grants!(
    "w.place, ",
    "join unnest($1::smallint[], $2::bigint[], $3::text[]) with ordinality as w (shard, account_id, payment, place) \
     using (shard, account_id, payment)"
);

/// What is kept with payments, and the method of those that were requests.
const DETAILS: &str = concat!(
    "with w as (select * from unnest($1::smallint[], $2::bigint[], $3::text[]) with ordinality as w (shard, account_id, payment, place)) \
     select w.place, n.payment, ",
    kept_details!(),
    " from w cross join lateral (select name, payment from payment_names known \
       where known.shard = w.shard and known.account_id = w.account_id and known.payment = w.payment offset 0) as n \
     left join payment_details d on d.shard = w.shard and d.account_id = w.account_id and d.name = n.name \
     left join payers p on p.shard = w.shard and p.account_id = w.account_id and p.name = n.name \
     group by w.place, n.payment \
     union all \
     select w.place, w.payment, r.method, null, null, null, null, null, null, null from w join credit_requests r \
       on r.shard = w.shard and r.account_id = w.account_id and r.request = substr(w.payment, length('request:') + 1) \
     where w.payment like 'request:%' and r.status = 'accepted' and r.method <> 'payment'"
);

/// One snapshot of a database, read page by page.
#[derive(Debug)]
pub struct Export {
    connection: PgConnection,
    shards: i16,
}

impl Export {
    /// Connects and takes the snapshot.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn begin(url: &str) -> Result<Self, Failure> {
        let (connection, shards) = snapshot(url, "set application_name = 'credit-ledger export'").await?;
        Ok(Self { connection, shards })
    }

    /// True when the tenant exists.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn knows(&mut self, tenant: &Id) -> Result<bool, Failure> {
        let sql = "select exists (select from tenants where tenant = $1)";
        Ok(sqlx::query_scalar(sql).bind(tenant.as_str()).fetch_one(&mut self.connection).await?)
    }

    /// Where an account is; `None` when nobody named it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn place(&mut self, key: &AccountKey) -> Result<Option<Place>, Failure> {
        let shard = shard_of(key.tenant.as_str(), key.account.as_str(), self.shards);
        let sql = "select account_id from accounts where shard = $1 and tenant = $2 and account = $3";
        let asked = sqlx::query_scalar(sql).bind(shard).bind(key.tenant.as_str()).bind(key.account.as_str());
        let row: Option<i64> = asked.fetch_optional(&mut self.connection).await?;
        Ok(row.map(|account_id| Place { shard, account_id, account: key.account.clone() }))
    }

    /// The accounts of a tenant after a name, at most `most`; all come after the empty name.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn accounts_after(&mut self, tenant: &Id, after: &str, most: i64) -> Result<Vec<Place>, Failure> {
        let asked = sqlx::query_as(ACCOUNTS).bind(i32::from(self.shards)).bind(tenant.as_str()).bind(after).bind(most);
        let rows: Vec<PlaceRow> = asked.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok(Place { shard: row.shard, account_id: row.account_id, account: id(&row.account)? })).collect()
    }

    /// The entries of accounts that were recorded in a period, at most `most`, each with the index of its
    /// account. Of the first account only those after a number.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn entries(&mut self, places: &[Place], after: u64, period: Period, most: i64) -> Result<Vec<(usize, Entry)>, Failure> {
        let sql = format!(
            // Each account by its index, and none beyond the one that fills the page.
            "select w.place, found.* from unnest($1::smallint[], $2::bigint[], $3::bigint[]) with ordinality \
               as w (shard, account_id, after, place) \
             cross join lateral (select {ENTRY_COLUMNS} from entries where shard = w.shard and account_id = w.account_id and seq > w.after \
               and ($4::timestamptz is null or recorded_at >= $4) and ($5::timestamptz is null or recorded_at < $5) \
               order by seq limit $6) as found \
             order by w.place, found.seq limit $6"
        );
        let (shards, accounts) = columns(places);
        let rows: Vec<Of<EntryRow>> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(shards)
            .bind(accounts)
            .bind(first(places, signed(after)))
            .bind(period.from.map(instant))
            .bind(period.to.map(instant))
            .bind(most)
            .fetch_all(&mut self.connection)
            .await?;
        rows.iter().map(|one| Ok((index(one.place)?, one.row.entry()?.0))).collect()
    }

    /// The payments of accounts that were paid in a period, at most `most`, each with the index of its account.
    /// Of the first account only those after a name. A period that is open on both sides holds all payments,
    /// paid or not.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn payments(&mut self, places: &Places<'_>, after: &str, period: Period, most: i64) -> Result<Vec<(usize, Paid)>, Failure> {
        let Places { tenant, places } = *places;
        let (shards, accounts) = columns(places);
        let rows: Vec<Of<PaymentRow>> = sqlx::query_as(PAYMENTS)
            .bind(shards)
            .bind(accounts)
            .bind(first(places, after.to_owned()))
            .bind(period.from.map(instant))
            .bind(period.to.map(instant))
            .bind(most)
            .fetch_all(&mut self.connection)
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for one in rows {
            let at = index(one.place)?;
            let Some(place) = places.get(at) else { continue };
            let key = AccountKey { tenant: tenant.clone(), account: place.account.clone() };
            found.push(Bought { at, place, payment: one.row.payment()?, details: Details::default(), book: Book::unopened(key) });
        }
        for Of { place, row } in self.of_payments::<DetailsRow>(&found, DETAILS).await? {
            if let Some(one) = found.get_mut(index(place)?) {
                one.details = std::mem::take(&mut one.details).or(row.details()?);
            }
        }
        self.reversals(&mut found).await?;
        found.into_iter().map(Bought::told).collect()
    }

    /// What reverses payments and what they bought, each into the book of its payment.
    async fn reversals(&mut self, found: &mut [Bought<'_>]) -> Result<(), Failure> {
        for Of { place, row } in self.of_payments::<RefundRow>(found, of_payments!("refunds")).await? {
            let refund = row.refund()?;
            if let Some(one) = found.get_mut(index(place)?) {
                one.book.refunds.insert(refund.id.clone(), refund);
            }
        }
        for Of { place, row } in self.of_payments::<DisputeRow>(found, of_payments!("disputes")).await? {
            let dispute = row.dispute()?;
            if let Some(one) = found.get_mut(index(place)?) {
                one.book.disputes.insert(dispute.id.clone(), dispute);
            }
        }
        for Of { place, row } in self.of_payments::<DebtRow>(found, of_payments!("debts")).await? {
            let debt = row.debt()?;
            if let Some(one) = found.get_mut(index(place)?) {
                one.book.debts.insert(debt.number, debt);
            }
        }
        for Of { place, row } in self.of_payments::<GrantRow>(found, GRANTS).await? {
            let grant = row.grant()?;
            if let Some(one) = found.get_mut(index(place)?) {
                one.book.grants.insert(grant);
            }
        }
        Ok(())
    }

    async fn of_payments<T>(&mut self, found: &[Bought<'_>], sql: &'static str) -> Result<Vec<Of<T>>, Failure>
    where
        T: Send + Unpin,
        Of<T>: for<'row> sqlx::FromRow<'row, PgRow>,
    {
        Ok(sqlx::query_as(sql)
            .bind(found.iter().map(|one| one.place.shard).collect::<Vec<_>>())
            .bind(found.iter().map(|one| one.place.account_id).collect::<Vec<_>>())
            .bind(found.iter().map(|one| one.payment.terms.payment.as_str()).collect::<Vec<_>>())
            .fetch_all(&mut self.connection)
            .await?)
    }
}

/// A payment, and a book that holds nothing but what belongs to it.
struct Bought<'a> {
    at: usize,
    place: &'a Place,
    payment: Payment,
    details: Details,
    book: Book,
}

impl Bought<'_> {
    /// With what became of it, by the rules of the core.
    fn told(self) -> Result<(usize, Paid), Failure> {
        let out_of_bounds = |_| Failure::Misfit("the sums of a payment leave the bounds of an amount".into());
        let (book, payment) = (&self.book, &self.payment);
        let reversed = Reversed::of(book, payment);
        let name = &payment.terms.payment;
        let paid = Paid {
            refunded: reversed.refunded().map_err(out_of_bounds)?,
            disputed: reversed.in_dispute().map_err(out_of_bounds)?,
            clawed: clawback::taken(book, name).map_err(out_of_bounds)?,
            shortfall: clawback::shortfall(book, name).map_err(out_of_bounds)?,
            payment: self.payment,
            details: self.details,
        };
        Ok((self.at, paid))
    }
}

fn columns(places: &[Place]) -> (Vec<i16>, Vec<i64>) {
    places.iter().map(|place| (place.shard, place.account_id)).unzip()
}

/// The first account is read after a mark, the others from their beginning.
fn first<T: Clone + Default>(places: &[Place], after: T) -> Vec<T> {
    let mut marks = vec![T::default(); places.len()];
    if let Some(first) = marks.first_mut() {
        *first = after;
    }
    marks
}

fn index(place: i64) -> Result<usize, Failure> {
    number(place.saturating_sub(1))
}
