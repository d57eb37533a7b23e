//! What Fargate takes, for a definition that says `requiresCompatibilities: FARGATE`.
//!
//! The same file then means the same here and there: what ECS would refuse is refused, in its words where they are
//! known.

use super::in_range;
use crate::model::{
    reading::{MemberPath, Refusal},
    task_definition::{ContainerDefinition, Document, LinuxParameters, NetworkMode, PidMode, Volume},
};

/// The log drivers that Fargate has.
const LOG_DRIVERS: [&str; 3] = ["awslogs", "splunk", "awsfirelens"];

pub(super) fn check(document: &Document) -> Result<(), Refusal> {
    let root = MemberPath::default();
    if document.network_mode() != NetworkMode::Awsvpc {
        return Err(Refusal::rule(
            root.member("networkMode"),
            "Fargate only supports network mode 'awsvpc'.",
        ));
    }
    size(document)?;
    if document.ipc_mode.is_some() {
        let message = "Tasks using the Fargate launch type do not support ipcMode.";
        return Err(Refusal::rule(root.member("ipcMode"), message));
    }
    let members = [
        ("pidMode 'host'", "pidMode", document.pid_mode == Some(PidMode::Host)),
        ("placementConstraints", "placementConstraints", !document.placement_constraints.is_empty()),
        ("inferenceAccelerators", "inferenceAccelerators", !document.inference_accelerators.is_empty()),
    ];
    unsupported(&root, &members)?;
    for (index, one) in document.volumes.iter().enumerate() {
        volume(one, &root.member("volumes").element(index))?;
    }
    for (index, one) in document.container_definitions.iter().enumerate() {
        container(document, one, &root.member("containerDefinitions").element(index))?;
    }
    Ok(())
}

fn unsupported(path: &MemberPath, members: &[(&str, &str, bool)]) -> Result<(), Refusal> {
    match members.iter().find(|(_, _, given)| *given) {
        None => Ok(()),
        Some((what, member, _)) => {
            let message = format!("Fargate compatible task definitions do not support {what}");
            Err(Refusal::rule(path.member(member), message))
        }
    }
}

/// The sizes that there are, in CPU units and MiB.
fn size(document: &Document) -> Result<(), Refusal> {
    let (cpu, memory) = (document.cpu.map(|cpu| cpu.0), document.memory.map(|memory| memory.0));
    let (Some(cpu), Some(memory)) = (cpu, memory) else {
        let message = "Fargate requires task definition to have both 'cpu' and 'memory'.";
        return Err(Refusal::rule(MemberPath::default().member("cpu"), message));
    };
    let steps = |first: u32, last: u32, step: u32| {
        (first * 1024..=last * 1024).contains(&memory) && (memory - first * 1024).is_multiple_of(step * 1024)
    };
    let there_is = match cpu {
        256 => [512, 1024, 2048].contains(&memory),
        512 => steps(1, 4, 1),
        1024 => steps(2, 8, 1),
        2048 => steps(4, 16, 1),
        4096 => steps(8, 30, 1),
        8192 => steps(16, 60, 4),
        16384 => steps(32, 120, 8),
        _ => false,
    };
    if there_is {
        return Ok(());
    }
    let message = format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.");
    Err(Refusal::rule(MemberPath::default().member("memory"), message))
}

fn volume(volume: &Volume, path: &MemberPath) -> Result<(), Refusal> {
    let has_path = volume.host.as_ref().is_some_and(|host| host.source_path.is_some());
    let members = [
        ("sourcePath", "host", has_path),
        (
            "dockerVolumeConfiguration",
            "dockerVolumeConfiguration",
            volume.docker_volume_configuration.is_some(),
        ),
        (
            "fsxWindowsFileServerVolumeConfiguration",
            "fsxWindowsFileServerVolumeConfiguration",
            volume.fsx_windows_file_server_volume_configuration.is_some(),
        ),
    ];
    unsupported(path, &members)
}

fn container(document: &Document, container: &ContainerDefinition, path: &MemberPath) -> Result<(), Refusal> {
    let wants_gpu = container.resource_requirements.iter().any(|one| one["type"] == "GPU");
    let members = [
        ("privileged", "privileged", container.privileged == Some(true)),
        ("links", "links", !container.links.is_empty()),
        ("dnsServers", "dnsServers", !container.dns_servers.is_empty()),
        ("dnsSearchDomains", "dnsSearchDomains", !container.dns_search_domains.is_empty()),
        ("disableNetworking", "disableNetworking", container.disable_networking == Some(true)),
        ("dockerSecurityOptions", "dockerSecurityOptions", !container.docker_security_options.is_empty()),
        ("GPU resources", "resourceRequirements", wants_gpu),
    ];
    unsupported(path, &members)?;
    in_range(container.start_timeout, 2..=120, || path.member("startTimeout"))?;
    in_range(container.stop_timeout, 2..=120, || path.member("stopTimeout"))?;
    if let Some(parameters) = &container.linux_parameters {
        linux(parameters, &path.member("linuxParameters"))?;
    }
    let Some(log) = &container.log_configuration else { return Ok(()) };
    let driver = log.log_driver.as_str();
    let what = format!("log driver {driver}");
    let path = path.member("logConfiguration");
    unsupported(&path, &[(&what, "logDriver", !LOG_DRIVERS.contains(&driver))])?;
    if driver == "awslogs" && document.execution_role_arn.is_none() {
        let message =
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.";
        return Err(Refusal::rule(MemberPath::default().member("executionRoleArn"), message));
    }
    Ok(())
}

fn linux(parameters: &LinuxParameters, path: &MemberPath) -> Result<(), Refusal> {
    let added = parameters.capabilities.as_ref().map_or(&[][..], |capabilities| &capabilities.add);
    let other = added.iter().any(|name| name != "SYS_PTRACE");
    let members = [
        ("capabilities to add other than SYS_PTRACE", "capabilities", other),
        ("devices", "devices", !parameters.devices.is_empty()),
        ("tmpfs", "tmpfs", !parameters.tmpfs.is_empty()),
        ("sharedMemorySize", "sharedMemorySize", parameters.shared_memory_size.is_some()),
        ("maxSwap", "maxSwap", parameters.max_swap.is_some()),
        ("swappiness", "swappiness", parameters.swappiness.is_some()),
    ];
    unsupported(path, &members)
}
