//! Mount options: attributes, propagation, and what is left for the filesystem.

use crate::kernel::mount::{Attributes, Propagation};

/// Attributes; with an `r` before its name, each is for the mounts below as well.
const ATTRIBUTES: [(&str, Attributes); 18] = [
    ("ro", Attributes::READ_ONLY),
    ("rw", Attributes::READ_ONLY.inverse()),
    ("nosuid", Attributes::NO_SUID),
    ("suid", Attributes::NO_SUID.inverse()),
    ("nodev", Attributes::NO_DEV),
    ("dev", Attributes::NO_DEV.inverse()),
    ("noexec", Attributes::NO_EXEC),
    ("exec", Attributes::NO_EXEC.inverse()),
    ("nosymfollow", Attributes::NO_SYMFOLLOW),
    ("symfollow", Attributes::NO_SYMFOLLOW.inverse()),
    ("nodiratime", Attributes::NO_DIRATIME),
    ("diratime", Attributes::NO_DIRATIME.inverse()),
    ("relatime", Attributes::RELATIME),
    ("atime", Attributes::RELATIME),
    ("nostrictatime", Attributes::RELATIME),
    ("noatime", Attributes::NO_ATIME),
    ("strictatime", Attributes::STRICT_ATIME),
    ("norelatime", Attributes::STRICT_ATIME),
];

/// Propagation; with an `r` before its name, each holds below as well.
const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("slave", Propagation::Slave),
    ("shared", Propagation::Shared),
    ("unbindable", Propagation::Unbindable),
];

/// What is neither, and the runtime's business all the same.
const OTHERS: [&str; 11] = [
    "bind",
    "defaults",
    "idmap",
    "iversion",
    "loud",
    "noiversion",
    "rbind",
    "remount",
    "ridmap",
    "silent",
    "tmpcopyup",
];

/// What the kernel knows for any new filesystem (`vfs_parse_fs_param`).
const OF_ANY_FILESYSTEM: [&str; 7] = ["async", "dirsync", "lazytime", "mand", "nolazytime", "nomand", "sync"];

/// A mount's options, sorted by who understands them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Attributes of the mount and of all below it.
    pub recursive: Attributes,
    /// `bind` (false) or `rbind` (true).
    pub bind: Option<bool>,
    /// The propagation, and whether it holds below.
    pub propagation: Option<(Propagation, bool)>,
    /// Whether the owners of its files are mapped, and whether below it as well.
    pub mapped: Option<bool>,
    /// Whether what is at the place is copied into it first.
    pub copies_up: bool,
    /// Whether what is mounted at the place is changed, and nothing mounted.
    pub remounts: bool,
    /// Whether the filesystem counts the versions of its files; otherwise as it likes.
    pub versions: Option<bool>,
    /// For the filesystem: `key=value` or a flag.
    pub data: Vec<(String, Option<String>)>,
}

impl Options {
    /// Reads a list as it stands in a specification; later options win.
    pub(super) fn read(list: &[String]) -> Self {
        let mut out = Self::default();
        for option in list {
            out.add(option);
        }
        out
    }

    fn add(&mut self, option: &str) {
        if let Some(attributes) = attributes(option) {
            self.attributes = self.attributes.then(attributes);
        } else if let Some(attributes) = option.strip_prefix('r').and_then(attributes) {
            self.recursive = self.recursive.then(attributes);
        } else if let Some(kind) = propagation(option) {
            self.propagation = Some((kind, false));
        } else if let Some(kind) = option.strip_prefix('r').and_then(propagation) {
            self.propagation = Some((kind, true));
        } else {
            match option {
                "bind" => self.bind = Some(self.bind.unwrap_or(false)),
                "rbind" => self.bind = Some(true),
                "defaults" | "loud" | "silent" => {}
                "idmap" => self.mapped = Some(self.mapped.unwrap_or(false)),
                "ridmap" => self.mapped = Some(true),
                "tmpcopyup" => self.copies_up = true,
                "remount" => self.remounts = true,
                "iversion" => self.versions = Some(true),
                "noiversion" => self.versions = Some(false),
                other => self.data.push(match other.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (other.to_owned(), None),
                }),
            }
        }
    }

    /// Whether there is a flag of this name for the filesystem.
    pub(super) fn has_flag(&self, name: &str) -> bool {
        self.data.iter().any(|(key, value)| key == name && value.is_none())
    }
}

/// The options that are known, whatever the filesystem; all others are for the filesystem to know.
#[must_use]
pub fn mount_options() -> Vec<String> {
    let mut names = Vec::new();
    for name in ATTRIBUTES.iter().map(|(name, _)| *name).chain(PROPAGATIONS.iter().map(|(name, _)| *name)) {
        names.extend([name.to_owned(), format!("r{name}")]);
    }
    names.extend(OTHERS.iter().chain(&OF_ANY_FILESYSTEM).map(|name| (*name).to_owned()));
    names.sort_unstable();
    names
}

fn attributes(option: &str) -> Option<Attributes> {
    ATTRIBUTES.iter().find(|(name, _)| *name == option).map(|(_, attributes)| *attributes)
}

fn propagation(option: &str) -> Option<Propagation> {
    PROPAGATIONS.iter().find(|(name, _)| *name == option).map(|(_, kind)| *kind)
}
