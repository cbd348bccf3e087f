//! Stripe's lists of charges, of refunds and of disputes.
//!
//! Owns their order and pages: charges first, then what went back of any charge, each from the newest to the oldest.

use super::{NoList, Page, Service};
use crate::drift::record::{Row, Says};
use crate::drift::stripe::Object;
use crate::paypal::sensitive;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a restricted key must be allowed.
const PERMISSION: &str = "charges, refunds and disputes";
/// The most that Stripe puts into a page.
const PAGE: usize = 100;

/// A secret or restricted key; never shown.
pub struct Key(pub String);

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum List {
    Charges,
    Refunds,
    Disputes,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    list: List,
    after: Option<String>,
    /// Objects of the list before it.
    seen: u64,
}

impl Cursor {
    /// Before the first.
    #[must_use]
    pub fn start() -> Self {
        Self { list: List::Charges, after: None, seen: 0 }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
}

/// The next page of what was created in `[from, to)`.
///
/// # Errors
/// [`NoList`].
pub async fn page(service: &Service, key: &Key, (from, to): (Timestamp, Timestamp), cursor: &Cursor) -> Result<Page<Cursor>, NoList> {
    let (name, period) = match cursor.list {
        List::Charges => ("charges", format!("&created[gte]={}&created[lt]={}", from.as_second(), to.as_second())),
        // A charge of the period may be refunded and disputed later.
        List::Refunds => ("refunds", format!("&created[gte]={}", from.as_second())),
        List::Disputes => ("disputes", format!("&created[gte]={}", from.as_second())),
    };
    let after = cursor.after.as_ref().map_or_else(String::new, |after| format!("&starting_after={after}"));
    let path = format!("/v1/{name}?limit={PAGE}{period}{after}").replace('[', "%5B").replace(']', "%5D");
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:", key.0)));
    let authorization = sensitive(&authorization).map_err(|error| NoList::Answer(error.to_string()))?;
    let body = service.page(async || service.get(&path, authorization.clone(), PERMISSION).await).await?;
    let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|error| NoList::Answer(error.to_string()))?;
    let mut after = None;
    let mut rows = Vec::with_capacity(answer.data.len());
    for (json, number) in answer.data.iter().zip(cursor.seen + 1..) {
        let object = serde_json::from_str::<Object>(json.get()).map_err(|error| error.to_string());
        if let Ok(object) = &object {
            after = Some(object.id().to_owned()).filter(|id| is_id(id));
        }
        let (at, says) = object.and_then(|object| object.row()).unwrap_or_else(|what| (None, Says::Unreadable(what)));
        rows.push(Row { place: number, at, says });
    }
    let seen = cursor.seen + u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let next = match (answer.has_more, after, cursor.list) {
        (true, Some(after), list) => Some(Cursor { list, after: Some(after), seen }),
        (true, None, _) => return Err(NoList::Answer("it says that there is more, and not after what".to_owned())),
        (false, _, List::Charges) => Some(Cursor { list: List::Refunds, after: None, seen: 0 }),
        (false, _, List::Refunds) => Some(Cursor { list: List::Disputes, after: None, seen: 0 }),
        (false, _, List::Disputes) => None,
    };
    Ok(Page { rows, next })
}

/// What may be put into an address as it stands.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
