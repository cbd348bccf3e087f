//! The content of what a provider says.
//!
//! Owns its canonical text. Of the names of a payment only the first is part of it: the others say what it is
//! called and not what is said of it.

use super::Text;
use crate::domain::calendar::Interval;
use crate::domain::command::Command;
use crate::domain::payment::PaymentTerms;
use crate::domain::provider::{
    PaidFor, PaymentSaid, ProviderDispute, ProviderPayment, ProviderRefund, ProviderSubscription, SubscriptionSaid,
};

/// Adds what an event says; nothing of what no provider says.
pub(super) fn put(text: &mut Text, asked: &Command) {
    match asked {
        Command::RecordPayment(asked) => payment(text, asked),
        Command::NamePayment(asked) => {
            for name in &asked.names.0 {
                text.put("payment", &name.name);
            }
        }
        Command::RecordRefund(asked) => refund(text, asked),
        Command::RecordDispute(asked) => dispute(text, asked),
        Command::RecordSubscription(asked) => subscription(text, asked),
        Command::RecordInvoice(asked) => {
            text.put("subscription", &asked.subscription.name);
            terms(text, &asked.terms);
            said(text, asked.said);
            match &asked.pays {
                PaidFor::Lines { lines, .. } => {
                    for line in lines {
                        text.put("price", &line.price);
                        text.put("until", line.until.as_microsecond());
                    }
                }
                PaidFor::IntervalAt(at) => text.put("paid_at", at.as_microsecond()),
            }
            text.maybe("livemode", asked.livemode);
        }
        Command::NameSubscription(asked) => text.put("subscription", &asked.subscription.name),
        _ => {}
    }
}

fn payment(text: &mut Text, asked: &ProviderPayment) {
    terms(text, &asked.terms);
    said(text, asked.said);
    text.maybe("livemode", asked.livemode);
}

fn subscription(text: &mut Text, asked: &ProviderSubscription) {
    text.put("subscription", &asked.name.name);
    for (price, quantity) in &asked.items {
        text.put("price", price);
        text.put("quantity", quantity);
    }
    text.maybe("interval", asked.interval.map(Interval::word));
    text.put("anchor", asked.anchor.as_microsecond());
    text.put(
        "said",
        match asked.said {
            SubscriptionSaid::Pending => "pending",
            SubscriptionSaid::Running => "running",
            SubscriptionSaid::Over => "over",
        },
    );
    text.put("cancels", asked.cancels);
    text.maybe("livemode", asked.livemode);
}

fn terms(text: &mut Text, terms: &PaymentTerms) {
    text.put("payment", &terms.payment);
    if let Some(purchase) = &terms.package {
        text.put("package", &purchase.package);
        text.put("quantity", purchase.quantity);
    }
    text.put("amount", terms.amount);
    text.maybe("before_tax", terms.before_tax);
    text.put("currency", &terms.currency);
    text.maybe("document", terms.document.as_ref());
}

fn said(text: &mut Text, said: PaymentSaid) {
    text.put("paid", said == PaymentSaid::Paid);
    match said {
        PaymentSaid::Pending | PaymentSaid::Paid => {}
        PaymentSaid::AttemptFailed => text.put("failed", "attempt"),
        PaymentSaid::Failed => text.put("failed", "payment"),
    }
}

fn refund(text: &mut Text, asked: &ProviderRefund) {
    text.maybe("payment", asked.names.0.first().map(|name| &name.name));
    text.put("currency", &asked.currency);
    // Whether a sum comes with its parts depends on the API version.
    for refund in asked.refunds.iter().filter(|_| asked.refunded.is_none()) {
        text.put("refund", &refund.id);
        text.put("amount", refund.amount);
        text.put("status", refund.status.word());
        text.put("created_at", refund.created_at.as_microsecond());
    }
    text.maybe("refunded", asked.refunded);
    text.maybe("livemode", asked.livemode);
}

fn dispute(text: &mut Text, asked: &ProviderDispute) {
    text.maybe("payment", asked.names.0.first().map(|name| &name.name));
    text.put("dispute", &asked.dispute);
    text.put("amount", asked.amount);
    text.put("currency", &asked.currency);
    text.put("stage", asked.stage.word());
    text.put("opened_at", asked.opened_at.as_microsecond());
    text.maybe("livemode", asked.livemode);
}
