//! An OCI image layout: a directory with `oci-layout`, `index.json` and `blobs/<algorithm>/<hex>`.
//!
//! Blobs are written aside and renamed when whole. The index is replaced in one step, so a reader sees the old images
//! or the new ones. Several images live in one layout under their tags (`org.opencontainers.image.ref.name`).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex};
use serde_json::json;

use crate::image::digest::Digest;
use crate::image::pack::{Blob, HashingWriter};
use crate::model::reading;

/// The annotation that carries a tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image layout on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    directory: PathBuf,
}

/// What went wrong with a layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of it could not be read or written.
    #[error("image layout: {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Its index is no index.
    #[error("image layout: parse {}", .0.display())]
    Index(PathBuf, #[source] serde_json::Error),
    /// The directory is something else.
    #[error("{} is no OCI image layout", .0.display())]
    NotALayout(PathBuf),
}

impl Layout {
    /// The layout in `directory`, made when there is none.
    pub fn create(directory: &Path) -> Result<Self, LayoutError> {
        let layout = Self { directory: directory.to_owned() };
        let blobs = layout.directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|err| LayoutError::Io(blobs, err))?;
        let mark = layout.directory.join("oci-layout");
        if !mark.exists() {
            fs::write(&mark, r#"{"imageLayoutVersion":"1.0.0"}"#)
                .map_err(|err| LayoutError::Io(mark, err))?;
        }
        Ok(layout)
    }

    /// The layout in `directory`.
    pub fn open(directory: &Path) -> Result<Self, LayoutError> {
        if !directory.join("index.json").is_file() {
            return Err(LayoutError::NotALayout(directory.to_owned()));
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The bytes of `index.json`.
    pub fn index_bytes(&self) -> Result<Vec<u8>, LayoutError> {
        let path = self.directory.join("index.json");
        fs::read(&path).map_err(|err| LayoutError::Io(path, err))
    }

    /// The images in it.
    pub fn index(&self) -> Result<ImageIndex, LayoutError> {
        let path = self.directory.join("index.json");
        reading::from_slice(&self.index_bytes()?).map_err(|err| LayoutError::Index(path, err))
    }

    /// Adds a small blob.
    pub fn add_blob(&self, bytes: &[u8]) -> Result<Blob, LayoutError> {
        let written = self.write_blob(|out| out.write_all(bytes));
        let (blob, ()) = written.map_err(|err| LayoutError::Io(self.directory.clone(), err))?;
        Ok(blob)
    }

    /// Adds a blob that `write` produces.
    pub fn write_blob<T>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<(Blob, T)> {
        let aside = self.aside("blob");
        let result = self.write_aside(&aside, write);
        if result.is_err() {
            let _ = fs::remove_file(&aside); // the first error is the one to tell
        }
        result
    }

    fn write_aside<T>(
        &self,
        aside: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<(Blob, T)> {
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 17, File::create(aside)?));
        let value = write(&mut out)?;
        out.flush()?;
        let (file, digest) = out.finish();
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let size = file.metadata()?.len();
        fs::rename(aside, self.blob_path(&digest))?;
        Ok((Blob { digest, size }, value))
    }

    /// Points `tag` at a manifest, away from whatever it pointed at.
    pub fn tag(&self, tag: &str, manifest: &Blob) -> Result<(), LayoutError> {
        let path = self.directory.join("index.json");
        let old = if path.exists() { self.index()?.manifests().clone() } else { Vec::new() };
        let is_other = |entry: &Descriptor| tag_of(entry) != Some(tag);
        let mut entries: Vec<serde_json::Value> =
            old.iter().filter(|e| is_other(e)).map(|e| serde_json::to_value(e).unwrap_or_default()).collect();
        entries.push(json!({
            "mediaType": MANIFEST, "digest": manifest.digest.to_string(), "size": manifest.size,
            "annotations": {REF_NAME: tag},
        }));
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
        });
        let aside = self.aside("index");
        fs::write(&aside, index.to_string()).map_err(|err| LayoutError::Io(aside.clone(), err))?;
        fs::rename(&aside, &path).map_err(|err| LayoutError::Io(path, err))
    }

    fn aside(&self, what: &str) -> PathBuf {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.directory.join(format!(".{what}-{}-{next}", std::process::id()))
    }
}

/// The tag that an index entry carries.
pub fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations().as_ref()?.get(REF_NAME).map(String::as_str)
}
