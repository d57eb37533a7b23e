//! How far an image pull has come, as plain data: the image room makes it, programs that print it read it.
//!
//! One value describes one layer at one moment. Values of one layer come in order; those of different layers mix.

use serde::{Deserialize, Serialize};

/// What is happening to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerPhase {
    /// Another pull has it in hand.
    Waiting,
    /// Its bytes are arriving; what has arrived is being unpacked.
    Downloading,
    /// All bytes are here; the rest is being unpacked and checked.
    Unpacking,
    /// It was here before.
    Exists,
    /// It is checked and stored.
    Done,
    /// It was given up.
    Failed,
}

impl LayerPhase {
    /// Whether no further value of this layer will come.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Exists | Self::Done | Self::Failed => true,
            Self::Waiting | Self::Downloading | Self::Unpacking => false,
        }
    }
}

/// One layer of an image on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerProgress {
    /// The digest of the layer as it travels.
    pub layer: String,
    /// What is happening to it.
    pub phase: LayerPhase,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
}
