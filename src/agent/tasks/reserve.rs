//! What a task gets before anything is made for it, written into its directory first: users, room on the disk, address and
//! ports. Whatever is broken off later is found there.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Hands;
use crate::agent::StartTask;
use crate::agent::failure::{Failure, Kind};
use crate::agent::network::Record;
use crate::agent::{storage, users};
use crate::model::fact::{Attachment, Seen};
use crate::model::task::UserRange;

/// A directory of the task that could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the work on the task was broken off")]
    Broken,
}

/// Makes the task's directory and reserves its users, address and ports in it.
pub(super) async fn reserve(hands: &Arc<Hands>, start: &StartTask) -> Result<Record, Failure> {
    let (hands, start) = (Arc::clone(hands), start.clone());
    let work = move || {
        let task = &start.task.id;
        let directory = hands.places.task(task);
        for path in [&directory, &hands.places.sockets()] {
            let made = fs::create_dir_all(path);
            let made = made.map_err(|source| DirectoryError::Make { path: path.clone(), source });
            made.map_err(|err| Failure::of_task(Kind::Create, &err))?;
        }
        // Only a lost store asks for it.
        let order = serde_json::to_vec(&(&start.task, &*start.definition)).unwrap_or_default();
        for (path, text) in
            [(hands.places.boot(task), hands.boot.as_bytes()), (hands.places.kept(task), &order)]
        {
            let written = fs::write(&path, text).map_err(|source| DirectoryError::Write { path, source });
            written.map_err(|err| Failure::of_task(Kind::Create, &err))?;
        }
        let document = &start.definition.document;
        let (are_own, note) = users::are_own(document, &hands.config.containers)
            .map_err(|err| Failure::of_task(Kind::Create, &err))?;
        if are_own {
            let chosen = users::reserve(&hands.places.tasks(), &directory);
            let first = chosen.map_err(|err| Failure::of_task(Kind::Create, &err))?;
            let users = UserRange { first, count: users::COUNT };
            hands.teller.tell(task, Seen::UsersChosen { users });
        }
        if let Some(what) = note {
            hands.teller.tell(task, Seen::NotEnforced { what });
        }
        reserve_storage(&hands, &start)?;
        let record = hands.networks.reserve(task, document, &Attachment::id_of(task), are_own);
        let record = record.map_err(|err| Failure::of_task(Kind::Network, &err))?;
        let saved = record.save(&hands.places.network(task));
        saved.map_err(|err| Failure::of_task(Kind::Network, &err)).map(|()| record)
    };
    spawn_blocking(work).await.unwrap_or(Err(Failure::of_task(Kind::Create, &DirectoryError::Broken)))
}

/// Limits what the task may write, or says that it is not limited.
fn reserve_storage(hands: &Hands, start: &StartTask) -> Result<(), Failure> {
    let (task, document) = (&start.task.id, &start.definition.document);
    let Some(gib) = start.task.storage_gib(document) else { return Ok(()) };
    let project = storage::reserve(&hands.places, task, hands.config.containers.first_project, gib);
    let project = project.map_err(|err| Failure::of_task(Kind::Create, &err))?;
    if project.is_none() && start.task.asked_storage_gib(document).is_some() {
        let what = format!(
            "ephemeralStorage: tasks are not held to {gib} GiB; what they write shares the file system of the state \
             directory, which has no quotas of projects: see hythe doctor"
        );
        hands.teller.tell(task, Seen::NotEnforced { what });
    }
    Ok(())
}
