//! What comes to the loop: ends of processes, output, orders, signals.

use oci_spec::runtime::LinuxMemory;

use super::Supervisor;
use crate::{
    kernel::{event::Event, process::Signal},
    model::{
        fact::Seen,
        ids::ContainerName,
        task::{Exit, StopCode, StopRequest},
    },
    shim::{
        clock::moment,
        connections::{Call, Heard},
        container::Container,
        logs::Stream,
        metadata::Endpoint,
        protocol::Order,
        session,
        source::Source,
    },
};

/// Reads after which a pipe of a container that has ended is given up; it holds less than that.
const LAST_READS: usize = 32;

impl Supervisor {
    /// Takes one event.
    pub(super) fn take(&mut self, event: Event) {
        match Source::of(event.token) {
            Some(Source::Timer) => {
                // The plan is asked after every turn; the timer has only to be silent again.
                let _ = self.timer.clear();
            }
            Some(Source::Signals) => self.heed_signals(),
            Some(Source::Listener) => self.connections.accept(&self.poll),
            Some(Source::Container(at)) => self.look_at(at as usize),
            Some(Source::Probe(at)) => self.look_at_probe(at as usize),
            Some(Source::Said(at)) => {
                let container = self.containers.get_mut(at as usize).and_then(Option::as_mut);
                container.into_iter().for_each(Container::hear_probe);
            }
            Some(Source::Stdout(at)) => {
                self.read(at as usize, Stream::Stdout);
            }
            Some(Source::Stderr(at)) => {
                self.read(at as usize, Stream::Stderr);
            }
            Some(Source::Taker(at)) => self.look_at_taker(at as usize),
            Some(Source::Session(number)) => self.sessions.look_at(number, &self.poll),
            // Answered at the end of the turn, with what the turn has shown.
            Some(Source::Door | Source::Visitor(_)) => {
                self.endpoint.iter_mut().for_each(Endpoint::call);
            }
            // Every connection is heard and told after each turn.
            Some(Source::Connection(_)) | None => {}
        }
    }

    /// SIGTERM comes when the host goes down.
    pub(super) fn heed_signals(&mut self) {
        while let Ok(Some((signal, _))) = self.signals.read() {
            if signal == Signal::TERM {
                let reason = "The host is shutting down".to_owned();
                self.stop(StopRequest { code: StopCode::TerminationNotice, reason });
            }
        }
    }

    /// Hears what daemons order and tells them what they have not heard. Gives whether anything was ordered.
    pub(super) fn converse(&mut self) -> bool {
        let all = self.connections.hear(&self.ledger, &self.poll);
        let is_news = !all.is_empty();
        for heard in all {
            match heard {
                Heard::Order(Order::Stop { request }) => self.stop(request),
                Heard::Order(Order::Signal { container, signal }) => {
                    let running = self.place(&container).and_then(|at| self.containers[at].as_ref());
                    if let (Some(container), Some(signal)) = (running, Signal::from_raw(signal)) {
                        container.signal(signal);
                    }
                }
                Heard::Order(Order::Credentials { credentials }) => {
                    self.endpoint.iter_mut().for_each(|endpoint| endpoint.keep((*credentials).clone()));
                }
                Heard::Call(call) => self.call(call),
                Heard::Order(Order::Hello { .. } | Order::Exec { .. } | Order::Unknown) => {}
            }
        }
        self.connections.tell(&self.ledger, &self.poll);
        is_news
    }

    /// Begins a command that somebody wants run.
    fn call(&mut self, call: Call) {
        let at = self.place(&call.container);
        let running = at.and_then(|at| Some((&self.spec.containers[at], self.containers[at].as_ref()?)));
        match running {
            Some((spec, container)) => self.sessions.begin(call, spec, container, &self.poll),
            None => session::refuse(&call),
        }
    }

    /// Where a container is in the spec.
    fn place(&self, name: &ContainerName) -> Option<usize> {
        self.spec.containers.iter().position(|spec| spec.name == *name)
    }

    /// Looks whether a container's process has ended. It is told of first, and cleared away when that is out.
    pub(super) fn look_at(&mut self, at: usize) {
        let Some(container) = &self.containers[at] else { return };
        let exit = match container.status() {
            Ok(None) => return,
            Ok(Some(exit)) => exit,
            Err(error) => {
                eprintln!("wait for container {}: {error}", self.name(at));
                Exit::Signal(Signal::KILL.as_raw())
            }
        };
        for stream in [Stream::Stdout, Stream::Stderr] {
            (0..LAST_READS).take_while(|_| self.read(at, stream)).count();
        }
        let Some(container) = self.containers[at].take() else { return };
        let limits = self.spec.resources.as_ref().and_then(|limits| limits.memory().as_ref());
        let task_limit = limits.and_then(LinuxMemory::limit).and_then(|limit| u64::try_from(limit).ok());
        let reason = container.reason(exit, &self.spec.containers[at], task_limit);
        self.ended.push((at, container));
        let restarting = self.view.exited(at, exit, moment());
        let last_lines = self.end_output(at);
        if !restarting && !last_lines.is_empty() {
            self.see(Seen::LastLines { container: self.name(at), lines: last_lines });
        }
        self.see(Seen::ContainerExited { container: self.name(at), exit, reason, restarting });
    }

    /// Clears away the containers that have ended.
    pub(super) fn clear_ended(&mut self) {
        for (at, container) in std::mem::take(&mut self.ended) {
            if let Some(trouble) = container.clear() {
                eprintln!("clear away container {}: {trouble}", self.name(at));
            }
        }
    }

    pub(super) fn look_at_probe(&mut self, at: usize) {
        let check = self.spec.containers[at].health_check.as_ref();
        let probed = self.containers[at].as_mut().and_then(|container| container.probed(check));
        if let Some(probed) = probed {
            let verdict = self.view.probed(at, probed.passed, moment());
            if let Some(endpoint) = &mut self.endpoint {
                endpoint.probed(at, probed);
            }
            self.see_health(at, verdict);
        }
    }
}
