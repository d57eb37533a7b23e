//! What a task can reach over the network.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{container, definition},
    tasks::with,
};

#[test]
fn the_loopback_of_the_host_and_its_abstract_sockets_are_out_of_reach() {
    require!(host, busybox);
    let instance = Instance::with_busybox("loopback");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7777)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let gateway = instance.gateway();
    for mode in ["bridge", "awsvpc", "none"] {
        let script =
            "nc -w 2 127.0.0.1 7777 </dev/null 2>/dev/null && echo reached; grep -c @ /proc/net/unix; true";
        let said = instance.says_in(&with(
            definition("loopback", &[container("app", script)]),
            json!({ "networkMode": mode }),
        ));
        assert!(!said.contains("reached"), "{mode}: {said}");
        assert!(said.trim().ends_with('0'), "{mode} sees no abstract socket: {said}");
    }
    // Not by the bridge's door either: what listens on loopback only stays there.
    let route = format!("nc -w 2 {gateway} 7777 </dev/null && echo reached; true");
    assert!(!instance.says(&container("app", &route)).contains("reached"));
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn a_container_without_the_right_cannot_change_its_network() {
    require!(host, busybox);
    let instance = Instance::with_busybox("no-admin");
    let script = "
        ip link set lo down 2>/dev/null && echo down
        ip addr add 10.9.9.9/24 dev eth0 2>/dev/null && echo added
        ip route del default 2>/dev/null && echo routed
        (echo 1 >/proc/sys/net/ipv4/ip_forward) 2>/dev/null && echo forwards
        echo done";
    assert_eq!(instance.says(&container("app", script)), "done\n");
}

#[test]
fn the_socket_of_the_daemon_is_not_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("socket");
    let said = instance
        .says(&container("app", "find / -xdev -type s 2>/dev/null; ls /run /var/run 2>/dev/null; env"));
    assert!(!said.contains("hythe.sock"), "{said}");
    assert!(!said.contains("HYTHE_"), "nothing of the daemon's own environment: {said}");
    assert!(!said.contains("NOTIFY_SOCKET"), "{said}");
}
