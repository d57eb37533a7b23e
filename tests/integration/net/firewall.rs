//! The firewall is what it was told to be, whatever others do.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use hythe::kernel::netlink::{Family, Socket, link};
use hythe::kernel::nftables;
use hythe::model::network::{Protocol, Tables};
use hythe::net::{Conflict, Installed, NetError, Network, NetworkWatch};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::harness::scaled;

use super::lab::{EVERY, HOST, Lab, Task, WORLD, config, wait_until};

const WEB: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);

/// Deletes a table the way another program would.
pub(super) fn delete_table(table: &str) {
    let batch = [nftables::begin(None), nftables::delete_table(table), nftables::end()];
    Socket::open(Family::Netfilter).unwrap().transact(&batch).unwrap();
}

/// Runs the `nft` program, or says that it is not there.
fn nft(command: &str) -> bool {
    match Command::new("nft").arg(command).status() {
        Ok(status) => {
            assert!(status.success(), "nft {command}");
            true
        }
        Err(error) => {
            crate::harness::skipped(&format!("nft {command}: {error}"));
            false
        }
    }
}

fn a_published_task(lab: &Lab, network: &Network) -> (Task, Tables) {
    let task = lab.task(network, "web", WEB);
    task.place.serve_tcp("web", 80);
    let tables = Tables { publishes: vec![task.publish(Protocol::Tcp, EVERY, 8080, 80)] };
    network.install(&tables).unwrap();
    (task, tables)
}

fn is_readable(watch: &NetworkWatch) -> bool {
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(5000_u16)).unwrap() == 1
}

#[test]
fn installing_twice_changes_nothing_and_a_new_port_changes_one_element() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let (task, mut tables) = a_published_task(&lab, &network);
    assert_eq!(network.install(&tables).unwrap(), Installed::Unchanged);
    tables.publishes.push(task.publish(Protocol::Udp, EVERY, 5300, 53));
    assert_eq!(network.install(&tables).unwrap(), Installed::Elements { added: 1, removed: 0 });
    tables.publishes[0].container_port = 81;
    assert_eq!(network.install(&tables).unwrap(), Installed::Elements { added: 1, removed: 1 });
    assert_eq!(network.install(&Tables::default()).unwrap(), Installed::Elements { added: 0, removed: 2 });
}

#[test]
fn a_daemon_that_opens_the_network_again_disturbs_no_port() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let (_task, tables) = a_published_task(&lab, &network);
    drop(network);
    let again = Network::open(&config(91)).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(again.install(&tables).unwrap(), Installed::Unchanged);
    assert!(again.changes().is_empty(), "forwarding was on already");
}

#[test]
fn a_table_of_an_older_shape_is_made_anew_and_keeps_its_ports() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let (_task, tables) = a_published_task(&lab, &network);
    drop(network);
    if !nft("flush chain ip hythe91 published") {
        return;
    }
    assert!(lab.world.misses_tcp(HOST, 8080));
    let network = Network::open(&config(91)).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(network.install(&tables).unwrap(), Installed::Unchanged);
}

#[test]
fn installations_that_overtake_each_other_all_arrive() {
    let Some(lab) = Lab::new() else { return };
    let networks = [91, 92, 93].map(|number| Network::open(&config(number)).unwrap());
    let task = lab.task(&networks[0], "web", WEB);
    std::thread::scope(|scope| {
        for network in &networks {
            scope.spawn(|| {
                for port in 1..=50 {
                    let publishes = vec![task.publish(Protocol::Tcp, EVERY, port, port)];
                    network.install(&Tables { publishes }).unwrap();
                }
            });
        }
    });
    let last = Tables { publishes: vec![task.publish(Protocol::Tcp, EVERY, 50, 50)] };
    for network in &networks {
        assert_eq!(network.install(&last).unwrap(), Installed::Unchanged);
    }
}

#[test]
fn a_deleted_table_is_noticed_and_restored() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let mut watch = network.watch().unwrap();
    let (_task, tables) = a_published_task(&lab, &network);
    assert!(!watch.drain(), "our own changes are no news");
    delete_table("hythe91");
    assert!(lab.world.misses_tcp(HOST, 8080));
    assert!(is_readable(&watch) && watch.drain());
    network.repair(&tables).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert!(!watch.drain(), "our own repair is no news");
}

#[test]
fn whatever_the_nft_program_takes_away_is_noticed_and_restored() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let mut watch = network.watch().unwrap();
    let (_task, tables) = a_published_task(&lab, &network);
    watch.drain();
    let element = |added, removed| Installed::Elements { added, removed };
    let damages = [
        ("flush ruleset", Installed::Replaced),
        ("flush chain ip hythe91 published", Installed::Replaced),
        ("add rule ip hythe91 passing drop", Installed::Replaced),
        ("delete element ip hythe91 published-any { tcp . 8080 }", element(1, 0)),
        ("add element ip hythe91 published-any { tcp . 99 : 10.91.0.9 . 99 }", element(0, 1)),
        ("add chain ip hythe91 passing { policy drop; }", Installed::Unchanged),
    ];
    for (damage, remedy) in damages {
        if !nft(damage) {
            return;
        }
        assert!(is_readable(&watch) && watch.drain(), "{damage}");
        assert_eq!(network.install(&tables).unwrap(), remedy, "{damage}");
        assert!(nft(damage), "once more");
        network.repair(&tables).unwrap();
        assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"), "{damage}");
        assert_eq!(network.install(&tables).unwrap(), Installed::Unchanged, "{damage}");
        watch.drain();
    }
    assert!(nft("add table ip someone-else"));
    assert!(!watch.drain(), "somebody else's table is no news");
}

#[test]
fn a_deleted_bridge_is_noticed_and_the_tasks_are_put_back_on_it() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let mut watch = network.watch().unwrap();
    let (task, tables) = a_published_task(&lab, &network);
    assert!(!watch.drain());
    Socket::open(Family::Route).unwrap().transact(&[link::delete("hythe91")]).unwrap();
    assert!(is_readable(&watch) && watch.drain());
    network.repair(&tables).unwrap();
    assert_eq!(lab.world.ask_tcp(HOST, 8080).unwrap(), format!("web {WORLD}"));
    assert_eq!(network.links().unwrap(), std::slice::from_ref(&task.interface.host));
    wait_until("news of the repair settles", || !watch.drain());
}

#[test]
fn a_loop_that_sleeps_on_the_watch_is_woken_each_time() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let mut watch = network.watch().unwrap();
    let (_task, tables) = a_published_task(&lab, &network);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            delete_table("hythe91");
            tokio::time::timeout(scaled(Duration::from_secs(2)), watch.touched()).await.unwrap().unwrap();
            network.repair(&tables).unwrap();
        }
        let nothing = tokio::time::timeout(Duration::from_millis(50), watch.touched()).await;
        assert!(nothing.is_err(), "our own repair is no news");
        let later = tokio::task::spawn_blocking(|| delete_table("hythe91"));
        tokio::time::timeout(scaled(Duration::from_secs(2)), watch.touched()).await.unwrap().unwrap();
        later.await.unwrap();
    });
}

#[test]
fn what_the_instance_does_itself_is_no_news() {
    let Some(lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    let mut watch = network.watch().unwrap();
    let (task, tables) = a_published_task(&lab, &network);
    network.repair(&tables).unwrap();
    network.detach(&task.interface.host).unwrap();
    network.install(&Tables::default()).unwrap();
    drop(lab.task(&network, "gone", Ipv4Addr::new(10, 91, 0, 3)));
    wait_until("the second task's link is gone", || network.links().unwrap().is_empty());
    assert!(!watch.drain());
}

#[test]
fn a_table_of_somebody_else_is_left_alone() {
    let Some(lab) = Lab::new() else { return };
    let batch = [
        nftables::begin(None),
        nftables::put_table("hythe91", "mine"),
        nftables::add_chain("hythe91", "keep"),
        nftables::end(),
    ];
    Socket::open(Family::Netfilter).unwrap().transact(&batch).unwrap();
    assert!(matches!(Network::open(&config(91)), Err(NetError::TableTaken(table)) if table == "hythe91"));
    assert!(lab.host.links().iter().all(|link| link.name != "hythe91"), "a refusal leaves no bridge");
}

#[test]
fn a_forward_chain_that_drops_is_reported() {
    let Some(_lab) = Lab::new() else { return };
    let network = Network::open(&config(91)).unwrap();
    assert_eq!(network.conflicts().unwrap(), []);
    let chain =
        "add table inet fw; add chain inet fw through { type filter hook forward priority 0; policy drop; }";
    if nft(chain) {
        let (family, table, chain) = ("inet", "fw".to_owned(), "through".to_owned());
        assert_eq!(network.conflicts().unwrap(), [Conflict::ForwardDropped { family, table, chain }]);
    }
}
