//! An image from an OCI layout to a registry, for tests, demonstrations and hosts that feed others.
//!
//! Blobs that the registry has are not sent again. The manifest goes last, so a reader never sees it without its blobs.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use futures_util::stream;
use oci_client::errors::OciDistributionError;

use crate::image::digest::Digest;
use crate::image::layout::{Layout, LayoutError, tag_of};
use crate::image::manifest::{Document, ManifestError, digest_of};
use crate::image::pull::{PullError, PullOptions};
use crate::image::reference::Name;
use crate::image::registry::{Registry, RegistryError};
use crate::image::save::pieces;
use crate::image::source::connect;

/// Bytes sent in one request.
const PIECE: usize = 4 << 20;

/// Why an image could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The layout cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// It has no image under this tag.
    #[error("layout has no image tagged {0:?}")]
    NoTag(String),
    /// A blob of it cannot be read.
    #[error("read {}", .0.display())]
    Blob(PathBuf, #[source] io::Error),
    /// Its manifest cannot be used.
    #[error("push image")]
    Manifest(#[from] ManifestError),
    /// The registry does not let us in.
    #[error(transparent)]
    Connect(#[from] PullError),
    /// The registry does not take it.
    #[error("push image")]
    Registry(#[from] RegistryError),
}

/// Pushes the image tagged `tag` in `layout` as `name`; returns its manifest's digest.
pub async fn push(
    layout: &Layout,
    tag: &str,
    name: &Name,
    options: &PullOptions,
) -> Result<Digest, PushError> {
    let index = layout.index()?;
    let entry = index.manifests().iter().find(|entry| tag_of(entry) == Some(tag));
    let entry = entry.ok_or_else(|| PushError::NoTag(tag.to_owned()))?;
    let registry = connect(name, options, true).await?;
    let top = digest_of(entry)?;
    if let Document::Index(index) = Document::parse(&read(layout, &top)?)? {
        for entry in index.manifests() {
            let digest = digest_of(entry)?;
            image(layout, &registry, &digest, Some(&digest)).await?;
        }
        manifest(layout, &registry, &top, None).await?;
    } else {
        image(layout, &registry, &top, None).await?;
    }
    Ok(top)
}

/// Pushes one image: its blobs, then its manifest, under its digest or the name's tag.
async fn image(
    layout: &Layout,
    registry: &Registry,
    digest: &Digest,
    under: Option<&Digest>,
) -> Result<(), PushError> {
    let Document::Image(parsed) = Document::parse(&read(layout, digest)?)? else {
        return Err(ManifestError::Kind("image index within an image index".to_owned()).into());
    };
    for descriptor in parsed.layers().iter().chain([parsed.config()]) {
        blob(layout, registry, &digest_of(descriptor)?).await?;
    }
    manifest(layout, registry, digest, under).await
}

async fn blob(layout: &Layout, registry: &Registry, digest: &Digest) -> Result<(), PushError> {
    let text = digest.to_string();
    let refused = |err: OciDistributionError| registry.explain(err, &text);
    if registry.client.blob_exists(&registry.name, &text).await.map_err(refused)? {
        return Ok(());
    }
    let path = layout.blob_path(digest);
    let file = File::open(&path).map_err(|err| PushError::Blob(path, err))?;
    let stream = stream::iter(pieces(file, PIECE).map(|piece| piece.map_err(OciDistributionError::from)));
    registry.client.push_blob_stream(&registry.name, stream, &text, None).await.map_err(refused)?;
    Ok(())
}

async fn manifest(
    layout: &Layout,
    registry: &Registry,
    digest: &Digest,
    under: Option<&Digest>,
) -> Result<(), PushError> {
    let bytes = read(layout, digest)?;
    let kind: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| ManifestError::Parse("manifest", e))?;
    let media_type = kind["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
    let refused = |err: OciDistributionError| registry.explain(err, &digest.to_string());
    let media_type = media_type.parse().map_err(|_| ManifestError::Kind(media_type.to_owned()))?;
    let name = match under {
        Some(digest) => registry.name.clone_with_digest(digest.to_string()),
        None => registry.name.clone(),
    };
    registry.client.push_manifest_raw(&name, bytes, media_type).await.map_err(refused)?;
    Ok(())
}

fn read(layout: &Layout, digest: &Digest) -> Result<Vec<u8>, PushError> {
    let path = layout.blob_path(digest);
    std::fs::read(&path).map_err(|err| PushError::Blob(path, err))
}
