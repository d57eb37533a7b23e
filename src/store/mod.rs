//! Memory: intent and fact, revisions, watch.
//!
//! ```text
//!   write(|draft| …) ──> writer thread ──> backend (durable) ──> snapshot swapped ──> watches told
//!   snapshot() <─────────────────────────────────────────────────────┘
//! ```
//!
//! Readers take a [`Snapshot`] and no lock. Writers hand a closure to one thread, which runs them in order, commits
//! those that wait together in one transaction, and answers when the commit is on disk. A write that fails changes
//! nothing. What is kept are documents under a key, so a backend is small: SQLite by default, memory in tests, and
//! one suite of promises for both.
//!
//! The store knows nothing of what its values mean beyond the indexes that decisions need.

mod backend;
mod draft;
mod index;
mod logs;
mod placement;
mod record;
mod snapshot;
mod watch;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;

pub use self::{
    backend::BackendError,
    draft::{Draft, Retention},
    index::{Counts, Taken},
    record::{ClientToken, ServiceKey},
    snapshot::Snapshot,
    watch::{Changes, Watch},
};
use self::{
    backend::{Backend, memory::Memory, sqlite},
    record::Record,
    watch::Watches,
    writer::Writer,
};

/// A store that was opened, and what had to be left behind for it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Where the previous database went and what was wrong with it, when it could not be read.
    pub set_aside: Option<SetAside>,
    /// Rows that could not be understood, as `table/key: why`. They stay in the database, in a table of their own.
    pub unreadable: Vec<String>,
}

/// A database that was moved out of the way.
#[derive(Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be used, and not because it is damaged.
    #[error("open database {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BackendError,
    },
    /// A damaged database cannot be moved away.
    #[error("set aside damaged database {}", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The writer thread cannot be started.
    #[error("start the writer of database {}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a write changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure refused.
    #[error("{0}")]
    Refused(E),
    /// The change could not be made durable.
    #[error("commit to the database")]
    Commit(#[source] Arc<BackendError>),
    /// The writer is gone.
    #[error("the store is closed")]
    Closed,
}

/// Intent and fact, behind one writer. Clones share it.
#[derive(Clone)]
pub struct Store {
    current: Arc<ArcSwap<Snapshot>>,
    watches: Arc<Watches>,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens the database at `path`, making it if it is not there. A damaged one is set aside and a new one made.
    pub fn open(path: &Path) -> Result<Opened, OpenError> {
        let (backend, set_aside) = sqlite::open(path)?;
        Self::over(Box::new(backend), path, set_aside)
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Panics
    /// When the system has no thread left.
    #[must_use]
    pub fn memory() -> Self {
        Self::over(Box::new(Memory::default()), Path::new(":memory:"), None)
            .expect("memory cannot fail to open, and a thread is the least a process has")
            .store
    }

    fn over(
        mut backend: Box<dyn Backend>,
        path: &Path,
        set_aside: Option<SetAside>,
    ) -> Result<Opened, OpenError> {
        let database = |source| OpenError::Database { path: path.to_owned(), source };
        let mut view = Snapshot::default();
        let (mut unreadable, mut bad_rows) = (Vec::new(), Vec::new());
        for row in backend.load().map_err(database)? {
            match Record::read(&row) {
                Ok(record) => view.apply(&record),
                Err(why) => {
                    unreadable.push(format!("{}/{}: {why}", row.table.name(), row.key));
                    bad_rows.push(row);
                }
            }
        }
        backend.quarantine(&bad_rows).map_err(database)?;
        let current = Arc::new(ArcSwap::from_pointee(view));
        let watches = Arc::<Watches>::default();
        let writer = Writer::start(backend, Arc::clone(&current), Arc::clone(&watches))
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        let store = Self { current, watches, writer: Arc::new(writer) };
        Ok(Opened { store, set_aside, unreadable })
    }

    /// Everything as of the last commit.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Runs `change` after all writes before it, and returns when what it drafted is durable and visible. When it
    /// refuses, or when the commit fails, nothing has changed.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.writer.submit(change).await.unwrap_or(Err(WriteError::Closed))
    }

    /// What a change would come to, without making it.
    pub fn rehearse<T, E>(&self, change: impl FnOnce(&mut Draft) -> Result<T, E>) -> Result<Snapshot, E> {
        let mut draft = Draft::on(Snapshot::clone(&self.snapshot()));
        change(&mut draft).map(|_| draft.view)
    }

    /// A watch that hears of every commit from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watches.add()
    }
}

#[cfg(test)]
mod tests;
