//! Who reaches whom, and what the one who is reached sees.

use std::fs;
use std::net::Ipv4Addr;

use hythe::model::network::{Protocol, Tables};
use hythe::net::Network;

use super::lab::{EVERY, HOST, LOCALHOST, Lab, Task, WORLD, config};

const WEB: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);
const API: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 3);
const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 1);

/// Two tasks, each with a server on port 80 and 53, published at 8080 and 8081, 5300 and 5301.
fn two_tasks(lab: &Lab, network: &Network) -> [Task; 2] {
    let tasks = [lab.task(network, "web", WEB), lab.task(network, "api", API)];
    let mut tables = Tables::default();
    for (task, name, step) in [(&tasks[0], "web", 0), (&tasks[1], "api", 1)] {
        task.place.serve_tcp(name, 80);
        task.place.serve_udp(name, 53);
        tables.publishes.push(task.publish(Protocol::Tcp, EVERY, 8080 + step, 80));
        tables.publishes.push(task.publish(Protocol::Udp, EVERY, 5300 + step, 53));
    }
    network.install(&tables).unwrap();
    tasks
}

#[test]
fn a_published_port_is_reached_from_the_host_from_loopback_and_from_another_host() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let _tasks = two_tasks(&lab, &network);
    assert_eq!(lab.host.ask_tcp(HOST, 8080).unwrap(), format!("web {HOST}"));
    assert_eq!(lab.host.ask_tcp(BRIDGE, 8080).unwrap(), format!("web {BRIDGE}"));
    assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), format!("web {BRIDGE}"));
    assert_eq!(lab.host.ask_tcp(Ipv4Addr::new(127, 8, 8, 8), 8081).unwrap(), format!("api {BRIDGE}"));
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(lab.world.ask_tcp(HOST, 8081).unwrap(), format!("api {WORLD}"));
    assert_eq!(lab.host.ask_udp(HOST, 5300).unwrap(), format!("web {HOST}"));
    assert_eq!(lab.host.ask_udp(LOCALHOST, 5301).unwrap(), format!("api {BRIDGE}"));
    assert_eq!(lab.world.ask_udp(HOST, 5301).unwrap(), format!("api {WORLD}"));
}

#[test]
fn tasks_reach_each_other_and_themselves_whether_or_not_bridged_packets_meet_the_firewall() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let [web, api] = two_tasks(&lab, &network);
    for bridged_packets_are_filtered in ["0", "1"] {
        // The file is only there where the kernel can filter bridged packets.
        let _ = fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", bridged_packets_are_filtered);
        assert_eq!(web.place.ask_tcp(API, 80).unwrap(), format!("api {WEB}"));
        assert_eq!(api.place.ask_udp(WEB, 53).unwrap(), format!("web {API}"));
        for door in [HOST, BRIDGE] {
            assert_eq!(web.place.ask_tcp(door, 8081).unwrap(), format!("api {BRIDGE}"));
            assert_eq!(web.place.ask_tcp(door, 8080).unwrap(), format!("web {BRIDGE}"));
            assert_eq!(web.place.ask_udp(door, 5300).unwrap(), format!("web {BRIDGE}"));
        }
        assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
        assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), format!("web {BRIDGE}"));
    }
}

#[test]
fn a_host_that_checks_the_way_back_of_every_packet_is_no_obstacle() {
    let Some(lab) = Lab::new() else { return };
    fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
    fs::write("/proc/sys/net/ipv4/conf/default/rp_filter", "1").unwrap();
    let network = Network::open(&config(91)).unwrap();
    let [web, _api] = two_tasks(&lab, &network);
    assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), format!("web {BRIDGE}"));
    assert_eq!(lab.host.ask_tcp(HOST, 8080).unwrap(), format!("web {HOST}"));
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(web.place.ask_tcp(HOST, 8080).unwrap(), format!("web {BRIDGE}"));
    assert_eq!(web.place.ask_udp(API, 53).unwrap(), format!("api {WEB}"));
}

#[test]
fn the_world_sees_a_task_as_its_host() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    lab.world.serve_tcp("world", 443);
    lab.world.serve_udp("world", 53);
    assert_eq!(task.place.ask_tcp(WORLD, 443).unwrap(), format!("world {HOST}"));
    assert_eq!(task.place.ask_udp(WORLD, 53).unwrap(), format!("world {HOST}"));
}

#[test]
fn a_task_without_a_network_has_only_its_loopback() {
    let Some(lab) = Lab::new() else { return };
    let task = &lab.world;
    Network::loopback(task.fd()).unwrap();
    task.serve_tcp("itself", 80);
    assert_eq!(task.ask_tcp(LOCALHOST, 80).unwrap(), format!("itself {LOCALHOST}"));
}
