//! Whether a database can be logged in to, and if not, what is in the way: for whoever set the address.
//!
//! Owns telling apart an address that cannot be read, a server that is away, a login that is refused,
//! and a database that does not exist. Never shows a password; never reads or writes anything.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use std::io;
use std::str::FromStr;
use std::time::Duration;

/// How long a server may take to let somebody in.
const LOGIN_MAX: Duration = Duration::from_secs(5);

/// Why a database cannot be worked with. Nothing was read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The address is none. It is not shown: it may hold a password.
    #[error(
        "the database address cannot be read and nothing was changed; write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE \
         (special letters in the password as %XX)"
    )]
    Address,
    /// Nobody answers, or the server takes nobody in at the moment. Passes by itself.
    #[error(
        "the database at {place} cannot be reached; nothing was read or changed; check that it runs and that the address \
         (DATABASE_URL) is right"
    )]
    Away {
        /// host:port/database.
        place: String,
        /// What happened on the way.
        #[source]
        source: Told,
    },
    /// User, password, or the right to connect.
    #[error(
        "the database at {place} refused the user {user}; nothing was read or changed; check user and password in the address \
         (DATABASE_URL)"
    )]
    Login {
        /// host:port/database.
        place: String,
        /// Who tried.
        user: String,
        /// The server's words.
        #[source]
        source: Told,
    },
    /// The server runs, without this database.
    #[error(
        "there is no database {name} at {server}; nothing was changed; create it, then run `credit-ledger migrate`, or mend the \
         name at the end of the address (DATABASE_URL)"
    )]
    Missing {
        /// The name asked for.
        name: String,
        /// host:port.
        server: String,
    },
}

/// What was told about a failed login, without the client library's own framing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(String);

impl Unreachable {
    /// True when it may pass without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    fn new(options: &PgConnectOptions, error: &sqlx::Error) -> Self {
        let server = options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| format!("{}:{}", socket.display(), options.get_port()),
        );
        let user = options.get_username().to_owned();
        // Without a name, the server takes that of the user.
        let name = options.get_database().unwrap_or(&user).to_owned();
        let place = format!("{server}/{name}");
        let source = Told(match error {
            sqlx::Error::Io(error) => told(error),
            sqlx::Error::Database(error) => error.message().to_owned(),
            other => other.to_string(),
        });
        match error.as_database_error().and_then(DatabaseError::code).as_deref() {
            Some("3D000") => Self::Missing { name, server },
            // 42501: the user may not connect to this database.
            Some(code) if code.starts_with("28") || code == "42501" => Self::Login { place, user, source },
            _ => Self::Away { place, source },
        }
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        _ => error.to_string(),
    }
}

/// Logs in once and leaves again.
///
/// # Errors
/// [`Unreachable`] says what is in the way.
pub async fn reach(url: &str) -> Result<(), Unreachable> {
    let options = options(url).ok_or(Unreachable::Address)?;
    match tokio::time::timeout(LOGIN_MAX, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => {
            // It was let in: how it leaves does not matter.
            let _ = connection.close().await;
            Ok(())
        }
        Ok(Err(error)) => Err(Unreachable::new(&options, &error)),
        Err(_) => {
            let late = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", LOGIN_MAX.as_secs()));
            Err(Unreachable::new(&options, &sqlx::Error::Io(late)))
        }
    }
}

/// Stricter than the client library, which reads an address of any scheme, and behind a password with
/// a bare `/` takes the rest of it for the database.
fn options(url: &str) -> Option<PgConnectOptions> {
    let (scheme, rest) = url.split_once("://")?;
    let (_, path) = rest.split(['?', '#']).next()?.split_once('/').unwrap_or_default();
    let is_address = ["postgres", "postgresql"].contains(&scheme) && !path.contains('@');
    PgConnectOptions::from_str(url).ok().filter(|_| is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str) -> Unreachable {
        reach(url).await.expect_err(url)
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_not_tried_and_not_shown() {
        for url in ["", "nonsense", "http://u:hush@h/d", "u:hush@h/d", "postgres://u:12/hush@h/d"] {
            let error = refused(url).await;
            assert!(matches!(error, Unreachable::Address) && !error.is_transient(), "{url}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{url}");
        }
    }

    #[tokio::test]
    async fn nobody_listens() {
        let error = refused("postgres://u:hush@127.0.0.1:1/d").await;
        assert!(error.is_transient());
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("127.0.0.1:1/d") && shown.contains("refused") && !shown.contains("hush"), "{shown}");
    }
}
