//! What the child does between clone and exec, as a list.
//!
//! [`plan`] turns a checked bundle and a few facts about the host into steps: the same ones for the same input, no
//! system call made. A list can be printed, compared and tested without root. Every string a step needs is in the
//! form the kernel takes before the child exists, so running the list (`init`) allocates nothing.
//!
//! A step reads as the end of the sentence "could not …", because that is what the user sees when it fails.

mod host;
mod mounts;
mod options;
mod plan;
mod process;

use std::ffi::{CStr, CString};
use std::fmt;

pub use host::{Host, MAKE_NODES};
pub use mounts::MountPlanError;
pub use plan::{Plan, PlanError, plan};
pub use process::{Program, early as early_steps, process_steps};

use crate::kernel::mount::{Attributes, Propagation};
use crate::kernel::namespace::Namespaces;
use crate::kernel::security::{CapabilitySet, Limit};

/// One thing the child does.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Close this process to ptrace from the namespaces it enters.
    Undumpable,
    /// End with the process that made it.
    DieWithParent,
    /// Leave the caller's session and terminal.
    NewSession,
    /// Join a new session keyring.
    SessionKeyring,
    /// Put the three standard streams in place.
    Stdio,
    /// Set the umask.
    Umask(u32),
    /// Set how willingly the kernel kills this process.
    OomScore(i32, CString),
    /// Join a control group by its `tasks` or `cgroup.procs` file.
    JoinCgroup(CString),
    /// Join a namespace by its file.
    JoinNamespace(Namespaces, CString),
    /// Join the namespaces of the container that this process is for.
    JoinContainer(Namespaces),
    /// Make new namespaces that clone could not.
    NewNamespaces(Namespaces),
    /// Name the host.
    HostName(CString),
    /// Name the domain.
    DomainName(CString),
    /// Write a kernel parameter: name, file, value.
    Sysctl(String, CString, CString),
    /// Set how mounts of the host reach this namespace.
    HostPropagation(Propagation),
    /// Open the host's null device, for masking.
    FindNull,
    /// Mount the root filesystem.
    MountRoot(Box<RootMount>),
    /// Mount something within the root.
    Mount(Box<Mount>),
    /// Make a device node.
    Node(Box<Node>),
    /// Make a symbolic link: what it says, the directory and the name.
    Link(CString, CString, CString),
    /// Make a directory and those above it.
    Directory(CString),
    /// Hide a path.
    Mask(CString),
    /// Make a path unwritable, with all below it.
    ReadOnly(CString),
    /// Change the attributes of the mount at a path.
    Attributes(CString, Attributes),
    /// Make the root filesystem the root.
    Pivot,
    /// Set how mounts within the root hear of others.
    RootPropagation(Propagation, bool),
    /// Close every descriptor but the standard three and those to the parent.
    CloseInherited,
    /// Set a resource limit: soft, hard.
    Limit(Limit, u64, u64),
    /// Change to the working directory; before the user changes, a denial is put off.
    WorkingDirectory(CString),
    /// The same as the user the program will have.
    WorkingDirectoryAsUser(CString),
    /// Give up capabilities for good.
    DropBounding(CapabilitySet),
    /// Keep the permitted set across the change of user.
    KeepCapabilities,
    /// Set the supplementary groups.
    Groups(Vec<u32>),
    /// Set the group.
    Group(u32),
    /// Set the user.
    User(u32),
    /// Set effective, permitted, inheritable and ambient capabilities.
    Capabilities(Box<CapabilitySets>),
    /// Gain nothing by exec.
    NoNewPrivileges,
}

/// The sets that [`Step::Capabilities`] sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilitySets {
    /// What is in force.
    pub effective: CapabilitySet,
    /// What may be put in force.
    pub permitted: CapabilitySet,
    /// What can pass through exec.
    pub inheritable: CapabilitySet,
    /// What does pass through exec.
    pub ambient: CapabilitySet,
}

/// The root filesystem: where on the host, and what goes there.
#[derive(Debug, Clone, PartialEq)]
pub struct RootMount {
    /// The directory.
    pub at: CString,
    /// What is mounted on it.
    pub what: RootWhat,
    /// Attributes, apart from read-only, which comes when all else is mounted.
    pub attributes: Attributes,
}

/// What becomes the root.
#[derive(Debug, Clone, PartialEq)]
pub enum RootWhat {
    /// The directory named, with the mounts below it.
    Bind(CString),
    /// A filesystem with options one by one.
    New(CString, Vec<FsOption>),
    /// A filesystem with all options in one string.
    Classic(CString, CString),
    /// The same for an overlay of layers whose paths do not fit into that string: the layers and the other options.
    Opened(Vec<CString>, CString),
}

/// An option of a filesystem; no value means a flag.
pub type FsOption = (CString, Option<CString>);

/// A mount within the root.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    /// Where, from the root.
    pub at: CString,
    /// Whether a symbolic link on the way is refused instead of followed within the root.
    pub no_links: bool,
    /// What.
    pub what: What,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and of those below it.
    pub recursive: Attributes,
    /// How it hears of others, and whether that holds below it.
    pub propagation: Option<(Propagation, bool)>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A new filesystem; if the kernel does not permit it, the host's directory instead.
    New {
        /// Its type.
        fstype: CString,
        /// Its options.
        options: Vec<FsOption>,
        /// The host's directory to fall back on.
        or_bind: Option<CString>,
    },
    /// A file or directory of the host, and whether with the mounts below it.
    Bind(CString, bool),
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The directory, from the root.
    pub dir: CString,
    /// The name in it.
    pub name: CString,
    /// The same as one path, which is also the host's node to bind where nodes cannot be made.
    pub path: CString,
    /// Which sort.
    pub kind: NodeKind,
    /// Major and minor number.
    pub device: (u64, u64),
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// Sorts of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Unbuffered.
    Character,
    /// Buffered.
    Block,
    /// A named pipe.
    Fifo,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undumpable => f.write_str("close the process to tracing"),
            Self::DieWithParent => f.write_str("tie the process to its supervisor"),
            Self::NewSession => f.write_str("begin a session"),
            Self::SessionKeyring => f.write_str("join a session keyring"),
            Self::Stdio => f.write_str("put the standard streams in place"),
            Self::Umask(mask) => write!(f, "set the umask to {mask:04o}"),
            Self::OomScore(score, _) => write!(f, "set the out-of-memory score adjustment to {score}"),
            Self::JoinCgroup(file) => write!(f, "join the control group by {}", text(file)),
            Self::JoinNamespace(kind, path) => {
                write!(f, "join the {} namespace {}", names(*kind), text(path))
            }
            Self::JoinContainer(kinds) => write!(f, "join the container's {} namespaces", names(*kinds)),
            Self::NewNamespaces(kinds) => write!(f, "make a {} namespace", names(*kinds)),
            Self::HostName(name) => write!(f, "set the host name to {}", text(name)),
            Self::DomainName(name) => write!(f, "set the domain name to {}", text(name)),
            Self::Sysctl(name, _, value) => write!(f, "set {name} to {:?}", text(value)),
            Self::HostPropagation(kind) => write!(f, "make the host's mounts {}", propagation(*kind)),
            Self::FindNull => f.write_str("find the null device at /dev/null"),
            Self::MountRoot(root) => root.fmt(f),
            Self::Mount(mount) => mount.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Link(to, dir, name) => write!(f, "link {}/{} to {}", text(dir), text(name), text(to)),
            Self::Directory(path) => write!(f, "make directory {}", text(path)),
            Self::Mask(path) => write!(f, "mask {}", text(path)),
            Self::ReadOnly(path) => write!(f, "make {} read-only", text(path)),
            Self::Attributes(path, attributes) => write!(f, "make the mount {} {attributes}", text(path)),
            Self::Pivot => f.write_str("enter the root filesystem"),
            Self::RootPropagation(kind, deep) => {
                write!(f, "make the root mount {}{}", deep_prefix(*deep), propagation(*kind))
            }
            Self::CloseInherited => f.write_str("close inherited descriptors"),
            Self::Limit(limit, soft, hard) => write!(f, "set {} to {soft}:{hard}", limit.name()),
            Self::WorkingDirectory(path) => write!(f, "change to working directory {}", text(path)),
            Self::WorkingDirectoryAsUser(path) => {
                write!(f, "change to working directory {} as the container's user", text(path))
            }
            Self::DropBounding(set) => write!(f, "give up {}", list(*set)),
            Self::KeepCapabilities => f.write_str("keep capabilities across the change of user"),
            Self::Groups(groups) => write!(f, "set the supplementary groups to {groups:?}"),
            Self::Group(gid) => write!(f, "become group {gid}"),
            Self::User(uid) => write!(f, "become user {uid}"),
            Self::Capabilities(sets) => write!(
                f,
                "set the capabilities to effective {}, permitted {}, inheritable {}, ambient {}",
                list(sets.effective),
                list(sets.permitted),
                list(sets.inheritable),
                list(sets.ambient)
            ),
            Self::NoNewPrivileges => f.write_str("set no_new_privs"),
        }
    }
}

impl fmt::Display for RootMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            RootWhat::Bind(from) => write!(f, "bind {} as the root filesystem", text(from))?,
            RootWhat::New(fstype, list) => {
                write!(f, "mount {} as the root filesystem", text(fstype))?;
                write_options(f, list)?;
            }
            RootWhat::Classic(fstype, all) => {
                write!(f, "mount {} as the root filesystem with {}", text(fstype), text(all))?;
            }
            RootWhat::Opened(layers, rest) => {
                let (count, rest) = (layers.len(), text(rest));
                write!(f, "mount overlay as the root filesystem of {count} opened layers with {rest}")?;
            }
        }
        write_attributes(f, self.attributes, "")
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::New { fstype, options, .. } => {
                write!(f, "mount {} on {}", text(fstype), text(&self.at))?;
                write_options(f, options)?;
            }
            What::Bind(from, deep) => {
                write!(f, "{}bind {} on {}", deep_prefix(*deep), text(from), text(&self.at))?;
            }
        }
        write_attributes(f, self.attributes, "")?;
        write_attributes(f, self.recursive, "all ")?;
        match self.propagation {
            Some((kind, deep)) => write!(f, ", {}{}", deep_prefix(deep), propagation(kind)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NodeKind::Character => "character device",
            NodeKind::Block => "block device",
            NodeKind::Fifo => "pipe",
        };
        let (major, minor) = self.device;
        write!(f, "make {kind} {} {major}:{minor} mode {:04o}", text(&self.path), self.mode)?;
        match self.owner {
            (0, 0) => Ok(()),
            (uid, gid) => write!(f, " owner {uid}:{gid}"),
        }
    }
}

fn write_options(f: &mut fmt::Formatter<'_>, list: &[FsOption]) -> fmt::Result {
    for (at, (key, value)) in list.iter().enumerate() {
        f.write_str(if at == 0 { " with " } else { "," })?;
        f.write_str(&text(key))?;
        if let Some(value) = value {
            write!(f, "={}", text(value))?;
        }
    }
    Ok(())
}

fn write_attributes(f: &mut fmt::Formatter<'_>, attributes: Attributes, prefix: &str) -> fmt::Result {
    if attributes.is_none() { Ok(()) } else { write!(f, ", {prefix}{attributes}") }
}

fn deep_prefix(deep: bool) -> &'static str {
    if deep { "r" } else { "" }
}

fn propagation(kind: Propagation) -> &'static str {
    match kind {
        Propagation::Private => "private",
        Propagation::Slave => "slave",
        Propagation::Shared => "shared",
        Propagation::Unbindable => "unbindable",
    }
}

fn names(kinds: Namespaces) -> String {
    kinds.names().join(", ")
}

fn list(set: CapabilitySet) -> String {
    if set.is_empty() { "none".to_owned() } else { set.names().join(" ") }
}

fn text(string: &CStr) -> std::borrow::Cow<'_, str> {
    string.to_string_lossy()
}

#[cfg(test)]
mod tests;
