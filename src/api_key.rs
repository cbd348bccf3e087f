//! Keys of the host application, whose tokens the API believes.
//!
//! Owns the two kinds, how a file says which it is, and checking a signature. A key has one algorithm: that a
//! token names another is never a reason to try it. Never shows a key.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// The least length of a shared secret, in bytes: that of the hash (RFC 7518 §3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Letters of a key's id, which is its file's name.
pub const KEY_ID_BYTES_MAX: usize = 64;

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";
/// What stands in front of the 32 bytes of an Ed25519 key (RFC 8410 §4): a sequence, the algorithm's id, a
/// bit string.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a file holds no key; never says what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It has the form of a key, and is another one.
    #[error("holds PEM that is no Ed25519 public key; write it with `openssl pkey -in KEY -pubout`")]
    Pem,
    /// It is a secret that could be guessed.
    #[error("holds less than {SECRET_BYTES_MIN} bytes; write a secret with `openssl rand -hex 32`, or an Ed25519 public key as PEM")]
    TooShort,
}

/// A key of a tenant's host application.
#[derive(Clone, PartialEq, Eq)]
pub enum ApiKey {
    /// A secret that both sides have.
    Hs256(Vec<u8>),
    /// The public half of a key pair.
    EdDsa([u8; 32]),
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({} key)", self.algorithm())
    }
}

impl ApiKey {
    /// Reads a file's content, newlines at its end cut.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn read(content: &[u8]) -> Result<Self, BadKey> {
        if content.starts_with(b"-----BEGIN") {
            return ed25519(content).map(Self::EdDsa).ok_or(BadKey::Pem);
        }
        if content.len() < SECRET_BYTES_MIN { Err(BadKey::TooShort) } else { Ok(Self::Hs256(content.to_vec())) }
    }

    /// The `alg` that a token of this key names.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// True when this key signed these bytes.
    #[must_use]
    pub fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(secret) => Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mut mac| {
                mac.update(bytes);
                mac.verify_slice(signature).is_ok()
            }),
            Self::EdDsa(key) => webpki::ring::ED25519.verify_signature(key, bytes, signature).is_ok(),
        }
    }
}

/// The key in a PEM file that holds nothing else.
fn ed25519(pem: &[u8]) -> Option<[u8; 32]> {
    let inside = std::str::from_utf8(pem).ok()?.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let text: String = inside.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(text).ok()?.strip_prefix(&ED25519_PREFIX)?.try_into().ok()
}

/// True for what a key's id may be: 1 to 64 letters, digits, dots, hyphens and underscores.
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=KEY_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.1
    const PUBLIC: &str =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";

    #[test]
    fn a_file_says_which_kind_it_is() {
        assert_eq!(ApiKey::read(&[b'k'; 32]), Ok(ApiKey::Hs256(vec![b'k'; 32])));
        assert_eq!(ApiKey::read(PUBLIC.as_bytes()).unwrap().algorithm(), "EdDSA");
        assert_eq!(ApiKey::read(&[b'k'; 31]), Err(BadKey::TooShort));
        for other in [
            // RFC 8410 §10.3: a private key.
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZg==\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----",
            &format!("{PUBLIC}\n{PUBLIC}"),
        ] {
            assert_eq!(ApiKey::read(other.as_bytes()), Err(BadKey::Pem), "{other}");
        }
    }

    #[test]
    fn a_signature_made_by_another_implementation() {
        // RFC 8032 §7.1, test 2
        let key = hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
        let signature = hex::decode(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let key = ApiKey::EdDsa(key.try_into().unwrap());
        assert!(key.signed(&[0x72], &signature.clone().unwrap()) && !key.signed(&[0x73], &signature.unwrap()));
        // RFC 4231, test 6: a key longer than a block
        let key = ApiKey::Hs256(vec![0xaa; 131]);
        let mac = hex::decode("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54").unwrap();
        assert!(key.signed(b"Test Using Larger Than Block-Size Key - Hash Key First", &mac) && !key.signed(b"", &mac));
        assert!(!format!("{key:?}").contains("170"));
    }

    #[test]
    fn ids_of_keys() {
        assert!(is_key_id("2026-01.pem") && is_key_id("k") && is_key_id(&"k".repeat(64)));
        assert!(!is_key_id("") && !is_key_id("a/b") && !is_key_id("a b") && !is_key_id(&"k".repeat(65)) && !is_key_id("ä"));
    }
}
