//! The containers of a task that see each other's processes, while one of them is made.
//!
//! Until it executes its program a container's first process is a copy of the shim: it has the host's root, the shim's
//! descriptors and every right. In a pid namespace of its own nobody sees it. Where containers share their processes, one
//! that may trace others could look into it, or take it over; and a kernel refuses nothing to who has that right among
//! the host's users. So those stand still until the program is executed.
//!
//! A shim that is killed meanwhile thaws nobody. Its containers die with it, or, where what is frozen does not die
//! (version 1), with their control group, which the daemon clears away as it does every dead shim's.

use super::{container::Container, spec::TaskSpec};
use crate::{
    kernel::cgroup::{CgroupError, Group},
    model::{ids::ContainerName, report::chain},
    runtime::may_trace,
};

/// A container could not be made because another one does not stand still.
#[derive(Debug, thiserror::Error)]
#[error(
    "stop container {moving} for a moment, as it may look into others (end it, or take SYS_PTRACE or pidMode from the \
     task definition)"
)]
pub(super) struct MovingError {
    moving: ContainerName,
    source: CgroupError,
}

/// Containers that stand still until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Still(Vec<Group>);

impl Still {
    /// Stops those that could look into the container `at` while it is made.
    ///
    /// # Errors
    /// One of them does not stop. None of them is left stopped then.
    pub(super) fn around(
        at: usize,
        task: &TaskSpec,
        containers: &[Option<Container>],
    ) -> Result<Self, MovingError> {
        let mut still = Self::default();
        // With users of their own they have no rights over a process of the host's.
        if !task.containers[at].shares.pid || task.users.is_some() {
            return Ok(still);
        }
        let sharing = task.containers.iter().zip(containers).filter(|(spec, _)| spec.shares.pid);
        let running = sharing.filter_map(|(spec, sibling)| Some((spec, sibling.as_ref()?)));
        for (spec, sibling) in running.filter(|(_, sibling)| may_trace(sibling.pid())) {
            // On the list before it stops: one that has stopped in part is let go as well.
            still.0.push(sibling.group().clone());
            let moving = |source| MovingError { moving: spec.name.clone(), source };
            sibling.group().freeze().map_err(moving)?;
        }
        Ok(still)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        for group in &self.0 {
            if let Err(error) = group.thaw() {
                eprintln!("let a container go on: {}", chain(&error));
            }
        }
    }
}
