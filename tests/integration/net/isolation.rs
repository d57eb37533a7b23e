//! Who must not reach whom.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use hythe::model::network::{Protocol, Tables};
use hythe::net::Network;
use nix::sys::socket::{setsockopt, sockopt};

use super::lab::{EVERY, HOST, LOCALHOST, Lab, WORLD, ask_udp, config};

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 92, 0, 2);

#[test]
fn the_world_reaches_no_port_that_is_not_published() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", FIRST);
    task.place.serve_tcp("web", 80);
    network.install(&Tables { publishes: vec![task.publish(Protocol::Tcp, EVERY, 8080, 80)] }).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert!(lab.world.misses_tcp(FIRST, 80), "the task's own address answered");
    assert!(lab.world.misses_tcp(HOST, 80), "a port that is not published answered");
    assert_eq!(lab.host.ask_tcp(FIRST, 80).unwrap(), "web 10.91.0.1");
}

#[test]
fn two_instances_stand_side_by_side_and_meet_only_at_published_ports() {
    let Some(lab) = Lab::new() else { return };
    let networks = [Network::open(&config(91)).unwrap(), Network::open(&config(92)).unwrap()];
    let tasks = [lab.task(&networks[0], "first", FIRST), lab.task(&networks[1], "second", SECOND)];
    tasks[0].place.serve_tcp("first", 80);
    tasks[1].place.serve_tcp("second", 80);
    for ((network, task), port) in networks.iter().zip(&tasks).zip([8080, 8090]) {
        network.install(&Tables { publishes: vec![task.publish(Protocol::Tcp, EVERY, port, 80)] }).unwrap();
    }
    assert!(tasks[0].place.misses_tcp(SECOND, 80), "an instance's task was reached from another instance");
    assert_eq!(tasks[0].place.ask_tcp(HOST, 8090).unwrap(), "second 10.92.0.1");
    assert_eq!(tasks[1].place.ask_tcp(HOST, 8080).unwrap(), "first 10.91.0.1");
    Network::remove_all(networks[0].config()).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8090).unwrap(), format!("second {WORLD}"));
    assert!(lab.world.misses_tcp(HOST, 8080));
}

#[test]
fn a_task_cannot_talk_to_the_hosts_loopback() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", FIRST);
    let secret = UdpSocket::bind((LOCALHOST, 7000)).unwrap();
    secret.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let attack = || {
        task.place.run(|| {
            let socket = UdpSocket::bind((FIRST, 0)).unwrap();
            setsockopt(&socket, sockopt::BindToDevice, &"eth0".into()).unwrap();
            let _ = ask_udp(&socket, LOCALHOST, 7000, Duration::from_millis(1));
        });
        secret.recv(&mut [0; 64]).is_ok()
    };
    assert!(!attack(), "a task's packet arrived at the host's loopback");
    super::firewall::delete_table("hythe91");
    assert!(attack(), "the attack does not work even without a guard, so it proves nothing");
}
