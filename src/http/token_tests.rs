//! Tokens that are believed and tokens that are not.

use super::*;
use axum::http::HeaderValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
const NOW: i64 = 1_800_000_000;

fn keys(tenant: &Id, id: &str) -> Option<ApiKey> {
    match (tenant.as_str(), id) {
        ("acme", "one") => ApiKey::read(SECRET).ok(),
        ("acme", "public") => ApiKey::read(PEM.as_bytes()).ok(),
        _ => None,
    }
}

fn token(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn header() -> Value {
    json!({"alg": "HS256", "kid": "one", "typ": "JWT"})
}

fn said() -> Value {
    json!({"tenant": "acme", "scope": "account", "account": "ann", "exp": NOW + 300, "iat": NOW, "sub": "host"})
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn without(mut object: Value, key: &str) -> Value {
    object.as_object_mut().unwrap().remove(key);
    object
}

fn check_at(now: i64, token: &str) -> Result<Claims, Refused> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    claims(&headers, Timestamp::from_second(now).unwrap(), keys)
}

fn check(token: &str) -> Result<Claims, Refused> {
    check_at(NOW, token)
}

#[test]
fn one_account_or_the_whole_tenant() {
    let id = |text| Id::new(text).unwrap();
    let one = check(&token(&header(), &said(), SECRET)).unwrap();
    assert!(one.allow(&id("acme"), &id("ann")) && !one.allow(&id("acme"), &id("bob")) && !one.allow(&id("other"), &id("ann")));
    let all = without(with(said(), "scope", json!("tenant")), "account");
    let all = check(&token(&header(), &all, SECRET)).unwrap();
    assert!(all.allow(&id("acme"), &id("ann")) && all.allow(&id("acme"), &id("bob")) && !all.allow(&id("other"), &id("ann")));
}

#[test]
fn the_algorithm_is_the_keys_own() {
    for alg in ["none", "None", "hs256", "HS384", "EdDSA", "RS256", ""] {
        let token = token(&with(header(), "alg", json!(alg)), &said(), SECRET);
        assert_eq!(check(&token), Err(Refused::Signature), "{alg}");
    }
    // The well-known confusion: the public key's text as a shared secret.
    for alg in ["HS256", "EdDSA"] {
        let confused = with(with(header(), "kid", json!("public")), "alg", json!(alg));
        assert_eq!(check(&token(&confused, &said(), PEM.as_bytes())), Err(Refused::Signature), "{alg}");
    }
    let bare = token(&with(header(), "alg", json!("none")), &said(), SECRET);
    assert_eq!(check(&format!("{}.", bare.rsplit_once('.').unwrap().0)), Err(Refused::Signature));
}

#[test]
fn a_key_is_named_and_is_the_tenants() {
    for (header, claims) in [
        (with(header(), "kid", json!("two")), said()),
        (with(header(), "kid", json!("../acme/one")), said()),
        (header(), with(said(), "tenant", json!("other"))),
    ] {
        assert_eq!(check(&token(&header, &claims, SECRET)), Err(Refused::Signature), "{header} {claims}");
    }
    assert_eq!(check(&token(&header(), &said(), b"another secret of more than 32 bytes")), Err(Refused::Signature));
}

#[test]
fn what_is_missing_or_of_another_form() {
    let header_of = |header: Value| token(&header, &said(), SECRET);
    let claims_of = |claims: Value| token(&header(), &claims, SECRET);
    let good = claims_of(said());
    let (signed, _) = good.rsplit_once('.').unwrap();
    for bad in [
        header_of(without(header(), "kid")),
        header_of(without(header(), "alg")),
        header_of(with(header(), "kid", json!(1))),
        header_of(with(header(), "crit", json!(["exp"]))),
        header_of(with(header(), "crit", json!([]))),
        header_of(json!([])),
        claims_of(without(said(), "exp")),
        claims_of(with(said(), "exp", json!("1900000000"))),
        claims_of(with(said(), "exp", json!(1_900_000_000.5))),
        claims_of(with(said(), "exp", json!(null))),
        claims_of(with(said(), "nbf", json!("1"))),
        claims_of(with(said(), "nbf", json!(null))),
        claims_of(without(said(), "tenant")),
        claims_of(with(said(), "tenant", json!(["acme"]))),
        claims_of(with(said(), "tenant", json!("a b"))),
        claims_of(without(said(), "scope")),
        claims_of(with(said(), "scope", json!("admin"))),
        claims_of(with(said(), "scope", json!(["tenant", "account"]))),
        claims_of(with(said(), "scope", json!("tenant"))),
        claims_of(without(said(), "account")),
        claims_of(with(said(), "account", json!("../ann"))),
        "a.b".to_owned(),
        "a.b.c.d".to_owned(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{good}="),
        format!("{good}.x"),
        good.replace('.', "+."),
    ] {
        assert_eq!(check(&bad), Err(Refused::Form), "{bad}");
    }
    // A claim that is there twice means nothing certain.
    let twice = said().to_string().replacen('{', r#"{"tenant":"other","#, 1);
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    assert_eq!(check(&format!("{}.{}.AAAA", part(&header().to_string()), part(&twice))), Err(Refused::Form));
}

#[test]
fn one_minute_more_at_either_end() {
    let token = token(&header(), &with(said(), "nbf", json!(NOW)), SECRET);
    for (now, expected) in [
        (NOW - 61, Some(Refused::Early)),
        (NOW - 60, None),
        (NOW + 359, None),
        (NOW + 360, Some(Refused::Expired)),
        (NOW + 9_999, Some(Refused::Expired)),
    ] {
        assert_eq!(check_at(now, &token).err(), expected, "{now}");
    }
    for exp in [i64::MIN, 0] {
        let token = self::token(&header(), &with(said(), "exp", json!(exp)), SECRET);
        assert_eq!(check(&token), Err(Refused::Expired));
    }
}

#[test]
fn the_header_is_one_bearer_token() {
    let good = token(&header(), &said(), SECRET);
    let check = |values: &[String]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        claims(&headers, Timestamp::from_second(NOW).unwrap(), keys)
    };
    assert!(check(&[format!("bearer {good}")]).is_ok());
    for bad in [
        &[][..],
        &[format!("Basic {good}")],
        std::slice::from_ref(&good),
        &[format!("Bearer {good}"), format!("Bearer {good}")],
        &["Bearer ".into()],
    ] {
        assert_eq!(check(bad), Err(Refused::Missing), "{bad:?}");
    }
    assert_eq!(check(&[format!("Bearer {}", "a".repeat(4097))]), Err(Refused::Missing));
}
