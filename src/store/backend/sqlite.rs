//! Rows in one SQLite file: write-ahead log, flushed at every commit, locked for this process alone.
//!
//! A file that SQLite cannot read is renamed to `NAME.corrupt-SECONDS` with its log, and a new one takes its place,
//! with the rows of the copy beside it ([`super::mirror`]); so does one that is empty or gone. A file that cannot be used for
//! another reason (locked, newer, no permission, full disk) is left as it is.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, ErrorCode, params};

use super::{Backend, BackendError, migrate, mirror::Mirror, reserve::Reserve};
use crate::store::{
    OpenError, SetAside,
    record::{Change, Row, Table},
};

/// How long a database that another process is closing may stay locked.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Rows in one SQLite file.
pub(in crate::store) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    reserve: Reserve,
    mirror: Mirror,
}

/// Opens the file at `path`, setting it aside when it is damaged.
pub(in crate::store) fn open(path: &Path) -> Result<(Sqlite, Option<SetAside>), OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| failed(BackendError::Directory(source)))?;
    }
    let is_new = fs::metadata(path).map_or(true, |found| found.len() == 0);
    let damage = match connect(path) {
        Ok(connection) => {
            let mut sqlite = Sqlite::on(connection, path);
            if is_new {
                sqlite.take_back().map_err(failed)?;
            }
            return Ok((sqlite, None));
        }
        Err(BackendError::Sqlite { source, .. }) if is_damage(&source) => source.to_string(),
        Err(other) => return Err(failed(other)),
    };
    let moved = set_aside(path).map_err(|source| OpenError::SetAside { path: path.to_owned(), source })?;
    let mut sqlite = Sqlite::on(connect(path).map_err(failed)?, path);
    sqlite.take_back().map_err(failed)?;
    Ok((sqlite, Some(SetAside { path: moved, why: damage })))
}

fn connect(path: &Path) -> Result<Connection, BackendError> {
    let mut connection = Connection::open(path).map_err(|error| named("open the file", path, error))?;
    let prepared = |error| named("prepare the database", path, error);
    connection.busy_timeout(LOCK_WAIT).map_err(prepared)?;
    connection.pragma_update(None, "locking_mode", "exclusive").map_err(prepared)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(prepared)?;
    connection.pragma_update(None, "synchronous", "full").map_err(prepared)?;
    let sound: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(prepared)?;
    if sound != "ok" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let source = rusqlite::Error::SqliteFailure(code, Some(sound));
        return Err(BackendError::Sqlite { act: "check the database", source });
    }
    migrate::to_newest(&mut connection)?;
    Ok(connection)
}

fn named(act: &'static str, path: &Path, source: rusqlite::Error) -> BackendError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackendError::Full { path: path.to_owned() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BackendError::InUse(source),
        Some(_) | None => BackendError::Sqlite { act, source },
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Renames the file, its log and its index, and says what the file is called now.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut aside = with_suffix(path, &format!(".corrupt-{seconds}"));
    for again in 1.. {
        if !aside.exists() {
            break;
        }
        aside = with_suffix(path, &format!(".corrupt-{seconds}.{again}"));
    }
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Sqlite {
    fn on(connection: Connection, path: &Path) -> Self {
        let reserve = Reserve::at(with_suffix(path, ".reserve"));
        let mirror = Mirror::at(with_suffix(path, ".copy"));
        Self { connection, path: path.to_owned(), reserve, mirror }
    }

    /// Takes the rows of the copy into a database that has none. A copy that cannot be read is no copy.
    fn take_back(&mut self) -> Result<(), BackendError> {
        let rows = Mirror::read(&with_suffix(&self.path, ".copy")).unwrap_or_default();
        let change = |row: Row| Change { table: row.table, key: row.key, document: Some(row.document) };
        let changes: Vec<Change> = rows.into_iter().map(change).collect();
        if changes.is_empty() { Ok(()) } else { self.write(&changes) }
    }

    /// Every row.
    fn rows(&self) -> Result<Vec<Row>, BackendError> {
        let failed = |error| named("read the database", &self.path, error);
        let mut rows = Vec::new();
        for table in Table::ALL {
            let query = format!("select key, document from {} order by key", table.name());
            let mut statement = self.connection.prepare(&query).map_err(failed)?;
            let found = statement
                .query_map([], |row| Ok(Row { table, key: row.get(0)?, document: row.get(1)? }))
                .map_err(failed)?;
            for row in found {
                rows.push(row.map_err(failed)?);
            }
        }
        Ok(rows)
    }

    /// Takes what was committed into the copy.
    fn copy(&mut self, batch: &[Change]) {
        if !self.mirror.is_due() {
            return self.mirror.append(batch);
        }
        match self.rows() {
            Ok(rows) => self.mirror.rewrite(&rows),
            Err(error) => tracing::warn!(%error, "the database has no copy for now"),
        }
    }

    /// Writes `batch` in one transaction.
    fn write(&mut self, batch: &[Change]) -> Result<(), BackendError> {
        let failed = |error| named("write to the database", &self.path, error);
        let transaction = self.connection.transaction().map_err(failed)?;
        for Change { table, key, document } in batch {
            let table = table.name();
            if let Some(document) = document {
                let write = format!(
                    "insert into {table} (key, version, document) values (?1, 1, ?2) \
                     on conflict (key) do update set version = version + 1, document = ?2"
                );
                let mut statement = transaction.prepare_cached(&write).map_err(failed)?;
                statement.execute(params![key, document]).map_err(failed)?;
            } else {
                let remove = format!("delete from {table} where key = ?1");
                let mut statement = transaction.prepare_cached(&remove).map_err(failed)?;
                statement.execute(params![key]).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    /// Whether `batch` adds no row.
    fn changes_only(&self, batch: &[Change]) -> Result<bool, BackendError> {
        let failed = |error| named("read the database", &self.path, error);
        for change in batch.iter().filter(|change| change.document.is_some()) {
            let query = format!("select 1 from {} where key = ?1", change.table.name());
            let mut statement = self.connection.prepare_cached(&query).map_err(failed)?;
            if !statement.exists(params![change.key]).map_err(failed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
impl Sqlite {
    /// Lets the file grow no further than this, as a full disk would.
    pub(in crate::store) fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    }
}

impl Backend for Sqlite {
    fn load(&mut self) -> Result<Vec<Row>, BackendError> {
        let rows = self.rows()?;
        self.mirror.rewrite(&rows);
        Ok(rows)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), BackendError> {
        match self.write(batch) {
            Ok(()) => {
                self.reserve.keep();
                self.copy(batch);
                Ok(())
            }
            // Nothing new begins on a full disk, but what is there can still be told to stop.
            Err(BackendError::Full { .. }) if self.changes_only(batch)? && self.reserve.give_up() => {
                self.write(batch)
            }
            Err(other) => Err(other),
        }
    }

    fn quarantine(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        let failed = |error| named("set aside unreadable rows", &self.path, error);
        if rows.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction().map_err(failed)?;
        for Row { table, key, document } in rows {
            let table = table.name();
            transaction
                .execute(
                    "insert into unreadable (origin, key, document) values (?1, ?2, ?3)",
                    params![table, key, document],
                )
                .map_err(failed)?;
            transaction
                .execute(&format!("delete from {table} where key = ?1"), params![key])
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}
