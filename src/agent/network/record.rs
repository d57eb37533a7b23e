//! What a task holds of the network, as its directory keeps it: whoever cleans up after a dead agent reads it there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Given;
use crate::model::fact::Attachment;
use crate::model::ids::TaskId;
use crate::model::network::LinkName;
use crate::model::reading;

/// A record that could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub(crate) struct RecordError {
    path: PathBuf,
    source: io::Error,
}

/// What a task holds of the network, as its directory keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The id of the attachment.
    pub attachment: Option<Attachment>,
    /// The ports.
    pub given: Vec<Given>,
}

impl Record {
    /// Writes it down, so that it is there whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), RecordError> {
        let failed = |source| RecordError { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|err| failed(err.into()))?;
        let aside = path.with_extension("json.new");
        fs::write(&aside, text).and_then(|()| fs::rename(&aside, path)).map_err(failed)
    }

    /// Reads it again; nothing when there is nothing usable.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        reading::from_slice(&fs::read(path).ok()?).ok()
    }
}

/// The host's end of a task's interface.
pub(crate) fn link_of(task: &TaskId, record: &Path) -> LinkName {
    let attachment = Record::load(record).and_then(|record| record.attachment);
    attachment.map_or_else(|| LinkName::for_task(task.as_str()), |attachment| attachment.interface.host)
}
