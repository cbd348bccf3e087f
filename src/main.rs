//! The binary: a worker by its roles, or one command.

use credit_ledger::app::{self, Roles};
use credit_ledger::{config, telemetry};

fn main() -> anyhow::Result<()> {
    let settings = config::load(None)?;
    telemetry::start(&settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(app::run(settings, Roles::ALL))
}
