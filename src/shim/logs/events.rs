//! Lines joined into events, as Docker's `awslogs` driver joins them: a line that matches begins one, and those that
//! follow belong to it. Each stream has events of its own.
//!
//! An event is whole when the next one begins, when it would grow past what a log service takes, some time after its
//! first line, or when the container has ended.

use std::time::Duration;

use super::{Stream, lines::Lines};
use crate::model::{task_definition::LogPattern, time::Moment};

/// The most bytes of an event, as in CloudWatch Logs: 256 KiB, less what an event costs there.
const LARGEST: usize = (256 << 10) - 26;

/// How long an event waits for more lines, counted from its first.
const OPEN: Duration = Duration::from_secs(5);

/// Lines on their way to becoming events.
#[derive(Debug)]
pub(super) struct Events {
    begin: LogPattern,
    lines: Lines,
    stdout: Option<Open>,
    stderr: Option<Open>,
}

/// What goes with every piece of output.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    /// Nanoseconds since 1970.
    pub(super) nanos: u64,
    /// The loop's own clock.
    pub(super) now: Moment,
}

/// Lines that belong together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// When its first line was read: nanoseconds since 1970.
    pub(super) nanos: u64,
    /// The lines, with the ends of line between them.
    pub(super) bytes: Vec<u8>,
    /// Whether there was an end of line behind the last.
    pub(super) whole: bool,
}

/// An event that may grow.
#[derive(Debug)]
struct Open {
    event: Event,
    /// When it is whole at the latest.
    until: Moment,
}

impl Events {
    /// Events that begin with lines in which `begin` is found.
    pub(super) fn new(begin: LogPattern) -> Self {
        Self { begin, lines: Lines::default(), stdout: None, stderr: None }
    }

    /// Takes what `stream` gave, and gives the events that are whole.
    pub(super) fn push(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        when: When,
        mut give: impl FnMut(Stream, &Event),
    ) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(stream, bytes, |line, whole| self.add(stream, line, whole, when, &mut give));
        self.lines = lines;
    }

    fn add(
        &mut self,
        stream: Stream,
        line: &[u8],
        whole: bool,
        when: When,
        give: &mut impl FnMut(Stream, &Event),
    ) {
        let is_on_new_line = self.of(stream).as_ref().is_none_or(|open| open.event.whole);
        let begins = is_on_new_line && self.begin.is_in(&String::from_utf8_lossy(line));
        let open = self.of(stream);
        let is_full = |open: &Open| open.event.bytes.len() + line.len() >= LARGEST;
        if let Some(before) = open.take_if(|open| begins || is_full(open)) {
            give(stream, &before.event);
        }
        let open = open.get_or_insert_with(|| Open {
            event: Event { nanos: when.nanos, bytes: Vec::new(), whole: false },
            until: when.now + OPEN,
        });
        if open.event.whole {
            open.event.bytes.push(b'\n');
        }
        open.event.bytes.extend_from_slice(line);
        open.event.whole = whole;
    }

    /// When an event is whole though nothing more comes.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(|open| open.until).min()
    }

    /// Gives what has waited long enough.
    pub(super) fn tend(&mut self, now: Moment, mut give: impl FnMut(Stream, &Event)) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(late) = self.of(stream).take_if(|open| open.until <= now) {
                give(stream, &late.event);
            }
        }
    }

    /// Gives everything: the container has ended.
    pub(super) fn end(&mut self, when: When, mut give: impl FnMut(Stream, &Event)) {
        std::mem::take(&mut self.lines).end(|stream, line| self.add(stream, line, false, when, &mut give));
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(last) = self.of(stream).take() {
                give(stream, &last.event);
            }
        }
    }

    fn of(&mut self, stream: Stream) -> &mut Option<Open> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr | Stream::Note => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events, and a clock that only the test moves.
    struct Bench {
        events: Events,
        now: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self { events: Events::new(LogPattern::parse("^[A-Z]").unwrap()), now: 0 }
        }

        fn when(&self) -> When {
            When { nanos: self.now * 1_000_000, now: Moment(self.now) }
        }

        fn say(&mut self, stream: Stream, text: &str) -> Vec<String> {
            let mut given = Vec::new();
            let when = self.when();
            self.events.push(stream, text.as_bytes(), when, |_, event| given.push(text_of(event)));
            given
        }

        fn pass(&mut self, millis: u64) -> Vec<String> {
            self.now += millis;
            let mut given = Vec::new();
            self.events.tend(Moment(self.now), |_, event| given.push(text_of(event)));
            given
        }
    }

    fn text_of(event: &Event) -> String {
        let end = if event.whole { "\n" } else { "" };
        String::from_utf8(event.bytes.clone()).unwrap() + end
    }

    #[test]
    fn a_line_that_matches_begins_an_event_and_ends_the_one_before() {
        let mut bench = Bench::new();
        assert_eq!(bench.say(Stream::Stdout, "Error: no\n  at a\n\n  at "), [] as [&str; 0]);
        assert_eq!(bench.say(Stream::Stderr, "Other\n"), [] as [&str; 0], "streams are told apart");
        assert_eq!(bench.say(Stream::Stdout, "b\nNext\n"), ["Error: no\n  at a\n\n  at b\n"]);
        let mut left = Vec::new();
        bench.say(Stream::Stdout, "no end");
        let when = bench.when();
        bench.events.end(when, |stream, event| left.push((stream, text_of(event))));
        assert_eq!(
            left,
            [(Stream::Stdout, "Next\nno end".to_owned()), (Stream::Stderr, "Other\n".to_owned())]
        );
        assert_eq!(bench.events.wake_at(), None);
    }

    #[test]
    fn an_event_is_whole_some_time_after_its_first_line() {
        let mut bench = Bench::new();
        assert_eq!(bench.events.wake_at(), None, "nothing wakes the loop");
        bench.say(Stream::Stdout, "One\n");
        bench.now += 3000;
        bench.say(Stream::Stdout, " two\n");
        assert_eq!(bench.events.wake_at(), Some(Moment(5000)));
        assert_eq!(bench.pass(1999), [] as [&str; 0]);
        assert_eq!(bench.pass(1), ["One\n two\n"]);
        bench.say(Stream::Stdout, " late\n");
        assert_eq!(bench.pass(5000), [" late\n"], "what begins nothing is an event all the same");
    }

    #[test]
    fn an_event_has_a_ceiling_and_loses_nothing_at_it() {
        let mut bench = Bench::new();
        let line = format!(" {}\n", "x".repeat(9_999));
        let mut given = Vec::new();
        let mut said = String::new();
        for text in ["A\n".to_owned(), line.repeat(60), "y".repeat(300_000), "\n".to_owned()] {
            given.extend(bench.say(Stream::Stdout, &text));
            said.push_str(&text);
        }
        let when = bench.when();
        bench.events.end(when, |_, event| given.push(text_of(event)));
        assert!(given.len() > 3 && given.iter().all(|event| event.len() <= LARGEST + 1));
        assert_eq!(given.concat(), said);
    }
}
