//! What a simulated file says about tenants: their messages and their catalogs.
//!
//! Owns the same answers as the tenants' lanes and transaction of the worker. Never writes an account.

use super::{SimulateError, Simulation};
use crate::catalog::{self, CatalogFile};
use crate::domain::catalog::Catalog;
use crate::domain::decision::Outcome;
use crate::domain::ids::{Hash, Id, MessageId};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::settings::{Settings, Terms};
use crate::domain::tenant_command::TenantCommand;
use crate::failure::Failure;
use crate::message::TenantMessage;
use crate::message::line::CatalogText;
use crate::store::LoadedTenant;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Simulation {
    /// The answer to a message about a tenant that is known by its identity; else it is remembered.
    pub(super) fn identity(&mut self, tenant_exists: bool, tenant: &Id, id: &MessageId, content: Hash) -> Option<Outcome> {
        if !tenant_exists {
            return Some(Outcome::Quarantined(QuarantineReason::UnknownTenant));
        }
        let key = (tenant.clone(), id.clone());
        match self.answers.get(&key) {
            Some((known, reasons)) if *known == content => {
                self.repeated.clone_from(reasons);
                Some(Outcome::Duplicate)
            }
            Some(_) => Some(Outcome::Quarantined(QuarantineReason::IdempotencyConflict)),
            None => {
                self.answers.insert(key, (content, Vec::new()));
                None
            }
        }
    }

    pub(super) async fn tenant(&mut self, message: &TenantMessage) -> Result<Outcome, Failure> {
        let terms = self.store.lock().await.tenants.get(&message.tenant).map(|tenant| tenant.terms.clone());
        if let Some(answer) = self.identity(terms.is_some(), &message.tenant, &message.id, message.content) {
            return Ok(answer);
        }
        let Some(terms) = terms else { return Ok(Outcome::Quarantined(QuarantineReason::UnknownTenant)) };
        let mut changed = (*terms).clone();
        match &message.command {
            TenantCommand::ChangeSettings(change) => changed.settings = change.applied_to(&changed.settings),
            TenantCommand::ChangeStaff { member, role } => drop(changed.staff.insert(member.clone(), *role)),
            TenantCommand::RemoveStaff { member } => drop(changed.staff.remove(member)),
            TenantCommand::ResetCycles { as_of } => {
                if let Some(refused) = self.reset_refused(*as_of, terms.test_clock) {
                    if let Some((_, reasons)) = self.answers.get_mut(&(message.tenant.clone(), message.id.clone())) {
                        reasons.push(refused.word().to_owned());
                    }
                    return Ok(Outcome::Rejected(vec![refused]));
                }
                self.advance(*as_of).await?;
                return Ok(Outcome::Applied);
            }
        }
        self.store_terms(changed).await;
        Ok(Outcome::Applied)
    }

    fn reset_refused(&self, as_of: Timestamp, test_clock: bool) -> Option<Rejection> {
        let clock = self.clock?;
        match test_clock {
            true if as_of < clock => Some(Rejection::ResetBackwards),
            false if as_of > clock => Some(Rejection::ResetInFuture),
            true | false => None,
        }
    }

    async fn store_terms(&mut self, mut terms: Terms) {
        terms.revision = terms.revision.saturating_add(1);
        let policies = self.policies.entry(terms.tenant.clone()).or_default();
        // The first are in force from the beginning.
        let from = if policies.is_empty() { None } else { self.clock };
        if policies.last().is_none_or(|(_, newest)| *newest != terms.settings) {
            policies.push((from, terms.settings.clone()));
        }
        let tenant = LoadedTenant { terms: Arc::new(terms), clock: None };
        self.store.lock().await.tenants.insert(tenant.terms.tenant.clone(), tenant);
    }

    /// Loads a catalog version; the first one makes the tenant.
    pub(super) async fn catalog(&mut self, tenant: &Id, text: &CatalogText) -> Result<(), SimulateError> {
        let CatalogFile { test_clock, catalog, policies } = load_catalog(&self.folder, text)?;
        let known = self.store.lock().await.tenants.get(tenant).map(|tenant| (*tenant.terms).clone());
        let mut terms = known.unwrap_or_else(|| Terms {
            tenant: tenant.clone(),
            revision: 0,
            settings: Settings::default(),
            staff: BTreeMap::new(),
            catalogs: BTreeMap::new(),
            test_clock,
        });
        if terms.test_clock != test_clock {
            return Err(SimulateError::Line(format!("tenant {tenant} was made with test_clock = {}; it keeps that", terms.test_clock)));
        }
        let mut catalog = catalog;
        let newest = terms.catalog().cloned();
        catalog.version = newest.as_ref().map_or(1, |newest| newest.version.saturating_add(1));
        // Usage that happened before the first version is priced by it.
        catalog.effective_at = newest.as_ref().and(self.clock);
        let same = newest.is_some_and(|newest| {
            let (version, effective_at) = (newest.version, newest.effective_at);
            *newest == Catalog { version, effective_at, ..catalog.clone() }
        });
        if !same {
            terms.catalogs.insert(catalog.version, Arc::new(catalog));
        }
        terms.settings = policies.applied_to(&terms.settings);
        self.store_terms(terms).await;
        Ok(())
    }
}

/// Reads the catalog of a line; a file is looked for in `folder`.
///
/// # Errors
/// [`SimulateError::Line`] with everything wrong with it.
pub fn load_catalog(folder: &std::path::Path, text: &CatalogText) -> Result<CatalogFile, SimulateError> {
    let wrong = |errors: catalog::CatalogErrors| SimulateError::Line(errors.to_string());
    match text {
        CatalogText::Inline(value) => catalog::parse_json(value).map_err(wrong),
        CatalogText::File(name) => {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| SimulateError::Line(format!("the catalog {} cannot be read: {error}", path.display())))?;
            catalog::parse(&path.display().to_string(), &text).map_err(wrong)
        }
    }
}
