//! Which directory a container sees where, and making those directories.
//!
//! [`mounts`] reads a definition and says what each container mounts: its own mount points, those of the containers
//! it takes volumes from, and the volumes its image declares. It touches nothing. [`provide`] then makes the
//! directory behind a volume, and fills a fresh one with what the image has at that place.
//!
//! A path of the host and a shared volume outlive the task; everything else is in the task's directory and goes with
//! it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::model::ids::{ContainerName, VolumeName};
use crate::model::task_definition::{DockerVolume, Document, Volume, VolumeScope};

mod provide;

pub(crate) use provide::provide;

/// Where a volume's files are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A path of the host, made when it is missing.
    Host(PathBuf),
    /// A directory of the task.
    Task(VolumeName),
    /// A named volume that outlives tasks.
    Shared {
        /// Its name.
        name: VolumeName,
        /// Whether it is made when it is missing.
        autoprovision: bool,
    },
    /// A directory of the task for a volume that the image of a container declares.
    Image {
        /// The container.
        container: ContainerName,
        /// Where in the container.
        path: PathBuf,
    },
}

/// One mount of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeMount {
    /// Where its files are.
    pub place: Place,
    /// Where the container sees them, absolute and clean.
    pub destination: PathBuf,
    /// Without write access.
    pub read_only: bool,
}

/// A volume that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VolumeError {
    /// A mount point of nothing.
    #[error("volume {0} is not among the volumes of the task definition")]
    Undeclared(VolumeName),
    /// A kind of volume that a single host does not have.
    #[error("volume {volume} is of the kind {kind}, which this host does not have")]
    Kind {
        /// The volume.
        volume: VolumeName,
        /// The member that asks for it.
        kind: &'static str,
    },
    /// A driver other than `local`.
    #[error("volume {volume} asks for the driver {driver:?}; this host has only local")]
    Driver {
        /// The volume.
        volume: VolumeName,
        /// The driver.
        driver: String,
    },
    /// Options that are not understood.
    #[error("volume {volume} has driver options that are not supported: only a bind of a device path is")]
    DriverOptions {
        /// The volume.
        volume: VolumeName,
    },
    /// A path that is no place in a container.
    #[error("{path:?} is not a path that a volume can be mounted at")]
    Destination {
        /// The path as it was given.
        path: String,
    },
    /// A path of the host that is not absolute.
    #[error("source path {path:?} of volume {volume} is not absolute")]
    Source {
        /// The volume.
        volume: VolumeName,
        /// The path as it was given.
        path: String,
    },
    /// Volumes from nobody.
    #[error("container {0}, whose volumes are asked for, is not in the task definition")]
    NoSuchContainer(ContainerName),
}

/// What each image declares as volumes, by container.
pub(crate) type ImageVolumes = BTreeMap<ContainerName, Vec<String>>;

/// What `container` mounts, parents before children.
pub(crate) fn mounts(
    document: &Document,
    container: &ContainerName,
    images: &ImageVolumes,
) -> Result<Vec<VolumeMount>, VolumeError> {
    let mut found = BTreeMap::new();
    collect(document, container, images, &mut Vec::new(), &mut found)?;
    let mut mounts: Vec<VolumeMount> = found.into_values().collect();
    mounts.sort_by_key(|mount| depth(&mount.destination));
    Ok(mounts)
}

/// How deep a path lies; mounts happen in this order, so that none hides another.
#[must_use]
pub(crate) fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The container's own mounts win over those of others, those over what the image declares.
fn collect(
    document: &Document,
    name: &ContainerName,
    images: &ImageVolumes,
    seen: &mut Vec<ContainerName>,
    found: &mut BTreeMap<PathBuf, VolumeMount>,
) -> Result<(), VolumeError> {
    if seen.contains(name) {
        return Ok(());
    }
    seen.push(name.clone());
    let definition = document.container(name).ok_or_else(|| VolumeError::NoSuchContainer(name.clone()))?;
    for point in &definition.mount_points {
        let volume = document.volumes.iter().find(|volume| volume.name == point.source_volume);
        let volume = volume.ok_or_else(|| VolumeError::Undeclared(point.source_volume.clone()))?;
        let read_only = point.read_only.unwrap_or(false);
        add(
            found,
            VolumeMount { place: place(volume)?, destination: clean(&point.container_path)?, read_only },
        );
    }
    for from in &definition.volumes_from {
        let mut theirs = BTreeMap::new();
        collect(document, &from.source_container, images, seen, &mut theirs)?;
        let read_only = from.read_only.unwrap_or(false);
        for mount in theirs.into_values() {
            add(found, VolumeMount { read_only: mount.read_only || read_only, ..mount });
        }
    }
    for path in images.get(name).into_iter().flatten() {
        let destination = clean(path)?;
        let place = Place::Image { container: name.clone(), path: destination.clone() };
        add(found, VolumeMount { place, destination, read_only: false });
    }
    seen.pop();
    Ok(())
}

fn add(found: &mut BTreeMap<PathBuf, VolumeMount>, mount: VolumeMount) {
    found.entry(mount.destination.clone()).or_insert(mount);
}

fn place(volume: &Volume) -> Result<Place, VolumeError> {
    let name = &volume.name;
    let foreign = [
        (volume.efs_volume_configuration.is_some(), "efsVolumeConfiguration"),
        (
            volume.fsx_windows_file_server_volume_configuration.is_some(),
            "fsxWindowsFileServerVolumeConfiguration",
        ),
        (volume.s3files_volume_configuration.is_some(), "s3filesVolumeConfiguration"),
        (volume.configured_at_launch == Some(true), "configuredAtLaunch"),
    ];
    if let Some((_, kind)) = foreign.into_iter().find(|(asked, _)| *asked) {
        return Err(VolumeError::Kind { volume: name.clone(), kind });
    }
    if let Some(docker) = &volume.docker_volume_configuration {
        return docker_place(name, docker);
    }
    let source =
        volume.host.as_ref().and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty());
    source.map_or_else(|| Ok(Place::Task(name.clone())), |path| host_place(name, path))
}

fn host_place(name: &VolumeName, path: &str) -> Result<Place, VolumeError> {
    if !path.starts_with('/') {
        return Err(VolumeError::Source { volume: name.clone(), path: path.to_owned() });
    }
    Ok(Place::Host(PathBuf::from(path)))
}

fn docker_place(name: &VolumeName, docker: &DockerVolume) -> Result<Place, VolumeError> {
    if let Some(driver) = docker.driver.as_deref().filter(|driver| !["local", ""].contains(driver)) {
        return Err(VolumeError::Driver { volume: name.clone(), driver: driver.to_owned() });
    }
    if let Some(options) = docker.driver_opts.as_ref().filter(|options| !options.is_empty()) {
        let option = |key: &str| options.get(key).map(String::as_str);
        let is_bind = option("o").is_some_and(|o| o.split(',').any(|word| ["bind", "rbind"].contains(&word)));
        return match option("device") {
            Some(device) if is_bind => host_place(name, device),
            Some(_) | None => Err(VolumeError::DriverOptions { volume: name.clone() }),
        };
    }
    Ok(match docker.scope.unwrap_or(VolumeScope::Task) {
        VolumeScope::Task => Place::Task(name.clone()),
        VolumeScope::Shared => {
            Place::Shared { name: name.clone(), autoprovision: docker.autoprovision.unwrap_or(false) }
        }
    })
}

/// `path` without `.`, `..` and doubled slashes; it may not be the root itself.
pub(crate) fn clean(path: &str) -> Result<PathBuf, VolumeError> {
    let wrong = || VolumeError::Destination { path: path.to_owned() };
    if !path.starts_with('/') || path.contains('\0') {
        return Err(wrong());
    }
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean == Path::new("/") { Err(wrong()) } else { Ok(clean) }
}

#[cfg(test)]
mod tests;
