//! How much a task may write, where the state directory's file system holds projects to limits.
//!
//! What its containers write, its volumes and its logs are of one project. Its number is chosen under a lock, claimed by a
//! file in the state directory, and written into the task's directory, before anything is limited by it; it is free again
//! when that directory is gone and the limit with it. Whatever is broken off in between is found by its claim: one that
//! no task's directory names is an orphan.
//!
//! Instances on one file system share its numbers. Each chooses from a range of its own, passes over numbers that anybody
//! uses, and takes a limit away only where it has the claim; a limit in its range without one is [somebody else's](foreign).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::agent::places::Places;
use crate::model::ids::TaskId;
use crate::shim::storage::{Storage, count, discount};

/// The numbers from which an instance that names none has its range.
const ALL: Range<u32> = 0x4000_0000..0x8000_0000;
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

/// The numbers of the instance with this directory of tasks, from `first` on where that is named. Two directories of a
/// file system have different inodes, so two instances on it hardly ever have the same range.
fn range(tasks: &Path, first: Option<u32>) -> io::Result<Range<u32>> {
    let spread = |inode: u64| {
        // Inodes of neighbours are close to each other; the upper bits of the product are not.
        let ranges = u64::from((ALL.end - ALL.start) / COUNT);
        let chosen = (u128::from(inode.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * u128::from(ranges)) >> 64;
        ALL.start + u32::try_from(chosen).unwrap_or_default() * COUNT
    };
    let first = first.map_or_else(|| fs::metadata(tasks).map(|tasks| spread(tasks.ino())), Ok)?;
    Ok(first..first.saturating_add(COUNT))
}

/// Chooses a project for a task that may write so many GiB, and limits it. None where nothing here can be limited.
pub(crate) fn reserve(
    places: &Places,
    task: &TaskId,
    first: Option<u32>,
    gib: u64,
) -> Result<Option<u32>, StorageError> {
    let (tasks, own) = (places.tasks(), places.task(task).join(FILE));
    let Some(storage) = Storage::of(&tasks).map_err(failed("look at quotas of", &tasks))? else {
        return Ok(None);
    };
    let range = range(&tasks, first).map_err(failed("look at", &tasks))?;
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed = claimed(places).map_err(failed("list", &places.projects()))?;
    let free = storage.free(range.clone(), |project| claimed.contains(&project));
    let free = free.map_err(failed("look at quotas of", &tasks))?;
    let project = free.ok_or(StorageError::None { first: range.start })?;
    let claim = places.project(project);
    fs::create_dir_all(places.projects()).map_err(failed("make", &places.projects()))?;
    fs::File::create_new(&claim).map_err(failed("make", &claim))?;
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
    let (tasks, claim) = (places.tasks(), places.project(project));
    let done = Storage::of(&tasks).and_then(|storage| storage.map_or(Ok(()), |one| one.release(project)));
    done.map_err(failed("take a limit from a project of", &tasks))?;
    match fs::remove_file(&claim) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed("remove", &claim)(err)),
        Ok(()) | Err(_) => Ok(()),
    }
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

/// The projects that this instance has claimed, and that no task's directory names.
pub(crate) fn left(places: &Places) -> Result<Vec<u32>, StorageError> {
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed = claimed(places).map_err(failed("list", &places.projects()))?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let tasks = places.tasks();
    let named = named(&tasks).map_err(failed("list", &tasks))?;
    Ok(claimed.difference(&named).copied().collect())
}

/// How many numbers of this instance's range somebody else limits: another instance, or an administrator.
pub(crate) fn foreign(places: &Places, first: Option<u32>) -> io::Result<usize> {
    let tasks = places.tasks();
    let Some(storage) = tasks.is_dir().then(|| Storage::of(&tasks)).transpose()?.flatten() else {
        return Ok(0);
    };
    let limited = storage.limited(range(&tasks, first)?)?;
    let mut own = claimed(places)?;
    own.append(&mut named(&tasks)?);
    Ok(limited.iter().filter(|project| !own.contains(project)).count())
}

/// The projects that have a claim.
fn claimed(places: &Places) -> io::Result<BTreeSet<u32>> {
    let entries = match fs::read_dir(places.projects()) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
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

    #[test]
    fn a_claim_that_no_task_names_is_left_and_goes_with_its_limit() {
        let state = tempfile::tempdir().unwrap();
        let places = Places::new(state.path(), state.path());
        assert_eq!(left(&places).unwrap(), [] as [u32; 0], "nothing has been claimed yet");
        let directory = places.tasks().join("one");
        for path in [&directory, &places.projects()] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(directory.join(FILE), "7").unwrap();
        for project in [7, 9] {
            fs::write(places.project(project), "").unwrap();
        }
        assert_eq!(left(&places).unwrap(), [9]);
        for project in [7, 9, 9] {
            release_left(&places, project).unwrap();
        }
        assert_eq!(claimed(&places).unwrap(), BTreeSet::from([7]), "the one that a task has stays");
    }

    #[test]
    fn instances_on_one_file_system_have_ranges_of_their_own() {
        let disk = tempfile::tempdir().unwrap();
        let ranges = (0..64).map(|number| {
            let state = disk.path().join(number.to_string());
            fs::create_dir(&state).unwrap();
            let own = range(&state, None).unwrap();
            assert_eq!(own, range(&state, None).unwrap(), "at every start the same");
            assert!(ALL.start <= own.start && own.end <= ALL.end && own.len() == COUNT as usize);
            own.start
        });
        // Of 64 numbers out of 16,384 two are the same once in eight times, and three pairs hardly ever.
        assert!(ranges.collect::<BTreeSet<_>>().len() > 60);
        assert_eq!(range(disk.path(), Some(5)).unwrap(), 5..5 + COUNT, "a name is a name");
    }
}
