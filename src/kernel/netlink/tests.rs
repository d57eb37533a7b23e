use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use super::*;
use link::Peer;
use route::Address;

/// Compares word by word: four bytes are the unit that everything is padded to.
fn golden(message: &Message, expected: &str) {
    let words: Vec<String> = message.finished().chunks(4).map(hex).collect();
    assert_eq!(words.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn hex(word: &[u8]) -> String {
    format!("{:08x}", u32::from_be_bytes(word.try_into().unwrap()))
}

fn parse(bytes: &[u8]) -> Reply<'_> {
    Messages(bytes).next().unwrap()
}

#[cfg(target_endian = "little")]
mod golden_bytes {
    use super::*;

    #[test]
    fn of_a_bridge() {
        golden(
            &link::create_bridge("br0", [2, 0, 0, 0, 0, 1], 1500),
            "58000000 10000506 00000000 00000000
             00000000 00000000 00000000 00000000
             08000300 62723000
             0a000100 02000000 00010000
             08000400 dc050000
             1c001280 0b000100 62726964 67650000
             0c000280 08000100 00000000",
        );
    }

    #[test]
    fn of_a_pair_with_its_peer_in_another_namespace() {
        let stdin = std::io::stdin();
        let peer = Peer { name: "eth0", mac: [2, 0, 0, 0, 0, 2], netns: stdin.as_fd() };
        golden(
            &link::create_pair("hy0", 1400, Some(7), &peer),
            "88000000 10000506 00000000 00000000
             00000000 00000000 00000000 00000000
             08000300 68793000
             08000400 78050000
             08000a00 07000000
             50001280 09000100 76657468 00000000 40000280 3c000180
             00000000 00000000 00000000 00000000
             09000300 65746830 00000000
             0a000100 02000000 00020000
             08000400 78050000
             08001c00 00000000",
        );
    }

    #[test]
    fn of_a_port_that_is_raised() {
        golden(
            &link::label_and_raise_port("hy0", "mine"),
            "4c000000 10000500 00000000 00000000
             00000000 00000000 01000000 01000000
             08000300 68793000
             08001400 6d696e65
             1c001280 0b000400 62726964 67650000 0c000580 05000400 01000000",
        );
    }

    #[test]
    fn of_an_address() {
        let address = Address { link: 3, address: Ipv4Addr::new(10, 88, 0, 2), prefix: 16 };
        golden(
            &route::put_address(&address, Ipv4Addr::new(10, 88, 255, 255)),
            "30000000 14000505 00000000 00000000
             02100000 03000000
             08000200 0a580002
             08000100 0a580002
             08000400 0a58ffff",
        );
    }

    #[test]
    fn of_a_default_route() {
        golden(
            &route::put_default_route(3, Ipv4Addr::new(10, 88, 0, 1)),
            "2c000000 18000505 00000000 00000000
             02000000 fe030001 00000000
             08000400 03000000
             08000500 0a580001",
        );
    }

    #[test]
    fn of_a_flow_to_forget() {
        let sent = conntrack::Tuple {
            protocol: 17,
            source: (Ipv4Addr::new(192, 168, 1, 2), 5353),
            target: (Ipv4Addr::new(192, 168, 1, 1), 53),
        };
        golden(
            &conntrack::delete(&sent),
            "48000000 02010500 00000000 00000000
             02000000
             34000180
             14000180 08000100 c0a80102 08000200 c0a80101
             1c000280 05000100 11000000 06000200 14e90000 06000300 00350000",
        );
    }
}

#[test]
fn a_link_reads_back() {
    let bytes = link::create_bridge("br0", [2, 0, 0, 0, 0, 1], 1500).finished();
    let found = link::read(&parse(&bytes)).unwrap();
    assert_eq!((found.name.as_str(), found.kind.as_deref(), found.mtu), ("br0", Some("bridge"), 1500));
    assert_eq!((found.mac, found.up, found.alias), (vec![2, 0, 0, 0, 0, 1], false, None));
}

#[test]
fn an_address_reads_back() {
    let address = Address { link: 3, address: Ipv4Addr::new(10, 88, 0, 2), prefix: 16 };
    let bytes = route::put_address(&address, Ipv4Addr::BROADCAST).finished();
    assert_eq!(route::read_address(&parse(&bytes)), Some(address));
}

#[test]
fn bytes_that_make_no_sense_end_the_walk() {
    let whole = link::create_bridge("br0", [2, 0, 0, 0, 0, 1], 1500).finished();
    for cut in 0..whole.len() {
        assert_eq!(Messages(&whole[..cut]).count(), 0, "cut at {cut}");
    }
    assert_eq!(Messages(&[0xff; 64]).count(), 0);
    assert_eq!(Messages(&[0; 64]).count(), 0);
    assert_eq!(Attributes(&[0; 64]).iter().count(), 0);
    assert_eq!(Attributes(&[3, 0, 1, 0]).iter().count(), 0);
}

#[test]
fn a_refusal_carries_the_kernels_words() {
    let mut bytes = Vec::new();
    for half in [2_u16, 0x300] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([0; 8]);
    bytes.extend((-17_i32).to_ne_bytes());
    bytes.extend([0; 16]);
    bytes.extend([9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
    bytes.extend(b"Busy\0\0\0\0");
    let length = u32::try_from(bytes.len() + 4).unwrap();
    let bytes = [length.to_ne_bytes().to_vec(), bytes].concat();
    let outcome = parse(&bytes).outcome().unwrap();
    assert_eq!((outcome.errno, outcome.explanation.as_deref()), (Some(Errno::EEXIST), Some("Busy")));
}

#[test]
fn a_refused_request_reads_as_a_sentence() {
    let mut socket = Socket::open(Family::Route).unwrap();
    let error = socket.query(&link::get("no-such-link"), link::read).unwrap_err();
    assert!(error.to_string().starts_with("look up interface no-such-link"), "{error}");
    assert_eq!(error.refusal(), Some(Errno::ENODEV));
}

#[test]
fn every_link_of_this_host_is_listed() {
    let links = Socket::open(Family::Route).unwrap().query(&link::list(), link::read).unwrap();
    assert!(links.iter().any(|link| link.name == "lo" && link.index == link::LOOPBACK));
}
