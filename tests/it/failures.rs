//! Errors of a real database, and what they mean for the batch that met them.

use crate::worker::environment;
use credit_ledger::failure::Failure;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

#[tokio::test]
async fn the_class_of_a_failure_is_told_by_its_code() {
    let mut connection = PgConnection::connect(&environment("DATABASE_URL")).await.unwrap();
    let class = |failure: &Failure| match failure {
        Failure::Again(_) => "again",
        Failure::Unavailable(_) => "unavailable",
        Failure::Misfit(_) => "misfit",
        Failure::Data(_) => "data",
        Failure::Invariant(_) => "invariant",
    };
    for (code, expected) in [
        // Serialization, deadlock, lock timeout, a key that somebody else has made.
        ("40001", "again"),
        ("40P01", "again"),
        ("55P03", "again"),
        ("23505", "again"),
        // A value: division by zero, too large, a broken check.
        ("22012", "data"),
        ("22003", "data"),
        ("23514", "data"),
        // Missing table, missing right, wrong password, corruption, missing database.
        ("42P01", "misfit"),
        ("42501", "misfit"),
        ("28P01", "misfit"),
        ("XX001", "misfit"),
        ("3D000", "misfit"),
        // Lost connection, full disk, too many connections, shutdown, a cancelled statement, read only, unheard of.
        ("08006", "unavailable"),
        ("53100", "unavailable"),
        ("53300", "unavailable"),
        ("57P01", "unavailable"),
        ("57014", "unavailable"),
        ("25006", "unavailable"),
        ("ZZ999", "unavailable"),
    ] {
        let raise = format!("do $$ begin raise exception 'it is the code that tells' using errcode = '{code}'; end $$");
        let error = sqlx::query(AssertSqlSafe(raise)).execute(&mut connection).await.unwrap_err();
        assert_eq!(class(&Failure::from(error)), expected, "{code}");
    }
    connection.close().await.unwrap();
}
