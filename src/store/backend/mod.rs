//! Where rows are kept.
//!
//! A backend keeps documents under a table and a key, all of a batch or nothing of it, and gives them back when it
//! is opened again. It knows nothing of what they say.

use super::record::{Change, Row};

pub(super) mod memory;
mod migrate;
mod mirror;
mod reserve;
pub(super) mod sqlite;

/// Why rows cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The disk has no room.
    #[error("no space left for {}", path.display())]
    Full {
        /// The database. SQLite's own words would say the same once more.
        path: std::path::PathBuf,
    },
    /// Another process has the database open.
    #[error("another process is using the database")]
    InUse(#[source] rusqlite::Error),
    /// The database was written by a newer release.
    #[error("the database has format {found}, and this release knows formats up to {known}")]
    Newer {
        /// Its format.
        found: i64,
        /// The newest format that this release knows.
        known: i64,
    },
    /// The directory of the database cannot be made.
    #[error("make the directory of the database")]
    Directory(#[source] std::io::Error),
    /// Anything else that SQLite says.
    #[error("{act}")]
    Sqlite {
        /// What was being done.
        act: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A document cannot be written as JSON.
    #[error("encode {row}")]
    Encode {
        /// Its table and key.
        row: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Where rows are kept.
pub(super) trait Backend: Send {
    /// Every row, table by table in the order of [`Table::ALL`](super::record::Table::ALL).
    fn load(&mut self) -> Result<Vec<Row>, BackendError>;

    /// Writes all of `batch`, durably, or nothing of it. Later changes of a key win.
    fn commit(&mut self, batch: &[Change]) -> Result<(), BackendError>;

    /// Moves rows that nobody understands to a place where they disturb nobody.
    fn quarantine(&mut self, rows: &[Row]) -> Result<(), BackendError>;
}
