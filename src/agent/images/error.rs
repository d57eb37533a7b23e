//! Why something with an image did not work.

use crate::agent::failure::sentence;
use crate::image::pull::{PullError, PullFailure};
use crate::image::save::{LoadError, SaveError};
use crate::image::store::StoreError;

/// Kinds of [`ImageError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageErrorKind {
    /// There is no such image.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// A task runs from it.
    InUse,
    /// The registry refused.
    AccessDenied,
    /// Nothing for this host, or a format that is not supported.
    Unsupported,
    /// It failed.
    Failed,
}

/// Why something with an image did not work: a kind for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// The kind.
    pub kind: ImageErrorKind,
    /// The whole sentence.
    pub message: String,
}

impl ImageError {
    pub(super) fn of(kind: ImageErrorKind, error: &dyn std::error::Error) -> Self {
        Self { kind, message: sentence(error) }
    }
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NoSuchImage(_) => ImageErrorKind::NotFound,
            StoreError::InUse(_) => ImageErrorKind::InUse,
            StoreError::Io(_, _)
            | StoreError::Record(_, _)
            | StoreError::Config(_, _)
            | StoreError::Damaged(_) => ImageErrorKind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<PullError> for ImageError {
    fn from(error: PullError) -> Self {
        let kind = match error.kind() {
            PullFailure::NotFound => ImageErrorKind::NotFound,
            PullFailure::Unauthorised => ImageErrorKind::AccessDenied,
            PullFailure::Unsupported => ImageErrorKind::Unsupported,
            PullFailure::Unreachable
            | PullFailure::Throttled
            | PullFailure::Corrupt
            | PullFailure::DiskFull
            | PullFailure::Other => ImageErrorKind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<LoadError> for ImageError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Pull(error) => error.into(),
            LoadError::Name(_) => Self::of(ImageErrorKind::Invalid, &error),
        }
    }
}

impl From<SaveError> for ImageError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Store(error) => error.into(),
            SaveError::Layer(_, _)
            | SaveError::Layout(_)
            | SaveError::Config(_)
            | SaveError::Output(_, _) => Self::of(ImageErrorKind::Failed, &error),
        }
    }
}
