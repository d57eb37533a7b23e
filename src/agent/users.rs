//! Whose users a task's containers have: the host's, or numbers of the task's own behind which the host has nobody.
//!
//! A task has all of its users from one range. The range is written into the task's directory and free again when that is
//! gone, so that nothing else has to be remembered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::agent::ContainersConfig;
use crate::model::task_definition::{ContainerDefinition, Document, IpcMode, NetworkMode, PidMode};

/// The first number of the first range: above those that systemd gives to its containers (systemd.io/UIDS-GIDS).
const FIRST: u32 = 0x7000_0000;
/// How many users a task has.
pub(crate) const COUNT: u32 = 0x1_0000;
/// How many ranges there are before numbers become negative for programs that count so.
const RANGES: u32 = 0x0fff;
/// The name of the file in the task's directory.
pub(crate) const FILE: &str = "users";

/// The option of a container by which it asks for one or the other.
pub(crate) const OPTION: &str = "userns";

/// The lock under which ranges are chosen.
static CHOOSING: Mutex<()> = Mutex::new(());

/// Why a task cannot have users of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    /// The containers of a task do not agree.
    #[error(
        "the containers of a task have the same users: some ask for userns:task and some for userns:host"
    )]
    Disagree,
    /// Something that it shares with the host belongs to the host's users.
    #[error("users of its own (userns:task) cannot be had together with {0}")]
    Shared(&'static str),
    /// There is no range left.
    #[error("all {RANGES} ranges of users are in use by tasks")]
    None,
    /// The ranges in use could not be read, or the new one not be written down.
    #[error("{act} {}", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Whether the containers of a task have users of their own, and a sentence if they do not although the host's
/// configuration says so.
pub(crate) fn are_own(
    document: &Document,
    policy: &ContainersConfig,
) -> Result<(bool, Option<String>), UsersError> {
    let words: Vec<bool> = document.container_definitions.iter().filter_map(asked).collect();
    let asks = words.contains(&true);
    match (asks, words.contains(&false)) {
        (true, true) => return Err(UsersError::Disagree),
        (false, true) => return Ok((false, None)),
        (true | false, false) => {}
    }
    if !asks && !policy.user_namespaces {
        return Ok((false, None));
    }
    match (shared(document), asks) {
        (None, _) => Ok((true, None)),
        (Some(what), true) => Err(UsersError::Shared(what)),
        (Some(what), false) => {
            let reason =
                "root of its containers is the host's root, because it cannot be another's together with";
            Ok((false, Some(format!("user_namespaces of the task: {reason} {what}"))))
        }
    }
}

/// What a container asks for by its option, if it does.
fn asked(definition: &ContainerDefinition) -> Option<bool> {
    let options = definition.docker_security_options.iter();
    let mut words = options.filter_map(|option| option.split_once([':', '=']));
    words.find(|(name, _)| *name == OPTION).map(|(_, word)| word == "task")
}

/// What a task has of the host that only the host's root may use as a container does.
fn shared(document: &Document) -> Option<&'static str> {
    let is_privileged = document.container_definitions.iter().any(|one| one.privileged == Some(true));
    [
        (document.network_mode() == NetworkMode::Host, "networkMode host"),
        (document.pid_mode == Some(PidMode::Host), "pidMode host"),
        (document.ipc_mode == Some(IpcMode::Host), "ipcMode host"),
        (is_privileged, "privileged"),
    ]
    .into_iter()
    .find_map(|(is_so, what)| is_so.then_some(what))
}

/// Chooses a range for the task with the directory `task` below `tasks`, and returns its first number.
pub(crate) fn reserve(tasks: &Path, task: &Path) -> Result<u32, UsersError> {
    let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = fs::read_dir(tasks);
    let entries =
        entries.map_err(|source| UsersError::File { act: "list", path: tasks.to_owned(), source })?;
    let used: Vec<u32> = entries.flatten().filter_map(|entry| of(&entry.path())).collect();
    let mut ranges = (0..RANGES).map(|range| FIRST + range * COUNT);
    let first = ranges.find(|first| !used.contains(first)).ok_or(UsersError::None)?;
    let path = task.join(FILE);
    fs::write(&path, first.to_string()).map_err(|source| UsersError::File { act: "write", path, source })?;
    Ok(first)
}

/// The first of the users of the task with this directory, if it has its own.
pub(crate) fn of(task: &Path) -> Option<u32> {
    fs::read_to_string(task.join(FILE)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(task: &str, options: &[&str], by_default: bool) -> Result<(bool, bool), String> {
        let containers: Vec<String> = (0..)
            .zip(options)
            .map(|(at, option)| {
                let list = if option.is_empty() { String::new() } else { format!("{option:?}") };
                format!(r#"{{"name": "c{at}", "image": "i", "dockerSecurityOptions": [{list}]}}"#)
            })
            .collect();
        let text = format!(r#"{{"family": "f", "containerDefinitions": [{}]{task}}}"#, containers.join(","));
        let document: Document = serde_json::from_str(&text).unwrap();
        let policy = ContainersConfig { user_namespaces: by_default, ..ContainersConfig::default() };
        are_own(&document, &policy).map(|(own, note)| (own, note.is_some())).map_err(|err| err.to_string())
    }

    #[test]
    fn the_host_decides_unless_a_container_does() {
        assert_eq!(decide("", &[""], false), Ok((false, false)));
        assert_eq!(decide("", &[""], true), Ok((true, false)));
        assert_eq!(decide("", &["userns:host", ""], true), Ok((false, false)));
        assert_eq!(decide("", &["", "userns:task"], false), Ok((true, false)));
        assert!(decide("", &["userns:host", "userns:task"], false).unwrap_err().contains("the same users"));
    }

    #[test]
    fn what_is_the_hosts_needs_the_hosts_root() {
        let host = r#", "networkMode": "host""#;
        assert_eq!(decide(host, &[""], true), Ok((false, true)));
        assert!(decide(host, &["userns:task"], false).unwrap_err().ends_with("networkMode host"));
        assert!(
            decide(r#", "pidMode": "host""#, &["userns:task"], true).unwrap_err().ends_with("pidMode host")
        );
    }

    #[test]
    fn a_range_is_free_again_with_its_task() {
        let tasks = tempfile::tempdir().unwrap();
        let dirs = ["one", "two", "three"].map(|name| tasks.path().join(name));
        for dir in &dirs {
            fs::create_dir(dir).unwrap();
        }
        let first = reserve(tasks.path(), &dirs[0]).unwrap();
        let second = reserve(tasks.path(), &dirs[1]).unwrap();
        assert_eq!((first, second), (FIRST, FIRST + COUNT));
        fs::remove_dir_all(&dirs[0]).unwrap();
        assert_eq!(reserve(tasks.path(), &dirs[2]).unwrap(), first);
        assert_eq!((of(&dirs[0]), of(&dirs[2])), (None, Some(first)));
    }
}
