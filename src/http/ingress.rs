//! Webhooks of providers: verified, then handed to the broker as they came.
//!
//! Owns `POST /webhooks/stripe/{tenant}` and `POST /webhooks/paypal/{tenant}`, their bounds and their
//! statuses. Answers 2xx only when the broker has confirmed the bytes, so that a provider sends again
//! whatever did not arrive. Whether a webhook is authentic is `message`'s to say, by the same check that the
//! worker makes; what it means is the worker's alone, so events that the ledger ignores go on too. Holds no
//! connection to the database. Says and logs no secret, no signature and no payload.

use super::answer::{self, Answer};
use super::handover::{Handover, NotTaken};
use super::listen::Arrival;
use super::rate::Rate;
use crate::amqp::{Outgoing, Topology};
use crate::domain::ids::Id;
use crate::figures;
use crate::keyring::{Keyring, Obtained};
use crate::message::{NotRead, Queue, Raw, authentic, paypal, raw::CONTENT_ENCODING};
use crate::secrets::Secrets;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::post;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::debug;

/// When a provider may try again after a 503.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a webhook waits for what verifies it: one request to PayPal and a turn for it.
const PROOF_WAIT: Duration = Duration::from_secs(8);
/// The type under which a webhook is published, whatever its sender called it.
const PUBLISHED_TYPE: &str = "application/json";

/// Who sends a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Stripe,
    PayPal,
}

impl Provider {
    /// Its word in addresses, routing keys and figures.
    fn word(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::PayPal => "paypal",
        }
    }

    /// The headers that the worker needs.
    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Stripe => &["Stripe-Signature"],
            Self::PayPal => {
                &[paypal::TRANSMISSION_ID, paypal::TRANSMISSION_TIME, paypal::TRANSMISSION_SIG, paypal::CERT_URL, paypal::AUTH_ALGO]
            }
        }
    }

    /// Whether the tenant has an endpoint for it here.
    fn is_known(self, secrets: &Secrets, tenant: &Id) -> bool {
        match self {
            Self::Stripe => !secrets.stripe(tenant).is_empty(),
            Self::PayPal => !secrets.paypal(tenant).is_empty(),
        }
    }
}

/// Bounds of the requests.
#[derive(Debug, Clone, Copy)]
pub struct IngressBounds {
    /// How long a body may take to come.
    pub body_time: Duration,
    /// Requests a second from one source.
    pub per_second: u32,
    /// Requests at once from one source.
    pub burst: u32,
}

/// Takes webhooks.
#[derive(Clone)]
pub struct Ingress {
    keyring: Keyring,
    secrets: watch::Receiver<Arc<Secrets>>,
    topology: Topology,
    handover: Handover,
    body_time: Duration,
    rate: Arc<Rate>,
}

impl Ingress {
    /// Verifies with `keyring` the webhooks of the tenants that have secrets, and hands them over.
    #[must_use]
    pub fn new(
        keyring: Keyring,
        secrets: watch::Receiver<Arc<Secrets>>,
        topology: Topology,
        handover: Handover,
        bounds: IngressBounds,
    ) -> Self {
        let rate = Arc::new(Rate::new(bounds.per_second, bounds.burst));
        Self { keyring, secrets, topology, handover, body_time: bounds.body_time, rate }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        let route = |provider: Provider| {
            let taken = move |state: State<Self>, tenant: Path<String>, arrival: Extension<Arrival>, request: Request<Body>| {
                counted(provider, state, (tenant, arrival), request)
            };
            post(taken)
        };
        Router::new()
            .route("/webhooks/stripe/{tenant}", route(Provider::Stripe))
            .route("/webhooks/paypal/{tenant}", route(Provider::PayPal))
            .fallback(|| async { answer::not_found().text() })
            .method_not_allowed_fallback(|| async { answer::wrong_method().text() })
            .with_state(self)
    }

    async fn take(&self, provider: Provider, tenant: &str, arrival: Arrival, request: Request<Body>) -> Result<(), Answer> {
        let tenant = Id::new(tenant).ok().filter(|tenant| provider.is_known(&self.secrets.borrow(), tenant));
        let tenant = tenant.ok_or_else(answer::not_found)?;
        self.rate.take(arrival.source, Instant::now()).map_err(answer::too_often)?;
        let (head, body) = request.into_parts();
        let body = self.body(&head.headers, body).await?;
        let raw = raw(provider, &tenant, (&head.headers, arrival), body);
        self.prove(&raw).await.inspect_err(|answer| {
            if answer.status == StatusCode::BAD_REQUEST {
                figures::refused_webhook(provider.word());
            }
            // A figure counts them; a line for each would let anybody fill the log.
            debug!(provider = provider.word(), tenant = %tenant, status = answer.status.as_u16(), "a webhook was not taken: {}", answer.sentence);
        })?;
        let handed = self.handover.publish(outgoing(&self.topology, raw)).await;
        handed.map_err(|why| {
            debug!(provider = provider.word(), tenant = %tenant, %why, "a webhook was not taken; the provider is told to send it again");
            unavailable(match why {
                NotTaken::Busy => "Too many webhooks wait for the broker and this one was not taken; send it again.",
                NotTaken::Late => "The broker has not confirmed this webhook in time; send it again, it counts once.",
                NotTaken::Away => "The broker cannot be reached and this webhook was not taken; send it again.",
                NotTaken::Unroutable | NotTaken::Refused => "The broker does not take this webhook at the moment; send it again.",
            })
        })
    }

    /// The whole body, which is not read beyond its bounds.
    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Answer> {
        let most = Queue::Payments.body_bytes_max();
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
        if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > most)) {
            return Err(too_large());
        }
        match tokio::time::timeout(self.body_time, Limited::new(body, most).collect()).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes().into()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Answer::new(StatusCode::BAD_REQUEST, "The body did not come whole and was not taken; send it again.")),
            Err(_) => Err(Answer::new(StatusCode::REQUEST_TIMEOUT, "The body did not come in time and was not taken; send it again.")),
        }
    }

    /// Verifies a webhook, after obtaining what that lacks.
    async fn prove(&self, raw: &Raw) -> Result<(), Answer> {
        let url = match authentic(raw, &self.keyring.now()) {
            Ok(()) => return Ok(()),
            Err(NotRead::Unreadable(why)) => return Err(not_believed(&why.detail)),
            Err(NotRead::NoCertificate(url)) => url,
        };
        match tokio::time::timeout(PROOF_WAIT, self.keyring.obtain(raw, &url)).await {
            Ok(Ok(Obtained::Word)) => Ok(()),
            Ok(Ok(Obtained::Certificate)) => match authentic(raw, &self.keyring.now()) {
                Ok(()) => Ok(()),
                Err(NotRead::Unreadable(why)) => Err(not_believed(&why.detail)),
                // Others pushed the certificate out in between.
                Err(NotRead::NoCertificate(_)) => Err(not_verified()),
            },
            Ok(Err(why)) if why.is_final() => Err(not_believed(&why.to_string())),
            Ok(Err(_)) | Err(_) => Err(not_verified()),
        }
    }
}

type Addressed = (Path<String>, Extension<Arrival>);

async fn counted(
    provider: Provider,
    State(ingress): State<Ingress>,
    (Path(tenant), Extension(arrival)): Addressed,
    request: Request<Body>,
) -> Response<Body> {
    let begun = Instant::now();
    let taken = ingress.take(provider, &tenant, arrival, request).await;
    let answer = taken.map_or_else(|answer| answer, |()| Answer::new(StatusCode::OK, "Taken."));
    figures::webhook(provider.word(), answer.status.as_u16(), begun.elapsed());
    answer.text()
}

/// The delivery that the worker will get, from whom it came.
fn raw(provider: Provider, tenant: &Id, (headers, arrival): (&HeaderMap, Arrival), body: Vec<u8>) -> Raw {
    // A header that is there twice, or is no text, means nothing certain: it counts as absent.
    let header = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
    };
    let kept = provider.headers().iter().filter_map(|name| Some(((*name).to_owned(), header(name)?)));
    let mut kept: BTreeMap<String, String> = kept.collect();
    kept.insert("x-tenant".into(), tenant.to_string());
    kept.insert("x-received-at".into(), arrival.at.to_string());
    // A value that cannot be shown must not pass for none.
    if headers.contains_key(CONTENT_ENCODING) {
        kept.insert(CONTENT_ENCODING.into(), header(CONTENT_ENCODING).unwrap_or_else(|| "more than one".into()));
    }
    Raw {
        queue: Queue::Payments,
        routing_key: format!("payment.{}.{tenant}", provider.word()),
        content_type: header(CONTENT_TYPE.as_str()),
        headers: kept,
        reply_to: None,
        correlation_id: None,
        body,
    }
}

/// The message that carries it.
fn outgoing(topology: &Topology, raw: Raw) -> Outgoing {
    Outgoing {
        exchange: topology.incoming(),
        routing_key: raw.routing_key,
        content_type: PUBLISHED_TYPE.to_owned(),
        headers: raw.headers.into_iter().filter(|(name, _)| name != CONTENT_ENCODING).collect(),
        correlation_id: None,
        reply_to: None,
        message_id: None,
        mandatory: true,
        body: raw.body,
    }
}

fn too_large() -> Answer {
    Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "The body has more than 256 KiB and was not taken; no provider's webhook is as large.")
}

/// `detail` is one of our own sentences, and has no value out of the request.
fn not_believed(detail: &str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, format!("The webhook was not taken, because {detail}; check the endpoint's secret."))
}

fn not_verified() -> Answer {
    unavailable("The webhook cannot be verified at the moment and was not taken; send it again.")
}

fn unavailable(sentence: &'static str) -> Answer {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_after(AGAIN_AFTER)
}
