//! Making the directory behind a volume.
//!
//! A directory that a volume has for the first time is filled with what the image has at that place, as Docker does.
//! It is filled aside and put in place by a rename, so that a volume that is there is a volume that is whole, and of
//! two tasks that make one shared volume at once the second takes what the first has made.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Place, VolumeMount};
use crate::agent::places::Places;
use crate::image::store::Image;
use crate::model::ids::{TaskId, VolumeName};

/// A volume that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeFailure {
    /// It should be there.
    #[error("volume {0} does not exist and autoprovision is off")]
    Missing(VolumeName),
    /// A directory could not be made.
    #[error("make {} for a volume", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the image has there could not be copied.
    #[error("fill {} with what the image has at {}", path.display(), inside.display())]
    Fill {
        /// The directory.
        path: PathBuf,
        /// Where in the image.
        inside: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the directory behind `mount` unless it is there, and says where it is. `is_wanted` is asked while files are
/// copied; copying ends early once it says no.
pub(crate) fn provide(
    places: &Places,
    task: &TaskId,
    mount: &VolumeMount,
    image: &Image,
    is_wanted: &dyn Fn() -> bool,
) -> Result<PathBuf, VolumeFailure> {
    let inside = &mount.destination;
    match &mount.place {
        Place::Host(path) => {
            if !path.exists() {
                make(path)?;
            }
            Ok(path.clone())
        }
        Place::Task(name) => fresh(&places.task_volume(task, name), task, inside, image, is_wanted),
        Place::Image { container, path } => {
            let name = path.to_string_lossy().replace('%', "%25").replace('/', "%2f");
            let place = places.container(task, container).join("volumes").join(name);
            fresh(&place, task, inside, image, is_wanted)
        }
        Place::Shared { name, autoprovision } => {
            let place = places.volumes().join(name.as_str());
            if !*autoprovision && !place.is_dir() {
                return Err(VolumeFailure::Missing(name.clone()));
            }
            fresh(&place, task, inside, image, is_wanted)
        }
    }
}

/// A directory with the image's files in it, unless something is in it already.
fn fresh(
    place: &Path,
    task: &TaskId,
    inside: &Path,
    image: &Image,
    is_wanted: &dyn Fn() -> bool,
) -> Result<PathBuf, VolumeFailure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| VolumeFailure::Make { path, source }
    };
    if fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(place.to_owned());
    }
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
        return Ok(place.to_owned());
    };
    make(parent)?;
    // No volume begins with a dot, so what is being made is never taken for one.
    let aside = parent.join(format!(".{}-{}", task.short(), name.to_string_lossy()));
    remove(&aside).map_err(failed(&aside))?;
    make(&aside)?;
    let filled = image.copy_directory(inside, &aside, is_wanted);
    if let Err(source) = filled {
        let _ = remove(&aside); // the first error is the one to tell
        return Err(VolumeFailure::Fill { path: place.to_owned(), inside: inside.to_owned(), source });
    }
    match fs::rename(&aside, place) {
        Err(err)
            if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists].contains(&err.kind()) =>
        {
            remove(&aside).map_err(failed(&aside))?;
        }
        other => other.map_err(failed(place))?,
    }
    Ok(place.to_owned())
}

fn make(path: &Path) -> Result<(), VolumeFailure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|source| VolumeFailure::Make { path: path.to_owned(), source })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
