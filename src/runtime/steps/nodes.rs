//! What a container's `/dev` is given: device nodes, and links that programs expect.

use std::ffi::CString;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::mounts::clean;
use super::{Node, NodeKind, Step};

/// A device of the specification as a step; `None` for a sort that is no node.
pub(super) fn node(device: &LinuxDevice) -> Option<Step> {
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => NodeKind::Character,
        LinuxDeviceType::B => NodeKind::Block,
        LinuxDeviceType::P => NodeKind::Fifo,
        LinuxDeviceType::A => return None,
    };
    let path = clean(device.path());
    let (dir, name) = path.rsplit_once('/')?;
    let number = |number: i64| u64::try_from(number).ok();
    Some(Step::Node(Box::new(Node {
        dir: CString::new(if dir.is_empty() { "/" } else { dir }).ok()?,
        name: CString::new(name).ok()?,
        path: CString::new(path.as_str()).ok()?,
        kind,
        device: (number(device.major())?, number(device.minor())?),
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    })))
}

/// Links that programs expect in `/dev`.
pub(super) fn dev_links() -> Vec<Step> {
    let links = [
        (c"/proc/self/fd", c"fd"),
        (c"/proc/self/fd/0", c"stdin"),
        (c"/proc/self/fd/1", c"stdout"),
        (c"/proc/self/fd/2", c"stderr"),
        (c"/proc/kcore", c"core"),
        (c"pts/ptmx", c"ptmx"),
    ];
    links
        .into_iter()
        .map(|(to, name)| Step::Link(to.to_owned(), c"/dev".to_owned(), name.to_owned()))
        .collect()
}
