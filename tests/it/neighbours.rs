//! Two tenants that name things alike: neither decides about the other's requests nor uses up its evidence.

use crate::worker::{Deployment, worker_test};
use credit_ledger::catalog;
use credit_ledger::domain::ids::Id;
use credit_ledger::store::postgres::catalogs;
use serde_json::{Value, json};

const CATALOG: &str = r#"
currency = "USD"
[packages.starter]
credits = "500"
price = "20.00"
"#;

impl Deployment {
    /// A second tenant; the same person decides in both.
    async fn neighbour(&mut self) {
        let file = catalog::parse("other", CATALOG).unwrap();
        catalogs::apply(&self.pool, &Id::new("other").unwrap(), &file, CATALOG).await.unwrap();
        for tenant in ["acme", "other"] {
            self.send_to(tenant, "boss", "member.changed", None, json!({"member": "boss", "role": "approver"})).await;
            assert_eq!(self.reply().await["outcome"], "applied");
        }
    }

    /// Outcome and first reason of a message to a tenant.
    async fn told_by(&mut self, tenant: &str, id: &str, kind: &str, account: &str, data: Value) -> String {
        self.send_to(tenant, id, kind, Some(account), data).await;
        let reply = self.reply().await;
        let reason = reply["reasons"][0].as_str().map_or_else(String::new, |reason| format!(" {reason}"));
        format!("{}{reason}", reply["outcome"].as_str().unwrap())
    }
}

fn asked(request: &str, evidence: &str) -> Value {
    json!({"request": request, "package": "starter", "method": "bank_transfer", "requested_by": "mia", "evidence": {"reference": evidence}})
}

worker_test!(b51_a_request_of_another_tenant_is_not_found_and_left_alone, |deployment| {
    deployment.start();
    deployment.neighbour().await;
    assert_eq!(deployment.told_by("acme", "s", "credit_request.submitted", "ann", asked("r", "SEPA-1")).await, "applied");
    // The account is known by the same name there; only the request is not.
    let opened = json!({"kind": "user", "owner": "o"});
    assert_eq!(deployment.told_by("other", "o", "account.opened", "ann", opened).await, "applied");
    let accept = || json!({"request": "r", "decision": "accepted", "decided_by": "boss"});
    for (id, kind, data) in [
        ("d", "credit_request.decided", accept()),
        ("c", "credit_request.cancelled", json!({"request": "r", "cancelled_by": "mia"})),
        ("v", "credit_request.reversed", json!({"request": "r", "reversed_by": "boss", "reason": "it bounced"})),
    ] {
        assert_eq!(deployment.told_by("other", id, kind, "ann", data).await, "waiting", "{kind}");
    }
    assert_eq!(deployment.count("waiting where waits_on = 'request'").await, 3);
    assert_eq!(deployment.count("credit_requests where status = 'pending'").await, 1, "as it was");
    assert_eq!(deployment.count("entries").await, 0);
    assert_eq!(deployment.told_by("acme", "yes", "credit_request.decided", "ann", accept()).await, "applied");
    assert_eq!(deployment.count("credit_requests where status = 'accepted'").await, 1);
    assert_eq!(deployment.count("accounts where tenant = 'acme' and account = 'ann' and balance = 500").await, 1);
    assert_eq!(deployment.count("accounts where tenant = 'other' and account = 'ann' and balance = 0").await, 1);
    assert_eq!((deployment.count("entries").await, deployment.count("waiting").await), (1, 3));
});

worker_test!(evidence_is_used_once_by_each_tenant, |deployment| {
    deployment.start();
    deployment.neighbour().await;
    for tenant in ["acme", "other"] {
        let first = deployment.told_by(tenant, "1", "credit_request.submitted", "ann", asked("r-1", "SEPA-1")).await;
        assert_eq!(first, "applied", "{tenant}");
        let second = deployment.told_by(tenant, "2", "credit_request.submitted", "bob", asked("r-2", "SEPA-1")).await;
        assert_eq!(second, "quarantined idempotency_conflict", "{tenant}");
    }
    assert_eq!((deployment.count("credit_requests").await, deployment.count("quarantine").await), (2, 2));
});
