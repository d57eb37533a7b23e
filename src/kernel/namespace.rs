//! Namespaces: which kinds there are, making new ones, entering those of others.
//!
//! A namespace lives as long as a process in it or a descriptor of it. [`open`] and [`new_network`] return such
//! descriptors, and dropping the last one ends an empty namespace: nothing is left under a name on the host.

use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_file};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use crate::kernel::process::{Pid, Pidfd};

/// A set of namespace kinds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces(u32);

impl Namespaces {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Mount points.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS.cast_unsigned());
    /// Process numbers.
    pub const PID: Self = Self(libc::CLONE_NEWPID.cast_unsigned());
    /// Network devices, addresses, ports and rules.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET.cast_unsigned());
    /// System V and POSIX message queues, semaphores, shared memory.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC.cast_unsigned());
    /// Host and domain name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS.cast_unsigned());
    /// The view of control groups.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP.cast_unsigned());
    /// User and group numbers, and what capabilities are worth.
    pub const USER: Self = Self(libc::CLONE_NEWUSER.cast_unsigned());
    /// The offsets of the monotonic and boot clocks.
    pub const TIME: Self = Self(0x80);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every kind in `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no kind is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set, as the kernel's files call them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (Self::MOUNT, "mnt"),
            (Self::PID, "pid"),
            (Self::NETWORK, "net"),
            (Self::IPC, "ipc"),
            (Self::UTS, "uts"),
            (Self::CGROUP, "cgroup"),
            (Self::USER, "user"),
            (Self::TIME, "time"),
        ];
        all.into_iter().filter(|(kind, _)| self.contains(*kind)).map(|(_, name)| name).collect()
    }

    pub(in crate::kernel) const fn bits(self) -> u64 {
        self.0 as u64
    }

    fn flags(self) -> CloneFlags {
        CloneFlags::from_bits_retain(self.0.cast_signed())
    }
}

impl BitOr for Namespaces {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// Why a namespace could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// No thread to make it in.
    #[error("start a thread for a new namespace")]
    Thread(#[source] std::io::Error),
    /// The kernel refused.
    #[error("make a namespace of the kind {kind}")]
    Make {
        /// Which kind.
        kind: String,
        /// Why.
        source: Errno,
    },
}

/// Moves this process (this thread, for all kinds but pid and time) into new namespaces.
pub fn make(kinds: Namespaces) -> Result<(), Errno> {
    unshare(kinds.flags())
}

/// Enters the namespace behind `fd`, which must be of the one kind given.
pub fn enter(fd: impl AsFd, kind: Namespaces) -> Result<(), Errno> {
    setns(fd, kind.flags())
}

/// Enters several namespaces of a process at once, or none of them.
pub fn enter_those_of(process: &Pidfd, kinds: Namespaces) -> Result<(), Errno> {
    setns(process, kinds.flags())
}

/// Does `work` in the network namespace that `netns` refers to, in a short-lived thread: the caller stays where it is.
pub fn within_network<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> Result<T, Errno> {
    std::thread::scope(|scope| {
        let enter = move || enter(netns, Namespaces::NETWORK).map(|()| work());
        let thread = std::thread::Builder::new().name("netns".to_owned()).stack_size(64 * 1024);
        let thread = thread.spawn_scoped(scope, enter).map_err(|_| Errno::EAGAIN)?;
        thread.join().unwrap_or(Err(Errno::EIO))
    })
}

/// The same for a process with one thread, which goes there itself and comes back.
///
/// # Panics
/// Where it cannot come back: what it would do next it would do in the wrong place.
pub fn visit_network<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T) -> Result<T, Errno> {
    let home = open(Path::new("/proc/thread-self/ns/net"))?;
    enter(netns, Namespaces::NETWORK)?;
    let done = work();
    enter(home, Namespaces::NETWORK)
        .expect("who could leave a namespace that is still there can enter it again");
    Ok(done)
}

/// Opens a namespace by the path of its file, such as `/proc/PID/ns/net`.
pub fn open(path: &Path) -> Result<OwnedFd, Errno> {
    open_file(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Whether a process is the first of a pid namespace below ours.
#[must_use]
pub fn is_first(pid: Pid) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}

/// `NS_GET_USERNS` (ioctl_ns(2)).
const GET_OWNER: libc::Ioctl = 0xb701;

/// The user namespace that a namespace belongs to.
pub fn owner_of(namespace: impl AsFd) -> Result<OwnedFd, Errno> {
    let namespace = namespace.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed, so open, and the request takes no argument, so none of our memory.
    let owner = Errno::result(unsafe { libc::ioctl(namespace, GET_OWNER) })?;
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}

/// A new, empty network namespace that nobody is in. The caller stays where it is.
pub fn new_network() -> Result<OwnedFd, NamespaceError> {
    new_empty(Namespaces::NETWORK, "/proc/thread-self/ns/net")
}

/// A new namespace of System V and POSIX queues that nobody is in. The caller stays where it is.
pub fn new_ipc() -> Result<OwnedFd, NamespaceError> {
    new_empty(Namespaces::IPC, "/proc/thread-self/ns/ipc")
}

/// Most namespaces belong to threads, so a short-lived one makes it.
fn new_empty(kind: Namespaces, file: &'static str) -> Result<OwnedFd, NamespaceError> {
    let failed = |source| NamespaceError::Make { kind: kind.names().join(" "), source };
    let thread = std::thread::Builder::new()
        .name("new-namespace".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            make(kind)?;
            open(Path::new(file))
        })
        .map_err(NamespaceError::Thread)?;
    thread.join().unwrap_or(Err(Errno::ECANCELED)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_new_network_leaves_the_caller_where_it_is() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: namespaces need root");
            return;
        }
        let own = || std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        let before = own();
        let made = new_network().unwrap();
        assert_eq!(own(), before);
        let inode = |made: &OwnedFd| {
            let made = made.try_clone().unwrap();
            std::fs::File::from(made).metadata().unwrap().ino()
        };
        assert_ne!(inode(&made), before);
        let there = || std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        assert_eq!(visit_network(made.as_fd(), there), Ok(inode(&made)), "who visits it is there");
        assert_eq!(there(), before, "and comes back");
        assert_eq!(within_network(made.as_fd(), there), Ok(inode(&made)));
    }

    #[test]
    fn sets_of_kinds_behave_as_sets() {
        let both = Namespaces::MOUNT | Namespaces::PID;
        assert!(both.contains(Namespaces::PID));
        assert!(!both.without(Namespaces::PID).contains(Namespaces::PID));
        assert!(both.without(both).is_empty());
    }
}
