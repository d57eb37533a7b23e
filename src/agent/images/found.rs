//! What is asked about images and what is answered, in plain words.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::digest::Digest;
use crate::image::store::{Freed, Image};
use crate::model::ids::TaskId;
use crate::model::time::Timestamp;

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its full name.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    /// `linux/amd64`.
    pub platform: String,
    /// Bytes in its layers.
    pub size: u64,
    /// When it came here.
    pub pulled_at: Timestamp,
    /// When it was built, as its configuration says, in RFC 3339.
    pub created: Option<String>,
    /// The digests of its layers, lowest first.
    pub layers: Vec<String>,
    /// How many tasks use it.
    pub used_by: usize,
}

/// What a removal removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovedImages {
    /// Names that are gone.
    pub names: Vec<String>,
    /// How many layers are gone.
    pub layers: usize,
    /// Bytes that are free now.
    pub freed: u64,
    /// Whether something was left for later because a pull was under way.
    pub is_deferred: bool,
}

/// How to pull one image.
#[derive(Debug, Clone, Default)]
pub struct ImageRequest {
    /// What to pull.
    pub reference: String,
    /// `linux/arm64/v8`; this host's when absent.
    pub platform: Option<String>,
    /// `NAME:PASSWORD`; looked up in docker's configuration when absent.
    pub credentials: Option<String>,
    /// Speak plain HTTP to its registry.
    pub is_plain_http: bool,
}

/// What a check of an image found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFinding {
    /// The image or the layer.
    pub subject: String,
    /// Whether it is as it should be.
    pub is_sound: bool,
    /// What is wrong with it, or what was checked.
    pub message: String,
}

impl From<Freed> for RemovedImages {
    fn from(freed: Freed) -> Self {
        Self { names: freed.images, layers: freed.layers, freed: freed.bytes, is_deferred: freed.is_deferred }
    }
}

/// What is told of an image that `uses` says who needs.
pub(super) fn entry(image: &Image, uses: &BTreeMap<TaskId, BTreeSet<Digest>>) -> ImageEntry {
    let config = &image.config;
    ImageEntry {
        name: image.reference.to_string(),
        digest: image.manifest_digest.to_string(),
        platform: format!("{}/{}", config.os(), config.architecture()),
        size: image.size,
        pulled_at: Timestamp(image.pulled_at.saturating_mul(1000)),
        created: config.created().clone(),
        layers: image.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
        used_by: uses.values().filter(|used| used.contains(&image.manifest_digest)).count(),
    }
}
