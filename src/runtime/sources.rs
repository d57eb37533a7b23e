//! Mounts that the parent makes ready because the child may not: what a user namespace cannot reach, and what is mapped
//! to other users.
//!
//! Each is detached: it is attached nowhere on the host, and goes with its descriptor.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::steps::{Source, SourceWhat};
use crate::kernel::mapping::{Mappings, new_users};
use crate::kernel::mount::{Attributes, Filesystem, Propagation, clone_tree, map_users, set_attributes};

/// Why a mount could not be made ready.
#[derive(Debug, thiserror::Error)]
#[error("{member}: {act} {}", path.display())]
pub struct SourceError {
    /// The member of the specification.
    pub member: String,
    /// What was tried.
    pub act: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// Makes every source ready, in order. The caller must have one thread.
pub(super) fn open(sources: &[Source]) -> Result<Vec<OwnedFd>, SourceError> {
    let mut users = Known(Vec::new());
    sources.iter().map(|source| open_one(source, &mut users)).collect()
}

/// User namespaces made so far, by their mappings.
struct Known(Vec<(Mappings, OwnedFd)>);

impl Known {
    fn find(&mut self, mappings: &Mappings) -> io::Result<&OwnedFd> {
        let at = if let Some(at) = self.0.iter().position(|(known, _)| known == mappings) {
            at
        } else {
            self.0.push((mappings.clone(), new_users(mappings)?));
            self.0.len() - 1
        };
        Ok(&self.0[at].1)
    }
}

fn open_one(source: &Source, users: &mut Known) -> Result<OwnedFd, SourceError> {
    let error = |act, path: &Path| {
        let (member, path) = (source.member.clone(), path.to_path_buf());
        move |source: io::Error| SourceError { member, act, path, source }
    };
    match &source.what {
        SourceWhat::Tree(path, deep) => tree(source, path, *deep, users),
        SourceWhat::Overlay(options) => {
            let nowhere = Path::new("/");
            let filesystem = Filesystem::open(c"overlay")
                .map_err(|errno| error("begin an overlay for", nowhere)(errno.into()))?;
            // Layers are mapped, the writable directories are not: the overlay writes as the host's root, whom the
            // mapping has no place for. What the layers are opened by must stay open until the overlay is made.
            let mut held = Vec::new();
            for (key, value) in options {
                let Some(value) = value else {
                    filesystem
                        .flag(key)
                        .map_err(|errno| error("set an option of the overlay on", nowhere)(errno.into()))?;
                    continue;
                };
                let path = Path::new(std::ffi::OsStr::from_bytes(value.to_bytes()));
                let value = match key.to_bytes() {
                    b"lowerdir+" => {
                        held.push(tree(source, value, false, users)?);
                        descriptor_path(held.last())
                    }
                    _ => value.clone(),
                };
                filesystem.set(key, &value).map_err(|errno| error("lay over", path)(errno.into()))?;
            }
            let made = filesystem.mount(Attributes::NONE);
            made.map_err(|errno| error("make the overlay for", nowhere)(unlayable(errno, source)))
        }
    }
}

/// A path that leads to what a descriptor refers to.
fn descriptor_path(held: Option<&OwnedFd>) -> CString {
    let number = held.map_or(-1, AsRawFd::as_raw_fd);
    CString::new(format!("/proc/self/fd/{number}")).unwrap_or_default()
}

fn tree(source: &Source, path: &CString, deep: bool, users: &mut Known) -> Result<OwnedFd, SourceError> {
    let shown = PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()));
    let error = |act| {
        let (member, path) = (source.member.clone(), shown.clone());
        move |source: io::Error| SourceError { member, act, path, source }
    };
    let tree = clone_tree(path, deep).map_err(|errno| error("open")(errno.into()))?;
    if let Some((mappings, recursive)) = &source.mapped {
        let namespace = users.find(mappings).map_err(error("make a user namespace for"))?;
        map_users(tree.as_fd(), namespace.as_fd(), *recursive).map_err(|errno| {
            // By itself it may be mapped all the same.
            let is_below = *recursive
                && clone_tree(path, false)
                    .is_ok_and(|alone| map_users(alone.as_fd(), namespace.as_fd(), false).is_ok());
            error("map the users of")(unmappable(errno, is_below))
        })?;
    }
    // Nothing of what the container does to it comes back to the host.
    set_attributes(tree.as_fd(), Attributes::NONE, Some(Propagation::Slave), true)
        .map_err(|errno| error("keep changes from")(errno.into()))?;
    Ok(tree)
}

/// Kernels of some years ago take no layer that is attached nowhere, and a mapped one is.
fn unlayable(errno: Errno, source: &Source) -> io::Error {
    if errno == Errno::EINVAL && source.mapped.is_some() {
        let sentence = "its layers cannot be mapped to other users by this kernel: a newer one can";
        return io::Error::new(io::ErrorKind::Unsupported, sentence);
    }
    errno.into()
}

fn unmappable(errno: Errno, is_below: bool) -> io::Error {
    let sentence = if is_below {
        "a filesystem that is mounted below it cannot be mapped to other users"
    } else {
        "its filesystem cannot be mapped to other users"
    };
    // What is mapped already cannot be mapped again, which is EPERM (mount_setattr(2)).
    if errno == Errno::EINVAL || (errno == Errno::EPERM && is_below) {
        return io::Error::new(io::ErrorKind::Unsupported, sentence);
    }
    errno.into()
}
