//! The credentials of a task's role: brought to its shim when the task begins, when a daemon finds it again, and
//! whenever those that it has come to their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Hands;
use super::metadata::secret_name;
use crate::agent::StartTask;
use crate::agent::facts::now;
use crate::agent::failure::{Failure, Kind, sentence};
use crate::agent::roles::{RoleError, Vended};
use crate::model::ids::TaskId;
use crate::model::task_definition::NetworkMode;
use crate::model::time::Timestamp;
use crate::shim::metadata::document::{Known, KnownRole};
use crate::shim::protocol::Credentials;

/// The pause after credentials that did not come, doubled each time up to the longest.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MOST: Duration = Duration::from_secs(60);

/// The pause between credentials, however short they live.
const LEAST: Duration = Duration::from_secs(1);

/// A task that cannot begin because of its role.
#[derive(Debug, thiserror::Error)]
#[error("unable to get the credentials of role {arn}")]
struct NoCredentials {
    arn: String,
    source: RoleError,
}

/// The role of a task that it gets credentials of, or why it gets none of the one that it names.
pub(super) fn role(hands: &Hands, start: &StartTask) -> Result<Option<KnownRole>, String> {
    let document = &start.definition.document;
    let named = start.task.overrides.task_role_arn.as_ref().or(document.task_role_arn.as_ref());
    let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(None) };
    let none = |why: &str| Err(format!("taskRoleArn {named}: the containers get no credentials: {why}"));
    match document.network_mode() {
        NetworkMode::Bridge | NetworkMode::Awsvpc | NetworkMode::Host => {}
        NetworkMode::None => return none("with networkMode none there is no network to ask over"),
    }
    match hands.roles.find(named) {
        Some(arn) => Ok(Some(KnownRole { id: secret_name(), arn: arn.to_owned() })),
        None => none("name a source of them under [roles] in hythe's configuration"),
    }
}

/// The first credentials of a role: a task that has a role does not begin without.
pub(super) async fn first(hands: &Hands, role: &KnownRole) -> Result<Credentials, Failure> {
    let asked = ask(hands, role).await;
    let refused = |source| Failure::of_task(Kind::Resource, &NoCredentials { arn: role.arn.clone(), source });
    asked.map(|(credentials, _)| credentials).map_err(refused)
}

async fn ask(hands: &Hands, role: &KnownRole) -> Result<(Credentials, Timestamp), RoleError> {
    let Vended { document, until, renew } = hands.roles.credentials(&role.arn).await?;
    Ok((Credentials { id: role.id.clone(), document, until }, renew))
}

/// Where the credentials of a task come from for as long as it is listened to.
pub(super) struct Renewals(Option<mpsc::Receiver<Credentials>>);

impl Renewals {
    /// Those of a task that begins or is found again: the ones that hold now, then each that follows.
    pub(super) fn of(hands: &Arc<Hands>, task: &TaskId) -> Self {
        let known = Known::load(&hands.places.metadata(task)).ok();
        Self(known.and_then(|known| known.role).map(|role| {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(renew(Arc::clone(hands), task.clone(), role, sender));
            receiver
        }))
    }

    /// The next; for ever waited for where none come.
    pub(super) async fn next(&mut self) -> Credentials {
        let next = match &mut self.0 {
            Some(receiver) => receiver.recv().await,
            None => None,
        };
        match next {
            Some(credentials) => credentials,
            None => std::future::pending().await,
        }
    }
}

/// Asks for credentials whenever those before come to their end, until nobody takes them.
async fn renew(hands: Arc<Hands>, task: TaskId, role: KnownRole, into: mpsc::Sender<Credentials>) {
    let mut again = AGAIN;
    loop {
        let pause = match ask(&hands, &role).await {
            Ok((credentials, renew)) => {
                if into.send(credentials).await.is_err() {
                    return;
                }
                again = AGAIN;
                renew.since(now()).max(LEAST)
            }
            Err(error) => {
                tracing::warn!(%task, role = role.arn, error = sentence(&error), "credentials not renewed");
                let pause = again;
                again = (again * 2).min(AGAIN_MOST);
                pause
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = into.closed() => return,
        }
    }
}
