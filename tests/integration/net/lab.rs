//! A small world for one test: a host in a network namespace of its own, tasks beside it, and another host on a wire.
//!
//! The test's thread becomes the host. Servers answer with their name and the address they see the client at, so one
//! answer tells both where a packet went and what it looked like on arrival.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use hythe::kernel::netlink::link::{self, LOOPBACK, Link, Peer};
use hythe::kernel::netlink::route::{self, Address};
use hythe::kernel::netlink::{Family, Socket};
use hythe::model::network::{Protocol, Publish, TaskInterface};
use hythe::net::{NetConfig, Network};
use nix::sched::{CloneFlags, setns, unshare};

use crate::harness::scaled;

/// How long anything that should happen may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long something that must not happen is waited for.
const NEVER: Duration = Duration::from_millis(300);

pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
pub(super) const WORLD: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
pub(super) const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(super) const EVERY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// A network namespace.
pub(super) struct Place(OwnedFd);

impl Place {
    pub(super) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Self::here()
        });
        made.join().unwrap()
    }

    fn here() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap().into())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Runs `work` in this namespace.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.fd(), CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }

    /// Serves TCP connections on `port` until the test ends.
    pub(super) fn serve_tcp(&self, name: &'static str, port: u16) {
        let listener = self.run(|| TcpListener::bind((EVERY, port)).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap().ip();
                let _ = write!(stream, "{name} {peer}");
            }
        });
    }

    /// Answers datagrams to `port` until the test ends.
    pub(super) fn serve_udp(&self, name: &'static str, port: u16) {
        let socket = self.run(|| UdpSocket::bind((EVERY, port)).unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        });
    }

    /// What a TCP server at this address says.
    pub(super) fn ask_tcp(&self, address: Ipv4Addr, port: u16) -> io::Result<String> {
        self.run(|| ask_tcp(address, port, scaled(LIMIT)))
    }

    /// What a UDP server at this address says.
    pub(super) fn ask_udp(&self, address: Ipv4Addr, port: u16) -> io::Result<String> {
        self.run(|| ask_udp(&UdpSocket::bind((EVERY, 0))?, address, port, scaled(LIMIT)))
    }

    /// Whether nobody can be asked at this address.
    pub(super) fn misses_tcp(&self, address: Ipv4Addr, port: u16) -> bool {
        self.run(|| ask_tcp(address, port, NEVER)).is_err()
    }

    /// Every link of this namespace.
    pub(super) fn links(&self) -> Vec<Link> {
        let mut socket = Socket::open_in(self.fd(), Family::Route).unwrap();
        socket.query(&link::list(), link::read).unwrap()
    }
}

fn ask_tcp(address: Ipv4Addr, port: u16, limit: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// One question over an open socket.
pub(super) fn ask_udp(socket: &UdpSocket, to: Ipv4Addr, port: u16, limit: Duration) -> io::Result<String> {
    let mut buffer = [0; 64];
    socket.set_read_timeout(Some(limit))?;
    socket.send_to(b"who are you", (to, port))?;
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The host of a test, with a wire to the rest of the world.
pub(super) struct Lab {
    pub(super) host: Place,
    pub(super) world: Place,
}

impl Lab {
    /// Builds the world, or says why it cannot be built here.
    pub(super) fn new() -> Option<Self> {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            crate::harness::skipped(&format!("needs the right to make network namespaces: {error}"));
            return None;
        }
        let lab = Self { host: Place::here(), world: Place::new() };
        let mut host = Socket::open(Family::Route).unwrap();
        let peer = Peer { name: "wire", mac: [2, 0, 0, 0, 0, 2], netns: lab.world.fd() };
        host.transact(&[link::create_pair("wire", 1500, None, &peer)]).unwrap();
        set_up(&mut host, HOST);
        let mut world = Socket::open_in(lab.world.fd(), Family::Route).unwrap();
        let wire = set_up(&mut world, WORLD);
        // The other host is a neighbour who tries to reach the tasks' own addresses by way of this one.
        world.transact(&[route::put_default_route(wire, HOST)]).unwrap();
        Some(lab)
    }

    /// A task of `network`.
    pub(super) fn task(&self, network: &Network, id: &str, address: Ipv4Addr) -> Task {
        assert_eq!(self.host.links().iter().filter(|link| link.name == "wire").count(), 1);
        let place = Place::new();
        let interface = TaskInterface::on(network.config().subnet, id, address);
        network.attach(place.fd(), &interface).unwrap();
        Task { place, interface }
    }
}

fn set_up(socket: &mut Socket, address: Ipv4Addr) -> u32 {
    let wire = socket.query(&link::get("wire"), link::read).unwrap()[0].index;
    let broadcast = Ipv4Addr::new(192, 168, 77, 255);
    let steps = [
        link::raise(LOOPBACK, "lo"),
        link::raise(wire, "wire"),
        route::put_address(&Address { link: wire, address, prefix: 24 }, broadcast),
    ];
    socket.transact(&steps).unwrap();
    wire
}

/// A task's namespace and interface.
pub(super) struct Task {
    pub(super) place: Place,
    pub(super) interface: TaskInterface,
}

impl Task {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.interface.address
    }

    /// One port of this task, published.
    pub(super) fn publish(&self, protocol: Protocol, bind: Ipv4Addr, host_port: u16, port: u16) -> Publish {
        Publish { protocol, bind, host_port, count: 1, task: self.address(), container_port: port }
    }
}

/// The network `10.<number>.0.0/16` on the bridge `hythe<number>`.
pub(super) fn config(number: u8) -> NetConfig {
    NetConfig {
        bridge: format!("hythe{number}").try_into().unwrap(),
        subnet: format!("10.{number}.0.0/16").parse().unwrap(),
        table: format!("hythe{number}"),
        mtu: None,
    }
}

/// Waits until `happened`, and fails the test when it does not.
pub(super) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < scaled(LIMIT), "waited in vain: {what}");
        thread::yield_now();
    }
}
