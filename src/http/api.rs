//! Reading accounts, for the host application.
//!
//! Owns `GET /v1/tenants/{tenant}/accounts/{account}/balance` and `…/entries`, who may ask, and the order of
//! the refusals: too often, no token, not allowed, a bad question, nothing there, the database away. Reads
//! through a pool of its own and never waits for what is being written. Never writes.

use super::answer::{self, Answer};
use super::listen::Arrival;
use super::rate::Rate;
use super::token::claims;
use crate::domain::ids::{AccountKey, Id};
use crate::failure::Failure;
use crate::figures;
use crate::message::entry_json;
use crate::secrets::Secrets;
use crate::statement::AccountView;
use crate::store::postgres::PostgresStore;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{debug, error};

/// Entries of one answer, unless asked for otherwise.
const LIMIT_DEFAULT: i64 = 100;
/// Entries of one answer at most.
const LIMIT_MAX: i64 = 500;
/// When to ask again while the database is away.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where accounts are read, once the database was reached.
pub type Accounts = Arc<OnceLock<PostgresStore>>;

/// Answers questions about accounts.
#[derive(Clone)]
pub struct Api {
    /// Where they are read.
    pub accounts: Accounts,
    /// The tenants' keys.
    pub secrets: watch::Receiver<Arc<Secrets>>,
    /// How often one source may ask.
    pub rate: Arc<Rate>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Balance,
    Entries { after: i64, limit: i64 },
}

impl Api {
    /// Its routes, to be joined with those of health.
    pub fn router(self) -> Router {
        let route = |route: &'static str| {
            get(
                move |state: State<Self>,
                      names: Path<(String, String)>,
                      arrival: Extension<Arrival>,
                      query: RawQuery,
                      headers: HeaderMap| { counted(route, state, (names, arrival, query), headers) },
            )
        };
        Router::new()
            .route("/v1/tenants/{tenant}/accounts/{account}/balance", route("balance"))
            .route("/v1/tenants/{tenant}/accounts/{account}/entries", route("entries"))
            .with_state(self)
    }

    async fn answer(&self, key: &AccountKey, question: Question) -> Result<String, Answer> {
        let store = self.accounts.get().ok_or_else(away)?;
        let found = match question {
            Question::Balance => balance(store, key).await,
            Question::Entries { after, limit } => entries(store, key, (after, limit)).await,
        };
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                Err(Answer::new(StatusCode::NOT_FOUND, "The ledger has no such account; its first credit or account.opened makes one."))
            }
            Err(failure) if failure.is_transient() => {
                debug!(error = %failure, cause = cause(&failure), "an account cannot be read at the moment");
                Err(away())
            }
            Err(failure) => {
                error!(error = %failure, cause = cause(&failure), "an account cannot be read; it needs a person");
                Err(Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "The account cannot be read; the operator finds the reason in the log."))
            }
        }
    }
}

type Asked = (Path<(String, String)>, Extension<Arrival>, RawQuery);

async fn counted(
    route: &'static str,
    State(api): State<Api>,
    (Path((tenant, account)), Extension(arrival), RawQuery(query)): Asked,
    headers: HeaderMap,
) -> Response<Body> {
    let begun = Instant::now();
    let asked = async {
        let (tenant, account) = Id::new(&tenant).ok().zip(Id::new(&account).ok()).ok_or_else(answer::not_found)?;
        api.rate.take(arrival.source, Instant::now()).map_err(answer::too_often)?;
        let secrets = api.secrets.borrow().clone();
        let claims = claims(&headers, arrival.at, |tenant, id| secrets.api_key(tenant, id).cloned());
        let claims =
            claims.map_err(|why| Answer::new(StatusCode::UNAUTHORIZED, format!("Nothing was read, because {why}; send a new one.")))?;
        if !claims.allow(&tenant, &account) {
            return Err(Answer::new(StatusCode::FORBIDDEN, "The token does not allow this account to be read; ask for one that does."));
        }
        let question = question(route, query.as_deref().unwrap_or_default())?;
        api.answer(&AccountKey { tenant, account }, question).await
    };
    let answered = asked.await;
    let status = answered.as_ref().err().map_or(StatusCode::OK, |answer| answer.status);
    figures::api(route, status.as_u16(), begun.elapsed());
    // A balance is of its moment, and nobody else's business.
    let json = |text| ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text).into_response();
    answered.map_or_else(Answer::json, json)
}

/// Reads the query: plain decimal numbers within their bounds, each key once, none that is not known.
fn question(route: &str, query: &str) -> Result<Question, Answer> {
    let bad = || {
        Answer::new(
            StatusCode::BAD_REQUEST,
            "The question has a key or a value that is not known, and nothing was read; entries take after, a sequence number, and limit, 1 to 500.",
        )
    };
    let (mut after, mut limit) = (None, None);
    for (key, value) in query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, ""))) {
        let is_number = (1..=18).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
        let value: i64 = value.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
        let slot = match (route, key) {
            ("entries", "after") => &mut after,
            ("entries", "limit") if (1..=LIMIT_MAX).contains(&value) => &mut limit,
            _ => return Err(bad()),
        };
        if slot.replace(value).is_some() {
            return Err(bad());
        }
    }
    Ok(if route == "entries" {
        Question::Entries { after: after.unwrap_or(0), limit: limit.unwrap_or(LIMIT_DEFAULT) }
    } else {
        Question::Balance
    })
}

/// As `credit-ledger balance --json` has it.
async fn balance(store: &PostgresStore, key: &AccountKey) -> Result<Option<String>, Failure> {
    let reading = store.reading(key, None).await?;
    Ok(reading.map(|reading| AccountView::of(&reading.account, &reading.grants, &reading.settings).json(None)))
}

/// Entries behind `after`, as `balance.changed` has them, and where to go on if there are more.
async fn entries(store: &PostgresStore, key: &AccountKey, (after, limit): (i64, i64)) -> Result<Option<String>, Failure> {
    let Some(home) = store.home(&key.tenant, Some(&key.account)).await? else { return Ok(None) };
    let mut entries = store.entries_after(home, after, limit.saturating_add(1)).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > shown;
    entries.truncate(shown);
    let next = entries.last().filter(|_| more).map(|entry| entry.seq);
    let entries: Vec<_> = entries.iter().map(entry_json).collect();
    Ok(Some(serde_json::json!({ "entries": entries, "next": next }).to_string()))
}

fn cause(failure: &Failure) -> Option<String> {
    std::error::Error::source(failure).map(ToString::to_string)
}

fn away() -> Answer {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read at the moment; ask again.").retry_after(AGAIN_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b61_questions_that_are_none() {
        for query in [
            "limit=-1",
            "limit=0",
            "limit=501",
            "limit=1000000000",
            "limit=1e3",
            "limit=' OR 1=1",
            "limit=%31",
            "limit=",
            "limit",
            "limit=+1",
            "after=-1",
            "after=1.5",
            "after=9223372036854775808",
            "after=1&after=1",
            "after=1&limit=5&limit=5",
            "cursor=1",
            "at=2026-01-01",
            "after=\u{0663}",
            "=1",
        ] {
            assert_eq!(question("entries", query).map_err(|answer| answer.status), Err(StatusCode::BAD_REQUEST), "{query}");
        }
        let long = format!("after={}", "1".repeat(64 * 1024));
        assert!(question("entries", &long).is_err() && question("balance", "after=1").is_err());
    }

    #[test]
    fn questions() {
        let entries = |query| question("entries", query).unwrap();
        assert_eq!(entries(""), Question::Entries { after: 0, limit: 100 });
        assert_eq!(entries("limit=500&after=7"), Question::Entries { after: 7, limit: 500 });
        assert_eq!(entries("after=999999999999999999"), Question::Entries { after: 999_999_999_999_999_999, limit: 100 });
        assert_eq!(question("balance", "").unwrap(), Question::Balance);
    }
}
