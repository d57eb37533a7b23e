use super::*;
use crate::kernel::netlink::conntrack::Tuple;
use crate::model::network::Publish;

const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 168, 1, 9), 5000);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const TASK: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);

fn flow(to: (Ipv4Addr, u16), answered_by: (Ipv4Addr, u16)) -> Flow {
    Flow {
        sent: Tuple { protocol: 17, source: CLIENT, target: to },
        answer: Tuple { protocol: 17, source: answered_by, target: CLIENT },
    }
}

fn published(task: Ipv4Addr) -> Elements {
    let (protocol, bind) = (Protocol::Udp, Ipv4Addr::UNSPECIFIED);
    let publish = Publish { protocol, bind, host_port: 53, count: 1, task, container_port: 5353 };
    Elements::of(&Tables { publishes: vec![publish] })
}

fn stale(flow: &Flow, wanted: &Elements) -> bool {
    is_stale(flow, wanted, "10.88.0.0/16".parse().unwrap(), &[HOST])
}

#[test]
fn a_flow_that_leads_where_it_should_is_kept() {
    assert!(!stale(&flow((HOST, 53), (TASK, 5353)), &published(TASK)));
}

#[test]
fn a_flow_to_a_port_that_is_gone_or_moved_is_forgotten() {
    assert!(stale(&flow((HOST, 53), (TASK, 5353)), &Elements::default()));
    assert!(stale(&flow((HOST, 53), (TASK, 5353)), &published(Ipv4Addr::new(10, 88, 0, 3))));
}

#[test]
fn a_flow_that_came_before_its_port_is_forgotten() {
    assert!(stale(&flow((HOST, 53), (HOST, 53)), &published(TASK)));
    assert!(stale(&flow((Ipv4Addr::LOCALHOST, 53), (Ipv4Addr::LOCALHOST, 53)), &published(TASK)));
}

#[test]
fn flows_of_others_are_kept() {
    let elsewhere = (Ipv4Addr::new(9, 9, 9, 9), 53);
    assert!(!stale(&flow(elsewhere, elsewhere), &published(TASK)));
    assert!(!stale(&flow((HOST, 53), (Ipv4Addr::new(172, 17, 0, 2), 53)), &published(TASK)));
}
