//! What a transaction publishes, written as one row of announcements and one of replies.
//!
//! Owns the columns of these rows in the order of their statement. Never reads.

use super::super::written::signed;
use crate::failure::Failure;
use crate::store::{Content, OutboxRow};
use rust_decimal::Decimal;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, PgConnection};

/// Announcements and replies of one transaction: columns of `outbox_batches`, with one element each. Replies
/// have a row of their own, because somebody waits for them.
#[derive(Default)]
pub struct Batch<'a> {
    source: &'a str,
    account_ids: Vec<i64>,
    numbers: Vec<i64>,
    are_in_order: Vec<bool>,
    routing_keys: Vec<Option<&'a str>>,
    bodies: Vec<Option<&'a [u8]>>,
    tenants: Vec<Option<&'a str>>,
    accounts: Vec<Option<&'a str>>,
    from_seqs: Vec<Option<i64>>,
    to_seqs: Vec<Option<i64>>,
    held: Vec<Option<Decimal>>,
    frozen: Vec<Option<Decimal>>,
    debt: Vec<Option<Decimal>>,
    replies: Replies<'a>,
}

/// What somebody asked for: each stands alone.
#[derive(Default)]
struct Replies<'a> {
    account_ids: Vec<i64>,
    numbers: Vec<i64>,
    queues: Vec<&'a str>,
    correlation_ids: Vec<Option<&'a str>>,
    bodies: Vec<&'a [u8]>,
}

/// A batch by itself; `write.sql` has the same with the rest of a transaction.
const INSERT: &str = "insert into outbox_batches (shard, is_replies, source, account_ids, numbers, are_in_order, routing_keys, bodies, \
                      tenants, accounts, from_seqs, to_seqs, held, frozen, debt, correlation_ids) \
                      select $1, false, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, nulls.text \
                      from (select array_fill(null::text, array[cardinality($3::bigint[])]) as text) as nulls where cardinality($3) > 0 \
                      union all \
                      select $1, true, $2, $15, $16, array_fill(false, array[nulls.count]), $17, $19, nulls.text, nulls.text, nulls.big, \
                        nulls.big, nulls.number, nulls.number, nulls.number, $18 \
                      from (select cardinality($15::bigint[]) as count, array_fill(null::text, array[cardinality($15)]) as text, \
                              array_fill(null::bigint, array[cardinality($15)]) as big, \
                              array_fill(null::numeric, array[cardinality($15)]) as number) as nulls where nulls.count > 0";

impl<'a> Batch<'a> {
    /// Adds a row of an account.
    pub fn add(&mut self, account_id: i64, row: &'a OutboxRow) {
        let (announced, in_order, routing_key, body) = match &row.content {
            Content::Change { source, key, change } => {
                self.source = source;
                (Some((key, change)), true, None, None)
            }
            Content::Event { in_order, routing_key, body } => (None, *in_order, Some(routing_key), Some(body)),
            Content::Reply { queue, correlation_id, body } => {
                self.replies.account_ids.push(account_id);
                self.replies.numbers.push(signed(row.number));
                self.replies.queues.push(queue);
                self.replies.correlation_ids.push(correlation_id.as_deref());
                self.replies.bodies.push(body);
                return;
            }
        };
        let (key, change) = announced.unzip();
        self.account_ids.push(account_id);
        self.numbers.push(signed(row.number));
        self.are_in_order.push(in_order);
        self.routing_keys.push(routing_key.map(|key| &**key));
        self.bodies.push(body.map(|body| &**body));
        self.tenants.push(key.map(|key| key.tenant.as_str()));
        self.accounts.push(key.map(|key| key.account.as_str()));
        self.from_seqs.push(change.map(|change| signed(change.first)));
        self.to_seqs.push(change.map(|change| signed(change.last)));
        self.held.push(change.map(|change| change.held.decimal()));
        self.frozen.push(change.map(|change| change.frozen.decimal()));
        self.debt.push(change.map(|change| change.debt.decimal()));
    }

    /// Appends the columns to the arguments of a statement.
    ///
    /// # Errors
    /// When a column has more elements than the protocol can say.
    pub fn add_to(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(self.source)?;
        arguments.add(self.account_ids)?;
        arguments.add(self.numbers)?;
        arguments.add(self.are_in_order)?;
        arguments.add(self.routing_keys)?;
        arguments.add(self.bodies)?;
        arguments.add(self.tenants)?;
        arguments.add(self.accounts)?;
        arguments.add(self.from_seqs)?;
        arguments.add(self.to_seqs)?;
        arguments.add(self.held)?;
        arguments.add(self.frozen)?;
        arguments.add(self.debt)?;
        arguments.add(self.replies.account_ids)?;
        arguments.add(self.replies.numbers)?;
        arguments.add(self.replies.queues)?;
        arguments.add(self.replies.correlation_ids)?;
        arguments.add(self.replies.bodies)
    }
}

/// Numbers and writes what an account publishes beside the ledger; `home` is shard and id of its row,
/// which is locked.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn announce(connection: &mut PgConnection, home: (i16, i64), contents: Vec<Content>) -> Result<(), Failure> {
    let made = signed(u64::try_from(contents.len()).unwrap_or(u64::MAX));
    if made == 0 {
        return Ok(());
    }
    let sql = "update accounts set event_count = event_count + $3 where shard = $1 and account_id = $2 returning event_count - $3";
    let before: i64 = sqlx::query_scalar(sql).bind(home.0).bind(home.1).bind(made).fetch_one(&mut *connection).await?;
    let numbers = u64::try_from(before).unwrap_or_default().saturating_add(1)..;
    let rows: Vec<OutboxRow> = numbers.zip(contents).map(|(number, content)| OutboxRow { number, content }).collect();
    let mut batch = Batch::default();
    for row in &rows {
        batch.add(home.1, row);
    }
    let mut arguments = PgArguments::default();
    arguments.add(home.0).and_then(|()| batch.add_to(&mut arguments)).map_err(sqlx::Error::Encode)?;
    sqlx::query_with(INSERT, arguments).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::INSERT;

    #[test]
    fn both_statements_have_one_order_of_columns() {
        let columns = |sql: &'static str| {
            let (_, from) = sql.split_once("insert into outbox_batches (").unwrap();
            from.split_once(')').unwrap().0.split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(columns(INSERT), columns(include_str!("../write.sql")));
    }
}
