//! Reading one file of an image without mounting it.
//!
//! A path is walked name by name through all layers at once, as overlayfs would merge them: the topmost layer that knows
//! a name decides, deletions and opaque directories hide what is below, and symbolic links are followed within the image.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, SFlag};

use crate::kernel::fs::{file_type, get_xattr, is_whiteout, open_beneath, stat_at};

/// No file of interest is larger.
const LARGEST: u64 = 16 << 20;
/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Why a file of an image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// A layer could not be read.
    #[error("read {path:?} of the image", path = .0.display().to_string())]
    Io(PathBuf, #[source] io::Error),
    /// Its links go in circles.
    #[error("{path:?} of the image is behind too many links", path = .0.display().to_string())]
    Links(PathBuf),
    /// It is larger than any file that is read this way.
    #[error("{path:?} of the image is larger than 16 MiB", path = .0.display().to_string())]
    Large(PathBuf),
}

/// A directory as the layers together have it: one descriptor for each that contributes, top first.
type Merged = Rc<Vec<OwnedFd>>;

/// What is at a path of an image.
pub(super) enum Found {
    Nothing,
    Directory(Merged),
    Link(OsString),
    File(OwnedFd),
}

/// Reads `path` in the image made of `layers`, top first.
pub fn read_file(layers: &[PathBuf], path: &Path) -> Result<Option<Vec<u8>>, LookupError> {
    match walk(layers, path)? {
        Found::File(fd) => read(fd, path).map(Some),
        Found::Nothing | Found::Directory(_) | Found::Link(_) => Ok(None),
    }
}

/// What is at `path` in the image made of `layers`, top first; links are followed.
pub(super) fn walk(layers: &[PathBuf], path: &Path) -> Result<Found, LookupError> {
    let failed = |err: io::Error| LookupError::Io(path.to_owned(), err);
    let roots = layers.iter().map(|layer| File::open(layer).map(OwnedFd::from));
    let root: Merged = Rc::new(roots.collect::<io::Result<_>>().map_err(failed)?);
    let mut above = vec![root];
    let mut steps: VecDeque<OsString> = VecDeque::new();
    prepend(&mut steps, path);
    let mut links = 0;
    while let Some(step) = steps.pop_front() {
        if step == ".." {
            above.truncate(above.len().saturating_sub(1).max(1));
            continue;
        }
        let here = above.last().cloned().unwrap_or_default();
        match find(&here, &step).map_err(|errno| failed(errno.into()))? {
            Found::Directory(merged) => above.push(merged),
            Found::File(fd) if steps.is_empty() => return Ok(Found::File(fd)),
            Found::File(_) | Found::Nothing => return Ok(Found::Nothing),
            Found::Link(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(LookupError::Links(path.to_owned()));
                }
                if Path::new(&target).is_absolute() {
                    above.truncate(1);
                }
                prepend(&mut steps, Path::new(&target));
            }
        }
    }
    Ok(Found::Directory(above.pop().unwrap_or_default()))
}

fn prepend(steps: &mut VecDeque<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    for name in names.collect::<Vec<_>>().into_iter().rev() {
        steps.push_front(name);
    }
}

/// What `name` is in a merged directory.
pub(super) fn find(directory: &[OwnedFd], name: &OsStr) -> Result<Found, Errno> {
    let mut merged = Vec::new();
    for layer in directory {
        let stat = match stat_at(layer, name) {
            Err(Errno::ENOENT) => continue,
            other => other?,
        };
        if file_type(&stat) == SFlag::S_IFDIR {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let fd = open_beneath(layer, Path::new(name), flags, Mode::empty())?;
            let is_opaque = get_xattr(&fd, c"trusted.overlay.opaque")?.is_some_and(|value| value == b"y");
            merged.push(fd);
            if is_opaque {
                break;
            }
            continue;
        }
        if !merged.is_empty() || is_whiteout(&stat) {
            break;
        }
        if file_type(&stat) == SFlag::S_IFLNK {
            return Ok(Found::Link(readlinkat(layer, name)?));
        }
        if file_type(&stat) != SFlag::S_IFREG {
            break; // opening a pipe would wait, and a device may do anything
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        return open_beneath(layer, Path::new(name), flags, Mode::empty()).map(Found::File);
    }
    Ok(if merged.is_empty() { Found::Nothing } else { Found::Directory(Rc::new(merged)) })
}

fn read(fd: OwnedFd, path: &Path) -> Result<Vec<u8>, LookupError> {
    let mut bytes = Vec::new();
    let read = File::from(fd).take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|err| LookupError::Io(path.to_owned(), err))?;
    if bytes.len() as u64 > LARGEST { Err(LookupError::Large(path.to_owned())) } else { Ok(bytes) }
}
