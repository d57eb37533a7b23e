//! Lines on their way to whoever takes a container's output.
//!
//! What waits has an end. When the other end is slow, a *blocking* container waits too, because its output is not read
//! until there is room; of any other, lines that find no room are dropped and counted. When the other end is gone,
//! nobody waits for it: both drop. A note tells how many it were as soon as there is somebody to tell.

use std::collections::VecDeque;

use super::{
    Stream,
    journald::{Journal, sealed},
    lines::Lines,
    link::{Link, Sent, Turn},
    syslog::Syslog,
};
use crate::{model::time::Moment, shim::spec::Delivery};

/// Bytes of lines that wait while their container waits.
const BLOCKING: usize = 64 << 10;

/// What a line costs besides its bytes.
const LINE: usize = 64;

/// One line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// When it was read: nanoseconds since 1970.
    pub(super) nanos: u64,
    /// Which output.
    pub(super) stream: Stream,
    /// Whether it has ended.
    pub(super) whole: bool,
    /// The bytes, without the end of line.
    pub(super) bytes: Vec<u8>,
}

/// How lines are written for whoever takes them.
#[derive(Debug)]
pub(super) enum Format {
    /// As entries of the journal.
    Journal(Journal),
    /// As messages of syslog.
    Syslog(Syslog),
}

/// Lines on their way.
#[derive(Debug)]
pub(super) struct Queue {
    format: Format,
    link: Link,
    blocking: bool,
    most: usize,
    begun: Lines,
    waiting: VecDeque<Line>,
    /// What those cost.
    bytes: usize,
    /// The first of them as it goes over the wire, and how much of that has gone.
    wire: Vec<u8>,
    gone: usize,
    /// Whether the other end took no more when it was last tried.
    is_slow: bool,
    /// Lines that were dropped since somebody was told, and in all.
    untold: u64,
    dropped: u64,
}

impl Queue {
    /// Lines in this form, over this way.
    pub(super) fn new(format: Format, link: Link, delivery: Delivery) -> Self {
        let most = usize::try_from(delivery.most).unwrap_or(usize::MAX);
        Self {
            format,
            link,
            blocking: delivery.blocking,
            most: if delivery.blocking { BLOCKING } else { most },
            begun: Lines::default(),
            waiting: VecDeque::new(),
            bytes: 0,
            wire: Vec::new(),
            gone: 0,
            is_slow: false,
            untold: 0,
            dropped: 0,
        }
    }

    /// Takes what `stream` gave at `nanos`.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], nanos: u64, turn: Turn<'_>) {
        let mut begun = std::mem::take(&mut self.begun);
        begun.push(stream, bytes, |line, whole| {
            self.push(Line { nanos, stream, whole, bytes: line.to_vec() }, turn);
        });
        self.begun = begun;
    }

    /// Takes what waits for an end of line: there will be none.
    pub(super) fn end(&mut self, nanos: u64, turn: Turn<'_>) {
        let mut begun = std::mem::take(&mut self.begun);
        begun.end(|stream, line| {
            self.push(Line { nanos, stream, whole: true, bytes: line.to_vec() }, turn);
        });
    }

    fn push(&mut self, line: Line, turn: Turn<'_>) {
        let cost = LINE + line.bytes.len();
        if self.bytes + cost > self.most && !self.is_slow {
            self.tend(turn);
        }
        // Whoever waits for room has been read for the last time; what was read is not dropped.
        let may_wait = self.blocking && !self.link.is_down();
        if self.bytes + cost > self.most && !may_wait {
            self.untold += 1;
            self.dropped += 1;
            return;
        }
        self.tell(line.nanos);
        self.bytes += cost;
        self.waiting.push_back(line);
    }

    /// Puts in how many lines are missing here.
    fn tell(&mut self, nanos: u64) {
        if self.untold > 0 {
            let text = format!("{} lines were dropped: {}", self.untold, self.why());
            self.untold = 0;
            self.bytes += LINE + text.len();
            self.waiting.push_back(Line {
                nanos,
                stream: Stream::Note,
                whole: true,
                bytes: text.into_bytes(),
            });
        }
    }

    fn why(&self) -> &str {
        let slow = "they were not taken in time";
        if self.link.is_up() { slow } else { self.link.why().unwrap_or(slow) }
    }

    /// Sends what can be sent now.
    pub(super) fn tend(&mut self, turn: Turn<'_>) {
        self.is_slow = false;
        while let Some(line) = self.waiting.front()
            && !self.is_slow
            && self.link.open(turn)
        {
            if self.wire.is_empty() {
                match &self.format {
                    Format::Journal(journal) => journal.encode(line, &mut self.wire),
                    Format::Syslog(syslog) => {
                        syslog.encode(line, &mut self.wire);
                        self.wire.extend(self.link.is_stream().then_some(b'\n'));
                    }
                }
            }
            match self.send(turn.now) {
                Sent::Bytes(count) => {
                    self.gone += count;
                    if self.gone >= self.wire.len() {
                        self.pop();
                    }
                }
                Sent::Later => self.is_slow = true,
                // Another way may want it in another form.
                Sent::Gone => self.forget_wire(),
                Sent::TooLarge => {
                    self.pop();
                    self.untold += 1;
                    self.dropped += 1;
                }
            }
        }
        self.link.wait(turn, self.is_slow);
        if self.waiting.is_empty() {
            // Room for the next flood is made when it comes.
            (self.waiting, self.wire) = (VecDeque::new(), Vec::new());
        }
    }

    fn send(&mut self, now: Moment) -> Sent {
        match (self.link.send(&self.wire[self.gone..], now), &self.format) {
            (Sent::TooLarge, Format::Journal(_)) => match sealed(&self.wire) {
                Ok(file) => match self.link.send_file(&file, now) {
                    Sent::Bytes(_) => Sent::Bytes(self.wire.len()),
                    sent @ (Sent::Later | Sent::Gone | Sent::TooLarge) => sent,
                },
                Err(_) => Sent::TooLarge,
            },
            (sent, Format::Journal(_) | Format::Syslog(_)) => sent,
        }
    }

    fn pop(&mut self) {
        self.forget_wire();
        if let Some(line) = self.waiting.pop_front() {
            self.bytes -= LINE + line.bytes.len();
        }
    }

    fn forget_wire(&mut self) {
        self.wire.clear();
        self.gone = 0;
    }

    /// Looks at what the loop was woken for.
    pub(super) fn look(&mut self, now: Moment) {
        self.link.look(now);
        if !self.link.is_up() {
            self.forget_wire();
        }
    }

    /// Whether the container has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.blocking && !self.link.is_down() && self.bytes >= self.most
    }

    /// Whether something waits that may yet go.
    pub(super) fn is_under_way(&self) -> bool {
        (!self.waiting.is_empty() || self.link.is_unsent()) && !self.link.is_down()
    }

    /// When to try again.
    pub(super) fn again(&self) -> Option<Moment> {
        self.link.again().filter(|_| !self.waiting.is_empty())
    }

    /// Drops what waits.
    pub(super) fn give_up(&mut self) {
        let lines = self.waiting.drain(..).filter(|line| line.stream != Stream::Note).count();
        self.dropped += lines as u64;
        self.bytes = 0;
        self.forget_wire();
        self.link.close();
    }

    /// How many lines were dropped, and why; none when none were.
    pub(super) fn lost(&self) -> Option<(u64, &str)> {
        (self.dropped > 0).then(|| (self.dropped, self.why()))
    }
}

#[cfg(test)]
mod tests;
