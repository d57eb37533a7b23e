//! Users and groups of a user namespace: which numbers of the host stand behind its own.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::namespace::{self, Namespaces};
use super::process::{self, CloneRequest, Signal};

/// The lines of `uid_map` and `gid_map` (user_namespaces(7)).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mappings {
    /// Lines of `inside outside count`.
    pub users: String,
    /// The same for groups.
    pub groups: String,
}

/// Gives the user namespace of `pid`, which must be new, its users and groups.
///
/// Who is not privileged on the host gives up `setgroups` for it, as the kernel wants.
pub fn write_mappings(pid: Pid, mappings: &Mappings) -> io::Result<()> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    fs::write(file("uid_map"), &mappings.users)?;
    if !nix::unistd::geteuid().is_root() {
        fs::write(file("setgroups"), "deny")?;
    }
    fs::write(file("gid_map"), &mappings.groups)
}

/// A user namespace with these mappings that nobody is in, to map a mount by.
pub fn new_users(mappings: &Mappings) -> io::Result<OwnedFd> {
    new_empty(Namespaces::USER, "user", mappings)
}

/// A network namespace that nobody is in, and that belongs to a user namespace with these mappings
/// ([`namespace::owner_of`]): what capabilities are worth in one is what they are worth over the other.
pub fn new_network(mappings: &Mappings) -> io::Result<OwnedFd> {
    new_empty(Namespaces::USER | Namespaces::NETWORK, "net", mappings)
}

/// A short-lived process makes them, as nobody comes back out of a user namespace. It does nothing but wait, so the
/// caller may have other threads.
fn new_empty(namespaces: Namespaces, file: &str, mappings: &Mappings) -> io::Result<OwnedFd> {
    let request = CloneRequest { namespaces, ..CloneRequest::default() };
    let holder = process::clone(&request, || {
        if process::die_with_parent(Signal::KILL).is_ok() {
            nix::unistd::pause();
        }
        0
    })?;
    let made = write_mappings(holder.pid, mappings).and_then(|()| {
        let path = format!("/proc/{}/ns/{file}", holder.pid);
        namespace::open(Path::new(&path)).map_err(io::Error::from)
    });
    let _ = holder.pidfd.signal(Signal::KILL);
    let _ = holder.pidfd.wait();
    made
}

/// Whether a process is in another namespace of this kind than the caller; `kind` is the kernel's word for it.
pub fn is_elsewhere(pid: Pid, kind: &str) -> Result<bool, Errno> {
    let of = |pid: &str| {
        let status = nix::sys::stat::stat(Path::new(&format!("/proc/{pid}/ns/{kind}")))?;
        Ok::<_, Errno>((status.st_dev, status.st_ino))
    };
    Ok(of(&pid.to_string())? != of("self")?)
}
