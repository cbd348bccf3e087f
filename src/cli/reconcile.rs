//! `reconcile`: prints differences as they are found.

use super::{Services, print};
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
    let told = reconcile(services.reachable_database().await?, |found| -> anyhow::Result<()> {
        print(&if json {
            serde_json::json!({"account": found.account, "check": found.check, "stored": found.stored, "computed": found.computed})
                .to_string()
        } else {
            found.to_string()
        })
    });
    let Report { counts, differences } = told.await?;
    print(&if json {
        serde_json::json!({
            "accounts": counts.accounts, "entries": counts.entries, "grants": counts.grants,
            "outcomes": counts.outcomes, "announcements": counts.announcements, "differences": differences,
        })
        .to_string()
    } else {
        let verdict = match differences {
            0 => "no difference".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        format!(
            "{verdict}: {} accounts, {} entries, {} grants, {} outcomes, {} announcements",
            counts.accounts, counts.entries, counts.grants, counts.outcomes, counts.announcements
        )
    })?;
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
