//! A small disk that a test may fill: a tmpfs that only the test and what it starts can see.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

/// The disk, until it is given back.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Moves the calling thread into a mount namespace of its own and mounts `size` (such as `6m`) at `at`.
    pub fn mount(at: &Path, size: &str) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("root may make a mount namespace");
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).expect("mounts can be made private");
        fs::create_dir(at).expect("a place for the disk");
        let options = format!("size={size}");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("a tmpfs can be mounted");
        Self { at: at.to_owned() }
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Takes it away; an error when something still uses it.
    pub fn give_back(self) -> Result<(), Errno> {
        umount2(&self.at, MntFlags::empty()).inspect_err(|_| {
            let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        })
    }
}
