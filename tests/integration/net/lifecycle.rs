//! Bridges and links come, stay when asked for twice, and go without a trace.

use std::fs;
use std::net::Ipv4Addr;

use hythe::kernel::netlink::route::{self, Address};
use hythe::kernel::netlink::{Family, Socket, link};
use hythe::model::network::{LinkName, TaskInterface};
use hythe::net::{NetConfig, NetError, Network};

use super::lab::{Lab, Place, config, wait_until};

const WEB: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);

fn names(lab: &Lab) -> Vec<String> {
    lab.host.links().into_iter().map(|link| link.name).collect()
}

#[test]
fn opening_says_what_it_changed_on_the_host() {
    let Some(_lab) = Lab::new() else { return };
    // A new namespace begins with what the first one has.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    let network = Network::open(&config(91)).unwrap();
    let said: Vec<String> = network.changes().iter().map(ToString::to_string).collect();
    assert_eq!(said, ["net.ipv4.ip_forward changed from 0 to 1"]);
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");
}

#[test]
fn attaching_twice_keeps_the_interface_and_detaching_twice_is_fine() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    let index = |place: &Place| place.links().iter().find(|link| link.name == "eth0").unwrap().index;
    let before = index(&task.place);
    network.attach(task.place.fd(), &task.interface).unwrap();
    assert_eq!(index(&task.place), before);
    assert_eq!(network.links().unwrap(), std::slice::from_ref(&task.interface.host));
    network.detach(&task.interface.host).unwrap();
    network.detach(&task.interface.host).unwrap();
    assert!(network.links().unwrap().is_empty());
    assert_eq!(task.place.links().iter().filter(|link| link.name == "eth0").count(), 0);
}

#[test]
fn an_interface_left_by_another_task_of_that_name_is_replaced() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let old = lab.task(&network, "web", WEB);
    let new = lab.task(&network, "web", Ipv4Addr::new(10, 91, 0, 3));
    assert_eq!(old.place.links().iter().filter(|link| link.name == "eth0").count(), 0);
    new.place.serve_tcp("new", 80);
    assert_eq!(lab.host.ask_tcp(new.address(), 80).unwrap(), "new 10.91.0.1");
}

#[test]
fn removing_everything_leaves_nothing() {
    let Some(lab) = Lab::new() else { return };
    let before = names(&lab);
    let network = Network::open(&config(91)).unwrap();
    let _tasks: Vec<_> = (2..12)
        .map(|number| lab.task(&network, &format!("task {number}"), Ipv4Addr::new(10, 91, 0, number)))
        .collect();
    assert_eq!(network.links().unwrap().len(), 10);
    Network::remove_all(&config(91)).unwrap();
    Network::remove_all(&config(91)).unwrap();
    assert_eq!(names(&lab), before);
    let mut socket = Socket::open(Family::Netfilter).unwrap();
    let chains = socket.query(&hythe::kernel::nftables::list_chains(), hythe::kernel::nftables::read_chain);
    assert_eq!(chains.unwrap(), []);
}

#[test]
fn many_tasks_start_and_stop_at_once() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let (network, lab_host) = (&network, &lab.host);
    std::thread::scope(|scope| {
        for number in 2..34 {
            scope.spawn(move || {
                let place = Place::new();
                let address = Ipv4Addr::new(10, 91, 0, number);
                let interface =
                    TaskInterface::on(network.config().subnet, &format!("task {number}"), address);
                network.attach(place.fd(), &interface).unwrap();
                place.serve_tcp("task", 80);
                // The kernel asks for a neighbour three times, a second apart. An emulated one may take longer to let a new
                // port of the bridge pass packets: its worker waits behind everybody who changes links here.
                wait_until("the task answers", || match lab_host.ask_tcp(address, 80) {
                    Err(why) if why.kind() == std::io::ErrorKind::HostUnreachable => false,
                    said => said.unwrap() == "task 10.91.0.1",
                });
                network.detach(&interface.host).unwrap();
            });
        }
    });
    assert!(network.links().unwrap().is_empty());
}

#[test]
fn a_task_that_is_gone_takes_its_link_with_it() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    drop(lab.task(&network, "web", WEB));
    wait_until("the link goes with its namespace", || network.links().unwrap().is_empty());
}

#[test]
fn a_subnet_that_the_host_already_reaches_elsewhere_is_refused() {
    let Some(lab) = Lab::new() else { return };
    let config = NetConfig { subnet: "192.168.0.0/16".parse().unwrap(), ..config(91) };
    let error = Network::open(&config).unwrap_err().to_string();
    assert!(error.starts_with("subnet 192.168.0.0/16 overlaps 192.168.77."), "{error}");
    assert!(error.ends_with("which this host reaches by wire"), "{error}");
    assert!(!names(&lab).contains(&"hythe91".to_owned()));
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    let Some(_lab) = Lab::new() else { return };
    let mut socket = Socket::open(Family::Route).unwrap();
    socket.transact(&[link::create_bridge("hythe91", [2, 0, 0, 0, 0, 9], 1500)]).unwrap();
    assert!(matches!(Network::open(&config(91)), Err(NetError::BridgeTaken(_))));
    let wire = NetConfig { bridge: LinkName::parse("wire").unwrap(), ..config(91) };
    assert!(matches!(Network::open(&wire), Err(NetError::NotABridge(_))));
}

#[test]
fn a_subnet_changes_only_while_no_task_uses_the_old_one() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let task = lab.task(&network, "web", WEB);
    let moved = NetConfig { subnet: "10.191.0.0/16".parse().unwrap(), ..config(91) };
    assert!(matches!(Network::open(&moved), Err(NetError::Readdressed { .. })));
    network.detach(&task.interface.host).unwrap();
    Network::open(&moved).unwrap();
    let mut socket = Socket::open(Family::Route).unwrap();
    let addresses: Vec<Address> = socket.query(&route::list_addresses(), route::read_address).unwrap();
    assert!(addresses.iter().any(|address| address.address == Ipv4Addr::new(10, 191, 0, 1)));
    assert!(!addresses.iter().any(|address| address.address == Ipv4Addr::new(10, 91, 0, 1)));
}

#[test]
fn a_failed_attachment_leaves_no_link() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let not_a_namespace = fs::File::open("/dev/null").unwrap();
    let interface = TaskInterface::on(network.config().subnet, "web", WEB);
    let before = names(&lab);
    let error = network.attach(std::os::fd::AsFd::as_fd(&not_a_namespace), &interface).unwrap_err();
    assert_eq!(error.to_string(), format!("connect a task to bridge hythe91 by {}", interface.host));
    assert_eq!(names(&lab), before);
}

#[test]
fn an_interface_that_cannot_be_set_up_leaves_no_link() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let place = Place::new();
    let gateway = Ipv4Addr::new(10, 92, 0, 1);
    let interface = TaskInterface { gateway, ..TaskInterface::on(network.config().subnet, "web", WEB) };
    let error = network.attach(place.fd(), &interface).unwrap_err();
    assert_eq!(error.to_string(), "set up the network inside the task");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("set the default route by 10.92.0.1"), "{source}");
    assert!(network.links().unwrap().is_empty() && !names(&lab).contains(&interface.host.to_string()));
}

#[test]
fn the_packet_size_follows_the_way_out() {
    let Some(_lab) = Lab::new() else { return };
    let mut socket = Socket::open(Family::Route).unwrap();
    let wire = socket.query(&link::get("wire"), link::read).unwrap()[0].index;
    socket.transact(&[route::put_default_route(wire, Ipv4Addr::new(192, 168, 77, 2))]).unwrap();
    socket.transact(&[link::resize(wire, "wire", 1400)]).unwrap();
    assert_eq!(Network::open(&config(91)).unwrap().mtu(), 1400);
}
