//! What a session waits for: only what there is room for.

use std::{io, os::fd::AsFd};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{FULL, Relay};
use crate::kernel::event::monotonic;

/// What became ready.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub(super) person: PollFlags,
    pub(super) input: PollFlags,
    pub(super) output: PollFlags,
    pub(super) errors: PollFlags,
    pub(super) command: PollFlags,
}

impl Ready {
    const NOTHING: Self = {
        let none = PollFlags::empty();
        Self { person: none, input: none, output: none, errors: none, command: none }
    };
}

impl Relay<'_> {
    /// Waits for what there is room for.
    pub(super) fn wait(&self) -> io::Result<Ready> {
        let none = PollFlags::empty();
        let when = |wanted: bool, flags| if wanted { flags } else { none };
        let has_room = self.to_person.len() < FULL;
        let person = when(self.to_command.len() < FULL && self.until.is_none(), PollFlags::POLLIN)
            | when(!self.to_person.is_empty(), PollFlags::POLLOUT);
        let mut sources = vec![(self.stream.as_fd(), person)];
        let has_input = !self.to_command.is_empty();
        let ends = [
            (self.ends.input.as_ref(), has_input, PollFlags::POLLOUT),
            (self.ends.output.as_ref(), has_room, PollFlags::POLLIN),
            (self.ends.errors.as_ref(), has_room, PollFlags::POLLIN),
            (None, false, none),
        ];
        let mut places = [None; 4];
        for (place, (end, wanted, flags)) in places.iter_mut().zip(ends) {
            if let Some(end) = end.filter(|_| wanted) {
                *place = Some(sources.len());
                sources.push((end.as_fd(), flags));
            }
        }
        if self.until.is_none() {
            places[3] = Some(sources.len());
            sources.push((self.exec.pidfd.as_fd(), PollFlags::POLLIN));
        }
        let mut fds: Vec<PollFd<'_>> = sources.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
        let limit = self.until.map(|until| until.saturating_sub(monotonic()));
        let limit =
            limit.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
        match poll(&mut fds, limit) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::NOTHING),
            Err(errno) => return Err(errno.into()),
        }
        let seen = |place: Option<usize>| place.and_then(|at| fds[at].revents()).unwrap_or(none);
        let [input, output, errors, command] = places.map(seen);
        Ok(Ready { person: seen(Some(0)), input, output, errors, command })
    }
}
