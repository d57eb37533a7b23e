//! What a published port can be: one of many, on one address, of either protocol, moved.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use hythe::model::network::{Protocol, Publish, Tables};
use hythe::net::{Installed, Network, PortHold, ipam};

use super::lab::{EVERY, HOST, LOCALHOST, Lab, WORLD, ask_udp, config};

const WEB: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);
const API: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 3);

#[test]
fn a_range_leads_port_by_port() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    task.place.serve_tcp("first", 7000);
    task.place.serve_tcp("last", 8999);
    let range = Publish { count: 2000, ..task.publish(Protocol::Tcp, EVERY, 40000, 7000) };
    network.install(&Tables { publishes: vec![range] }).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 40000).unwrap(), format!("first {WORLD}"));
    assert_eq!(lab.world.ask_tcp(HOST, 41999).unwrap(), format!("last {WORLD}"));
    assert!(lab.world.misses_tcp(HOST, 42000));
    assert_eq!(network.install(&Tables::default()).unwrap(), Installed::Elements { added: 0, removed: 2000 });
    assert!(lab.world.misses_tcp(HOST, 40000));
}

#[test]
fn every_port_of_both_protocols_can_be_published_at_once() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    let all = |protocol| Publish { count: 65535, ..task.publish(protocol, EVERY, 1, 1) };
    let tables = Tables { publishes: vec![all(Protocol::Tcp), all(Protocol::Udp)] };
    let added = 2 * 65535;
    assert_eq!(network.install(&tables).unwrap(), Installed::Elements { added, removed: 0 });
    assert_eq!(network.install(&tables).unwrap(), Installed::Unchanged);
}

#[test]
fn a_bind_address_is_the_only_one_that_answers() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    task.place.serve_tcp("web", 80);
    let publishes =
        vec![task.publish(Protocol::Tcp, LOCALHOST, 8080, 80), task.publish(Protocol::Tcp, HOST, 8081, 80)];
    network.install(&Tables { publishes }).unwrap();
    assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), "web 10.91.0.1");
    assert!(lab.host.misses_tcp(HOST, 8080) && lab.world.misses_tcp(HOST, 8080));
    assert_eq!(lab.world.ask_tcp(HOST, 8081).unwrap(), format!("web {WORLD}"));
    assert!(lab.host.misses_tcp(LOCALHOST, 8081));
}

#[test]
fn an_exact_address_goes_before_every_address() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let [web, api] = [lab.task(&network, "web", WEB), lab.task(&network, "api", API)];
    web.place.serve_tcp("web", 80);
    api.place.serve_tcp("api", 80);
    let publishes =
        vec![web.publish(Protocol::Tcp, EVERY, 8080, 80), api.publish(Protocol::Tcp, LOCALHOST, 8080, 80)];
    network.install(&Tables { publishes }).unwrap();
    assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), "api 10.91.0.1");
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
}

#[test]
fn a_client_that_goes_on_sending_datagrams_follows_a_published_port_that_moves() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let [web, api] = [lab.task(&network, "web", WEB), lab.task(&network, "api", API)];
    web.place.serve_udp("web", 53);
    api.place.serve_udp("api", 53);
    let install = |publishes| network.install(&Tables { publishes }).unwrap();
    let client = lab.world.run(|| UdpSocket::bind((EVERY, 5353)).unwrap());
    let ask = |limit| ask_udp(&client, HOST, 5300, Duration::from_millis(limit));
    assert!(ask(100).is_err(), "nobody is published yet");
    install(vec![web.publish(Protocol::Udp, EVERY, 5300, 53)]);
    assert_eq!(ask(5000).unwrap(), format!("web {WORLD}"));
    install(vec![api.publish(Protocol::Udp, EVERY, 5300, 53)]);
    assert_eq!(ask(5000).unwrap(), format!("api {WORLD}"));
    install(vec![]);
    assert!(ask(100).is_err(), "the port is gone and was answered");
}

#[test]
fn a_port_that_somebody_holds_is_not_bindable() {
    let Some(_lab) = Lab::new() else { return };
    let held = UdpSocket::bind((EVERY, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    assert!(!ipam::is_bindable(Protocol::Udp, EVERY, port));
    assert!(ipam::is_bindable(Protocol::Tcp, EVERY, port));
    drop(held);
    assert!(ipam::is_bindable(Protocol::Udp, EVERY, port));
    let range = ipam::dynamic_range();
    assert!(range.start() < range.end());
}

#[test]
fn a_held_port_is_nobody_elses_and_still_leads_to_its_task() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    task.place.serve_tcp("web", 80);
    task.place.serve_udp("web", 53);
    let publishes =
        vec![task.publish(Protocol::Tcp, EVERY, 8080, 80), task.publish(Protocol::Udp, LOCALHOST, 5300, 53)];
    let holds: Vec<PortHold> = publishes.iter().map(|publish| PortHold::take(publish).unwrap()).collect();
    network.install(&Tables { publishes: publishes.clone() }).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(lab.host.ask_tcp(LOCALHOST, 8080).unwrap(), "web 10.91.0.1");
    assert_eq!(lab.host.ask_udp(LOCALHOST, 5300).unwrap(), "web 10.91.0.1");
    assert_eq!(TcpListener::bind((HOST, 8080)).unwrap_err().kind(), ErrorKind::AddrInUse);
    let refused = PortHold::take(&Publish { host_port: 8078, count: 5, ..publishes[0] }).unwrap_err();
    assert_eq!(refused.to_string(), "port 8080/tcp cannot be published on 0.0.0.0");
    assert!(refused.is_in_use());
    drop(holds);
    assert_eq!(PortHold::take(&publishes[0]).unwrap().held(), 1);
    network.install(&Tables::default()).unwrap();
    assert!(TcpListener::bind((HOST, 8080)).is_ok());
}

#[test]
fn an_address_of_another_host_cannot_be_published() {
    let Some(_lab) = Lab::new() else { return };
    let publish = Publish {
        protocol: Protocol::Tcp,
        bind: WORLD,
        host_port: 80,
        count: 1,
        task: WEB,
        container_port: 80,
    };
    let refused = PortHold::take(&publish).unwrap_err();
    assert!(!refused.is_in_use());
    assert_eq!(refused.source.kind(), ErrorKind::AddrNotAvailable);
}
