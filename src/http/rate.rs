//! How often one source may ask.
//!
//! Owns a token bucket for each source, as the one instant at which it would be full again. Bounded: the
//! sources that asked longest ago are forgotten first, which gives them a full bucket.

use hashlink::LruCache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sources that are remembered.
const SOURCES_MAX: usize = 4096;

/// A rate with a burst, for each source.
#[derive(Debug)]
pub struct Rate {
    every: Duration,
    /// The time in which an empty bucket fills.
    full: Duration,
    filled_at: Mutex<LruCache<IpAddr, Instant>>,
}

impl Rate {
    /// So many requests a second, and so many at once; both above zero.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1).checked_div(per_second).unwrap_or(Duration::from_secs(1));
        Self { every, full: every.saturating_mul(burst), filled_at: Mutex::new(LruCache::new(SOURCES_MAX)) }
    }

    /// Takes a request from `source`.
    ///
    /// # Errors
    /// The time until it would be taken. What is refused costs nothing.
    pub fn take(&self, source: IpAddr, now: Instant) -> Result<(), Duration> {
        let source = network(source);
        // What a panic left behind is a list of instants.
        let mut filled_at = self.filled_at.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = filled_at.get(&source).copied().unwrap_or(now).max(now) + self.every;
        let over = filled.duration_since(now).saturating_sub(self.full);
        if over.is_zero() {
            filled_at.insert(source, filled);
            return Ok(());
        }
        Err(over)
    }
}

/// Who has one address of IPv6 has the 64 bits behind it.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn b63_a_burst_then_the_rate() {
        let rate = Rate::new(10, 3);
        let (one, now) = (address("192.0.2.1"), Instant::now());
        let taken = |after: u64| rate.take(one, now + Duration::from_millis(after)).is_ok();
        assert_eq!([taken(0), taken(0), taken(0), taken(0)], [true, true, true, false]);
        assert_eq!(rate.take(one, now), Err(Duration::from_millis(100)));
        assert_eq!([taken(99), taken(100), taken(100), taken(200)], [false, true, false, true]);
        assert_eq!([taken(9000), taken(9000), taken(9000), taken(9000)], [true, true, true, false]);
    }

    #[test]
    fn sources_are_apart_and_a_network_is_one() {
        let rate = Rate::new(1, 1);
        let now = Instant::now();
        let taken = |source: &str| rate.take(address(source), now).is_ok();
        assert!(taken("192.0.2.1") && taken("192.0.2.2") && !taken("192.0.2.1") && !taken("::ffff:192.0.2.1"));
        assert!(taken("2001:db8::1") && !taken("2001:db8::2") && taken("2001:db8:0:1::1"));
    }

    #[test]
    fn memory_is_bounded() {
        let rate = Rate::new(1, 1);
        let now = Instant::now();
        for number in 0..10_000_u32 {
            assert_eq!(rate.take(IpAddr::V4(number.into()), now), Ok(()));
        }
        assert_eq!(rate.filled_at.lock().unwrap().len(), SOURCES_MAX);
    }
}
