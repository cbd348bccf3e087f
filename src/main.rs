fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(credit_ledger::bench::quick(&std::env::var("DATABASE_URL")?))
}
