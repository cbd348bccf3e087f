//! From the jobs of a lane to one batch, and back once its outcomes are stored.
//!
//! Owns which outcome belongs to which job, and counting them. Never applies anything.

use super::Job;
use crate::domain::decision::Outcome;
use crate::domain::rejection::QuarantineReason;
use crate::figures;
use crate::ledger::{Batch, Settled};
use crate::store::Submission;
use std::collections::BTreeSet;

pub(super) fn batch_of(jobs: &[Job]) -> Batch {
    let mut submissions = Vec::with_capacity(jobs.len());
    let mut due = BTreeSet::new();
    for job in jobs {
        match job {
            Job::Message(submission, _) => submissions.push(submission.clone()),
            Job::Due(key, _) => drop(due.insert(key.clone())),
        }
    }
    Batch { submissions, due }
}

pub(super) fn finish(jobs: Vec<Job>, settled: Vec<Settled>) {
    let mut settled = settled.into_iter();
    for job in jobs {
        match job {
            Job::Message(submission, done) => {
                if let Some(settled) = settled.next() {
                    count(&submission, &settled.outcome);
                    done(settled);
                }
            }
            Job::Due(_, done) => {
                figures::due_written();
                done(true);
            }
        }
    }
}

/// One of a tenant that does not exist is set aside next, and counted there.
fn count(submission: &Submission, outcome: &Outcome) {
    match outcome {
        Outcome::Quarantined(QuarantineReason::UnknownTenant) => return,
        Outcome::Quarantined(reason) => figures::quarantined(reason.word()),
        _ => {}
    }
    figures::message(submission.raw.queue.word(), outcome.word());
}
