//! ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions, StopServiceDeployment.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    page::Page,
    reference,
    refused::{Kind, Refused},
    service,
    wire::{self, deployment::Of},
};
use crate::{
    model::{
        arn::Owner,
        ids::{ClusterName, RecordId, RevisionId, ServiceName},
        service::{DeploymentRecord, Service, StopType},
        time::Timestamp,
    },
    store::{ServiceKey, Snapshot},
};

const STATUSES: [&str; 9] = [
    "PENDING",
    "SUCCESSFUL",
    "STOPPED",
    "STOP_REQUESTED",
    "IN_PROGRESS",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
];

/// How many a call describes at most.
const AT_ONCE: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListServiceDeployments {
    service: String,
    cluster: Option<String>,
    #[serde(default)]
    status: Vec<String>,
    created_at: Option<Between>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// Times as seconds since 1970, with a fraction.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    before: Option<f64>,
    after: Option<f64>,
}

impl Between {
    fn holds(self, at: Timestamp) -> bool {
        let at = at.as_epoch_seconds();
        self.before.is_none_or(|before| at < before) && self.after.is_none_or(|after| at > after)
    }
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListServiceDeployments = input(value)?;
    reference::words("status", &input.status, &STATUSES)?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?.name.clone();
    let key = reference::service_key(&api.owner, &cluster, &input.service)?;
    let service = snapshot.service(&key).ok_or_else(service::not_found)?;
    let of = Of { service, snapshot: &snapshot, owner: &api.owner };
    let is_wanted = |record: &&DeploymentRecord| {
        (input.status.is_empty() || input.status.iter().any(|word| word == record.status.as_str()))
            && input.created_at.is_none_or(|between| between.holds(record.created_at))
    };
    // The newest comes first, and no two of the same moment have the same id.
    let order =
        |record: &DeploymentRecord| format!("{:020}/{}", record.created_at.0, record.deployment.digits());
    let all = service.history.iter().filter(is_wanted).map(|record| (order(record), of.brief(record)));
    let page = Page { max_results: input.max_results, next_token: input.next_token.clone() };
    let listed = page.of(all, 20, |text| Some(text.to_owned()), |key, seen| key < seen)?;
    Ok(listed.under("serviceDeployments"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeServiceDeployments {
    service_deployment_arns: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeServiceDeployments { service_deployment_arns: arns } = input(value)?;
    check_count("serviceDeploymentArns", &arns)?;
    let snapshot = api.store.snapshot();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in &arns {
        let (key, id) = record_key(&api.owner, arn)?;
        match find_record(&snapshot, &key, &id) {
            Some((service, record)) => {
                found.push(Of { service, snapshot: &snapshot, owner: &api.owner }.record(record));
            }
            None => failures.push(wire::failure(arn.as_str(), "MISSING")),
        }
    }
    Ok(json!({"serviceDeployments": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeServiceRevisions {
    service_revision_arns: Vec<String>,
}

pub(super) fn describe_revisions(api: &Api, value: Value) -> Answer {
    let DescribeServiceRevisions { service_revision_arns: arns } = input(value)?;
    check_count("serviceRevisionArns", &arns)?;
    let snapshot = api.store.snapshot();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in &arns {
        let (key, id) = split(&api.owner, "service-revision", arn)?;
        let id = RevisionId::parse(id)?;
        let service = snapshot.service(&key);
        match service.and_then(|service| Some((service, service.revision(&id)?))) {
            Some((service, revision)) => {
                found.push(Of { service, snapshot: &snapshot, owner: &api.owner }.revision(revision));
            }
            None => failures.push(wire::failure(arn.as_str(), "MISSING")),
        }
    }
    Ok(json!({"serviceRevisions": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StopServiceDeployment {
    service_deployment_arn: String,
    stop_type: Option<String>,
}

pub(super) async fn stop(api: &Api, value: Value) -> Answer {
    let StopServiceDeployment { service_deployment_arn: arn, stop_type } = input(value)?;
    reference::words("stopType", stop_type.as_slice(), &["ABORT", "ROLLBACK"])?;
    let how = match stop_type.as_deref() {
        Some("ABORT") => StopType::Abort,
        Some(_) | None => StopType::Rollback,
    };
    let (key, id) = record_key(&api.owner, &arn)?;
    let now = api.source.now();
    let named = arn.clone();
    api.store
        .write(move |draft| {
            let (service, record) = find_record(draft, &key, &id).ok_or_else(not_found)?;
            let (mut service, deployment) = (Service::clone(service), record.deployment.clone());
            service.ask_stop(&deployment, how, now).map_err(|why| {
                Refused::new(Kind::ConflictException, format!("{named} cannot be stopped: {why}."))
            })?;
            draft.put_service(service);
            Ok(())
        })
        .await?;
    Ok(json!({"serviceDeploymentArn": arn}))
}

fn not_found() -> Refused {
    Refused::new(Kind::ServiceDeploymentNotFoundException, "Service deployment not found.")
}

fn check_count(member: &str, arns: &[String]) -> Result<(), Refused> {
    if arns.is_empty() {
        return Err(Refused::parameter(format!("{member} cannot be empty.")));
    }
    if arns.len() > AT_ONCE {
        return Err(Refused::parameter(format!("{member} has at most {AT_ONCE}.")));
    }
    Ok(())
}

/// The service that an ARN of `kind` names, and the rest of it.
fn split<'a>(owner: &Owner, kind: &str, arn: &'a str) -> Result<(ServiceKey, &'a str), Refused> {
    let member = if kind == "service-revision" { "serviceRevisionArn" } else { "serviceDeploymentArn" };
    let malformed = || Refused::parameter(format!("This is not the ARN of a {kind}.")).about(member, arn);
    if !arn.starts_with("arn:") {
        return Err(malformed());
    }
    let rest = owner.rest(kind, arn).map_err(|bad| Refused::from(bad).about(member, arn))?;
    let mut parts = rest.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(cluster), Some(service), Some(id), None) => {
            Ok(((ClusterName::parse(cluster)?, ServiceName::parse(service)?), id))
        }
        (_, _, _, _) => Err(malformed()),
    }
}

fn record_key(owner: &Owner, arn: &str) -> Result<(ServiceKey, RecordId), Refused> {
    let (key, id) = split(owner, "service-deployment", arn)?;
    Ok((key, RecordId::parse(id)?))
}

fn find_record<'a>(
    snapshot: &'a Snapshot,
    key: &ServiceKey,
    id: &RecordId,
) -> Option<(&'a Arc<Service>, &'a DeploymentRecord)> {
    let service = snapshot.service(key)?;
    let record = service.history.iter().find(|record| RecordId::of(&record.deployment) == *id)?;
    Some((service, record))
}
