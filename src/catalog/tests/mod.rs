//! Every key is read, and every refusal names its line.

mod examples;
mod forms;
mod refusals;

use super::{CatalogFile, parse};

fn read_good(text: &str) -> CatalogFile {
    parse("a.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of a file whose first line is the currency, without the name of the file.
fn refusals(text: &str) -> Vec<String> {
    let errors = parse("a.toml", &format!("currency = \"USD\"\n{text}")).expect_err(text);
    errors.to_string().lines().map(|line| line.strip_prefix("a.toml:").unwrap().to_owned()).collect()
}
