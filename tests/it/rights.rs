//! The rights that the operations guide gives a worker are enough, as they stand there.

use crate::claims::until;
use crate::worker::{Deployment, environment, grant};
use credit_ledger::store::postgres::pool;
use serde_json::json;
use sqlx::AssertSqlSafe;

const GUIDE: &str = include_str!("../../docs/operations.md");

/// The statements under the heading about the database, for another role.
fn statements(role: &str) -> String {
    let (_, section) = GUIDE.split_once("## Database rights").unwrap();
    let (_, block) = section.split_once("```sql\n").unwrap();
    block.split_once("```").unwrap().0.replace("ledger_worker", role).replace("a long password", role)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_with_the_documented_database_rights() {
    let mut deployment = Deployment::new().await;
    let (_, role) = deployment.database.rsplit_once('/').unwrap();
    let role = role.to_owned();
    sqlx::raw_sql(AssertSqlSafe(statements(&role))).execute(&deployment.pool).await.unwrap();
    let (scheme, rest) = deployment.database.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{role}:{role}@{place}");
    deployment.worker = Some(deployment.tool(&["run"]).env("DATABASE_URL", url).spawn().unwrap());

    // What writes to, and deletes from, tables of every kind.
    let staff = json!({"member": "eve", "role": "approver"});
    for (id, kind, account, data) in [
        ("u", "usage.recorded", Some("ann"), json!({"meter": "image", "quantity": "3"})),
        ("g", "credits.grant", Some("ann"), grant("100")),
        ("m", "member.changed", None, staff),
        ("r", "member.removed", None, json!({"member": "eve"})),
        ("s", "tenant.settings_changed", None, json!({"insufficient": "allow"})),
        ("c", "cycle.reset", None, json!({"as_of": "2026-01-01T00:00:00Z"})),
    ] {
        deployment.send(id, kind, account, data).await;
    }
    deployment.publish("credits.grant.acme", Vec::new(), b"not JSON".to_vec()).await;
    let done = "select (select count(*) from outcomes where outcome = 'applied') = 6 and (select count(*) from waiting) = 0 \
        and (select count(*) from staff) = 0 and (select count(*) from reset_jobs) = 0 and (select count(*) from quarantine) = 1 \
        and (select count(*) from outbox where published_at is null) = 0";
    until(&deployment, "everything is applied, set aside and announced", done).await;
    // 100 − 3 images × 2.
    assert_eq!(deployment.count("accounts where account = 'ann' and balance = 94").await, 1);
    deployment.remove().await;
    let server = pool(&environment("DATABASE_URL"), 1).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("drop role {role}"))).execute(&server).await.unwrap();
}
