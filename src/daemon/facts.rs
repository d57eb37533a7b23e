//! Facts into the store: all that wait are one commit.
//!
//! Of a start many things are seen that nobody waits for: when its pulls began, that its shim runs, where its time went.
//! They wait a moment for the next that somebody does wait for, a container that runs say, and are one commit with it.
//!
//! What a fact does to a task is `model::lifecycle`'s to say; what the end of a task means for its service is
//! `plan::crash_loop`'s. When the commit fails, a full disk say, the facts wait here and are tried again: nothing
//! that was seen is lost while the daemon lives, and the shims' ledgers keep it longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout_at},
};
use tracing::{debug, error, warn};

use crate::{
    agent::kill_point::kill_point,
    model::{
        fact::{Fact, Seen},
        ids::{ContainerName, TaskId},
        service::{Deployment, ServiceEvent},
        task::{DesiredStatus, Task},
        time::Timestamp,
    },
    plan::{
        crash_loop,
        history::{self, News},
    },
    store::{Draft, ServiceKey, Store, WriteError},
};

use super::{report::chain, services::Passes};

/// The most facts of one commit.
const BATCH: usize = 4096;

/// How long what nobody waits for waits for company.
const COMPANY: Duration = Duration::from_millis(20);

/// The pause before a commit that failed is tried again, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Takes facts until their source is gone; those that wait already come first.
pub async fn run(store: Store, waiting: Arc<[Fact]>, mut source: UnboundedReceiver<Fact>, passes: Passes) {
    if !waiting.is_empty() {
        commit(&store, waiting, &passes).await;
    }
    while let Some(batch) = next(&mut source).await {
        commit(&store, batch.into(), &passes).await;
    }
}

/// The facts of the next commit; none when their source is gone.
async fn next(source: &mut UnboundedReceiver<Fact>) -> Option<Vec<Fact>> {
    let mut batch = vec![source.recv().await?];
    let latest = Instant::now() + COMPANY;
    loop {
        while batch.len() < BATCH
            && let Ok(more) = source.try_recv()
        {
            batch.push(more);
        }
        if batch.len() >= BATCH || !batch.iter().all(can_wait) {
            return Some(batch);
        }
        match timeout_at(latest, source.recv()).await {
            Ok(Some(more)) => batch.push(more),
            Ok(None) | Err(_) => return Some(batch),
        }
    }
}

/// Whether nobody waits for it, nor would miss it if the daemon died now: a ledger has it, or the start would begin anew.
fn can_wait(fact: &Fact) -> bool {
    match &fact.seen {
        Seen::PullStarted | Seen::ImageResolved { .. } | Seen::Timed { .. } => true,
        Seen::ShimStarted | Seen::LastLines { .. } | Seen::NotEnforced { .. } => fact.ledger.is_some(),
        Seen::PullStopped
        | Seen::UsersChosen { .. }
        | Seen::NetworkAttached { .. }
        | Seen::PortsPublished { .. }
        | Seen::ContainerStarted { .. }
        | Seen::ContainerExited { .. }
        | Seen::ContainerFailed { .. }
        | Seen::HealthChanged { .. }
        | Seen::Stopping { .. }
        | Seen::AllStopped
        | Seen::Removed => false,
    }
}

/// Commits a batch, as often as it takes.
async fn commit(store: &Store, batch: Arc<[Fact]>, passes: &Passes) {
    let mut pause = RETRY.0;
    while !try_commit(store, &batch, passes.healthy_after, Some(passes)).await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Commits a batch, and says whether it is done with: false when it should be tried again.
///
/// With `passes` services act in the same commit on what ended: a replacement does not wait for two.
pub async fn try_commit(
    store: &Store,
    batch: &Arc<[Fact]>,
    healthy_after: Duration,
    passes: Option<&Passes>,
) -> bool {
    let (facts, passes) = (Arc::clone(batch), passes.cloned());
    let written = store.write(move |draft| {
        let Applied { misfits, ended } = apply(draft, &facts, healthy_after);
        if let Some(passes) = passes {
            for key in &ended {
                passes.follow(draft, key);
            }
        }
        Ok::<_, Infallible>(misfits)
    });
    match written.await {
        Ok(misfits) => {
            kill_point("facts-written");
            for misfit in misfits {
                debug!(why = %misfit, "fact left out");
            }
            true
        }
        Err(WriteError::Commit(why)) => {
            error!(error = %chain(&*why), facts = batch.len(), "facts not committed, trying again");
            false
        }
        Err(WriteError::Closed) => {
            warn!(facts = batch.len(), "facts not committed: the store is closed");
            true
        }
        Err(WriteError::Refused(never)) => match never {},
    }
}

/// What facts came to.
#[derive(Debug)]
pub struct Applied {
    /// Why some could not be taken.
    misfits: Vec<String>,
    /// Services with tasks that have ended by themselves.
    ended: BTreeSet<ServiceKey>,
}

/// Takes facts into a draft. What cannot be taken is said and left out.
pub fn apply(draft: &mut Draft, facts: &[Fact], healthy_after: Duration) -> Applied {
    let mut tasks: BTreeMap<&TaskId, (Task, bool)> = BTreeMap::new();
    let (mut misfits, mut ended) = (Vec::new(), BTreeSet::new());
    for fact in facts {
        if !tasks.contains_key(&fact.task) {
            let Some(task) = draft.task(&fact.task) else {
                misfits.push(format!("task {} is not known", fact.task));
                continue;
            };
            tasks.insert(&fact.task, (Task::clone(task), false));
        }
        let Some((task, has_changed)) = tasks.get_mut(&fact.task) else { continue };
        let wanted = task.desired_status == DesiredStatus::Running;
        match task.take(fact) {
            Ok(is_news) => {
                *has_changed |= is_news;
                pin(draft, task, &fact.seen);
            }
            Err(unexpected) => misfits.push(unexpected.to_string()),
        }
        if wanted && task.desired_status == DesiredStatus::Stopped {
            account(draft, task, fact.at, healthy_after);
            tell_end(draft, task, fact.at);
            ended.extend(task.owner.iter().map(|owner| (task.cluster.clone(), owner.service.clone())));
        }
    }
    // What has not changed need not be written again.
    for (task, _) in tasks.into_values().filter(|(_, has_changed)| *has_changed) {
        draft.put_task(task);
    }
    Applied { misfits, ended }
}

/// Keeps the digest that an image had for the first task of a revision: all others get the same.
///
/// A container with `versionConsistency` of `disabled` asks anew for each task.
fn pin(draft: &mut Draft, task: &Task, seen: &Seen) {
    let (Seen::ImageResolved { container, digest }, Some(owner)) = (seen, &task.owner) else { return };
    let key = (task.cluster.clone(), owner.service.clone());
    let Some(service) = draft.service(&key) else { return };
    let deployment = service.deployments.iter().find(|one| one.id == owner.deployment);
    let Some(revision) = deployment.map(Deployment::revision) else { return };
    let is_news = service.revision(&revision).is_some_and(|known| !known.images.contains_key(container));
    if !is_news || !is_consistent(draft, task, container) {
        return;
    }
    draft.update_service(&key, |service| {
        if let Some(known) = service.revisions.iter_mut().find(|one| one.id == revision) {
            known.images.insert(container.clone(), digest.clone());
        }
    });
}

fn is_consistent(draft: &Draft, task: &Task, container: &ContainerName) -> bool {
    let definition = draft.task_definition(&task.task_definition);
    let containers = definition.into_iter().flat_map(|one| &one.document.container_definitions);
    let mut wishes = containers.filter(|one| one.name == *container);
    wishes.all(|one| one.version_consistency.as_deref().is_none_or(|word| word != "disabled"))
}

/// Says in the events of its service that a task ended by itself, and why.
///
/// The event takes the task's id for its own: a task ends once.
fn tell_end(draft: &mut Draft, task: &Task, at: Timestamp) {
    let Some(owner) = &task.owner else { return };
    let Some(instance) = draft.cluster(&task.cluster).map(|cluster| cluster.instance.clone()) else { return };
    let message = News::Ended(task.id.clone(), history::why(task)).text(&owner.service, &instance);
    let id = task.id.as_str();
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let key = (task.cluster.clone(), owner.service.clone());
    draft.update_service(&key, |service| {
        history::push(&mut service.events, ServiceEvent { id, created_at: at, message });
    });
}

/// Takes the end of a task into the account of its service.
pub fn account(draft: &mut Draft, task: &Task, at: Timestamp, healthy_after: Duration) {
    if let Some(owner) = &task.owner {
        let key = (task.cluster.clone(), owner.service.clone());
        let definition = draft.task_definition(&task.task_definition).map(Arc::clone);
        let document = definition.as_ref().map(|definition| &definition.document);
        draft.update_service(&key, |service| {
            crash_loop::account(service, task, document, at, healthy_after);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn fact(seen: Seen) -> Fact {
        Fact { task: TaskId::from_random([1; 16]), at: Timestamp(1), ledger: None, seen }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_waits_for_what_somebody_does() {
        let (sender, mut source) = unbounded_channel();
        let (began, ended) = (fact(Seen::PullStarted), fact(Seen::AllStopped));
        sender.send(began.clone()).unwrap();
        let later = async {
            tokio::task::yield_now().await;
            sender.send(ended.clone()).unwrap();
        };
        let (batch, ()) = tokio::join!(next(&mut source), later);
        assert_eq!(batch, Some(vec![began, ended]));
    }

    #[tokio::test]
    async fn it_does_not_wait_for_ever() {
        let (sender, mut source) = unbounded_channel();
        sender.send(fact(Seen::PullStarted)).unwrap();
        assert_eq!(next(&mut source).await, Some(vec![fact(Seen::PullStarted)]));
        drop(sender);
        assert_eq!(next(&mut source).await, None);
    }
}
