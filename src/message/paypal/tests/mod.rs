//! PayPal webhooks from headers to judgement.

mod issuing;

use super::transmission::signed_text;
use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use issuing::{Authority, LIVE, SANDBOX, Terms};
use jiff::{SignedDuration, Timestamp};
use rcgen::ExtendedKeyUsagePurpose;

const BODY: &[u8] = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED"}"#;
const WEBHOOK: &str = "8PT597110X687430L";
const URL: &str = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1";

fn sent_at() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

type Headers = Vec<(&'static str, String)>;

fn headers() -> Headers {
    headers_of(URL, BODY)
}

fn headers_of(url: &str, body: &[u8]) -> Headers {
    Signer::new(issuing::KEY, url).unwrap().sign(WEBHOOK, sent_at(), body).unwrap().into()
}

fn set(mut headers: Headers, name: &str, value: &str) -> Headers {
    headers.iter_mut().find(|(key, _)| *key == name).unwrap().1 = value.to_owned();
    headers
}

/// As `Raw::header` looks one up: a name that is there twice is not there.
fn read(headers: &Headers) -> Result<Transmission, BadTransmission> {
    let header = |name: &'static str| {
        let mut found = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().filter(|_| found.next().is_none()).map(|(_, value)| value.as_str())
    };
    Transmission::read(header, &[])
}

/// A tenant that trusts one root.
struct Judge {
    trust: Trust,
    ids: Vec<String>,
    received_at: Timestamp,
    chain: Option<Chain>,
}

impl Judge {
    fn new(root: &Authority, chain: &str) -> Self {
        let trust = Trust { anchors: anchors(root.pem().as_bytes()).unwrap(), ..Trust::default() };
        let chain = Some(Chain::from_pem(chain.as_bytes()).unwrap());
        Self { trust, ids: vec!["WH-OTHER".into(), WEBHOOK.into()], received_at: sent_at(), chain }
    }

    fn plain() -> Self {
        let root = Authority::root("a root");
        let chain = root.issue(&Terms::default());
        Self::new(&root, &chain)
    }

    fn judge(&self, headers: &Headers, body: &[u8]) -> Result<(), Unproven> {
        let transmission = read(headers)?;
        let received = Received { transmission: &transmission, body, received_at: self.received_at, webhook_ids: &self.ids };
        verify(&received, &self.trust, self.chain.as_ref())
    }
}

fn bad(why: BadTransmission) -> Result<(), Unproven> {
    Err(Unproven::Bad(why))
}

#[test]
fn what_is_signed_is_believed() {
    let mut judge = Judge::plain();
    assert_eq!(judge.judge(&headers(), BODY), Ok(()));
    judge.ids = vec![WEBHOOK.into()];
    assert_eq!(judge.judge(&headers(), BODY), Ok(()));
}

#[test]
fn another_webhook_id_none_or_one_with_a_bar() {
    let mut judge = Judge::plain();
    judge.ids = vec!["WH-OTHER".into()];
    assert_eq!(judge.judge(&headers(), BODY), bad(BadTransmission::Mismatch));
    for ids in [vec![], vec![String::new()], vec![format!("{WEBHOOK}|1")], vec!["a".repeat(65)], vec![format!("{WEBHOOK}\n")]] {
        judge.ids = ids;
        assert_eq!(judge.judge(&headers(), BODY), bad(BadTransmission::NoWebhookId));
    }
}

#[test]
fn b18_each_of_the_five_headers_once() {
    let judge = Judge::plain();
    for name in [TRANSMISSION_ID, TRANSMISSION_TIME, TRANSMISSION_SIG, CERT_URL, AUTH_ALGO] {
        let missing: Headers = headers().into_iter().filter(|(key, _)| *key != name).collect();
        assert_eq!(judge.judge(&missing, BODY), bad(BadTransmission::Header(name)));
        let mut twice = headers();
        twice.extend(headers().into_iter().filter(|(key, _)| *key == name));
        assert_eq!(judge.judge(&twice, BODY), bad(BadTransmission::Header(name)));
        assert!(matches!(judge.judge(&set(headers(), name, ""), BODY), Err(Unproven::Bad(_))), "{name} is empty");
    }
}

#[test]
fn b19_one_algorithm_in_one_spelling() {
    let judge = Judge::plain();
    for algorithm in ["none", "SHA1withRSA", "sha256withrsa", "SHA256withRSA ", "SHA512withRSA", "SHA256withECDSA", "HS256"] {
        assert_eq!(judge.judge(&set(headers(), AUTH_ALGO, algorithm), BODY), bad(BadTransmission::Algorithm), "{algorithm}");
    }
}

#[test]
fn b22_ids_that_could_move_a_bar() {
    let judge = Judge::plain();
    let long = "a".repeat(10_000);
    for id in ["a|b", "|", "a\nb", "a b", "a_b", "ä", "a%7cb", &"a".repeat(65), &long, ""] {
        assert_eq!(judge.judge(&set(headers(), TRANSMISSION_ID, id), BODY), bad(BadTransmission::Id), "{id:?}");
    }
    // Signed as id `a`, time `b|2026…`, it says the same as id `a|b`: only forms tell them apart.
    assert_eq!(signed_text("a", "b|c", "d", BODY), signed_text("a|b", "c", "d", BODY));
    assert_eq!(judge.judge(&set(headers(), TRANSMISSION_ID, &"a".repeat(64)), BODY), bad(BadTransmission::Mismatch), "64 are an id");
}

#[test]
fn times_and_signatures_that_are_none() {
    let judge = Judge::plain();
    for time in ["", "now", "1767268800", "2026-01-01", "2026-01-01T12:00:00", "2026-01-01T12:00:00Z|x", "2026-01-01T12:00:00Z\n"] {
        assert_eq!(judge.judge(&set(headers(), TRANSMISSION_TIME, time), BODY), bad(BadTransmission::Time), "{time:?}");
    }
    let huge = "A".repeat(70_000);
    for signature in ["", "AAAA", "not base64!", &"A".repeat(341), &format!("{}\n", "A".repeat(344)), &huge] {
        assert_eq!(judge.judge(&set(headers(), TRANSMISSION_SIG, signature), BODY), bad(BadTransmission::Signature));
    }
    let other = set(headers(), TRANSMISSION_SIG, &"A".repeat(344));
    assert_eq!(judge.judge(&other, BODY), bad(BadTransmission::Mismatch), "258 bytes of the form of a signature");
    // The same instant in another spelling is another text.
    assert_eq!(judge.judge(&set(headers(), TRANSMISSION_TIME, "2026-01-01T12:00:00.0Z"), BODY), bad(BadTransmission::Mismatch));
    assert_eq!(judge.judge(&set(headers(), CERT_URL, "https://evil.example/c"), BODY), bad(BadTransmission::CertificateUrl));
}

#[test]
fn b23_the_decimal_of_the_unsigned_crc_of_the_raw_bytes() {
    // printf 123456789 | gzip -c | tail -c8 | od -An -tu4: 3421780262, which is negative as an i32.
    assert_eq!(signed_text("id", "time", "hook", b"123456789"), "id|time|hook|3421780262");
    assert_eq!(signed_text("id", "time", "hook", b""), "id|time|hook|0");
    let judge = Judge::plain();
    let body = br#"{"id": "WH-1"}"#;
    let signed = headers_of(URL, body);
    assert_eq!(judge.judge(&signed, body), Ok(()));
    for other in [&br#"{"id":"WH-1"}"#[..], b"{\"id\": \"WH-1\"}\n", b"\xef\xbb\xbf{\"id\": \"WH-1\"}", b""] {
        assert_eq!(judge.judge(&signed, other), bad(BadTransmission::Mismatch));
    }
}

#[test]
fn b23_other_spellings_of_the_crc_are_other_texts() {
    let judge = Judge::plain();
    let transmission = read(&headers_of(URL, b"123456789")).unwrap();
    for (crc, expected) in [
        ("3421780262", Ok(())),
        ("-873187034", bad(BadTransmission::Mismatch)),
        ("cbf43926", bad(BadTransmission::Mismatch)),
        ("CBF43926", bad(BadTransmission::Mismatch)),
        ("0x3421780262", bad(BadTransmission::Mismatch)),
        ("", bad(BadTransmission::Mismatch)),
    ] {
        let text = format!("{}|{}|{WEBHOOK}|{crc}", transmission.id, transmission.time);
        let signature = BASE64.encode(raw_signature(text.as_bytes()));
        assert_eq!(judge.judge(&set(headers_of(URL, b"123456789"), TRANSMISSION_SIG, &signature), b"123456789"), expected, "{crc}");
    }
}

fn raw_signature(text: &[u8]) -> Vec<u8> {
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
    let key = rustls::crypto::ring::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(issuing::KEY).unwrap()).unwrap();
    key.choose_scheme(&[rustls::SignatureScheme::RSA_PKCS1_SHA256]).unwrap().sign(text).unwrap()
}

#[test]
fn b25_the_window_and_its_edges() {
    let mut judge = Judge::plain();
    let micro = SignedDuration::from_micros(1);
    let three_days = SignedDuration::from_hours(72);
    let five_minutes = SignedDuration::from_mins(5);
    for (received_at, expected) in [
        (sent_at() + three_days, Ok(())),
        (sent_at() + three_days + micro, bad(BadTransmission::Age)),
        (sent_at() - five_minutes, Ok(())),
        (sent_at() - five_minutes - micro, bad(BadTransmission::Age)),
        (Timestamp::MAX, bad(BadTransmission::Age)),
        (Timestamp::MIN, bad(BadTransmission::Age)),
    ] {
        judge.received_at = received_at;
        assert_eq!(judge.judge(&headers(), BODY), expected, "{received_at}");
    }
    judge.trust.window = Window { back: SignedDuration::from_hours(96), ahead: SignedDuration::ZERO };
    judge.received_at = sent_at() + SignedDuration::from_hours(96);
    assert_eq!(judge.judge(&headers(), BODY), Ok(()), "the window is a setting");
    judge.received_at = sent_at() - micro;
    assert_eq!(judge.judge(&headers(), BODY), bad(BadTransmission::Age));
}

#[test]
fn f88_a_certificate_that_is_not_at_hand_is_no_refusal() {
    let mut judge = Judge::plain();
    judge.chain = None;
    let Err(Unproven::NoCertificate(url)) = judge.judge(&headers(), BODY) else { panic!("it must be fetched") };
    assert_eq!(url.as_str(), URL);
    // Nothing is fetched for what is refused anyway.
    assert_eq!(judge.judge(&set(headers(), AUTH_ALGO, "none"), BODY), bad(BadTransmission::Algorithm));
    judge.received_at = sent_at() + SignedDuration::from_hours(73);
    assert_eq!(judge.judge(&headers(), BODY), bad(BadTransmission::Age));
    judge.ids.clear();
    judge.received_at = sent_at();
    assert_eq!(judge.judge(&headers(), BODY), bad(BadTransmission::NoWebhookId));
}

fn judged(root: &Authority, chain: &str) -> Result<(), Unproven> {
    Judge::new(root, chain).judge(&headers(), BODY)
}

fn refused(why: BadCertificate) -> Result<(), Unproven> {
    bad(BadTransmission::Certificate(why))
}

#[test]
fn b21_certificates_that_are_not_paypals() {
    let root = Authority::root("a root");
    let client = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let both = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let of = |terms: Terms| judged(&root, &root.issue(&terms));
    assert_eq!(of(Terms { usage: both, ..Terms::default() }), Ok(()));
    assert_eq!(of(Terms { usage: vec![], ..Terms::default() }), Ok(()), "made for any use");
    assert_eq!(of(Terms { from: 2027, ..Terms::default() }), refused(BadCertificate::Dates));
    assert_eq!(of(Terms { until: 2025, ..Terms::default() }), refused(BadCertificate::Dates));
    assert_eq!(of(Terms { name: "www.example.com", ..Terms::default() }), refused(BadCertificate::Name));
    assert_eq!(of(Terms { name: "www.paypal.com", ..Terms::default() }), refused(BadCertificate::Name));
    assert_eq!(of(Terms { usage: client, ..Terms::default() }), refused(BadCertificate::Usage));
    assert_eq!(of(Terms { elliptic: true, ..Terms::default() }), bad(BadTransmission::Mismatch), "no key for this algorithm");
    assert_eq!(judged(&root, &Terms::default().self_signed()), refused(BadCertificate::Untrusted));
    assert_eq!(judged(&root, &Authority::root("another root").issue(&Terms::default())), refused(BadCertificate::Untrusted));
    assert_eq!(judged(&root, &Authority::root("a root").issue(&Terms::default())), refused(BadCertificate::Untrusted), "only its name");
}

#[test]
fn b21_the_certificate_has_the_name_of_the_host_it_came_from() {
    let root = Authority::root("a root");
    let live = root.issue(&Terms { name: LIVE, ..Terms::default() });
    let sandbox = root.issue(&Terms { name: SANDBOX, ..Terms::default() });
    let signed = headers_of("https://api.paypal.com/v1/notifications/certs/CERT-1", BODY);
    assert_eq!(Judge::new(&root, &live).judge(&signed, BODY), Ok(()));
    assert_eq!(Judge::new(&root, &sandbox).judge(&signed, BODY), refused(BadCertificate::Name));
    assert_eq!(Judge::new(&root, &live).judge(&headers(), BODY), refused(BadCertificate::Name));
    let mode = |headers: &[(&str, String)]| livemode(headers.iter().find(|(name, _)| *name == CERT_URL).map(|(_, url)| url.as_str()));
    assert_eq!((mode(&signed), mode(&headers()), livemode(None), livemode(Some("x"))), (Some(true), Some(false), None, None));
}

#[test]
fn a_chain_may_have_an_authority_between() {
    let root = Authority::root("a root");
    let between = root.below("between");
    let leaf = between.issue(&Terms::default());
    assert_eq!(judged(&root, &format!("{leaf}{}", between.pem())), Ok(()));
    assert_eq!(judged(&root, &format!("{leaf}{}{}", between.pem(), root.pem())), Ok(()), "the root is not needed and does no harm");
    let mut judge = Judge::new(&root, &leaf);
    assert_eq!(judge.judge(&headers(), BODY), refused(BadCertificate::Untrusted));
    judge.trust.intermediates = intermediates(between.pem().as_bytes()).unwrap();
    assert_eq!(judge.judge(&headers(), BODY), Ok(()), "PayPal left it out, the operator did not");
    judge.trust.anchors = anchors(Authority::root("another root").pem().as_bytes()).unwrap();
    assert_eq!(judge.judge(&headers(), BODY), refused(BadCertificate::Untrusted), "what stands between is not trusted");
}

#[test]
fn b21_what_is_no_chain() {
    let leaf = Authority::root("a root").issue(&Terms::default());
    let key = std::str::from_utf8(issuing::KEY).unwrap();
    for text in ["", "<html><body>Sign in</body></html>", &leaf[..leaf.len() / 2], &leaf.replace("MII", "!!!"), &leaf.repeat(9), key] {
        assert_eq!(Chain::from_pem(text.as_bytes()), Err(BadCertificate::NoChain));
    }
    assert_eq!(Chain::from_pem(&[0xff; 100]), Err(BadCertificate::NoChain));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(judged(&Authority::root("a root"), garbage), refused(BadCertificate::NoChain));
    assert!(anchors(b"").is_err() && intermediates(b"no pem").is_err());
}

#[test]
fn a_genuine_certificate_is_kept_whatever_the_date() {
    let root = Authority::root("a root");
    let trust = Judge::new(&root, &leaf_of(&root, 2020, 2099)).trust;
    let until = |chain: &str, livemode| Chain::from_pem(chain.as_bytes()).unwrap().genuine(livemode, &trust, sent_at());
    let year = |year: i16| Ok(format!("{year}-01-01T00:00:00Z").parse::<Timestamp>().unwrap());
    assert_eq!(until(&leaf_of(&root, 2020, 2099), Some(false)), year(2099));
    assert_eq!(until(&leaf_of(&root, 2020, 2025), None), year(2025), "expired by now");
    assert_eq!(until(&leaf_of(&root, 2030, 2031), None), year(2031), "not valid yet");
    assert_eq!(until(&leaf_of(&root, 2020, 2025), Some(true)), Err(BadCertificate::Name));
    assert_eq!(until(&leaf_of(&Authority::root("another"), 2020, 2025), None), Err(BadCertificate::Untrusted));
    let client = root.issue(&Terms { usage: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Terms::default() });
    assert_eq!(until(&client, None), Err(BadCertificate::Usage));
}

fn leaf_of(root: &Authority, from: i32, until: i32) -> String {
    root.issue(&Terms { from, until, ..Terms::default() })
}

#[test]
fn the_test_authority_is_believed_only_where_it_was_let_in() {
    let authority = TestAuthority::built_in().unwrap();
    let signed = authority.signer.sign(WEBHOOK, sent_at(), BODY).unwrap();
    let header = |name| signed.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    let mut trust = Trust::default();
    assert_eq!(Transmission::read(header, &trust.bases), Err(BadTransmission::CertificateUrl));
    authority.join(&mut trust);
    let transmission = Transmission::read(header, &trust.bases).unwrap();
    assert_eq!(transmission.certificate().base().livemode(), None);
    let chain = authority.at_hand(transmission.certificate()).unwrap();
    let ids = [WEBHOOK.to_owned()];
    for received_at in [sent_at(), "2000-01-01T00:00:00Z".parse().unwrap(), "2399-12-31T00:00:00Z".parse().unwrap()] {
        assert_eq!(chain.check(None, &trust, received_at), Ok(()), "message files play at any time");
    }
    let received = Received { transmission: &transmission, body: BODY, received_at: sent_at(), webhook_ids: &ids };
    assert_eq!(verify(&received, &trust, Some(&chain)), Ok(()));
    trust.anchors.clear();
    assert_eq!(verify(&received, &trust, Some(&chain)), refused(BadCertificate::Untrusted));
    assert_eq!(authority.at_hand(&certificate_url(URL, &[]).unwrap()), None);
}

#[test]
fn the_same_webhook_is_signed_alike_every_time() {
    let signer = || TestAuthority::built_in().unwrap().signer;
    let first = signer().sign(WEBHOOK, sent_at(), BODY).unwrap();
    assert_eq!(signer().sign(WEBHOOK, sent_at(), BODY), Some(first.clone()));
    assert_ne!(signer().sign(WEBHOOK, sent_at(), b"{}"), Some(first));
    assert!(Signer::new(b"no key", URL).is_none());
}

/// Signed by `openssl dgst -sha256 -sign key.pem` over the text that `b23` shows: another program agrees.
#[test]
fn a_known_vector_made_by_another_implementation() {
    let text = "69cd13f0-d67a-11e5-baa3-778b53f4ae55|2016-02-18T20:01:35Z|1JE4291016473214C|3421780262";
    assert_eq!(hex::encode(raw_signature(text.as_bytes())), include_str!("vector.txt").trim());
}

proptest::proptest! {
    #[test]
    fn b18_no_headers_panic(values in proptest::collection::vec("[A-Za-z0-9:/.|+= \\-\n]{0,80}", 5)) {
        let names = [TRANSMISSION_ID, TRANSMISSION_TIME, TRANSMISSION_SIG, CERT_URL, AUTH_ALGO];
        let headers: Headers = names.into_iter().zip(values).collect();
        let _ = read(&headers);
        let _ = read(&set(headers, AUTH_ALGO, "SHA256withRSA"));
    }

    #[test]
    fn b21_no_certificate_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let judge = Judge::plain();
        let text = BASE64.encode(&bytes);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        if let Ok(chain) = Chain::from_pem(pem.as_bytes()) {
            proptest::prop_assert!(chain.check(None, &judge.trust, sent_at()).is_err());
            proptest::prop_assert!(chain.genuine(None, &judge.trust, sent_at()).is_err());
        }
    }
}
