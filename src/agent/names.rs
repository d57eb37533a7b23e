//! Names inside a container: `/etc/hosts`, `/etc/resolv.conf` and the host name.
//!
//! Texts are made by pure functions of what the host says and what the definition asks. A resolver on the host's
//! loopback cannot be reached from a network of one's own; the one behind it is named instead, where systemd-resolved
//! says which, and left out otherwise.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::model::ids::TaskId;
use crate::model::task_definition::{ContainerDefinition, NetworkMode};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// What the host says of names.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostNames {
    /// Its own name.
    pub hostname: String,
    /// Its `/etc/hosts`.
    pub hosts: String,
    /// Its `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The servers behind systemd-resolved, if that is what answers on loopback.
    pub upstream: Option<String>,
}

impl HostNames {
    /// Asks the host; what cannot be read is empty.
    pub(crate) fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
        let hostname = read("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            hostname: hostname.trim().to_owned(),
            hosts: read("/etc/hosts").unwrap_or_default(),
            resolv_conf: read(RESOLV_CONF).unwrap_or_default(),
            upstream: read(RESOLVED_CONF),
        }
    }
}

/// The three texts of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The host name.
    pub hostname: String,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// What could not be had, a sentence.
    pub note: Option<String>,
}

impl Names {
    /// The names of a container of `task` whose own address is `address`.
    pub(crate) fn of(
        definition: &ContainerDefinition,
        task: &TaskId,
        mode: NetworkMode,
        address: Option<Ipv4Addr>,
        host: &HostNames,
    ) -> Self {
        let hostname = definition.hostname.clone().unwrap_or_else(|| match mode {
            NetworkMode::Host if !host.hostname.is_empty() => host.hostname.clone(),
            NetworkMode::Host | NetworkMode::Awsvpc | NetworkMode::Bridge | NetworkMode::None => {
                task.as_str()[..12].to_owned()
            }
        });
        let (resolv_conf, note) = resolv_conf(definition, mode, host);
        Self { hosts: hosts(definition, mode, address, &hostname, host), hostname, resolv_conf, note }
    }
}

fn hosts(
    definition: &ContainerDefinition,
    mode: NetworkMode,
    address: Option<Ipv4Addr>,
    hostname: &str,
    host: &HostNames,
) -> String {
    let mut text = match mode {
        NetworkMode::Host => host.hosts.clone(),
        NetworkMode::Awsvpc | NetworkMode::Bridge | NetworkMode::None => String::from(
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\n\
             ff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
        ),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for entry in &definition.extra_hosts {
        let _ = writeln!(text, "{} {}", entry.ip_address, entry.hostname); // a String takes everything
    }
    if let Some(address) = address {
        for link in &definition.links {
            let (name, alias) = link.split_once(':').unwrap_or((link, link));
            let _ = writeln!(text, "{address} {alias} {name}");
        }
        let short = hostname.split('.').next().filter(|short| *short != hostname);
        let _ = writeln!(
            text,
            "{address} {hostname}{}",
            short.map(|short| format!(" {short}")).unwrap_or_default()
        );
    }
    text
}

/// The text and, when nobody is left to ask, a sentence about it.
fn resolv_conf(
    definition: &ContainerDefinition,
    mode: NetworkMode,
    host: &HostNames,
) -> (String, Option<String>) {
    let is_own_network = match mode {
        NetworkMode::Awsvpc | NetworkMode::Bridge => true,
        NetworkMode::Host | NetworkMode::None => false,
    };
    let mut source = host.resolv_conf.as_str();
    if is_own_network
        && let Some(upstream) = &host.upstream
        && servers(source).all(is_loopback)
    {
        source = upstream;
    }
    let usable = |line: &&str| !is_own_network || !nameserver(line).is_some_and(is_loopback);
    let asked_servers = !definition.dns_servers.is_empty();
    let asked_search = !definition.dns_search_domains.is_empty();
    let mut lines: Vec<String> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';']))
        .filter(|line| !(asked_servers && nameserver(line).is_some()))
        .filter(|line| !(asked_search && ["search", "domain"].contains(&keyword(line))))
        .filter(usable)
        .map(str::to_owned)
        .collect();
    lines.extend(definition.dns_servers.iter().map(|server| format!("nameserver {server}")));
    if asked_search {
        lines.push(format!("search {}", definition.dns_search_domains.join(" ")));
    }
    let lost = is_own_network && !asked_servers && servers(source).next().is_some();
    let note = (lost && !lines.iter().any(|line| nameserver(line).is_some())).then(|| {
        format!(
            "container {} has no name server: the host's answers on its loopback only; name others in dnsServers",
            definition.name
        )
    });
    lines.push(String::new()); // so that the last line has an end
    let text = if lines.len() > 1 { lines.join("\n") } else { String::new() };
    (text, note)
}

fn keyword(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

fn nameserver(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next().unwrap_or_default())
}

/// The name servers that a `resolv.conf` names.
pub(crate) fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(nameserver)
}

fn is_loopback(server: &str) -> bool {
    server.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests;
