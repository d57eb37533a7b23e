//! Formats of the database, one step after the other.
//!
//! `user_version` tells which steps a database has been through. A step is never changed once released; a new
//! format is a new step at the end. All missing steps run in one transaction.

use rusqlite::Connection;

use super::BackendError;

/// One step of format: tables that exist from then on.
const STEPS: [&str; 1] = ["
    create table cluster         (key text primary key, version integer not null, document text not null);
    create table task_definition (key text primary key, version integer not null, document text not null);
    create table revision        (key text primary key, version integer not null, document text not null);
    create table service         (key text primary key, version integer not null, document text not null);
    create table task            (key text primary key, version integer not null, document text not null);
    create table token           (key text primary key, version integer not null, document text not null);
    create table meta            (key text primary key, version integer not null, document text not null);
    create table unreadable      (origin text not null, key text not null, document text not null);
"];

/// Brings the database to the newest format.
pub(super) fn to_newest(connection: &mut Connection) -> Result<(), BackendError> {
    let failed = |source| BackendError::Sqlite { act: "bring the database to the newest format", source };
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).ok().filter(|&done| done <= STEPS.len());
    let Some(done) = done else {
        return Err(BackendError::Newer { found, known });
    };
    if done == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction().map_err(failed)?;
    for step in &STEPS[done..] {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}
