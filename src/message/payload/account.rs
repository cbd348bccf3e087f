//! `account.opened`, `.changed`, `.frozen`, `.unfrozen`, `.closed`. Reads them; a zone that does not
//! exist is the core's to refuse (`unknown_zone`).

use super::{Asked, act, read};
use crate::domain::account::{AccountKind, Zone};
use crate::domain::command::{Act, Command, ProfileChange};
use crate::domain::ids::{Id, Printable};
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Document;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    kind: Option<Field<AccountKind>>,
    owner: Option<Field<Id>>,
    time_zone: Option<Field<Printable>>,
    alerts: Option<IgnoredAny>,
    auto_topup: Option<IgnoredAny>,
    invoicing: Option<IgnoredAny>,
    metadata: Option<Document>,
}

impl Said {
    /// What is understood. A key whose meaning is not built is refused: ignoring it would promise
    /// an alert or a top-up that never comes.
    fn profile(self) -> Result<(ProfileChange, Option<String>), Fault> {
        let unbuilt = [("alerts", self.alerts), ("auto_topup", self.auto_topup), ("invoicing", self.invoicing)];
        if let Some((key, _)) = unbuilt.into_iter().find(|(_, value)| value.is_some()) {
            return Err(Fault::malformed(format!("data: `{key}` is not built yet")));
        }
        let profile = ProfileChange {
            kind: self.kind.map(|kind| kind.0),
            owner: self.owner.map(|owner| owner.0),
            zone: self.time_zone.map(|zone| (zone.0.as_str().to_owned(), Zone::named(zone.0.as_str()))),
        };
        Ok((profile, self.metadata.map(|document| document.0)))
    }
}

pub(super) fn opened(data: &str) -> Result<Asked, Fault> {
    let (profile, beside) = read::<Said>(data)?.profile()?;
    if profile.kind.is_none() || profile.owner.is_none() {
        return Err(Fault::malformed("data: an account is opened with `kind` and `owner`"));
    }
    Ok(Asked { command: Command::OpenAccount(profile), beside })
}

pub(super) fn changed(data: &str) -> Result<Asked, Fault> {
    let (profile, beside) = read::<Said>(data)?.profile()?;
    Ok(Asked { command: Command::ChangeAccount(profile), beside })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acted {
    reason: Field<Printable>,
    actor: Field<Printable>,
}

fn acted(data: &str, command: fn(Act) -> Command) -> Result<Asked, Fault> {
    let data: Acted = read(data)?;
    Ok(command(act(data.reason.0, data.actor.0)).into())
}

pub(super) fn frozen(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::FreezeAccount)
}

pub(super) fn unfrozen(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::UnfreezeAccount)
}

pub(super) fn closed(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::CloseAccount)
}
