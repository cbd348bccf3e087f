//! What every tenant's webhooks and tokens are verified with, from files.
//!
//! Owns the folder's layout, below `<secrets_dir>/<tenant>/`: `stripe/*`, one signing secret per file;
//! `paypal/*`, one webhook id per file; `paypal_api/client_id` and `paypal_api/secret`; `api/*`, one key of the
//! host application per file, whose name is the key's id. Never shows a value: not in errors, not in `Debug`;
//! never writes or re-reads by itself.

use crate::api_key::{ApiKey, BadKey, is_key_id};
use crate::domain::ids::Id;
use crate::message::Signing;
use crate::message::paypal::is_token;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The least length of a secret, in bytes after trimming.
pub const SECRET_BYTES_MIN: usize = 16;

/// Why secrets cannot be loaded; names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The folder or a file in it cannot be read.
    #[error("{} cannot be read; check that it exists and the worker's user may read it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder is not named as a tenant can be.
    #[error("{} is not named as a tenant: 1 to 64 characters out of A-Z a-z 0-9 _ -; rename or remove it", .0.display())]
    Tenant(PathBuf),
    /// A file is not named as a key can be.
    #[error("{} is not named as a key: 1 to 64 characters out of A-Z a-z 0-9 . _ -; rename or remove it", .0.display())]
    KeyId(PathBuf),
    /// A file holds no key for tokens.
    #[error("{} {what}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why not.
        what: BadKey,
    },
    /// Nothing but a newline in it, or nothing.
    #[error("{} is empty; put the endpoint's signing secret into it or remove the file", .0.display())]
    Empty(PathBuf),
    /// Not what PayPal's ids look like.
    #[error("{} holds no webhook id: 1 to 64 letters, digits and hyphens, as PayPal's dashboard shows it", .0.display())]
    WebhookId(PathBuf),
    /// One of two that belong together.
    #[error("{} is missing beside the other one: both are needed to ask PayPal; add it or remove the folder", .0.display())]
    Lonely(PathBuf),
    /// Too short to be a provider's secret.
    #[error("{} holds less than {SECRET_BYTES_MIN} bytes; put the endpoint's whole signing secret into it", .0.display())]
    TooShort(PathBuf),
}

/// A tenant's application at PayPal.
#[derive(Clone, PartialEq, Eq)]
pub struct PayPalCredentials {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for PayPalCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(credentials)")
    }
}

/// The secrets of all tenants, as they were when loaded.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    tenants: BTreeMap<Id, OfTenant>,
}

#[derive(Clone, PartialEq, Eq, Default)]
struct OfTenant {
    stripe: Vec<Vec<u8>>,
    paypal: Vec<String>,
    paypal_api: Option<PayPalCredentials>,
    api: BTreeMap<String, ApiKey>,
}

impl OfTenant {
    fn load(dir: &Path) -> Result<Self, SecretsError> {
        Ok(Self {
            stripe: visible(&dir.join("stripe"))?.iter().map(|file| secret(file)).collect::<Result<_, _>>()?,
            paypal: visible(&dir.join("paypal"))?.iter().map(|file| webhook_id(file)).collect::<Result<_, _>>()?,
            paypal_api: paypal_api(&dir.join("paypal_api"))?,
            api: visible(&dir.join("api"))?.iter().map(|file| api_key(file)).collect::<Result<_, _>>()?,
        })
    }
}

impl Secrets {
    /// Reads `dir`. A missing folder means no secrets. Hidden names are skipped everywhere, plain
    /// files beside the tenants' folders too; links are followed, as mounted secrets need it.
    ///
    /// # Errors
    /// [`SecretsError`] for the first file, by name, that cannot be read or holds no secret.
    pub fn load(dir: &Path) -> Result<Self, SecretsError> {
        let mut tenants = BTreeMap::new();
        for path in visible(dir)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let tenant = Id::new(name).map_err(|_| SecretsError::Tenant(path.clone()))?;
            tenants.insert(tenant, OfTenant::load(&path)?);
        }
        Ok(Self { tenants })
    }

    /// One tenant with one Stripe signing secret, from no file.
    #[must_use]
    pub fn of_stripe(tenant: Id, secret: Vec<u8>) -> Self {
        Self { tenants: BTreeMap::from([(tenant, OfTenant { stripe: vec![secret], ..OfTenant::default() })]) }
    }

    /// The tenant's Stripe signing secrets in the order of their file names; empty for an unknown
    /// tenant.
    #[must_use]
    pub fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self.tenants.get(tenant).map(|of| of.stripe.clone()).unwrap_or_default()
    }

    /// The ids of the tenant's webhooks at PayPal, likewise.
    #[must_use]
    pub fn paypal(&self, tenant: &Id) -> Vec<String> {
        self.tenants.get(tenant).map(|of| of.paypal.clone()).unwrap_or_default()
    }

    /// What PayPal is asked with about the tenant's webhooks.
    #[must_use]
    pub fn paypal_api(&self, tenant: &Id) -> Option<PayPalCredentials> {
        self.tenants.get(tenant)?.paypal_api.clone()
    }

    /// The key of the tenant's host application by its id.
    #[must_use]
    pub fn api_key(&self, tenant: &Id, id: &str) -> Option<&ApiKey> {
        self.tenants.get(tenant)?.api.get(id)
    }
}

impl Signing for Secrets {
    /// The first by its file's name.
    fn stripe(&self, tenant: &Id) -> Option<Vec<u8>> {
        Self::stripe(self, tenant).into_iter().next()
    }

    fn paypal(&self, tenant: &Id) -> Option<String> {
        Self::paypal(self, tenant).into_iter().next()
    }
}

impl fmt::Debug for Secrets {
    /// Counts, never values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |count: fn(&OfTenant) -> usize| self.tenants.iter().map(move |(tenant, of)| (tenant, count(of)));
        formatter.write_str("Secrets { stripe: ")?;
        formatter.debug_map().entries(counts(|of| of.stripe.len())).finish()?;
        formatter.write_str(", paypal: ")?;
        formatter.debug_map().entries(counts(|of| of.paypal.len())).finish()?;
        formatter.write_str(", api: ")?;
        formatter.debug_map().entries(counts(|of| of.api.len())).finish()?;
        formatter.write_str(" }")
    }
}

/// The entries of a folder that are not hidden, by name; none if there is no such folder.
fn visible(dir: &Path) -> Result<Vec<PathBuf>, SecretsError> {
    let unreadable = |source| SecretsError::Unreadable { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A key for tokens, by its file's name.
fn api_key(path: &Path) -> Result<(String, ApiKey), SecretsError> {
    let id =
        path.file_name().and_then(|name| name.to_str()).filter(|id| is_key_id(id)).ok_or_else(|| SecretsError::KeyId(path.to_owned()))?;
    let key = ApiKey::read(&content(path)?).map_err(|what| SecretsError::Key { path: path.to_owned(), what })?;
    Ok((id.to_owned(), key))
}

/// The content of a file without newlines at its end, never nothing.
fn content(path: &Path) -> Result<Vec<u8>, SecretsError> {
    let mut bytes = fs::read(path).map_err(|source| SecretsError::Unreadable { path: path.to_owned(), source })?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() { Err(SecretsError::Empty(path.to_owned())) } else { Ok(bytes) }
}

fn secret(path: &Path) -> Result<Vec<u8>, SecretsError> {
    let bytes = content(path)?;
    if bytes.len() < SECRET_BYTES_MIN { Err(SecretsError::TooShort(path.to_owned())) } else { Ok(bytes) }
}

fn webhook_id(path: &Path) -> Result<String, SecretsError> {
    String::from_utf8(content(path)?).ok().filter(|id| is_token(id)).ok_or_else(|| SecretsError::WebhookId(path.to_owned()))
}

/// Both or neither.
fn paypal_api(dir: &Path) -> Result<Option<PayPalCredentials>, SecretsError> {
    let read = |name: &str| {
        let path = dir.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = String::from_utf8(secret(&path)?).map_err(|_| SecretsError::TooShort(path))?;
        Ok(Some(text))
    };
    match (read("client_id")?, read("secret")?) {
        (Some(client_id), Some(secret)) => Ok(Some(PayPalCredentials { client_id, secret })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(SecretsError::Lonely(dir.join("client_id"))),
        (Some(_), None) => Err(SecretsError::Lonely(dir.join("secret"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "whsec_0123456789abcdef";
    const TWO: &str = "whsec_fedcba9876543210";

    fn write(dir: &Path, path: &str, content: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn one_secret_per_file_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "agency/stripe/b", &format!("{TWO}\r\n"));
        write(dir.path(), "agency/stripe/a", &format!("{ONE}\n"));
        write(dir.path(), "agency/stripe/.hidden", "");
        write(dir.path(), "agency/paypal/x", "2N242548W9943490U\n");
        write(dir.path(), "agency/paypal_api/client_id", "AfV0GzjuhsPEuQ7VRMrsGYQnd0eUWNZ1\n");
        write(dir.path(), "agency/paypal_api/secret", "EJo2iBxM1yhJUsgDq1yZEq3VhXw9zZW1\n");
        write(dir.path(), "agency/api/2026-01", "0123456789abcdef0123456789abcdef\n");
        write(dir.path(), ".git/stripe/x", "");
        write(dir.path(), "README", "one folder per tenant");
        fs::create_dir_all(dir.path().join("empty")).unwrap();
        let secrets = Secrets::load(dir.path()).unwrap();
        assert_eq!(secrets.stripe(&id("agency")), [ONE.as_bytes(), TWO.as_bytes()]);
        assert_eq!(secrets.stripe(&id("empty")), Vec::<Vec<u8>>::new());
        assert_eq!(secrets.stripe(&id("studio")), Vec::<Vec<u8>>::new());
        assert_eq!(secrets.paypal(&id("agency")), ["2N242548W9943490U"]);
        assert!(secrets.paypal_api(&id("agency")).is_some_and(|api| api.client_id.starts_with("AfV0") && api.secret.starts_with("EJo2")));
        assert!(secrets.api_key(&id("agency"), "2026-01").is_some_and(|key| key.algorithm() == "HS256"));
        assert!(secrets.api_key(&id("agency"), "2026-02").is_none() && secrets.api_key(&id("empty"), "2026-01").is_none());
        assert!(secrets.paypal(&id("empty")).is_empty() && secrets.paypal_api(&id("empty")).is_none());
        assert_eq!(
            format!("{secrets:?}"),
            r#"Secrets { stripe: {"agency": 2, "empty": 0}, paypal: {"agency": 1, "empty": 0}, api: {"agency": 1, "empty": 0} }"#
        );
    }

    #[test]
    fn no_folder_no_secrets() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Secrets::load(&dir.path().join("none")).unwrap(), Secrets::default());
    }

    #[test]
    fn refusals_name_the_file_and_never_the_value() {
        for (path, content, reason) in [
            ("agency/stripe/a", "", "agency/stripe/a is empty; put the endpoint's signing secret into it or remove the file"),
            ("agency/stripe/a", "\n", "agency/stripe/a is empty; put the endpoint's signing secret into it or remove the file"),
            ("agency/stripe/a", "hush_hush\n", "agency/stripe/a holds less than 16 bytes; put the endpoint's whole signing secret into it"),
            (
                "agency/paypal/a",
                "hush_hush",
                "agency/paypal/a holds no webhook id: 1 to 64 letters, digits and hyphens, as PayPal's dashboard shows it",
            ),
            (
                "agency/paypal_api/secret",
                "hush_hush_hush_hush",
                "agency/paypal_api/client_id is missing beside the other one: both are needed to ask PayPal; add it or remove the folder",
            ),
            (
                "agency/api/a",
                "hush_hush",
                "agency/api/a holds less than 32 bytes; write a secret with `openssl rand -hex 32`, or an Ed25519 public key as PEM",
            ),
            (
                "agency/api/a b",
                ONE,
                "agency/api/a b is not named as a key: 1 to 64 characters out of A-Z a-z 0-9 . _ -; rename or remove it",
            ),
            ("a b/stripe/a", ONE, "a b is not named as a tenant: 1 to 64 characters out of A-Z a-z 0-9 _ -; rename or remove it"),
            ("agency/stripe/a/b", ONE, "agency/stripe/a cannot be read; check that it exists and the worker's user may read it"),
            ("agency/stripe", ONE, "agency/stripe cannot be read; check that it exists and the worker's user may read it"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), path, content);
            let error = Secrets::load(dir.path()).unwrap_err();
            assert_eq!(error.to_string(), format!("{}/{reason}", dir.path().display()));
            assert!(!format!("{error:?}").contains("hush_hush"));
        }
    }
}
