//! How much a task may write, where the state directory's file system holds projects to limits.
//!
//! What its containers write, its volumes and its logs are of one project. Its number is chosen under a lock and written
//! into the task's directory before anything is limited by it; it is free again when that is gone and the limit with it.
//! Whatever is broken off in between is found by its number: a limit in the range of this instance that no task's
//! directory names is an orphan.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::agent::places::Places;
use crate::model::ids::TaskId;
use crate::shim::storage::{Storage, count, discount};

/// The first project id of an instance that names none.
pub const FIRST_PROJECT: u32 = 0x6879_0000;
/// How many projects an instance has.
const COUNT: u32 = 0x1_0000;
/// The name of the file in the task's directory.
const FILE: &str = "project";
const GIBIBYTE: u64 = 1 << 30;

/// The lock under which numbers are chosen.
static CHOOSING: Mutex<()> = Mutex::new(());

/// Why a task cannot be held to what it may write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// Something could not be done with quotas.
    #[error("{act} {} for ephemeralStorage", path.display())]
    Quota {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no number left.
    #[error(
        "all {COUNT} project ids from {first} on are in use: name another first_project_id in [containers]"
    )]
    None {
        /// The first of the range.
        first: u32,
    },
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Quota { act, path, source }
}

fn range(first: u32) -> Range<u32> {
    first..first.saturating_add(COUNT)
}

/// Chooses a project for a task that may write so many GiB, and limits it. None where nothing here can be limited.
pub(crate) fn reserve(
    places: &Places,
    task: &TaskId,
    first: u32,
    gib: u64,
) -> Result<Option<u32>, StorageError> {
    let (tasks, own) = (places.tasks(), places.task(task).join(FILE));
    let Some(storage) = Storage::of(&tasks).map_err(failed("look at quotas of", &tasks))? else {
        return Ok(None);
    };
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let named = named(&tasks).map_err(failed("list", &tasks))?;
    let free = storage.free(range(first), |project| named.contains(&project));
    let project = free.map_err(failed("look at quotas of", &tasks))?.ok_or(StorageError::None { first })?;
    fs::write(&own, project.to_string()).map_err(failed("write", &own))?;
    storage.limit(project, gib.saturating_mul(GIBIBYTE)).map_err(failed("limit a project of", &tasks))?;
    Ok(Some(project))
}

/// Makes the directories of a task that its project counts, before anything is in them.
pub(crate) fn count_task(places: &Places, task: &TaskId, project: u32) -> Result<(), StorageError> {
    for path in [places.containers(task), places.task_volumes(task), places.logs(task)] {
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
        count(&path, project).map_err(failed("set the project of", &path))?;
    }
    Ok(())
}

/// The project of a task, if it has one, also when its directory is half removed.
pub(crate) fn of(places: &Places, task: &TaskId) -> Option<u32> {
    named_by(&places.task(task)).or_else(|| named_by(&places.tasks().join(format!(".{task}"))))
}

fn named_by(directory: &Path) -> Option<u32> {
    fs::read_to_string(directory.join(FILE)).ok()?.trim().parse().ok()
}

/// The logs of a task outlive it and its project.
pub(crate) fn keep_logs(places: &Places, task: &TaskId) -> Result<(), StorageError> {
    if of(places, task).is_none() {
        return Ok(());
    }
    let logs = places.logs(task);
    discount(&logs).map_err(failed("set the project of", &logs))
}

/// Takes the limit of a project away; a file system that has none meanwhile needs nothing taken.
pub(crate) fn release(places: &Places, project: u32) -> Result<(), StorageError> {
    let tasks = places.tasks();
    let done = Storage::of(&tasks).and_then(|storage| storage.map_or(Ok(()), |one| one.release(project)));
    done.map_err(failed("take a limit from a project of", &tasks))
}

/// Takes the limit of a project away that was [`left`], unless a task has been given it since.
pub(crate) fn release_left(places: &Places, project: u32) -> Result<(), StorageError> {
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let tasks = places.tasks();
    if named(&tasks).map_err(failed("list", &tasks))?.contains(&project) {
        return Ok(());
    }
    release(places, project)
}

/// The projects of this instance that have a limit, and that no task's directory names.
pub(crate) fn left(places: &Places, first: u32) -> Result<Vec<u32>, StorageError> {
    let tasks = places.tasks();
    let Some(storage) = Storage::of(&tasks).map_err(failed("look at quotas of", &tasks))? else {
        return Ok(Vec::new());
    };
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let limited = storage.limited(range(first)).map_err(failed("look at quotas of", &tasks))?;
    let named = named(&tasks).map_err(failed("list", &tasks))?;
    Ok(limited.into_iter().filter(|project| !named.contains(project)).collect())
}

/// The projects that directories of tasks name, half removed ones too.
fn named(tasks: &Path) -> io::Result<BTreeSet<u32>> {
    Ok(fs::read_dir(tasks)?.flatten().filter_map(|entry| named_by(&entry.path())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_by_the_directory_of_its_task_also_when_that_is_half_removed() {
        let state = tempfile::tempdir().unwrap();
        let places = Places::new(state.path(), state.path());
        for (name, project) in [("one", "7\n"), (".two", "9"), ("three", "not a number")] {
            let directory = places.tasks().join(name);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(FILE), project).unwrap();
        }
        assert_eq!(named(&places.tasks()).unwrap(), BTreeSet::from([7, 9]));
    }
}
