//! A provider's own list of payments against the ledger: the drift report.
//!
//! Owns the order of the comparison: the provider's rows, page by page; then what went back in all; then the
//! payments that credits were granted for in the period and that no row told of. Never writes to the database and
//! changes nothing at the provider. Where it stands can be kept in a file and gone on from.

mod cell;
pub mod compare;
pub mod file;
pub mod finding;
pub mod list;
mod paypal;
pub mod record;
pub mod state;
mod stripe;

use crate::domain::credits::Overflow;
use crate::domain::ids::Id;
use crate::domain::payment::{PAYPAL, STRIPE};
use crate::failure::Failure;
use crate::paypal::Tokens;
use crate::store::postgres::query::drift::{Found, NoSnapshot, Snapshot};
pub use cell::DayOrder;
use compare::{Comparison, Counts, Terms, Unknown};
use file::{BadFile, Reading, Rows};
use finding::Finding;
use jiff::{SignedDuration, Timestamp};
use list::{NoList, Service};
use record::{Row, Says};
use sha2::{Digest as _, Sha256};
use state::{BadState, Place, State};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Where the provider's list is.
pub enum Source {
    /// In a file, which may show no order of days and months.
    File(PathBuf, Option<DayOrder>),
    /// Stripe's API.
    Stripe(Service, list::stripe::Key),
    /// PayPal's API.
    PayPal(Service, Box<Tokens>),
}

/// What is compared, and how.
pub struct Options {
    /// Whose list: [`STRIPE`] or [`PAYPAL`].
    pub provider: &'static str,
    /// Whose payments; needed when there are several tenants.
    pub tenant: Option<Id>,
    /// Where the list is.
    pub source: Source,
    /// The period; from the first row to the last when it is not given. A list through an API needs its beginning.
    pub from: Option<Timestamp>,
    /// Its end, which is not in it.
    pub to: Option<Timestamp>,
    /// How near to an end of the period, and to now, nothing is held against anybody.
    pub edge: SignedDuration,
    /// What is done about payments that nobody knows.
    pub unknown: Unknown,
    /// Where it is kept how far the comparison is.
    pub state: Option<PathBuf>,
    /// Rows and payments at a time.
    pub page: usize,
    /// How often the state is kept, at most.
    pub save_every: Duration,
}

/// How far a comparison is, for who watches.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows so far.
    pub rows: u64,
    /// Bytes read, and bytes of the file; of a list through an API both are 0.
    pub bytes: (u64, u64),
    /// Shards of the ledger gone through, and all of them; 0 before.
    pub shards: (i16, i16),
}

/// Who is told.
pub trait Audience {
    /// A difference.
    ///
    /// # Errors
    /// When it cannot be told.
    fn finding(&mut self, finding: &Finding) -> io::Result<()>;

    /// How far it is.
    fn progress(&mut self, progress: Progress);
}

/// How a comparison ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All of it was compared.
    Whole(Counts),
    /// It was interrupted, and goes on from its state if it has one.
    Interrupted,
}

/// Why there is no comparison. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] NoSnapshot),
    /// The file.
    #[error(transparent)]
    File(#[from] BadFile),
    /// The provider.
    #[error(transparent)]
    List(#[from] NoList),
    /// The state.
    #[error(transparent)]
    State(#[from] BadState),
    /// The period.
    #[error("{0}")]
    Period(&'static str),
    /// The amounts of a payment have no sum.
    #[error("the amounts of a payment are too large to be summed up")]
    Overflow(#[from] Overflow),
    /// Nobody takes what is told.
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Ledger(failure.into())
    }
}

/// Compares, until it is done or `stop` is cancelled.
///
/// # Errors
/// [`Trouble`]; the state, if one is kept, stays as it was last saved.
pub async fn run(url: &str, options: &Options, audience: &mut impl Audience, stop: &CancellationToken) -> Result<Ended, Trouble> {
    let mut run = Run::begin(url, options).await?;
    run.state.replay(|finding| Ok::<(), Trouble>(audience.finding(&finding)?))?;
    if !matches!(run.place, Place::Ledger { .. }) {
        if !run.rows(audience, stop).await? {
            return Ok(Ended::Interrupted);
        }
        let told = run.comparison.reversals(&run.terms)?;
        run.tell(&told, audience)?;
        run.place = Place::Ledger { shard: 0, account_id: i64::MIN, payment: String::new() };
    }
    if !run.ledger(audience, stop).await? {
        return Ok(Ended::Interrupted);
    }
    run.state.remove()?;
    Ok(Ended::Whole(run.comparison.counts))
}

struct Run<'a> {
    options: &'a Options,
    snapshot: Snapshot,
    terms: Terms,
    until: Option<Timestamp>,
    state: State,
    place: Place,
    comparison: Comparison,
    saved_at: Instant,
    saving: Duration,
    bytes: (u64, u64),
}

impl<'a> Run<'a> {
    async fn begin(url: &str, options: &'a Options) -> Result<Self, Trouble> {
        if options.from.zip(options.to).is_some_and(|(from, to)| from >= to) {
            return Err(Trouble::Period("--from is not before --to"));
        }
        let snapshot = Snapshot::begin(url, options.tenant.as_ref()).await?;
        let (state, kept) = State::open(options.state.as_deref(), bound(options, &snapshot)?)?;
        let listed_by = match options.source {
            Source::File(..) => None,
            Source::Stripe(..) => Some(snapshot.taken_at()),
            Source::PayPal(..) => Some(snapshot.taken_at().saturating_sub(list::paypal::LATE).unwrap_or(snapshot.taken_at())),
        };
        let until = kept.as_ref().map_or(options.to.or(listed_by), |kept| kept.until);
        let start = || -> Result<Place, Trouble> {
            let missing = Trouble::Period("say with --from which time on the provider's list is to be compared");
            Ok(match (&options.source, options.from.zip(until)) {
                (Source::File(..), _) => Place::File(0),
                (_, None) => return Err(missing),
                (Source::Stripe(..), Some(_)) => Place::Stripe(list::stripe::Cursor::start()),
                (Source::PayPal(..), Some(period)) => Place::PayPal(list::paypal::Cursor::start(period)),
            })
        };
        let (place, comparison) = match kept {
            Some(kept) => (kept.place, kept.comparison),
            None => (start()?, Comparison::default()),
        };
        let terms = Terms {
            from: options.from,
            to: until,
            edge: options.edge,
            unknown: options.unknown,
            livemode: snapshot.livemode(),
            now: snapshot.taken_at(),
            as_of: snapshot.taken_at(),
        };
        let (saved_at, saving) = (Instant::now(), Duration::ZERO);
        Ok(Self { options, snapshot, terms, until, state, place, comparison, saved_at, saving, bytes: (0, 0) })
    }

    /// All rows of the provider; false when interrupted.
    async fn rows(&mut self, audience: &mut impl Audience, stop: &CancellationToken) -> Result<bool, Trouble> {
        let mut file = match (&self.options.source, &self.place) {
            (Source::File(path, order), Place::File(skip)) => {
                let page = self.options.page;
                let rows = Rows::open(Reading { path, provider: self.options.provider, order: *order, skip: *skip, page })?;
                self.terms.as_of = rows.written_at.unwrap_or(self.terms.now).min(self.terms.now);
                Some(rows)
            }
            _ => None,
        };
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                page = page(self.options, file.as_mut(), &self.place, self.terms) => Some(page?),
            };
            let Some((rows, next)) = next else {
                self.save()?;
                return Ok(false);
            };
            let told = self.compare(&rows).await?;
            self.tell(&told, audience)?;
            self.bytes = file.as_ref().map_or((0, 0), |file| (file.bytes_read(), file.bytes));
            self.progress(audience, 0);
            match next {
                Some(next) => self.place = next,
                None => return Ok(true),
            }
            self.save_in_time()?;
        }
    }

    async fn compare(&mut self, rows: &[Row]) -> Result<Vec<Finding>, Trouble> {
        let names = |row: &Row| match &row.says {
            Says::Paid(paid) => paid.names.all().to_vec(),
            Says::Reversed(reversed) => reversed.names.all().to_vec(),
            Says::Nothing | Says::Unreadable(_) => Vec::new(),
        };
        let asked: Vec<Vec<String>> = rows.iter().map(names).collect();
        let found = self.snapshot.find(&asked).await?;
        let mut told = Vec::new();
        for (row, found) in rows.iter().zip(&found) {
            let fate = match (&row.says, found) {
                (Says::Paid(_), Found::Claimed { account, messages }) => self.snapshot.fate(account, messages).await?.map(in_words),
                _ => None,
            };
            told.extend(self.comparison.row(row, found, fate.as_deref(), &self.terms)?);
        }
        Ok(told)
    }

    /// All payments that were granted; false when interrupted.
    async fn ledger(&mut self, audience: &mut impl Audience, stop: &CancellationToken) -> Result<bool, Trouble> {
        if self.comparison.period(&self.terms).is_none() {
            let what = "no row of the list has a time: say with --from and --to which period it covers";
            return Err(Trouble::Period(what));
        }
        self.comparison.seen.sort_unstable();
        let prefix = format!("{}:", self.options.provider);
        let most = i64::try_from(self.options.page.max(1)).unwrap_or(i64::MAX);
        while let Place::Ledger { shard, account_id, payment } = self.place.clone() {
            if shard >= self.snapshot.shards() {
                break;
            }
            if stop.is_cancelled() {
                self.save()?;
                return Ok(false);
            }
            let page = self.snapshot.granted_after(shard, (account_id, &payment), &prefix, most).await?;
            let told: Vec<Finding> = page.iter().filter_map(|granted| self.comparison.granted(granted, &self.terms)).collect();
            self.tell(&told, audience)?;
            self.place = match page.last() {
                Some(last) => Place::Ledger { shard, account_id: last.account_id, payment: last.payment.clone() },
                None => Place::Ledger { shard: shard + 1, account_id: i64::MIN, payment: String::new() },
            };
            self.progress(audience, shard);
            self.save_in_time()?;
        }
        Ok(true)
    }

    fn tell(&mut self, told: &[Finding], audience: &mut impl Audience) -> Result<(), Trouble> {
        self.state.add(told)?;
        for finding in told {
            audience.finding(finding)?;
        }
        Ok(())
    }

    fn progress(&self, audience: &mut impl Audience, shard: i16) {
        let shards = (shard, self.snapshot.shards());
        audience.progress(Progress { rows: self.comparison.counts.rows, bytes: self.bytes, shards });
    }

    fn save(&mut self) -> Result<(), Trouble> {
        let start = Instant::now();
        self.state.save(&mut self.comparison, &self.place, self.until)?;
        (self.saved_at, self.saving) = (Instant::now(), start.elapsed());
        Ok(())
    }

    /// Saves now and then: a state of millions takes a while to write, and shall not take most of the time.
    fn save_in_time(&mut self) -> Result<(), Trouble> {
        let every = self.options.save_every;
        if every.is_zero() || self.saved_at.elapsed() >= every.max(20 * self.saving) {
            self.save()?;
        }
        Ok(())
    }
}

/// The next page of the provider's rows, and what comes after it; nothing after the last.
async fn page(options: &Options, file: Option<&mut Rows>, place: &Place, terms: Terms) -> Result<(Vec<Row>, Option<Place>), Trouble> {
    let missing = Trouble::Period("the state is of another kind of list");
    Ok(match (&options.source, place, file) {
        (Source::File(..), Place::File(done), Some(file)) => {
            let rows = file.next().await?;
            let next = (!rows.is_empty()).then(|| Place::File(done + u64::try_from(rows.len()).unwrap_or(u64::MAX)));
            (rows, next)
        }
        (Source::Stripe(service, key), Place::Stripe(cursor), _) => {
            let period = terms.from.zip(terms.to).ok_or(missing)?;
            let page = list::stripe::page(service, key, period, cursor).await?;
            (page.rows, page.next.map(Place::Stripe))
        }
        (Source::PayPal(service, tokens), Place::PayPal(cursor), _) => {
            let page = list::paypal::page(service, tokens, terms.to.ok_or(missing)?, cursor).await?;
            (page.rows, page.next.map(Place::PayPal))
        }
        _ => return Err(missing),
    })
}

/// What became of messages that named a payment, for people.
fn in_words((word, detail): (String, String)) -> String {
    match word.as_str() {
        "quarantined" => format!("an event of it was set aside: {detail}"),
        "waiting" => "an event of it waits".to_owned(),
        "rejected" => format!("an event of it was refused: {detail}"),
        other => format!("an event of it was {other}, and it is not known as paid"),
    }
}

/// What a state belongs to: list, database, tenant and options.
fn bound(options: &Options, snapshot: &Snapshot) -> Result<String, Trouble> {
    let list = match &options.source {
        Source::File(path, order) => format!("{} {order:?}", file::fingerprint(path)?),
        Source::Stripe(service, _) | Source::PayPal(service, _) => service.base.as_str().to_owned(),
    };
    let Options { provider, from, to, edge, unknown, .. } = options;
    let all = format!("{provider} {} {} {list} {from:?} {to:?} {edge:?} {unknown:?}", snapshot.database(), snapshot.tenant());
    Ok(hex::encode(Sha256::digest(all.as_bytes())))
}

/// The provider of a word.
#[must_use]
pub fn provider(word: &str) -> Option<&'static str> {
    [STRIPE, PAYPAL].into_iter().find(|provider| *provider == word)
}
