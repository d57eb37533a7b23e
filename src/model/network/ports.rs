//! A row of ports as it is written: `7000-7002`, both ends included.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Ports in a row, at least one. Written `first-last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A text that is no [`PortRange`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of ports")]
pub struct PortRangeError(pub String);

impl PortRange {
    /// `count` ports from `first` on, as far as there are ports. None when that is not a single one.
    #[must_use]
    pub fn starting(first: u16, count: u16) -> Option<Self> {
        let last = first.saturating_add(count.checked_sub(1)?);
        (first > 0).then_some(Self { first, last })
    }

    /// The first port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u16 {
        // From 1 to 65535 at most, so the sum fits.
        self.last - self.first + 1
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |text: &str| text.trim().parse::<u16>().ok();
        let ends = text.split_once('-').and_then(|(first, last)| port(first).zip(port(last)));
        match ends {
            Some((first, last)) if 0 < first && first <= last => Ok(Self { first, last }),
            Some(_) | None => Err(PortRangeError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortRangeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reads_as_it_is_written() {
        let range: PortRange = "7000-7002".parse().unwrap();
        assert_eq!((range.first(), range.count(), range.to_string().as_str()), (7000, 3, "7000-7002"));
        assert_eq!(PortRange::starting(7000, 3), Some(range));
        assert_eq!("1-65535".parse::<PortRange>().unwrap().count(), u16::MAX);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "7000", "9-1", "0-4", "1-65536", "a-b", "1-2-3"] {
            assert_eq!(text.parse::<PortRange>(), Err(PortRangeError(text.to_owned())));
        }
        assert_eq!(PortRange::starting(80, 0), None);
    }
}
