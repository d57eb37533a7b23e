//! What the child does between clone and exec, as a list.
//!
//! [`plan`] turns a checked bundle and a few facts about the host into steps: the same ones for the same input, no
//! system call made. A list can be printed, compared and tested without root. Every string a step needs is in the
//! form the kernel takes before the child exists, so running the list (`init`) allocates nothing.
//!
//! A step reads as the end of the sentence "could not …", because that is what the user sees when it fails.

mod attributes;
mod display;
mod host;
mod label;
mod mounts;
mod namespaces;
mod nodes;
mod options;
mod plan;
mod process;
mod remount;
mod root;

use std::ffi::CString;

pub(in crate::runtime) use attributes::{affinity, labels, surroundings};
pub use attributes::{has_apparmor, has_selinux};
pub use host::{Host, MAKE_NODES};
pub use mounts::MountPlanError;
pub use namespaces::Users;
pub use options::mount_options;
pub use plan::{Manner, Plan, PlanError, Setting, plan};
pub use process::{Program, early as early_steps, process_steps};
pub(in crate::runtime) use process::{filter_of, terminal_of};

use crate::kernel::mapping::Mappings;
use crate::kernel::mount::{Attributes, Keeping, Propagation};
use crate::kernel::namespace::Namespaces;
use crate::kernel::process::{Processors, Scheduling};
use crate::kernel::security::seccomp::Filter;
use crate::kernel::security::{CapabilitySet, Limit};
use crate::kernel::terminal::Size;

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
    /// Wait for something that only the parent can do.
    Ask(Request),
    /// Become the root of the user namespace.
    BecomeRoot,
    /// Set the offsets of the clocks of a new time namespace.
    TimeOffsets(CString),
    /// Run the hooks within the container.
    ContainerHooks,
    /// Set what the next program is confined to, by a file of /proc: what it is called, file, text.
    Label(&'static str, CString, CString),
    /// Set the personality.
    Personality(u32),
    /// Set the scheduler.
    Scheduler(Box<Scheduling>),
    /// Set the I/O priority.
    IoPriority(i32),
    /// Say where memory comes from: mode and nodes.
    MemoryPolicy(i32, Option<Processors>),
    /// Keep to some processors.
    Affinity(Processors),
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
    /// Change what is mounted within the root.
    Remount(Box<Remount>),
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
    /// The same for this process alone, where the mounts are others' as well; or make a directory the root.
    ChangeRoot(Option<CString>),
    /// The same where the host's root cannot be pivoted from: take these mounts away, move the root there, change root.
    MoveRoot(Vec<CString>),
    /// Set how mounts within the root hear of others.
    RootPropagation(Propagation, bool),
    /// Make a new terminal the process's own, in place of its standard streams.
    Terminal(Terminal),
    /// Close every descriptor but the standard three, as many after them, and those to the parent.
    CloseInherited(u32),
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
    /// Have system calls filtered from here on.
    Filter(Box<Filter>),
}

/// A terminal for the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its size, if one is asked for.
    pub size: Option<Size>,
    /// The user it belongs to.
    pub owner: u32,
    /// Whether it is mounted on `/dev/console`.
    pub is_console: bool,
}

/// What a child asks of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To give its user namespace users, and itself what needs rights over the host.
    MapUsers,
    /// To give it network devices of the host.
    NetDevices,
    /// To run the hooks that run where the runtime does.
    RuntimeHooks,
}

/// A network device of the host for the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub name: String,
    /// Its name in the container.
    pub as_name: String,
}

/// A mount that the parent makes ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The member of the specification it comes from.
    pub member: String,
    /// What it is.
    pub what: SourceWhat,
    /// The users it is mapped to, and whether those below it are as well.
    pub mapped: Option<(Mappings, bool)>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceWhat {
    /// A file or directory of the host, and whether with the mounts below it.
    Tree(CString, bool),
    /// Layers, one by one.
    Overlay(Vec<FsOption>),
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
    /// The parent's source with this number.
    Prepared(usize),
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
    /// Whether what is at the place is copied into it first.
    pub copies_up: bool,
    /// How the filesystem keeps what is written, where that is not left to it.
    pub keeping: Option<Keeping>,
}

/// A change of what is mounted within the root.
#[derive(Debug, Clone, PartialEq)]
pub struct Remount {
    /// Where, from the root.
    pub at: CString,
    /// Options of the filesystem.
    pub options: Vec<FsOption>,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and of those below it.
    pub recursive: Attributes,
    /// How it hears of others, and whether that holds below it.
    pub propagation: Option<(Propagation, bool)>,
    /// The numbers of filesystems that the host has mounted too, whose options are the host's.
    pub of_host: Vec<u64>,
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
    /// The parent's source with this number.
    Prepared(usize),
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

#[cfg(test)]
mod tests;
