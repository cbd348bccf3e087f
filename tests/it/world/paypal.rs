//! A PayPal of our own: certificates at their addresses, and the endpoint that is asked about webhooks.
//!
//! It judges a webhook as PayPal does, from the bytes of the event as they stand in the question, and
//! remembers what it was asked.

#[path = "../../../src/message/paypal/tests/issuing.rs"]
pub mod issuing;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use credit_ledger::message::paypal::{Base, CertificateUrl, Chain, Trust, anchors, certificate_url};
use issuing::{Authority, Terms};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The id of the application at this PayPal.
pub const CLIENT_ID: &str = "client-0123456789";
/// Its secret.
pub const CLIENT_SECRET: &str = "hush:hush/0123456789";

/// What an address answers.
#[derive(Clone)]
pub enum Page {
    /// A text with status 200.
    Text(String),
    /// This status, with a text.
    Status(u16, &'static str),
    /// Elsewhere.
    Redirect(String),
    /// So many bytes, as they are read.
    Bytes(usize),
    /// Less than was promised.
    Cut,
    /// Nothing, for ever.
    Silence,
    /// A text, once the gate lets one through.
    Behind(Arc<Semaphore>, String),
}

/// A request.
#[derive(Clone)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Default)]
struct Shared {
    pages: BTreeMap<String, Page>,
    asked: Vec<Asked>,
    now: usize,
    most: usize,
    /// Tokens given out so far; the last one counts.
    tokens: usize,
    expires_in: u64,
    webhook_ids: Vec<String>,
    chain: Option<Chain>,
}

/// The server; it ends with this.
pub struct PayPal {
    pub base: Base,
    pub root: Authority,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Drop for PayPal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PayPal {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Base::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let root = Authority::root("PayPal's root");
        let chain = Chain::from_pem(root.issue(&Terms::default()).as_bytes()).unwrap();
        let shared = Arc::new(Mutex::new(Shared { expires_in: 32_400, chain: Some(chain), ..Shared::default() }));
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, root, shared, task }
    }

    /// What believes this PayPal.
    pub fn trust(&self) -> Trust {
        Trust { anchors: anchors(self.root.pem().as_bytes()).unwrap(), bases: vec![self.base.clone()], ..Trust::default() }
    }

    /// Puts a page at a certificate's address.
    pub fn serve(&self, name: &str, page: Page) -> CertificateUrl {
        let text = format!("{}/v1/notifications/certs/{name}", self.base.as_str());
        let url = certificate_url(&text, std::slice::from_ref(&self.base)).unwrap();
        self.put(url.path(), page);
        url
    }

    /// Puts a certificate at its address.
    pub fn serve_certificate(&self, name: &str, terms: &Terms) -> CertificateUrl {
        self.serve(name, Page::Text(self.root.issue(terms)))
    }

    /// Puts a page anywhere, before what is there otherwise.
    pub fn put(&self, path: &str, page: Page) {
        self.shared.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    /// Takes a page away.
    pub fn clear(&self, path: &str) {
        self.shared.lock().unwrap().pages.remove(path);
    }

    /// The webhooks that exist.
    pub fn webhooks(&self, ids: &[&str]) {
        self.shared.lock().unwrap().webhook_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    /// How long tokens last from now on, in seconds.
    pub fn tokens_last(&self, seconds: u64) {
        self.shared.lock().unwrap().expires_in = seconds;
    }

    /// Takes back the last token.
    pub fn revoke(&self) {
        self.shared.lock().unwrap().tokens += 1;
    }

    /// What was asked below a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.shared.lock().unwrap().asked.iter().filter(|asked| asked.path.starts_with(path)).cloned().collect()
    }

    /// How many requests there were at one time, at most.
    pub fn most_at_a_time(&self) -> usize {
        self.shared.lock().unwrap().most
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    let page = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(Asked { path: path.clone(), headers: head.headers.clone(), body: body.clone() });
        shared.now += 1;
        shared.most = shared.most.max(shared.now);
        shared.pages.get(&path).cloned()
    };
    let answer = match page {
        Some(page) => show(page).await,
        None => shared.lock().unwrap().service(&path, &head.headers, &body),
    };
    shared.lock().unwrap().now -= 1;
    answer
}

async fn show(page: Page) -> Response {
    match page {
        Page::Text(text) => text.into_response(),
        Page::Status(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Page::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Page::Bytes(count) => {
            let chunk = Bytes::from(vec![b'a'; 64 * 1024]);
            let chunks = (0..count.div_ceil(chunk.len())).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
            Body::from_stream(futures_util::stream::iter(chunks)).into_response()
        }
        Page::Cut => {
            let parts = [Ok(Bytes::from_static(b"-----BEGIN")), Err(std::io::Error::other("cut"))];
            Body::from_stream(futures_util::stream::iter(parts)).into_response()
        }
        Page::Silence => std::future::pending().await,
        Page::Behind(gate, text) => {
            gate.acquire().await.unwrap().forget();
            text.into_response()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    auth_algo: String,
    cert_url: String,
    transmission_id: String,
    transmission_sig: String,
    transmission_time: String,
    webhook_id: String,
    #[serde(borrow)]
    webhook_event: &'a RawValue,
}

impl Shared {
    fn service(&mut self, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match path {
            "/v1/oauth2/token" => {
                let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
                if authorization != expected || body != b"grant_type=client_credentials" {
                    return (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#).into_response();
                }
                self.tokens += 1;
                format!(r#"{{"scope":"x","access_token":"A21-{}","token_type":"Bearer","expires_in":{}}}"#, self.tokens, self.expires_in)
                    .into_response()
            }
            "/v1/notifications/verify-webhook-signature" => {
                if authorization != format!("Bearer A21-{}", self.tokens) {
                    return (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_token"}"#).into_response();
                }
                match serde_json::from_slice::<Question<'_>>(body) {
                    Ok(question) => format!(r#"{{"verification_status":"{}"}}"#, self.verdict(&question)).into_response(),
                    Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
                }
            }
            _ => (StatusCode::NOT_FOUND, "no such page").into_response(),
        }
    }

    fn verdict(&self, asked: &Question<'_>) -> &'static str {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(asked.webhook_event.get().as_bytes());
        let text = format!("{}|{}|{}|{crc}", asked.transmission_id, asked.transmission_time, asked.webhook_id);
        let signature = BASE64_STANDARD.decode(&asked.transmission_sig).unwrap_or_default();
        let genuine = asked.auth_algo == "SHA256withRSA"
            && asked.cert_url.contains("/v1/notifications/certs/")
            && self.webhook_ids.contains(&asked.webhook_id)
            && self.chain.as_ref().unwrap().signed(text.as_bytes(), &signature);
        if genuine { "SUCCESS" } else { "FAILURE" }
    }
}
