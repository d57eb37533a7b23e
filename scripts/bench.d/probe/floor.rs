//! The floor: what the kernel alone takes for the least that a container is.
//!
//! One clone into all namespaces, one overlay, one pivot, one exec of a static program, its exit, the wait. And apart
//! from it what control groups cost, and a network: a namespace, a pair of interfaces, an address and a route in one
//! batch.

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hythe::kernel::mount::{self, Attributes, Filesystem, Propagation};
use hythe::kernel::namespace::{self, Namespaces};
use hythe::kernel::netlink::link::{self, LOOPBACK, Peer};
use hythe::kernel::netlink::route::{self, Address};
use hythe::kernel::netlink::{Family, Socket};
use hythe::kernel::process::{self, CloneRequest, Exit, PointerList, Signal};
use nix::errno::Errno;

use crate::Failure;

const ALL: Namespaces = Namespaces::MOUNT
    .with(Namespaces::PID)
    .with(Namespaces::NETWORK)
    .with(Namespaces::IPC)
    .with(Namespaces::UTS)
    .with(Namespaces::CGROUP);

/// The link inside, and its end outside.
const INSIDE: &str = "eth0";
const OUTSIDE: &str = "floor0";

/// What a floor container is made of.
pub(crate) struct Floor {
    lower: CString,
    upper: CString,
    work: CString,
    merged: CString,
    program: CString,
    args: PointerList,
    env: PointerList,
}

impl Floor {
    /// A floor whose lower layer is `rootfs`, and whose directories are made below `place`.
    pub(crate) fn new(rootfs: &Path, place: &Path, program: &[String]) -> Result<Self, Failure> {
        let directory = |name: &str| -> Result<CString, Failure> {
            let path = place.join(name);
            fs::create_dir_all(&path)?;
            Ok(CString::new(path.as_os_str().as_bytes())?)
        };
        let args = program.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            lower: CString::new(rootfs.as_os_str().as_bytes())?,
            upper: directory("upper")?,
            work: directory("work")?,
            merged: directory("merged")?,
            program: args.first().cloned().ok_or("the floor needs a program")?,
            args: PointerList::new(args),
            env: PointerList::new(Vec::new()),
        })
    }

    /// One container, from clone to wait.
    pub(crate) fn container(&self) -> Result<(), Failure> {
        let request = CloneRequest { namespaces: ALL, ..CloneRequest::default() };
        let child = process::clone(&request, || i32::from(self.become_program().is_err()))?;
        match child.pidfd.wait()? {
            Exit::Code(0) => Ok(()),
            other @ (Exit::Code(_) | Exit::Signal(_)) => {
                Err(format!("the floor's container ended with {other:?}").into())
            }
        }
    }

    fn become_program(&self) -> Result<(), Errno> {
        process::die_with_parent(Signal::KILL)?;
        mount::set_propagation(c"/", Propagation::Private, true)?;
        let overlay = Filesystem::open(c"overlay")?;
        overlay.set(c"lowerdir", &self.lower)?;
        overlay.set(c"upperdir", &self.upper)?;
        overlay.set(c"workdir", &self.work)?;
        let root = overlay.mount(Attributes::NONE)?;
        let at = mount::open_directory(&self.merged)?;
        mount::attach(root.as_fd(), at.as_fd())?;
        nix::unistd::fchdir(&root)?;
        mount::pivot_here()?;
        process::execute(&self.program, &self.args, &self.env).map(|never| match never {})
    }
}

/// Control groups with limits, and their end; nobody joins them. `words` are first the groups, one in each hierarchy, and
/// then what is written, as `FILE=VALUE`.
pub(crate) fn groups(words: &[String]) -> Result<(), Failure> {
    let is_group = |word: &&String| !word.contains('=');
    for group in words.iter().take_while(is_group) {
        fs::create_dir(group)?;
    }
    for (file, value) in words.iter().filter_map(|word| word.split_once('=')) {
        fs::write(file, value)?;
    }
    for group in words.iter().take_while(is_group) {
        fs::remove_dir(group)?;
    }
    Ok(())
}

/// One network, from nothing to a route, and its end.
pub(crate) fn network() -> Result<(), Failure> {
    let netns = namespace::new_network()?;
    let mut host = Socket::open(Family::Route)?;
    let peer = Peer { name: INSIDE, mac: [2, 0, 0, 0, 0, 9], netns: netns.as_fd() };
    host.transact(&[link::create_pair(OUTSIDE, 1500, None, &peer)])?;
    let mut within = Socket::open_in(netns.as_fd(), Family::Route)?;
    let found = within.query(&link::get(INSIDE), link::read)?;
    let index = found.first().ok_or("the pair has no inner end")?.index;
    let address = Address { link: index, address: Ipv4Addr::new(10, 255, 255, 2), prefix: 30 };
    within.transact(&[
        link::raise(LOOPBACK, "lo"),
        route::put_address(&address, Ipv4Addr::new(10, 255, 255, 3)),
        link::raise(index, INSIDE),
        route::put_default_route(index, Ipv4Addr::new(10, 255, 255, 1)),
    ])?;
    Ok(host.transact(&[link::delete(OUTSIDE)])?)
}
