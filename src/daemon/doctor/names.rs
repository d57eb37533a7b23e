//! Name servers: for pulls, and for tasks, which cannot reach the host's loopback.

use std::net::IpAddr;

use super::{degraded, ok};
use crate::api::live::DoctorFinding;

/// Judges the text of `/etc/resolv.conf`, and that of the servers behind systemd-resolved.
pub(super) fn look(resolv_conf: &str, upstream: &str) -> DoctorFinding {
    let here = servers(resolv_conf);
    if here.is_empty() {
        return degraded(
            "dns",
            "/etc/resolv.conf names no server: names of registries and inside tasks do not resolve",
            "write \"nameserver ADDRESS\" into /etc/resolv.conf",
        );
    }
    let reachable = |list: &[IpAddr]| list.iter().any(|server| !server.is_loopback());
    if reachable(&here) || reachable(&servers(upstream)) {
        let names: Vec<String> = here.iter().map(ToString::to_string).collect();
        return ok("dns", format!("asks {}", names.join(", ")));
    }
    degraded(
        "dns",
        "the only name server is on the host's loopback, which tasks with a network of their own cannot reach",
        "name another in /etc/resolv.conf, or set dnsServers in the task definitions",
    )
}

fn servers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.split('%').next()?.parse().ok()).flatten()
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn a_server_on_loopback_needs_one_behind_it() {
        let stub = "# by hand\nnameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(look("search home\n", "").verdict, Verdict::Degraded);
        assert_eq!(look(stub, "").verdict, Verdict::Degraded);
        assert_eq!(look(stub, "nameserver 192.0.2.1\n").verdict, Verdict::Ok);
        assert_eq!(look("nameserver fe80::1%eth0\n", "").message, "asks fe80::1");
    }
}
