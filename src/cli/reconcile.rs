//! `reconcile`: prints differences as they are found.

use super::{Services, print, told};
use crate::reconcile::{Report, reconcile};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// One JSON object for each difference, then one with the counts.
    #[arg(long)]
    json: bool,
}

pub async fn run(services: &Services, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let audited = reconcile(services.reachable_database().await?, |found| -> anyhow::Result<()> {
        print(&if json {
            serde_json::json!({"account": found.account, "check": found.check, "stored": found.stored, "computed": found.computed})
                .to_string()
        } else {
            found.to_string()
        })
    });
    let Report { counts, differences } = audited.await?;
    print(&if json {
        serde_json::json!({
            "accounts": counts.accounts, "entries": counts.entries, "grants": counts.grants,
            "outcomes": counts.outcomes, "announcements": counts.announcements, "differences": differences,
        })
        .to_string()
    } else {
        let verdict = if differences == 0 { "no difference".to_owned() } else { told::count(differences, "difference", "differences") };
        let looked_at = [
            told::count(counts.accounts, "account", "accounts"),
            told::count(counts.entries, "entry", "entries"),
            told::count(counts.grants, "grant", "grants"),
            told::count(counts.outcomes, "outcome", "outcomes"),
            told::count(counts.announcements, "announcement", "announcements"),
        ];
        format!("{verdict}: {}", looked_at.join(", "))
    })?;
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
