//! `Stripe-Signature`: HMAC-SHA256 over `t`, a dot and the raw body.
//!
//! Owns authenticity. Compares in constant time, tries every secret of the tenant with every `v1`
//! (a secret may be in the middle of being rolled), and measures age against the moment of receipt,
//! so that a long queue spoils nothing. Total: no header makes it panic or wrap.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// How far `t` may be from the moment of receipt, in either direction; exactly this is accepted.
pub const AGE_SECONDS_MAX: i64 = 300;

/// No header of Stripe's is near this; what is longer is not looked at.
const HEADER_BYTES_MAX: usize = 4096;

/// Why a webhook is not believed. Says nothing about secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The header is missing, empty or not of Stripe's form.
    #[error("the header Stripe-Signature is missing or not of the form t=…,v1=…")]
    Header,
    /// Signed more than 300 s before or after it was received.
    #[error("the signature's time is more than 300 s away from x-received-at")]
    Age,
    /// The tenant has no secret here.
    #[error("the tenant has no Stripe signing secret")]
    NoSecret,
    /// No secret of the tenant made any of the signatures.
    #[error("no secret of the tenant made this signature")]
    Mismatch,
}

/// Verifies a header over the raw bytes it came with.
///
/// # Errors
/// [`BadSignature`] with the first check that failed.
pub fn verify(header: &str, received_at: Timestamp, body: &[u8], secrets: &[Vec<u8>]) -> Result<(), BadSignature> {
    let (signed_at, signatures) = parse(header).ok_or(BadSignature::Header)?;
    // Twelve digits at most, so neither product nor difference leaves i64.
    let signed_micros = signed_at.checked_mul(1_000_000).ok_or(BadSignature::Header)?;
    let apart = received_at.as_microsecond().checked_sub(signed_micros).ok_or(BadSignature::Age)?;
    if apart.unsigned_abs() > AGE_SECONDS_MAX.unsigned_abs().saturating_mul(1_000_000) {
        return Err(BadSignature::Age);
    }
    // An empty secret would let anybody sign.
    let mut usable = secrets.iter().filter(|secret| !secret.is_empty()).peekable();
    if usable.peek().is_none() {
        return Err(BadSignature::NoSecret);
    }
    let matches = usable.any(|secret| {
        mac(secret, signed_at, body).is_some_and(|mac| signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()))
    });
    if matches { Ok(()) } else { Err(BadSignature::Mismatch) }
}

/// The header Stripe would send: for `publish`, `simulate` and tests. `None` for an empty secret.
#[must_use]
pub fn sign(secret: &[u8], signed_at: i64, body: &[u8]) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    let signature = mac(secret, signed_at, body)?.finalize().into_bytes();
    Some(format!("t={signed_at},v1={}", hex::encode(signature)))
}

fn mac(secret: &[u8], signed_at: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(signed_at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// The one `t` and every `v1` that is 64 hexadecimal digits of either case. Other schemes (`v0`)
/// are passed over.
fn parse(header: &str) -> Option<(i64, Vec<[u8; 32]>)> {
    if header.len() > HEADER_BYTES_MAX {
        return None;
    }
    let (mut signed_at, mut signatures) = (None, Vec::new());
    for element in header.split(',') {
        match element.split_once('=')? {
            ("t", digits) => {
                let plain = (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
                // What is signed is the text of `t`, so it must be the one spelling of its number.
                let only = signed_at.is_none() && (digits == "0" || !digits.starts_with('0'));
                signed_at = Some((plain && only).then(|| digits.parse().ok()).flatten()?);
            }
            ("v1", digits) => {
                let mut signature = [0; 32];
                if hex::decode_to_slice(digits, &mut signature).is_ok() {
                    signatures.push(signature);
                }
            }
            _ => {}
        }
    }
    (!signatures.is_empty()).then_some((signed_at?, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test_0123456789abcdef";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const T: i64 = 1_767_225_600;

    fn check(header: &str, received: i64, secrets: &[&[u8]]) -> Result<(), BadSignature> {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.to_vec()).collect();
        verify(header, Timestamp::from_second(received).unwrap(), BODY, &secrets)
    }

    fn v1(secret: &[u8]) -> String {
        sign(secret, T, BODY).unwrap().split_once("v1=").unwrap().1.to_owned()
    }

    #[test]
    fn a_known_vector_made_by_another_implementation() {
        // printf '1767225600.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_0123456789abcdef
        assert_eq!(v1(SECRET), "50d238772cd07599b5d9521b8d6c607f1561e7611f3a5d2947112c140f1bd4d1");
    }

    #[test]
    fn what_we_sign_we_believe() {
        assert_eq!(check(&sign(SECRET, T, BODY).unwrap(), T, &[SECRET]), Ok(()));
        assert_eq!(sign(b"", T, BODY), None);
    }

    #[test]
    fn b1_no_header_or_a_huge_one() {
        for header in ["", " ", ",", "t", "garbage", &"v1=00,".repeat(11_000)] {
            assert_eq!(check(header, T, &[SECRET]), Err(BadSignature::Header));
        }
    }

    #[test]
    fn b2_times_that_are_not_one_plain_number() {
        let good = v1(SECRET);
        for t in [
            String::new(),
            format!("t={T},t={T},"),
            format!("t=-{T},"),
            format!("t=+{T},"),
            format!("t= {T},"),
            format!("t={T} ,"),
            format!("t={},", "9".repeat(30)),
            "t=1e9,".into(),
            "t=,".into(),
            format!("t=0{T},"),
            "t=9223372036854775808,".into(),
            format!(" t={T},"),
        ] {
            assert_eq!(check(&format!("{t}v1={good}"), T, &[SECRET]), Err(BadSignature::Header), "{t:?}");
        }
        assert_eq!(check(&format!("t=999999999999,v1={good}"), T, &[SECRET]), Err(BadSignature::Age));
        assert_eq!(check(&format!("t=0,v1={good}"), T, &[SECRET]), Err(BadSignature::Age));
    }

    #[test]
    fn b3_signatures_that_are_none() {
        let good = v1(SECRET);
        for v1 in [
            String::new(),
            format!(",v0={good}"),
            format!(",v1={}", &good[1..]),
            format!(",v1={good}0"),
            format!(",v1={}", "zz".repeat(32)),
            ",v1=".into(),
            format!(", v1={good}"),
            format!(",v1= {good}"),
        ] {
            assert_eq!(check(&format!("t={T}{v1}"), T, &[SECRET]), Err(BadSignature::Header), "{v1:?}");
        }
        assert_eq!(check(&format!("t={T},v1={}", good.to_uppercase()), T, &[SECRET]), Ok(()), "upper case is the same number");
    }

    #[test]
    fn a_rolled_secret_and_every_v1_are_tried() {
        let header = format!("t={T},v1={},v1={},v0=abc", "0".repeat(64), v1(b"old"));
        assert_eq!(check(&header, T, &[SECRET, b"old"]), Ok(()));
        assert_eq!(check(&header, T, &[SECRET]), Err(BadSignature::Mismatch));
    }

    #[test]
    fn b5_three_hundred_seconds_either_way_are_the_edge() {
        let header = sign(SECRET, T, BODY).unwrap();
        for (received, expected) in
            [(T + 300, Ok(())), (T - 300, Ok(())), (T + 301, Err(BadSignature::Age)), (T - 301, Err(BadSignature::Age))]
        {
            assert_eq!(check(&header, received, &[SECRET]), expected);
        }
        let late = Timestamp::from_microsecond((T + 300) * 1_000_000 + 1).unwrap();
        assert_eq!(verify(&header, late, BODY, &[SECRET.to_vec()]), Err(BadSignature::Age));
    }

    #[test]
    fn b6_another_secret_none_or_an_empty_one() {
        let header = sign(SECRET, T, BODY).unwrap();
        assert_eq!(check(&header, T, &[b"whsec_retired"]), Err(BadSignature::Mismatch));
        assert_eq!(check(&header, T, &[]), Err(BadSignature::NoSecret));
        assert_eq!(check(&header, T, &[b""]), Err(BadSignature::NoSecret));
    }

    #[test]
    fn b7_one_changed_byte_is_another_message() {
        let header = sign(SECRET, T, BODY).unwrap();
        let at = Timestamp::from_second(T).unwrap();
        for body in [&br#"{"id":"evt_2"}"#[..], br#"{"id": "evt_1"}"#, b"\xef\xbb\xbf{\"id\":\"evt_1\"}", b""] {
            assert_eq!(verify(&header, at, body, &[SECRET.to_vec()]), Err(BadSignature::Mismatch));
        }
        let moved = header.replace(&T.to_string(), &(T + 1).to_string());
        assert_eq!(verify(&moved, at, BODY, &[SECRET.to_vec()]), Err(BadSignature::Mismatch), "t is signed too");
    }

    proptest::proptest! {
        #[test]
        fn b2_no_header_panics(header in "[tv01=, +\\-0-9a-f]{0,200}", received in 0_i64..4_000_000_000) {
            let _ = check(&header, received, &[SECRET]);
        }
    }
}
