use super::*;

const CATALOG: &str = r#"{"tenant":"acme","catalog":{"currency":"USD","test_clock":true,
    "packages":{"starter":{"credits":"500","price":"20.00"}},
    "rates":[{"meter":"image","price":"2"}]}}"#;

fn event(id: &str, kind: &str, subject: &str, time: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"test","type":"{kind}","tenant":"acme","subject":"{subject}","time":"{time}","data":{data}}}"#
    )
}

async fn run(lines: &[String]) -> Vec<Step> {
    let mut simulation = Simulation::new(PathBuf::new(), Secrets::default());
    let mut steps = Vec::new();
    for line in lines {
        let line = Line::parse(&line.replace('\n', " ")).unwrap().unwrap();
        steps.push(simulation.take(&line).await.unwrap());
    }
    steps
}

fn done(step: &Step) -> (String, Vec<String>) {
    let Step::Done(effects) = step else { panic!("a reading") };
    let shown = |(_, entry): &(AccountKey, Entry)| format!("{} {} {}", entry.kind.word(), entry.amount, entry.balance_after);
    let reasons = effects.outcome.reasons();
    let outcome = std::iter::once(effects.outcome.word()).chain(reasons).collect::<Vec<_>>().join(" ");
    (outcome, effects.entries.iter().map(shown).collect())
}

fn view(step: &Step) -> serde_json::Value {
    let Step::Shown(_, view) = step else { panic!("no reading") };
    serde_json::from_str::<serde_json::Value>(&view.json(None)).unwrap()["account"].clone()
}

fn owned(outcome: &str, entries: &[&str]) -> (String, Vec<String>) {
    (outcome.to_owned(), entries.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_grant_a_usage_and_a_reading() {
    let steps = run(&[
        CATALOG.to_owned(),
        event("g", "credits.grant", "u-1", "2026-01-01T00:00:00Z", r#"{"grant":"A","credits":"100","reason":"hello","actor":"staff"}"#),
        event("u", "usage.recorded", "u-1", "2026-01-02T00:00:00Z", r#"{"meter":"image","quantity":"15"}"#),
        event("u", "usage.recorded", "u-1", "2026-01-02T00:00:00Z", r#"{"meter":"image","quantity":"15"}"#),
        event("v", "usage.recorded", "u-1", "2026-01-02T00:00:00Z", r#"{"meter":"image","quantity":"500"}"#),
        r#"{"read":{"tenant":"acme","account":"u-1"}}"#.to_owned(),
        r#"{"read":{"tenant":"acme","account":"u-1","at":"2026-01-01T12:00:00Z"}}"#.to_owned(),
        r#"{"read":{"tenant":"acme","account":"nobody"}}"#.to_owned(),
    ])
    .await;
    assert_eq!(done(&steps[0]), owned("applied", &[]));
    assert_eq!(done(&steps[1]), owned("applied", &["granted 100 100"]));
    assert_eq!(done(&steps[2]), owned("applied", &["used 30 70"]));
    assert_eq!(done(&steps[3]), owned("duplicate", &[]));
    assert_eq!(done(&steps[4]), owned("rejected insufficient_credits", &[]));
    let now = view(&steps[5]);
    assert_eq!((now["balance"].as_str(), now["seq"].as_u64()), (Some("70"), Some(2)));
    assert_eq!(now["grants"][0]["grant"], "A");
    assert_eq!(view(&steps[6])["balance"], "100");
    assert_eq!((view(&steps[7])["balance"].clone(), view(&steps[7])["seq"].clone()), ("0".into(), 0.into()));
    let Step::Done(effects) = &steps[2] else { panic!() };
    assert!(effects.events.iter().any(|event| event.get().contains(r#""type":"balance.changed""#)));
}

/// Semantics §2: A(p1, 1 Sep, paid 50), B(p1, 1 Sep, promo 20), C(p2, 15 Aug, promo 100); use 60.
#[tokio::test]
async fn b_burns_before_a_and_c_stays() {
    let grant = |name: &str, priority: u32, end: &str, source: &str, credits: u32| {
        let data = format!(
            r#"{{"grant":"{name}","credits":"{credits}","source":"{source}","priority":{priority},"expires_at":"{end}","reason":"r","actor":"staff"}}"#
        );
        event(name, "credits.grant", "u-1", "2026-07-01T00:00:00Z", &data)
    };
    let steps = run(&[
        CATALOG.to_owned(),
        grant("A", 1, "2026-09-01T00:00:00Z", "purchased", 50),
        grant("B", 1, "2026-09-01T00:00:00Z", "promotional", 20),
        grant("C", 2, "2026-08-15T00:00:00Z", "promotional", 100),
        event("u", "usage.recorded", "u-1", "2026-07-02T00:00:00Z", r#"{"meter":"image","quantity":"30"}"#),
        r#"{"read":{"tenant":"acme","account":"u-1"}}"#.to_owned(),
        r#"{"tick":"2026-10-01T00:00:00Z"}"#.to_owned(),
    ])
    .await;
    assert_eq!(done(&steps[4]), owned("applied", &["used 60 110"]));
    let now = view(&steps[5]);
    let left: Vec<(&str, &str)> = now["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| (grant["grant"].as_str().unwrap(), grant["remaining"].as_str().unwrap()))
        .collect();
    assert_eq!(left, [("A", "10"), ("C", "100")]);
    assert_eq!(done(&steps[6]), owned("applied", &["expired 100 10", "expired 10 0"]));
}

#[tokio::test]
async fn what_waits_is_set_free_under_the_line_that_frees_it() {
    let steps = run(&[
        CATALOG.to_owned(),
        event("u", "usage.recorded", "u-1", "2026-01-01T00:00:00Z", r#"{"meter":"image","quantity":"1"}"#),
        event("g", "credits.grant", "u-1", "2026-01-01T00:00:00Z", r#"{"credits":"10","reason":"r","actor":"staff"}"#),
    ])
    .await;
    assert_eq!(done(&steps[1]), owned("waiting", &[]));
    assert_eq!(done(&steps[2]), owned("applied", &["granted 10 10", "used 2 8"]));
}

#[tokio::test]
async fn messages_about_the_tenant_change_its_terms() {
    let tenant = |id: &str, kind: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"test","type":"{kind}","tenant":"acme","time":"2026-01-01T00:00:00Z","data":{data}}}"#
        )
    };
    let steps = run(&[
        CATALOG.to_owned(),
        tenant("s", "tenant.settings_changed", r#"{"open_accounts":"explicit"}"#),
        tenant("s", "tenant.settings_changed", r#"{"open_accounts":"explicit"}"#),
        tenant("s", "tenant.settings_changed", r#"{"open_accounts":"automatic"}"#),
        event("g", "credits.grant", "u-1", "2026-01-01T00:00:00Z", r#"{"credits":"10","reason":"r","actor":"staff"}"#),
        tenant("r", "cycle.reset", r#"{"as_of":"2026-02-01T00:00:00Z"}"#),
        tenant("q", "cycle.reset", r#"{"as_of":"2026-01-15T00:00:00Z"}"#),
    ])
    .await;
    let outcomes: Vec<String> = steps.iter().skip(1).map(|step| done(step).0).collect();
    assert_eq!(outcomes, ["applied", "duplicate", "quarantined idempotency_conflict", "waiting", "applied", "rejected reset_backwards"]);
    let Step::Done(refused) = &steps[6] else { panic!() };
    let event: serde_json::Value = serde_json::from_str(refused.events[0].get()).unwrap();
    assert_eq!((&event["type"], &event["tenant"], event.get("subject")), (&"message.rejected".into(), &"acme".into(), None));
    assert_eq!(event["data"], serde_json::json!({"source": "test", "id": "q", "type": "cycle.reset", "reasons": ["reset_backwards"]}));
}

#[tokio::test]
async fn a_reference_belongs_to_the_account_that_had_it_first() {
    let grant = |account: &str| {
        event(account, "credits.grant", account, "2026-01-01T00:00:00Z", r#"{"credits":"10","reason":"r","actor":"staff"}"#)
    };
    let spend = |id: &str, account: &str| {
        event(id, "credits.spend", account, "2026-01-01T00:00:00Z", r#"{"purpose":"invoice","reference":"order-1","credits":"4"}"#)
    };
    let steps = run(&[CATALOG.to_owned(), grant("u-1"), grant("u-2"), spend("a", "u-1"), spend("b", "u-2"), spend("c", "u-1")]).await;
    let outcomes: Vec<String> = steps.iter().skip(3).map(|step| done(step).0).collect();
    assert_eq!(outcomes, ["applied", "quarantined idempotency_conflict", "duplicate"]);
}

#[tokio::test]
async fn a_reference_that_is_refused_goes_to_the_account_that_waits_for_it() {
    let at = "2026-01-01T00:00:00Z";
    let spend =
        |id: &str, account: &str| event(id, "credits.spend", account, at, r#"{"purpose":"invoice","reference":"order-1","credits":"4"}"#);
    let steps = run(&[
        CATALOG.to_owned(),
        event("g", "credits.grant", "rich", at, r#"{"credits":"10","reason":"r","actor":"staff"}"#),
        spend("a", "poor"),
        spend("b", "rich"),
        event("o", "account.opened", "poor", at, r#"{"kind":"user","owner":"o"}"#),
    ])
    .await;
    assert_eq!([done(&steps[2]).0, done(&steps[3]).0], ["waiting", "waiting"]);
    assert_eq!(done(&steps[4]), owned("applied", &["spent 4 6"]), "under the line that set it free");
}

#[tokio::test]
async fn what_cannot_be_read_is_quarantined_and_announced() {
    let steps = run(&[
        CATALOG.to_owned(),
        event("x", "credits.unheard_of", "u-1", "2026-01-01T00:00:00Z", "{}"),
        event("y", "usage.recorded", "u-1", "2026-01-01T00:00:00Z", r#"{"meter":"image","quantity":1.5}"#),
        event("z", "usage.recorded", "u-1", "2026-01-01T00:00:00Z", r#"{"meter":"image","quantity":"1"}"#).replace("acme", "nobody"),
    ])
    .await;
    let outcomes: Vec<String> = steps.iter().skip(1).map(|step| done(step).0).collect();
    assert_eq!(outcomes, ["quarantined unknown_type", "quarantined malformed", "quarantined unknown_tenant"]);
    for step in &steps[1..] {
        let Step::Done(effects) = step else { panic!() };
        assert_eq!(effects.events.len(), 1);
        assert!(effects.events[0].get().contains("message.quarantined"));
    }
}

fn checkout(id: &str, account: &str, intent: &str) -> String {
    format!(
        r#"{{"webhook":"stripe","tenant":"acme","received_at":"2026-01-01T00:00:00Z","event":{{"id":"{id}",
        "type":"checkout.session.completed","livemode":false,"created":1767225600,"data":{{"object":{{"id":"cs_1","mode":"payment",
        "payment_status":"paid","amount_total":2000,"currency":"usd","payment_intent":{intent},
        "metadata":{{"credit_account":"{account}","credit_package":"starter"}}}}}}}}}}"#
    )
}

#[tokio::test]
async fn a_name_of_anothers_payment_is_a_conflict() {
    let steps = run(&[
        CATALOG.to_owned(),
        checkout("a", "u-1", "null"),
        checkout("b", "u-2", r#""pi_1""#),
        checkout("c", "u-1", r#""pi_1""#),
        checkout("d", "u-2", r#""pi_1""#),
    ])
    .await;
    assert_eq!(done(&steps[1]), owned("applied", &["purchased 500 500"]));
    assert_eq!(done(&steps[2]).0, "quarantined idempotency_conflict", "the session is another account's");
    assert_eq!(done(&steps[3]), owned("duplicate", &[]), "and it left the intent free");
    assert_eq!(done(&steps[4]).0, "quarantined idempotency_conflict");
}

#[tokio::test]
async fn a_request_of_another_account_is_not_waited_for() {
    let at = "2026-01-01T00:00:00Z";
    let submit = |id: &str, account: &str, request: &str| {
        let data = format!(r#"{{"request":"{request}","package":"starter","method":"bank_transfer","requested_by":"ana"}}"#);
        event(id, "credit_request.submitted", account, at, &data)
    };
    let decide = |id: &str, account: &str, request: &str| {
        let data = format!(r#"{{"request":"{request}","decision":"accepted","decided_by":"boss"}}"#);
        event(id, "credit_request.decided", account, at, &data)
    };
    let cancel = |id: &str, account: &str, request: &str| {
        event(id, "credit_request.cancelled", account, at, &format!(r#"{{"request":"{request}","cancelled_by":"ana"}}"#))
    };
    let boss = r#"{"specversion":"1.0","id":"m","source":"test","type":"member.changed","tenant":"acme","time":"2026-01-01T00:00:00Z","data":{"member":"boss","role":"admin"}}"#;
    let short = checkout("p", "u-1", "null").replace("2000", "1000");
    let steps = run(&[
        CATALOG.to_owned(),
        boss.to_owned(),
        submit("s", "u-1", "r"),
        decide("d1", "u-2", "r"),
        cancel("c1", "u-2", "r"),
        decide("d2", "u-2", "nobodys"),
        decide("d3", "u-1", "r"),
        short,
        decide("d4", "u-2", "cs_1"),
        decide("d5", "u-1", "cs_1"),
    ])
    .await;
    let outcomes: Vec<String> = steps.iter().skip(2).map(|step| done(step).0).collect();
    let conflict = "quarantined idempotency_conflict";
    assert_eq!(outcomes, ["applied", conflict, conflict, "waiting", "applied", "applied", conflict, "applied"]);
}
