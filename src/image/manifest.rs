//! Manifests: what an image is made of, in OCI's and in Docker's words.
//!
//! Both formats have the same shape and differ in their media types, so one set of types reads both. The old Docker
//! schema 1 has no config and no diffIDs; it is recognised and refused. Sizes and counts are limited here, before
//! anything is fetched because of them.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use crate::image::digest::Digest;
use crate::model::reading;

/// The largest manifest or config that is read. Registries allow manifests of 4 MiB.
pub const LARGEST_DOCUMENT: u64 = 8 << 20;
/// The most layers an image may have; overlayfs stacks no more than 500.
pub const MOST_LAYERS: usize = 500;

/// The media types of manifests that are asked for.
pub const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A manifest or a list of them.
#[derive(Debug, Clone)]
pub enum Document {
    /// One image.
    Image(Box<ImageManifest>),
    /// Several, one for each platform.
    Index(Box<ImageIndex>),
}

/// How a layer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A bare tar.
    None,
    /// gzip, one or more members.
    Gzip,
    /// Zstandard, one or more frames.
    Zstd,
}

/// One layer: what travels and what it unpacks from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the bytes that travel.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
    /// Digest of the tar within.
    pub diff_id: Digest,
    /// How it is packed.
    pub compression: Compression,
}

/// A manifest or config that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of the expected shape.
    #[error("parse {0}")]
    Parse(&'static str, #[source] serde_json::Error),
    /// Docker's first format.
    #[error("image uses the obsolete docker manifest schema 1; push it again with a current tool")]
    SchemaOne,
    /// Neither a manifest nor an index.
    #[error("document of type {0:?} is no image manifest")]
    Kind(String),
    /// Something else than an image.
    #[error("config of type {0:?} is no container image")]
    Artifact(String),
    /// A layer of a kind that cannot be unpacked.
    #[error("layer has the unknown media type {0:?}")]
    LayerType(String),
    /// A digest that cannot be checked.
    #[error("digest in manifest")]
    Digest(#[from] crate::image::digest::DigestError),
    /// The config does not describe the layers of the manifest.
    #[error("config names {diff_ids} layers and the manifest {layers}")]
    Count {
        /// Layers in the config.
        diff_ids: usize,
        /// Layers in the manifest.
        layers: usize,
    },
    /// More layers than can be mounted.
    #[error("image has {0} layers, more than 500")]
    TooMany(usize),
}

impl Document {
    /// Reads a manifest or an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| ManifestError::Parse("manifest", e))?;
        if json.get("schemaVersion").and_then(serde_json::Value::as_u64) == Some(1) {
            return Err(ManifestError::SchemaOne);
        }
        // The media type is optional in OCI; the members tell the two apart.
        if json.get("manifests").is_some() && json.get("layers").is_none() {
            let index = reading::from_value(json).map_err(|e| ManifestError::Parse("image index", e))?;
            return Ok(Self::Index(Box::new(index)));
        }
        if json.get("config").is_none() {
            let kind = json.get("mediaType").and_then(serde_json::Value::as_str).unwrap_or("unknown");
            return Err(ManifestError::Kind(kind.to_owned()));
        }
        let image = reading::from_value(json).map_err(|e| ManifestError::Parse("manifest", e))?;
        Ok(Self::Image(Box::new(image)))
    }
}

/// Reads an image config.
pub fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration, ManifestError> {
    reading::from_slice(bytes).map_err(|e| ManifestError::Parse("image config", e))
}

/// Our own form of a digest in a descriptor.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest, ManifestError> {
    Ok(Digest::parse(descriptor.digest().as_ref())?)
}

/// Whether the config of `manifest` is an image's and not some other artifact's.
pub fn require_image(manifest: &ImageManifest) -> Result<(), ManifestError> {
    match manifest.config().media_type().to_string().as_str() {
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
            Ok(())
        }
        other => Err(ManifestError::Artifact(other.to_owned())),
    }
}

/// The layers of an image, bottom first.
pub fn layers(manifest: &ImageManifest, config: &ImageConfiguration) -> Result<Vec<Layer>, ManifestError> {
    let (layers, diff_ids) = (manifest.layers(), config.rootfs().diff_ids());
    if layers.len() != diff_ids.len() {
        return Err(ManifestError::Count { diff_ids: diff_ids.len(), layers: layers.len() });
    }
    if layers.len() > MOST_LAYERS {
        return Err(ManifestError::TooMany(layers.len()));
    }
    let pairs = layers.iter().zip(diff_ids);
    pairs
        .map(|(descriptor, diff_id)| {
            Ok(Layer {
                blob: digest_of(descriptor)?,
                size: descriptor.size(),
                diff_id: Digest::parse(diff_id)?,
                compression: compression(descriptor.media_type())?,
            })
        })
        .collect()
}

fn compression(media_type: &MediaType) -> Result<Compression, ManifestError> {
    let text = media_type.to_string();
    let is_layer = text.starts_with("application/vnd.oci.image.layer.")
        || text.starts_with("application/vnd.docker.image.rootfs.");
    let known = [
        (".tar", Compression::None),
        (".tar+gzip", Compression::Gzip),
        (".tar.gzip", Compression::Gzip),
        (".tar+zstd", Compression::Zstd),
        (".tar.zstd", Compression::Zstd),
    ];
    let found = known.iter().find(|(end, _)| is_layer && text.ends_with(end));
    found.map(|(_, compression)| *compression).ok_or(ManifestError::LayerType(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_both_formats_are_known_by_their_media_types() {
        for (text, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
            ("application/vnd.docker.image.rootfs.diff.tar", Compression::None),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::Gzip),
        ] {
            assert_eq!(compression(&MediaType::from(text)).unwrap(), expected, "{text}");
        }
        assert!(compression(&MediaType::from("application/wasm")).is_err());
    }

    #[test]
    fn schema_one_is_refused_by_name() {
        let refused = Document::parse(br#"{"schemaVersion":1,"fsLayers":[]}"#).unwrap_err();
        assert!(matches!(refused, ManifestError::SchemaOne));
    }

    #[test]
    fn something_without_config_is_no_manifest() {
        assert!(matches!(Document::parse(b"{}"), Err(ManifestError::Kind(_))));
        assert!(matches!(Document::parse(b"nonsense"), Err(ManifestError::Parse(_, _))));
    }
}
