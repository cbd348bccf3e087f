//! A provider's list against a real ledger: every kind of difference is planted and found, and nothing else is.

mod provider;

use crate::world::{World, id, instant};
use credit_ledger::drift::compare::{Counts, Unknown};
use credit_ledger::drift::finding::{Finding, Kind};
use credit_ledger::drift::list::{PAGE_BYTES_MAX, Service, stripe};
use credit_ledger::drift::{Audience, DayOrder, Ended, Options, Progress, Source, Trouble, provider as named, run};
use credit_ledger::paypal::{Client, Tokens};
use credit_ledger::secrets::PayPalCredentials;
use credit_ledger::store::shard_of;
use jiff::SignedDuration;
use provider::{
    APPLICATION, Charge, KEY, Provider, activity_csv, balance_csv, charge, charges_json, disputes_json, payments_csv, refunds_json,
    transactions_json,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const CATALOG: &str = "[packages.starter]\ncredits = \"500\"\nprice = \"20.00\"\n";

/// Everything that is paid both there and here begins on one of these days.
const DAYS: [&str; 7] = [
    "2026-01-10T12:00:00Z",
    "2026-01-11T12:00:00Z",
    "2026-01-12T12:00:00Z",
    "2026-01-13T12:00:00Z",
    "2026-01-14T12:00:00Z",
    "2026-01-15T12:00:00Z",
    "2026-01-16T12:00:00Z",
];

impl World {
    fn url(&self) -> String {
        self.database.as_ref().unwrap().url.clone()
    }

    /// An event about a payment, at the world's time.
    async fn event(&mut self, event: &str, kind: &str, at: &str, object: Value) -> String {
        self.at(at).await;
        let event = json!({"id": event, "type": kind, "livemode": false, "created": instant(at).as_second(), "data": {"object": object}});
        self.stripe(&event).await
    }

    async fn paid(&mut self, payment: &str, at: &str, minor: u32) -> String {
        let object = json!({"id": payment, "amount": minor, "amount_received": minor, "currency": "usd",
            "latest_charge": format!("ch_{payment}"), "metadata": {"credit_account": "u", "credit_package": "starter"}});
        self.event(&format!("evt_{payment}"), "payment_intent.succeeded", at, object).await
    }

    async fn refunded(&mut self, payment: &str, at: &str, minor: u32) {
        let object = json!({"id": format!("re_{payment}"), "object": "refund", "amount": minor, "currency": "usd", "status": "succeeded",
            "charge": format!("ch_{payment}"), "payment_intent": payment, "created": instant(at).as_second()});
        assert_eq!(self.event(&format!("evt_r_{payment}"), "refund.created", at, object).await, "applied");
    }

    async fn lost(&mut self, payment: &str, at: &str, minor: u32) {
        let object = json!({"id": format!("dp_{payment}"), "object": "dispute", "amount": minor, "currency": "usd", "status": "lost",
            "charge": format!("ch_{payment}"), "payment_intent": payment, "created": instant(at).as_second()});
        assert_eq!(self.event(&format!("evt_d_{payment}"), "charge.dispute.closed", at, object).await, "applied");
    }
}

/// A ledger, and a list of the same payments.
async fn agreed(world: &mut World) -> Vec<Charge> {
    let mut charges = Vec::new();
    for (number, at) in DAYS.iter().enumerate() {
        let payment = format!("pi_{number}");
        assert_eq!(world.paid(&payment, at, 2_000).await, "applied");
        charges.push(charge(&payment, at, 2_000));
    }
    world.refunded("pi_1", "2026-01-16T13:00:00Z", 500).await;
    charges[1].refunded = 500;
    world.lost("pi_2", "2026-01-16T13:00:00Z", 2_000).await;
    charges[2].dispute = Some(("lost", 2_000));
    charges[3].dispute = Some(("won", 2_000));
    charges[4].account = Some("u");
    charges
}

/// One of each kind, planted into both; and what must be told of it.
async fn planted(world: &mut World) -> (Vec<Charge>, Vec<(Kind, &'static str)>) {
    let mut charges = agreed(world).await;
    let at = "2026-01-13T18:00:00Z";
    assert_eq!(world.paid("pi_review", at, 1_999).await, "applied");
    charges.push(charge("pi_review", at, 1_999));
    assert_eq!(world.paid("pi_amount", at, 2_000).await, "applied");
    charges.push(charge("pi_amount", at, 2_500));
    assert_eq!(world.paid("pi_not_paid", at, 2_000).await, "applied");
    assert_eq!(world.paid("pi_not_clawed", at, 2_000).await, "applied");
    charges.push(Charge { refunded: 1_500, ..charge("pi_not_clawed", at, 2_000) });
    assert_eq!(world.paid("pi_lost", at, 2_000).await, "applied");
    charges.push(Charge { dispute: Some(("lost", 2_000)), ..charge("pi_lost", at, 2_000) });
    assert_eq!(world.paid("pi_too_much", at, 2_000).await, "applied");
    world.refunded("pi_too_much", "2026-01-14T00:00:00Z", 2_000).await;
    charges.push(charge("pi_too_much", at, 2_000));
    charges.push(Charge { account: Some("zoe"), ..charge("pi_missing", at, 2_000) });
    charges.push(charge("pi_unknown", at, 700));
    let expected = vec![
        (Kind::NotGranted, "pi_missing"),
        (Kind::NotGranted, "pi_review"),
        (Kind::NotPaid, "pi_not_paid"),
        (Kind::Amount, "pi_amount"),
        (Kind::NotClawed, "pi_lost"),
        (Kind::NotClawed, "pi_not_clawed"),
        (Kind::ClawedTooMuch, "pi_too_much"),
        (Kind::Unknown, "pi_unknown"),
    ];
    (charges, expected)
}

/// Who is told; interrupts the comparison after so many pages.
#[derive(Default)]
struct Hearer {
    findings: Vec<Finding>,
    pages: usize,
    stop_after: Option<usize>,
    stop: CancellationToken,
}

impl Audience for Hearer {
    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.findings.push(finding.clone());
        Ok(())
    }

    fn progress(&mut self, _: Progress) {
        self.pages += 1;
        if self.stop_after == Some(self.pages) {
            self.stop.cancel();
        }
    }
}

fn options(provider: &str, source: Source) -> Options {
    Options {
        provider: named(provider).unwrap(),
        tenant: None,
        source,
        from: None,
        to: None,
        edge: SignedDuration::from_mins(10),
        unknown: Unknown::Drift,
        state: None,
        page: 3,
        save_every: Duration::ZERO,
    }
}

async fn whole(url: &str, options: &Options) -> (Vec<Finding>, Counts) {
    let mut hearer = Hearer::default();
    let stop = hearer.stop.clone();
    let Ended::Whole(counts) = run(url, options, &mut hearer, &stop).await.unwrap() else { panic!("interrupted by nobody") };
    (hearer.findings, counts)
}

fn told(findings: &[Finding]) -> Vec<(Kind, String)> {
    let mut told: Vec<_> = findings.iter().map(|one| (one.kind, one.payment.clone().unwrap_or_default())).collect();
    told.sort();
    told
}

fn expected(provider: &str, wanted: &[(Kind, &str)]) -> Vec<(Kind, String)> {
    let mut wanted: Vec<_> = wanted.iter().map(|(kind, payment)| (*kind, format!("{provider}:{payment}"))).collect();
    wanted.sort();
    wanted
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn options(&self, provider: &str, text: &str) -> Options {
        options(provider, Source::File(self.file("list", text), None))
    }
}

fn service(provider: &Provider) -> Service {
    let client = Client::new(Vec::new(), Duration::from_secs(20)).unwrap().with_answers_of(PAGE_BYTES_MAX);
    Service { client, base: provider.base.clone() }
}

fn from_stripe(provider: &Provider, key: &str) -> Options {
    let options = options("stripe", Source::Stripe(service(provider), stripe::Key(key.to_owned())));
    Options { from: Some(instant("2026-01-10T00:00:00Z")), to: Some(instant("2026-01-17T00:00:00Z")), ..options }
}

fn from_paypal(provider: &Provider, application: &str) -> Options {
    let (client_id, secret) = application.split_once(':').unwrap();
    let credentials = PayPalCredentials { client_id: client_id.into(), secret: secret.into() };
    let service = service(provider);
    let tokens = Tokens::new(service.client.clone(), service.base.clone(), credentials);
    let options = options("paypal", Source::PayPal(service, Box::new(tokens)));
    Options { from: Some(instant("2026-01-10T00:00:00Z")), to: Some(instant("2026-03-17T00:00:00Z")), ..options }
}

fn lines(objects: &[Value]) -> String {
    objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Calls the ledger's payments PayPal's, or Stripe's again: names, and the shards that follow from them.
async fn rename(world: &World, from: &str, to: &str) {
    let mut connection = PgConnection::connect(&world.url()).await.unwrap();
    let change = |table: &str, column: &str| {
        format!("update {table} set {column} = '{to}' || substr({column}, {}) where {column} like '{from}:%';", from.len() + 1)
    };
    let names = [("payments", "payment"), ("payment_aliases", "name"), ("payment_aliases", "payment"), ("grants", "payment")];
    let more = [("refunds", "payment"), ("disputes", "payment"), ("directory", "key")];
    for (table, column) in names.into_iter().chain(more) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(change(table, column))).execute(&mut connection).await.unwrap();
    }
    let keys: Vec<String> =
        sqlx::query_scalar("select key from directory where kind = 'payment'").fetch_all(&mut connection).await.unwrap();
    for key in keys {
        sqlx::query("update directory set shard = $1 where kind = 'payment' and key = $2")
            .bind(shard_of("acme", &key, 4))
            .bind(&key)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_list_that_agrees_has_no_difference_in_any_form() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let folder = Folder::new();
        let objects = [charges_json(&charges), disputes_json(&charges)].concat();
        let with_refunds = [&objects[..], &refunds_json(&charges)].concat();
        let list = format!("{}\n{}", json!({"object": "list", "data": charges_json(&charges)}), json!({"data": disputes_json(&charges)}));
        for text in [payments_csv(&charges), balance_csv(&charges), lines(&objects), lines(&with_refunds), list] {
            let (findings, counts) = whole(&world.url(), &folder.options("stripe", &text)).await;
            assert_eq!((findings, counts.payments, counts.granted), (Vec::new(), 7, 7), "{text}");
        }
        let provider = Provider::start(&charges).await;
        let (findings, counts) = whole(&world.url(), &from_stripe(&provider, KEY)).await;
        assert_eq!((findings, counts.payments, counts.granted), (Vec::new(), 7, 7));
        assert!(provider.asked().iter().any(|address| address.contains("starting_after=ch_pi_")), "{:?}", provider.asked());
        rename(world, "stripe", "paypal").await;
        let list = json!({"transaction_details": transactions_json(&charges)}).to_string();
        for text in [activity_csv(&charges), lines(&transactions_json(&charges)), list] {
            let (findings, counts) = whole(&world.url(), &folder.options("paypal", &text)).await;
            assert_eq!((findings, counts.payments, counts.granted), (Vec::new(), 7, 7), "{text}");
        }
        let (findings, counts) = whole(&world.url(), &from_paypal(&provider, APPLICATION)).await;
        assert_eq!((findings, counts.payments, counts.granted), (Vec::new(), 7, 7));
        rename(world, "paypal", "stripe").await;
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_difference_is_found_in_any_form_and_nothing_else() {
    World::in_postgres(CATALOG, async |world| {
        let (charges, wanted) = planted(world).await;
        let folder = Folder::new();
        let objects = [charges_json(&charges), disputes_json(&charges)].concat();
        for text in [payments_csv(&charges), balance_csv(&charges), lines(&objects)] {
            let (findings, _) = whole(&world.url(), &folder.options("stripe", &text)).await;
            assert_eq!(told(&findings), expected("stripe", &wanted), "{text}\n{findings:#?}");
        }
        let provider = Provider::start(&charges).await;
        let (findings, _) = whole(&world.url(), &from_stripe(&provider, KEY)).await;
        assert_eq!(told(&findings), expected("stripe", &wanted));
        let particulars = |kind: Kind| {
            let one = findings.iter().find(|finding| finding.kind == kind).unwrap();
            [one.account.as_deref(), one.there.as_deref(), one.here.as_deref()].map(|text| text.unwrap_or("-").to_owned())
        };
        assert_eq!(particulars(Kind::Amount), ["u", "25 USD", "20 USD"]);
        assert_eq!(particulars(Kind::NotPaid), ["u", "-", "20 USD"]);
        assert_eq!(particulars(Kind::ClawedTooMuch), ["u", "0 USD of 20", "20 USD"]);
        assert_eq!(particulars(Kind::Unknown), ["-", "7 USD", "-"]);
        rename(world, "stripe", "paypal").await;
        for text in [activity_csv(&charges), lines(&transactions_json(&charges))] {
            let (findings, _) = whole(&world.url(), &folder.options("paypal", &text)).await;
            assert_eq!(told(&findings), expected("paypal", &wanted), "{text}\n{findings:#?}");
        }
        let (findings, _) = whole(&world.url(), &from_paypal(&provider, APPLICATION)).await;
        assert_eq!(told(&findings), expected("paypal", &wanted));
        rename(world, "paypal", "stripe").await;
    })
    .await;
}

#[tokio::test]
async fn an_interruption_anywhere_changes_nothing_of_the_report() {
    World::in_postgres(CATALOG, async |world| {
        let (charges, _) = planted(world).await;
        let folder = Folder::new();
        let provider = Provider::start(&charges).await;
        let text = balance_csv(&charges);
        let state = folder.0.path().join("state");
        for is_file in [true, false] {
            let make = |state: Option<&Path>| {
                let options = if is_file { folder.options("stripe", &text) } else { from_stripe(&provider, KEY) };
                Options { state: state.map(Path::to_owned), ..options }
            };
            let (at_once, counts) = whole(&world.url(), &make(None)).await;
            let mut parts = 0;
            for stop_after in 1.. {
                let mut hearer = Hearer { stop_after: Some(stop_after), ..Hearer::default() };
                let stop = hearer.stop.clone();
                let ended = run(&world.url(), &make(Some(&state)), &mut hearer, &stop).await.unwrap();
                if ended != Ended::Interrupted {
                    break;
                }
                assert!(state.exists(), "an interrupted comparison leaves its state");
                let (resumed, counts_resumed) = whole(&world.url(), &make(Some(&state))).await;
                assert_eq!((&resumed, &counts_resumed), (&at_once, &counts), "interrupted after {stop_after}");
                assert!(!state.exists() && !state.with_extension("findings").exists(), "nothing is left of a whole one");
                parts += 1;
            }
            assert!(parts > 6, "only {parts} places were tried");
        }
    })
    .await;
}

/// A process that ends at once leaves the state of its last page, whatever it told since.
#[tokio::test]
async fn what_was_told_after_the_last_save_is_not_told_twice() {
    World::in_postgres(CATALOG, async |world| {
        let (charges, _) = planted(world).await;
        let folder = Folder::new();
        let state = folder.0.path().join("state");
        let make = || Options { state: Some(state.clone()), ..folder.options("stripe", &payments_csv(&charges)) };
        let (at_once, _) = whole(&world.url(), &Options { state: None, ..make() }).await;
        let mut hearer = Hearer { stop_after: Some(4), ..Hearer::default() };
        let stop = hearer.stop.clone();
        assert_eq!(run(&world.url(), &make(), &mut hearer, &stop).await.unwrap(), Ended::Interrupted);
        let beside = folder.0.path().join("state.findings");
        let mut longer = std::fs::read(&beside).unwrap();
        longer.extend(b"{\"kind\":\"unknown\",\"what\":\"half a li");
        std::fs::write(&beside, longer).unwrap();
        assert_eq!(whole(&world.url(), &make()).await.0, at_once);
    })
    .await;
}

#[tokio::test]
async fn a_state_belongs_to_one_list_and_one_set_of_options() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let folder = Folder::new();
        let state = folder.0.path().join("state");
        let make = |text: &str| Options { state: Some(state.clone()), ..folder.options("stripe", text) };
        let text = payments_csv(&charges);
        let mut hearer = Hearer { stop_after: Some(1), ..Hearer::default() };
        let stop = hearer.stop.clone();
        assert_eq!(run(&world.url(), &make(&text), &mut hearer, &stop).await.unwrap(), Ended::Interrupted);
        let kept = std::fs::read(&state).unwrap();
        let others = [
            make(&payments_csv(&charges[1..])),
            Options { unknown: Unknown::Ignore, ..make(&text) },
            Options { edge: SignedDuration::from_mins(11), ..make(&text) },
            Options { from: Some(instant("2026-01-01T00:00:00Z")), ..make(&text) },
        ];
        for (number, other) in others.iter().enumerate() {
            // All of them name one file; for the first it holds another list.
            folder.file("list", &if number == 0 { payments_csv(&charges[1..]) } else { text.clone() });
            let refused = run(&world.url(), other, &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err().to_string();
            assert!(refused.contains("belongs to another comparison"), "{number}: {refused}");
            assert_eq!(std::fs::read(&state).unwrap(), kept, "a refusal leaves the state alone");
        }
        for spoilt in [&b"nonsense"[..], &kept[..kept.len() - 1], b""] {
            std::fs::write(&state, spoilt).unwrap();
            let refused = run(&world.url(), &make(&text), &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err().to_string();
            assert!(refused.contains("is no state"), "{refused}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_near_an_end_of_the_period_is_held_against_nobody() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        assert_eq!(world.paid("pi_late", "2026-01-16T23:59:30Z", 2_000).await, "applied");
        let folder = Folder::new();
        let text = payments_csv(&charges);
        let period = |from, to| Options { from: Some(instant(from)), to: Some(instant(to)), ..folder.options("stripe", &text) };
        // The file ends at noon, so what came later is of another list.
        assert_eq!(whole(&world.url(), &folder.options("stripe", &text)).await.1.drift(), 0);
        // A day that ends half a minute later: the provider may have dated it into the next one.
        let (findings, counts) = whole(&world.url(), &period("2026-01-10T00:00:00Z", "2026-01-17T00:00:00Z")).await;
        assert_eq!((findings, counts.at_the_edge), (Vec::new(), 1));
        let (findings, _) = whole(&world.url(), &period("2026-01-10T00:00:00Z", "2026-01-17T00:10:00Z")).await;
        assert_eq!(told(&findings), expected("stripe", &[(Kind::NotPaid, "pi_late")]));
        // Rows outside the period are counted.
        let (findings, counts) = whole(&world.url(), &period("2026-01-11T00:00:00Z", "2026-01-16T00:00:00Z")).await;
        assert_eq!((findings, counts.outside, counts.payments), (Vec::new(), 2, 5));
        // What was paid there a moment ago may be on its way.
        let now = jiff::Timestamp::now().to_string();
        let fresh = [charges, vec![Charge { account: Some("zoe"), ..charge("pi_fresh", &now, 2_000) }]].concat();
        let (findings, counts) = whole(&world.url(), &period_of(&folder, &fresh, &now)).await;
        assert_eq!((told(&findings), counts.at_the_edge), (expected("stripe", &[(Kind::NotPaid, "pi_late")]), 1));
    })
    .await;
}

fn period_of(folder: &Folder, charges: &[Charge], now: &str) -> Options {
    let to = instant(now).checked_add(SignedDuration::from_hours(1)).unwrap();
    Options { from: Some(instant("2026-01-10T00:00:00Z")), to: Some(to), ..folder.options("stripe", &payments_csv(charges)) }
}

#[tokio::test]
async fn a_refund_counts_though_its_payment_is_older_than_the_list() {
    World::in_postgres(CATALOG, async |world| {
        let mut charges = agreed(world).await;
        charges[0].refunded = 700;
        charges[0].refunded_at = Some(instant("2026-01-14T09:00:00Z"));
        let provider = Provider::start(&charges).await;
        let since = || Options { from: Some(instant("2026-01-11T00:00:00Z")), ..from_stripe(&provider, KEY) };
        let (findings, _) = whole(&world.url(), &since()).await;
        assert_eq!(told(&findings), expected("stripe", &[(Kind::NotClawed, "pi_0")]), "{findings:#?}");
        world.refunded("pi_0", "2026-01-14T09:00:00Z", 700).await;
        assert_eq!(whole(&world.url(), &since()).await.0, Vec::new());
    })
    .await;
}

#[tokio::test]
async fn what_a_charge_sums_up_without_a_time_is_not_held_against_an_older_list() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let list = payments_csv(&charges);
        // Its event says how much was refunded in all, and shows no refund.
        let object = json!({"id": "ch_pi_3", "object": "charge", "amount": 2_000, "amount_refunded": 500, "currency": "usd",
            "payment_intent": "pi_3", "status": "succeeded", "refunded": false});
        assert_eq!(world.event("evt_sum", "charge.refunded", "2026-01-20T00:00:00Z", object).await, "applied");
        assert_eq!(whole(&world.url(), &Folder::new().options("stripe", &list)).await.0, Vec::new());
    })
    .await;
}

#[tokio::test]
async fn the_other_mode_and_unknown_payments_are_told_apart() {
    World::in_postgres(CATALOG, async |world| {
        world.settings(json!({"livemode": false})).await;
        let mut charges = agreed(world).await;
        charges.push(Charge { is_live: true, ..charge("pi_live", DAYS[3], 2_000) });
        charges.push(charge("pi_unknown", DAYS[3], 2_000));
        charges.push(Charge { refunded: 2_000, account: Some("zoe"), ..charge("pi_back", DAYS[3], 2_000) });
        let folder = Folder::new();
        let (findings, _) = whole(&world.url(), &folder.options("stripe", &payments_csv(&charges))).await;
        assert_eq!(told(&findings), expected("stripe", &[(Kind::Mode, "pi_live"), (Kind::Unknown, "pi_unknown")]));
        let ignoring = Options { unknown: Unknown::Ignore, ..folder.options("stripe", &payments_csv(&charges)) };
        let (findings, counts) = whole(&world.url(), &ignoring).await;
        assert_eq!((told(&findings), counts.unknown), (expected("stripe", &[(Kind::Mode, "pi_live")]), 1));
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_busy_is_given_time_and_one_that_refuses_is_not() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let provider = Provider::start(&charges).await;
        provider.fail(&[429, 503]);
        assert_eq!(whole(&world.url(), &from_stripe(&provider, KEY)).await.1.payments, 7);
        let ask = async |options: Options| {
            run(&world.url(), &options, &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err().to_string()
        };
        let before = provider.asked().len();
        let refused = ask(from_stripe(&provider, "sk_test_of_somebody_else")).await;
        assert!(refused.contains("refuses the key (status 401)") && !refused.contains("sk_test"), "{refused}");
        assert_eq!(provider.asked().len(), before + 1, "a refusal is not asked again");
        let refused = ask(from_paypal(&provider, "client-1:wrong-secret")).await;
        assert!(refused.contains("refuses the key") && !refused.contains("wrong-secret"), "{refused}");
        provider.fail(&[404]);
        assert!(ask(from_stripe(&provider, KEY)).await.contains("does not answer with a list (status 404)"));
        let elsewhere = Options { from: None, ..from_stripe(&provider, KEY) };
        assert!(ask(elsewhere).await.contains("--from"));
    })
    .await;
}

#[tokio::test]
async fn files_that_are_no_list_are_refused_with_what_was_expected() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let folder = Folder::new();
        let ask = async |provider: &str, text: &str| {
            let options = folder.options(provider, text);
            run(&world.url(), &options, &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err().to_string()
        };
        for (provider, text, words) in [
            ("stripe", "a,b\n1,2\n".to_owned(), ["`Amount Refunded`", "found a, b"]),
            ("stripe", activity_csv(&charges), ["`balance_transaction_id`", "found Date, Time"]),
            ("paypal", payments_csv(&charges), ["`Reference Txn ID`", "found id, Description"]),
            ("paypal", activity_csv(&charges).replace("Gross", "Brutto"), ["`Gross`", "Brutto"]),
            ("stripe", String::new(), ["expected the columns", "found "]),
            ("stripe", "=HYPERLINK(\"http://evil\"),\u{1b}[31m\n".to_owned(), ["'=HYPERLINK", "\\u{1b}"]),
            ("stripe", "{\"object\":\"list\",\"data\":[{\"id\":\"ch_1\"".to_owned(), ["row 1 cannot be read", "EOF"]),
            (
                "stripe",
                format!("{}ch_9,\"{}", payments_csv(&charges), "x".repeat(3 << 20)),
                ["cannot be read, and nothing after it", "quotation mark"],
            ),
        ] {
            let refused = ask(provider, &text).await;
            assert!(words.iter().all(|word| refused.contains(word)), "{words:?}: {refused}");
            assert!(refused.len() < 2_000, "bounded");
        }
        let missing = options("stripe", Source::File(folder.0.path().join("nothing"), None));
        let refused = run(&world.url(), &missing, &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(refused, Trouble::File(_)), "{refused:?}");
        // Dates that fit both orders have to be told.
        let text = activity_csv(&charges[..1]).replace("01/10/2026", "01/02/2026");
        assert!(ask("paypal", &text).await.contains("--dates"));
        let told = options("paypal", Source::File(folder.file("list", &text), Some(DayOrder::DayFirst)));
        assert_eq!(whole(&world.url(), &told).await.1.payments, 1);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_told_and_the_rest_goes_on() {
    World::in_postgres(CATALOG, async |world| {
        let mut charges = agreed(world).await;
        charges.push(Charge { account: Some("zoe"), ..charge("pi_missing", DAYS[3], 2_000) });
        let folder = Folder::new();
        let text = payments_csv(&charges);
        let (header, rows) = text.split_once("\r\n").unwrap();
        let first = rows.split_once("\r\n").unwrap().0;
        let spoilt = [
            first.replace("20.00", "=1+1"),
            first.replace("usd", "dollars"),
            first.replace("Paid", "Elsewhere"),
            first.replace("2026-01-10 12:00:00", "yesterday"),
            format!("{first},one,more"),
        ];
        // A blank line tells of nothing.
        let text = format!("{header}\r\n{}\r\n{rows}\r\n\r\n", spoilt.join("\r\n"));
        let (findings, counts) = whole(&world.url(), &folder.options("stripe", &text)).await;
        let bad: Vec<_> =
            findings.iter().filter(|one| one.kind == Kind::Unreadable).map(|one| (one.place.unwrap(), one.what.as_str())).collect();
        let words =
            ["'=1+1 is no amount", "dollars is no currency", "the status Elsewhere", "yesterday is no time", "15 cells, the header 13"];
        assert_eq!(bad.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        for ((_, what), word) in bad.iter().zip(words) {
            assert!(what.contains(word), "{what}");
        }
        assert_eq!((counts.unreadable(), counts.drift(), counts.payments), (5, 1, 8));
    })
    .await;
}

/// A program on the ledger of a world.
fn tool(world: &World, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.arg("drift").args(arguments).env("DATABASE_URL", world.url()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_command_tells_by_its_exit_status() {
    World::in_postgres(CATALOG, async |world| {
        let mut charges = agreed(world).await;
        let folder = Folder::new();
        let say = async |text: &str, more: &[&str]| {
            let file = folder.file("list", text);
            let arguments = [&["--provider", "stripe", "--file", file.to_str().unwrap()], more].concat();
            let output = tool(world, &arguments).output().await.unwrap();
            (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
        };
        let (said, status) = say(&payments_csv(&charges), &[]).await;
        assert_eq!(status, Some(0), "{said}");
        assert!(said.starts_with("no difference: 7 rows there, 7 payments, 0 reversals, 7 payments granted here"), "{said}");
        charges.push(Charge { account: Some("zoe"), ..charge("pi_missing", DAYS[3], 2_000) });
        let (said, status) = say(&payments_csv(&charges), &[]).await;
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("not_granted: stripe:pi_missing of zoe (row 9): no event of it came here; there 20 USD. To do: "), "{said}");
        assert!(said.contains("1 difference (not_granted 1)"), "{said}");
        let (said, status) = say(&payments_csv(&charges), &["--json"]).await;
        let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (status, &lines[0]["kind"], &lines[0]["account"], &lines[1]["drift"]),
            (Some(1), &json!("not_granted"), &json!("zoe"), &json!(1))
        );
        let (said, status) = say(&payments_csv(&charges).replacen("20.00", "x", 1), &[]).await;
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("1 row could not be read: the report is not whole"), "{said}");
        let (said, status) = say(&payments_csv(&charges), &["--tenant", "nobody"]).await;
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("no tenant nobody"), "{said}");
        let (said, status) = say(&payments_csv(&charges), &["--database-url", "postgres://u:p@127.0.0.1:1/x"]).await;
        assert_eq!(status, Some(2), "a database that is away is no difference: {said}");
        // A key comes from a file, and stays there.
        let provider = Provider::start(&charges).await;
        let key = folder.file("key", "sk_test_of_somebody_else\n");
        let of_list = ["--base", provider.base.as_str(), "--key-file", key.to_str().unwrap(), "--from", "2026-01-10T00:00:00Z"];
        let output = tool(world, &[&["--provider", "stripe"], &of_list[..]].concat()).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("refuses the key") && !said.contains("somebody_else"), "{said}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_goes_on_from_its_state() {
    World::in_postgres(CATALOG, async |world| {
        let (charges, _) = planted(world).await;
        let folder = Folder::new();
        let provider = Provider::start(&charges).await;
        let key = folder.file("key", KEY);
        let state = folder.0.path().join("state");
        let period = ["--from", "2026-01-10T00:00:00Z", "--to", "2026-01-17T00:00:00Z", "--edge", "10m"];
        let list = ["--provider", "stripe", "--base", provider.base.as_str(), "--key-file", key.to_str().unwrap()];
        let once = tool(world, &[&list[..], &period].concat()).output().await.unwrap();
        let kept = [&list[..], &period, &["--state", state.to_str().unwrap()]].concat();
        provider.hold_after(2);
        let before = provider.asked().len();
        let child = tool(world, &kept).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        // It waits for the third page.
        asked(&provider, before + 3).await;
        let pid = child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("goes on from the state") && state.exists(), "{said}");
        provider.release();
        let resumed = tool(world, &kept).output().await.unwrap();
        assert_eq!((resumed.status.code(), &resumed.stdout), (once.status.code(), &once.stdout));
        assert_eq!(once.status.code(), Some(1));
    })
    .await;
}

/// Waits until so many pages were asked for.
async fn asked(provider: &Provider, count: usize) {
    let wait = async {
        while provider.asked().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the page was never asked for");
}

/// What is known of a payment that was not granted is told with it.
#[tokio::test]
async fn why_a_payment_was_not_granted_is_told() {
    World::in_postgres(CATALOG, async |world| {
        let mut charges = agreed(world).await;
        for payment in ["pi_aside", "pi_waits", "pi_under_way", "pi_unclaimed"] {
            charges.push(Charge { account: Some("u"), ..charge(payment, DAYS[3], 2_000) });
        }
        let mut connection = PgConnection::connect(&world.url()).await.unwrap();
        let claim = |payment: &str, number: u8| {
            let key = format!("stripe:{payment}");
            let shard = shard_of("acme", &key, 4);
            let message = uuid::Uuid::from_u128(number.into());
            format!(
                "insert into directory values ({shard}, 'acme', 'payment', '{key}', 'u', '{{\"{message}\": \"2026-01-13T12:00:00Z\"}}');"
            )
        };
        let home = shard_of("acme", "u", 4);
        let nobody = shard_of("acme", "", 4);
        let uuid = |number: u8| uuid::Uuid::from_u128(number.into());
        let planted = [
            claim("pi_aside", 1),
            claim("pi_waits", 2),
            claim("pi_under_way", 3),
            format!(
                "insert into quarantine (shard, queue, digest, reason, detail, message_key, raw, body, body_bytes) \
                 values ({home}, 'payments', '\\x01', 'malformed', 'x', '{}', '{{}}', '', 0);",
                uuid(1)
            ),
            format!(
                "insert into waiting (shard, account_id, message_key, source, id, content, waits_on, deadline, raw, body) \
                 select shard, account_id, '{}', 'stripe', 'evt', '\\x00', 'claim', now(), '{{}}', '' from accounts where account = 'u';",
                uuid(2)
            ),
            format!("insert into unclaimed_names values ({nobody}, 'acme', 'stripe:ch_pi_unclaimed', '{}');", uuid(4)),
        ];
        sqlx::raw_sql(sqlx::AssertSqlSafe(planted.concat())).execute(&mut connection).await.unwrap();
        let folder = Folder::new();
        let (findings, _) = whole(&world.url(), &folder.options("stripe", &payments_csv(&charges))).await;
        let told: Vec<(&str, &str)> = findings.iter().map(|one| (one.payment.as_deref().unwrap(), one.what.as_str())).collect();
        let expected = [
            ("stripe:pi_aside", "an event of it was set aside: malformed"),
            ("stripe:pi_waits", "an event of it waits"),
            ("stripe:pi_under_way", "an event of it is being handled"),
            ("stripe:pi_unclaimed", "an event of it came that names no account, and none that does"),
        ];
        assert_eq!(told, expected);
        assert!(findings.iter().all(|one| one.kind == Kind::NotGranted && one.account.as_deref() == Some("u")), "{findings:#?}");
        let undo = "delete from directory where key in ('stripe:pi_aside', 'stripe:pi_waits', 'stripe:pi_under_way'); \
                    delete from quarantine; delete from waiting; delete from unclaimed_names;";
        sqlx::raw_sql(undo).execute(&mut connection).await.unwrap();
    })
    .await;
}

/// Several tenants: one has to be chosen.
#[tokio::test]
async fn of_several_tenants_one_is_chosen() {
    World::in_postgres(CATALOG, async |world| {
        let charges = agreed(world).await;
        let sql = "insert into tenants (tenant, test_clock) values ('other', false)";
        let mut connection = PgConnection::connect(&world.url()).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        let folder = Folder::new();
        let options = folder.options("stripe", &payments_csv(&charges));
        let refused = run(&world.url(), &options, &mut Hearer::default(), &CancellationToken::new()).await.unwrap_err().to_string();
        assert!(refused.contains("several tenants (acme, other)") && refused.contains("--tenant"), "{refused}");
        let chosen = Options { tenant: Some(id("acme")), ..options };
        assert_eq!(whole(&world.url(), &chosen).await.1.drift(), 0);
        sqlx::query("delete from tenants where tenant = 'other'").execute(&mut connection).await.unwrap();
    })
    .await;
}
