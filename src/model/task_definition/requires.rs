//! What a task definition asks of a container instance, by the names that ECS's own agents give themselves.
//!
//! `requiresAttributes` of a definition and the attributes of this host use the same words, so whoever compares them
//! (a person, a tool) sees what is missing. The names of Docker's versions are left out: there is no Docker here.

use std::collections::BTreeSet;

use super::{ContainerDefinition, Document, NetworkMode, Volume};

/// What every host with this program can do.
pub const OFFERED: [&str; 20] = [
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.journald",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.logging-driver.syslog",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.env-files.s3",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// What a host has whose operator allows privileged containers.
pub const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";

impl Document {
    /// The attributes that a container instance needs for it, in order.
    #[must_use]
    pub fn required_attributes(&self) -> BTreeSet<String> {
        let host = self.network_mode() == NetworkMode::Host;
        let role = if host { "task-iam-role-network-host" } else { "task-iam-role" };
        let of_task = [
            (self.task_role_arn.is_some(), format!("com.amazonaws.ecs.capability.{role}")),
            (self.network_mode() == NetworkMode::Awsvpc, "ecs.capability.task-eni".to_owned()),
            (self.cpu.is_some() || self.memory.is_some(), "ecs.capability.task-cpu-mem-limit".to_owned()),
            (
                self.pid_mode.is_some() || self.ipc_mode.is_some(),
                "ecs.capability.pid-ipc-namespace-sharing".to_owned(),
            ),
            (self.proxy_configuration.is_some(), "ecs.capability.aws-appmesh".to_owned()),
        ];
        let of_task = of_task.into_iter().filter_map(|(is_asked, name)| is_asked.then_some(name));
        let of_containers = self.container_definitions.iter().flat_map(|one| of_container(self, one));
        of_task.chain(of_containers).chain(self.volumes.iter().filter_map(of_volume)).collect()
    }
}

fn of_container(document: &Document, container: &ContainerDefinition) -> Vec<String> {
    let asm = |name: &str| name.contains(":secretsmanager:");
    let has_secret = |is_asm: bool| container.secrets.iter().any(|secret| asm(&secret.value_from) == is_asm);
    let asked = [
        (container.privileged == Some(true), PRIVILEGED),
        (container.health_check.is_some(), "ecs.capability.container-health-check"),
        (!container.depends_on.is_empty(), "ecs.capability.container-ordering"),
        (container.restart_policy.is_some(), "ecs.capability.container-restart-policy"),
        (!container.environment_files.is_empty(), "ecs.capability.env-files.s3"),
        (has_secret(true), "ecs.capability.secrets.asm.environment-variables"),
        (has_secret(false), "ecs.capability.secrets.ssm.environment-variables"),
        (
            container.repository_credentials.is_some(),
            "ecs.capability.private-registry-authentication.secretsmanager",
        ),
        (
            container.port_mappings.iter().any(|mapping| mapping.container_port_range.is_some()),
            "ecs.capability.container-port-range",
        ),
    ];
    let mut names: Vec<String> =
        asked.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| name.to_owned()).collect();
    if let Some(log) = &container.log_configuration {
        names.push(format!("com.amazonaws.ecs.capability.logging-driver.{}", log.log_driver));
        if log.log_driver == "awslogs" && document.execution_role_arn.is_some() {
            names.push("ecs.capability.execution-role-awslogs".to_owned());
        }
    }
    let router = container.firelens_configuration.as_ref().and_then(|router| router["type"].as_str());
    names.extend(router.map(|kind| format!("ecs.capability.firelens.{kind}")));
    let profile =
        |start: &str| container.docker_security_options.iter().any(|option| option.starts_with(start));
    for (start, name) in [("apparmor:", "apparmor"), ("label:", "selinux")] {
        if profile(start) {
            names.push(format!("com.amazonaws.ecs.capability.{name}"));
        }
    }
    names
}

fn of_volume(volume: &Volume) -> Option<String> {
    if volume.efs_volume_configuration.is_some() {
        return Some("ecs.capability.efs".to_owned());
    }
    let docker = volume.docker_volume_configuration.as_ref()?;
    Some(format!("ecs.capability.docker-plugin.{}", docker.driver.as_deref().unwrap_or("local")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(more: &str) -> Vec<String> {
        let text = format!(r#"{{"family": "f", {more}}}"#);
        let document: Document = serde_json::from_str(&text).unwrap();
        document.required_attributes().into_iter().collect()
    }

    #[test]
    fn a_plain_definition_asks_for_nothing() {
        assert_eq!(required(r#""containerDefinitions": [{"name": "a", "image": "i"}]"#), [""; 0]);
    }

    #[test]
    fn each_member_that_needs_something_of_the_host_says_so_once() {
        let asked = required(
            r#""networkMode": "awsvpc", "cpu": "256", "executionRoleArn": "r", "taskRoleArn": "t",
            "volumes": [{"name": "v", "dockerVolumeConfiguration": {}}, {"name": "e", "efsVolumeConfiguration": {}}],
            "containerDefinitions": [
                {"name": "a", "image": "i", "logConfiguration": {"logDriver": "awslogs"}, "privileged": true},
                {"name": "b", "image": "i", "logConfiguration": {"logDriver": "awslogs"},
                 "secrets": [{"name": "S", "valueFrom": "plain"}]}
            ]"#,
        );
        let wanted = [
            "com.amazonaws.ecs.capability.logging-driver.awslogs",
            "com.amazonaws.ecs.capability.privileged-container",
            "com.amazonaws.ecs.capability.task-iam-role",
            "ecs.capability.docker-plugin.local",
            "ecs.capability.efs",
            "ecs.capability.execution-role-awslogs",
            "ecs.capability.secrets.ssm.environment-variables",
            "ecs.capability.task-cpu-mem-limit",
            "ecs.capability.task-eni",
        ];
        assert_eq!(asked, wanted);
        let missing: Vec<&str> =
            asked.iter().map(String::as_str).filter(|name| !OFFERED.contains(name)).collect();
        assert_eq!(missing, [PRIVILEGED, "ecs.capability.efs"]);
    }
}
