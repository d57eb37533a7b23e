//! Steps as the end of a sentence, for errors and for golden files.

use std::ffi::CStr;
use std::fmt;

use super::{
    CapabilitySets, FsOption, Mount, Node, NodeKind, Remount, Request, RootMount, RootWhat, Step, What,
};
use crate::kernel::mount::{Attributes, Propagation};
use crate::kernel::namespace::Namespaces;
use crate::kernel::security::CapabilitySet;

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
            Self::Ask(Request::MapUsers) => f.write_str("have the users of the user namespace mapped"),
            Self::Ask(Request::NetDevices) => f.write_str("have network devices brought"),
            Self::Ask(Request::RuntimeHooks) => f.write_str("have the hooks of the runtime run"),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::TimeOffsets(lines) => {
                write!(f, "set the clocks' offsets to {}", text(lines).trim_end().replace('\n', ", "))
            }
            Self::ContainerHooks => f.write_str("run the createContainer hooks"),
            Self::Label(what, _, label) => write!(f, "set the {what} to {}", text(label)),
            Self::Personality(persona) => write!(f, "set the personality to {persona:#x}"),
            Self::Scheduler(wanted) => write!(f, "set the scheduler to policy {}", wanted.policy),
            Self::IoPriority(value) => {
                write!(f, "set the I/O priority to class {} level {}", value >> 13, value & 0x1fff)
            }
            Self::MemoryPolicy(mode, _) => write!(f, "set the memory policy to {mode:#x}"),
            Self::Affinity(_) => f.write_str("keep to the processors asked for"),
            Self::HostName(name) => write!(f, "set the host name to {}", text(name)),
            Self::DomainName(name) => write!(f, "set the domain name to {}", text(name)),
            Self::Sysctl(name, _, value) => write!(f, "set {name} to {:?}", text(value)),
            Self::HostPropagation(kind) => write!(f, "make the host's mounts {}", propagation(*kind)),
            Self::FindNull => f.write_str("find the null device at /dev/null"),
            Self::MountRoot(root) => root.fmt(f),
            Self::Mount(mount) => mount.fmt(f),
            Self::Remount(remount) => remount.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Link(to, dir, name) => write!(f, "link {}/{} to {}", text(dir), text(name), text(to)),
            Self::Directory(path) => write!(f, "make directory {}", text(path)),
            Self::Mask(path) => write!(f, "mask {}", text(path)),
            Self::ReadOnly(path) => write!(f, "make {} read-only", text(path)),
            Self::Attributes(path, attributes) => write!(f, "make the mount {} {attributes}", text(path)),
            Self::ChangeRoot(_) => f.write_str("enter the root filesystem within the same mounts"),
            Self::Pivot => f.write_str("enter the root filesystem"),
            Self::MoveRoot(_) => f.write_str("enter the root filesystem by moving it"),
            Self::RootPropagation(kind, deep) => {
                write!(f, "make the root mount {}{}", deep_prefix(*deep), propagation(*kind))
            }
            Self::Terminal(_) => f.write_str("make a terminal"),
            Self::CloseInherited(_) => f.write_str("close inherited descriptors"),
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
            Self::Capabilities(sets) => write!(f, "set the capabilities to {sets}"),
            Self::NoNewPrivileges => f.write_str("set no_new_privs"),
            Self::Filter(filter) => {
                write!(f, "load the system call filter of {} instructions", filter.length())
            }
        }
    }
}

impl fmt::Display for CapabilitySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (effective, permitted) = (list(self.effective), list(self.permitted));
        let (inheritable, ambient) = (list(self.inheritable), list(self.ambient));
        write!(
            f,
            "effective {effective}, permitted {permitted}, inheritable {inheritable}, ambient {ambient}"
        )
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
            RootWhat::Prepared(number) => write!(f, "mount source {number} as the root filesystem")?,
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
            What::Prepared(number) => write!(f, "mount source {number} on {}", text(&self.at))?,
            What::Bind(from, deep) => {
                write!(f, "{}bind {} on {}", deep_prefix(*deep), text(from), text(&self.at))?;
            }
        }
        write_attributes(f, self.attributes, "")?;
        write_attributes(f, self.recursive, "all ")?;
        if self.copies_up {
            f.write_str(", with a copy of what is there")?;
        }
        if let Some(keeping) = self.keeping {
            f.write_str(if keeping.versions { ", counting versions" } else { ", not counting versions" })?;
        }
        write_propagation(f, self.propagation)
    }
}

impl fmt::Display for Remount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remount {}", text(&self.at))?;
        write_options(f, &self.options)?;
        write_attributes(f, self.attributes, "")?;
        write_attributes(f, self.recursive, "all ")?;
        write_propagation(f, self.propagation)
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

fn write_propagation(f: &mut fmt::Formatter<'_>, wanted: Option<(Propagation, bool)>) -> fmt::Result {
    match wanted {
        Some((kind, deep)) => write!(f, ", {}{}", deep_prefix(deep), propagation(kind)),
        None => Ok(()),
    }
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
