//! The start: what became of the tasks while no daemon ran.
//!
//! ```text
//!   another boot of the host     every task has ended with it: STOPPED, and swept
//!   shim runs                    its facts flow on
//!   shim is gone                 the facts it left say how it ended; swept
//!   no shim yet                  started from the beginning, or swept when nobody wants it any more
//! ```
//!
//! There is no other start, so a crash, an upgrade and the first start of all take the same path.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use crate::{
    agent::{Adopted, Agent, StartTask},
    model::{
        cluster::Cluster,
        fact::{Fact, Seen},
        ids::{ClusterName, InstanceId, TaskId},
        task::{DesiredStatus, StopCode, StopRequest, Task, TaskStatus},
        task_definition::TaskDefinition,
        time::Timestamp,
    },
    plan::admit::Hands,
    store::{Draft, Snapshot, Store, WriteError},
};

use super::{clock, facts, hands::HandsOf, report::chain, system};

/// How many tasks are looked for at the same time.
const AT_ONCE: usize = 16;

/// Notes the boot that the host is in. When the last daemon ran in another one, every task has ended with it.
///
/// Services get new tasks by themselves; standalone tasks stay STOPPED. Gives the tasks that ended.
pub async fn cross_boot(store: &Store, boot: String) -> Result<Vec<TaskId>, WriteError<Infallible>> {
    let at = clock::wall();
    if store.snapshot().boot_id() == Some(boot.as_str()) {
        return Ok(Vec::new());
    }
    store.write(move |draft| Ok(end_with_boot(draft, &boot, at))).await
}

fn end_with_boot(draft: &mut Draft, boot: &str, at: Timestamp) -> Vec<TaskId> {
    let is_first = draft.boot_id().is_none();
    draft.set_boot_id(boot);
    if is_first {
        return Vec::new();
    }
    let ended: Vec<TaskId> = draft.live_tasks().map(|task| task.id.clone()).collect();
    let request =
        StopRequest { code: StopCode::TerminationNotice, reason: "Host restarted or was shut down.".into() };
    for task in &ended {
        let fact = |seen| Fact { task: task.clone(), at, ledger: None, seen };
        let over = [fact(Seen::Stopping { request: request.clone() }), fact(Seen::AllStopped)];
        // A stop that the host ordered says nothing of the launch, so no service waits for it.
        facts::apply(draft, &over, std::time::Duration::ZERO);
    }
    ended
}

/// Takes tasks back into a store that was lost, from what their directories keep of them.
///
/// Their services are lost with it: they run on as they are until somebody stops them. Gives how many came back.
pub async fn restore(store: &Store, kept: Vec<StartTask>) -> Result<usize, WriteError<Infallible>> {
    let now = clock::wall();
    store.write(move |draft| Ok(take_back(draft, kept, now))).await
}

fn take_back(draft: &mut Draft, kept: Vec<StartTask>, now: Timestamp) -> usize {
    let unknown: Vec<StartTask> =
        kept.into_iter().filter(|kept| draft.task(&kept.task.id).is_none()).collect();
    for StartTask { task, definition, .. } in &unknown {
        if draft.cluster(&task.cluster).is_none() {
            draft.put_cluster(new_cluster(task.cluster.clone(), now));
        }
        if draft.task_definition(&definition.id).is_none() {
            draft.put_task_definition(TaskDefinition::clone(definition));
        }
        draft.put_task(task.clone());
    }
    unknown.len()
}

/// A cluster as it begins.
pub(super) fn new_cluster(name: ClusterName, at: Timestamp) -> Cluster {
    Cluster::new(name, InstanceId::from_random(system::random()), at)
}

/// Finds every live task on the host, and says what the hands hold.
pub async fn adopt(agent: &Agent, snapshot: &Snapshot, facts: &UnboundedSender<Fact>) -> HandsOf {
    let tasks: Vec<Arc<Task>> = snapshot.live_tasks().map(Arc::clone).collect();
    let found = stream::iter(tasks).map(|task| async move {
        let adopted = match snapshot.task_definition(&task.task_definition) {
            Some(definition) => agent.adopt(&task, definition).await,
            None => Adopted::NotStarted,
        };
        (task, adopted)
    });
    let found: Vec<(Arc<Task>, Adopted)> = found.buffer_unordered(AT_ONCE).collect().await;
    let mut hands = HandsOf::default();
    for (task, adopted) in &found {
        hands.set(&task.id, held(task, *adopted, facts));
    }
    let count = |which| found.iter().filter(|(_, adopted)| *adopted == which).count();
    if !found.is_empty() {
        info!(
            running = count(Adopted::Running),
            gone = count(Adopted::Gone),
            not_started = count(Adopted::NotStarted),
            "tasks adopted"
        );
    }
    hands
}

fn held(task: &Task, adopted: Adopted, facts: &UnboundedSender<Fact>) -> Hands {
    match adopted {
        Adopted::Running | Adopted::Gone => Hands::Holding,
        Adopted::NotStarted if has_run(task) && task.desired_status == DesiredStatus::Running => {
            let request = StopRequest {
                code: StopCode::TerminationNotice,
                reason: "The task's processes and its ledger are gone from the host.".into(),
            };
            for seen in [Seen::Stopping { request }, Seen::AllStopped] {
                let fact = Fact { task: task.id.clone(), at: clock::wall(), ledger: None, seen };
                if facts.send(fact).is_err() {
                    warn!(task = %task.id, "nobody takes facts");
                }
            }
            Hands::Stopping
        }
        Adopted::NotStarted => Hands::Empty,
    }
}

/// Whether anything of it ran: such a task is never started again.
fn has_run(task: &Task) -> bool {
    task.known_status >= TaskStatus::Running
        || task.containers.iter().any(|container| container.started_at.is_some())
}

/// Removes from the host what belongs to no task that may have something there: what nobody knows, and what is left of
/// tasks that had stopped when the last daemon ended.
pub async fn sweep_orphans(agent: &Agent, snapshot: &Snapshot) {
    let known: BTreeSet<TaskId> = snapshot.live_tasks().map(|task| task.id.clone()).collect();
    let orphans = match agent.orphans(&known).await {
        Ok(orphans) => orphans,
        Err(error) => return warn!(error = %chain(&error), "host not searched for orphans"),
    };
    for orphan in orphans {
        match agent.remove_orphan(&orphan).await {
            Ok(()) => info!(orphan = %orphan.what, "orphan removed"),
            Err(error) => warn!(orphan = %orphan.what, error = %chain(&error), "orphan not removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        task::NewTask,
        task_definition::{Document, LogMode},
    };

    fn kept() -> StartTask {
        let text = r#"{"family":"web","containerDefinitions":[{"name":"web","image":"i"}]}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let definition = Arc::new(TaskDefinition::new(document, 3, Timestamp(0)));
        let task = Task::from(NewTask::of(
            TaskId::from_random([9; 16]),
            ClusterName::parse("edge").unwrap(),
            &definition,
            Timestamp(5),
        ));
        StartTask { task, definition, log_mode: LogMode::default() }
    }

    #[tokio::test]
    async fn a_lost_store_takes_its_tasks_back_with_all_they_need() {
        let store = Store::memory();
        let kept = kept();
        assert_eq!(restore(&store, vec![kept.clone()]).await.unwrap(), 1);
        assert_eq!(restore(&store, vec![kept.clone()]).await.unwrap(), 0);
        let snapshot = store.snapshot();
        assert_eq!(**snapshot.task(&kept.task.id).unwrap(), kept.task);
        assert!(snapshot.cluster(&kept.task.cluster).is_some());
        assert_eq!(snapshot.last_revision(&kept.definition.id.family), 3);
    }

    #[tokio::test]
    async fn a_task_ends_with_the_boot_it_ran_in_and_not_before() {
        let store = Store::memory();
        assert_eq!(cross_boot(&store, "one".into()).await.unwrap(), []);
        let id = kept().task.id;
        restore(&store, vec![kept()]).await.unwrap();
        assert_eq!(cross_boot(&store, "one".into()).await.unwrap(), []);
        assert_eq!(cross_boot(&store, "two".into()).await.unwrap(), std::slice::from_ref(&id));
        let snapshot = store.snapshot();
        let task = snapshot.task(&id).unwrap();
        assert_eq!(task.known_status, TaskStatus::Deprovisioning);
        assert_eq!(task.stop.as_ref().unwrap().code, StopCode::TerminationNotice);
        assert_eq!(cross_boot(&store, "two".into()).await.unwrap(), []);
    }
}
