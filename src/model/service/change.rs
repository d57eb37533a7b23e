//! What happens to a service's deployments: they begin, end, fail and come back.
//!
//! The list of deployments, the records of them and the revisions change together, here and nowhere else.

use super::{
    BreakerStatus, CrashLoop, Deployment, DeploymentRecord, DeploymentStatus, RecordStatus, Revision,
    Rollback, RolloutState, Service, StopType, record,
};
use crate::model::{
    ids::{DeploymentId, RevisionId, TaskDefinitionId},
    time::Timestamp,
};

/// Members of a service that its tasks are made of: a revision keeps them, and a change of most is a deployment.
pub const REVISED: [&str; 11] = [
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "enableExecuteCommand",
];

/// A deployment that cannot be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotStop {
    /// It is over.
    #[error("the deployment is {}", .0.as_str())]
    Over(RecordStatus),
    /// It is being stopped or taken back already, in another way than asked for.
    #[error("the deployment is {} already", .0.as_str())]
    Stopping(RecordStatus),
    /// There is no completed deployment to go back to.
    #[error("no earlier deployment was completed, so there is nothing to roll back to")]
    NothingBefore,
}

impl Service {
    /// Rolls out `task_definition` with the members that the service has now, as a new revision.
    pub fn deploy(&mut self, id: DeploymentId, task_definition: TaskDefinitionId, at: Timestamp) {
        let kept =
            REVISED.iter().filter_map(|name| Some(((*name).to_owned(), self.extra.get(*name)?.clone())));
        let revision = Revision {
            id: RevisionId::of(&id),
            task_definition: task_definition.clone(),
            settings: kept.collect(),
            images: std::collections::BTreeMap::new(),
            created_at: at,
        };
        self.revisions.insert(0, revision);
        self.begin(Deployment::new(id, task_definition, at), at);
    }

    /// Rolls out a revision that the service has had before; whether it knows it.
    pub fn redeploy(&mut self, id: DeploymentId, revision: &RevisionId, at: Timestamp) -> bool {
        let Some(known) = self.revisions.iter().find(|one| one.id == *revision) else { return false };
        let mut deployment = Deployment::new(id, known.task_definition.clone(), at);
        deployment.revision = Some(revision.clone());
        self.restore(&revision.clone());
        self.begin(deployment, at);
        true
    }

    fn begin(&mut self, deployment: Deployment, at: Timestamp) {
        let sources = self.deployments.iter().map(Deployment::revision).collect();
        self.displace(&deployment.id.clone(), at);
        let record = DeploymentRecord {
            deployment: deployment.id.clone(),
            status: RecordStatus::InProgress,
            status_reason: None,
            target: deployment.revision(),
            sources,
            created_at: at,
            started_at: Some(at),
            finished_at: None,
            stopped_at: None,
            updated_at: at,
            configuration: self.configuration().cloned().unwrap_or_default(),
            desired_count: None,
            breaker: if self.breaker.enable { BreakerStatus::Monitoring } else { BreakerStatus::Disabled },
            failures: 0,
            threshold: self.threshold(),
            rollback: None,
        };
        self.deployments.insert(0, deployment);
        self.history.insert(0, record);
        self.crash_loop = CrashLoop::default();
        self.forget();
    }

    /// Nothing else is PRIMARY any more, and what was in progress has been overtaken by `newest`.
    fn displace(&mut self, newest: &DeploymentId, at: Timestamp) {
        for older in &mut self.deployments {
            older.stop_asked = None;
            older.rolls_back = None;
            if older.status == DeploymentStatus::Primary {
                older.status = DeploymentStatus::Active;
                older.updated_at = at;
            }
        }
        let ids: Vec<DeploymentId> = self
            .history
            .iter()
            .filter(|one| !one.status.is_over())
            .map(|one| one.deployment.clone())
            .collect();
        for id in ids.iter().filter(|id| *id != newest) {
            let was = self.record(id).map(|record| record.status);
            let status = if was == Some(RecordStatus::RollbackInProgress) {
                RecordStatus::RollbackFailed
            } else {
                RecordStatus::Stopped
            };
            self.close(id, status, Some(format!("Deployment {newest} took its place.")), at);
        }
    }

    /// The deployment has reached a steady state.
    pub fn complete(&mut self, id: &DeploymentId, at: Timestamp) {
        let Some(deployment) = self.deployment_mut(id) else { return };
        deployment.rollout_state = RolloutState::Completed;
        deployment.rollout_state_reason = format!("ECS deployment {id} completed.");
        deployment.stop_asked = None;
        deployment.updated_at = at;
        match deployment.rolls_back.take() {
            Some(failed) => self.close(&failed, RecordStatus::RollbackSuccessful, None, at),
            None => self.close(id, RecordStatus::Successful, None, at),
        }
    }

    /// A task of the deployment is healthy: the failures before it are forgotten.
    pub fn forgive(&mut self, id: &DeploymentId, at: Timestamp) {
        let forgives = self.breaker.reset_on_healthy_task;
        if let Some(deployment) = self.deployment_mut(id) {
            deployment.failed_tasks = 0;
            deployment.breaker_count = if forgives { 0 } else { deployment.breaker_count };
            deployment.updated_at = at;
        }
    }

    /// The deployment has failed and starts no more tasks.
    pub fn fail(&mut self, id: &DeploymentId, reason: &str, triggered: bool, at: Timestamp) {
        let Some(deployment) = self.deployment_mut(id) else { return };
        deployment.rollout_state = RolloutState::Failed;
        reason.clone_into(&mut deployment.rollout_state_reason);
        deployment.stop_asked = None;
        deployment.updated_at = at;
        self.close(id, RecordStatus::Stopped, Some(reason.to_owned()), at);
        if triggered && let Some(record) = self.record_mut(id) {
            record.breaker = BreakerStatus::Triggered;
        }
    }

    /// The deployment `from` is taken back: `to`, which was completed before, is PRIMARY again.
    pub fn roll_back(&mut self, from: &DeploymentId, to: &DeploymentId, reason: &str, at: Timestamp) {
        let Some(target) = self.record(to).map(|record| record.target.clone()) else { return };
        let Some(revision) = self.revisions.iter().find(|one| one.id == target) else { return };
        let made_of = revision.task_definition.clone();
        if !self.deployments.iter().any(|one| one.id == *to) {
            let mut again = Deployment::new(to.clone(), made_of, at);
            again.revision = (target != RevisionId::of(to)).then(|| target.clone());
            self.deployments.insert(0, again);
        }
        for deployment in &mut self.deployments {
            deployment.status = DeploymentStatus::Active;
            deployment.stop_asked = None;
        }
        if let Some(at_now) = self.deployments.iter().position(|one| one.id == *to) {
            let mut primary = self.deployments.remove(at_now);
            primary.status = DeploymentStatus::Primary;
            primary.rollout_state = RolloutState::InProgress;
            primary.rollout_state_reason = format!("ECS deployment {to} in progress.");
            primary.rolls_back = Some(from.clone());
            (primary.failed_tasks, primary.breaker_count) = (0, 0);
            primary.updated_at = at;
            self.deployments.insert(0, primary);
        }
        self.restore(&target);
        self.crash_loop = CrashLoop::default();
        if let Some(record) = self.record_mut(from) {
            record.status = RecordStatus::RollbackInProgress;
            (record.finished_at, record.stopped_at, record.desired_count) = (None, None, None);
            record.rollback = Some(Rollback { reason: reason.to_owned(), started_at: at, revision: target });
            record.updated_at = at;
        }
    }

    /// What a deployment brought back fails itself: it is tried on, but the rollback counts as failed.
    pub fn rollback_failed(&mut self, of: &DeploymentId, reason: &str, at: Timestamp) {
        let Some(deployment) = self.deployment_mut(of) else { return };
        if let Some(failed) = deployment.rolls_back.take() {
            self.close(&failed, RecordStatus::RollbackFailed, Some(reason.to_owned()), at);
        }
    }

    /// Notes that somebody wants the deployment stopped; the next pass does it. Asking again is no error.
    pub fn ask_stop(&mut self, id: &DeploymentId, how: StopType, at: Timestamp) -> Result<(), CannotStop> {
        let wanted = match how {
            StopType::Abort => RecordStatus::StopRequested,
            StopType::Rollback => RecordStatus::RollbackRequested,
        };
        let Some(record) = self.record(id) else { return Err(CannotStop::Over(RecordStatus::Stopped)) };
        let status = record.status;
        let is_asked =
            status == wanted || (how == StopType::Rollback && status == RecordStatus::RollbackInProgress);
        if is_asked {
            return Ok(());
        }
        if status.is_over() {
            return Err(CannotStop::Over(status));
        }
        if status != RecordStatus::InProgress {
            return Err(CannotStop::Stopping(status));
        }
        if how == StopType::Rollback && self.rollback_target(id).is_none() {
            return Err(CannotStop::NothingBefore);
        }
        if let Some(deployment) = self.deployment_mut(id) {
            deployment.stop_asked = Some(how);
        }
        if let Some(record) = self.record_mut(id) {
            record.status = wanted;
            record.updated_at = at;
        }
        Ok(())
    }

    /// Ends a record.
    fn close(&mut self, id: &DeploymentId, status: RecordStatus, reason: Option<String>, at: Timestamp) {
        let desired = self.desired_count;
        let failures = self.deployments.iter().find(|one| one.id == *id).map_or(0, |one| one.breaker_count);
        let Some(record) = self.record_mut(id).filter(|record| !record.status.is_over()) else { return };
        record.status = status;
        record.status_reason = reason.or(record.status_reason.take());
        record.finished_at = Some(at);
        record.stopped_at = (status == RecordStatus::Stopped).then_some(at);
        record.updated_at = at;
        record.desired_count = Some(desired);
        record.failures = failures.max(record.failures);
        if record.breaker == BreakerStatus::Monitoring {
            record.breaker = BreakerStatus::MonitoringComplete;
        }
    }

    /// Puts the members of a revision in the place of the service's own.
    fn restore(&mut self, revision: &RevisionId) {
        let Some(revision) = self.revisions.iter().find(|one| one.id == *revision) else { return };
        for name in REVISED {
            match revision.settings.get(name) {
                Some(value) => self.extra.insert(name.to_owned(), value.clone()),
                None => self.extra.remove(name),
            };
        }
    }

    /// Forgets the oldest records, and revisions that no record and no deployment names.
    fn forget(&mut self) {
        let (history, deployments) = (&mut self.history, &self.deployments);
        let newest_good = history.iter().find(|one| one.status == RecordStatus::Successful);
        let kept = newest_good.map(|one| one.deployment.clone());
        let mut count = 0;
        history.retain(|record| {
            count += 1;
            count <= record::KEPT
                || kept.as_ref() == Some(&record.deployment)
                || deployments.iter().any(|one| one.id == record.deployment)
        });
        let used = |id: &RevisionId| {
            history.iter().any(|one| one.target == *id) || deployments.iter().any(|one| one.revision() == *id)
        };
        self.revisions.retain(|revision| used(&revision.id));
    }

    fn deployment_mut(&mut self, id: &DeploymentId) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|one| one.id == *id)
    }

    fn record_mut(&mut self, id: &DeploymentId) -> Option<&mut DeploymentRecord> {
        self.history.iter_mut().find(|one| one.deployment == *id)
    }
}

#[cfg(test)]
mod tests;
