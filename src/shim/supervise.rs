//! The loop: wait, look, tell the view, ask the plan, do what it says.
//!
//! ```text
//!   epoll --> pidfd, pipe, timer, signal, socket --> view --> plan::task --> actions --> facts --> ledger --> daemons
//!                                                     ^                         |
//!                                                     +---- what came of them --+
//! ```
//!
//! Each turn does a bounded amount of work for each source, so a container that floods its output cannot keep the
//! shim from a stop order or from its neighbours. Nothing wakes the loop but what it waits on; the one timer carries
//! the moment that the plan asked for.

mod asked;
mod events;
mod outputs;
mod words;

use std::{io, net::TcpListener, os::fd::OwnedFd, time::Duration};

use super::{
    clock::{micros, moment},
    connections::Connections,
    container::{Container, start},
    ledger::Ledger,
    logs::output::Output,
    metadata::Endpoint,
    session::Sessions,
    setup::{self, SetupError},
    shared::Shared,
    source::Source,
    spec::TaskSpec,
};
use crate::{
    kernel::{
        cgroup::{Group, Layout},
        event::{Interest, Poll, SignalFd, TimerFd},
        process::Signal,
    },
    model::{fact::Seen, report::chain, task::StopRequest, time::Moment},
    plan::task::{TaskAction, TaskNote, TaskView, task},
};

/// The pause before a ledger that the disk refused is written again, and before a shim looks again whether it may go.
const AGAIN: Duration = Duration::from_secs(1);

/// How long daemons that are connected may take to have the last facts.
const FAREWELL: Duration = Duration::from_secs(5);

/// One task's parent.
#[derive(Debug)]
pub(super) struct Supervisor {
    spec: TaskSpec,
    shared: Shared,
    layout: Layout,
    group: Group,
    view: TaskView,
    stop_signals: Vec<Signal>,
    containers: Vec<Option<Container>>,
    /// Those that have ended and are there still.
    ended: Vec<(usize, Container)>,
    outputs: Vec<Option<Output>>,
    /// Whether the loop waits for the output of each container.
    reads: Vec<bool>,
    ledger: Ledger,
    connections: Connections,
    endpoint: Option<Endpoint>,
    sessions: Sessions,
    poll: Poll,
    timer: TimerFd,
    signals: SignalFd,
    wake_at: Option<Moment>,
    notes: Vec<TaskNote>,
    said_not_enforced: Vec<String>,
    chunk: Vec<u8>,
    batch: Vec<u8>,
    finished: bool,
}

impl Supervisor {
    /// Takes the task's place on the host: in this network, or on the host's with the socket where the task asks.
    pub(super) fn begin(
        spec: TaskSpec,
        network: Option<OwnedFd>,
        door: Option<TcpListener>,
        ledger: Ledger,
    ) -> Result<Self, SetupError> {
        let own = |what| move |source: io::Error| SetupError::Own { what, source };
        let kernel = |what| move |errno: nix::errno::Errno| SetupError::Own { what, source: errno.into() };
        let view = setup::view(&spec)?;
        let stop_signals = setup::stop_signals(&spec)?;
        setup::outlive_the_others();
        let layout = Layout::detect().map_err(SetupError::Layout)?;
        let (group, not_enforced) = setup::groups(&spec, &layout)?;
        let shared = Shared::make(&spec, network, &layout)?;
        let poll = Poll::new().map_err(kernel("make an epoll instance"))?;
        let timer = TimerFd::new().map_err(kernel("make a timer"))?;
        poll.add(&timer, Source::Timer.token(), Interest::READ).map_err(kernel("wait for a timer"))?;
        let signals = SignalFd::new(&[Signal::TERM, Signal::INT, Signal::HUP])
            .map_err(kernel("read signals from a descriptor"))?;
        poll.add(&signals, Source::Signals.token(), Interest::READ).map_err(kernel("wait for signals"))?;
        let connections = Connections::listen(spec.task.clone(), &spec.socket, &poll)
            .map_err(own("listen on the task's socket"))?;
        let mut supervisor = Self {
            containers: spec.containers.iter().map(|_| None).collect(),
            outputs: spec.containers.iter().map(|container| container.log.clone().map(Output::new)).collect(),
            reads: spec.containers.iter().map(|_| false).collect(),
            ended: Vec::new(),
            shared,
            layout,
            group,
            view,
            stop_signals,
            ledger,
            connections,
            endpoint: None,
            sessions: Sessions::default(),
            poll,
            timer,
            signals,
            wake_at: None,
            notes: Vec::new(),
            said_not_enforced: Vec::new(),
            chunk: Vec::new(),
            batch: Vec::new(),
            finished: false,
            spec,
        };
        supervisor.see(Seen::ShimStarted);
        supervisor.say_not_enforced(not_enforced, None);
        supervisor.open_endpoint(door);
        Ok(supervisor)
    }

    /// Takes the connection that the shim was started with.
    pub(super) fn adopt(&mut self, connection: OwnedFd) {
        if let Err(error) = self.connections.adopt(connection, &self.poll) {
            eprintln!("take the first connection: {error}");
        }
    }

    /// Runs the task to its end.
    pub(super) fn run(mut self) {
        let mut events = Vec::new();
        // What a daemon has said already comes before the first container, which may ask for it at once.
        self.converse();
        self.settle();
        while !self.finished {
            self.set_timer();
            if let Err(error) = self.poll.wait(&mut events, None) {
                eprintln!("wait for events: {error}");
                return;
            }
            for event in &events {
                self.take(*event);
            }
            self.tend_outputs();
            self.settle();
            self.clear_ended();
            self.answer();
        }
        self.leave();
    }

    /// Does what the plan says until it says nothing more, and nobody orders anything.
    fn settle(&mut self) {
        while !self.finished {
            let plan = task(&self.view, moment());
            self.wake_at = plan.wake_at;
            self.note(plan.notes);
            if plan.actions.is_empty() {
                // An order that came just now is not in this plan.
                if self.converse() {
                    continue;
                }
                return;
            }
            // What one action shows can change what the others should be.
            for action in plan.actions {
                let is_as_planned = self.perform(action);
                if self.converse() || !is_as_planned {
                    break;
                }
            }
        }
    }

    /// Does one action. Gives whether the view is what the plan took it to be.
    fn perform(&mut self, action: TaskAction) -> bool {
        match action {
            TaskAction::Start(at) => return self.start(at),
            TaskAction::GiveUp { container, reason, exit } => {
                self.view.failed(container, reason.clone());
                let container = self.name(container);
                self.see(Seen::ContainerFailed { container, reason, exit: Some(exit) });
            }
            TaskAction::Ask(at) => {
                if let Some(container) = &self.containers[at] {
                    container.signal(self.stop_signals[at]);
                }
                self.view.asked(at, moment());
            }
            TaskAction::Kill(at) => {
                if let Some(Err(error)) = self.containers[at].as_ref().map(Container::kill_all) {
                    eprintln!("kill container {}: {}", self.name(at), chain(&error));
                }
                self.view.killed(at, moment());
            }
            TaskAction::Probe(at) => self.probe(at),
            TaskAction::AbortProbe(at) => {
                if let Some(container) = &mut self.containers[at] {
                    container.abort_probe();
                }
                let verdict = self.view.probe_aborted(at, moment());
                self.see_health(at, verdict);
            }
            TaskAction::Stop(request) => {
                self.stop(request);
                return false;
            }
            TaskAction::Finish => self.finished = true,
        }
        true
    }

    fn stop(&mut self, request: StopRequest) {
        if self.view.stop_for(request.clone()) {
            self.see(Seen::Stopping { request });
        }
    }

    fn start(&mut self, at: usize) -> bool {
        // One that starts again has the same group and the same root.
        self.clear_ended();
        let began = micros();
        let started = match start(&self.spec, at, &self.containers, &self.shared, &self.layout) {
            Ok(started) => started,
            Err(error) => {
                let reason = error.reason();
                self.view.failed(at, reason.clone());
                self.see(Seen::ContainerFailed { container: self.name(at), reason, exit: None });
                return false;
            }
        };
        let took = micros() - began;
        let pid = started.container.pid().as_raw();
        self.wait_for(at, &started.container);
        self.containers[at] = Some(started.container);
        self.reads[at] = false;
        self.read_or_hold(at);
        let restarts = self.view.started(at, moment());
        self.see(Seen::ContainerStarted { container: self.name(at), pid, restarts });
        if restarts == 0 {
            let spans = self.spans(at, began, took, &started.timing);
            self.see(Seen::Timed { spans });
        }
        self.say_not_enforced(started.not_enforced, Some(at));
        true
    }

    /// Registers what tells of a container.
    fn wait_for(&self, at: usize, container: &Container) {
        let number = number(at);
        let added = self.poll.add(container.pidfd(), Source::Container(number).token(), Interest::READ);
        if let Err(error) = added {
            eprintln!("wait for container {}: {error}", self.name(at));
        }
    }

    fn probe(&mut self, at: usize) {
        self.view.probing(at, moment());
        let spec = &self.spec.containers[at];
        let (Some(container), Some(check)) = (&mut self.containers[at], &spec.health_check) else { return };
        let (end, said) = (Source::Probe(number(at)), Source::Said(number(at)));
        let begun = container.probe(spec, check).and_then(|(pidfd, output)| {
            output.map_or(Ok(()), |output| self.poll.add(output, said.token(), Interest::READ))?;
            Ok(self.poll.add(pidfd, end.token(), Interest::READ)?)
        });
        if let Err(error) = begun {
            eprintln!("probe container {}: {error}", self.name(at));
            let verdict = self.view.probed(at, false, moment());
            self.see_health(at, verdict);
        }
    }

    pub(super) fn set_timer(&self) {
        let outputs = self.outputs.iter().flatten().filter_map(Output::again);
        let visitors = self.endpoint.as_ref().and_then(Endpoint::wake_at);
        let wake_at = outputs.chain(self.wake_at).chain(visitors).min();
        let pause = wake_at.map(|moment_to_wake| moment_to_wake.since(moment()));
        let pause = if self.ledger.is_written() { pause } else { Some(pause.unwrap_or(AGAIN).min(AGAIN)) };
        let set = match pause {
            // A moment is whole milliseconds; one more is never too early.
            Some(pause) => self.timer.set_after(pause + Duration::from_millis(1)),
            None => self.timer.set(None),
        };
        if let Err(error) = set {
            eprintln!("set the timer: {error}");
        }
    }

    /// Clears away the task, and stays until somebody or the disk has all the facts.
    fn leave(mut self) {
        self.endpoint = None;
        if let Err(error) = self.shared.clear() {
            eprintln!("take away the process that holds the task's pid namespace: {}", chain(&error));
        }
        self.finish_outputs();
        let cleared = self.group.kill().and_then(|()| self.group.delete());
        if let Err(error) = cleared {
            eprintln!("clear away the task's control group: {}", chain(&error));
        }
        self.see(Seen::AllStopped);
        self.converse();
        self.ledger.finish();
        // A daemon that has all of it writes it down itself, and its write would wait behind ours.
        if !self.connections.somebody_has_all(&self.ledger) {
            self.ledger.sync();
        }
        let until = moment() + FAREWELL;
        let mut events = Vec::new();
        loop {
            self.ledger.write();
            self.converse();
            let safe = self.ledger.is_written() || self.connections.somebody_has_all(&self.ledger);
            let heard = self.connections.everybody_has_all(&self.ledger) && self.sessions.are_over();
            let heard = heard || moment() >= until;
            if safe && heard {
                return;
            }
            if self.poll.wait(&mut events, Some(AGAIN)).is_err() {
                return;
            }
            for event in &events {
                self.take(*event);
            }
        }
    }
}

/// A container's place, as a source carries it.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
