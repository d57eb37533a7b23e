//! Devices of the host in a container: what they are is asked of the host first, so that the bundle stays pure.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::BundleError;
use crate::model::task_definition::ContainerDefinition;

/// A device as it is on this host and as a container wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    /// Where in the container.
    pub path: PathBuf,
    /// Character or block.
    pub kind: LinuxDeviceType,
    /// Which driver.
    pub major: i64,
    /// Which of its devices.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
    /// The owner and the group.
    pub owner: (u32, u32),
    /// `r`, `w`, `m`.
    pub access: String,
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// It is not on this host.
    #[error("look at device {}", path.display())]
    Stat {
        /// The node.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a device", .0.display())]
    NotADevice(PathBuf),
}

/// The devices that a definition names, and, for a privileged container, every other one of the host.
pub(crate) fn find(definition: &ContainerDefinition) -> Result<Vec<HostDevice>, DeviceError> {
    let mut devices = Vec::new();
    for device in definition.linux_parameters.iter().flat_map(|linux| &linux.devices) {
        let host = Path::new(&device.host_path);
        let inside = device.container_path.as_deref().unwrap_or(&device.host_path);
        let mut found = look(host)?.ok_or_else(|| DeviceError::NotADevice(host.to_owned()))?;
        found.path = PathBuf::from(inside);
        found.access = access(&device.permissions);
        devices.push(found);
    }
    if definition.privileged == Some(true) {
        let names = std::fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
        // A node that goes away while the list is read is no loss.
        let all = names.filter(|path| !path.is_symlink()).filter_map(|path| look(&path).ok().flatten());
        let all: Vec<HostDevice> =
            all.filter(|found| !devices.iter().any(|known| known.path == found.path)).collect();
        devices.extend(all);
    }
    Ok(devices)
}

fn look(path: &Path) -> Result<Option<HostDevice>, DeviceError> {
    let metadata = path.metadata().map_err(|source| DeviceError::Stat { path: path.to_owned(), source })?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    let number = |part: u64| i64::try_from(part).unwrap_or_default();
    Ok(Some(HostDevice {
        path: path.to_owned(),
        kind,
        major: number(major(metadata.rdev())),
        minor: number(minor(metadata.rdev())),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        access: access(&[]),
    }))
}

/// ECS's words as the letters of the kernel; all three when none is given.
fn access(words: &[String]) -> String {
    let letters = [("read", 'r'), ("write", 'w'), ("mknod", 'm')];
    let given =
        letters.iter().filter(|(word, _)| words.is_empty() || words.iter().any(|given| given == word));
    given.map(|(_, letter)| letter).collect()
}

/// The nodes that the runtime makes.
pub(super) fn nodes(devices: &[HostDevice]) -> Result<Vec<LinuxDevice>, BundleError> {
    let node = |device: &HostDevice| {
        let builder = LinuxDeviceBuilder::default().path(&device.path).typ(device.kind);
        let builder = builder.major(device.major).minor(device.minor).file_mode(device.mode);
        Ok(builder.uid(device.owner.0).gid(device.owner.1).build()?)
    };
    devices.iter().map(node).collect()
}

/// What the control group lets through.
pub(super) fn rules(devices: &[HostDevice]) -> Result<Vec<LinuxDeviceCgroup>, BundleError> {
    let rule = |device: &HostDevice| {
        let builder = LinuxDeviceCgroupBuilder::default().allow(true).typ(device.kind);
        Ok(builder.major(device.major).minor(device.minor).access(device.access.clone()).build()?)
    };
    devices.iter().map(rule).collect()
}

/// Everything: a privileged container.
pub(super) fn allow_all() -> Result<LinuxDeviceCgroup, BundleError> {
    Ok(LinuxDeviceCgroupBuilder::default().allow(true).typ(LinuxDeviceType::A).access("rwm").build()?)
}
