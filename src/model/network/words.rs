//! Words of the network that come in as text: a subnet, a hardware address, the name of an interface.
//!
//! Each is checked once, where it comes in, and is then what it says.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network in CIDR notation. Host bits are cleared when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

/// Why a text is not a [`Subnet`], a [`Mac`] or a [`LinkName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkWordError {
    /// Not `a.b.c.d/prefix`.
    #[error("'{0}' is not an IPv4 network like 10.88.0.0/16")]
    Subnet(String),
    /// Not six pairs of hexadecimal digits.
    #[error("'{0}' is not a hardware address like 02:68:0a:58:00:02")]
    Mac(String),
    /// Not something the kernel takes as the name of an interface.
    #[error("'{0}' is not an interface name: 1 to 15 characters of a-z, A-Z, 0-9, '-', '_' and '.'")]
    LinkName(String),
}

impl Subnet {
    /// The network that holds `address`, or `None` when the prefix is longer than 32 bits.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        Some(Self { network: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix })
    }

    /// The network's own address, the lowest.
    #[must_use]
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// How many bits name the network.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The network mask as an address.
    #[must_use]
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// The first host address, held by the bridge.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits().saturating_add(1))
    }

    /// The highest address, the directed broadcast.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.prefix))
    }

    /// Whether `address` lies in this network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// Whether the two networks share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        (self.network.to_bits() ^ other.network.to_bits()) & mask(shorter) == 0
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = NetworkWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NetworkWordError::Subnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().map_err(|_| wrong())?;
        Self::new(address, prefix).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Subnet {
    type Error = NetworkWordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address made of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// A locally administered address derived from an IPv4 address, so that a neighbour's cache stays true when an
    /// address passes from one task to the next.
    #[must_use]
    pub const fn for_address(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x68, a, b, c, d])
    }

    /// The six bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(out, "{}{byte:02x}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = NetworkWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NetworkWordError::Mac(text.to_owned());
        let pairs: Vec<&str> = text.split(':').collect();
        let mut bytes = [0; 6];
        if pairs.len() != bytes.len() || pairs.iter().any(|pair| pair.len() != 2) {
            return Err(wrong());
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = NetworkWordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// The name of a network interface: what the kernel takes, and nothing that a path or a shell could misread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LinkName(String);

impl LinkName {
    /// The longest name the kernel takes.
    pub const MAX: usize = 15;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, NetworkWordError> {
        let fits = (1..=Self::MAX).contains(&text.len()) && text != "." && text != "..";
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(NetworkWordError::LinkName(text.to_owned()))
        }
    }

    /// The host's end of a task's interface: `hy` and the first thirteen digits of a task id, so that a person finds
    /// the task; of any other text, thirteen digits of its hash.
    #[must_use]
    pub fn for_task(task: &str) -> Self {
        let is_id = task.len() >= 13 && task.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return Self(format!("hy{}", &task[..13].to_ascii_lowercase()));
        }
        Self(format!("hy{:013x}", fnv(task.as_bytes()) >> 12))
    }

    /// The host's end of an interface that was made before its task was known: `hyr` and its address.
    #[must_use]
    pub fn for_address(address: Ipv4Addr) -> Self {
        Self(format!("hyr{:08x}", address.to_bits()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Fowler, Noll and Vo's hash, variant 1a: small, and the same on every machine and in every release.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl fmt::Display for LinkName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for LinkName {
    type Error = NetworkWordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}
