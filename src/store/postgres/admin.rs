//! Databases that come and go with one run of the demonstration, the benchmark or the soak.
//!
//! Owns their names and addresses on a server. Never touches a database that it did not make.

use super::PostgresStore;
use crate::failure::Failure;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A database of one run's own.
#[derive(Debug, Clone)]
pub struct Scratch {
    server: String,
    name: String,
    url: String,
}

/// The address of the server names no database, so that none can be named beside it.
#[derive(Debug, thiserror::Error)]
#[error("DATABASE_URL names no database: it ends in /<database>")]
pub struct NoDatabase;

impl Scratch {
    /// A name that begins with `word`, on the server of the database at `server`; nothing is made yet.
    ///
    /// # Errors
    /// [`NoDatabase`].
    pub fn name(server: &str, word: &str) -> Result<Self, NoDatabase> {
        let name = format!("{word}_{:016x}", rand::random::<u64>());
        let url = beside(server, &name).ok_or(NoDatabase)?;
        Ok(Self { server: server.to_owned(), name, url })
    }

    /// Makes it, empty.
    ///
    /// # Errors
    /// [`Failure`] of the server.
    pub async fn create(&self) -> Result<(), Failure> {
        self.execute(format!("create database {}", self.name)).await
    }

    /// Drops it, whoever is connected; one that was not made is fine.
    ///
    /// # Errors
    /// [`Failure`] of the server.
    pub async fn drop(&self) -> Result<(), Failure> {
        self.execute(format!("drop database if exists {} with (force)", self.name)).await
    }

    /// Whether the server writes what it commits to the disk.
    ///
    /// # Errors
    /// [`Failure`] of the server.
    pub async fn is_durable(&self) -> Result<bool, Failure> {
        let mut connection = PgConnection::connect(&self.server).await?;
        let settings = "select bool_and(current_setting(name) <> 'off') \
            from unnest('{fsync,full_page_writes,synchronous_commit}'::text[]) as name";
        let durable = sqlx::query_scalar(settings).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(durable)
    }

    async fn execute(&self, statement: String) -> Result<(), Failure> {
        let mut connection = PgConnection::connect(&self.server).await?;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl PostgresStore {
    /// Tells the planner what the tables hold by now, as autovacuum would in time.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn vacuum(&self) -> Result<(), Failure> {
        sqlx::query("vacuum analyze").execute(&self.pool).await?;
        Ok(())
    }
}

/// The address of another database on the same server.
fn beside(url: &str, database: &str) -> Option<String> {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
    let (server, _) = address.rsplit_once('/').filter(|(server, _)| !server.ends_with('/'))?;
    Some(parameters.map_or_else(|| format!("{server}/{database}"), |parameters| format!("{server}/{database}?{parameters}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_server_and_parameters() {
        for (url, expected) in [
            ("postgres://u:p@h:5432/one", Some("postgres://u:p@h:5432/two")),
            ("postgres://u@h/one?sslmode=require&host=%2Ftmp", Some("postgres://u@h/two?sslmode=require&host=%2Ftmp")),
            ("postgres://u@h", None),
            ("postgres", None),
        ] {
            assert_eq!(beside(url, "two").as_deref(), expected, "{url}");
        }
    }
}
