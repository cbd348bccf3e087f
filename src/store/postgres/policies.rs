//! A tenant's settings, version by version: the newest is in force.
//!
//! Owns adding a version and telling which was in force when. Versions are never changed, so that anybody can tell
//! by which order credits burned.

use super::load::instant;
use super::terms::{self, SettingsRow};
use crate::domain::ids::Id;
use crate::domain::settings::Settings;
use crate::failure::Failure;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

/// What was in force from an instant on.
#[derive(Debug)]
pub struct PolicyVersion {
    /// From 1.
    pub version: i32,
    /// From when; absent: from the beginning.
    pub effective_at: Option<Timestamp>,
    /// The message that changed it, or the catalog that was applied.
    pub changed_by: String,
    /// All of it.
    pub settings: SettingsRow,
}

/// The settings in force at an instant, or now.
///
/// # Errors
/// [`Failure`] of the database, or of a word this worker does not know.
pub async fn in_force(connection: &mut PgConnection, tenant: &Id, at: Option<Timestamp>) -> Result<Settings, Failure> {
    let sql = "select settings from policies where tenant = $1 and ($2::timestamptz is null or effective_at is null or effective_at <= $2) \
               order by version desc limit 1";
    let found: Option<Json<SettingsRow>> =
        sqlx::query_scalar(sql).bind(tenant.as_str()).bind(at.map(instant)).fetch_optional(connection).await?;
    found.map_or_else(|| Ok(Settings::default()), |row| row.0.settings())
}

/// Puts settings in force from now on, as a version of their own if they differ from the newest.
pub(super) async fn change(connection: &mut PgConnection, tenant: &Id, settings: &Settings, changed_by: &str) -> Result<(), Failure> {
    let sql = "insert into policies (tenant, version, settings, effective_at, changed_by) \
               select tenant, coalesce(newest.version, 0) + 1, $2, \
                 case when newest.version is null then null when test_clock then clock else clock_timestamp() end, $3 \
               from tenants left join lateral (select version, settings from policies p where p.tenant = tenants.tenant \
                 order by version desc limit 1) as newest on true \
               where tenant = $1 and newest.settings is distinct from $2";
    let row = Json(SettingsRow::of(settings));
    sqlx::query(sql).bind(tenant.as_str()).bind(row).bind(changed_by).execute(&mut *connection).await?;
    terms::bump(connection, tenant).await
}

/// All versions, the oldest first.
///
/// # Errors
/// [`Failure`] of the database.
pub async fn all(pool: &PgPool, tenant: &Id) -> Result<Vec<PolicyVersion>, Failure> {
    let rows: Vec<(i32, Option<SqlTimestamp>, String, Json<SettingsRow>)> =
        sqlx::query_as("select version, effective_at, changed_by, settings from policies where tenant = $1 order by version")
            .bind(tenant.as_str())
            .fetch_all(pool)
            .await?;
    let version = |(version, effective_at, changed_by, settings): (i32, Option<SqlTimestamp>, String, Json<SettingsRow>)| PolicyVersion {
        version,
        effective_at: effective_at.map(SqlTimestamp::to_jiff),
        changed_by,
        settings: settings.0,
    };
    Ok(rows.into_iter().map(version).collect())
}
