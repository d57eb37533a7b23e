//! Listening to a task's shim until it has nothing more to say.
//!
//! The last that it says is that all containers ended. That is passed on together with the word that the task has let go
//! of what others may want, so that both are one commit.
//!
//! A shim that ends without having said that all containers ended was killed, and its containers with it, by the
//! kernel. That is told in the agent's own words, because nobody saw how they ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::credentials::Renewals;
use super::turns::Turn;
use super::{Hands, Reins};
use crate::agent::failure::sentence;
use crate::agent::logs;
use crate::model::fact::{Fact, Seen};
use crate::model::ids::ContainerName;
use crate::model::task::{ContainerStatus, StopCode, StopRequest, Task};
use crate::shim::client::Connection;

/// What of a task has not ended, by the facts so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    open: BTreeSet<ContainerName>,
    has_run: bool,
    is_stopping: bool,
    is_finished: bool,
}

impl Progress {
    pub(super) fn of(task: &Task) -> Self {
        let is_open = |status| match status {
            ContainerStatus::Pending | ContainerStatus::Running => true,
            ContainerStatus::Stopped => false,
        };
        let open = task.containers.iter().filter(|container| is_open(container.known_status));
        Self {
            open: open.map(|container| container.name.clone()).collect(),
            has_run: task.times.started_at.is_some(),
            is_stopping: task.stop.is_some(),
            is_finished: false,
        }
    }

    /// Takes one more fact.
    pub(super) fn take(&mut self, fact: &Fact) {
        match &fact.seen {
            Seen::ContainerStarted { .. } => self.has_run = true,
            Seen::ContainerExited { container, restarting: false, .. }
            | Seen::ContainerFailed { container, .. } => {
                self.open.remove(container);
            }
            Seen::Stopping { .. } => self.is_stopping = true,
            Seen::AllStopped => self.is_finished = true,
            Seen::PullStarted
            | Seen::ImageResolved { .. }
            | Seen::PullStopped
            | Seen::UsersChosen { .. }
            | Seen::NetworkAttached { .. }
            | Seen::PortsPublished { .. }
            | Seen::ShimStarted
            | Seen::ContainerExited { .. }
            | Seen::LastLines { .. }
            | Seen::HealthChanged { .. }
            | Seen::NotEnforced { .. }
            | Seen::Timed { .. }
            | Seen::Removed => {}
        }
    }

    /// Whether a container has run, or none will.
    fn has_begun(&self) -> bool {
        self.has_run || self.is_stopping || self.is_finished
    }

    /// What is told of a task whose shim ended too early: nothing when it did not.
    pub(super) fn lost(&self, is_same_boot: bool) -> Vec<Seen> {
        if self.is_finished {
            return Vec::new();
        }
        let (code, what) = match (is_same_boot, self.has_run) {
            (false, _) => (StopCode::TerminationNotice, "the host restarted"),
            (true, true) => (StopCode::EssentialContainerExited, "the shim of the task was killed"),
            (true, false) => (StopCode::TaskFailedToStart, "the shim of the task was killed"),
        };
        let reason = format!("InternalError: {what}");
        let failed = |container: &ContainerName| Seen::ContainerFailed {
            container: container.clone(),
            reason: reason.clone(),
            exit: None,
        };
        let mut told: Vec<Seen> = self.open.iter().map(failed).collect();
        if !self.is_stopping {
            let request = StopRequest { code, reason: reason.clone() };
            told.insert(0, Seen::Stopping { request });
        }
        told.push(Seen::AllStopped);
        told
    }
}

/// Passes on what the shim says, brings it the credentials of its role, and tells it to stop when the task is.
///
/// A start that others wait for has its turn until something of it runs.
pub(super) async fn converse(
    hands: &Arc<Hands>,
    task: &Task,
    mut connection: Connection,
    mut turn: Option<Turn>,
    reins: &mut Reins,
) {
    let mut progress = Progress::of(task);
    let mut is_told = false;
    let mut renewals = Renewals::of(hands, &task.id);
    loop {
        tokio::select! {
            biased;
            fact = connection.next() => match fact {
                Ok(Some(fact)) => {
                    progress.take(&fact);
                    turn = turn.filter(|_| !progress.has_begun());
                    pass(hands, fact).await;
                }
                Ok(None) => break,
                Err(err) => {
                    tracing::error!(task = %task.id, error = sentence(&err), "shim lost");
                    break;
                }
            },
            credentials = renewals.next() => {
                if let Err(err) = connection.credentials(credentials).await {
                    tracing::warn!(task = %task.id, error = sentence(&err), "credentials not brought");
                }
            }
            request = reins.stopped(), if !is_told => {
                is_told = true;
                if let Err(err) = connection.stop(&request).await {
                    // A shim that is gone ends the conversation by itself.
                    tracing::warn!(task = %task.id, error = sentence(&err), "shim not told to stop");
                }
            }
        }
    }
    drop(connection);
    finish(hands, task, &progress, true).await;
}

/// Passes on a fact; the last one once the task has let go, and with it that it has.
pub(super) async fn pass(hands: &Arc<Hands>, fact: Fact) {
    if fact.seen != Seen::AllStopped {
        return hands.teller.pass(fact);
    }
    let task = fact.task.clone();
    let gone = hands.let_go(&task).await;
    hands.teller.pass(fact);
    match gone {
        Ok(()) => hands.teller.tell(&task, Seen::Removed),
        // The sweep tries again and tells.
        Err(err) => tracing::warn!(%task, error = sentence(&err), "task holds on to something"),
    }
}

/// Tells the end of a task whose shim could not, once nothing of it runs.
pub(super) async fn finish(hands: &Arc<Hands>, task: &Task, progress: &Progress, is_same_boot: bool) {
    let told = progress.lost(is_same_boot);
    if told.is_empty() {
        return;
    }
    if let Err(err) = hands.kill(&task.id).await {
        tracing::warn!(task = %task.id, error = sentence(&err), "control group not emptied");
    }
    for container in &progress.open {
        let lines = logs::last_lines(hands, &task.id, container).await;
        if !lines.is_empty() {
            hands.teller.tell(&task.id, Seen::LastLines { container: container.clone(), lines });
        }
    }
    for seen in told {
        hands.teller.tell(&task.id, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::TaskId;
    use crate::model::task::Exit;
    use crate::model::time::Timestamp;

    fn name(text: &str) -> ContainerName {
        ContainerName::parse(text).unwrap()
    }

    fn fact(seen: Seen) -> Fact {
        Fact { task: TaskId::from_random([1; 16]), at: Timestamp(1), ledger: Some(1), seen }
    }

    fn two() -> Progress {
        let open = BTreeSet::from([name("web"), name("side")]);
        Progress { open, has_run: false, is_stopping: false, is_finished: false }
    }

    #[test]
    fn a_task_that_said_its_end_is_not_lost() {
        let mut progress = two();
        progress.take(&fact(Seen::AllStopped));
        assert!(progress.lost(true).is_empty());
    }

    #[test]
    fn a_killed_shim_is_told_for_each_container_that_had_not_ended() {
        let mut progress = two();
        progress.take(&fact(Seen::ContainerStarted { container: name("web"), pid: 7, restarts: 0 }));
        let exit = Exit::Code(0);
        progress.take(&fact(Seen::ContainerExited {
            container: name("side"),
            exit,
            reason: None,
            restarting: false,
        }));
        let told = progress.lost(true);
        assert!(
            matches!(&told[0], Seen::Stopping { request } if request.code == StopCode::EssentialContainerExited)
        );
        assert!(matches!(&told[1], Seen::ContainerFailed { container, .. } if *container == name("web")));
        assert_eq!(told[2..], [Seen::AllStopped]);
    }

    #[test]
    fn a_container_that_restarts_has_not_ended() {
        let mut progress = two();
        let exit = Exit::Code(1);
        progress.take(&fact(Seen::ContainerExited {
            container: name("side"),
            exit,
            reason: None,
            restarting: true,
        }));
        assert_eq!(progress.open.len(), 2);
    }

    #[test]
    fn after_a_reboot_the_host_is_to_blame() {
        let told = two().lost(false);
        assert!(matches!(&told[0], Seen::Stopping { request }
            if request.code == StopCode::TerminationNotice && request.reason == "InternalError: the host restarted"));
    }

    #[test]
    fn a_reason_that_was_given_stays() {
        let mut progress = two();
        let request = StopRequest { code: StopCode::UserInitiated, reason: "enough".to_owned() };
        progress.take(&fact(Seen::Stopping { request }));
        assert!(progress.lost(true).iter().all(|seen| !matches!(seen, Seen::Stopping { .. })));
    }
}
