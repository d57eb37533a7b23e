//! Output on its way: read from the pipes, given to whoever takes it, held back when a container has to wait.

use std::{io, time::Duration};

use nix::fcntl::{FcntlArg, fcntl};

use super::{Supervisor, number};
use crate::{
    kernel::{
        cgroup::NotEnforced,
        event::{Interest, Token},
    },
    model::task::LastLine,
    shim::{
        clock::{moment, nanos},
        container::read_output,
        logs::{
            Stream,
            output::{Output, Turn},
        },
        source::Source,
    },
};

/// Bytes of output that are read at once: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The same when some container has filled its pipe.
const LARGE_CHUNK: usize = 256 << 10;

/// What the pipe of such a container holds from then on. The kernel lends the pages only while something is in them.
const ROOM: i32 = 1 << 20;

/// How long whoever takes output may take the last of it, once every container has ended.
const LAST_OF_IT: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Reads a piece of a container's output. Gives whether there may be more at once.
    pub(super) fn read(&mut self, at: usize, stream: Stream) -> bool {
        let Some(container) = &mut self.containers[at] else { return false };
        let pipe = match stream {
            Stream::Stdout => &mut container.stdout,
            Stream::Stderr => &mut container.stderr,
            Stream::Note => return false,
        };
        let Some(fd) = pipe else { return false };
        if self.chunk.is_empty() {
            self.chunk.resize(CHUNK, 0);
        }
        match read_output(fd, &mut self.chunk) {
            Ok(0) => {}
            Ok(count) => {
                // What waits in a pipe for somebody slow would be lost with the end of the container. A terminal, or a
                // user with too many pipes: then it stays as it is.
                let is_kept = self.outputs[at].as_ref().is_some_and(Output::is_kept);
                if count == CHUNK && is_kept && fcntl(&*fd, FcntlArg::F_SETPIPE_SZ(ROOM)).is_ok() {
                    self.chunk.resize(LARGE_CHUNK, 0);
                }
                if let Some(output) = &mut self.outputs[at] {
                    let turn = Turn { poll: &self.poll, token: taker(at), now: moment() };
                    output.take(stream, &self.chunk[..count], nanos(), &mut self.batch, turn);
                    self.tend(at);
                }
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => eprintln!("read {stream} of container {}: {error}", self.spec.containers[at].name),
        }
        if self.reads[at] {
            let _ = self.poll.remove(&*fd);
        }
        *pipe = None;
        false
    }

    /// Whoever takes a container's output has room, or is gone.
    pub(super) fn look_at_taker(&mut self, at: usize) {
        if let Some(Some(output)) = self.outputs.get_mut(at) {
            output.look(moment());
            self.tend(at);
        }
    }

    /// Tries again where it is time to.
    pub(super) fn tend_outputs(&mut self) {
        let now = moment();
        for at in 0..self.outputs.len() {
            if self.outputs[at].as_ref().and_then(Output::again).is_some_and(|again| again <= now) {
                self.tend(at);
            }
        }
    }

    /// Sends what can be sent, and has the container wait if it has to.
    fn tend(&mut self, at: usize) {
        let Some(output) = &mut self.outputs[at] else { return };
        output.tend(Turn { poll: &self.poll, token: taker(at), now: moment() }, &mut self.batch);
        if let Some(reason) = output.trouble() {
            self.say_lost(at, reason);
        }
        self.read_or_hold(at);
    }

    fn say_lost(&mut self, at: usize, reason: String) {
        self.say_not_enforced(vec![NotEnforced::lacking("output", reason)], Some(at));
    }

    /// Waits for a container's output, unless the container has to wait.
    pub(super) fn read_or_hold(&mut self, at: usize) {
        let Some(container) = &self.containers[at] else { return };
        let wanted = !self.outputs[at].as_ref().is_some_and(Output::is_full);
        if wanted == self.reads[at] {
            return;
        }
        self.reads[at] = wanted;
        let place = number(at);
        let pipes = [(&container.stdout, Source::Stdout(place)), (&container.stderr, Source::Stderr(place))];
        for (pipe, source) in pipes {
            let Some(fd) = pipe else { continue };
            let done =
                if wanted { self.poll.add(fd, source.token(), Interest::READ) } else { self.poll.remove(fd) };
            if let Err(error) = done {
                eprintln!("wait for the output of container {}: {error}", self.spec.containers[at].name);
            }
        }
    }

    /// What a container that has ended said last.
    pub(super) fn end_output(&mut self, at: usize) -> Vec<LastLine> {
        let Some(output) = &mut self.outputs[at] else { return Vec::new() };
        let turn = Turn { poll: &self.poll, token: taker(at), now: moment() };
        let last = output.end(nanos(), &mut self.batch, turn);
        self.tend(at);
        last
    }

    /// Gives whoever takes output a moment for the last of it, and says what is lost.
    pub(super) fn finish_outputs(&mut self) {
        let until = moment() + LAST_OF_IT;
        let mut events = Vec::new();
        while self.outputs.iter().flatten().any(Output::is_under_way) && moment() < until {
            self.set_timer();
            let limit = until.since(moment());
            if self.poll.wait(&mut events, Some(limit)).is_err() {
                break;
            }
            for event in &events {
                self.take(*event);
            }
            self.tend_outputs();
            self.converse();
        }
        for at in 0..self.outputs.len() {
            if let Some(reason) = self.outputs[at].as_mut().and_then(Output::give_up) {
                self.say_lost(at, reason);
            }
        }
    }
}

/// What the loop is woken with when whoever takes a container's output has room.
fn taker(at: usize) -> Token {
    Source::Taker(number(at)).token()
}
