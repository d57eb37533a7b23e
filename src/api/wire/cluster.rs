//! A cluster on the wire.

use serde_json::{Map, Value, json};

use super::{Members, tags};
use crate::{
    model::{
        arn::Owner,
        cluster::{Cluster, ClusterStatus},
        service::ServiceStatus,
        task::{Task, TaskStatus},
    },
    store::Snapshot,
};

/// Which members beyond the usual ones are asked for.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the request")]
pub(in crate::api) struct Include {
    pub(in crate::api) configurations: bool,
    pub(in crate::api) settings: bool,
    pub(in crate::api) statistics: bool,
    pub(in crate::api) tags: bool,
}

impl Include {
    /// All of them, as the calls that change a cluster answer.
    pub(in crate::api) const ALL: Self =
        Self { configurations: true, settings: true, statistics: false, tags: true };
}

pub(in crate::api) fn document(
    cluster: &Cluster,
    snapshot: &Snapshot,
    owner: &Owner,
    include: Include,
) -> Value {
    let active = cluster.status == ClusterStatus::Active;
    let counts = snapshot.counts_of_cluster(&cluster.name);
    let services =
        |status| snapshot.services_of(&cluster.name).filter(move |service| service.status == status);
    let mut members = Members::default();
    members
        .put("clusterArn", owner.cluster(&cluster.name))
        .put("clusterName", cluster.name.as_str())
        .put("status", if active { "ACTIVE" } else { "INACTIVE" })
        .put("registeredContainerInstancesCount", u32::from(active))
        .put("runningTasksCount", counts.running)
        .put("pendingTasksCount", counts.pending)
        .put("activeServicesCount", services(ServiceStatus::Active).count())
        .put_kept(
            &cluster.extra,
            &["serviceConnectDefaults"],
            &["capacityProviders", "defaultCapacityProviderStrategy"],
        );
    let settings = if include.settings { cluster.extra.get("settings").cloned() } else { None };
    let usual = || {
        if include.settings { json!([{"name": "containerInsights", "value": "disabled"}]) } else { json!([]) }
    };
    members.put("settings", settings.unwrap_or_else(usual));
    if include.configurations {
        members.put_some("configuration", cluster.extra.get("configuration").cloned());
    }
    members.put("tags", if include.tags { tags(&cluster.tags) } else { json!([]) });
    let statistics = if include.statistics { self::statistics(cluster, snapshot) } else { json!([]) };
    members.put("statistics", statistics).document()
}

/// Tasks and services by what they were launched on.
fn statistics(cluster: &Cluster, snapshot: &Snapshot) -> Value {
    let on_fargate = |extra: &Map<String, Value>| {
        let word = |name: &str| extra.get(name).and_then(Value::as_str);
        word("launchType") == Some("FARGATE")
            || word("capacityProviderName").is_some()
            || extra
                .get("capacityProviderStrategy")
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
    };
    let tasks = |fargate: bool, is: fn(&Task) -> bool| {
        let here = snapshot.live_tasks().filter(|task| task.cluster == cluster.name && is(task));
        here.filter(|task| on_fargate(&task.extra) == fargate).count()
    };
    let services = |fargate: bool, status: ServiceStatus| {
        let here = snapshot.services_of(&cluster.name).filter(|service| service.status == status);
        here.filter(|service| on_fargate(&service.extra) == fargate).count()
    };
    let is_running = |task: &Task| task.known_status == TaskStatus::Running;
    let is_pending = |task: &Task| task.known_status < TaskStatus::Running;
    let number = |name: &str, number: usize| json!({"name": name, "value": number.to_string()});
    json!([
        number("runningEC2TasksCount", tasks(false, is_running)),
        number("runningFargateTasksCount", tasks(true, is_running)),
        number("pendingEC2TasksCount", tasks(false, is_pending)),
        number("pendingFargateTasksCount", tasks(true, is_pending)),
        number("activeEC2ServiceCount", services(false, ServiceStatus::Active)),
        number("activeFargateServiceCount", services(true, ServiceStatus::Active)),
        number("drainingEC2ServiceCount", services(false, ServiceStatus::Draining)),
        number("drainingFargateServiceCount", services(true, ServiceStatus::Draining)),
    ])
}
