//! Who may read which account, and what is answered.

use super::process::{Front, with_credits};
use super::{Reply, SOON, exchange, get, request};
use crate::proxy::Proxy;
use crate::worker::{Deployment, grant};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token as the host application makes it.
fn token(alg: &str, kid: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": alg, "kid": kid})), part(claims));
    format!("Bearer {signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

fn hs256(secret: &str) -> impl Fn(&[u8]) -> Vec<u8> {
    let secret = secret.to_owned();
    move |bytes| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    }
}

fn exp() -> i64 {
    Timestamp::now().as_second() + 300
}

fn of_tenant(tenant: &str) -> String {
    token("HS256", "one", &json!({"tenant": tenant, "scope": "tenant", "exp": exp()}), hs256(SECRET))
}

fn of_account(account: &str) -> String {
    token("HS256", "one", &json!({"tenant": "acme", "scope": "account", "account": account, "exp": exp()}), hs256(SECRET))
}

async fn ask(address: SocketAddr, account: &str, what: &str, token: &str) -> Reply {
    get(address, &format!("/v1/tenants/acme/accounts/{account}/{what}"), &[("Authorization", token)]).await
}

fn json_of(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
    serde_json::from_str(&reply.body).unwrap()
}

/// A worker that also answers questions, and an account with 100 credits of which 2 × 3 were used.
async fn open() -> (Deployment, Front) {
    let mut deployment = Deployment::new().await;
    deployment.add_key("acme", "one", SECRET);
    deployment.add_key("empty", "one", SECRET);
    let front = Front::start(&deployment, "consume,relay,schedule,api", |_| ()).await;
    front.says("ready").await;
    with_credits(&mut deployment, "ann").await;
    let used = deployment.ask("u", "usage.recorded", "ann", json!({"meter": "image", "quantity": "3"})).await;
    assert_eq!(used["outcome"], "applied");
    (deployment, front)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_what_the_command_line_says() {
    let (deployment, front) = open().await;
    let shown = deployment.tool(&["balance", "acme", "ann", "--json"]).output().await.unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["account"]["available"], "94");
    for token in [of_tenant("acme"), of_account("ann")] {
        let reply = ask(front.http, "ann", "balance", &token).await;
        assert_eq!((reply.status, json_of(&reply)), (200, shown.clone()));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_in_order_and_from_any_number_on() {
    let (mut deployment, front) = open().await;
    for number in 0..5 {
        deployment.ask(&format!("g{number}"), "credits.grant", "ann", grant("1")).await;
    }
    let whole = json_of(&ask(front.http, "ann", "entries", &of_account("ann")).await);
    let entries = whole["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &whole["next"]), (7, &json!(null)));
    assert!(entries.iter().zip(1..).all(|(entry, seq)| entry["seq"] == seq));
    let history = deployment.tool(&["history", "acme", "ann", "--json"]).output().await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&history.stdout).unwrap()["entries"], whole["entries"]);
    // Page by page, they are the same.
    let (mut after, mut paged) = (json!(0), Vec::new());
    while !after.is_null() {
        let page = json_of(&ask(front.http, "ann", &format!("entries?limit=3&after={after}"), &of_tenant("acme")).await);
        paged.extend(page["entries"].as_array().unwrap().clone());
        after = page["next"].clone();
    }
    assert_eq!(&paged, entries);
    let beyond = json_of(&ask(front.http, "ann", "entries?after=999999999999999999", &of_tenant("acme")).await);
    assert_eq!(beyond, json!({"entries": [], "next": null}));
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b61_b62_bad_questions_and_bad_names() {
    let (deployment, front) = open().await;
    let token = of_tenant("acme");
    for what in [
        "entries?limit=0",
        "entries?limit=-1",
        "entries?limit=1000000000",
        "entries?limit=1e3",
        "entries?after=x",
        "entries?cursor=1",
        "balance?at=1",
    ] {
        let reply = ask(front.http, "ann", what, &token).await;
        assert_eq!(reply.status, 400, "{what}");
        assert!(json_of(&reply)["error"].as_str().unwrap().contains("nothing was read"), "{reply:?}");
    }
    let long = "a".repeat(65);
    for account in ["..", "%00", "%0d%0a", "a%2fb", "a.b", &long, "%C3%A4"] {
        assert_eq!(ask(front.http, account, "balance", &token).await.status, 404, "{account}");
    }
    assert_eq!(ask(front.http, &"a".repeat(10_000), "balance", &token).await.status, 414);
    for what in ["", "balance/", "Balance", "grants"] {
        assert_eq!(ask(front.http, "ann", what, &token).await.status, 404, "{what}");
    }
    let posted =
        exchange(front.http, &request("POST", "/v1/tenants/acme/accounts/ann/balance", &[("Authorization", &token)], b"{}")).await.unwrap();
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET,HEAD")));
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_what() {
    let (deployment, front) = open().await;
    for (token, account, status) in [
        (of_tenant("acme"), "ann", 200),
        (of_tenant("acme"), "nobody", 404),
        (of_account("ann"), "ann", 200),
        (of_account("nobody"), "nobody", 404),
        (of_account("bob"), "ann", 403),
        (of_account("bob"), "nobody", 403),
        // Signed by the key of another tenant, in its own name and in ours.
        (of_tenant("empty"), "ann", 403),
        (of_tenant("empty"), "nobody", 403),
        (of_tenant("unknown"), "ann", 401),
        (token("HS256", "two", &json!({"tenant": "acme", "scope": "tenant", "exp": exp()}), hs256(SECRET)), "ann", 401),
        (
            token(
                "HS256",
                "one",
                &json!({"tenant": "acme", "scope": "tenant", "exp": exp()}),
                hs256("another secret, which is long enough"),
            ),
            "ann",
            401,
        ),
        (token("HS256", "one", &json!({"tenant": "acme", "scope": "tenant", "exp": exp() - 400}), hs256(SECRET)), "ann", 401),
        (token("none", "one", &json!({"tenant": "acme", "scope": "tenant", "exp": exp()}), |_| Vec::new()), "ann", 401),
        ("Basic YTpi".to_owned(), "ann", 401),
    ] {
        for what in ["balance", "entries"] {
            let reply = ask(front.http, account, what, &token).await;
            assert_eq!(reply.status, status, "{account} {what} {token}: {reply:?}");
            assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
        }
    }
    let bob = of_account("bob");
    let (known, unknown) = (ask(front.http, "ann", "balance", &bob).await, ask(front.http, "nobody", "balance", &bob).await);
    assert_eq!(known.body, unknown.body, "whether it exists is not told");
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_their_id() {
    let (deployment, front) = open().await;
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let public = BASE64_STANDARD.encode(pair.subject_public_key_info());
    let public = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    let claims = json!({"tenant": "acme", "scope": "account", "account": "ann", "exp": exp()});
    let new = token("EdDSA", "2027-01", &claims, |bytes| pair.sign(bytes).unwrap());
    let confused = token("HS256", "2027-01", &claims, hs256(&public));
    assert_eq!(ask(front.http, "ann", "balance", &new).await.status, 401, "it is not known yet");
    deployment.add_key("acme", "2027-01", &public);
    front.hang_up().await;
    let known = async { while ask(front.http, "ann", "balance", &new).await.status != 200 {} };
    timeout(SOON, known).await.expect("the key is not read again");
    assert_eq!(ask(front.http, "ann", "balance", &of_account("ann")).await.status, 200, "the old one is still believed");
    assert_eq!(ask(front.http, "ann", "balance", &confused).await.status, 401, "a public key is no secret");
    deployment.remove_key("acme", "one");
    front.hang_up().await;
    let gone = async { while ask(front.http, "ann", "balance", &of_account("ann")).await.status != 401 {} };
    timeout(SOON, gone).await.expect("the key is still believed");
    assert_eq!(ask(front.http, "ann", "balance", &new).await.status, 200);
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_waits_for_nobody_who_writes() {
    let (deployment, front) = open().await;
    let mut holding = deployment.pool.begin().await.unwrap();
    sqlx::query("select from accounts where account = 'ann' for update").execute(&mut *holding).await.unwrap();
    for what in ["balance", "entries"] {
        assert_eq!(ask(front.http, "ann", what, &of_account("ann")).await.status, 200);
    }
    holding.rollback().await.unwrap();
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f91_an_api_alone_is_503_without_its_database_and_bounded() {
    let deployment = Deployment::new().await;
    deployment.add_key("acme", "one", SECRET);
    let database = Proxy::start(&deployment.database).await;
    database.refuse.store(true, Ordering::SeqCst);
    let front = Front::start(&deployment, "api", |command| {
        command
            .env("DATABASE_URL", &database.url)
            .env_remove("AMQP_URL")
            .env("CREDITS__API__REQUESTS_BURST", "100")
            .env("CREDITS__API__REQUESTS_PER_SECOND", "10");
    })
    .await;
    front.says("waiting for Postgres").await;
    let away = ask(front.http, "ann", "balance", &of_account("ann")).await;
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")));
    database.refuse.store(false, Ordering::SeqCst);
    front.says("ready").await;
    assert_eq!(ask(front.http, "ann", "balance", &of_account("ann")).await.status, 404);
    database.refuse.store(true, Ordering::SeqCst);
    database.cut();
    assert_eq!(ask(front.http, "ann", "balance", &of_account("ann")).await.status, 503);
    front.says("cannot be read").await;
    database.refuse.store(false, Ordering::SeqCst);
    front.says("ready").await;
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let token = of_account("ann");
        let many: Vec<_> = (0..50).map(|_| ask(front.http, "ann", "balance", &token)).collect();
        statuses.extend(futures_util::future::join_all(many).await.iter().map(|reply| reply.status));
        let sessions: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where application_name = 'credit-ledger api' and datname = current_database()",
        )
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
        assert!(sessions <= 4, "{sessions}");
    }
    assert!(statuses.contains(&404) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(get(front.http, "/livez", &[]).await.status, 200, "who asks about health is not counted");
    drop(front);
    deployment.remove().await;
}
