//! Tenants and their catalog versions.
//!
//! Owns making a tenant and adding a version. Versions are never changed.

use super::policies;
use crate::catalog::CatalogFile;
use crate::domain::ids::Id;
use crate::failure::Failure;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgPool;

/// Why a catalog was not stored; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A test clock cannot be given to or taken from a tenant that exists.
    #[error(
        "tenant {tenant} exists with test_clock = {stored} and the file says {wanted}: a tenant keeps the clock it was made with; nothing was changed"
    )]
    TestClock {
        /// The tenant.
        tenant: Id,
        /// What it has.
        stored: bool,
        /// What the file says.
        wanted: bool,
    },
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

/// Stores a version, making the tenant if it is new, and returns its number. The file's policies
/// change the settings they name. Text that equals the newest version adds none.
///
/// # Errors
/// [`ApplyError`]; nothing was changed.
pub async fn apply(pool: &PgPool, tenant: &Id, file: &CatalogFile, document: &str) -> Result<u32, ApplyError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("insert into tenants (tenant, test_clock) values ($1, $2) on conflict (tenant) do nothing")
        .bind(tenant.as_str())
        .bind(file.test_clock)
        .execute(&mut *transaction)
        .await?;
    let stored: bool = sqlx::query_scalar("select test_clock from tenants where tenant = $1 for update")
        .bind(tenant.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    if stored != file.test_clock {
        return Err(ApplyError::TestClock { tenant: tenant.clone(), stored, wanted: file.test_clock });
    }
    let newest: Option<(i32, String)> =
        sqlx::query_as("select version, document from catalogs where tenant = $1 order by version desc limit 1")
            .bind(tenant.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    let version = match newest {
        Some((version, text)) if text == document => version,
        newest => {
            let version = newest.map_or(1, |(version, _)| version.saturating_add(1));
            // Usage that happened before the first version is priced by it.
            sqlx::query(
                "insert into catalogs (tenant, version, document, effective_at) \
                 select $1, $2, $3, case when $2 = 1 then null when test_clock then clock else clock_timestamp() end \
                 from tenants where tenant = $1",
            )
            .bind(tenant.as_str())
            .bind(version)
            .bind(document)
            .execute(&mut *transaction)
            .await?;
            version
        }
    };
    let settings = file.policies.applied_to(&policies::in_force(&mut transaction, tenant, None).await?);
    policies::change(&mut transaction, tenant, &settings, &format!("catalog version {version}")).await?;
    transaction.commit().await?;
    Ok(u32::try_from(version).unwrap_or(u32::MAX))
}

/// The text of a tenant's newest version.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn newest(pool: &PgPool, tenant: &Id) -> Result<Option<String>, Failure> {
    Ok(sqlx::query_scalar("select document from catalogs where tenant = $1 order by version desc limit 1")
        .bind(tenant.as_str())
        .fetch_optional(pool)
        .await?)
}

/// A tenant, for listing.
#[derive(Debug, Clone)]
pub struct TenantSummary {
    /// Its name.
    pub tenant: String,
    /// Whether its time moves by command only.
    pub test_clock: bool,
    /// That time.
    pub clock: Option<Timestamp>,
    /// Newest catalog version.
    pub catalog: i32,
    /// Accounts opened.
    pub accounts: i64,
}

/// Every tenant.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn tenants(pool: &PgPool) -> Result<Vec<TenantSummary>, Failure> {
    type Row = (String, bool, Option<SqlTimestamp>, i32, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "select tenant, test_clock, clock, \
         coalesce((select max(version) from catalogs where catalogs.tenant = tenants.tenant), 0) as catalog, \
         (select count(*) from accounts where accounts.tenant = tenants.tenant and account <> '' and status <> 'unopened') as accounts \
         from tenants order by tenant",
    )
    .fetch_all(pool)
    .await?;
    let summary = |(tenant, test_clock, clock, catalog, accounts): Row| {
        let clock = clock.map(SqlTimestamp::to_jiff);
        TenantSummary { tenant, test_clock, clock, catalog, accounts }
    };
    Ok(rows.into_iter().map(summary).collect())
}
