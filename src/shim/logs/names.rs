//! Addresses of a server by its name, asked for without waiting: the host's own table of names, then its name servers.
//!
//! The agent looks names up as every program does, when a task begins. What is here is for later, when a server that is
//! gone may be somewhere else: each name is asked for with the domains that the host searches, of one name server after
//! the other, the addresses of both families at once. Nobody else is asked, and nothing is kept.

use std::{
    collections::VecDeque,
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use crate::model::time::Moment;

/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Name servers, and domains, that are tried at most, as the C library has it.
const MOST: usize = 3;

/// The kinds of records that are asked for, and the class of all.
const KINDS: [u16; 2] = [1, 28];
const INTERNET: u16 = 1;

/// The largest answer over packets.
const LARGEST: usize = 4096;

/// A name that is being looked up.
#[derive(Debug)]
pub(super) struct Lookup {
    /// What is known without asking.
    known: Vec<IpAddr>,
    left: VecDeque<(SocketAddr, String)>,
    asked: Option<Asked>,
}

/// A question that is under way.
#[derive(Debug)]
struct Asked {
    socket: UdpSocket,
    name: String,
    id: u16,
    until: Moment,
    /// Whether the loop does not wait for it yet.
    is_new: bool,
    /// Whether the answer of each kind is there.
    is_told: [bool; 2],
    found: Vec<IpAddr>,
}

/// What the host says of names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    servers: Vec<IpAddr>,
    domains: Vec<String>,
}

/// How far a lookup is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// These are the addresses; none where nobody knows any.
    Found(Vec<IpAddr>),
    /// Somebody is asked.
    Asking,
}

impl Lookup {
    /// Begins to look up a name.
    pub(super) fn begin(name: &str) -> Self {
        let known = in_table(&fs::read_to_string("/etc/hosts").unwrap_or_default(), name);
        let left = if known.is_empty() {
            Sources::read(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()).questions(name)
        } else {
            VecDeque::new()
        };
        Self { known, left, asked: None }
    }

    /// What the loop is to wait for besides, once for each question.
    pub(super) fn new_socket(&mut self) -> Option<BorrowedFd<'_>> {
        let asked = self.asked.as_mut().filter(|asked| asked.is_new)?;
        asked.is_new = false;
        Some(asked.socket.as_fd())
    }

    /// Hears what has come.
    pub(super) fn hear(&mut self) {
        self.asked.iter_mut().for_each(Asked::hear);
    }

    /// When to go on though nothing comes.
    pub(super) fn until(&self) -> Moment {
        self.asked.as_ref().map_or(Moment(0), |asked| asked.until)
    }

    /// Goes on as far as that is possible now.
    pub(super) fn go_on(&mut self, now: Moment) -> Step {
        if !self.known.is_empty() {
            return Step::Found(std::mem::take(&mut self.known));
        }
        loop {
            self.hear();
            if let Some(asked) = &self.asked {
                let is_whole = asked.is_told == [true; 2];
                if !is_whole && now < asked.until {
                    return Step::Asking;
                }
                if let Some(asked) = self.asked.take()
                    && !asked.found.is_empty()
                {
                    return Step::Found(asked.found);
                }
            }
            let Some((server, name)) = self.left.pop_front() else { return Step::Found(Vec::new()) };
            // A server that cannot be asked is passed over.
            self.asked = Asked::ask(server, name, now);
        }
    }
}

impl Asked {
    fn ask(server: SocketAddr, name: String, now: Moment) -> Option<Self> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).ok()?;
        let id = u16::from_be_bytes(id);
        let any: SocketAddr =
            if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        // Connected, so that nobody else's packets are heard.
        let socket = UdpSocket::bind(any).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.connect(server).ok()?;
        for kind in KINDS {
            socket.send(&question(id, &name, kind)?).ok()?;
        }
        let until = now + PATIENCE;
        Some(Self { socket, name, id, until, is_new: true, is_told: [false; 2], found: Vec::new() })
    }

    fn hear(&mut self) {
        let mut packet = [0; LARGEST];
        while let Ok(count) = self.socket.recv(&mut packet) {
            for (at, kind) in KINDS.into_iter().enumerate() {
                let Some(expected) = question(self.id, &self.name, kind) else { continue };
                if let Some(found) = answer(&packet[..count], &expected) {
                    self.is_told[at] = true;
                    self.found.extend(found);
                }
            }
        }
    }
}

impl Sources {
    fn read(text: &str) -> Self {
        let mut sources = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    sources.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => sources.domains = words.take(MOST).map(str::to_owned).collect(),
                _ => {}
            }
        }
        sources.servers.truncate(MOST);
        sources
    }

    /// Who is asked for what, one after the other.
    fn questions(&self, name: &str) -> VecDeque<(SocketAddr, String)> {
        let longer = self.domains.iter().map(|domain| format!("{name}.{domain}"));
        let itself = std::iter::once(name.to_owned());
        let names: Vec<String> =
            if name.contains('.') { itself.chain(longer).collect() } else { longer.chain(itself).collect() };
        let all = names
            .iter()
            .flat_map(|name| self.servers.iter().map(move |server| ((*server, 53).into(), name.clone())));
        all.collect()
    }
}

/// The addresses of a name in the host's own table.
fn in_table(text: &str, name: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|known| known.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(address).collect()
}

/// A question as it goes over the wire; none for what is no name.
fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    // One question, and the server is to do the work.
    for word in [id, 0x0100, 1, 0, 0, 0] {
        packet.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        packet.push(length);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend([kind, INTERNET].into_iter().flat_map(u16::to_be_bytes));
    Some(packet)
}

/// The addresses in the answer to a question; none when it is none to this one.
fn answer(packet: &[u8], question: &[u8]) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let is_answer = packet.get(..2)? == &question[..2] && word(2)? & 0x8000 != 0 && word(4)? == 1;
    if !is_answer || !packet.get(12..question.len())?.eq_ignore_ascii_case(&question[12..]) {
        return None;
    }
    let mut found = Vec::new();
    let mut at = question.len();
    for _ in 0..word(6)? {
        at = behind_name(packet, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = packet.get(at + 10..at + 10 + length)?;
        found.extend(match (kind, length) {
            (1, 4) => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            (28, 16) => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => None,
        });
        at += 10 + length;
    }
    Some(found)
}

/// The place behind a name, which may end in a pointer to an earlier one.
fn behind_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with these records: name, kind, data.
    fn reply(question: &[u8], records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut packet = question.to_vec();
        packet[2] |= 0x80;
        packet[7] = u8::try_from(records.len()).unwrap();
        for (name, kind, data) in records {
            packet.extend_from_slice(name);
            packet.extend(
                [*kind, INTERNET, 0, 60, u16::try_from(data.len()).unwrap()]
                    .into_iter()
                    .flat_map(u16::to_be_bytes),
            );
            packet.extend_from_slice(data);
        }
        packet
    }

    #[test]
    fn an_answer_gives_its_addresses_and_no_torn_or_foreign_one_does() {
        let asked = question(7, "logs.example.org", 1).unwrap();
        let records: [(&[u8], u16, &[u8]); 3] = [
            (b"\xc0\x0c", 5, b"\x01x\xc0\x11"),
            (b"\x01x\xc0\x11", 1, &[192, 0, 2, 1]),
            (b"\x00", 28, &[0x20; 16]),
        ];
        let packet = reply(&asked, &records);
        let expected: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [0x20_u8; 16].into()];
        assert_eq!(answer(&packet, &asked), Some(expected));
        for end in 0..packet.len() {
            assert_eq!(answer(&packet[..end], &asked), None, "{end} bytes");
        }
        for other in [
            question(8, "logs.example.org", 1),
            question(7, "logs.example.com", 1),
            question(7, "logs.example.org", 28),
        ] {
            assert_eq!(answer(&packet, &other.unwrap()), None);
        }
        assert_eq!(answer(&asked, &asked), None, "a question is no answer");
        assert_eq!(question(7, &"x".repeat(64), 1), None);
    }

    #[test]
    fn the_host_says_whom_to_ask_for_which_names() {
        let sources = Sources::read(
            "# x\nnameserver 127.0.0.53\nsearch lan example.org\nnameserver ::1\noptions edns0\n",
        );
        let asked = |name| {
            let all = sources.questions(name).into_iter();
            all.map(|(server, name)| format!("{server} {name}")).collect::<Vec<_>>()
        };
        let short = [
            "127.0.0.53:53 logs.lan",
            "[::1]:53 logs.lan",
            "127.0.0.53:53 logs.example.org",
            "[::1]:53 logs.example.org",
            "127.0.0.53:53 logs",
            "[::1]:53 logs",
        ];
        assert_eq!(asked("logs"), short);
        assert_eq!(asked("a.b")[..2], ["127.0.0.53:53 a.b", "[::1]:53 a.b"]);
        let table = "127.0.0.1 localhost\n192.0.2.7 other LOGS # logs2\n::7 logs\n";
        assert_eq!(in_table(table, "logs"), ["192.0.2.7".parse::<IpAddr>().unwrap(), "::7".parse().unwrap()]);
        assert!(in_table(table, "logs2").is_empty());
    }

    #[test]
    fn one_server_is_asked_after_the_other() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let places = [&silent, &server].map(|socket| (socket.local_addr().unwrap(), "logs.lan".to_owned()));
        let mut lookup = Lookup { known: Vec::new(), left: places.into_iter().collect(), asked: None };
        assert_eq!((lookup.go_on(Moment(1)), lookup.until()), (Step::Asking, Moment(2001)));
        assert_eq!(lookup.go_on(Moment(2001)), Step::Asking);
        let mut packet = [0; 512];
        for (kind, data) in [(1, &[192, 0, 2, 9][..]), (28, &[])] {
            let (count, from) = server.recv_from(&mut packet).unwrap();
            let records: &[(&[u8], u16, &[u8])] =
                if data.is_empty() { &[] } else { &[(b"\xc0\x0c", kind, data)] };
            server.send_to(&reply(&packet[..count], records), from).unwrap();
        }
        let found = Step::Found(vec!["192.0.2.9".parse().unwrap()]);
        let step = (0..1000).map(|_| lookup.go_on(Moment(2002))).find(|step| *step != Step::Asking);
        assert_eq!(step, Some(found));
        assert_eq!(lookup.go_on(Moment(2003)), Step::Found(Vec::new()), "nobody is left");
    }
}
