//! A directory to an OCI image, the same bytes every time.
//!
//! A layer's tar is canonical: entries sorted by path, no user names, times from the caller's [`Clock`], extended
//! attributes sorted, POSIX headers with PAX records where a field is too small. So equal trees give equal digests.
//! The writer hashes while it writes: one pass gives the tar's digest (diffID) and the blob's.
//!
//! The result goes into an OCI layout directory ([`crate::image::layout`]), which may hold several images under tags.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use oci_spec::image::{Config, ImageConfiguration};
use serde_json::{Value, json};

use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::layout::{Layout, LayoutError};
use crate::image::manifest::Compression;
use crate::image::platform::Platform;
use crate::model::time::date_and_time;

mod tree;

pub use tree::{Clock, Marks, write_tree};

/// What to make an image of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Directories and tar files, each one layer, bottom first.
    pub inputs: Vec<PathBuf>,
    /// Entrypoint, environment, user and so on.
    pub config: Config,
    /// How layers are compressed.
    pub compression: Compression,
    /// The times that files get.
    pub clock: Clock,
    /// What the image runs on.
    pub platform: Platform,
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An input could not be read, or the output not written.
    #[error("pack {}", .0.display())]
    Input(PathBuf, #[source] io::Error),
    /// The layout could not be changed.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The config could not be written as JSON.
    #[error("write image config")]
    Config(#[source] serde_json::Error),
}

/// A blob in a layout.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

/// Makes an image of `recipe` in `layout` under `tag` and returns its manifest's digest.
pub fn pack(recipe: &Recipe, layout: &Layout, tag: &str) -> Result<Digest, PackError> {
    let mut packed = Vec::new();
    for input in &recipe.inputs {
        let layer = layout.write_blob(|out| pack_layer(input, recipe, out));
        packed.push(layer.map_err(|err| PackError::Input(input.clone(), err))?);
    }
    let layers: Vec<(Blob, Digest)> = packed;
    let diff_ids: Vec<Digest> = layers.iter().map(|(_, diff_id)| diff_id.clone()).collect();
    let config = configuration(recipe, &diff_ids)?;
    Ok(write_image(layout, tag, &config, &layers, recipe.compression)?)
}

/// Writes config, manifest and index entry of an image whose layers are already in `layout`.
pub fn write_image(
    layout: &Layout,
    tag: &str,
    config: &[u8],
    layers: &[(Blob, Digest)],
    compression: Compression,
) -> Result<Digest, LayoutError> {
    let config_blob = layout.add_blob(config)?;
    let layer_type = match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    };
    let describe = |media_type: &str, blob: &Blob| json!({"mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &config_blob),
        "layers": layers.iter().map(|(blob, _)| describe(layer_type, blob)).collect::<Vec<_>>(),
    });
    let manifest = layout.add_blob(manifest.to_string().as_bytes())?;
    layout.tag(tag, &manifest)?;
    Ok(manifest.digest)
}

/// Writes one input as a layer's tar, compressed; returns the digest of the tar.
fn pack_layer(input: &Path, recipe: &Recipe, out: &mut dyn Write) -> io::Result<Digest> {
    let mut hashing = HashingWriter {
        inner: Encoder::new(out, recipe.compression)?,
        hasher: Hasher::new(Algorithm::Sha256),
    };
    if input.is_dir() {
        write_tree(input, recipe.clock, Marks::None, &mut hashing)?;
    } else {
        copy_tar(input, &mut hashing)?;
    }
    let HashingWriter { inner, hasher } = hashing;
    inner.finish()?;
    Ok(hasher.finish())
}

/// A tar is a layer as it is; one that came compressed is opened first.
fn copy_tar(input: &Path, out: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(input)?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    let file = File::open(input)?;
    let mut plain = crate::image::layer::decoder(crate::image::layer::sniff(&magic[..length]), file)?;
    io::copy(&mut plain, out).map(drop)
}

fn configuration(recipe: &Recipe, diff_ids: &[Digest]) -> Result<Vec<u8>, PackError> {
    let created = recipe.clock.fixed().map(|seconds| format!("{}Z", date_and_time(seconds)));
    let mut configuration = ImageConfiguration::default();
    configuration.set_created(created);
    configuration.set_architecture(recipe.platform.architecture.as_str().into());
    configuration.set_os(recipe.platform.os.as_str().into());
    configuration.set_variant(recipe.platform.variant.clone());
    configuration.set_config(Some(recipe.config.clone()));
    configuration.rootfs_mut().set_diff_ids(diff_ids.iter().map(Digest::to_string).collect());
    let json = serde_json::to_value(&configuration).map_err(PackError::Config)?;
    Ok(sorted(json).to_string().into_bytes())
}

/// The same value with its members in order: hash maps would give another digest each time.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// A writer that compresses, always to the same bytes for the same input.
pub enum Encoder<W: Write> {
    /// Nothing to do.
    None(W),
    /// [`gzip`].
    Gzip(GzEncoder<W>),
    /// Zstandard with its checksum.
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Compresses into `out`.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(out),
            Compression::Gzip => Self::Gzip(gzip(out)),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(out, 3)?),
        })
    }

    /// Writes what is held back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(mut out) => out.flush().map(|()| out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// gzip without a time and a name in its header.
pub fn gzip<W: Write>(out: W) -> GzEncoder<W> {
    flate2::GzBuilder::new().mtime(0).write(out, flate2::Compression::default())
}

/// A writer that hashes what passes.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> HashingWriter<W> {
    /// Hashes with SHA-256 what goes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256) }
    }

    /// The writer and the digest of what passed.
    pub fn finish(self) -> (W, Digest) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
