//! Lists of a provider: the same charges as its files and as its API show them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use credit_ledger::message::paypal::Base;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The key that the list is given for.
pub const KEY: &str = "sk_test_hush0123456789";
/// The id and the secret of PayPal's application.
pub const APPLICATION: &str = "client-1:hush0123456789";

/// A payment at the provider.
#[derive(Clone)]
pub struct Charge {
    pub id: String,
    pub at: Timestamp,
    /// In hundredths of a dollar.
    pub minor: u32,
    pub refunded: u32,
    /// A minute after the payment, if it is not said.
    pub refunded_at: Option<Timestamp>,
    /// State and amount of a dispute.
    pub dispute: Option<(&'static str, u32)>,
    pub account: Option<&'static str>,
    pub is_live: bool,
}

pub fn charge(id: &str, at: &str, minor: u32) -> Charge {
    let at = at.parse().unwrap();
    Charge { id: id.to_owned(), at, minor, refunded: 0, refunded_at: None, dispute: None, account: None, is_live: false }
}

pub fn major(minor: u32) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

fn local(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The dashboard's export of payments.
pub fn payments_csv(charges: &[Charge]) -> String {
    let mut csv = "\u{feff}id,Description,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Mode,Status,PaymentIntent ID,\
                   Disputed Amount,Dispute Status,credit_account (metadata)\r\n"
        .to_owned();
    for one in charges {
        let (state, disputed) = one.dispute.map_or(("", String::new()), |(state, minor)| (state, major(minor)));
        let status = if one.refunded == one.minor { "Refunded" } else { "Paid" };
        write!(
            csv,
            "ch_{},\"a, \"\"b\"\"\",{},{},{},usd,true,{},{status},{},{disputed},{state},{}\r\n",
            one.id,
            local(one.at),
            major(one.minor),
            major(one.refunded),
            if one.is_live { "Live" } else { "Test" },
            one.id,
            one.account.unwrap_or_default()
        )
        .unwrap();
    }
    csv
}

/// The itemized report: one row for each movement, refunds a minute after the payment.
pub fn balance_csv(charges: &[Charge]) -> String {
    let mut csv =
        "balance_transaction_id,created_utc,reporting_category,gross,currency,charge_id,payment_intent_id,payment_metadata[credit_account]\n"
            .to_owned();
    for one in charges {
        let mut row = |seconds: i64, category: &str, gross: String| {
            let at = Timestamp::from_second(one.at.as_second() + seconds).unwrap();
            let account = one.account.unwrap_or_default();
            writeln!(csv, "txn_{},{},{category},{gross},usd,ch_{},{},{account}", one.id, local(at), one.id, one.id).unwrap();
        };
        // A refund may stand before what it refunds.
        if one.refunded > 0 {
            row(60, "refund", format!("-{}", major(one.refunded)));
        }
        row(0, "charge", major(one.minor));
        if let Some((state, minor)) = one.dispute {
            row(90, "dispute", format!("-{}", major(minor)));
            if state == "won" {
                row(120, "dispute_reversal", major(minor));
            }
        }
    }
    csv.push_str("txn_po,2026-01-20 00:00:00,payout,-100.00,usd,,,\n");
    csv
}

/// Stripe's objects.
pub fn charges_json(charges: &[Charge]) -> Vec<Value> {
    let object = |one: &Charge| {
        json!({"id": format!("ch_{}", one.id), "object": "charge", "amount": one.minor, "amount_captured": one.minor,
            "amount_refunded": one.refunded, "captured": true, "paid": true, "status": "succeeded", "currency": "usd",
            "created": one.at.as_second(), "livemode": one.is_live, "disputed": one.dispute.is_some(), "payment_intent": one.id,
            "metadata": one.account.map_or(json!({}), |account| json!({"credit_account": account}))})
    };
    charges.iter().map(object).collect()
}

pub fn refunds_json(charges: &[Charge]) -> Vec<Value> {
    let object = |one: &Charge| {
        let at = one.refunded_at.map_or(one.at.as_second() + 60, Timestamp::as_second);
        json!({"id": format!("re_{}", one.id), "object": "refund", "amount": one.refunded, "currency": "usd", "status": "succeeded",
            "charge": format!("ch_{}", one.id), "payment_intent": one.id, "created": at})
    };
    charges.iter().filter(|one| one.refunded > 0).map(object).collect()
}

pub fn disputes_json(charges: &[Charge]) -> Vec<Value> {
    let object = |one: &Charge| {
        let (state, minor) = one.dispute?;
        Some(json!({"id": format!("dp_{}", one.id), "object": "dispute", "amount": minor, "currency": "usd", "status": state,
            "charge": format!("ch_{}", one.id), "payment_intent": one.id, "created": one.at.as_second() + 90, "balance_transactions": []}))
    };
    charges.iter().filter_map(object).collect()
}

/// PayPal's activity download, in the time of Los Angeles.
pub fn activity_csv(charges: &[Charge]) -> String {
    let mut csv = "\u{feff}\"Date\",\"Time\",\"TimeZone\",\"Name\",\"Type\",\"Status\",\"Currency\",\"Gross\",\"Fee\",\"Net\",\
                   \"Transaction ID\",\"Reference Txn ID\",\"Custom Number\"\n"
        .to_owned();
    for one in charges {
        let local = one.at.to_zoned(jiff::tz::TimeZone::get("America/Los_Angeles").unwrap());
        let (date, time) = (local.strftime("%m/%d/%Y"), local.strftime("%H:%M:%S"));
        let mut row = |kind: &str, gross: String, id: String, refers: &str| {
            let custom = one.account.map(|account| format!("{account}:starter")).unwrap_or_default();
            writeln!(csv, "\"{date}\",\"{time}\",\"PST\",\"=cmd()\",\"{kind}\",\"Completed\",\"USD\",\"{gross}\",\"-0.50\",\"0\",\"{id}\",\"{refers}\",\"{custom}\"").unwrap();
        };
        row("Express Checkout Payment", major(one.minor), one.id.clone(), "");
        if one.refunded > 0 {
            row("Payment Refund", format!("-{}", major(one.refunded)), format!("R{}", one.id), &one.id);
        }
        if let Some((state, minor)) = one.dispute {
            row("Hold on Balance for Dispute Investigation", format!("-{}", major(minor)), format!("H{}", one.id), &one.id);
            row("Chargeback", format!("-{}", major(minor)), format!("C{}", one.id), &one.id);
            if state == "won" {
                row("Chargeback Reversal", major(minor), format!("V{}", one.id), &one.id);
            }
        }
        row("General Withdrawal", "-1,000.00".to_owned(), format!("W{}", one.id), "");
    }
    csv
}

/// PayPal's transactions.
pub fn transactions_json(charges: &[Charge]) -> Vec<Value> {
    let mut all = Vec::new();
    for one in charges {
        let mut add = |code: &str, value: String, id: String, refers: Option<&str>| {
            all.push(json!({"transaction_info": {"transaction_id": id, "paypal_reference_id": refers,
                "paypal_reference_id_type": refers.map(|_| "TXN"), "transaction_event_code": code, "transaction_status": "S",
                "transaction_initiation_date": one.at.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string(),
                "transaction_amount": {"currency_code": "USD", "value": value},
                "custom_field": one.account.map(|account| format!("{account}:starter"))}}));
        };
        add("T0006", major(one.minor), one.id.clone(), None);
        if one.refunded > 0 {
            add("T1107", format!("-{}", major(one.refunded)), format!("R{}", one.id), Some(&one.id));
        }
        if let Some((state, minor)) = one.dispute {
            add("T1110", format!("-{}", major(minor)), format!("H{}", one.id), Some(&one.id));
            add("T1201", format!("-{}", major(minor)), format!("C{}", one.id), Some(&one.id));
            if state == "won" {
                add("T1202", major(minor), format!("V{}", one.id), Some(&one.id));
            }
        }
    }
    all
}

#[derive(Default)]
struct Shared {
    charges: Vec<Charge>,
    /// What the next requests are answered with, instead of lists.
    trouble: Vec<u16>,
    asked: Vec<String>,
    /// Pages of lists wait for a permit each.
    gate: Option<Arc<Semaphore>>,
    tokens: u32,
}

/// Both APIs; they end with this.
pub struct Provider {
    pub base: Base,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provider {
    pub async fn start(charges: &[Charge]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Base::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let shared = Arc::new(Mutex::new(Shared { charges: charges.to_vec(), ..Shared::default() }));
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, shared, task }
    }

    /// Answers the next requests with these statuses.
    pub fn fail(&self, statuses: &[u16]) {
        self.shared.lock().unwrap().trouble = statuses.to_vec();
    }

    /// Lets this many pages through and keeps back the rest.
    pub fn hold_after(&self, pages: usize) {
        self.shared.lock().unwrap().gate = Some(Arc::new(Semaphore::new(pages)));
    }

    pub fn release(&self) {
        if let Some(gate) = self.shared.lock().unwrap().gate.take() {
            gate.add_permits(1_000);
        }
    }

    /// The addresses that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let (address, headers) = (request.uri().to_string(), request.headers().clone());
    let is_list = !address.contains("/oauth2/");
    let (trouble, gate) = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(address.clone());
        let trouble = (is_list && !shared.trouble.is_empty()).then(|| shared.trouble.remove(0));
        (trouble, shared.gate.clone())
    };
    if let Some(status) = trouble {
        return (StatusCode::from_u16(status).unwrap(), "{}").into_response();
    }
    if let Some(gate) = gate.filter(|_| is_list) {
        gate.acquire().await.unwrap().forget();
    }
    shared.lock().unwrap().list(&address, &headers)
}

impl Shared {
    fn list(&mut self, address: &str, headers: &HeaderMap) -> Response {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let query = query.replace("%5B", "[").replace("%5D", "]");
        let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let authorization = headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
        let basic = |credentials: &str| format!("Basic {}", BASE64_STANDARD.encode(credentials));
        match path {
            "/v1/oauth2/token" if authorization == basic(APPLICATION) => {
                self.tokens += 1;
                json!({"access_token": format!("A-{}", self.tokens), "expires_in": 3600}).to_string().into_response()
            }
            "/v1/charges" if authorization == basic(&format!("{KEY}:")) => newest_first(charges_json(&self.charges), &asked),
            "/v1/refunds" if authorization == basic(&format!("{KEY}:")) => newest_first(refunds_json(&self.charges), &asked),
            "/v1/disputes" if authorization == basic(&format!("{KEY}:")) => newest_first(disputes_json(&self.charges), &asked),
            "/v1/reporting/transactions" if authorization == format!("Bearer A-{}", self.tokens) => self.transactions(&asked),
            _ => (StatusCode::UNAUTHORIZED, r#"{"error":{"message":"Invalid API Key"}}"#).into_response(),
        }
    }

    fn transactions(&self, asked: &BTreeMap<&str, &str>) -> Response {
        let time = |name: &str| asked[name].parse::<Timestamp>().unwrap();
        let (from, until) = (time("start_date"), time("end_date"));
        if until.duration_since(from).as_hours() > 31 * 24 {
            return (StatusCode::BAD_REQUEST, r#"{"name":"INVALID_REQUEST"}"#).into_response();
        }
        let within: Vec<Charge> = self.charges.iter().filter(|one| one.at >= from && one.at <= until).cloned().collect();
        let all = transactions_json(&within);
        // More than this provider lists at a time.
        if all.len() > 12 {
            return (StatusCode::BAD_REQUEST, r#"{"name":"RESULTSET_TOO_LARGE"}"#).into_response();
        }
        let page: usize = asked["page"].parse().unwrap();
        let pages: Vec<&[Value]> = all.chunks(2).collect();
        let shown = pages.get(page - 1).map_or(&[][..], |page| *page);
        json!({"transaction_details": shown, "page": page, "total_items": all.len(), "total_pages": pages.len()})
            .to_string()
            .into_response()
    }
}

/// Two objects a page, as Stripe lists them.
fn newest_first(mut all: Vec<Value>, asked: &BTreeMap<&str, &str>) -> Response {
    let bound = |name: &str, or: i64| asked.get(name).map_or(or, |second| second.parse().unwrap());
    let (from, to) = (bound("created[gte]", i64::MIN), bound("created[lt]", i64::MAX));
    all.retain(|one| (from..to).contains(&one["created"].as_i64().unwrap()));
    all.sort_by_key(|one| std::cmp::Reverse(one["created"].as_i64()));
    let after = asked.get("starting_after").map_or(0, |after| all.iter().position(|one| one["id"] == **after).unwrap() + 1);
    let page: Vec<&Value> = all.iter().skip(after).take(2).collect();
    json!({"object": "list", "data": page, "has_more": after + 2 < all.len()}).to_string().into_response()
}
