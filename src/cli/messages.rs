//! Message files on the command line: read before anything is done, and what can be told of a line.
//!
//! Owns refusing a whole file for one line that cannot be read. Never sends anything.

use super::{BadInput, Services};
use crate::domain::ids::Id;
use crate::message::{Incoming, Line};
use crate::secrets::Secrets;
use crate::store::postgres::PostgresStore;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Reads a message file, or standard input for `-`; empty lines and comments are left out.
pub fn read_lines(file: &Path) -> anyhow::Result<Vec<(usize, Line)>> {
    let name = name_of(file);
    let text = if file.as_os_str() == "-" { io::read_to_string(io::stdin().lock()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| BadInput::new(format!("{name} cannot be read: {error}; nothing was done")))?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        let read = Line::parse(line);
        let read = read.map_err(|error| BadInput::new(format!("{name}:{number}: {error}; nothing was done")))?;
        lines.extend(read.map(|line| (number, line)));
    }
    if lines.is_empty() {
        eprintln!("{name} holds no line to act on; nothing was done");
    }
    Ok(lines)
}

/// What a message file is called.
pub fn name_of(file: &Path) -> String {
    if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() }
}

/// The folder that file names in a message file are relative to.
pub fn folder_of(file: &Path) -> PathBuf {
    file.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// True when a database was named, or lines cannot do without one.
pub fn needs_database(services: &Services, lines: &[(usize, Line)]) -> bool {
    let named = services.database_url.as_deref().is_some_and(|url| !url.is_empty());
    named || lines.iter().any(|(_, line)| matches!(line, Line::Catalog { .. } | Line::Read { .. } | Line::Tick(_)))
}

/// The times of the file's test-clock tenants, as far as a database knows them.
pub async fn clocks(store: Option<&PostgresStore>, lines: &[(usize, Line)]) -> anyhow::Result<BTreeMap<Id, Option<Timestamp>>> {
    let Some(store) = store else { return Ok(BTreeMap::new()) };
    let tenants: BTreeSet<Id> = lines.iter().filter_map(|(_, line)| tenant_of(line)).collect();
    let mut clocks = BTreeMap::new();
    for tenant in tenants {
        if let Some(clock) = store.tenant_clock(&tenant).await?.filter(|clock| clock.is_test) {
            clocks.insert(tenant, clock.clock);
        }
    }
    Ok(clocks)
}

pub fn tenant_of(line: &Line) -> Option<Id> {
    match line {
        Line::Event { tenant, .. } => Id::new(tenant).ok(),
        Line::Webhook { tenant, .. } | Line::Exact { tenant, .. } | Line::Catalog { tenant, .. } => Some(tenant.clone()),
        Line::Read { key, .. } => Some(key.tenant.clone()),
        Line::Tick(_) => None,
    }
}

/// Says before anything is sent that a webhook cannot be signed.
pub fn signable(file: &Path, lines: &[(usize, Line)], secrets: &Secrets) -> anyhow::Result<()> {
    for (number, line) in lines {
        line.raw(secrets)
            .map_err(|error| BadInput::new(format!("{}:{number}: {error}; nothing was sent; give --secrets-dir", name_of(file))))?;
    }
    Ok(())
}

/// When a message happened, and the time a tenant-wide reset moves to.
pub fn times(incoming: &Incoming) -> (Option<Timestamp>, Option<Timestamp>) {
    use crate::domain::tenant_command::TenantCommand;
    match incoming {
        Incoming::Account(message) => (Some(message.occurred_at), None),
        Incoming::Tenant(message) => match message.command {
            TenantCommand::ResetCycles { as_of } => (Some(message.occurred_at), Some(as_of)),
            TenantCommand::ChangeSettings(_) | TenantCommand::ChangeStaff { .. } | TenantCommand::RemoveStaff { .. } => {
                (Some(message.occurred_at), None)
            }
        },
        Incoming::Unaddressed(message) => (Some(message.occurred_at), None),
        Incoming::Ignored { .. } => (None, None),
    }
}
