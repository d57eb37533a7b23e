use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::model::network::{LinkName, Protocol, Publish};
use crate::net::NetConfig;

fn config(bridge: &str) -> NetConfig {
    NetConfig {
        bridge: LinkName::parse(bridge).unwrap(),
        subnet: "10.88.0.0/16".parse().unwrap(),
        table: "hythe".to_owned(),
        mtu: None,
    }
}

fn tables() -> impl Strategy<Value = Tables> {
    let publish = (any::<bool>(), 0_u8..3, 1_u16..6, 1_u16..4, 2_u8..5, 1_u16..4).prop_map(
        |(is_tcp, bind, host_port, count, task, container_port)| Publish {
            protocol: if is_tcp { Protocol::Tcp } else { Protocol::Udp },
            bind: Ipv4Addr::new(0, 0, 0, bind),
            host_port,
            count,
            task: Ipv4Addr::new(10, 88, 0, task),
            container_port,
        },
    );
    proptest::collection::vec(publish, 0..8).prop_map(|publishes| Tables { publishes })
}

fn as_listed(elements: &Elements) -> Elements {
    Elements::found(elements.list(ANY), elements.list(BOUND))
}

proptest! {
    #[test]
    fn what_is_written_reads_back(tables in tables()) {
        let elements = Elements::of(&tables);
        prop_assert_eq!(as_listed(&elements), elements);
    }

    #[test]
    fn a_difference_leads_from_one_set_of_elements_to_the_other(before in tables(), after in tables()) {
        let (before, after) = (Elements::of(&before), Elements::of(&after));
        let difference = after.since(&before);
        let mut state: BTreeSet<_> = before.list(ANY).into_iter().chain(before.list(BOUND)).collect();
        for (key, goal) in &difference.removed {
            let mut one = Elements::default();
            one.insert(*key, *goal);
            for element in one.list(ANY).into_iter().chain(one.list(BOUND)) {
                prop_assert!(state.remove(&element));
            }
        }
        for (key, goal) in &difference.added {
            let mut one = Elements::default();
            one.insert(*key, *goal);
            state.extend(one.list(ANY).into_iter().chain(one.list(BOUND)));
        }
        let wanted: BTreeSet<_> = after.list(ANY).into_iter().chain(after.list(BOUND)).collect();
        prop_assert_eq!(state, wanted);
    }

    #[test]
    fn equal_elements_have_no_difference(tables in tables()) {
        let elements = Elements::of(&tables);
        prop_assert!(elements.since(&as_listed(&elements)).keys().is_empty());
    }
}

#[test]
fn the_first_publish_of_a_port_counts() {
    let publish = |task| Publish {
        protocol: Protocol::Tcp,
        bind: Ipv4Addr::UNSPECIFIED,
        host_port: 80,
        count: 1,
        task: Ipv4Addr::new(10, 88, 0, task),
        container_port: 8080,
    };
    let elements = Elements::of(&Tables { publishes: vec![publish(2), publish(3)] });
    let goal = elements.goal(Ipv4Addr::LOCALHOST, Protocol::Tcp, 80);
    assert_eq!(goal, Some((Ipv4Addr::new(10, 88, 0, 2), 8080)));
    assert_eq!(elements.goal(Ipv4Addr::LOCALHOST, Protocol::Udp, 80), None);
}

#[test]
fn the_tables_comment_tells_shape_and_owner() {
    let (one, other) = (Shape::of(&config("hythe0")), Shape::of(&config("hythe1")));
    assert!(one.is_by_this_instance(&one.comment) && !one.is_by_this_instance(&other.comment));
    let wider = NetConfig { subnet: "10.0.0.0/8".parse().unwrap(), ..config("hythe0") };
    let wider = Shape::of(&wider);
    assert!(one.is_by_this_instance(&wider.comment));
    assert_ne!(one.comment, wider.comment);
}

#[test]
fn the_whole_table_is_one_transaction() {
    let shape = Shape::of(&config("hythe0"));
    let batch = whole(&shape, Some(1), &Elements::default());
    let sentences: Vec<&str> = batch.iter().map(Message::what).collect();
    assert_eq!(sentences.first(), Some(&"begin a transaction on the packet rules"));
    assert_eq!(sentences.last(), Some(&"commit a transaction on the packet rules"));
    assert_eq!(sentences[2], "delete nftables table hythe");
    let rules = sentences.iter().filter(|sentence| sentence.starts_with("add rule")).count();
    assert_eq!(rules, shape.rules.len());
}
