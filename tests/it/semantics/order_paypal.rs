//! The order of PayPal's events does not matter either: captures, refunds, reversals and disputes (semantics §6, §9).

use super::order::{ends_alike, setting, told, tries};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The price of the package, in cents.
const PRICE: u32 = 10_000;

fn usd(cents: u32) -> Value {
    json!({"currency_code": "USD", "value": format!("{}.{:02}", cents / 100, cents % 100)})
}

fn webhook(id: &str, kind: &str, resource: &Value) -> Value {
    json!({"webhook": "paypal", "tenant": "acme",
        "event": {"id": id, "event_type": kind, "create_time": "2026-01-01T00:00:00Z", "resource": resource}})
}

/// What happens to one capture.
#[derive(Debug, Clone)]
struct Fate {
    is_pending_first: bool,
    /// Percent of the price, and whether PayPal took it back by itself.
    refunds: Vec<(u32, bool)>,
    /// Percent of the price, and whether it was lost.
    dispute: Option<(u32, bool)>,
}

fn fate() -> impl Strategy<Value = Fate> {
    let refunds = proptest::collection::vec((1_u32..=40, any::<bool>()), 0..3);
    (any::<bool>(), refunds, proptest::option::of((1_u32..=100, any::<bool>()))).prop_map(|(is_pending_first, refunds, dispute)| Fate {
        is_pending_first,
        refunds,
        dispute,
    })
}

impl Fate {
    /// The event that it is paid, then the rest of what is heard of it.
    fn messages(&self, number: usize) -> Vec<Value> {
        let capture = format!("C{number}");
        let id = |what: &str| format!("WH-{number}-{what}");
        let resource = |status: &str| json!({"id": capture, "amount": usd(PRICE), "custom_id": "u:pack", "status": status, "create_time": "2026-01-01T00:00:00Z"});
        let mut messages = vec![webhook(&id("paid"), "PAYMENT.CAPTURE.COMPLETED", &resource("COMPLETED"))];
        if self.is_pending_first {
            messages.push(webhook(&id("pending"), "PAYMENT.CAPTURE.PENDING", &resource("PENDING")));
        }
        let up = json!({"rel": "up", "href": format!("https://api.paypal.com/v2/payments/captures/{capture}")});
        for (index, (percent, is_reversal)) in self.refunds.iter().enumerate() {
            let refund = json!({"id": format!("R{number}-{index}"), "amount": usd(PRICE / 100 * percent), "status": "COMPLETED",
                "create_time": format!("2026-01-0{}T00:00:00Z", index + 2), "links": [up]});
            let kind = if *is_reversal { "PAYMENT.CAPTURE.REVERSED" } else { "PAYMENT.CAPTURE.REFUNDED" };
            messages.push(webhook(&id(&format!("r{index}")), kind, &refund));
        }
        if let Some((percent, is_lost)) = self.dispute {
            let amount = usd(PRICE / 100 * percent);
            let outcome = if is_lost {
                json!({"outcome_code": "RESOLVED_BUYER_FAVOUR", "amount_refunded": amount})
            } else {
                json!({"outcome_code": "RESOLVED_SELLER_FAVOUR"})
            };
            for (what, status, outcome) in [("CREATED", "UNDER_REVIEW", Value::Null), ("RESOLVED", "RESOLVED", outcome)] {
                let dispute = json!({"dispute_id": format!("PP-D-{number}"), "create_time": "2026-01-05T00:00:00Z", "dispute_amount": amount,
                    "status": status, "dispute_outcome": outcome, "disputed_transactions": [{"seller_transaction_id": capture}]});
                messages.push(webhook(&id(what), &format!("CUSTOMER.DISPUTE.{what}"), &dispute));
            }
        }
        messages
    }
}

/// A capture, use that burned some of it or left a debt, and everything else that is heard.
fn sets() -> impl Strategy<Value = Vec<Value>> {
    (0_u32..1300, fate(), proptest::collection::vec(fate(), 0..3)).prop_map(|(used, spent, fates)| {
        let mut lines = setting("debt");
        let mut messages = spent.messages(9);
        lines.push(messages.remove(0));
        lines.push(told("use", "usage.recorded", &json!({"meter": "unit", "quantity": used})));
        lines.extend(messages);
        lines.extend(fates.iter().enumerate().flat_map(|(number, fate)| fate.messages(number)));
        lines
    })
}

#[test]
fn every_order_of_paypals_events_ends_alike() {
    // As many as a fifth of the orders of everything else.
    let config = ProptestConfig { cases: tries() / 50, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config).run(&sets(), |lines| ends_alike(&lines, 10)).unwrap();
}

#[test]
fn all_orders_of_six_events_about_one_capture() {
    let fate = Fate { is_pending_first: true, refunds: vec![(10, false), (30, true)], dispute: Some((50, true)) };
    let messages = fate.messages(1);
    assert_eq!(messages.len(), 6);
    ends_alike(&[setting("debt"), messages].concat(), 0).unwrap();
}
