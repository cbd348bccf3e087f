//! PayPal's list of transactions.
//!
//! Owns its windows and pages: PayPal answers for at most 31 days and 10,000 transactions at a time, oldest first.

use super::{NoList, Page, Service};
use crate::drift::paypal::Transaction;
use crate::drift::record::{Row, Says};
use crate::paypal::Tokens;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the application must be allowed.
pub const PERMISSION: &str = "Transaction Search";
/// How late a transaction is listed, at most.
pub const LATE: SignedDuration = SignedDuration::from_hours(3);
/// The longest span that PayPal answers for is 31 days.
const WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The shortest span that is asked for: more transactions in it than PayPal lists cannot be had.
const WINDOW_LEAST: SignedDuration = SignedDuration::from_secs(2);
/// The most that PayPal puts into a page.
const PAGE: u32 = 500;
/// The most that PayPal lists of one window.
const ITEMS_MAX: u64 = 10_000;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    from: Timestamp,
    until: Timestamp,
    page: u32,
    seen: u64,
}

impl Cursor {
    /// Before the first of a period.
    #[must_use]
    pub fn start((from, to): (Timestamp, Timestamp)) -> Self {
        Self { from, until: to.min(later(from, WINDOW)), page: 1, seen: 0 }
    }

    /// The first page of what comes after this window.
    fn after(&self, to: Timestamp, seen: u64) -> Option<Self> {
        (self.until < to).then(|| Self { seen, ..Self::start((self.until, to)) })
    }

    /// The first half of this window, when it can be halved.
    fn half(&self) -> Option<Self> {
        let span = self.until.duration_since(self.from);
        let half = SignedDuration::from_secs(span.as_secs() / 2);
        (span > WINDOW_LEAST).then(|| Self { until: later(self.from, half), page: 1, ..self.clone() })
    }
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    transaction_details: Vec<&'a RawValue>,
    total_pages: Option<u32>,
    total_items: Option<u64>,
}

/// The next page of the transactions in `[from, to)`.
///
/// # Errors
/// [`NoList`].
pub async fn page(service: &Service, tokens: &Tokens, to: Timestamp, cursor: &Cursor) -> Result<Page<Cursor>, NoList> {
    let second = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    // Both ends count for PayPal.
    let last = later(cursor.until, SignedDuration::from_secs(-1)).max(cursor.from);
    let path = format!(
        "/v1/reporting/transactions?start_date={}&end_date={}&fields=transaction_info&page_size={PAGE}&page={}",
        second(cursor.from),
        second(last),
        cursor.page
    );
    let ask = async || {
        let bearer = tokens.bearer().await.map_err(NoList::of_token)?;
        match service.get(&path, bearer, PERMISSION).await {
            Err(NoList::Key(401, _)) => {
                // PayPal took the token back before its time.
                tokens.forget().await;
                let bearer = tokens.bearer().await.map_err(NoList::of_token)?;
                service.get(&path, bearer, PERMISSION).await
            }
            answered => answered,
        }
    };
    let body = match service.page(ask).await {
        Ok(body) => body,
        // More than PayPal lists: RESULTSET_TOO_LARGE.
        Err(NoList::Status(400)) if cursor.half().is_some() => return Ok(Page { rows: Vec::new(), next: cursor.half() }),
        Err(error) => return Err(error),
    };
    let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|error| NoList::Answer(error.to_string()))?;
    if answer.total_items.is_some_and(|items| items >= ITEMS_MAX) && cursor.page == 1 && cursor.half().is_some() {
        return Ok(Page { rows: Vec::new(), next: cursor.half() });
    }
    let mut rows = Vec::with_capacity(answer.transaction_details.len());
    for (json, place) in answer.transaction_details.iter().zip(cursor.seen + 1..) {
        let read = serde_json::from_str::<Transaction>(json.get()).map_err(|error| error.to_string());
        let (at, says) = read.and_then(|one| one.row(service.base.livemode())).unwrap_or_else(|what| (None, Says::Unreadable(what)));
        rows.push(Row { place, at, says });
    }
    let seen = cursor.seen + u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let next = if cursor.page < answer.total_pages.unwrap_or_default() {
        Some(Cursor { page: cursor.page + 1, seen, ..cursor.clone() })
    } else {
        cursor.after(to, seen)
    };
    Ok(Page { rows, next })
}
