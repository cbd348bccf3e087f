//! What waits for a lane: messages, and accounts with something due.
//!
//! Owns who goes first: messages, because somebody waits for them, though what is due is never kept back for good.

use super::Job;
use tokio::sync::mpsc;

/// Accounts with something due in one transaction: a message that comes meanwhile does not wait for long.
const DUE_MAX: usize = 48;
/// Accounts with something due in a transaction that has messages, whose answers wait for them.
const DUE_WITH_MESSAGES: usize = 16;

/// The ways into a lane: messages go before what is due, which nobody waits for.
pub(super) struct Input {
    messages: mpsc::UnboundedSender<Job>,
    due: mpsc::UnboundedSender<Job>,
}

impl Input {
    /// A lane that has stopped lets the job go: the delivery returns to the broker.
    pub(super) fn send(&self, job: Job) {
        let way = if matches!(job, Job::Due(..)) { &self.due } else { &self.messages };
        let _ = way.send(job);
    }
}

/// Both ends of a new queue.
pub(super) fn queue() -> (Input, Queued) {
    let ((messages, new), (due, due_now)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    (Input { messages, due }, Queued { messages: new, due: due_now })
}

/// What waits for a lane.
pub(super) struct Queued {
    messages: mpsc::UnboundedReceiver<Job>,
    due: mpsc::UnboundedReceiver<Job>,
}

impl Queued {
    /// Waits for something; `None` when nothing will come any more.
    pub(super) async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            Some(job) = self.messages.recv() => Some(job),
            Some(job) = self.due.recv() => Some(job),
            else => None,
        }
    }

    /// Takes what has come meanwhile: messages, then what is due, though never nothing of that.
    pub(super) fn fill(&mut self, jobs: &mut Vec<Job>, most: usize) {
        while jobs.len() < most {
            let Ok(job) = self.messages.try_recv() else { break };
            jobs.push(job);
        }
        let mut due = jobs.iter().filter(|job| matches!(job, Job::Due(..))).count();
        let limit = if due < jobs.len() { DUE_WITH_MESSAGES } else { DUE_MAX };
        while due < most.min(limit) {
            let Ok(job) = self.due.try_recv() else { break };
            jobs.push(job);
            due = due.saturating_add(1);
        }
    }
}
