//! The step that gives the process a terminal.

use std::os::fd::AsFd;

use super::{Child, FIRST_INHERITED, Failure, Found, at, mounts};
use crate::kernel::process::duplicate_to;
use crate::kernel::{mount, terminal};
use crate::runtime::handshake::Part;
use crate::runtime::steps::Terminal;

/// Makes a terminal from the container's own devpts the process's, and hands the other end to the parent.
pub(super) fn give(
    number: usize,
    wanted: &Terminal,
    child: &Child<'_>,
    found: &Found,
) -> Result<(), Failure> {
    let own_root;
    let root = if let Some(root) = &found.root {
        root.as_fd()
    } else {
        own_root = mount::open_directory(c"/")?;
        own_root.as_fd()
    };
    let pair = terminal::open_pair(root).map_err(at(Part::Source))?;
    if let Some(size) = wanted.size {
        terminal::set_size(pair.master.as_fd(), size)?;
    }
    if wanted.is_console {
        mounts::bind_console(root, pair.slave.as_fd()).map_err(at(Part::Target))?;
    }
    terminal::give_to(pair.slave.as_fd(), wanted.owner).map_err(at(Part::Attributes))?;
    if child.gives_way.is_none() {
        terminal::take_control(pair.slave.as_fd())?;
    }
    for stream in 0..FIRST_INHERITED {
        duplicate_to(pair.slave.as_fd(), stream)?;
    }
    Ok(child.to_parent.give(number, pair.master.as_fd())?)
}
