//! Commands that people run in containers: each a process of its own beside the shim.
//!
//! A session is a copy of the shim that does nothing but stand between one person and one command ([`relay`]). So a
//! person who reads slowly, or a command that floods, costs neither the shim nor its other containers anything. A
//! session ends with its command, with its person, or with the shim, whichever ends first, and the command with it.

mod ends;
mod hangup;
mod relay;

use std::{io::Write, os::fd::AsFd};

use nix::errno::Errno;

use super::{
    bundle::{self, PrepareError},
    connections::Call,
    container::Container,
    source::Source,
    spec::ContainerSpec,
};
use crate::{
    kernel::{
        event::{Interest, Poll},
        process::{Child, CloneRequest, clone},
    },
    model::{exec::Frame, report::chain},
};

/// Sessions at a time.
const MOST: usize = 64;

/// What a shell ends with when it finds a program and cannot run it.
const CANNOT: u8 = 126;

/// Why a command did not begin, before it was anybody's.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("{MOST} commands run in this task already: end one of them first")]
    TooMany,
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("make a process for the session")]
    Make(#[source] Errno),
}

/// The sessions that run.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Vec<(u32, Child)>,
    /// The number that the next one gets.
    next: u32,
}

impl Sessions {
    /// Begins a command in a container that runs.
    pub(super) fn begin(&mut self, mut call: Call, spec: &ContainerSpec, container: &Container, poll: &Poll) {
        if let Err(error) = self.try_begin(&mut call, spec, container, poll) {
            say(&call, CANNOT, &chain(&error));
        }
    }

    fn try_begin(
        &mut self,
        call: &mut Call,
        spec: &ContainerSpec,
        container: &Container,
        poll: &Poll,
    ) -> Result<(), SessionError> {
        if self.open.len() >= MOST {
            return Err(SessionError::TooMany);
        }
        let command = bundle::command(spec, &call.request, call.user.as_ref())?;
        let made = clone(&CloneRequest::default(), || relay::main(call, &command, container.running()));
        let child = made.map_err(SessionError::Make)?;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        if let Err(error) = poll.add(&child.pidfd, Source::Session(number).token(), Interest::READ) {
            // It runs all the same; only its end is noticed late.
            eprintln!("wait for a session: {error}");
        }
        self.open.push((number, child));
        Ok(())
    }

    /// Takes leave of a session that has ended.
    pub(super) fn look_at(&mut self, number: u32, poll: &Poll) {
        self.open.retain(|(known, child)| {
            let is_over = *known == number && !matches!(child.pidfd.try_wait(), Ok(None));
            if is_over {
                let _ = poll.remove(child.pidfd.as_fd());
            }
            !is_over
        });
    }

    /// Whether none runs.
    pub(super) fn are_over(&self) -> bool {
        self.open.is_empty()
    }
}

/// Says that there is no such container, or that it does not run.
pub(super) fn refuse(call: &Call) {
    say(call, CANNOT, &format!("container {} is not running", call.container));
}

fn say(call: &Call, code: u8, message: &str) {
    let mut wire = Vec::new();
    Frame::Failed { code, message: message.to_owned() }.put(&mut wire);
    // Who has gone away needs no answer.
    let _ = (&call.stream).write_all(&wire);
}
