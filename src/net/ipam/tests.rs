use proptest::prelude::*;

use super::*;

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

fn last_byte(address: Option<Ipv4Addr>) -> Option<u8> {
    address.map(|address| address.octets()[3])
}

#[test]
fn the_first_task_gets_the_address_after_the_gateway() {
    assert_eq!(last_byte(allocate(subnet("10.88.0.0/29"), &BTreeSet::new(), None)), Some(2));
}

#[test]
fn an_address_that_was_let_go_is_the_last_to_be_given_again() {
    let net = subnet("10.88.0.0/29");
    let mut given = Vec::new();
    let mut last = None;
    for _ in 0..6 {
        last = allocate(net, &BTreeSet::new(), last);
        given.extend(last_byte(last));
    }
    assert_eq!(given, [2, 3, 4, 5, 6, 2]);
}

#[test]
fn a_full_subnet_gives_nothing() {
    let net = subnet("10.88.0.0/29");
    let used = (2..=6).map(|byte| Ipv4Addr::new(10, 88, 0, byte)).collect();
    assert_eq!(allocate(net, &used, None), None);
    assert_eq!(allocate(subnet("10.88.0.0/32"), &BTreeSet::new(), None), None);
}

#[test]
fn ports_walk_forward_and_wrap_once() {
    let range = 100..=103;
    assert_eq!(allocate_ports(range.clone(), 1, None, |_| true), Some(100));
    assert_eq!(allocate_ports(range.clone(), 1, Some(100), |_| true), Some(101));
    assert_eq!(allocate_ports(range.clone(), 1, Some(103), |_| true), Some(100));
    assert_eq!(allocate_ports(range.clone(), 1, Some(101), |port| port == 101), Some(101));
    assert_eq!(allocate_ports(range, 1, Some(101), |_| false), None);
}

#[test]
fn a_row_of_ports_is_whole_or_not_given() {
    assert_eq!(allocate_ports(100..=109, 3, Some(107), |_| true), Some(100));
    assert_eq!(allocate_ports(100..=109, 3, None, |port| port != 101), Some(102));
    assert_eq!(allocate_ports(100..=109, 11, None, |_| true), None);
    assert_eq!(allocate_ports(65534..=65535, 2, None, |_| true), Some(65534));
}

#[test]
fn the_hosts_range_is_read_or_refused() {
    assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
    for wrong in ["", "1", "9 1", "0 9", "a b", "1 99999"] {
        assert_eq!(parse_range(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn an_address_is_new_and_usable_or_there_is_none(
        used in proptest::collection::btree_set(0_u8..16, 0..16),
        last in proptest::option::of(0_u8..32),
    ) {
        let net = subnet("10.88.0.0/28");
        let address = |byte: u8| Ipv4Addr::new(10, 88, 0, byte);
        let taken: BTreeSet<Ipv4Addr> = used.iter().map(|byte| address(*byte)).collect();
        let usable: Vec<u8> = (2..15).filter(|byte| !used.contains(byte)).collect();
        // The simple model: the next usable one after the last, or else the first.
        let after = last.filter(|last| (1..14).contains(last)).unwrap_or(1);
        let expected = usable.iter().find(|byte| **byte > after).or(usable.first()).copied();
        prop_assert_eq!(last_byte(allocate(net, &taken, last.map(address))), expected);
    }

    #[test]
    fn a_row_of_ports_is_free_and_in_range_or_there_is_none(
        taken in proptest::collection::btree_set(1000_u16..1040, 0..40),
        count in 1_u16..6,
        last in proptest::option::of(990_u16..1050),
    ) {
        let fits = |at: u16| at + count - 1 <= 1039 && (at..at + count).all(|port| !taken.contains(&port));
        let all: Vec<u16> = (1000..=1039).filter(|at| fits(*at)).collect();
        let after = last.filter(|last| (1000..1039).contains(last));
        let later = all.iter().find(|at| after.is_none_or(|after| **at > after));
        let expected = later.or(all.first()).copied();
        prop_assert_eq!(allocate_ports(1000..=1039, count, last, |port| !taken.contains(&port)), expected);
    }
}
