//! Why an image could not be had: a sentence for people, a kind for programs, and whether another try may help.

use std::path::PathBuf;

use crate::image::credentials::CredentialsError;
use crate::image::digest::Digest;
use crate::image::layer::LayerError;
use crate::image::manifest::ManifestError;
use crate::image::platform::Platform;
use crate::image::registry::RegistryError;
use crate::image::source::LocalError;
use crate::image::store::StoreError;

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry said no, or nothing.
    #[error("pull image {0}")]
    Registry(String, #[source] RegistryError),
    /// The file or directory is no image.
    #[error("load image {0}")]
    Local(String, #[source] LocalError),
    /// Credentials could not be read.
    #[error("pull image {0}")]
    Credentials(String, #[source] CredentialsError),
    /// The manifest or config cannot be used.
    #[error("pull image {0}")]
    Manifest(String, #[source] ManifestError),
    /// A document does not have the digest it was asked for by.
    #[error("pull image {image}: {wanted} has the wrong digest: its content is {actual}")]
    Digest {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: Digest,
        /// What came.
        actual: Digest,
    },
    /// There is no such image for this platform.
    #[error("image {image} has nothing for {wanted}, only for {}", .available.join(", "))]
    Platform {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<String>,
    },
    /// A layer could not be fetched, checked or unpacked.
    #[error("pull image {0}")]
    Layer(String, #[source] LayerError),
    /// The disk is full.
    #[error("pull image {image}: no space left in {}", .store.display())]
    DiskFull {
        /// The image.
        image: String,
        /// The store.
        store: PathBuf,
    },
    /// The store could not be used.
    #[error("pull image {0}")]
    Store(String, #[source] StoreError),
}

/// Kinds of failure that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// No such image or tag.
    NotFound,
    /// Not allowed, or not known who is asking.
    Unauthorised,
    /// The registry does not answer.
    Unreachable,
    /// The registry asks for patience.
    Throttled,
    /// Content is not what its digest says, or cannot be unpacked.
    Corrupt,
    /// The disk is full.
    DiskFull,
    /// Nothing for this host, or a format that is not supported.
    Unsupported,
    /// Anything else.
    Other,
}

impl PullError {
    /// Whether the same pull may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Registry(_, err) => err.is_transient(),
            Self::Local(_, _)
            | Self::Credentials(_, _)
            | Self::Manifest(_, _)
            | Self::Digest { .. }
            | Self::Platform { .. }
            | Self::Layer(_, _)
            | Self::DiskFull { .. }
            | Self::Store(_, _) => false,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> PullFailure {
        match self {
            Self::Registry(_, err) => err.kind(),
            Self::Local(_, err) => err.kind(),
            Self::Credentials(_, _) => PullFailure::Unauthorised,
            Self::Manifest(_, _) | Self::Platform { .. } => PullFailure::Unsupported,
            Self::DiskFull { .. } => PullFailure::DiskFull,
            Self::Layer(_, LayerError::Store(_, _)) | Self::Store(_, _) => PullFailure::Other,
            Self::Layer(_, _) | Self::Digest { .. } => PullFailure::Corrupt,
        }
    }
}
