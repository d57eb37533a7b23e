//! An image in the store, as the rest of the program sees it.

use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;

use crate::image::copy::copy_directory;
use crate::image::digest::Digest;
use crate::image::lookup::{self, LookupError};
use crate::image::reference::Reference;
use crate::image::users::{self, User, UserError};

/// An image whose layers are all here.
#[derive(Debug, Clone)]
pub struct Image {
    /// The name it was asked for by.
    pub reference: Reference,
    /// What that name stood for: the manifest, or the index that lists it.
    pub resolved_digest: Digest,
    /// Its manifest.
    pub manifest_digest: Digest,
    /// Its config.
    pub config_digest: Digest,
    /// What its maker wants run, and how.
    pub config: ImageConfiguration,
    /// Its layers, bottom first.
    pub layers: Vec<StoredLayer>,
    /// Bytes in all layers together.
    pub size: u64,
    /// When it was pulled, in seconds since 1970.
    pub pulled_at: u64,
    /// Whether it came from a file, so that no registry knows it by this name.
    pub is_loaded: bool,
}

/// One layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLayer {
    /// Digest of its tar.
    pub diff_id: Digest,
    /// The directory to mount. Never written.
    pub path: PathBuf,
    /// Bytes of its tar.
    pub size: u64,
}

impl Image {
    /// The directories for overlayfs's `lowerdir`, top first. A layer that occurs twice counts once, at its top.
    pub fn overlay_lowerdirs(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = Vec::new();
        for layer in self.layers.iter().rev() {
            if !directories.contains(&layer.path) {
                directories.push(layer.path.clone());
            }
        }
        directories
    }

    /// A file as a container of this image would read it; nothing when there is none.
    pub fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, LookupError> {
        lookup::read_file(&self.overlay_lowerdirs(), path)
    }

    /// Copies what a directory of the image holds, as a container would see it; see [`copy_directory`].
    pub fn copy_directory(
        &self,
        path: &Path,
        destination: &Path,
        is_wanted: &dyn Fn() -> bool,
    ) -> std::io::Result<()> {
        copy_directory(&self.overlay_lowerdirs(), path, destination, is_wanted)
    }

    /// Who `name|uid[:group|gid]` is by the image's own passwd and group files.
    pub fn resolve_user(&self, text: &str) -> Result<User, UserError> {
        let read = |path: &str| self.read_file(Path::new(path)).map(Option::unwrap_or_default);
        users::resolve(text, &read("/etc/passwd")?, &read("/etc/group")?)
    }
}
