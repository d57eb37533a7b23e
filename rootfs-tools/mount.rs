//! `rootfs-tools mount` and `umount`: an image as overlayfs shows it.
//!
//! Layers are given one by one, so that their number is not limited by the length of one option string. Kernels that do
//! not take them so (before 6.8) get the string.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use hythe::image::pull::Policy;
use hythe::image::store::ImageStore;
use hythe::kernel::mount::{Attributes, Filesystem, attach, mount_opened_layers, mount_with_options};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::Failure;
use crate::store::{Access, Place, fetch};

/// Mount an image.
#[derive(Debug, Args)]
pub(crate) struct MountArguments {
    /// The image; pulled when it is not in the store.
    image: String,
    /// Where to mount it.
    directory: PathBuf,
    /// A directory that keeps changes; without it the mount is read-only.
    #[arg(long, value_name = "DIR")]
    upper: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    access: Access,
}

/// Unmount an image.
#[derive(Debug, Args)]
pub(crate) struct UmountArguments {
    /// Where it is mounted.
    directory: PathBuf,
}

pub(crate) fn run(arguments: &MountArguments) -> Result<(), Failure> {
    let store = ImageStore::open(&arguments.place.store)?;
    let image = fetch(&store, &arguments.image, &arguments.access.options(Policy::IfMissing)?)?;
    let mut lower = image.overlay_lowerdirs();
    let mut changes = None;
    if let Some(upper) = &arguments.upper {
        let (upper, work) = (upper.join("upper"), upper.join("work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        changes = Some((upper.canonicalize()?, work.canonicalize()?));
    } else {
        // A read-only overlay wants two directories at least; an empty one changes nothing.
        let empty = store.root().join("empty");
        fs::create_dir_all(&empty)?;
        lower.push(empty);
    }
    let at = &arguments.directory;
    one_by_one(&lower, changes.as_ref(), at)
        .or_else(|_| in_one_string(&lower, changes.as_ref(), at))
        .map_err(|errno| format!("mount overlay on {}: {errno}", at.display()).into())
}

pub(crate) fn undo(arguments: &UmountArguments) -> Result<(), Failure> {
    umount2(&arguments.directory, MntFlags::UMOUNT_NOFOLLOW)
        .map_err(|errno| format!("unmount {}: {errno}", arguments.directory.display()).into())
}

fn one_by_one(lower: &[PathBuf], changes: Option<&(PathBuf, PathBuf)>, at: &Path) -> Result<(), Errno> {
    let filesystem = Filesystem::open(c"overlay")?;
    filesystem.set(c"source", c"overlay")?;
    for layer in lower {
        filesystem.set(c"lowerdir+", &text(layer)?)?;
    }
    if let Some((upper, work)) = changes {
        filesystem.set(c"upperdir", &text(upper)?)?;
        filesystem.set(c"workdir", &text(work)?)?;
    }
    let attributes = if changes.is_some() { Attributes::default() } else { Attributes::READ_ONLY };
    let tree = filesystem.mount(attributes)?;
    let directory = File::open(at).map_err(|err| Errno::from_raw(err.raw_os_error().unwrap_or(0)))?;
    attach(tree.as_fd(), directory.as_fd())
}

/// What the older mount call takes of options.
const ONE_PAGE: usize = 4096;

fn in_one_string(layers: &[PathBuf], changes: Option<&(PathBuf, PathBuf)>, at: &Path) -> Result<(), Errno> {
    let lower: Vec<String> = layers.iter().map(|path| option(path)).collect();
    let rest = changes.map_or_else(String::new, |(upper, work)| {
        format!("upperdir={},workdir={}", option(upper), option(work))
    });
    let before = if rest.is_empty() { "" } else { "," };
    let options = format!("lowerdir={}{before}{rest}", lower.join(":"));
    let options = CString::new(options).map_err(|_| Errno::EINVAL)?;
    if options.count_bytes() < ONE_PAGE {
        mount_with_options(c"overlay", &text(at)?, &options)?;
    } else {
        let layers = layers.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
        let rest = CString::new(rest).map_err(|_| Errno::EINVAL)?;
        mount_opened_layers(&text(at)?, &layers, &rest)?;
    }
    if changes.is_none() {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, at, None::<&str>, flags, None::<&str>)?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// A path in an option string: the separators in it escaped.
fn option(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}
