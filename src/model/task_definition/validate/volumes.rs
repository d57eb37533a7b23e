//! Rules of volumes and of what mounts them.

use std::collections::BTreeSet;

use super::absolute;
use crate::model::{
    reading::{self, MemberPath, Refusal},
    task_definition::{Document, Volume, VolumeScope},
};

pub(super) fn check(document: &Document, containers: &MemberPath) -> Result<(), Refusal> {
    let path = MemberPath::default().member("volumes");
    let mut names = BTreeSet::new();
    for (index, volume) in document.volumes.iter().enumerate() {
        let path = path.element(index);
        if !names.insert(volume.name.as_str()) {
            let message = format!("Volume name '{}' is not unique.", volume.name);
            return Err(Refusal::rule(path.member("name"), message));
        }
        one_kind(volume, &path)?;
        if let Some(source) = volume.host.as_ref().and_then(|host| host.source_path.as_deref()) {
            absolute(source, || path.member("host").member("sourcePath"))?;
        }
    }
    for (index, container) in document.container_definitions.iter().enumerate() {
        let path = containers.element(index).member("mountPoints");
        let mut taken = BTreeSet::new();
        for (index, mount) in container.mount_points.iter().enumerate() {
            let path = path.element(index);
            if !names.contains(mount.source_volume.as_str()) {
                let message = format!(
                    "Unknown volume '{}' in a mount point of container '{}'.",
                    mount.source_volume, container.name
                );
                let mut refusal = Refusal::rule(path.member("sourceVolume"), message);
                refusal.nearest = reading::nearest_word(mount.source_volume.as_str(), names.iter().copied());
                return Err(refusal);
            }
            absolute(&mount.container_path, || path.member("containerPath"))?;
            if !taken.insert(mount.container_path.trim_end_matches('/')) {
                let message = format!("Duplicate mount point '{}'.", mount.container_path);
                return Err(Refusal::rule(path.member("containerPath"), message));
            }
        }
    }
    Ok(())
}

/// A volume is one thing. What only the cloud has is kept, and is missed where a task wants to start.
fn one_kind(volume: &Volume, path: &MemberPath) -> Result<(), Refusal> {
    let kinds = [
        ("host", volume.host.is_some()),
        ("dockerVolumeConfiguration", volume.docker_volume_configuration.is_some()),
        ("efsVolumeConfiguration", volume.efs_volume_configuration.is_some()),
        (
            "fsxWindowsFileServerVolumeConfiguration",
            volume.fsx_windows_file_server_volume_configuration.is_some(),
        ),
        ("s3filesVolumeConfiguration", volume.s3files_volume_configuration.is_some()),
        ("configuredAtLaunch", volume.configured_at_launch == Some(true)),
    ];
    let given: Vec<&str> = kinds.into_iter().filter(|(_, given)| *given).map(|(member, _)| member).collect();
    if let [one, other, ..] = given.as_slice() {
        let message = format!("Volume '{}' has both '{one}' and '{other}'.", volume.name);
        return Err(Refusal::rule(path.member(other), message));
    }
    let Some(docker) = &volume.docker_volume_configuration else { return Ok(()) };
    let path = path.member("dockerVolumeConfiguration");
    if docker.scope.unwrap_or(VolumeScope::Task) == VolumeScope::Task && docker.autoprovision == Some(true) {
        let message = "'autoprovision' is for volumes with scope 'shared'.";
        return Err(Refusal::rule(path.member("autoprovision"), message));
    }
    if docker.driver.as_deref().is_some_and(|driver| driver != "local") {
        let message = "The only volume driver of this host is 'local'.";
        return Err(Refusal::rule(path.member("driver"), message));
    }
    Ok(())
}
