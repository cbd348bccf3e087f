//! What happens to the accounts between two steps of the clock, by lot: usage now and of the past, other units and
//! plans, cancellations, gifts that roll over, expire or refill themselves, and what staff do.

use super::customers::Customer;
use super::{instant, pick};
use crate::calendars::oracle::DAY;
use rand::Rng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

/// One refuses what credits do not cover, one owes it, one leaves it unpaid.
const METERS: [&str; 3] = ["unit", "image", "clip"];
const HOUR: i64 = 3600;
/// The longest that usage is heard of after it happened.
const LATE_HOURS_MAX: i64 = 28 * 24;

/// Now and then far more than there is.
fn usage(draw: &mut SmallRng) -> Value {
    let most = if draw.random_ratio(1, 8) { 600 } else { 40 };
    json!({"meter": pick(draw, &METERS), "quantity": draw.random_range(0..=most)})
}

/// When something happened that is heard of now. What the last step has closed may be reopened for it; what was
/// closed before that step, days ago at least, may not.
fn heard_late((clock, before): (i64, i64), draw: &mut SmallRng) -> i64 {
    let from = if draw.random_bool(0.6) { clock } else { before };
    from - draw.random_range(1..=LATE_HOURS_MAX) * HOUR
}

impl Customer {
    /// The type, time and data of the account's next message. `before` is where the clock stood before its last step.
    pub fn message(&mut self, (clock, before): (i64, i64), draw: &mut SmallRng) -> (&'static str, i64, Value) {
        if self.is_over {
            return ("subscription.started", clock, self.start(clock, draw));
        }
        let current = self.current();
        let (subscription, plans, is_cancelled) = (current.id.clone(), current.offer.plans, current.is_cancelled());
        if is_cancelled && draw.random_bool(0.5) {
            return ("subscription.resumed", clock, json!({"subscription": subscription}));
        }
        match draw.random_range(0..100_u32) {
            0..25 => ("usage.recorded", heard_late((clock, before), draw), usage(draw)),
            25..39 => ("subscription.changed", clock, json!({"subscription": subscription, "addons": self.units(draw)})),
            39..45 => ("subscription.changed", clock, json!({"subscription": subscription, "plan": pick(draw, plans)})),
            45..50 if !self.is_steady => {
                let at_cycle_end = draw.random_bool(0.8);
                ("subscription.cancelled", clock, json!({"subscription": subscription, "at_cycle_end": at_cycle_end}))
            }
            50..58 => ("credits.grant", clock, self.gift(clock, draw)),
            58..62 if self.gifts > 0 => ("credits.void", clock, self.taken_back(draw)),
            62..65 => ("cycle.reset", clock, json!({"as_of": instant(clock), "manual": true, "subscription": subscription})),
            65 => ("cycle.reset", clock, json!({"as_of": instant(clock), "manual": true})),
            _ => ("usage.recorded", clock, usage(draw)),
        }
    }

    /// A grant with one of many terms.
    fn gift(&mut self, clock: i64, draw: &mut SmallRng) -> Value {
        self.gifts += 1;
        let in_days = |days: i64| instant(clock + days * DAY);
        let terms = match draw.random_range(0..7_u32) {
            0 => json!({"expires_at": in_days(draw.random_range(20..=200))}),
            1 => json!({"effective_at": in_days(15), "expires_at": in_days(60)}),
            2 => json!({"rollover": {"max": "30", "count": 3}}),
            3 => json!({"rollover": {"min": "5", "max": "20", "cycles": 2, "count": 2}}),
            4 => json!({"rollover": {"max_percent": "50"}, "expires_at": in_days(400)}),
            // Burns before anything else, so there is something to refill.
            5 => json!({"priority": 5, "recurs": {"interval": "P1M", "anchor": "2010-01-31T12:00:00"}, "expires_at": in_days(180)}),
            _ => json!({"source": "purchased", "cost_basis": "0.02", "scope": ["image"]}),
        };
        let credits = draw.random_range(5..=120_u32);
        let mut data = json!({"grant": format!("gift-{}", self.gifts), "credits": credits, "reason": "a gift", "actor": "ann"});
        data.as_object_mut().unwrap().extend(terms.as_object().cloned().unwrap());
        data
    }

    /// One of its gifts, whole or in part; staff do not look first whether it is over.
    fn taken_back(&self, draw: &mut SmallRng) -> Value {
        let gift = draw.random_range(1..=self.gifts);
        let mut data = json!({"grant": format!("gift-{gift}"), "reason": "a mistake", "actor": "ann"});
        if draw.random_bool(0.5) {
            data["credits"] = json!(draw.random_range(1..=10_u32));
        }
        data
    }
}
