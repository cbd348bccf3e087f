//! Messages that wait: read when a batch may set them free, in portions; written and removed with it.
//!
//! Owns the table `waiting`. What waits for nothing that the batch brings is not read, however much of
//! it an account has: only its number, the instant it is next due, and the identities that the batch
//! repeats. What is free and beyond the portion becomes due at once, and the scheduler comes for it.
//! Never decides whether something is set free: the fold does, over what was read.

use super::load::{Batch, instant};
use super::rows::{hash, unreadable};
use super::write::write_rows;
use super::written::written;
use crate::domain::account::AccountStatus;
use crate::domain::apply::recorded_time;
use crate::domain::book::{Answered, Waiting};
use crate::domain::decision::On;
use crate::domain::ids::{AccountKey, Id, MessageKey, Printable};
use crate::failure::Failure;
use crate::message;
use crate::message::raw::{Raw, RawHead};
use crate::store::{AccountWrite, Needs};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use sqlx::types::{Json, Uuid};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most messages read for one batch.
const READ_MAX: i64 = 256;
/// Most bytes of their bodies, but for a single larger one.
const READ_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// Those that the batch may set free, without their bytes: what is due by its instant, then the rest, the oldest first.
/// Each part is served by the index on the account, the word and the due instant.
const FREE: &str = "\
    with asked (account_id, at, is_open) as (select * from unnest($2::bigint[], $3::timestamptz[], $4::bool[])), \
    named (account_id, waits_on, waits_key) as ( \
        select account_id, 'request', key from unnest($5::bigint[], $6::text[]) as one (account_id, key) \
        union all select account_id, 'decision', key from unnest($5::bigint[], $6::text[]) as one (account_id, key) \
        union all select account_id, 'subscription', key from unnest($7::bigint[], $8::text[]) as one (account_id, key)), \
    named_payment (account_id, name) as (select * from unnest($10::bigint[], $11::text[])), \
    free as ( \
        select w.account_id, w.message_key, w.due_at, w.arrived_at, octet_length(w.body) as bytes from asked join waiting w using (account_id) \
        where w.shard = $1 and w.waits_on = any('{account,request,decision,subscription,payment,time,claim}') and w.due_at <= asked.at \
        union all \
        select w.account_id, w.message_key, null, w.arrived_at, octet_length(w.body) from asked join waiting w using (account_id) \
        where w.shard = $1 and w.waits_on = 'account' and w.due_at > asked.at and asked.is_open \
        union all \
        select w.account_id, w.message_key, null, w.arrived_at, octet_length(w.body) from asked join waiting w using (account_id) \
        where w.shard = $1 and w.waits_on = any('{request,decision,subscription,payment,claim}') and w.due_at > asked.at and ( \
            w.waits_on = 'claim' and w.waits_key <> 'undecided' \
            or exists (select from named n where (n.account_id, n.waits_on, n.waits_key) = (w.account_id, w.waits_on, w.waits_key)) \
            or w.waits_on = 'payment' and exists (select from named_payment n \
                where n.account_id = w.account_id and n.name = any (string_to_array(w.waits_key, E'\\n'))) \
            or w.waits_on = 'payment' and exists (select from payment_names p \
                where p.shard = $1 and p.account_id = w.account_id and p.name = any (string_to_array(w.waits_key, E'\\n'))) \
            or w.waits_on in ('request', 'decision') and exists (select from credit_requests r \
                where r.shard = $1 and r.account_id = w.account_id and r.request = w.waits_key \
                and (w.waits_on = 'request' or r.status <> 'pending')) \
            or w.waits_on = 'subscription' and exists (select from subscriptions s \
                where s.shard = $1 and s.account_id = w.account_id and s.subscription = w.waits_key))) \
    select account_id, message_key, bytes from free order by due_at nulls last, arrived_at, message_key limit $9";

const BODIES: &str = "select account_id, waits_on, waits_key, waits_until, deadline, raw, body from waiting \
    where shard = $1 and (account_id, message_key) in (select * from unnest($2::bigint[], $3::uuid[])) order by arrived_at, message_key";

const REPEATED: &str = "select account_id, message_key, content from waiting \
    where shard = $1 and (account_id, message_key) in (select * from unnest($2::bigint[], $3::uuid[]))";

const NEXT_DUE: &str = "select account_id, min(due_at) from unnest($2::bigint[]) as asked (account_id) \
    cross join unnest('{account,request,decision,subscription,payment,time,claim}'::text[]) as word (waits_on) \
    cross join lateral (select due_at from waiting w where w.shard = $1 and w.account_id = asked.account_id \
        and w.waits_on = word.waits_on and w.message_key <> all($3) order by due_at limit 1) as first \
    group by account_id";

/// Reads what the batch may set free; adds what that needs. `clock` tells an account's time.
pub(super) async fn read(
    connection: &mut PgConnection,
    batch: &mut Batch,
    needs: &mut Cow<'_, Needs>,
    clock: &(dyn Fn(&AccountKey) -> Timestamp + Sync),
) -> Result<(), Failure> {
    let waits: Vec<i64> = batch.accounts.values().filter(|loaded| loaded.unread.count > 0).map(|loaded| loaded.account_id).collect();
    if waits.is_empty() {
        return Ok(());
    }
    let keys = free(connection, batch, needs, &waits, clock).await?;
    bodies(connection, batch, needs, &keys).await?;
    let read: HashSet<Uuid> = keys.into_iter().map(|(_, key)| key).collect();
    repeated(connection, batch, needs, &read).await?;
    next_due(connection, batch, &waits, read).await
}

async fn free(
    connection: &mut PgConnection,
    batch: &Batch,
    needs: &Needs,
    waits: &[i64],
    clock: &(dyn Fn(&AccountKey) -> Timestamp + Sync),
) -> Result<Vec<(i64, Uuid)>, Failure> {
    let (mut times, mut open) = (Vec::with_capacity(waits.len()), Vec::with_capacity(waits.len()));
    for loaded in waits.iter().filter_map(|account_id| batch.accounts.get(account_id)) {
        let account = &loaded.state.book.account;
        times.push(instant(recorded_time(&loaded.state, clock(&account.key))));
        open.push(account.status != AccountStatus::Unopened || needs.opened.contains(&account.key));
    }
    let named = needs.requests.union(&needs.reviews).cloned().collect();
    let (request_accounts, requests) = batch.pairs(&named, Id::to_string);
    let (payment_accounts, payments) = batch.pairs(&needs.payments, Printable::to_string);
    let (subscription_accounts, subscriptions) = batch.pairs(&needs.subscriptions, Id::to_string);
    let rows: Vec<(i64, Uuid, i32)> = sqlx::query_as(FREE)
        .bind(batch.shard)
        .bind(waits)
        .bind(times)
        .bind(open)
        .bind(request_accounts)
        .bind(requests)
        .bind(subscription_accounts)
        .bind(subscriptions)
        .bind(READ_MAX)
        .bind(payment_accounts)
        .bind(payments)
        .fetch_all(connection)
        .await?;
    let mut bytes = 0_i64;
    let fits = rows.iter().take_while(|(.., one)| {
        bytes = bytes.saturating_add(i64::from(*one));
        bytes <= READ_BYTES_MAX
    });
    let most = fits.count().max(1);
    Ok(rows.into_iter().take(most).map(|(account_id, key, _)| (account_id, key)).collect())
}

/// Reads messages again from the bytes they came in.
async fn bodies(connection: &mut PgConnection, batch: &mut Batch, needs: &mut Cow<'_, Needs>, keys: &[(i64, Uuid)]) -> Result<(), Failure> {
    type Row = (i64, String, Option<String>, Option<SqlTimestamp>, SqlTimestamp, Json<RawHead>, Vec<u8>);
    if keys.is_empty() {
        return Ok(());
    }
    let (accounts, names): (Vec<i64>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows: Vec<Row> = sqlx::query_as(BODIES).bind(batch.shard).bind(accounts).bind(names).fetch_all(connection).await?;
    for (account_id, on, key, until, deadline, head, body) in rows {
        let raw = Raw::from_parts(head.0, body).map(Arc::new);
        let Some(raw) = raw else { return Err(unreadable("queue of account row", &account_id.to_string())) };
        let owner = batch.accounts.get(&account_id).map(|loaded| loaded.state.book.account.key.account.clone());
        let message = match (message::reread(&raw), owner) {
            (Ok(message::Incoming::Account(message)), _) => Arc::new(*message),
            (Ok(message::Incoming::Unaddressed(message)), Some(owner)) => Arc::new(message.addressed(owner)),
            (Ok(_) | Err(_), _) => return Err(unreadable("waiting message of account row", &account_id.to_string())),
        };
        let on = On::from_word(&on, key.as_deref(), until.map(SqlTimestamp::to_jiff)).ok_or_else(|| unreadable("wait", &on))?;
        needs.to_mut().add(&message);
        needs.to_mut().look_up(&message);
        if let Some(loaded) = batch.accounts.get_mut(&account_id) {
            loaded.deliveries.insert(message.id.key(), raw);
            loaded.state.waiting.push(Waiting { message, on, deadline: deadline.to_jiff() });
            loaded.unread.count = loaded.unread.count.saturating_sub(1);
        }
    }
    Ok(())
}

/// Messages of the batch that wait already and were not read: their answer is that they wait.
async fn repeated(connection: &mut PgConnection, batch: &mut Batch, needs: &Needs, read: &HashSet<Uuid>) -> Result<(), Failure> {
    let (accounts, keys) = batch.pairs(&needs.messages, |key| Uuid::from_bytes(key.0));
    let rows: Vec<(i64, Uuid, Vec<u8>)> =
        sqlx::query_as(REPEATED).bind(batch.shard).bind(accounts).bind(keys).fetch_all(connection).await?;
    for (account_id, key, content) in rows.into_iter().filter(|(_, key, _)| !read.contains(key)) {
        let answered = Answered { content: hash(&content)?, recorded: None };
        if let Some(loaded) = batch.accounts.get_mut(&account_id) {
            loaded.state.answered.insert(MessageKey(key.into_bytes()), answered);
        }
    }
    Ok(())
}

async fn next_due(connection: &mut PgConnection, batch: &mut Batch, waits: &[i64], read: HashSet<Uuid>) -> Result<(), Failure> {
    let read: Vec<Uuid> = read.into_iter().collect();
    let rows: Vec<(i64, SqlTimestamp)> = sqlx::query_as(NEXT_DUE).bind(batch.shard).bind(waits).bind(read).fetch_all(connection).await?;
    let due: HashMap<i64, SqlTimestamp> = rows.into_iter().collect();
    for loaded in batch.accounts.values_mut() {
        loaded.unread.due_at = due.get(&loaded.account_id).map(|at| at.to_jiff());
    }
    Ok(())
}

written! {
    /// A message that began to wait.
    WrittenWaiting = "written_waiting" {
        account_id: i64,
        message_key: Uuid,
        source: &'a str,
        id: &'a str,
        content: &'a [u8],
        waits_on: &'static str,
        waits_key: Option<String>,
        waits_until: Option<SqlTimestamp>,
        deadline: SqlTimestamp,
        raw: Json<RawHead>,
        body: &'a [u8],
    }
}

impl<'a> WrittenWaiting<'a> {
    fn of(account_id: i64, waiting: &'a Waiting, raw: &'a Raw) -> Self {
        let waits_until = if let On::Time(at) = &waiting.on { Some(instant(*at)) } else { None };
        Self {
            account_id,
            message_key: Uuid::from_bytes(waiting.message.id.key().0),
            source: waiting.message.id.source.as_str(),
            id: waiting.message.id.id.as_str(),
            content: &waiting.message.content.0,
            waits_on: waiting.on.word(),
            waits_key: waiting.on.key(),
            waits_until,
            deadline: instant(waiting.deadline),
            raw: Json(raw.head()),
            body: &raw.body,
        }
    }
}

const RELEASE: &str =
    "delete from waiting where shard = $1 and (account_id, message_key) in (select * from unnest($2::bigint[], $3::uuid[]))";

const INSERT: &str = "insert into waiting (shard, account_id, message_key, source, id, content, waits_on, waits_key, waits_until, \
     deadline, raw, body) select $1, new.* from unnest($2::written_waiting[]) as new";

/// Adds messages that began to wait, removes those that wait no more, and makes due what is free by
/// now and was not read.
pub(super) async fn write(connection: &mut PgConnection, shard: i16, writes: &[AccountWrite]) -> Result<(), Failure> {
    let released = writes.iter().flat_map(|write| write.released.iter().map(|key| (write.account_id, Uuid::from_bytes(key.0))));
    let (accounts, keys): (Vec<i64>, Vec<Uuid>) = released.unzip();
    if !keys.is_empty() {
        sqlx::query(RELEASE).bind(shard).bind(accounts).bind(keys).execute(&mut *connection).await?;
    }
    let began =
        writes.iter().flat_map(|write| write.waiting.iter().map(|(waiting, raw)| WrittenWaiting::of(write.account_id, waiting, raw)));
    let began = began.collect();
    write_rows(connection, INSERT, shard, began).await?;
    for write in writes.iter().filter(|write| write.unread.count > 0 && write.account.status != AccountStatus::Unopened) {
        make_due(connection, shard, write).await?;
    }
    Ok(())
}

/// What was free and read is gone from the table by now: what is still there and free was not read.
async fn make_due(connection: &mut PgConnection, shard: i16, write: &AccountWrite) -> Result<(), Failure> {
    sqlx::query(
        "with freed as (update waiting w set waits_on = 'time', waits_key = null, waits_until = $3 \
             where w.shard = $1 and w.account_id = $2 and (w.waits_on = 'account' \
                 or w.waits_on = 'payment' and exists (select from payment_names p \
                     where p.shard = $1 and p.account_id = $2 and p.name = any (string_to_array(w.waits_key, E'\\n'))) \
                 or w.waits_on in ('request', 'decision') and exists (select from credit_requests r \
                     where r.shard = $1 and r.account_id = $2 and r.request = w.waits_key \
                     and (w.waits_on = 'request' or r.status <> 'pending')) \
                 or w.waits_on = 'subscription' and exists (select from subscriptions s \
                     where s.shard = $1 and s.account_id = $2 and s.subscription = w.waits_key)) returning 1) \
         update accounts set next_due_at = least(next_due_at, $3) where shard = $1 and account_id = $2 and exists (select from freed)",
    )
    .bind(shard)
    .bind(write.account_id)
    .bind(instant(write.at))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::written::tests::check;
    use super::*;

    #[test]
    fn waiting_rows_have_one_order_of_columns() {
        check(WrittenWaiting::SHAPE, INSERT);
    }
}
