//! What the reconciler needs of the agent: four orders and a question.
//!
//! A trait of its own, so that the loops can be tested with a host that obeys orders and needs no kernel.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    agent::{Agent, StartTask},
    model::{ids::TaskId, task::StopRequest},
};

use super::report::chain;

/// The longest pause before a sweep that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who does what was decided. Every order returns at once or is awaited by nobody else; what comes of it are facts.
pub trait Doer: Clone + Send + Sync + 'static {
    /// Starts a task.
    fn start(&self, task: StartTask);

    /// Stops a task.
    fn stop(&self, task: &TaskId, request: &StopRequest);

    /// Takes a task off the host, or says why not.
    fn sweep(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>>;

    /// Deletes what is kept of a task that is forgotten.
    fn forget(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>>;

    /// The bytes that the logs of each of these tasks take.
    fn log_bytes(&self, tasks: Vec<TaskId>) -> BoxFuture<'static, Vec<u64>>;
}

impl Doer for Agent {
    fn start(&self, task: StartTask) {
        Agent::start(self, task);
    }

    fn stop(&self, task: &TaskId, request: &StopRequest) {
        Agent::stop(self, task, request);
    }

    fn sweep(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>> {
        let agent = self.clone();
        Box::pin(async move { Agent::sweep(&agent, &task).await.map_err(|error| chain(&error)) })
    }

    fn forget(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>> {
        let agent = self.clone();
        Box::pin(async move { Agent::forget(&agent, &task).await.map_err(|error| chain(&error)) })
    }

    fn log_bytes(&self, tasks: Vec<TaskId>) -> BoxFuture<'static, Vec<u64>> {
        let agent = self.clone();
        Box::pin(async move { Agent::log_bytes(&agent, tasks).await })
    }
}

/// Sweeps a task in the background, as often as it takes: what cannot be removed now may be removable later.
pub fn sweep_until_done(doer: &impl Doer, task: TaskId) {
    let doer = doer.clone();
    tokio::spawn(async move {
        let mut pause = Duration::from_millis(500);
        while let Err(why) = doer.sweep(task.clone()).await {
            tracing::warn!(task = %task, error = %why, again_after = ?pause, "task not swept");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
}
