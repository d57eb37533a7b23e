//! What a user may write where an image is wanted.
//!
//! ```text
//! [docker.io/][library/]name[:tag][@digest]     host[:port]/repo…[:tag][@digest]
//! oci:DIR[:tag]      oci-archive:FILE[:tag]      docker-archive:FILE[:name:tag]
//! ```
//!
//! The grammar of names is Docker's: the first part is a host when it has a dot, a colon or an upper-case letter, or is
//! `localhost`; without a host the image is on Docker Hub, below `library/` when its name has one part. What comes out
//! is complete: [`fmt::Display`] prints the long form, which parses to the same value and serves as the key in the store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::digest::{Digest, DigestError};

const HUB: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const LONGEST_NAME: usize = 255;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// An image in a registry.
    Registry(Name),
    /// A directory with an OCI image layout.
    Layout(Local),
    /// A tar file with an OCI image layout.
    OciArchive(Local),
    /// A tar file written by `docker save`.
    DockerArchive(Local),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// An image in a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local {
    path: PathBuf,
    tag: Option<String>,
}

/// Text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("image reference is empty")]
    Empty,
    /// The host part is no host.
    #[error("image reference {0:?} has a bad registry host {1:?}")]
    Host(String, String),
    /// A part of the name has a character it may not have.
    #[error(
        "image reference {0:?} has a bad name part {1:?}: lower-case letters and digits, separated by one of . _ __ or dashes"
    )]
    Part(String, String),
    /// The name is longer than registries take.
    #[error("image reference {0:?} is longer than 255 characters")]
    Long(String),
    /// The tag is no tag.
    #[error(
        "image reference {0:?} has a bad tag {1:?}: at most 128 letters, digits, dots, dashes and underscores"
    )]
    Tag(String, String),
    /// The digest is no digest.
    #[error("image reference {0:?} has a bad digest")]
    Digest(String, #[source] DigestError),
    /// A local reference without a path.
    #[error("image reference {0:?} names no file or directory")]
    Path(String),
}

impl Reference {
    /// Parses what a user wrote.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            return Ok(Self::Layout(Local::parse(text, rest, last_tag(rest))?));
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            return Ok(Self::OciArchive(Local::parse(text, rest, last_tag(rest))?));
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            return Ok(Self::DockerArchive(Local::parse(text, rest, rest.split_once(':'))?));
        }
        Name::parse(text).map(Self::Registry)
    }

    /// The registry name, when it is one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Registry(name) => Some(name),
            Self::Layout(_) | Self::OciArchive(_) | Self::DockerArchive(_) => None,
        }
    }

    /// The short form that people write: without `docker.io/library/`.
    pub fn familiar(&self) -> String {
        let text = self.to_string();
        let text = text
            .strip_prefix("docker.io/")
            .map_or(text.as_str(), |t| t.strip_prefix("library/").unwrap_or(t));
        text.to_owned()
    }
}

impl Local {
    /// `path` with an optional tag, not taken from text.
    pub fn new(path: impl Into<PathBuf>, tag: Option<String>) -> Self {
        Self { path: path.into(), tag }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which image in it, when it has several.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    fn parse(whole: &str, rest: &str, split: Option<(&str, &str)>) -> Result<Self, ReferenceError> {
        let (path, tag) = split.map_or((rest, None), |(path, tag)| (path, Some(tag)));
        if path.is_empty() {
            return Err(ReferenceError::Path(whole.to_owned()));
        }
        if let Some(tag) = tag.filter(|t| t.is_empty()) {
            return Err(ReferenceError::Tag(whole.to_owned(), tag.to_owned()));
        }
        Ok(Self { path: path.into(), tag: tag.map(str::to_owned) })
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
    }
}

/// The last colon starts a tag unless a slash follows it.
fn last_tag(rest: &str) -> Option<(&str, &str)> {
    rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))
}

impl Name {
    fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest =
                    Digest::parse(digest).map_err(|err| ReferenceError::Digest(text.to_owned(), err))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = last_tag(rest).map_or((rest, None), |(name, tag)| (name, Some(tag)));
        if let Some(tag) = tag.filter(|t| !is_tag(t)) {
            return Err(ReferenceError::Tag(text.to_owned(), tag.to_owned()));
        }
        let (host, path) = split_host(name);
        if !is_host(&host) {
            return Err(ReferenceError::Host(text.to_owned(), host));
        }
        if let Some(part) = path.split('/').find(|p| !is_part(p)) {
            return Err(ReferenceError::Part(text.to_owned(), part.to_owned()));
        }
        let repository =
            if host == HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if host.len() + 1 + repository.len() > LONGEST_NAME {
            return Err(ReferenceError::Long(text.to_owned()));
        }
        let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None }).map(str::to_owned);
        Ok(Self { host, repository, tag, digest })
    }

    /// The registry's host, with its port if one was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path below the host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; never missing together with the digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest the image must have.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the host is this machine, so that plain HTTP cannot be overheard.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => self.host.split(':').next().unwrap_or(&self.host),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// The host and the rest, Docker Hub's when the first part is no host.
fn split_host(name: &str) -> (String, &str) {
    let is_host = |part: &str| {
        part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|b| b.is_ascii_uppercase())
    };
    match name.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", path)) => (HUB.to_owned(), path),
        Some((host, path)) if is_host(host) => (host.to_owned(), path),
        Some(_) | None => (HUB.to_owned(), name),
    }
}

fn is_host(host: &str) -> bool {
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
        Some((address, port)) => {
            let port = port.strip_prefix(':').unwrap_or("");
            return address.parse::<std::net::Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok();
        }
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Runs of lower-case letters and digits with one separator between two of them: `.`, `_`, `__` or any number of dashes.
fn is_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !part.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'_' | b'-')) {
        return false;
    }
    let separators = part.split(|c: char| c.is_ascii_alphanumeric()).filter(|s| !s.is_empty());
    let mut separators = separators.into_iter();
    let ends_in_words =
        part.bytes().next().is_some_and(is_word) && part.bytes().next_back().is_some_and(is_word);
    ends_in_words && separators.all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => write!(f, "{name}"),
            Self::Layout(local) => write!(f, "oci:{local}"),
            Self::OciArchive(local) => write!(f, "oci-archive:{local}"),
            Self::DockerArchive(local) => write!(f, "docker-archive:{local}"),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests;
