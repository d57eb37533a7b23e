use std::{
    fs::{self, File},
    io::{Read, Seek},
    net::{TcpListener, UdpSocket},
    os::{
        fd::AsFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    path::PathBuf,
    time::Duration,
};

use super::*;
use crate::{
    kernel::{
        event::{Poll, Token},
        process::recv_with_fds,
    },
    shim::spec::{HostSpec, SyslogForm, SyslogSpec, Target},
};

const TOKEN: Token = Token(7);

/// A queue, a loop and a clock that only the test moves.
struct Bench {
    queue: Queue,
    poll: Poll,
    now: Moment,
    said: u64,
}

impl Bench {
    fn new(targets: Vec<Target>, blocking: bool, most: u64) -> Self {
        let spec = SyslogSpec {
            targets: targets.clone(),
            host: None,
            facility: 3,
            form: SyslogForm::Local,
            tag: "tag".to_owned(),
            hostname: "box".to_owned(),
            tls: None,
        };
        let format = Format::Syslog(Syslog::new(&spec));
        Self::of(format, targets, Delivery { blocking, most })
    }

    fn of(format: Format, targets: Vec<Target>, delivery: Delivery) -> Self {
        let queue = Queue::new(format, Link::new(targets), delivery);
        Self { queue, poll: Poll::new().unwrap(), now: Moment(1), said: 0 }
    }

    fn say(&mut self, lines: u64) {
        for _ in 0..lines {
            let line = format!("line {}\n", self.said);
            self.take(line.as_bytes());
            self.said += 1;
        }
        self.tend();
    }

    fn take(&mut self, bytes: &[u8]) {
        self.queue.take(Stream::Stdout, bytes, 0, Turn { poll: &self.poll, token: TOKEN, now: self.now });
    }

    fn tend(&mut self) {
        self.queue.tend(Turn { poll: &self.poll, token: TOKEN, now: self.now });
    }

    /// Waits until the loop would be woken, and does what it does then.
    fn wake(&mut self) {
        let mut events = Vec::new();
        self.poll.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(events.len(), 1, "the loop is woken");
        self.queue.look(self.now);
        self.tend();
    }

    /// Moves the clock to the next attempt.
    fn pass(&mut self) {
        self.now = self.queue.again().expect("it tries again");
        self.tend();
    }
}

/// The text of a message behind what comes before it.
fn text(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).unwrap();
    text.split_once("]: ").unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    (place, path)
}

fn receive(server: &UnixDatagram) -> Vec<String> {
    server.set_nonblocking(true).unwrap();
    let mut chunk = vec![0; 1 << 16];
    let mut messages = Vec::new();
    while let Ok(count) = server.recv(&mut chunk) {
        messages.push(text(&chunk[..count]));
    }
    messages
}

#[test]
fn a_line_is_a_message_and_nobody_is_spoken_to_before() {
    let (_place, path) = place();
    let mut bench = Bench::new(vec![Target::UnixDatagram(path.clone())], false, 1 << 20);
    bench.tend();
    assert_eq!(bench.queue.again(), None, "nothing wakes the loop");
    let server = UnixDatagram::bind(&path).unwrap();
    bench.take(b"one\ntw");
    bench.tend();
    bench.queue.end(0, Turn { poll: &bench.poll, token: TOKEN, now: bench.now });
    bench.tend();
    assert_eq!(receive(&server), ["one", "tw"]);
    assert_eq!((bench.queue.bytes, bench.queue.lost()), (0, None));
}

#[test]
fn somebody_who_is_not_there_is_tried_again_with_longer_pauses_and_gets_what_waited() {
    let (_place, path) = place();
    let mut bench = Bench::new(vec![Target::UnixDatagram(path.clone())], true, 1 << 20);
    bench.say(3);
    let pauses: Vec<u64> = (0..9)
        .map(|_| {
            let pause = bench.queue.again().unwrap().0 - bench.now.0;
            bench.pass();
            pause
        })
        .collect();
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert!(!bench.queue.is_full(), "nobody waits for somebody who is not there");
    let server = UnixDatagram::bind(&path).unwrap();
    bench.pass();
    assert_eq!(receive(&server), ["line 0", "line 1", "line 2"]);
    drop(server);
    fs::remove_file(&path).unwrap();
    bench.say(1);
    let server = UnixDatagram::bind(&path).unwrap();
    assert_eq!(bench.queue.again().unwrap().0 - bench.now.0, 250, "the pauses begin anew");
    bench.pass();
    assert_eq!(receive(&server), ["line 3"]);
}

#[test]
fn whoever_does_not_read_makes_a_blocking_container_wait_and_loses_nothing() {
    let (_place, path) = place();
    let server = UnixDatagram::bind(&path).unwrap();
    let mut bench = Bench::new(vec![Target::UnixDatagram(path)], true, 10);
    while !bench.queue.is_full() {
        bench.say(100);
    }
    assert!(bench.queue.bytes < BLOCKING + 100 * 80, "{} bytes wait", bench.queue.bytes);
    let mut messages = Vec::new();
    while bench.queue.bytes > 0 {
        messages.extend(receive(&server));
        bench.wake();
    }
    messages.extend(receive(&server));
    let expected: Vec<String> = (0..bench.said).map(|number| format!("line {number}")).collect();
    assert!(messages == expected, "{} of {} lines", messages.len(), expected.len());
    assert_eq!(bench.queue.lost(), None);
}

#[test]
fn whoever_does_not_read_costs_a_container_that_does_not_wait_lines_and_is_told() {
    let (_place, path) = place();
    let server = UnixDatagram::bind(&path).unwrap();
    let mut bench = Bench::new(vec![Target::UnixDatagram(path)], false, 8000);
    for _ in 0..100 {
        bench.say(1000);
        assert!(!bench.queue.is_full() && bench.queue.bytes <= 8000);
    }
    let (lost, why) = bench.queue.lost().unwrap();
    assert_eq!(why, "they were not taken in time");
    let mut messages = receive(&server);
    bench.wake();
    bench.say(1);
    messages.extend(receive(&server));
    while bench.queue.bytes > 0 {
        bench.wake();
        messages.extend(receive(&server));
    }
    let notes = messages
        .iter()
        .filter_map(|line| line.strip_suffix(" lines were dropped: they were not taken in time"));
    let counts: Vec<u64> = notes.map(|count| count.parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), lost, "each line that is missing is counted where it is missing");
    assert_eq!(messages.last().map(String::as_str), Some("line 100000"));
    assert_eq!(messages.len(), 100_001 - usize::try_from(lost).unwrap() + counts.len());
}

#[test]
fn a_stream_of_lines_survives_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut bench = Bench::new(vec![Target::Tcp(address)], false, 1 << 20);
    bench.say(1);
    while bench.queue.bytes > 0 {
        bench.wake();
    }
    let (mut first, _) = listener.accept().unwrap();
    let mut got = vec![0; 200];
    let count = first.read(&mut got).unwrap();
    assert!(got[..count].ends_with(b"]: line 0\n"));
    drop((first, listener));
    bench.wake();
    assert!(!bench.queue.link.is_up(), "the end is seen before a line is lost on it");
    bench.say(2);
    let listener = TcpListener::bind(address).unwrap();
    while !bench.queue.link.is_up() {
        bench.pass();
        bench.wake();
    }
    let (mut second, _) = listener.accept().unwrap();
    drop(bench);
    let mut rest = String::new();
    second.read_to_string(&mut rest).unwrap();
    let lines: Vec<String> = rest.lines().map(|line| text(line.as_bytes())).collect();
    assert_eq!(lines, ["line 1", "line 2"]);
}

#[test]
fn of_several_places_the_one_that_answers_is_taken() {
    let (_place, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let none = path.with_extension("none");
    let places =
        vec![Target::UnixDatagram(none), Target::UnixDatagram(path.clone()), Target::UnixStream(path)];
    let mut bench = Bench::new(places, false, 1 << 20);
    bench.say(1);
    let (mut taken, _) = listener.accept().unwrap();
    let mut got = vec![0; 200];
    let count = taken.read(&mut got).unwrap();
    assert!(got[..count].ends_with(b"]: line 0\n"));
}

#[test]
fn a_packet_that_nobody_took_costs_itself_only() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let mut bench = Bench::new(vec![Target::Udp(address)], true, 1 << 20);
    (0..5).for_each(|_| bench.say(1));
    assert_eq!((bench.queue.bytes, bench.queue.again()), (0, None));
    let server = UdpSocket::bind(address).unwrap();
    bench.say(1);
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut got = vec![0; 200];
    let count = server.recv(&mut got).unwrap();
    assert_eq!(text(&got[..count]), "line 5");
}

#[test]
fn nobody_at_all_loses_lines_and_says_so() {
    let mut bench = Bench::new(Vec::new(), true, 10);
    bench.say(2000);
    bench.queue.give_up();
    assert_eq!(bench.queue.lost(), Some((2000, "Destination address required")));
    assert!(bench.queue.bytes == 0 && bench.queue.again().is_none());
}

#[test]
fn an_entry_that_is_no_message_goes_as_a_file() {
    let (_place, path) = place();
    let server = UnixDatagram::bind(&path).unwrap();
    let format = Format::Journal(Journal::new(&[("CONTAINER_NAME".to_owned(), "web".repeat(100_000))]));
    let delivery = Delivery { blocking: false, most: 1 << 20 };
    let mut bench = Bench::of(format, vec![Target::UnixDatagram(path)], delivery);
    bench.say(1);
    let mut none = [0; 1];
    let (count, mut files) = recv_with_fds(server.as_fd(), &mut none).unwrap();
    assert_eq!((count, files.len()), (0, 1));
    let mut file = File::from(files.remove(0));
    let mut entry = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut entry).unwrap();
    assert!(entry.len() > 300_000 && entry.ends_with(b"\nMESSAGE=line 0\n"));
    assert_eq!(bench.queue.lost(), None);
}

#[test]
fn a_burst_that_is_larger_than_the_room_is_no_loss_to_whoever_is_quick() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    for blocking in [true, false] {
        let mut bench = Bench::new(vec![Target::Udp(server.local_addr().unwrap())], blocking, 1000);
        bench.take("a line\n".repeat(5000).as_bytes());
        bench.tend();
        assert_eq!((bench.queue.lost(), bench.queue.bytes), (None, 0));
    }
}

#[test]
fn a_server_that_has_moved_is_found_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody listens at the address of before; the host's table of names knows the one of now.
    let gone = vec![Target::Tcp(std::net::SocketAddr::from(([127, 0, 0, 77], port)))];
    let mut bench = Bench::new(gone.clone(), false, 1 << 20);
    bench.queue.link = Link::to(&SyslogSpec {
        targets: gone,
        host: Some(HostSpec { name: "localhost".to_owned(), port, is_stream: true }),
        facility: 3,
        form: SyslogForm::Local,
        tag: "tag".to_owned(),
        hostname: "box".to_owned(),
        tls: None,
    });
    bench.say(1);
    for _ in 0..20 {
        if bench.queue.bytes == 0 {
            break;
        }
        bench.now = bench.queue.again().unwrap_or(bench.now);
        let mut events = Vec::new();
        bench.poll.wait(&mut events, Some(Duration::from_millis(50))).unwrap();
        bench.queue.look(bench.now);
        bench.tend();
    }
    let (mut taken, _) = listener.accept().unwrap();
    let mut got = vec![0; 200];
    let count = taken.read(&mut got).unwrap();
    assert!(got[..count].ends_with(b"]: line 0\n"));
}
