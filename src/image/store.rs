//! Images on this host.
//!
//! ```text
//! layers/<diffID>/{fs,inventory,size}   unpacked, read-only, shared by all images
//! blobs/<algorithm>/<hex>               manifests and configs, as they came
//! images/<digest of name>.json          which manifest a name stands for
//! partial/<blob digest>                 bytes of a layer whose download was cut off
//! tmp/<subject>-<hex>                   being made; nothing else reads it
//! lock                                  see `locks`
//! ```
//!
//! Everything visible is whole: it was made in `tmp`, synced and renamed. Several processes may use one store at once.
//! Compressed layers are not kept; [`ImageStore::save`] packs stored layers anew.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::image::digest::Digest;
use crate::image::layer::discard;
use crate::image::locks::{Lease, Locks, Subject};
use crate::image::manifest::{LARGEST_DOCUMENT, Layer, ManifestError, parse_config};
use crate::image::reference::Reference;
use crate::model::reading;

mod collect;
mod verify;

pub use collect::{Freed, Prune};
pub use verify::Problem;

pub use crate::image::stored::{Image, StoredLayer};

/// A store of images. Cheap to clone, safe to share.
#[derive(Debug, Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    locks: Locks,
    waiting: Semaphore,
}

/// Threads that may wait for somebody's layer at once. Whoever lands a layer needs a thread too, so those who wait for it
/// must not have them all.
const WAITING: usize = 8;

/// What went wrong in the store itself.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of it could not be read or written.
    #[error("image store: {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// A record is no record.
    #[error("image store: parse {}", .0.display())]
    Record(PathBuf, #[source] serde_json::Error),
    /// A stored config is no config.
    #[error("image store: config {0}")]
    Config(Digest, #[source] ManifestError),
    /// A stored document does not have the digest it is stored under.
    #[error("image store: {0} is damaged; pull the image again")]
    Damaged(Digest),
    /// There is no such image.
    #[error("image {0} is not in the store")]
    NoSuchImage(String),
    /// Containers need it.
    #[error("image {0} is in use")]
    InUse(String),
}

impl StoreError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io(_, err) => crate::image::unpack::is_full(err),
            Self::Record(_, _)
            | Self::Config(_, _)
            | Self::Damaged(_)
            | Self::NoSuchImage(_)
            | Self::InUse(_) => false,
        }
    }
}

/// What is kept for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) reference: Reference,
    /// What the name stood for: a manifest or an index.
    pub(crate) resolved: Digest,
    pub(crate) manifest: Digest,
    pub(crate) config: Digest,
    pub(crate) layers: Vec<Digest>,
    pub(crate) pulled_at: u64,
    /// Whether it came from a file.
    #[serde(default)]
    pub(crate) is_loaded: bool,
}

impl ImageStore {
    /// Opens the store at `root`, made when missing, and removes what dead processes left.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let make = |path: &Path| {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|err| StoreError::Io(path.to_owned(), err))
        };
        make(root)?;
        let root = root.canonicalize().map_err(|err| StoreError::Io(root.to_owned(), err))?;
        for name in ["layers", "blobs/sha256", "blobs/sha512", "images", "partial", "tmp"] {
            make(&root.join(name))?;
        }
        let store = Self {
            inner: Arc::new(Inner { locks: Locks::new(&root), root, waiting: Semaphore::new(WAITING) }),
        };
        store.sweep()?;
        Ok(store)
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The image that `reference` stands for here.
    pub fn get(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        self.record(reference)?.map(|record| self.image(record)).transpose()
    }

    /// All images, sorted by name.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        self.records()?.into_iter().map(|record| self.image(record)).collect()
    }

    /// The config of an image as its maker wrote it.
    pub fn raw_config(&self, image: &Image) -> Result<Vec<u8>, StoreError> {
        self.read_blob(&image.config_digest)
    }

    /// Removes what `tmp` holds of processes that are no more.
    fn sweep(&self) -> Result<(), StoreError> {
        let directory = self.path("tmp");
        for name in self.names("tmp")? {
            let path = directory.join(&name);
            let failed = |err| StoreError::Io(path.clone(), err);
            // A name that is not ours is nobody's.
            let lease = match Subject::of_name(&name) {
                Some((subject, hex)) => self.locks().attempt(subject, hex).map_err(failed)?.map(Some),
                None => Some(None),
            };
            if lease.is_some() {
                discard(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The turns to wait for a lock.
    pub(crate) fn waiting(&self) -> &Semaphore {
        &self.inner.waiting
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.inner.locks
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.inner.root.join(name)
    }

    /// Where the maker of something puts it, while it holds the lease.
    pub(crate) fn aside(&self, subject: Subject, hex: &str) -> PathBuf {
        self.inner.root.join("tmp").join(format!("{}-{hex}", subject.word()))
    }

    pub(crate) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.inner.root.join("layers").join(diff_id.hex())
    }

    pub(crate) fn partial_path(&self, blob: &Digest) -> PathBuf {
        self.inner.root.join("partial").join(blob.hex())
    }

    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_path(diff_id).join("fs").is_dir()
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.inner.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// A stored manifest or config, checked.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| {
            io::Read::read_to_end(&mut io::Read::take(file, LARGEST_DOCUMENT + 1), &mut bytes)
        });
        read.map_err(|err| StoreError::Io(path, err))?;
        if digest.is_of(&bytes) { Ok(bytes) } else { Err(StoreError::Damaged(digest.clone())) }
    }

    /// Keeps a manifest or config.
    pub(crate) fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.read_blob(digest).is_ok() {
            return Ok(());
        }
        let path = self.blob_path(digest);
        let lease = self.locks().wait(Subject::Blob, digest.hex());
        let lease = lease.map_err(|err| StoreError::Io(path.clone(), err))?;
        Self::replace(&lease, &self.aside(Subject::Blob, digest.hex()), &path, bytes)
    }

    /// Makes `record` what its name stands for.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), StoreError> {
        let key = Digest::of(record.reference.to_string().as_bytes());
        let path = self.record_path(&record.reference);
        let bytes = serde_json::to_vec(record).map_err(|err| StoreError::Record(path.clone(), err))?;
        let lease = self.locks().wait(Subject::Record, key.hex());
        let lease = lease.map_err(|err| StoreError::Io(path.clone(), err))?;
        Self::replace(&lease, &self.aside(Subject::Record, key.hex()), &path, &bytes)
    }

    /// Writes a file aside, syncs it and puts it in place.
    fn replace(_lease: &Lease, aside: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let write = || {
            let mut file = File::create(aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(aside, path)?;
            File::open(path.parent().unwrap_or(path))?.sync_all()
        };
        write().map_err(|err| {
            let _ = fs::remove_file(aside); // the first error is the one to tell
            StoreError::Io(path.to_owned(), err)
        })
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        let key = Digest::of(reference.to_string().as_bytes());
        self.inner.root.join("images").join(format!("{}.json", key.hex()))
    }

    pub(crate) fn record(&self, reference: &Reference) -> Result<Option<Record>, StoreError> {
        Self::read_record(&self.record_path(reference))
    }

    fn read_record(path: &Path) -> Result<Option<Record>, StoreError> {
        let bytes = match fs::read(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|err| StoreError::Io(path.to_owned(), err))?,
        };
        reading::from_slice(&bytes).map(Some).map_err(|err| StoreError::Record(path.to_owned(), err))
    }

    pub(crate) fn records(&self) -> Result<Vec<Record>, StoreError> {
        let directory = self.path("images");
        let mut records = Vec::new();
        for name in self.names("images")? {
            records.extend(Self::read_record(&directory.join(name))?);
        }
        records.sort_by(|a: &Record, b| a.reference.cmp(&b.reference));
        Ok(records)
    }

    /// The names in one of the store's directories.
    fn names(&self, directory: &str) -> Result<BTreeSet<String>, StoreError> {
        let path = self.path(directory);
        let failed = |err| StoreError::Io(path.clone(), err);
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            names.insert(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    pub(crate) fn image(&self, record: Record) -> Result<Image, StoreError> {
        let config = parse_config(&self.read_blob(&record.config)?);
        let config = config.map_err(|err| StoreError::Config(record.config.clone(), err))?;
        let layers: Vec<StoredLayer> =
            record.layers.into_iter().map(|diff_id| self.stored(diff_id)).collect();
        Ok(Image {
            reference: record.reference,
            resolved_digest: record.resolved,
            manifest_digest: record.manifest,
            config_digest: record.config,
            size: layers.iter().map(|layer| layer.size).sum(),
            config,
            layers,
            pulled_at: record.pulled_at,
            is_loaded: record.is_loaded,
        })
    }

    fn stored(&self, diff_id: Digest) -> StoredLayer {
        let place = self.layer_path(&diff_id);
        let size =
            fs::read_to_string(place.join("size")).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        StoredLayer { diff_id, path: place.join("fs"), size }
    }

    /// Whether every layer of `record` is here.
    pub(crate) fn is_complete(&self, record: &Record) -> bool {
        record.layers.iter().all(|diff_id| self.has_layer(diff_id)) && self.read_blob(&record.config).is_ok()
    }

    /// Unpacks a layer from `packed` unless it is here; the caller holds its lease. `checked` is told as soon as the
    /// bytes of `packed` are not needed again.
    pub(crate) fn land(
        &self,
        layer: &Layer,
        packed: impl io::Read + Send,
        checked: impl FnOnce(),
        _lease: &Lease,
    ) -> Result<(), crate::image::layer::LayerError> {
        if self.has_layer(&layer.diff_id) {
            return Ok(());
        }
        let aside = self.aside(Subject::Layer, layer.diff_id.hex());
        crate::image::layer::land(layer, packed, checked, &aside, &self.layer_path(&layer.diff_id))
    }
}
