//! Images in and out of files: `load` and `save`, and pushing a layout to a registry.
//!
//! Compressed layers are not kept, so saving packs stored layers anew, canonically: the saved image has the same contents
//! and config but usually other digests than the registry's. Saving twice gives the same digests.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::layer::discard;
use crate::image::layout::{Layout, LayoutError};
use crate::image::manifest::Compression;
use crate::image::pack::{Clock, HashingWriter, Marks, gzip, write_image, write_tree};
use crate::image::pull::{Progress, PullError, PullOptions};
use crate::image::reference::{Reference, ReferenceError};
use crate::image::source::names_in;
use crate::image::store::{Image, ImageStore, StoreError, StoredLayer};

/// What kind of file to save to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An OCI layout directory; images already in it stay.
    Layout,
    /// A tar file with an OCI layout.
    OciArchive,
}

/// Why an image could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It is not there, or the store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer could not be packed.
    #[error("pack layer {0}")]
    Layer(Digest, #[source] io::Error),
    /// The layout could not be written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The config could not be changed to the new layers.
    #[error("write image config")]
    Config(#[source] serde_json::Error),
    /// The file could not be written.
    #[error("write {}", .0.display())]
    Output(PathBuf, #[source] io::Error),
}

/// Why an image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is no image, or not a whole one.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A name in the file is no name.
    #[error("name in the archive")]
    Name(#[source] ReferenceError),
}

impl ImageStore {
    /// Loads every image in a file or directory under the name it was saved by.
    pub async fn load(
        &self,
        path: &Path,
        options: &PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<Image>, LoadError> {
        let scratch = self.path("tmp");
        let owned = path.to_owned();
        let found = crate::image::pull::blocking(move || names_in(&owned, &scratch)).await;
        let found = found.map_err(|err| PullError::Local(path.display().to_string(), err))?;
        let mut images = Vec::new();
        for (reference, name) in found {
            let name = name.map(|name| Reference::parse(&named(&name, path)));
            let name = name.transpose().map_err(LoadError::Name)?.unwrap_or_else(|| reference.clone());
            images.push(self.pull_as(&reference, &name, options, progress.clone()).await?);
        }
        Ok(images)
    }

    /// Loads one image of a file or directory under `name`, or under the name that its tag stands for.
    pub async fn load_one(
        &self,
        source: &Reference,
        name: Option<Reference>,
        options: &PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Image, LoadError> {
        let local = match source {
            Reference::Layout(local) | Reference::OciArchive(local) | Reference::DockerArchive(local) => {
                Some(local)
            }
            Reference::Registry(_) => None,
        };
        let tagged = local.and_then(|local| Some(named(local.tag()?, local.path())));
        let name = match (name, tagged) {
            (Some(name), _) => name,
            (None, Some(tagged)) => Reference::parse(&tagged).map_err(LoadError::Name)?,
            (None, None) => source.clone(),
        };
        Ok(self.pull_as(source, &name, options, progress).await?)
    }

    /// Saves the image `reference` to `path` and returns the new manifest's digest.
    pub fn save(&self, reference: &Reference, path: &Path, format: Format) -> Result<Digest, SaveError> {
        let image = self.get(reference)?.ok_or_else(|| StoreError::NoSuchImage(reference.familiar()))?;
        let aside = path.with_file_name(format!(
            ".{}.saving-{}",
            path.file_name().unwrap_or_default().to_string_lossy(),
            std::process::id()
        ));
        match format {
            Format::Layout => self.save_layout(&image, path),
            Format::OciArchive => {
                let written = self.save_layout(&image, &aside).and_then(|digest| {
                    archive(&aside, path).map_err(|err| SaveError::Output(path.to_owned(), err))?;
                    Ok(digest)
                });
                let _ = discard(&aside); // ours alone, beside the output
                written
            }
        }
    }

    fn save_layout(&self, image: &Image, directory: &Path) -> Result<Digest, SaveError> {
        let layout = Layout::create(directory)?;
        let mut layers = Vec::new();
        for layer in &image.layers {
            let packed = layout.write_blob(|out| pack_stored(layer, out));
            layers.push(packed.map_err(|err| SaveError::Layer(layer.diff_id.clone(), err))?);
        }
        // The config as it came, so that members unknown to us survive; only the layers are other ones.
        let config = self.raw_config(image)?;
        let mut config: serde_json::Value = serde_json::from_slice(&config).map_err(SaveError::Config)?;
        let diff_ids: Vec<String> = layers.iter().map(|(_, diff_id)| diff_id.to_string()).collect();
        config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": diff_ids});
        let name = image.reference.familiar();
        Ok(write_image(&layout, &name, config.to_string().as_bytes(), &layers, Compression::Gzip)?)
    }
}

/// What a name in a file stands for. A bare tag is no name; the file lends it one.
fn named(name: &str, path: &Path) -> String {
    let is_tag = !name.contains(['/', ':', '@']);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if is_tag && Reference::parse(&format!("{stem}:{name}")).is_ok() {
        format!("{stem}:{name}")
    } else {
        name.to_owned()
    }
}

fn pack_stored(layer: &StoredLayer, out: &mut dyn Write) -> io::Result<Digest> {
    // By name, so that what packs other kinds is not in every program that saves.
    let mut tar = HashingWriter::new(gzip(out));
    write_tree(&layer.path, Clock::Kept, Marks::Overlay, &mut tar)?;
    let (encoder, diff_id) = tar.finish();
    encoder.finish()?;
    Ok(diff_id)
}

/// A layout directory as a tar file, whole or not at all.
fn archive(layout: &Path, path: &Path) -> io::Result<()> {
    let aside = layout.with_extension("tar");
    let write = || {
        let mut file = io::BufWriter::new(File::create(&aside)?);
        write_tree(layout, Clock::Fixed(0), Marks::None, &mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&aside, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&aside)))
}

/// The bytes of a file in pieces, for sending.
pub(crate) fn pieces(mut file: File, size: usize) -> impl Iterator<Item = io::Result<bytes::Bytes>> {
    std::iter::from_fn(move || {
        let mut piece = vec![0; size];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(piece.into()))
            }
            Err(err) => Some(Err(err)),
        }
    })
}
