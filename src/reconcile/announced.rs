//! What was announced of entries, against the entries.
//!
//! Owns reading an announcement as a subscriber does. Never renders one: what the ledger's own code
//! would say proves nothing.

use crate::failure::Failure;
use crate::store::postgres::query::audit::{Announcement, Audit, Difference, Said};
use serde::Deserialize;

/// Announcements read at once; each may carry a hundred entries.
const CHUNK: u16 = 500;

#[derive(Deserialize)]
struct Event {
    tenant: String,
    subject: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    balance: String,
    from_seq: i64,
    to_seq: i64,
    entries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    seq: i64,
    kind: String,
    direction: String,
    amount: String,
    balance_after: String,
    held_change: String,
    frozen_change: String,
    debt_change: String,
}

impl Line {
    fn text(&self) -> String {
        let Self { kind, direction, amount, balance_after, held_change, frozen_change, debt_change, .. } = self;
        format!("{kind} {direction} {amount} {balance_after} {held_change} {frozen_change} {debt_change}")
    }
}

/// Where the walk stands: the account, its last entry, and the last one announced.
struct Standing {
    account_id: i64,
    account: String,
    last_seq: i64,
    /// None after an announcement that cannot be read, and after one so old that the next ones may
    /// have been deleted.
    to_seq: Option<i64>,
}

/// Compares the announcements of a shard with its entries: ranges follow one another up to the last
/// entry, and each entry is announced as it is.
pub async fn check<E: From<Failure>>(audit: &mut Audit, shard: i16, tell: &mut impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
    let mut standing: Option<Standing> = None;
    audit.open_announcements(shard).await?;
    loop {
        let chunk = audit.next_announcements(CHUNK).await?;
        if chunk.is_empty() {
            break;
        }
        let mut said = Vec::new();
        let mut found = Vec::new();
        for announcement in &chunk {
            if standing.as_ref().is_none_or(|standing| standing.account_id != announcement.account_id) {
                found.extend(standing.take().as_ref().and_then(unannounced));
            }
            found.extend(follow(&mut standing, announcement, &mut said));
        }
        for (said, stored) in audit.otherwise(shard, &said).await? {
            let account = audit.name(shard, said.account_id).await?;
            let check = format!("entry {} = what was announced of it", said.seq);
            found.push(Difference { account, check, stored, computed: said.line });
        }
        found.into_iter().try_for_each(&mut *tell)?;
    }
    standing.as_ref().and_then(unannounced).into_iter().try_for_each(tell)
}

/// The end of an account: its last entry was announced.
fn unannounced(standing: &Standing) -> Option<Difference> {
    let to_seq = standing.to_seq.filter(|to_seq| *to_seq != standing.last_seq)?;
    Some(Difference {
        account: standing.account.clone(),
        check: "the last announcement ends at the last entry".to_owned(),
        stored: to_seq.to_string(),
        computed: standing.last_seq.to_string(),
    })
}

/// One step: compares an announcement with the one before, and notes what it says of entries.
fn follow(standing: &mut Option<Standing>, announcement: &Announcement, said: &mut Vec<Said>) -> Vec<Difference> {
    let Announcement { account_id, number, last_seq, .. } = *announcement;
    let account = format!("{}/{}", announcement.tenant, announcement.account);
    let before = standing.as_ref().and_then(|standing| standing.to_seq);
    let mut found = Vec::new();
    let mut compare = |check: &str, stored: String, computed: String| {
        if stored != computed {
            let check = format!("announcement {number} {check}");
            found.push(Difference { account: account.clone(), check, stored, computed });
        }
    };
    let to_seq = match serde_json::from_slice::<Event>(&announcement.body) {
        Ok(Event { tenant, subject, data }) => {
            compare("is about its account", format!("{tenant}/{subject}"), account.clone());
            if let Some(before) = before {
                compare("begins after the one before", data.from_seq.to_string(), before.saturating_add(1).to_string());
            }
            let announced: Vec<i64> = data.entries.iter().map(|line| line.seq).collect();
            let whole = announced.iter().copied().eq(data.from_seq..=data.to_seq);
            compare("names every entry of its range", whole.to_string(), true.to_string());
            if let Some(last) = data.entries.last() {
                compare("ends with its balance", data.balance.clone(), last.balance_after.clone());
            }
            said.extend(data.entries.iter().map(|line| Said { account_id, seq: line.seq, line: line.text() }));
            Some(data.to_seq).filter(|_| announcement.is_young)
        }
        Err(error) => {
            compare("can be read", error.to_string(), "a balance.changed of the contract".to_owned());
            None
        }
    };
    *standing = Some(Standing { account_id, account, last_seq, to_seq });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(account_id: i64, number: i64, range: (i64, i64), last_seq: i64) -> Announcement {
        let line = |seq: i64| {
            serde_json::json!({"seq": seq, "kind": "granted", "direction": "in", "amount": "1", "balance_after": seq.to_string(),
                "held_change": "0", "frozen_change": "0", "debt_change": "0"})
        };
        let body = serde_json::json!({"tenant": "acme", "subject": "anna", "data": {"balance": range.1.to_string(),
            "from_seq": range.0, "to_seq": range.1, "entries": (range.0..=range.1).map(line).collect::<Vec<_>>()}});
        let (tenant, account) = ("acme".to_owned(), "anna".to_owned());
        Announcement { account_id, number, tenant, account, last_seq, is_young: true, body: body.to_string().into_bytes() }
    }

    fn checks(announcements: &[Announcement]) -> (Vec<String>, usize) {
        let (mut standing, mut said, mut found) = (None, Vec::new(), Vec::new());
        for announcement in announcements {
            found.extend(follow(&mut standing, announcement, &mut said));
        }
        found.extend(standing.as_ref().and_then(unannounced));
        (found.into_iter().map(|difference| difference.check).collect(), said.len())
    }

    #[test]
    fn ranges_that_follow_one_another_have_nothing_to_tell() {
        assert_eq!(checks(&[announcement(1, 1, (1, 2), 5), announcement(1, 3, (3, 5), 5)]), (Vec::new(), 5));
    }

    #[test]
    fn the_oldest_may_be_gone() {
        assert_eq!(checks(&[announcement(1, 3, (3, 5), 5)]), (Vec::new(), 3));
        let old = Announcement { is_young: false, ..announcement(1, 1, (1, 2), 8) };
        assert_eq!(checks(&[old.clone(), announcement(1, 6, (7, 8), 8)]), (Vec::new(), 4));
        assert_eq!(checks(&[old]), (Vec::new(), 2));
    }

    #[test]
    fn a_gap_and_an_unannounced_end_are_told() {
        let (found, _) = checks(&[announcement(1, 1, (1, 2), 6), announcement(1, 3, (4, 5), 6)]);
        assert_eq!(found, ["announcement 3 begins after the one before", "the last announcement ends at the last entry"]);
    }

    #[test]
    fn a_body_that_is_no_event_is_told_once() {
        let spoilt = Announcement { body: b"{".to_vec(), ..announcement(1, 2, (3, 4), 6) };
        let (found, _) = checks(&[announcement(1, 1, (1, 2), 6), spoilt, announcement(1, 3, (5, 6), 6)]);
        assert_eq!(found, ["announcement 2 can be read"]);
    }
}
