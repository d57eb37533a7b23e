use std::net::Ipv4Addr;

use super::*;

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

#[test]
fn a_subnet_forgets_host_bits() {
    assert_eq!(subnet("10.88.3.7/16").to_string(), "10.88.0.0/16");
}

#[test]
fn a_subnet_knows_its_gateway_and_broadcast() {
    let net = subnet("192.168.4.0/22");
    assert_eq!(net.gateway(), Ipv4Addr::new(192, 168, 4, 1));
    assert_eq!(net.broadcast(), Ipv4Addr::new(192, 168, 7, 255));
    assert_eq!(net.netmask(), Ipv4Addr::new(255, 255, 252, 0));
    assert!(net.contains(Ipv4Addr::new(192, 168, 6, 1)) && !net.contains(Ipv4Addr::new(192, 168, 8, 1)));
}

#[test]
fn subnets_overlap_when_one_holds_the_other() {
    assert!(subnet("10.0.0.0/8").overlaps(subnet("10.88.0.0/16")));
    assert!(subnet("10.88.0.0/16").overlaps(subnet("0.0.0.0/0")));
    assert!(!subnet("10.88.0.0/16").overlaps(subnet("10.89.0.0/16")));
}

#[test]
fn words_that_are_not_a_subnet_are_refused() {
    for wrong in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/x", "10.0.0.0/-1"] {
        assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
    }
}

#[test]
fn a_mac_survives_the_round_trip() {
    let mac = Mac::for_address(Ipv4Addr::new(10, 88, 0, 2));
    assert_eq!(mac.to_string(), "02:68:0a:58:00:02");
    assert_eq!(mac.to_string().parse(), Ok(mac));
    assert!("02:68:0a:58:00".parse::<Mac>().is_err());
}

#[test]
fn a_task_interface_is_named_after_its_task() {
    let name = LinkName::for_task("0123456789abcdef0123456789abcdef");
    assert_eq!(name.as_str(), "hy0123456789abc");
    assert!(LinkName::parse(LinkName::for_task("web one").as_str()).is_ok());
    assert_ne!(LinkName::for_task("web-1"), LinkName::for_task("web-2"));
}

#[test]
fn link_names_that_the_kernel_refuses_are_refused() {
    for wrong in ["", ".", "..", "a/b", "a b", "sixteen-letters-"] {
        assert!(LinkName::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_published_range_leads_port_by_port() {
    let publish = Publish {
        protocol: Protocol::Udp,
        bind: Ipv4Addr::UNSPECIFIED,
        host_port: 65534,
        count: 5,
        task: Ipv4Addr::LOCALHOST,
        container_port: 10,
    };
    assert_eq!(publish.pairs().collect::<Vec<_>>(), [(65534, 10), (65535, 11)]);
}

#[test]
fn publishes_clash_where_they_share_a_port_of_an_address() {
    let publish = |protocol, bind: u8, host_port, count| Publish {
        protocol,
        bind: Ipv4Addr::new(0, 0, 0, bind),
        host_port,
        count,
        task: Ipv4Addr::LOCALHOST,
        container_port: 1,
    };
    let one = publish(Protocol::Tcp, 0, 80, 3);
    assert!(
        one.clashes_with(&publish(Protocol::Tcp, 0, 82, 1))
            && one.clashes_with(&publish(Protocol::Tcp, 1, 79, 2))
    );
    assert!(
        !one.clashes_with(&publish(Protocol::Tcp, 0, 83, 1))
            && !one.clashes_with(&publish(Protocol::Tcp, 0, 79, 1))
    );
    assert!(!one.clashes_with(&publish(Protocol::Udp, 0, 80, 3)));
    assert!(!publish(Protocol::Tcp, 1, 80, 1).clashes_with(&publish(Protocol::Tcp, 2, 80, 1)));
}

#[test]
fn tables_are_plain_json() {
    let text = r#"{"publishes":[{"protocol":"udp","bind":"0.0.0.0","host_port":53,"count":1,"task":"10.88.0.2","container_port":53}]}"#;
    let tables: Tables = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&tables).unwrap(), text);
}
