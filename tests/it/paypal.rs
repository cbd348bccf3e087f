//! Certificates fetched and kept, and PayPal asked instead. Needs neither database nor broker.

use crate::world::paypal::issuing::{self, Authority, Terms};
use crate::world::paypal::{CLIENT_ID, CLIENT_SECRET, Page, PayPal};
use credit_ledger::message::paypal::{
    BadCertificate, BadTransmission, Base, CertificateUrl, Received, SignedHeaders, Signer, TestAuthority, Transmission, Trust, Unproven,
    anchors, certificate_url, intermediates, verify,
};
use credit_ledger::paypal::{ANSWER_TIME, Certificates, Client, FLIGHTS, HELD_MAX, Memory, NoCertificate, Postback, Trouble, Unconfirmed};
use credit_ledger::secrets::PayPalCredentials;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rcgen::ExtendedKeyUsagePurpose;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const WEBHOOK: &str = "1JE4291016473214C";
const BODY: &[u8] = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"3C679366HH908993F"}}"#;
/// Long enough for every answer on this machine, short enough to wait for none.
const SHORT: Duration = Duration::from_millis(300);
/// Remembered for longer than any test runs.
const LASTING: Memory = Memory { away: Duration::from_mins(10), bad: Duration::from_mins(10) };
/// Not remembered.
const FORGETFUL: Memory = Memory { away: Duration::ZERO, bad: Duration::ZERO };

fn store(paypal: &PayPal, memory: Memory) -> Certificates {
    Certificates::new(Client::new(Vec::new(), ANSWER_TIME).unwrap(), Arc::new(paypal.trust()), memory, None)
}

fn impatient(paypal: &PayPal, memory: Memory) -> Certificates {
    Certificates::new(Client::new(Vec::new(), SHORT).unwrap(), Arc::new(paypal.trust()), memory, None)
}

fn signed(url: &str, sent_at: Timestamp, body: &[u8]) -> SignedHeaders {
    Signer::new(issuing::KEY, url).unwrap().sign(WEBHOOK, sent_at, body).unwrap()
}

fn transmission(headers: &SignedHeaders, trust: &Trust) -> Transmission {
    let header = |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    Transmission::read(header, &trust.bases).unwrap()
}

/// The headers of webhooks tell microseconds.
fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

/// What the worker does with a webhook: look, and fetch if need be.
async fn judge(certificates: &Certificates, url: &CertificateUrl, received_at: Timestamp) -> Result<(), String> {
    let transmission = transmission(&signed(url.as_str(), received_at, BODY), certificates.trust());
    let ids = [WEBHOOK.to_owned()];
    let received = Received { transmission: &transmission, body: BODY, received_at, webhook_ids: &ids };
    let judged = match verify(&received, certificates.trust(), certificates.get(transmission.certificate()).as_deref()) {
        Err(Unproven::NoCertificate(url)) => {
            let chain = certificates.fetch(&url).await.map_err(|error| error.to_string())?;
            verify(&received, certificates.trust(), Some(&chain))
        }
        judged => judged,
    };
    judged.map_err(|error| error.to_string())
}

#[tokio::test]
async fn f88_a_certificate_is_fetched_once_and_kept() {
    let paypal = PayPal::start().await;
    let url = paypal.serve_certificate("CERT-1", &Terms::default());
    let certificates = store(&paypal, LASTING);
    assert!(certificates.get(&url).is_none());
    for _ in 0..3 {
        assert_eq!(judge(&certificates, &url, now()).await, Ok(()));
    }
    let asked = paypal.asked("/v1/notifications/certs/");
    assert_eq!(asked.len(), 1);
    assert_eq!(format!("http://{}", asked[0].headers["host"].to_str().unwrap()), paypal.base.as_str());
}

#[tokio::test]
async fn f88_a_rotated_certificate_is_fetched_under_its_address() {
    let paypal = PayPal::start().await;
    let certificates = store(&paypal, LASTING);
    for name in ["CERT-1", "CERT-2"] {
        let url = paypal.serve_certificate(name, &Terms::default());
        assert_eq!(judge(&certificates, &url, now()).await, Ok(()));
    }
    assert_eq!(paypal.asked("/v1/notifications/certs/").len(), 2);
}

#[tokio::test]
async fn f88_a_host_that_is_away_is_neither_yes_nor_no_and_may_come_back() {
    let paypal = PayPal::start().await;
    let url = paypal.serve("CERT-1", Page::Status(503, "busy"));
    let certificates = store(&paypal, FORGETFUL);
    for _ in 0..2 {
        let Err(why @ NoCertificate::Status(_)) = certificates.fetch(&url).await else { panic!("there is none") };
        assert!(!why.is_final());
    }
    paypal.serve_certificate("CERT-1", &Terms::default());
    assert_eq!(judge(&certificates, &url, now()).await, Ok(()));
    // Nobody listens at all.
    let gone = Base::new("http://127.0.0.1:1").unwrap();
    let trust = Trust { bases: vec![gone.clone()], ..paypal.trust() };
    let certificates = Certificates::new(Client::new(Vec::new(), SHORT).unwrap(), Arc::new(trust), LASTING, None);
    let url = certificate_url("http://127.0.0.1:1/v1/notifications/certs/a", &[gone]).unwrap();
    let Err(NoCertificate::Away(trouble)) = certificates.fetch(&url).await else { panic!("nobody is there") };
    assert!(matches!(*trouble, Trouble::Unreachable(_)));
}

#[tokio::test]
async fn f88_an_expired_certificate_is_believed_for_what_it_signed_in_its_time() {
    let paypal = PayPal::start().await;
    let url = paypal.serve_certificate("CERT-1", &Terms { from: 2019, until: 2021, ..Terms::default() });
    let certificates = store(&paypal, LASTING);
    let dates = Err(BadCertificate::Dates.to_string());
    assert_eq!(judge(&certificates, &url, now()).await, dates);
    assert_eq!(judge(&certificates, &url, "2020-06-01T00:00:00Z".parse().unwrap()).await, Ok(()), "received then, read now");
    assert_eq!(paypal.asked("/").len(), 1);
    let certificates = store(&paypal, FORGETFUL);
    assert_eq!(judge(&certificates, &url, now()).await, dates);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(certificates.get(&url).is_none(), "past its end it is asked for again, there may be a new one");
}

#[tokio::test]
async fn an_authority_that_paypal_leaves_out_is_the_operators_to_add() {
    let paypal = PayPal::start().await;
    let between = paypal.root.below("between");
    let leaf = between.issue(&Terms::default());
    let certificates = store(&paypal, LASTING);
    let url = paypal.serve("CERT-1", Page::Text(leaf.clone()));
    assert_eq!(judge(&certificates, &url, now()).await, Err(BadCertificate::Untrusted.to_string()));
    let whole = paypal.serve("CERT-2", Page::Text(format!("{leaf}{}", between.pem())));
    assert_eq!(judge(&certificates, &whole, now()).await, Ok(()));
    let trust = Trust { intermediates: intermediates(between.pem().as_bytes()).unwrap(), ..paypal.trust() };
    let certificates = Certificates::new(Client::new(Vec::new(), ANSWER_TIME).unwrap(), Arc::new(trust), LASTING, None);
    assert_eq!(judge(&certificates, &url, now()).await, Ok(()));
}

#[tokio::test]
async fn the_test_authority_is_at_hand_where_it_was_let_in_and_never_asked_for() {
    let paypal = PayPal::start().await;
    let test = TestAuthority::built_in().unwrap();
    let client = || Client::new(Vec::new(), SHORT).unwrap();
    let mut trust = paypal.trust();
    test.join(&mut trust);
    let trust = Arc::new(trust);
    let certificates = Certificates::new(client(), trust.clone(), LASTING, Some(test.clone()));
    assert_eq!(judge(&certificates, &test.url, now()).await, Ok(()));
    let certificates = Certificates::new(client(), trust, LASTING, None);
    assert!(matches!(certificates.fetch(&test.url).await, Err(NoCertificate::Away(_))), "its host does not exist");
}

#[tokio::test]
async fn b21_what_is_no_certificate_of_paypals_is_final() {
    let paypal = PayPal::start().await;
    let client_only = Terms { usage: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Terms::default() };
    let elsewhere = Authority::root("another root").issue(&Terms::default());
    let certificates = store(&paypal, LASTING);
    for (name, page, expected) in [
        ("html", Page::Text("<html>sign in</html>".into()), BadCertificate::NoChain),
        ("empty", Page::Text(String::new()), BadCertificate::NoChain),
        ("huge", Page::Bytes(10 << 20), BadCertificate::NoChain),
        ("large", Page::Text(format!("{}{}", paypal.root.issue(&Terms::default()), " ".repeat(64 << 10))), BadCertificate::NoChain),
        ("self-signed", Page::Text(Terms::default().self_signed()), BadCertificate::Untrusted),
        ("elsewhere", Page::Text(elsewhere), BadCertificate::Untrusted),
        ("other-host", Page::Text(paypal.root.issue(&Terms { name: "www.example.com", ..Terms::default() })), BadCertificate::Name),
        ("usage", Page::Text(paypal.root.issue(&client_only)), BadCertificate::Usage),
        ("old-and-forged", Page::Text(Terms { until: 2021, ..Terms::default() }.self_signed()), BadCertificate::Untrusted),
    ] {
        let url = paypal.serve(name, page);
        let Err(why) = certificates.fetch(&url).await else { panic!("{name} was taken") };
        assert!(why.is_final() && matches!(&why, NoCertificate::Bad(bad) if *bad == expected), "{name}: {why:?}");
        assert!(certificates.get(&url).is_none());
    }
    let url = paypal.serve_certificate("early", &Terms { from: 2098, ..Terms::default() });
    assert_eq!(judge(&certificates, &url, now()).await, Err(BadCertificate::Dates.to_string()));
    for status in [404, 410] {
        let url = paypal.serve(&format!("status-{status}"), Page::Status(status, "no"));
        assert!(matches!(certificates.fetch(&url).await, Err(why @ NoCertificate::Unknown) if why.is_final()));
    }
}

#[tokio::test]
async fn b21_trouble_with_the_host_is_not_final() {
    let paypal = PayPal::start().await;
    let certificates = impatient(&paypal, LASTING);
    let good = paypal.serve_certificate("good", &Terms::default());
    for status in [201, 301, 400, 401, 403, 408, 429, 500, 502, 503, 504] {
        let url = paypal.serve(&format!("status-{status}"), Page::Status(status, "later"));
        assert!(matches!(certificates.fetch(&url).await, Err(why @ NoCertificate::Status(_)) if !why.is_final()), "{status}");
    }
    let url = paypal.serve("redirect", Page::Redirect(good.as_str().to_owned()));
    assert!(matches!(certificates.fetch(&url).await, Err(NoCertificate::Status(status)) if status == 302));
    assert!(paypal.asked(good.path()).is_empty(), "a redirect is not followed");
    let url = paypal.serve("silence", Page::Silence);
    let Err(why @ NoCertificate::Away(_)) = certificates.fetch(&url).await else { panic!("nothing was said") };
    assert!(!why.is_final());
    let NoCertificate::Away(trouble) = why else { unreachable!() };
    assert!(matches!(*trouble, Trouble::Late(SHORT)));
    let url = paypal.serve("cut", Page::Cut);
    assert!(matches!(certificates.fetch(&url).await, Err(NoCertificate::Away(trouble)) if matches!(*trouble, Trouble::Http(_))));
    assert_eq!(ANSWER_TIME, Duration::from_secs(5));
}

#[tokio::test]
async fn b21_a_failure_is_remembered_and_asked_again_later() {
    let paypal = PayPal::start().await;
    for page in [Page::Text("no".into()), Page::Status(404, "no"), Page::Status(500, "later")] {
        let url = paypal.serve("bad", page);
        let certificates = store(&paypal, LASTING);
        let before = paypal.asked("/").len();
        for _ in 0..50 {
            assert!(certificates.fetch(&url).await.is_err());
        }
        assert_eq!(paypal.asked("/").len(), before + 1, "no storm");
    }
    let certificates = store(&paypal, LASTING);
    let url = paypal.serve("bad", Page::Text("no".into()));
    assert!(certificates.fetch(&url).await.is_err());
    paypal.serve_certificate("bad", &Terms::default());
    assert!(certificates.fetch(&url).await.is_err(), "it is remembered");
    let certificates = store(&paypal, FORGETFUL);
    assert!(certificates.fetch(&url).await.is_ok());
}

#[tokio::test]
async fn who_waits_for_a_certificate_waits_for_one_answer() {
    let paypal = PayPal::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let url = paypal.serve("CERT-1", Page::Behind(gate.clone(), paypal.root.issue(&Terms::default())));
    let certificates = store(&paypal, FORGETFUL);
    let everybody = join_all((0..50).map(|_| certificates.fetch(&url)));
    let (fetched, ()) = tokio::join!(everybody, async {
        while paypal.asked("/").is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(certificates.get(&url).is_none(), "looking does not wait");
        gate.add_permits(50);
    });
    assert!(fetched.iter().all(Result::is_ok));
    assert_eq!(paypal.asked("/").len(), 1);
}

#[tokio::test]
async fn who_stops_waiting_leaves_the_next_one_to_fetch() {
    let paypal = PayPal::start().await;
    let url = paypal.serve("CERT-1", Page::Silence);
    let certificates = store(&paypal, LASTING);
    assert!(tokio::time::timeout(SHORT, certificates.fetch(&url)).await.is_err());
    paypal.serve_certificate("CERT-1", &Terms::default());
    assert!(certificates.fetch(&url).await.is_ok());
}

#[tokio::test]
async fn a_few_requests_at_a_time() {
    let paypal = PayPal::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let urls: Vec<_> = (0..40).map(|name| paypal.serve(&format!("made-up-{name}"), Page::Behind(gate.clone(), "no".into()))).collect();
    let certificates = store(&paypal, LASTING);
    let everybody = join_all(urls.iter().map(|url| certificates.fetch(url)));
    let (fetched, ()) = tokio::join!(everybody, async {
        while paypal.asked("/").is_empty() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(40);
    });
    assert!(fetched.iter().all(Result::is_err));
    assert!((1..=FLIGHTS).contains(&paypal.most_at_a_time()), "{}", paypal.most_at_a_time());
}

#[tokio::test]
async fn b21_sixteen_are_kept_and_made_up_addresses_push_none_out() {
    let paypal = PayPal::start().await;
    let certificates = store(&paypal, LASTING);
    let urls: Vec<_> = (0..=HELD_MAX).map(|name| paypal.serve_certificate(&format!("CERT-{name}"), &Terms::default())).collect();
    for url in &urls[..HELD_MAX] {
        certificates.fetch(url).await.unwrap();
    }
    for made_up in 0..200 {
        let url = paypal.serve(&format!("made-up-{made_up}"), Page::Status(404, "no"));
        assert!(certificates.fetch(&url).await.is_err());
    }
    assert!(urls[..HELD_MAX].iter().all(|url| certificates.get(url).is_some()));
    // The first is used, so the second is the longest unused.
    assert!(certificates.get(&urls[0]).is_some());
    certificates.fetch(&urls[HELD_MAX]).await.unwrap();
    let held: Vec<bool> = urls.iter().map(|url| certificates.get(url).is_some()).collect();
    assert_eq!(held.iter().filter(|held| **held).count(), HELD_MAX);
    assert!(held[0] && !held[1] && held[HELD_MAX]);
}

#[tokio::test]
async fn the_certificate_of_a_host_is_verified_against_the_roots() {
    let authority = Authority::root("TLS");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::new(&format!("https://localhost:{}", listener.local_addr().unwrap().port())).unwrap();
    let page = authority.issue(&Terms { name: issuing::LIVE, ..Terms::default() });
    let server = tokio::spawn(tls_server(listener, authority.issue(&Terms { name: "localhost", ..Terms::default() }), page));
    let roots = anchors(authority.pem().as_bytes()).unwrap();
    let trust = Arc::new(Trust { anchors: roots.clone(), bases: vec![base.clone()], ..Trust::default() });
    let text = format!("{}/v1/notifications/certs/a", base.as_str());
    let url = certificate_url(&text, &trust.bases).unwrap();
    let store = |roots| Certificates::new(Client::new(roots, ANSWER_TIME).unwrap(), trust.clone(), FORGETFUL, None);
    let others = anchors(Authority::root("TLS").pem().as_bytes()).unwrap();
    for roots in [Vec::new(), others] {
        let Err(NoCertificate::Away(trouble)) = store(roots).fetch(&url).await else { panic!("it is not believed") };
        assert!(matches!(*trouble, Trouble::Tls(_)), "{trouble:?}");
    }
    assert!(store(roots).fetch(&url).await.is_ok());
    server.abort();
}

async fn tls_server(listener: tokio::net::TcpListener, certificate: String, page: String) {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(issuing::KEY).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Who does not believe the certificate hangs up.
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn credentials() -> PayPalCredentials {
    PayPalCredentials { client_id: CLIENT_ID.into(), secret: CLIENT_SECRET.into() }
}

fn postback(paypal: &PayPal) -> Postback {
    Postback::new(Client::new(Vec::new(), ANSWER_TIME).unwrap(), paypal.base.clone(), credentials())
}

const VERIFY: &str = "/v1/notifications/verify-webhook-signature";
const TOKEN: &str = "/v1/oauth2/token";

/// Asks about a body, signed as `signed_body` and sent as `body`.
async fn confirm(postback: &Postback, paypal: &PayPal, ids: &[&str], (signed_body, body): (&[u8], &[u8])) -> Result<(), Unconfirmed> {
    let at = now();
    let url = format!("{}/v1/notifications/certs/CERT-1", paypal.base.as_str());
    let transmission = transmission(&signed(&url, at, signed_body), &paypal.trust());
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let received = Received { transmission: &transmission, body, received_at: at, webhook_ids: &ids };
    postback.confirm(&received).await
}

#[tokio::test]
async fn b23_paypal_is_asked_about_the_very_bytes() {
    let paypal = PayPal::start().await;
    paypal.webhooks(&[WEBHOOK]);
    let postback = postback(&paypal);
    for body in [
        BODY,
        br#"{ "b" : 1.50 ,"a":1e2,	"u":"\u00e9\/", "z": {} }"#,
        "{\"name\":\"Ünïcödé ☃\",\"big\":123456789012345678901234567890}".as_bytes(),
        b"{}",
    ] {
        assert!(confirm(&postback, &paypal, &[WEBHOOK], (body, body)).await.is_ok());
        let asked = paypal.asked(VERIFY).pop().unwrap().body;
        let event = [br#""webhook_event":"#.as_slice(), body, b"}"].concat();
        assert!(asked.ends_with(&event), "{}", String::from_utf8_lossy(&asked));
    }
    let changed = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"4C679366HH908993F"}}"#;
    let refused = confirm(&postback, &paypal, &[WEBHOOK], (BODY, changed)).await.unwrap_err();
    assert!(refused.is_final() && matches!(refused, Unconfirmed::Bad(BadTransmission::Denied)));
}

#[tokio::test]
async fn every_webhook_id_is_asked_about_until_one_is_confirmed() {
    let paypal = PayPal::start().await;
    paypal.webhooks(&["WH-OLD", WEBHOOK]);
    let postback = postback(&paypal);
    assert!(confirm(&postback, &paypal, &["WH-OLD", WEBHOOK, "WH-NEW"], (BODY, BODY)).await.is_ok());
    assert_eq!((paypal.asked(VERIFY).len(), paypal.asked(TOKEN).len()), (2, 1));
    for ids in [&["WH-OLD"][..], &[], &["WH|1"]] {
        assert!(matches!(confirm(&postback, &paypal, ids, (BODY, BODY)).await, Err(Unconfirmed::Bad(BadTransmission::Denied))));
    }
    assert_eq!(paypal.asked(VERIFY).len(), 3, "nothing is asked about what is no id");
}

#[tokio::test]
async fn a_body_cannot_bring_a_webhook_id_of_its_own() {
    let paypal = PayPal::start().await;
    paypal.webhooks(&["WH-MINE"]);
    let postback = postback(&paypal);
    for body in [&br#"{},"webhook_id":"WH-MINE""#[..], b"{}}", b"[]", b"null", b"1", b"", b"{", b"{} {}", b"\xff", b"\"a\""] {
        let refused = confirm(&postback, &paypal, &[WEBHOOK], (body, body)).await.unwrap_err();
        assert!(matches!(refused, Unconfirmed::Bad(BadTransmission::Body)), "{}", String::from_utf8_lossy(body));
    }
    assert!(paypal.asked("/").is_empty());
}

#[tokio::test]
async fn a_token_serves_until_it_ends_or_is_taken_back() {
    let paypal = PayPal::start().await;
    paypal.webhooks(&[WEBHOOK]);
    let postback = postback(&paypal);
    let all = join_all((0..20).map(|_| confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(paypal.asked(TOKEN).len(), 1, "who asks while it is fetched waits for it");
    paypal.revoke();
    assert!(confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)).await.is_ok());
    assert_eq!((paypal.asked(TOKEN).len(), paypal.asked(VERIFY).len()), (2, 22));
    // Tokens that end within the margin serve once.
    paypal.tokens_last(60);
    paypal.revoke();
    for tokens in [3, 4] {
        assert!(confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)).await.is_ok());
        assert_eq!(paypal.asked(TOKEN).len(), tokens);
    }
}

#[tokio::test]
async fn wrong_credentials_are_the_operators_to_mend_and_never_shown() {
    let paypal = PayPal::start().await;
    let wrong = PayPalCredentials { client_id: CLIENT_ID.into(), secret: "guess-0123456789".into() };
    let shown = format!("{wrong:?}");
    let postback = Postback::new(Client::new(Vec::new(), ANSWER_TIME).unwrap(), paypal.base.clone(), wrong);
    let error = confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)).await.unwrap_err();
    assert!(!error.is_final() && matches!(error, Unconfirmed::Credentials));
    assert!(!format!("{error:?} {error} {shown}").contains("guess"));
    assert!(paypal.asked(VERIFY).is_empty());
}

#[tokio::test]
async fn no_verdict_is_neither_yes_nor_no() {
    let paypal = PayPal::start().await;
    paypal.webhooks(&[WEBHOOK]);
    let fresh = || Postback::new(Client::new(Vec::new(), SHORT).unwrap(), paypal.base.clone(), credentials());
    let postback = fresh();
    for page in [
        Page::Status(500, "later"),
        Page::Status(503, ""),
        Page::Status(429, "slowly"),
        Page::Status(401, "no"),
        Page::Redirect("http://127.0.0.1:1/".into()),
        Page::Text("<html></html>".into()),
        Page::Text(r#"{"verification_status":"PERHAPS"}"#.into()),
        Page::Text(r#"{"status":"SUCCESS"}"#.into()),
        Page::Bytes(1 << 20),
        Page::Cut,
        Page::Silence,
    ] {
        for path in [VERIFY, TOKEN] {
            paypal.put(path, page.clone());
            let error = confirm(&fresh(), &paypal, &[WEBHOOK], (BODY, BODY)).await.unwrap_err();
            assert!(!error.is_final(), "{error:?}");
            paypal.clear(path);
        }
    }
    assert!(confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)).await.is_ok(), "nothing of it is remembered");
    for status in [400, 422] {
        paypal.put(VERIFY, Page::Status(status, r#"{"name":"VALIDATION_ERROR"}"#));
        assert!(confirm(&postback, &paypal, &[WEBHOOK], (BODY, BODY)).await.unwrap_err().is_final(), "PayPal read the question");
    }
}

#[tokio::test]
async fn b25_age_is_judged_before_anybody_is_asked() {
    let paypal = PayPal::start().await;
    let url = paypal.serve_certificate("CERT-1", &Terms::default());
    let trust = paypal.trust();
    let (sent_at, ids) = (now(), [WEBHOOK.to_owned()]);
    let transmission = transmission(&signed(url.as_str(), sent_at, BODY), &trust);
    let at = |received_at| Received { transmission: &transmission, body: BODY, received_at, webhook_ids: &ids };
    assert_eq!(at(sent_at + SignedDuration::from_hours(72)).judge(trust.window), Ok(()));
    assert_eq!(at(sent_at + SignedDuration::from_hours(73)).judge(trust.window), Err(BadTransmission::Age));
    assert!(paypal.asked("/").is_empty());
}
