//! One layer from a stream of bytes to its place in the store.
//!
//! Everything happens in one pass by two threads: one hashes the bytes that arrive, decompresses them and hashes them
//! again, the other unpacks them aside. Only when both digests are right, everything is on disk and the inventory is
//! complete does one rename make the layer visible. Memory does not grow with the layer.
//!
//! A stored layer is `layers/<diffID>/` with `fs/` (what overlayfs mounts), `inventory` and `size`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::image::ahead::ahead;
use crate::image::digest::{Digest, Hasher};
use crate::image::inventory::Writer;
use crate::image::manifest::{Compression, Layer};
use crate::image::unpack::{Deletions, UnpackError, Unpacker, is_full};
use crate::kernel::fs::sync_filesystem;

/// Why a layer did not make it into the store.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Other bytes arrived than the manifest promised.
    #[error("layer {expected} has the wrong digest: its content is {actual}")]
    BlobDigest {
        /// What the manifest says.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Too few or too many bytes arrived.
    #[error("layer {layer} has the wrong size: {expected} bytes expected, {actual} received")]
    BlobSize {
        /// The layer.
        layer: Digest,
        /// What the manifest says.
        expected: u64,
        /// What came, one more than expected standing for any excess.
        actual: u64,
    },
    /// The bytes are right but what they unpack to is not what the config says.
    #[error("layer {blob} unpacks to {actual}, but the image config says {expected}")]
    DiffId {
        /// The layer as it travels.
        blob: Digest,
        /// What the config says.
        expected: Digest,
        /// What came out.
        actual: Digest,
    },
    /// It cannot be unpacked.
    #[error("unpack layer {0}")]
    Unpack(Digest, #[source] UnpackError),
    /// The store could not be written.
    #[error("store layer: {}", .0.display())]
    Store(PathBuf, #[source] io::Error),
}

impl LayerError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Unpack(_, err) => err.is_disk_full(),
            Self::Store(_, err) => is_full(err),
            Self::BlobDigest { .. } | Self::BlobSize { .. } | Self::DiffId { .. } => false,
        }
    }

    /// Whether the bytes themselves are to blame, so that fetching them anew may help.
    #[must_use]
    pub fn is_content(&self) -> bool {
        match self {
            Self::BlobDigest { .. } | Self::BlobSize { .. } | Self::DiffId { .. } => true,
            Self::Unpack(_, UnpackError::Archive(err)) => !is_full(err),
            Self::Unpack(_, _) | Self::Store(_, _) => false,
        }
    }
}

/// Unpacks `packed` aside, checks it, and renames it to `place`. `aside` belongs to the caller alone.
///
/// `checked` is called when the layer is whole and right, before it is flushed: what kept its bytes may go.
pub(crate) fn land(
    layer: &Layer,
    packed: impl Read + Send,
    checked: impl FnOnce(),
    aside: &Path,
    place: &Path,
) -> Result<(), LayerError> {
    let result = unpack_aside(layer, packed, aside).and_then(|()| {
        checked();
        make_visible(aside, place)
    });
    if result.is_err() {
        let _ = discard(aside); // the first error is the one to tell; leftovers go at the next start
    }
    result
}

/// Removes a tree that may not exist.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = File::open(parent)?;
    crate::image::unpack::remove_tree(std::os::fd::AsFd::as_fd(&parent), name)
}

fn unpack_aside(layer: &Layer, packed: impl Read + Send, aside: &Path) -> Result<(), LayerError> {
    let stored = |err| LayerError::Store(aside.to_owned(), err);
    discard(aside).map_err(stored)?;
    fs::create_dir_all(aside.join("fs")).map_err(stored)?;
    // An archive need not describe its root, and whoever runs in it must be able to enter.
    fs::set_permissions(aside.join("fs"), fs::Permissions::from_mode(0o755)).map_err(stored)?;
    let inventory = Writer::create(&aside.join("inventory")).map_err(stored)?;
    let unpacker = Unpacker::new(&aside.join("fs"), Deletions::Marked, Some(inventory)).map_err(stored)?;
    let length = unpack_checked(layer, packed, unpacker)?;
    fs::write(aside.join("size"), length.to_string()).map_err(stored)
}

/// Unpacks and checks both digests; returns the length of the tar.
pub(crate) fn unpack_checked(
    layer: &Layer,
    packed: impl Read + Send,
    unpacker: Unpacker,
) -> Result<u64, LayerError> {
    // One byte more than promised is enough to know that it is too much.
    let mut blob = HashingReader::new(packed.take(layer.size + 1), &layer.blob);
    match unpack_stream(layer, &mut blob, unpacker) {
        Ok((length, diff_id)) => {
            check_blob(layer, blob)?;
            if diff_id != layer.diff_id {
                let expected = layer.diff_id.clone();
                return Err(LayerError::DiffId { blob: layer.blob.clone(), expected, actual: diff_id });
            }
            Ok(length)
        }
        Err(error @ UnpackError::Archive(_)) => {
            // Damaged in transit or broken from the start? The digest tells.
            match check_blob(layer, blob) {
                Ok(()) | Err(LayerError::Unpack(_, _)) => Err(LayerError::Unpack(layer.blob.clone(), error)),
                Err(damaged) => Err(damaged),
            }
        }
        Err(other) => Err(LayerError::Unpack(layer.blob.clone(), other)),
    }
}

fn unpack_stream(
    layer: &Layer,
    blob: &mut (impl Read + Send),
    unpacker: Unpacker,
) -> Result<(u64, Digest), UnpackError> {
    let plain = decoder(layer.compression, blob).map_err(UnpackError::Archive)?;
    let mut tar = HashingReader::new(plain, &layer.diff_id);
    let done = ahead(&mut tar, |pieces| {
        let mut rest = unpacker.unpack(pieces)?;
        // The digest covers what follows the last entry too.
        io::copy(&mut rest, &mut io::sink()).map_err(UnpackError::Archive)
    });
    done.map_err(UnpackError::Archive)??;
    Ok((tar.length, tar.hasher.finish()))
}

/// Reads what is left of the blob and compares.
fn check_blob(layer: &Layer, mut blob: HashingReader<impl Read>) -> Result<(), LayerError> {
    let rest = io::copy(&mut blob, &mut io::sink());
    rest.map_err(|err| LayerError::Unpack(layer.blob.clone(), UnpackError::Archive(err)))?;
    let (length, actual) = (blob.length, blob.hasher.finish());
    if length != layer.size {
        return Err(LayerError::BlobSize { layer: layer.blob.clone(), expected: layer.size, actual: length });
    }
    if actual != layer.blob {
        return Err(LayerError::BlobDigest { expected: layer.blob.clone(), actual });
    }
    Ok(())
}

fn make_visible(aside: &Path, place: &Path) -> Result<(), LayerError> {
    let stored = |err| LayerError::Store(place.to_owned(), err);
    let parent = place.parent().unwrap_or(place);
    let directory = File::open(parent).map_err(stored)?;
    sync_filesystem(&directory).map_err(|errno| stored(errno.into()))?;
    fs::rename(aside, place).map_err(stored)?;
    directory.sync_all().map_err(stored)
}

/// What the first bytes of a layer say about how it is packed.
pub fn sniff(magic: &[u8]) -> Compression {
    if magic.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// A reader of what `packed` contains.
pub fn decoder<'a>(
    compression: Compression,
    packed: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, packed)))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
    })
}

/// A reader that counts and hashes what passes.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    length: u64,
}

impl<R> HashingReader<R> {
    /// Hashes as `expected` was.
    pub(crate) fn new(inner: R, expected: &Digest) -> Self {
        Self { inner, hasher: Hasher::new(expected.algorithm()), length: 0 }
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
