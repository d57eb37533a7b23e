//! What is on the host for tasks that nobody knows: left by a daemon that was killed between two steps, or by a store
//! that was lost.
//!
//! Only what carries this instance's names is looked at: its directories, its bridge's links, its control groups.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::agent::failure::sentence;
use crate::agent::network;
use crate::agent::storage;
use crate::agent::tasks::Hands;
use crate::agent::{AgentError, Orphan};
use crate::model::ids::TaskId;
use crate::model::network::LinkName;
use crate::model::task::{StopCode, StopRequest};
use crate::shim::client;

/// How long a shim may take to end once its containers were killed.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What kind of thing an orphan is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A task with everything it has.
    Task(TaskId),
    /// The host's end of an interface.
    Link(LinkName),
    /// The control group of a task.
    Group(TaskId),
    /// A file or a directory.
    Path(PathBuf),
    /// The limit of a project.
    Project(u32),
}

impl Orphan {
    fn new(kind: Kind) -> Self {
        let what = match &kind {
            Kind::Task(task) => format!("task {task}"),
            Kind::Link(link) => format!("interface {link}"),
            Kind::Group(task) => format!("control group of task {task}"),
            Kind::Path(path) => path.display().to_string(),
            Kind::Project(project) => format!("quota of project {project}"),
        };
        Self { what, kind }
    }
}

/// Looks for orphans. `known` are the tasks that somebody knows; those in hand are known as well.
pub(crate) async fn find(hands: &Arc<Hands>, known: &BTreeSet<TaskId>) -> Result<Vec<Orphan>, AgentError> {
    let mut known = known.clone();
    known.extend(hands.in_hand());
    let hands = Arc::clone(hands);
    let found = spawn_blocking(move || look(&hands, &known)).await;
    found.map_err(|_| AgentError::Broken)?
}

fn look(hands: &Hands, known: &BTreeSet<TaskId>) -> Result<Vec<Orphan>, AgentError> {
    let mut found: BTreeSet<Kind> = BTreeSet::new();
    let places = &hands.places;
    for name in names(&places.tasks())? {
        let half_removed = name.strip_prefix('.').and_then(|id| TaskId::parse(id).ok());
        match (TaskId::parse(name.as_str()), half_removed) {
            (Ok(task), _) if !known.contains(&task) => found.insert(Kind::Task(task)),
            (Err(_), Some(task)) if !known.contains(&task) => {
                found.insert(Kind::Path(places.tasks().join(name)))
            }
            (Ok(_) | Err(_), _) => false,
        };
    }
    for name in names(&places.sockets())? {
        let task = name.strip_suffix(".sock").and_then(|id| TaskId::parse(id).ok());
        if task.is_some_and(|task| !known.contains(&task) && !found.contains(&Kind::Task(task))) {
            found.insert(Kind::Path(places.sockets().join(name)));
        }
    }
    for name in names(&places.volumes())? {
        let is_wanted = |short: &str| known.iter().any(|task| task.short() == short);
        let half_made = name.strip_prefix('.').and_then(|rest| rest.get(..8));
        if half_made.is_some_and(|short| !is_wanted(short)) {
            found.insert(Kind::Path(places.volumes().join(name)));
        }
    }
    match storage::left(places) {
        Ok(projects) => found.extend(projects.into_iter().map(Kind::Project)),
        // No reason to leave the others where they are.
        Err(err) => tracing::warn!(error = sentence(&err), "quotas not looked at"),
    }
    let link = |task: &TaskId| network::link_of(task, &places.network(task));
    let links: BTreeSet<LinkName> = known.iter().map(link).collect();
    let all = hands.networks.links().map_err(AgentError::Network)?;
    found.extend(all.into_iter().filter(|link| !links.contains(link)).map(Kind::Link));
    let groups = hands.groups.tasks().map_err(|err| AgentError::Look(sentence(&err)))?;
    found.extend(groups.into_iter().filter(|task| !known.contains(task)).map(Kind::Group));
    Ok(found.into_iter().map(Orphan::new).collect())
}

fn names(directory: &Path) -> Result<Vec<String>, AgentError> {
    let failed = |err: io::Error| AgentError::Look(format!("list {}: {err}", directory.display()));
    let entries = match fs::read_dir(directory) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes one. Removing twice is fine.
pub(crate) async fn remove(hands: &Arc<Hands>, orphan: &Orphan) -> Result<(), AgentError> {
    let failed = |error: &dyn std::error::Error| AgentError::Orphan {
        what: orphan.what.clone(),
        why: sentence(error),
    };
    match &orphan.kind {
        Kind::Task(task) => {
            silence(hands, task).await;
            hands.clear(task).await.map_err(|err| failed(&err))
        }
        Kind::Link(link) => {
            let (hands, link) = (Arc::clone(hands), link.clone());
            let done = spawn_blocking(move || hands.networks.detach_link(&link)).await;
            done.map_err(|err| failed(&err))?.map_err(|err| failed(&err))
        }
        Kind::Group(task) => {
            let (hands, task) = (Arc::clone(hands), task.clone());
            let clear = move || hands.groups.kill(&task).and_then(|()| hands.groups.remove(&task));
            let done = spawn_blocking(clear).await;
            done.map_err(|err| failed(&err))?.map_err(|err| failed(&err))
        }
        Kind::Project(project) => storage::release_left(&hands.places, *project).map_err(|err| failed(&err)),
        Kind::Path(path) => {
            let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            let done = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            match done {
                Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed(&err)),
                Ok(()) | Err(_) => Ok(()),
            }
        }
    }
}

/// Ends the shim of a task that nobody knows, if it has one that runs: its containers are killed, not asked.
async fn silence(hands: &Arc<Hands>, task: &TaskId) {
    let Ok(mut connection) = client::connect(&hands.places.shim(task), u64::MAX).await else { return };
    let reason = "Task is not known to this host any more".to_owned();
    // Told first, so that nothing is started again.
    let _ = connection.stop(&StopRequest { code: StopCode::UserInitiated, reason }).await;
    if let Err(err) = hands.kill(task).await {
        tracing::warn!(%task, error = sentence(&err), "control group not emptied");
    }
    let _ = timeout(LAST_WORDS, async { while let Ok(Some(_)) = connection.next().await {} }).await;
}
