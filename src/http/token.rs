//! Tokens of the host application: JSON Web Tokens (RFC 7519), signed with a key of the tenant they name.
//!
//! Owns what a token must say to be believed, and what it allows. Narrow: two algorithms, each for keys of its
//! kind; a key by its id; an end; one tenant, and all of it or one account. Reads nothing of a claim before
//! its signature is checked, but the tenant, whose key that is. Never shows a token.

use crate::api_key::ApiKey;
use crate::domain::ids::Id;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// How far the clocks of both sides may be apart, in seconds.
pub const LEEWAY_SECONDS: i64 = 60;
/// Tokens with what is asked for here have some 300 bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Why a token is not believed. Says nothing about keys or tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// None, or more than one, or another scheme.
    #[error("there is no bearer token")]
    Missing,
    /// Not of the form, or something of it is missing.
    #[error("the token is not a signed JWT with alg, kid, exp, tenant and scope as this service takes them")]
    Form,
    /// Not signed by a key of the tenant that it names, with the algorithm of that key.
    #[error("no key of the tenant made the token's signature")]
    Signature,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Too early.
    #[error("the token is not valid yet")]
    Early,
}

/// What a token allows to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every account of the tenant.
    Tenant,
    /// One account.
    Account(Id),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose key signed it.
    pub tenant: Id,
    /// What it allows.
    pub scope: Scope,
}

impl Claims {
    /// True when an account of a tenant may be read.
    #[must_use]
    pub fn allow(&self, tenant: &Id, account: &Id) -> bool {
        let of_scope = match &self.scope {
            Scope::Tenant => true,
            Scope::Account(only) => only == account,
        };
        self.tenant == *tenant && of_scope
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that must be understood: none is.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Owner {
    tenant: String,
}

#[derive(Deserialize)]
struct Said {
    exp: i64,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<i64>,
    scope: String,
    #[serde(default, deserialize_with = "given")]
    account: Option<String>,
}

/// What is there must be of its type: `null` is not absence.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What the token of a request says, if it is believed at `now`. `key` gives a tenant's key by its id.
///
/// # Errors
/// [`Refused`] with the first check that failed.
pub fn claims(headers: &HeaderMap, now: Timestamp, key: impl Fn(&Id, &str) -> Option<ApiKey>) -> Result<Claims, Refused> {
    let token = bearer(headers).ok_or(Refused::Missing)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Form)?;
    let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(Refused::Form)?;
    let header: Header = json(&decoded(header)?)?;
    if header.crit.is_some() {
        return Err(Refused::Form);
    }
    let payload = decoded(payload)?;
    let tenant = Id::new(&json::<Owner>(&payload)?.tenant).map_err(|_| Refused::Form)?;
    let signature = decoded(signature)?;
    let key = key(&tenant, &header.kid).filter(|key| key.algorithm() == header.alg).ok_or(Refused::Signature)?;
    if !key.signed(signed.as_bytes(), &signature) {
        return Err(Refused::Signature);
    }
    let said: Said = json(&payload)?;
    let now = now.as_second();
    if now >= said.exp.saturating_add(LEEWAY_SECONDS) {
        return Err(Refused::Expired);
    }
    if said.nbf.is_some_and(|nbf| now < nbf.saturating_sub(LEEWAY_SECONDS)) {
        return Err(Refused::Early);
    }
    let scope = match (said.scope.as_str(), said.account) {
        ("tenant", None) => Scope::Tenant,
        ("account", Some(account)) => Scope::Account(Id::new(&account).map_err(|_| Refused::Form)?),
        _ => return Err(Refused::Form),
    };
    Ok(Claims { tenant, scope })
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_BYTES_MAX).contains(&token.len())).then_some(token)
}

fn decoded(part: &str) -> Result<Vec<u8>, Refused> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Form)
}

/// Keys of others are passed over; one of ours that is there twice is refused.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|_| Refused::Form)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
