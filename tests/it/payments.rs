//! The payment history: what is kept with a purchase, in whatever order it is heard, and erased on request.

use crate::world::{World, id};
use credit_ledger::domain::ids::Printable;
use credit_ledger::statement;
use credit_ledger::store::postgres::query::Home;
use serde_json::{Value, json};

const CATALOG: &str = r#"
[packages.pack]
credits = "1000"
price = "100.00"
[[rates]]
meter = "unit"
price = "1"
insufficient = "allow"
"#;
const AT: i64 = 1_767_225_600;

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({"id": id, "type": kind, "livemode": false, "created": AT, "data": {"object": object}})
}

fn session() -> Value {
    let person = json!({"name": "Ana Example", "email": "ana@shop.example", "address": {"country": "DE"}});
    let taxes = json!({"amount_tax": 1900, "breakdown": {"taxes": [{"amount": 1900, "rate": {"display_name": "VAT", "percentage": 19, "country": "DE"}}]}});
    event(
        "evt_1",
        "checkout.session.completed",
        &json!({
            "id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 11_900, "currency": "usd", "payment_intent": "pi_1",
            "total_details": taxes, "customer_details": person, "payment_method_types": ["card", "link"],
            "metadata": {"credit_account": "u", "credit_package": "pack"},
        }),
    )
}

fn intent() -> Value {
    event(
        "evt_2",
        "payment_intent.succeeded",
        &json!({
            "id": "pi_1", "amount": 11_900, "amount_received": 11_900, "currency": "usd", "latest_charge": "ch_1", "payment_method_types": ["card"],
            "metadata": {},
        }),
    )
}

fn refunded() -> Value {
    event(
        "evt_3",
        "charge.refunded",
        &json!({
            "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 11_900, "currency": "usd", "receipt_url": "https://pay.stripe.example/r/1",
            "payment_method_details": {"type": "card"},
        }),
    )
}

async fn home(world: &World) -> Home {
    world.database.as_ref().unwrap().store.home(&id("acme"), Some(&id("u"))).await.unwrap().unwrap()
}

async fn shown(world: &World) -> Value {
    let records = world.database.as_ref().unwrap().store.payments_of(home(world).await).await.unwrap();
    serde_json::from_str(&statement::payments_json(&records)).unwrap()
}

async fn text(world: &World) -> String {
    statement::payments(&world.database.as_ref().unwrap().store.payments_of(home(world).await).await.unwrap())
}

const WHOLE: &str = "\
stripe:pi_1  2026-01-01 00:00:00  granted  119 USD, card
  tax 19 USD (VAT 19% DE: 1900)
  document https://pay.stripe.example/r/1
  payer Ana Example, ana@shop.example, DE
  package pack: 1000 credits
  grant 1 (purchased): 0 of 1000 left, 1000 taken back
  refunded in all 119 USD";

#[tokio::test]
async fn a_purchase_is_shown_with_everything_on_it_in_whatever_order_it_was_heard() {
    for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0], [0, 2, 1], [1, 2, 0]] {
        World::in_postgres(CATALOG, async |world| {
            for index in order {
                world.stripe(&[session(), intent(), refunded()][index]).await;
            }
            assert_eq!(text(world).await, WHOLE, "{order:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_spent_and_what_repaid_it_is_shown() {
    World::in_postgres(CATALOG, async |world| {
        world.stripe(&session()).await;
        world.uses("u", "unit", "400").await;
        world.stripe(&refunded()).await;
        let payment = &shown(world).await["payments"][0];
        // 1000 × 119 / 119: 600 are left to take, 400 were spent.
        assert_eq!((&payment["grants"][0]["taken_back"], &payment["shortfall"]), (&json!("600"), &json!("400")));
        assert!(text(world).await.ends_with("400 of what went back had been spent"));
    })
    .await;
}

#[tokio::test]
async fn disputes_refunds_and_manual_purchases_are_payments_too() {
    World::in_postgres(CATALOG, async |world| {
        world.stripe(&session()).await;
        let dispute = json!({"id": "dp_1", "amount": 11_900, "currency": "usd", "status": "needs_response", "payment_intent": "pi_1", "created": AT});
        world.stripe(&event("evt_4", "charge.dispute.created", &dispute)).await;
        let refund = json!({"id": "re_1", "amount": 1190, "currency": "usd", "status": "succeeded", "payment_intent": "pi_1", "created": AT});
        world.stripe(&event("evt_5", "refund.created", &refund)).await;
        world.staff("bob", "approver").await;
        world.at("2026-01-02T00:00:00Z").await;
        let asked = json!({"request": "r", "package": "pack", "method": "bank_transfer", "requested_by": "mia", "evidence": {"reference": "SEPA 7"}});
        world.done("credit_request.submitted", "u", asked).await;
        world.done("credit_request.decided", "u", json!({"request": "r", "decision": "accepted", "decided_by": "bob"})).await;
        let shown = shown(world).await;
        let payments = shown["payments"].as_array().unwrap();
        assert_eq!(payments.iter().map(|one| one["payment"].as_str().unwrap()).collect::<Vec<_>>(), ["stripe:pi_1", "request:r"]);
        let (card, transfer) = (&payments[0], &payments[1]);
        assert_eq!((&card["disputes"][0]["stage"], &card["refunds"][0]["amount"]), (&json!("opened"), &json!("11.9")));
        // 1000 × 11.90 / 119 are gone, the rest is frozen.
        assert_eq!((&card["grants"][0]["remaining"], &card["grants"][0]["frozen"]), (&json!("900"), &json!("900")));
        assert_eq!((&transfer["method"], &transfer["paid_at"], &transfer["credits"]), (&json!("bank_transfer"), &json!("2026-01-02T00:00:00Z"), &json!("1000")));
    })
    .await;
}

const BY_PAYPAL: &str = "\
paypal:C1  2026-01-01 00:00:00  granted  100 USD, paypal
  document INV-7
  package pack: 1000 credits
  grant 1 (purchased): 750 of 1000 left, 250 taken back
  refund paypal:R1 of 25 USD, succeeded, 2026-01-03 00:00:00";

#[tokio::test]
async fn a_payment_through_paypal_and_its_refund_are_shown() {
    World::in_postgres(CATALOG, async |world| {
        let usd = |value: &str| json!({"currency_code": "USD", "value": value});
        let capture = json!({"id": "C1", "status": "COMPLETED", "amount": usd("100.00"), "custom_id": "u:pack", "invoice_id": "INV-7",
            "create_time": "2026-01-01T00:00:00Z"});
        let paid =
            json!({"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "create_time": "2026-01-01T00:00:00Z", "resource": capture});
        assert_eq!(world.paypal(&paid).await, "applied");
        let up = json!({"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C1"});
        let refund =
            json!({"id": "R1", "status": "COMPLETED", "amount": usd("25.00"), "create_time": "2026-01-03T00:00:00Z", "links": [up]});
        let refunded =
            json!({"id": "WH-2", "event_type": "PAYMENT.CAPTURE.REFUNDED", "create_time": "2026-01-03T00:00:00Z", "resource": refund});
        assert_eq!(world.paypal(&refunded).await, "applied");
        // 1000 × 25 / 100 are taken back.
        assert_eq!(text(world).await, BY_PAYPAL);
        let shown = shown(world).await;
        let payment = &shown["payments"][0];
        let expected =
            json!({"payment": "paypal:C1", "status": "granted", "method": "paypal", "amount": "100", "currency": "USD", "credits": "1000"});
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&payment[key], value, "{key}");
        }
        assert_eq!((&payment["grants"][0]["remaining"], &payment["grants"][0]["taken_back"]), (&json!("750"), &json!("250")));
        let told = json!([{"refund": "paypal:R1", "amount": "25", "status": "succeeded", "created_at": "2026-01-03T00:00:00Z"}]);
        assert_eq!(payment["refunds"], told);
    })
    .await;
}

#[tokio::test]
async fn who_paid_is_erased_for_good_and_nothing_else_is() {
    World::in_postgres(CATALOG, async |world| {
        world.stripe(&session()).await;
        let store = world.database.as_ref().unwrap().store.clone();
        let home = home(world).await;
        let named = |name: &str| Printable::new(name).unwrap();
        assert_eq!(store.erase_payers(home, Some(&named("stripe:pi_2"))).await.unwrap(), 0);
        assert!(text(world).await.contains("payer Ana Example"));
        assert_eq!(store.erase_payers(home, Some(&named("stripe:cs_1"))).await.unwrap(), 1, "by any of its names");
        world.stripe(&event("evt_9", "checkout.session.async_payment_succeeded", &session()["data"]["object"])).await;
        let after = text(world).await;
        assert!(after.contains("payer erased ") && !after.contains("Ana") && after.contains("VAT 19% DE"), "{after}");
        let left: i64 =
            sqlx::query_scalar("select count(*) from payers where payer is not null or email is not null or country is not null")
                .fetch_one(store.pool())
                .await
                .unwrap();
        assert_eq!((left, store.erase_payers(home, None).await.unwrap()), (0, 1), "and again");
    })
    .await;
}

#[tokio::test]
async fn details_of_another_form_stop_no_money() {
    World::in_postgres(CATALOG, async |world| {
        let mut odd = session();
        odd["data"]["object"]["customer_details"] = json!({"name": {"first": "Ana"}, "email": 7, "address": []});
        odd["data"]["object"]["payment_method_types"] = json!("card");
        odd["data"]["object"]["total_details"]["breakdown"] = json!("none");
        assert_eq!(world.stripe(&odd).await, "applied");
        let payment = &shown(world).await["payments"][0];
        assert_eq!((&payment["tax"], &payment["method"], &payment["payer"]["name"]), (&json!("19"), &Value::Null, &Value::Null));
    })
    .await;
}
