//! `permute`: tries the messages of a file in other orders and with repeats.
//!
//! Prints where the accounts end, or two orders that end differently. Needs no service.

use super::messages::{folder_of, name_of, read_lines};
use super::{BadInput, Services, print, told};
use crate::permute::{End, Found, Ordered, Trial, permute};
use crate::simulate::Numbers;
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct PermuteArgs {
    /// The message file; `-` for standard input.
    file: PathBuf,
    /// Orders to draw when there are more than 720; fewer are all tried.
    #[arg(long, default_value_t = 500, value_name = "N")]
    tries: u32,
    /// What they are drawn from; the same seed draws the same orders.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub async fn run(services: &Services, args: &PermuteArgs) -> anyhow::Result<ExitCode> {
    let lines = read_lines(&args.file)?;
    let (folder, secrets) = (folder_of(&args.file), services.secrets()?);
    let trial = Trial { lines: &lines, folder, secrets, tries: args.tries, seed: args.seed };
    let found = permute(&trial).await.map_err(|error| BadInput::new(format!("{}: {error}", name_of(&args.file))))?;
    print(&if args.json { json(&found) } else { text(&found) })?;
    Ok(if found.other.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(found: &Found) -> String {
    let Found { movable, orders, all, first, other } = found;
    let messages = told::count(*movable, "message", "messages");
    let all = if *all { "all orders" } else { "orders drawn at random" };
    match other {
        None => format!("{messages} in {orders} deliveries ({all}, each also with repeats): every one ends the same\n{}", ends(&first.end)),
        Some(other) => format!(
            "{messages}: after {orders} deliveries ({all}, each also with repeats) one ends differently\n{}\n{}\n\
             Decisions that contradict each other do that, the first stands; so does what refuses to wait, and credits that were used \
             before a refund or while a dispute was open (docs/decisions.md, Which order still matters?). \
             Anything else is a fault of the ledger: please report it with the file.",
            ordered(first),
            ordered(other)
        ),
    }
}

fn ordered(ordered: &Ordered) -> String {
    let lines: Vec<String> = ordered.lines.iter().map(ToString::to_string).collect();
    format!("lines {}\n{}", lines.join(" "), ends(&ordered.end))
}

fn ends(end: &End) -> String {
    let mut text = String::new();
    for (key, Numbers { balance, held, frozen, debt }) in end {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {key}: balance {balance}, held {held}, frozen {frozen}, debt {debt}");
    }
    text.trim_end().to_owned()
}

fn json(found: &Found) -> String {
    let end = |end: &End| -> serde_json::Value {
        let numbers = |numbers: &Numbers| {
            let Numbers { balance, held, frozen, debt } = numbers;
            serde_json::json!({"balance": balance.to_string(), "held": held.to_string(), "frozen": frozen.to_string(), "debt": debt.to_string()})
        };
        end.iter().map(|(key, one)| (key.to_string(), numbers(one))).collect::<serde_json::Map<_, _>>().into()
    };
    let ordered = |one: &Ordered| serde_json::json!({"lines": one.lines, "accounts": end(&one.end)});
    let Found { movable, orders, all, first, other } = found;
    serde_json::json!({
        "messages": movable, "deliveries": orders, "all": all, "same": other.is_none(),
        "first": ordered(first), "other": other.as_ref().map(ordered),
    })
    .to_string()
}
