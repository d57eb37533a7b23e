//! Keeps the network what it should be: woken by the kernel's news, repairs, goes back to sleep.

use std::{path::Path, time::Duration};

use nix::errno::Errno;
use tracing::{error, info, warn};

use crate::{
    agent::Agent,
    model::network::Subnet,
    net::{NetConfig, NetError, Network, NetworkWatch},
};

use super::{report::chain, settings};

/// After a repair, for news that come in a bundle; and the longest pause after one that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Why there is no network, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

impl From<&NetError> for Trouble {
    fn from(error: &NetError) -> Self {
        let remedy = match error {
            NetError::NotABridge(_) | NetError::BridgeTaken(_) | NetError::LinkTaken(_) => {
                "name another bridge in the configuration: [network] bridge"
            }
            NetError::SubnetSize(_) | NetError::SubnetTaken { .. } | NetError::Readdressed { .. } => {
                "choose another network in the configuration: [network] subnet"
            }
            NetError::TableName(_) | NetError::TableTaken(_) => {
                "name another table in the configuration: [network] table"
            }
            NetError::Mtu(_) => "leave [network] mtu out of the configuration, or set it right",
            NetError::NoNftables(_) => "modprobe nf_tables, or boot a kernel with CONFIG_NF_TABLES",
            NetError::Setting { .. } => {
                "make the setting on the host, or run the daemon where /proc/sys can be written"
            }
            NetError::Attach { source, .. } | NetError::Inside(source) | NetError::Kernel(source) => {
                after(source.refusal())
            }
            NetError::NoBridge(_)
            | NetError::NoInterface(_)
            | NetError::Namespace(_)
            | NetError::Watch(_)
            | NetError::NewNamespace(_)
            | NetError::NewUsers(_) => AS_ROOT,
        };
        Self { why: chain(error), remedy: remedy.to_owned() }
    }
}

const AS_ROOT: &str = "run the daemon as root, with CAP_NET_ADMIN";

/// What would help where the kernel refused.
fn after(refusal: Option<Errno>) -> &'static str {
    match refusal {
        // An unknown kind of link; an unknown kind of chain or expression; no such family.
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => {
            "modprobe bridge, veth, nf_conntrack, nf_tables and nft_chain_nat, or boot a kernel that has them"
        }
        Some(Errno::EPERM | Errno::EACCES) | None => AS_ROOT,
        Some(_) => {
            "see what the kernel says about it (dmesg), then restart the daemon: systemctl restart hythe"
        }
    }
}

/// Opens the network of the tasks. Without one the daemon works on, for tasks that need none.
pub fn open(config: Option<&NetConfig>, state_dir: &Path) -> (Option<Network>, Option<Trouble>) {
    let Some(config) = config else {
        return (None, None);
    };
    if let Err(why) = settings::note(state_dir, &Network::changes_needed()) {
        warn!(error = %why, "host settings not noted: they will not be set back");
    }
    match Network::open(config) {
        Ok(network) => {
            for change in network.changes() {
                info!(setting = %change.setting, before = %change.before, after = %change.after, "host setting changed");
            }
            (Some(network), None)
        }
        Err(failure) => {
            let trouble = Trouble::from(&failure);
            let subnet: Subnet = config.subnet;
            error!(error = %trouble.why, %subnet, "no network: only tasks of the modes host and none can run");
            (None, Some(trouble))
        }
    }
}

/// Repairs the network whenever somebody else touched it.
pub async fn keep(agent: Agent) {
    let Some(watch) = agent.network().map(Network::watch) else { return };
    let mut watch: NetworkWatch = match watch {
        Ok(watch) => watch,
        Err(failure) => return error!(error = %chain(&failure), "network not watched"),
    };
    loop {
        if let Err(failure) = watch.touched().await {
            return error!(error = %chain(&failure), "network not watched any more");
        }
        let mut pause = PAUSE.0;
        while !repair(&agent).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        tokio::time::sleep(PAUSE.0).await;
    }
}

async fn repair(agent: &Agent) -> bool {
    match agent.repair_network().await {
        Ok(done) => {
            info!(?done, "network looked after: somebody else touched it");
            true
        }
        Err(failure) => {
            warn!(error = %chain(&failure), "network not repaired, trying again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_not_taken_for_a_missing_privilege() {
        assert_eq!(after(Some(Errno::EPERM)), AS_ROOT);
        assert!(after(Some(Errno::EOPNOTSUPP)).starts_with("modprobe bridge"));
        assert!(after(Some(Errno::ENOMEM)).contains("dmesg"));
    }
}
