//! How a command's error is told: its words, and the exit status for them.
//!
//! Owns which errors mean that a command could not begin (2), and which that it was refused or found
//! something (1).

use super::BadInput;
use crate::amqp::BrokerError;
use crate::app::CannotBegin;
use crate::failure::Failure;
use crate::store::postgres::migrate::SchemaError;
use crate::store::postgres::reach::Unreachable;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints an error with its causes and returns the exit status for it. A reader of standard output
/// that went away is no error.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe =
        |cause: &(dyn Error + 'static)| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    // A connection to the database breaks by the same error, and is one.
    if error.chain().take_while(|cause| !cause.is::<Failure>()).any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    // Nothing can be done about a standard error that cannot be written to.
    let _ = writeln!(io::stderr(), "{}", text(error));
    ExitCode::from(status(error))
}

fn text(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors repeat what their cause says.
        if !last.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
        last = cause;
    }
    text
}

fn status(error: &anyhow::Error) -> u8 {
    if error.chain().any(cannot_begin) { 2 } else { 1 }
}

/// True for what somebody has to mend first: input, settings, address, schema.
fn cannot_begin(cause: &(dyn Error + 'static)) -> bool {
    let misfit = |failure: &Failure| matches!(failure, Failure::Misfit(_));
    let of_schema = |error: &SchemaError| match error {
        SchemaError::Failure(failure) => misfit(failure),
        SchemaError::Migration(_) => false,
        SchemaError::Missing | SchemaError::TooOld | SchemaError::TooNew { .. } | SchemaError::Shards { .. } => true,
    };
    cause.is::<BadInput>()
        || cause.is::<CannotBegin>()
        || cause.downcast_ref().is_some_and(misfit)
        || cause.downcast_ref().is_some_and(of_schema)
        || cause.downcast_ref().is_some_and(|error: &Unreachable| !error.is_transient())
        || cause.downcast_ref().is_some_and(|error: &BrokerError| matches!(error, BrokerError::Address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_mended_first_is_2_and_a_refusal_is_1() {
        let misfit = || Failure::Misfit("no table".into());
        let away = Failure::Unavailable("gone".into());
        let cases: [(anyhow::Error, u8); 8] = [
            (BadInput::new("a"), 2),
            (Unreachable::Address.into(), 2),
            (anyhow::Error::new(misfit()).context("around"), 2),
            (SchemaError::Failure(misfit()).into(), 2),
            (SchemaError::Missing.into(), 2),
            (BrokerError::Address.into(), 2),
            (away.into(), 1),
            (anyhow::anyhow!("refused"), 1),
        ];
        for (error, expected) in cases {
            assert_eq!(status(&error), expected, "{error:#}");
        }
    }

    #[test]
    fn a_reader_who_went_away_is_no_error_and_a_lost_connection_is_one() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let shown = |error: anyhow::Error| format!("{:?}", report(&error));
        assert_eq!(shown(anyhow::Error::new(broken()).context("around")), format!("{:?}", ExitCode::SUCCESS));
        let lost = anyhow::Error::new(Failure::Again(broken().into())).context("around");
        assert_eq!(shown(lost), format!("{:?}", ExitCode::from(1)));
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = anyhow::anyhow!("the inner");
        assert_eq!(
            text(&inner.context("outer, because the inner").context("around")),
            "error: around\n  because: outer, because the inner"
        );
    }
}
