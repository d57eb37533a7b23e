//! Rules of one container.

use std::{collections::BTreeSet, net::IpAddr};

use super::{absolute, in_range, limits, one_of};
use crate::model::{
    reading::{MemberPath, Refusal},
    task_definition::{ContainerDefinition, Document, HealthCheck, NetworkMode},
};

/// Less than this many MiB is nothing to start a process in.
pub(super) const LEAST_MEMORY: u32 = 4;

pub(super) fn check(
    document: &Document,
    container: &ContainerDefinition,
    path: &MemberPath,
) -> Result<(), Refusal> {
    image(container, path)?;
    memory(document, container, path)?;
    environment(container, path)?;
    names_and_addresses(document, container, path)?;
    if let Some(check) = &container.health_check {
        health_check(check, &path.member("healthCheck"))?;
    }
    if let Some(policy) = &container.restart_policy {
        let path = path.member("restartPolicy");
        in_range(policy.restart_attempt_period, 60..=1800, || path.member("restartAttemptPeriod"))?;
        if policy.ignored_exit_codes.len() > 50 {
            let message = "Too many ignored exit codes. A restart policy may have 50.";
            return Err(Refusal::rule(path.member("ignoredExitCodes"), message));
        }
    }
    if let Some(user) = &container.user {
        self::user(user, &path.member("user"))?;
    }
    if let Some(directory) = &container.working_directory {
        absolute(directory, || path.member("workingDirectory"))?;
    }
    if let Some(word) = &container.version_consistency {
        one_of(word, &["enabled", "disabled"], || path.member("versionConsistency"))?;
    }
    if let Some(log) = &container.log_configuration {
        super::log::check(log, &path.member("logConfiguration"))?;
    }
    limits::check(document, container, path)
}

fn image(container: &ContainerDefinition, path: &MemberPath) -> Result<(), Refusal> {
    let path = path.member("image");
    let name = container.image.split('@').next().unwrap_or("");
    if name.is_empty() {
        return Err(Refusal::rule(path, "Container.image should not be null or empty."));
    }
    if name.len() > 255 {
        return Err(Refusal::rule(path, "Container.image repository should be 255 characters or less."));
    }
    if container.image.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(Refusal::rule(path, "Container.image contains invalid characters."));
    }
    Ok(())
}

fn memory(document: &Document, container: &ContainerDefinition, path: &MemberPath) -> Result<(), Refusal> {
    let name = &container.name;
    let setting = |what: &str| format!("Invalid setting for container '{name}'. {what}");
    match (container.memory, container.memory_reservation) {
        (None, None) if document.memory.is_none() => {
            let what = "At least one of 'memory' or 'memoryReservation' must be specified.";
            Err(Refusal::rule(path.clone(), setting(what)))
        }
        (Some(memory), _) if memory < LEAST_MEMORY => {
            Err(Refusal::rule(path.member("memory"), setting("'memory' must be at least 4 MiB.")))
        }
        (Some(hard), Some(soft)) if hard <= soft => {
            let what = "The value of 'memory' must be greater than the value of 'memoryReservation'.";
            Err(Refusal::rule(path.member("memoryReservation"), setting(what)))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn environment(container: &ContainerDefinition, path: &MemberPath) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for (index, variable) in container.environment.iter().enumerate() {
        let path = path.member("environment").element(index).member("name");
        if variable.name.is_empty() || variable.name.contains('=') {
            return Err(Refusal::wrong(path, format!("'{}' is no name of a variable", variable.name)));
        }
        names.insert(variable.name.as_str());
    }
    let files = &container.environment_files;
    if files.len() > 10 {
        let message = "Too many environment files. A container may have 10.";
        return Err(Refusal::rule(path.member("environmentFiles"), message));
    }
    for (index, file) in files.iter().enumerate() {
        let path = path.member("environmentFiles").element(index);
        one_of(&file.kind, &["s3"], || path.member("type"))?;
        if file.value.strip_suffix(".env").is_none() {
            return Err(Refusal::wrong(
                path.member("value"),
                format!("'{}' does not end in .env", file.value),
            ));
        }
    }
    for (index, secret) in container.secrets.iter().enumerate() {
        let path = path.member("secrets").element(index);
        if secret.value_from.is_empty() {
            return Err(Refusal::wrong(path.member("valueFrom"), "the name of a secret is missing"));
        }
        if !names.insert(&secret.name) {
            let message = format!(
                "The secret name must be unique and not shared with any new or existing environment \
                 variables set on the container, such as '{}'.",
                secret.name
            );
            return Err(Refusal::rule(path.member("name"), message));
        }
    }
    Ok(())
}

fn names_and_addresses(
    document: &Document,
    container: &ContainerDefinition,
    path: &MemberPath,
) -> Result<(), Refusal> {
    if document.network_mode() == NetworkMode::Awsvpc {
        let barred =
            [("hostname", container.hostname.is_some()), ("extraHosts", !container.extra_hosts.is_empty())];
        if let Some((member, _)) = barred.into_iter().find(|(_, given)| *given) {
            let message = format!(
                "Invalid '{member}' setting for container '{}'. It is not supported when networkMode=awsvpc.",
                container.name
            );
            return Err(Refusal::rule(path.member(member), message));
        }
    }
    if let Some(name) = container.hostname.as_deref().filter(|name| !is_host_name(name)) {
        return Err(Refusal::wrong(path.member("hostname"), format!("'{name}' is no host name")));
    }
    for (index, server) in container.dns_servers.iter().enumerate() {
        address(server, || path.member("dnsServers").element(index))?;
    }
    for (index, domain) in container.dns_search_domains.iter().enumerate() {
        let fits = domain.len() <= 254
            && domain.ends_with(|letter: char| letter.is_ascii_alphanumeric())
            && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if !fits {
            let path = path.member("dnsSearchDomains").element(index);
            return Err(Refusal::wrong(path, format!("'{domain}' is no domain")));
        }
    }
    for (index, entry) in container.extra_hosts.iter().enumerate() {
        let path = path.member("extraHosts").element(index);
        if !is_host_name(&entry.hostname) {
            return Err(Refusal::wrong(
                path.member("hostname"),
                format!("'{}' is no host name", entry.hostname),
            ));
        }
        address(&entry.ip_address, || path.member("ipAddress"))?;
    }
    Ok(())
}

fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn address(text: &str, path: impl FnOnce() -> MemberPath) -> Result<(), Refusal> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::wrong(path(), format!("'{text}' is no IP address"))),
    }
}

fn health_check(check: &HealthCheck, path: &MemberPath) -> Result<(), Refusal> {
    let command: Vec<&str> = check.command.iter().map(String::as_str).collect();
    let says_something = match command.as_slice() {
        [] | ["CMD" | "CMD-SHELL"] => false,
        ["CMD-SHELL", rest @ ..] => rest.len() == 1,
        _ => true,
    };
    if !says_something {
        let message = "a command is CMD and its arguments, or CMD-SHELL and one line for the shell";
        return Err(Refusal::wrong(path.member("command"), message));
    }
    in_range(check.interval, 5..=300, || path.member("interval"))?;
    in_range(check.timeout, 2..=60, || path.member("timeout"))?;
    in_range(check.retries, 1..=10, || path.member("retries"))?;
    in_range(check.start_period, 0..=300, || path.member("startPeriod"))
}

/// `user`, `uid`, `user:group`, `uid:gid` or a mix; numbers fit what the kernel takes.
fn user(text: &str, path: &MemberPath) -> Result<(), Refusal> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_part = |part: &&str| {
        let number = part.bytes().all(|byte| byte.is_ascii_digit());
        let name = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte));
        !part.is_empty() && if number { part.parse::<i32>().is_ok() } else { name && !part.starts_with('-') }
    };
    if parts.len() <= 2 && parts.iter().all(is_part) {
        return Ok(());
    }
    Err(Refusal::wrong(path.clone(), format!("'{text}' is not user, uid, user:group or uid:gid")))
}
