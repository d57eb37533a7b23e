//! Removing images, and then what no image needs any more.
//!
//! Mark and sweep: the records that are left and the manifests that containers run from say what is needed. While any
//! pull is under way nothing is collected; the next removal or prune makes up for it. Nobody ever waits for this.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::{ImageStore, Record, StoreError};
use crate::image::digest::Digest;
use crate::image::layer::discard;
use crate::image::locks::Subject;
use crate::image::manifest::{Document, digest_of, parse_config};
use crate::image::reference::Reference;

/// Which images to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prune {
    /// None; only layers and blobs that no image needs.
    Leftovers,
    /// Those that no container runs from.
    Unused,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freed {
    /// Names that are gone.
    pub images: Vec<String>,
    /// Layers that are gone.
    pub layers: usize,
    /// Bytes they held.
    pub bytes: u64,
    /// Whether something was left for later because a pull was under way.
    pub is_deferred: bool,
}

impl ImageStore {
    /// Removes the name `reference`, and what only it needed. An image that containers run from stays.
    pub fn remove(&self, reference: &Reference, in_use: &BTreeSet<Digest>) -> Result<Freed, StoreError> {
        let record = self.record(reference)?.ok_or_else(|| StoreError::NoSuchImage(reference.familiar()))?;
        let has_other_name =
            self.records()?.iter().any(|r| r.manifest == record.manifest && r.reference != record.reference);
        if in_use.contains(&record.manifest) && !has_other_name {
            return Err(StoreError::InUse(reference.familiar()));
        }
        self.forget(&record)?;
        let freed = self.collect(in_use)?;
        Ok(Freed { images: vec![record.reference.to_string()], ..freed })
    }

    /// Removes what nobody needs.
    pub fn prune(&self, which: Prune, in_use: &BTreeSet<Digest>) -> Result<Freed, StoreError> {
        let unused = match which {
            Prune::Leftovers => Vec::new(),
            Prune::Unused => self.records()?.into_iter().filter(|r| !in_use.contains(&r.manifest)).collect(),
        };
        unused.iter().try_for_each(|record| self.forget(record))?;
        let freed = self.collect(in_use)?;
        Ok(Freed { images: unused.iter().map(|record| record.reference.to_string()).collect(), ..freed })
    }

    fn forget(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(&record.reference);
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(StoreError::Io(path, err)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn collect(&self, in_use: &BTreeSet<Digest>) -> Result<Freed, StoreError> {
        let lock = self.path("lock");
        let lease = self.locks().attempt_to_collect().map_err(|err| StoreError::Io(lock, err))?;
        let Some(_lease) = lease else {
            return Ok(Freed { is_deferred: true, ..Freed::default() });
        };
        let (blobs, layers) = self.needed(in_use)?;
        let mut freed = Freed::default();
        for name in self.names("layers")?.into_iter().filter(|name| !layers.contains(name)) {
            let place = self.path("layers").join(&name);
            let size = fs::read_to_string(place.join("size")).ok().and_then(|text| text.parse().ok());
            freed.bytes += size.unwrap_or(0u64);
            freed.layers += 1;
            self.remove_layer(&name).map_err(|err| StoreError::Io(place, err))?;
        }
        for algorithm in ["sha256", "sha512"] {
            let directory = format!("blobs/{algorithm}");
            for name in self.names(&directory)?.into_iter().filter(|name| !blobs.contains(name)) {
                let path = self.path(&directory).join(name);
                fs::remove_file(&path).map_err(|err| StoreError::Io(path, err))?;
            }
        }
        for name in self.names("partial")? {
            let path = self.path("partial").join(&name);
            freed.bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            fs::remove_file(&path).map_err(|err| StoreError::Io(path, err))?;
        }
        Ok(freed)
    }

    /// A layer is first moved out of sight, so that a half-removed one is never seen.
    fn remove_layer(&self, name: &str) -> io::Result<()> {
        let _lease = self.locks().wait(Subject::Layer, name)?;
        let aside = self.aside(Subject::Layer, name);
        discard(&aside)?;
        fs::rename(self.path("layers").join(name), &aside)?;
        discard(&aside)
    }

    /// The file names of blobs and layers that something still needs.
    fn needed(&self, in_use: &BTreeSet<Digest>) -> Result<(BTreeSet<String>, BTreeSet<String>), StoreError> {
        let (mut blobs, mut layers) = (BTreeSet::new(), BTreeSet::new());
        for record in self.records()? {
            for digest in [&record.resolved, &record.manifest, &record.config] {
                blobs.insert(digest.hex().to_owned());
            }
            layers.extend(record.layers.iter().map(|diff_id| diff_id.hex().to_owned()));
        }
        for manifest in in_use {
            blobs.insert(manifest.hex().to_owned());
            if let Some((config, diff_ids)) = self.parts(manifest) {
                blobs.insert(config.hex().to_owned());
                layers.extend(diff_ids.iter().map(|diff_id| diff_id.hex().to_owned()));
            }
        }
        Ok((blobs, layers))
    }

    /// The config and layers of a manifest that has lost its name.
    fn parts(&self, manifest: &Digest) -> Option<(Digest, Vec<Digest>)> {
        let Ok(Document::Image(image)) = Document::parse(&self.read_blob(manifest).ok()?) else {
            return None;
        };
        let config = digest_of(image.config()).ok()?;
        let parsed = parse_config(&self.read_blob(&config).ok()?).ok()?;
        let diff_ids = parsed.rootfs().diff_ids().iter().filter_map(|text| Digest::parse(text).ok());
        Some((config, diff_ids.collect()))
    }
}
