//! The rate card: what one unit of a meter costs (semantics §4).
//!
//! Owns matching and pricing. A card that could match two rates equally well cannot be made.

use super::credits::{Credits, Overflow, SCALE_MAX};
use super::ids::Id;
use super::settings::Insufficient;
use std::collections::BTreeMap;

/// The price of a meter for some dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// What is counted.
    pub meter: Id,
    /// Values the event must show; empty: any.
    pub dimensions: BTreeMap<String, String>,
    /// Credits for `per` units.
    pub price: Credits,
    /// Units the price is for; 1 by default.
    pub per: Credits,
    /// The least an event costs, unless its quantity is 0.
    pub minimum: Credits,
    /// Decimal places the result is rounded up to; 0 to 6.
    pub scale: u32,
    /// What happens when credits do not suffice; absent: the tenant's policy.
    pub insufficient: Option<Insufficient>,
}

impl Rate {
    /// `⌈max(minimum, quantity × price / per)⌉` at `scale`; 0 for quantity 0.
    ///
    /// # Errors
    /// [`Overflow`] when the price leaves the bounds of an amount.
    pub fn credits(&self, quantity: Credits) -> Result<Credits, Overflow> {
        if quantity.is_zero() {
            return Ok(Credits::ZERO);
        }
        let scale = self.scale.min(SCALE_MAX);
        let priced = Credits::price_up(quantity, self.price, self.per, scale)?;
        Ok(priced.max(self.minimum.round_up(scale)?))
    }

    fn matches(&self, dimensions: &BTreeMap<String, String>) -> bool {
        self.dimensions.iter().all(|(name, value)| dimensions.get(name) == Some(value))
    }

    /// Both could match one event and neither says more than the other.
    fn clashes(&self, other: &Self) -> bool {
        self.meter == other.meter
            && self.dimensions.len() == other.dimensions.len()
            && self.dimensions.iter().all(|(name, value)| other.dimensions.get(name).is_none_or(|others| others == value))
    }
}

/// Two rates of a card could match one event equally well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rates {first} and {second} of meter {meter} can both match one event and neither is more specific")]
pub struct Ambiguous {
    /// The meter.
    pub meter: Id,
    /// Position of the one, from 1.
    pub first: usize,
    /// Position of the other.
    pub second: usize,
}

/// All rates of a catalog version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateCard {
    rates: BTreeMap<Id, Vec<Rate>>,
}

impl RateCard {
    /// Makes a card whose most specific match is always one.
    ///
    /// # Errors
    /// [`Ambiguous`] names the two rates.
    pub fn new(rates: Vec<Rate>) -> Result<Self, Ambiguous> {
        for (index, rate) in rates.iter().enumerate() {
            let clash = rates.iter().enumerate().skip(index).skip(1).find(|(_, other)| rate.clashes(other));
            if let Some((other, _)) = clash {
                let position = |index: usize| index.saturating_add(1);
                return Err(Ambiguous { meter: rate.meter.clone(), first: position(index), second: position(other) });
            }
        }
        let mut card = Self::default();
        for rate in rates {
            card.rates.entry(rate.meter.clone()).or_default().push(rate);
        }
        Ok(card)
    }

    /// The most specific rate for an event; `None` when the meter is not priced for it.
    #[must_use]
    pub fn rate(&self, meter: &Id, dimensions: &BTreeMap<String, String>) -> Option<&Rate> {
        self.rates.get(meter)?.iter().filter(|rate| rate.matches(dimensions)).max_by_key(|rate| rate.dimensions.len())
    }

    /// Every rate.
    pub fn iter(&self) -> impl Iterator<Item = &Rate> {
        self.rates.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(dimensions: &[(&str, &str)], price: &str, per: &str, minimum: &str, scale: u32) -> Rate {
        let amount = |text| Credits::parse(text).unwrap();
        Rate {
            meter: Id::new("image").unwrap(),
            dimensions: map(dimensions),
            price: amount(price),
            per: amount(per),
            minimum: amount(minimum),
            scale,
            insufficient: None,
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn prices_round_up_once_at_their_scale() {
        for (price, per, minimum, scale, quantity, credits) in [
            ("2", "1", "0", 6, "3", "6"),
            ("1", "1000", "0", 6, "1", "0.001"),
            ("1", "3", "0", 2, "1", "0.34"),
            ("1", "3", "0", 0, "1", "1"),
            ("1", "3", "0.5", 2, "1", "0.5"),
            ("1", "3", "0.505", 2, "1", "0.51"),
            ("2", "1", "5", 6, "0", "0"),
        ] {
            let priced = rate(&[], price, per, minimum, scale).credits(Credits::parse(quantity).unwrap());
            assert_eq!(priced, Ok(Credits::parse(credits).unwrap()), "{quantity} × {price} / {per}");
        }
    }

    #[test]
    fn the_most_specific_match_wins() {
        let card = RateCard::new(vec![
            rate(&[], "1", "1", "0", 6),
            rate(&[("size", "large")], "4", "1", "0", 6),
            rate(&[("size", "large"), ("model", "pro")], "9", "1", "0", 6),
        ])
        .unwrap();
        let price = |dimensions: &[(&str, &str)]| card.rate(&Id::new("image").unwrap(), &map(dimensions)).unwrap().price.to_string();
        assert_eq!(price(&[]), "1");
        assert_eq!(price(&[("size", "large"), ("model", "lite")]), "4");
        assert_eq!(price(&[("size", "large"), ("model", "pro"), ("seed", "1")]), "9");
        assert!(card.rate(&Id::new("video").unwrap(), &map(&[])).is_none());
    }

    #[test]
    fn a_card_that_could_match_twice_is_refused() {
        let clash = RateCard::new(vec![rate(&[("size", "large")], "1", "1", "0", 6), rate(&[("model", "pro")], "2", "1", "0", 6)]);
        assert_eq!(clash.unwrap_err().to_string(), "rates 1 and 2 of meter image can both match one event and neither is more specific");
        assert!(RateCard::new(vec![rate(&[("size", "large")], "1", "1", "0", 6), rate(&[("size", "small")], "2", "1", "0", 6)]).is_ok());
    }
}
