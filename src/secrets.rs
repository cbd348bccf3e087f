//! The providers' signing secrets of every tenant, from files.
//!
//! Owns the folder's layout, `<secrets_dir>/<tenant>/stripe/*`, one secret per file. Never shows a
//! value: not in errors, not in `Debug`; never writes or re-reads by itself.

use crate::domain::ids::Id;
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
    /// Nothing but a newline in it, or nothing.
    #[error("{} is empty; put the endpoint's signing secret into it or remove the file", .0.display())]
    Empty(PathBuf),
    /// Too short to be a provider's secret.
    #[error("{} holds less than {SECRET_BYTES_MIN} bytes; put the endpoint's whole signing secret into it", .0.display())]
    TooShort(PathBuf),
}

/// The secrets of all tenants, as they were when loaded.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    stripe: BTreeMap<Id, Vec<Vec<u8>>>,
}

impl Secrets {
    /// Reads `dir`. A missing folder means no secrets. Hidden names are skipped everywhere, plain
    /// files beside the tenants' folders too; links are followed, as mounted secrets need it.
    ///
    /// # Errors
    /// [`SecretsError`] for the first file, by name, that cannot be read or holds no secret.
    pub fn load(dir: &Path) -> Result<Self, SecretsError> {
        let mut stripe = BTreeMap::new();
        for path in visible(dir)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let tenant = Id::new(name).map_err(|_| SecretsError::Tenant(path.clone()))?;
            let files = visible(&path.join("stripe"))?;
            let secrets = files.iter().map(|file| secret(file)).collect::<Result<Vec<_>, _>>()?;
            stripe.insert(tenant, secrets);
        }
        Ok(Self { stripe })
    }

    /// The tenant's Stripe signing secrets in the order of their file names; empty for an unknown
    /// tenant.
    #[must_use]
    pub fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self.stripe.get(tenant).cloned().unwrap_or_default()
    }
}

impl fmt::Debug for Secrets {
    /// Counts, never values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.stripe.iter().map(|(tenant, secrets)| (tenant, secrets.len()));
        formatter.write_str("Secrets { stripe: ")?;
        formatter.debug_map().entries(counts).finish()?;
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

/// The content of a file without newlines at its end.
fn secret(path: &Path) -> Result<Vec<u8>, SecretsError> {
    let mut bytes = fs::read(path).map_err(|source| SecretsError::Unreadable { path: path.to_owned(), source })?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    match bytes.len() {
        0 => Err(SecretsError::Empty(path.to_owned())),
        length if length < SECRET_BYTES_MIN => Err(SecretsError::TooShort(path.to_owned())),
        _ => Ok(bytes),
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
        write(dir.path(), "agency/paypal/x", "");
        write(dir.path(), ".git/stripe/x", "");
        write(dir.path(), "README", "one folder per tenant");
        fs::create_dir_all(dir.path().join("empty")).unwrap();
        let secrets = Secrets::load(dir.path()).unwrap();
        assert_eq!(secrets.stripe(&id("agency")), [ONE.as_bytes(), TWO.as_bytes()]);
        assert_eq!(secrets.stripe(&id("empty")), Vec::<Vec<u8>>::new());
        assert_eq!(secrets.stripe(&id("studio")), Vec::<Vec<u8>>::new());
        assert_eq!(format!("{secrets:?}"), r#"Secrets { stripe: {"agency": 2, "empty": 0} }"#);
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
