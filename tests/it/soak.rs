//! The soak in short: workers are killed, the journal stands.

use credit_ledger::deployment::Servers;
use credit_ledger::soak::{Options, run_on};
use std::time::Duration;

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run: ./dev services && eval \"$(./dev env)\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_counts_twice_while_workers_are_killed() {
    let options = Options {
        messages: 20_000,
        workers: 3,
        kill_every: Duration::from_secs(1),
        accounts: 200,
        database_url: environment("DATABASE_URL"),
        amqp_url: environment("AMQP_URL"),
    };
    let servers = Servers {
        database_url: options.database_url.clone(),
        amqp_url: options.amqp_url.clone(),
        program: env!("CARGO_BIN_EXE_credit-ledger").into(),
    };
    let report = run_on(servers, &options).await.unwrap();
    assert!(report.wrong.is_empty(), "{report}");
    assert_eq!((report.lost, report.twice), (0, 0));
    assert!(report.kills >= 10, "{report}");
    assert!(report.set_aside > 0 && report.repeats > 0);
}
