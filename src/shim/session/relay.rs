//! One session: the command, the person, and the bytes between them.
//!
//! Each way has a buffer with an end, and what would overfill one is left where it is, so that whoever is slow slows
//! only the other. When the command ends, what it has written is passed on and then how it ended. When the person is
//! gone, the command's terminal hangs up, and whatever of its session is left a moment later is killed.

mod ready;

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};

use super::{
    CANNOT,
    ends::{CHUNK, Ends, is_passing, read_end},
    hangup::kill_session,
};
use crate::{
    kernel::{
        cgroup::Group,
        event::monotonic,
        process::{self, Signal},
        terminal::{Size, set_size},
    },
    model::{
        exec::{Frame, Frames},
        report::chain,
        task::Exit,
    },
    runtime::{Exec, ExecError, ExecOptions, Running, Stdio},
    shim::{bundle::Command, connections::Call, container::exit},
};

/// Bytes of one way that wait before its source does.
const FULL: usize = 256 << 10;

/// Reads after which the pipe of a command that has ended is given up; it holds less than that.
const LAST_READS: usize = 64;

/// How long a command may take to end after its person has gone.
const HANG_UP: Duration = Duration::from_secs(1);

/// How long a person may take to read the last of it.
const FAREWELL: Duration = Duration::from_secs(10);

/// The end of input, as a terminal takes it.
const END_OF_INPUT: u8 = 4;

/// What the copy of the shim does. Its exit code means nothing.
pub(super) fn main(call: &mut Call, command: &Command, running: &Running) -> i32 {
    if process::die_with_parent(Signal::KILL).is_err() {
        return 1;
    }
    match begin(call, command, running) {
        Ok(mut relay) => {
            relay.run();
            0
        }
        Err(error) => {
            let code = match &error {
                ExecError::Exec(failure) => u8::try_from(failure.code()).unwrap_or(CANNOT),
                ExecError::Process(_)
                | ExecError::Plan(_)
                | ExecError::NotRunning(_)
                | ExecError::Make(_)
                | ExecError::Step { .. }
                | ExecError::Cgroup(_)
                | ExecError::Delivery(_) => CANNOT,
            };
            super::say(call, code, &chain(&error));
            1
        }
    }
}

/// Runs the command and lets go of everything else that came with the copy.
fn begin<'a>(call: &'a mut Call, command: &Command, running: &'a Running) -> Result<Relay<'a>, ExecError> {
    let mut ends = Ends::default();
    let stdio = if call.request.terminal { Stdio::default() } else { ends.pipes(&call.request)? };
    let options = ExecOptions { spec: Some(&command.spec), ..ExecOptions::default() };
    let exec = running.exec(&command.process, stdio, &options)?;
    if let Some(terminal) = &exec.terminal {
        ends.terminal(terminal)?;
    }
    let mut frames = Frames::default();
    frames.push(&call.heard);
    let relay = Relay {
        stream: &call.stream,
        frames,
        exec,
        ends,
        group: running.group(),
        to_command: Vec::new(),
        is_input_over: !call.request.input,
        to_person: Vec::new(),
        until: None,
    };
    // Above all the shim's own pipes: a reader too many keeps their writers from noticing an end.
    process::close_all_but(&relay.descriptors()).map_err(ExecError::Make)?;
    Ok(relay)
}

struct Relay<'a> {
    stream: &'a UnixStream,
    frames: Frames,
    exec: Exec,
    ends: Ends,
    group: &'a Group,
    to_command: Vec<u8>,
    is_input_over: bool,
    to_person: Vec<u8>,
    /// When the command has ended: until when the person may take the rest.
    until: Option<Duration>,
}

impl Relay<'_> {
    /// What must stay open.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = vec![self.stream.as_fd(), self.exec.pidfd.as_fd()];
        let own = [&self.ends.input, &self.ends.output, &self.ends.errors, &self.exec.terminal];
        all.extend(own.into_iter().flatten().map(AsFd::as_fd));
        all
    }

    /// Goes on until the person has everything, or is gone.
    fn run(&mut self) {
        // What came right behind the request was heard with it.
        if self.take_frames().is_err() {
            return self.hang_up();
        }
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.hang_up(),
            }
        }
    }

    /// Waits and passes on what there is. Gives whether there is more to do; an error means that the person is gone.
    fn turn(&mut self) -> io::Result<bool> {
        let is_last = self.until.is_some();
        if is_last && self.to_person.is_empty() {
            return Ok(false);
        }
        let ready = self.wait()?;
        if ready.person.intersects(PollFlags::POLLIN) {
            self.listen()?;
        } else if ready.person.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !ready.input.is_empty() {
            self.feed();
        }
        if !ready.output.is_empty() {
            self.read_output();
        }
        if !ready.errors.is_empty() {
            self.read_errors();
        }
        if !ready.command.is_empty() {
            self.take_leave();
        }
        if ready.person.intersects(PollFlags::POLLOUT) {
            self.speak()?;
        }
        Ok(true)
    }

    /// Hears the person. An error means that there is nobody any more, or that it is not one of ours.
    fn listen(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.frames.push(&chunk[..count]),
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.take_frames()
    }

    /// Does what the whole frames say. An error means that the person is not one of ours.
    fn take_frames(&mut self) -> io::Result<()> {
        while let Some(frame) = self.frames.next_frame().map_err(io::Error::other)? {
            match frame {
                Frame::Input(bytes) if self.ends.input.is_some() => self.to_command.extend(bytes),
                Frame::InputEnd => {
                    self.is_input_over = true;
                    if self.exec.terminal.is_some() {
                        self.to_command.push(END_OF_INPUT);
                    }
                }
                Frame::Size { rows, columns } => {
                    if let Some(terminal) = &self.exec.terminal {
                        // A terminal that has been hung up has no size.
                        let _ = set_size(terminal.as_fd(), Size { rows, columns });
                    }
                }
                Frame::Signal(number) => self.signal(number),
                Frame::Input(_)
                | Frame::Output(_)
                | Frame::Errors(_)
                | Frame::Ended(_)
                | Frame::Failed { .. } => {}
            }
        }
        self.feed();
        Ok(())
    }

    /// Sends a signal to the command and what runs in its group.
    fn signal(&self, number: i32) {
        let Some(signal) = Signal::from_raw(number).filter(|_| self.until.is_none()) else { return };
        // It is our child and not reaped, so its number, and its group's, are still its own.
        if process::signal_group(self.exec.pid, signal).is_err() {
            let _ = self.exec.pidfd.signal(signal);
        }
    }

    /// Passes on input.
    fn feed(&mut self) {
        let Some(input) = &self.ends.input else { return self.to_command.clear() };
        while !self.to_command.is_empty() {
            match write(input, &self.to_command) {
                Ok(count) => {
                    self.to_command.drain(..count);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => {
                    // The command does not want any more.
                    self.to_command.clear();
                    self.ends.input = None;
                    return;
                }
            }
        }
        if self.is_input_over && self.exec.terminal.is_none() {
            self.ends.input = None;
        }
    }

    /// Reads a piece of output. Gives whether there may be more at once.
    fn read_output(&mut self) -> bool {
        match read_end(&mut self.ends.output) {
            Some(bytes) => Frame::Output(bytes).put(&mut self.to_person),
            None => return false,
        }
        true
    }

    /// The same for errors.
    fn read_errors(&mut self) -> bool {
        match read_end(&mut self.ends.errors) {
            Some(bytes) => Frame::Errors(bytes).put(&mut self.to_person),
            None => return false,
        }
        true
    }

    /// Passes on the last of a command that has ended, and how it ended.
    fn take_leave(&mut self) {
        let ended = match self.exec.pidfd.try_wait() {
            Ok(None) => return,
            Ok(Some(status)) => exit(status),
            Err(_) => Exit::Signal(Signal::KILL.as_raw()),
        };
        (0..LAST_READS).take_while(|_| self.read_output()).count();
        (0..LAST_READS).take_while(|_| self.read_errors()).count();
        self.ends = Ends::default();
        Frame::Ended(ended).put(&mut self.to_person);
        self.until = Some(monotonic() + FAREWELL);
    }

    fn speak(&mut self) -> io::Result<()> {
        match self.stream.write(&self.to_person) {
            Ok(count) => {
                self.to_person.drain(..count);
                Ok(())
            }
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends a command whose person is gone, and everything in its session.
    fn hang_up(&mut self) {
        if self.until.is_some() {
            return;
        }
        self.ends = Ends::default();
        let _ = process::signal_group(self.exec.pid, Signal::HUP);
        self.exec.terminal = None;
        let until = monotonic() + HANG_UP;
        while monotonic() < until {
            let left = until.saturating_sub(monotonic());
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let ended = poll(&mut [PollFd::new(self.exec.pidfd.as_fd(), PollFlags::POLLIN)], limit);
            if ended != Err(Errno::EINTR) {
                break;
            }
        }
        // Its number belongs to it until it is reaped, and so does that of its session.
        while kill_session(self.exec.pid, self.group) {}
        let _ = self.exec.pidfd.wait();
    }
}
