//! The files and directories of a container beside its bundle's configuration.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::agent::bundle::Bind;
use crate::agent::names::Names;
use crate::image::store::Image;

/// A part of a bundle that could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error("make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("its image was not pulled")]
    NoImage,
    #[error("put its configuration into words")]
    Json(#[source] serde_json::Error),
}

/// The container's directories. The root of an overlay has the owner and mode of its upper directory, so that one
/// gets what the image's root has; where the task has its own users, as they see it.
pub(super) fn directories(directory: &Path, image: &Image, users: Option<u32>) -> Result<(), BuildError> {
    for name in ["rootfs", "upper", "work"] {
        make(&directory.join(name))?;
    }
    let top = if let Some(top) = image.overlay_lowerdirs().into_iter().next() {
        top
    } else {
        make(&directory.join("lower"))?;
        directory.join("lower")
    };
    let upper = directory.join("upper");
    let first = users.unwrap_or(0);
    let like = |root: fs::Metadata| {
        chown(&upper, Some(first.saturating_add(root.uid())), Some(first.saturating_add(root.gid())))?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(root.mode() & 0o7777))
    };
    fs::metadata(&top).and_then(like).map_err(|source| BuildError::Make { path: upper.clone(), source })
}

/// Writes a file that only root can read: the environment may hold secrets.
pub(super) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file?.write_all(text)
}

pub(super) fn make(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|source| BuildError::Make { path: path.to_owned(), source })
}

/// Writes the files of names, and mounts those that the container has no volume for.
pub(super) fn write_names(directory: &Path, names: &Names, binds: &[Bind]) -> Result<Vec<Bind>, BuildError> {
    let files = [
        ("hosts", "/etc/hosts", names.hosts.clone()),
        ("hostname", "/etc/hostname", format!("{}\n", names.hostname)),
        ("resolv.conf", "/etc/resolv.conf", names.resolv_conf.clone()),
    ];
    let mut mounts = Vec::new();
    for (name, destination, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|source| BuildError::Write { path: path.clone(), source })?;
        if !binds.iter().any(|bind| bind.destination == Path::new(destination)) {
            mounts.push(Bind { source: path, destination: destination.into(), read_only: false });
        }
    }
    Ok(mounts)
}
