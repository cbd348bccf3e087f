//! Does the order of messages matter? Whatever is heard of payments, refunds, disputes and decisions, in
//! whatever order and however often, the accounts must end with the same numbers (semantics §6, §9).
//!
//! Owns which lines of a file may change places, and trying them. Everything runs in memory through the same
//! ledger as the worker. Lines that are none of those messages keep their place, and what stands between two of
//! them changes places only there: use that comes after a payment stays after it.

use crate::domain::ids::AccountKey;
use crate::message::{Incoming, Line, reread};
use crate::secrets::Secrets;
use crate::simulate::{FileKeys, Numbers, SimulateError, Simulation};
use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Orders that are all tried: those of six messages.
const ALL_MAX: u64 = 720;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// The file, with the numbers of its lines.
    pub lines: &'a [(usize, Line)],
    /// Where its catalogs are looked for.
    pub folder: PathBuf,
    /// What signs its webhooks besides the test secret.
    pub secrets: Secrets,
    /// Orders drawn at random when there are more than 720.
    pub tries: u32,
    /// What they are drawn from: the same seed draws the same orders.
    pub seed: u64,
}

/// Every account with what it ends with.
pub type End = BTreeMap<AccountKey, Numbers>;

/// An order of the file's lines, by their numbers, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Numbers of lines in the order they were taken; a repeated message stands there twice.
    pub lines: Vec<usize>,
    /// Where it ends.
    pub end: End,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Messages that may change places.
    pub movable: usize,
    /// Orders that were tried, with repeats and without.
    pub orders: u64,
    /// True when those were all there are.
    pub all: bool,
    /// The file as it stands.
    pub first: Ordered,
    /// The first order that ends elsewhere.
    pub other: Option<Ordered>,
}

/// Tries orders until one ends elsewhere than the file as it stands.
///
/// # Errors
/// [`SimulateError`] for a line that cannot be read, or a ledger that breaks its own invariants.
pub async fn permute(trial: &Trial<'_>) -> Result<Found, SimulateError> {
    let runs = runs(trial.lines);
    let movable = runs.iter().map(Vec::len).sum();
    let count = runs.iter().try_fold(1_u64, |orders, run| orders.checked_mul(factorial(run.len())?)).filter(|orders| *orders <= ALL_MAX);
    let mut draw = SmallRng::seed_from_u64(trial.seed);
    let stands: Vec<usize> = (0..trial.lines.len()).collect();
    let first = trial.run(&stands, &runs).await?;
    let mut found = Found { movable, orders: 1, all: count.is_some(), first, other: None };
    for turn in 0..count.unwrap_or_else(|| trial.tries.into()) {
        let order = match count {
            Some(_) => nth(&stands, &runs, turn),
            None => shuffled(&stands, &runs, &mut draw),
        };
        let repeated = with_repeats(&order, &runs, &mut draw);
        for order in [order, repeated] {
            let ordered = trial.run(&order, &runs).await?;
            found.orders = found.orders.saturating_add(1);
            if ordered.end != found.first.end {
                found.other = Some(ordered);
                return Ok(found);
            }
        }
    }
    Ok(found)
}

impl Trial<'_> {
    /// Takes the lines in an order; each run at the time of its latest message, so that nothing ends in between.
    async fn run(&self, order: &[usize], runs: &[Vec<usize>]) -> Result<Ordered, SimulateError> {
        let mut simulation = Simulation::new(self.folder.clone(), self.secrets.clone());
        let mut ticked = None;
        for place in order {
            let run = runs.iter().position(|run| run.contains(place));
            if run.is_some() && run != ticked {
                let times = run.and_then(|run| runs.get(run)).into_iter().flatten().filter_map(|place| self.lines.get(*place));
                if let Some(latest) = times.filter_map(|(_, line)| time(line)).max() {
                    simulation.take(&Line::Tick(latest)).await?;
                }
                ticked = run;
            }
            if let Some((_, line)) = self.lines.get(*place) {
                simulation.take(line).await?;
            }
        }
        let lines = order.iter().filter_map(|place| self.lines.get(*place)).map(|(number, _)| *number).collect();
        Ok(Ordered { lines, end: simulation.numbers().await })
    }
}

/// Places of the messages that may change places with each other, run by run.
fn runs(lines: &[(usize, Line)]) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = vec![Vec::new()];
    for (place, (_, line)) in lines.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if is_movable(line) => run.push(place),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Payments, refunds, disputes, decisions.
fn is_movable(line: &Line) -> bool {
    match line {
        Line::Webhook { .. } | Line::Exact { .. } => true,
        Line::Event { kind, .. } => kind.starts_with("credit_request.") || kind == "refund.requested",
        Line::Read { .. } | Line::Tick(_) | Line::Catalog { .. } => false,
    }
}

fn time(line: &Line) -> Option<Timestamp> {
    let received = match line {
        Line::Webhook { received_at, .. } | Line::Exact { received_at, .. } => Some(*received_at),
        Line::Event { .. } | Line::Read { .. } | Line::Tick(_) | Line::Catalog { .. } => None,
    };
    let raw = line.raw(&FileKeys::default()).ok().flatten();
    let happened = raw.and_then(|raw| match reread(&raw) {
        Ok(Incoming::Account(message)) => Some(message.occurred_at),
        Ok(Incoming::Unaddressed(message)) => Some(message.occurred_at),
        Ok(Incoming::Tenant(message)) => Some(message.occurred_at),
        Ok(Incoming::Ignored { .. }) | Err(_) => None,
    });
    received.max(happened)
}

fn factorial(number: usize) -> Option<u64> {
    (1..=u64::try_from(number).ok()?).try_fold(1_u64, u64::checked_mul)
}

/// Puts each run in another order.
fn rearranged(stands: &[usize], runs: &[Vec<usize>], mut arrange: impl FnMut(&mut Vec<usize>)) -> Vec<usize> {
    let mut order = stands.to_vec();
    for run in runs {
        let mut arranged = run.clone();
        arrange(&mut arranged);
        for (place, from) in run.iter().zip(arranged) {
            if let Some(at) = order.get_mut(*place) {
                *at = from;
            }
        }
    }
    order
}

/// The `turn`-th of all orders.
fn nth(stands: &[usize], runs: &[Vec<usize>], turn: u64) -> Vec<usize> {
    let mut left = turn;
    rearranged(stands, runs, |run| {
        let mut rest = std::mem::take(run);
        while !rest.is_empty() {
            let choices = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let chosen = usize::try_from(left % choices).unwrap_or_default();
            left /= choices;
            run.push(rest.remove(chosen));
        }
    })
}

fn shuffled(stands: &[usize], runs: &[Vec<usize>], draw: &mut SmallRng) -> Vec<usize> {
    rearranged(stands, runs, |run| run.shuffle(draw))
}

/// The same order with about half of the messages delivered once more, somewhere later in their run.
fn with_repeats(order: &[usize], runs: &[Vec<usize>], draw: &mut SmallRng) -> Vec<usize> {
    let mut repeated = order.to_vec();
    for run in runs {
        for place in run.iter().filter(|_| draw.random_bool(0.5)).copied().collect::<Vec<_>>() {
            let first = repeated.iter().position(|one| *one == place).unwrap_or_default();
            let last = repeated.iter().rposition(|one| run.contains(one)).unwrap_or(first);
            repeated.insert(draw.random_range(first..=last).saturating_add(1), place);
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_order_comes_once() {
        let stands: Vec<usize> = (0..6).collect();
        let runs = vec![vec![1, 2, 3], vec![4, 5]];
        let orders: BTreeSet<Vec<usize>> = (0..12).map(|turn| nth(&stands, &runs, turn)).collect();
        assert_eq!(orders.len(), 12);
        assert!(orders.iter().all(|order| order[0] == 0 && (1..4).all(|place| order[place] < 4)), "runs stay apart");
    }

    #[test]
    fn repeats_come_after_the_first_and_in_their_run() {
        let mut draw = SmallRng::seed_from_u64(1);
        let (stands, runs) = ((0..6).collect::<Vec<_>>(), vec![vec![0, 1, 2], vec![4, 5]]);
        for _ in 0..100 {
            let order = with_repeats(&shuffled(&stands, &runs, &mut draw), &runs, &mut draw);
            let barrier = order.iter().position(|place| *place == 3).unwrap();
            assert!(order[..barrier].iter().all(|place| *place < 3) && order[barrier + 1..].iter().all(|place| *place > 3), "{order:?}");
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 6);
        }
    }
}
