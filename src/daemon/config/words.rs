//! Words of the configuration file that need more than a type: paths, names, sizes, ports.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::model::{network::Protocol, resources::HostPort, size};

/// An absolute path.
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let path = PathBuf::from(&text);
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            Err(D::Error::custom(format!("{text:?} is not an absolute path")))
        }
    }
}

/// A path of cgroups below the root of each hierarchy.
pub(super) struct CgroupName(pub(super) String);

impl<'de> Deserialize<'de> for CgroupName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let is_name = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if text.split('/').all(is_name) {
            Ok(Self(text))
        } else {
            let why = "letters, digits, '-', '_' and '.', in parts separated by '/'";
            Err(D::Error::custom(format!("{text:?} is not the name of a cgroup: {why}")))
        }
    }
}

/// Twelve digits.
pub(super) struct Account(pub(super) String);

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom(format!("{text:?} is not an account: twelve digits")))
        }
    }
}

/// A group of this host: its number, or its name in `/etc/group`.
pub(super) struct Group(pub(super) u32);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = match NumberOrText::deserialize(from)? {
            NumberOrText::Number(gid) => {
                let bad = || D::Error::custom(format!("{gid} is not the number of a group"));
                return u32::try_from(gid).map(Self).map_err(|_| bad());
            }
            NumberOrText::Text(name) => name,
        };
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        gid_of(&groups, &name).map(Self).ok_or_else(|| {
            D::Error::custom(format!("{name:?} is not a group in /etc/group: groupadd {name}"))
        })
    }
}

/// The number of a group in the text of `/etc/group`.
fn gid_of(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

/// Bytes: a number, or a text such as `10m`.
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => size::bytes(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format!("{text:?} is not a size: a number of bytes, or one with k, m or g"))
            }),
        }
    }
}

/// A port of the host: `22`, `"22/tcp"` or `"53/udp"`.
pub(super) struct Port(pub(super) HostPort);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = match NumberOrText::deserialize(from)? {
            NumberOrText::Number(port) => port.to_string(),
            NumberOrText::Text(text) => text,
        };
        let (port, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let protocol = match protocol {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        };
        let port = port.parse().ok().filter(|&port: &u16| port > 0);
        protocol.zip(port).map(Self).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a port such as 22, \"22/tcp\" or \"53/udp\""))
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a text")]
enum NumberOrText {
    Number(u64),
    Text(String),
}
