//! One container's output on its way to whoever the definition names, and the end of it in memory.

pub(in crate::shim) use super::link::Turn;
use super::{
    Stream,
    events::{Events, When},
    journald::Journal,
    last::Last,
    link::Link,
    queue::{Format, Queue},
    syslog::Syslog,
    writer::Writer,
};
use crate::{
    model::{
        task::LastLine,
        task_definition::LogPattern,
        time::{Moment, Timestamp},
    },
    shim::spec::{Driver, LogSpec, Target},
};

/// One container's output.
#[derive(Debug)]
pub(in crate::shim) struct Output {
    way: Way,
    last: Last,
    /// The driver, as people call it.
    driver: &'static str,
    is_told: bool,
}

/// Where it goes.
#[derive(Debug)]
enum Way {
    Files(Box<Writer>),
    Joined(Box<(Events, Writer)>),
    Away(Box<Queue>),
}

impl Output {
    /// Output that goes where `spec` says.
    pub(in crate::shim) fn new(spec: LogSpec) -> Self {
        let (driver, way) = match &spec.driver {
            Driver::Events { begin } => match LogPattern::parse(begin) {
                Ok(begin) => ("file", Way::Joined(Box::new((Events::new(begin), Writer::new(spec))))),
                // The agent reads it first; without it each line is an event.
                Err(_) => ("file", Way::Files(Box::new(Writer::new(spec)))),
            },
            Driver::File | Driver::JsonFile { .. } => ("file", Way::Files(Box::new(Writer::new(spec)))),
            Driver::Journald { socket, fields, delivery } => {
                let link = Link::new(vec![Target::UnixDatagram(socket.clone())]);
                let queue = Queue::new(Format::Journal(Journal::new(fields)), link, *delivery);
                ("journald", Way::Away(Box::new(queue)))
            }
            Driver::Syslog { server, delivery } => {
                let link = Link::to(server);
                let queue = Queue::new(Format::Syslog(Syslog::new(server)), link, *delivery);
                ("syslog", Way::Away(Box::new(queue)))
            }
        };
        Self { way, last: Last::default(), driver, is_told: false }
    }

    /// Takes what `stream` gave at `nanos`. `batch` is room to work in, the same for all.
    pub(in crate::shim) fn take(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        nanos: u64,
        batch: &mut Vec<u8>,
        turn: Turn<'_>,
    ) {
        self.last.take(stream, bytes, Timestamp(nanos / 1_000_000));
        match &mut self.way {
            Way::Files(writer) => writer.take(stream, bytes, nanos, batch),
            Way::Joined(joined) => {
                let (events, writer) = &mut **joined;
                let when = When { nanos, now: turn.now };
                events.push(stream, bytes, when, |stream, event| writer.take_event(stream, event, batch));
            }
            Way::Away(queue) => queue.take(stream, bytes, nanos, turn),
        }
    }

    /// The container has ended: lines without an end get one. Gives the last of them.
    pub(in crate::shim) fn end(&mut self, nanos: u64, batch: &mut Vec<u8>, turn: Turn<'_>) -> Vec<LastLine> {
        match &mut self.way {
            Way::Files(writer) => writer.end(nanos, batch),
            Way::Joined(joined) => {
                let (events, writer) = &mut **joined;
                let when = When { nanos, now: turn.now };
                events.end(when, |stream, event| writer.take_event(stream, event, batch));
            }
            Way::Away(queue) => queue.end(nanos, turn),
        }
        self.last.give()
    }

    /// Looks at what the loop was woken for.
    pub(in crate::shim) fn look(&mut self, now: Moment) {
        if let Way::Away(queue) = &mut self.way {
            queue.look(now);
        }
    }

    /// Does what can be done now: sends, writes what has waited long enough, compresses a little.
    pub(in crate::shim) fn tend(&mut self, turn: Turn<'_>, batch: &mut Vec<u8>) {
        match &mut self.way {
            Way::Files(writer) => writer.tend(),
            Way::Joined(joined) => {
                let (events, writer) = &mut **joined;
                events.tend(turn.now, |stream, event| writer.take_event(stream, event, batch));
            }
            Way::Away(queue) => queue.tend(turn),
        }
    }

    /// Whether it goes into files here, which take what comes at once.
    pub(in crate::shim) fn is_kept(&self) -> bool {
        self.queue().is_none()
    }

    /// Whether the container has to wait: its output is not to be read.
    pub(in crate::shim) fn is_full(&self) -> bool {
        self.queue().is_some_and(Queue::is_full)
    }

    /// Whether something is left to do, and it can be done.
    pub(in crate::shim) fn is_under_way(&self) -> bool {
        match &self.way {
            Way::Files(writer) => writer.is_packing(),
            Way::Joined(_) => false,
            Way::Away(queue) => queue.is_under_way(),
        }
    }

    /// When to tend it again.
    pub(in crate::shim) fn again(&self) -> Option<Moment> {
        match &self.way {
            // At once, but a little at a time: others have their turn between.
            Way::Files(writer) => writer.is_packing().then_some(Moment(0)),
            Way::Joined(joined) => joined.0.wake_at(),
            Way::Away(queue) => queue.again(),
        }
    }

    /// A sentence about output that is lost, the first time that there is some.
    pub(in crate::shim) fn trouble(&mut self) -> Option<String> {
        let (_, why) = self.queue()?.lost().filter(|_| !self.is_told)?;
        let sentence = format!("lines for {} are dropped: {why}", self.driver);
        self.is_told = true;
        Some(sentence)
    }

    /// Drops what is left. Gives a sentence about all that was lost.
    pub(in crate::shim) fn give_up(&mut self) -> Option<String> {
        let Way::Away(queue) = &mut self.way else { return None };
        queue.give_up();
        let (count, why) = queue.lost()?;
        Some(format!("{count} lines for {} were dropped: {why}", self.driver))
    }

    fn queue(&self) -> Option<&Queue> {
        match &self.way {
            Way::Files(_) | Way::Joined(_) => None,
            Way::Away(queue) => Some(queue),
        }
    }
}
