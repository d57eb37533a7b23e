//! Service deployments and service revisions on the wire.

use serde_json::{Value, json};

use super::Members;
use crate::{
    model::{
        arn::Owner,
        ids::RevisionId,
        service::{
            BreakerStatus, Deployment, DeploymentRecord, DeploymentStatus, REVISED, Revision, Service,
        },
    },
    store::{Counts, Snapshot},
};

/// A service that a record or a revision is shown of.
pub(in crate::api) struct Of<'a> {
    /// The service.
    pub(in crate::api) service: &'a Service,
    /// Its tasks.
    pub(in crate::api) snapshot: &'a Snapshot,
    /// In whose name ARNs are written.
    pub(in crate::api) owner: &'a Owner,
}

impl Of<'_> {
    /// The ARN of a record.
    pub(in crate::api) fn record_arn(&self, record: &DeploymentRecord) -> String {
        let id = crate::model::ids::RecordId::of(&record.deployment);
        self.owner.service_deployment(&self.service.cluster, &self.service.name, &id)
    }

    /// The ARN of a revision.
    pub(in crate::api) fn revision_arn(&self, id: &RevisionId) -> String {
        self.owner.service_revision(&self.service.cluster, &self.service.name, id)
    }

    fn head(&self, record: &DeploymentRecord) -> Members {
        let mut members = Members::default();
        members
            .put("serviceDeploymentArn", self.record_arn(record))
            .put("serviceArn", self.owner.service(&self.service.cluster, &self.service.name))
            .put("clusterArn", self.owner.cluster(&self.service.cluster))
            .put_time("createdAt", Some(record.created_at))
            .put_time("startedAt", record.started_at)
            .put_time("finishedAt", record.finished_at)
            .put("status", record.status.as_str())
            .put_some("statusReason", record.status_reason.as_deref());
        members
    }

    /// A line of ListServiceDeployments.
    pub(in crate::api) fn brief(&self, record: &DeploymentRecord) -> Value {
        self.head(record).put("targetServiceRevisionArn", self.revision_arn(&record.target)).document()
    }

    /// An entry of DescribeServiceDeployments.
    pub(in crate::api) fn record(&self, record: &DeploymentRecord) -> Value {
        let mut configuration = Members(record.configuration.clone());
        configuration.0.entry("strategy").or_insert_with(|| "ROLLING".into());
        for (name, percent) in [
            ("maximumPercent", self.service.bounds.maximum_percent),
            ("minimumHealthyPercent", self.service.bounds.minimum_healthy_percent),
        ] {
            configuration.0.entry(name).or_insert_with(|| percent.into());
        }
        let mut members = self.head(record);
        members
            .put_time("stoppedAt", record.stopped_at)
            .put_time("updatedAt", Some(record.updated_at))
            .put("sourceServiceRevisions", record.sources.iter().map(|id| self.counts(id)).collect::<Value>())
            .put("targetServiceRevision", self.counts(&record.target))
            .put("deploymentConfiguration", configuration.document())
            .put("deploymentCircuitBreaker", self.breaker(record));
        if let Some(rollback) = &record.rollback {
            let rollback = Members::default()
                .put("reason", rollback.reason.as_str())
                .put_time("startedAt", Some(rollback.started_at))
                .put("serviceRevisionArn", self.revision_arn(&rollback.revision))
                .document();
            members.put("rollback", rollback);
        }
        members.document()
    }

    fn breaker(&self, record: &DeploymentRecord) -> Value {
        let status = match record.breaker {
            BreakerStatus::Disabled => "DISABLED",
            BreakerStatus::Monitoring => "MONITORING",
            BreakerStatus::MonitoringComplete => "MONITORING_COMPLETE",
            BreakerStatus::Triggered => "TRIGGERED",
        };
        let live = self.service.deployments.iter().find(|one| one.id == record.deployment);
        let failures = live.filter(|_| !record.status.is_over()).map_or(0, |one| one.breaker_count);
        json!({
            "status": status,
            "failureCount": failures.max(record.failures),
            "threshold": record.threshold,
        })
    }

    /// A revision and how many tasks it has and should have.
    fn counts(&self, id: &RevisionId) -> Value {
        let (mut sum, mut requested) = (Counts::default(), 0);
        for deployment in self.service.deployments.iter().filter(|one| one.revision() == *id) {
            let counts = self.snapshot.counts_of_deployment(&deployment.id);
            sum.running += counts.running;
            sum.pending += counts.pending;
            requested += self.requested(deployment, counts);
        }
        json!({
            "arn": self.revision_arn(id),
            "requestedTaskCount": requested,
            "runningTaskCount": sum.running,
            "pendingTaskCount": sum.pending,
        })
    }

    fn requested(&self, deployment: &Deployment, counts: Counts) -> u32 {
        match deployment.status {
            DeploymentStatus::Primary => self.service.desired_count,
            DeploymentStatus::Active => counts.wanted,
        }
    }

    /// `currentServiceRevisions`: those that have a deployment now.
    pub(in crate::api) fn current_revisions(&self) -> Value {
        let mut ids: Vec<RevisionId> = self.service.deployments.iter().map(Deployment::revision).collect();
        ids.dedup();
        ids.iter().map(|id| self.counts(id)).collect()
    }

    /// An entry of DescribeServiceRevisions.
    pub(in crate::api) fn revision(&self, revision: &Revision) -> Value {
        let definition = self.snapshot.task_definition(&revision.task_definition);
        let containers = definition.into_iter().flat_map(|one| &one.document.container_definitions);
        let images = containers.map(|container| {
            Members::default()
                .put("containerName", container.name.as_str())
                .put_some("imageDigest", revision.images.get(&container.name).map(String::as_str))
                .put("image", container.image.as_str())
                .document()
        });
        let mut members = Members::default();
        members
            .put("serviceRevisionArn", self.revision_arn(&revision.id))
            .put("serviceArn", self.owner.service(&self.service.cluster, &self.service.name))
            .put("clusterArn", self.owner.cluster(&self.service.cluster))
            .put("taskDefinition", self.owner.task_definition(&revision.task_definition))
            .put("containerImages", images.collect::<Value>())
            .put("guardDutyEnabled", false)
            .put_time("createdAt", Some(revision.created_at));
        for name in REVISED.iter().filter(|name| **name != "enableExecuteCommand") {
            members.put_some(name, revision.settings.get(*name).cloned());
        }
        members.document()
    }
}
