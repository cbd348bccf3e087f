//! Which error of the database is a failure of which class.
//!
//! Owns the classification by SQLSTATE; never looks at message texts.

use crate::failure::Failure;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = sqlstate(&error) else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_) => Self::Unavailable(error.into()),
                other => Self::Misfit(other.into()),
            };
        };
        let class = code.get(..2).unwrap_or_default();
        match (class, code.as_str()) {
            // 23505 on an identity: another worker answered first; the next try finds its answer.
            ("40", _) | (_, "55P03" | "23505") => Self::Again(error.into()),
            ("42" | "28" | "XX" | "3D" | "3F", _) => Self::Misfit(error.into()),
            ("22" | "23", _) => Self::Data(error.into()),
            // 08, 25, 53, 57, 58 and whatever nobody has thought of: hold everything, lose nothing.
            _ => Self::Unavailable(error.into()),
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_a_code_are_the_connections() {
        assert!(matches!(Failure::from(sqlx::Error::PoolTimedOut), Failure::Unavailable(_)));
        assert!(matches!(Failure::from(sqlx::Error::RowNotFound), Failure::Misfit(_)));
    }
}
