//! The network of the tasks, and what others have set up that stands in its way.

use std::{fs, path::Path};

use super::{degraded, ok};
use crate::{
    agent::Agent,
    api::live::DoctorFinding,
    daemon::{network::Trouble, report::chain},
    net::{Conflict, NetConfig, NetError, Network},
};

/// Programs that write packet rules too, and the file that tells that each is at work.
const MANAGERS: [(&str, &str); 5] = [
    ("firewalld", "run/firewalld"),
    ("docker", "run/docker.sock"),
    ("libvirt", "run/libvirt/network"),
    ("shorewall", "var/lib/shorewall/state"),
    ("nftables.service", "run/systemd/units/invocation:nftables.service"),
];

/// How it is with a daemon, which has a network or knows why not.
pub(super) fn with_daemon(
    wish: Option<&NetConfig>,
    agent: &Agent,
    trouble: Option<&Trouble>,
) -> Vec<DoctorFinding> {
    match (wish, agent.network(), trouble) {
        (None, _, _) => vec![switched_off()],
        (Some(wish), Some(network), _) => {
            let mut findings = vec![ok("network", format!("bridge {} holds {}", wish.bridge, wish.subnet))];
            findings.extend(judge(wish, network.conflicts()));
            findings
        }
        (Some(_), None, Some(trouble)) => vec![none(trouble)],
        (Some(_), None, None) => Vec::new(),
    }
}

/// How it would be with one.
pub(super) fn without_daemon(wish: Option<&NetConfig>) -> Vec<DoctorFinding> {
    let Some(wish) = wish else { return vec![switched_off()] };
    match Network::obstacles(wish) {
        Err(why) => vec![none(&Trouble::from(&why))],
        conflicts @ Ok(_) => {
            let message = format!("bridge {} and subnet {} can be had", wish.bridge, wish.subnet);
            let mut findings = vec![ok("network", message)];
            findings.extend(judge(wish, conflicts));
            findings
        }
    }
}

fn switched_off() -> DoctorFinding {
    ok("network", "switched off in the configuration: tasks have the modes host and none")
}

fn none(trouble: &Trouble) -> DoctorFinding {
    let message = format!("only tasks of the modes host and none can run: {}", trouble.why);
    degraded("network", message, trouble.remedy.clone())
}

fn judge(wish: &NetConfig, conflicts: Result<Vec<Conflict>, NetError>) -> Vec<DoctorFinding> {
    match conflicts {
        Ok(conflicts) => conflicts
            .iter()
            .map(|conflict| degraded("firewall", conflict.to_string(), conflict.remedy(wish)))
            .collect(),
        Err(why) => vec![degraded("firewall", chain(&why), Trouble::from(&why).remedy)],
    }
}

/// Who else writes packet rules below this root directory.
pub(super) fn managers(root: &Path) -> DoctorFinding {
    let at_work = MANAGERS.iter().filter(|(_, file)| root.join(file).symlink_metadata().is_ok());
    let mut found: Vec<&str> = at_work.map(|(name, _)| *name).collect();
    let ufw = fs::read_to_string(root.join("etc/ufw/ufw.conf")).unwrap_or_default();
    if ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes")) {
        found.push("ufw");
    }
    match found.as_slice() {
        [] => ok("firewall", "nobody else writes packet rules here"),
        some => ok("firewall", format!("{} also write packet rules; each keeps to its own", some.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_write_rules_are_known_by_their_files() {
        let root = tempfile::tempdir().unwrap();
        assert!(managers(root.path()).message.starts_with("nobody"));
        for place in ["run", "etc/ufw"] {
            fs::create_dir_all(root.path().join(place)).unwrap();
        }
        fs::write(root.path().join("run/docker.sock"), "").unwrap();
        fs::write(root.path().join("etc/ufw/ufw.conf"), "LOGLEVEL=low\nENABLED=yes\n").unwrap();
        assert!(managers(root.path()).message.starts_with("docker, ufw "));
    }
}
