//! Where the output of containers with the driver `awslogs` is: by group and stream, as in the cloud.
//!
//! A stream is there as long as its task is remembered; nothing of it is kept besides.

use std::sync::Arc;

use super::Snapshot;
use crate::model::{
    ids::ContainerName,
    task::Task,
    task_definition::{LogConfiguration, LogStream},
};

/// One stream of a group.
#[derive(Clone, Debug)]
pub struct StreamOf<'a> {
    /// What it is called.
    pub name: LogStream,
    /// The task.
    pub task: &'a Arc<Task>,
    /// The container of the task.
    pub container: &'a ContainerName,
}

impl Snapshot {
    /// What the definition of a task says about the output of each container; none where it says nothing.
    pub fn logs_of(&self, task: &Task) -> impl Iterator<Item = (&ContainerName, Option<&LogConfiguration>)> {
        self.task_definition(&task.task_definition).into_iter().flat_map(|definition| definition.logs())
    }

    /// The streams of all groups, in the order in which their tasks were made.
    #[must_use]
    pub fn log_streams(&self) -> Vec<StreamOf<'_>> {
        let mut tasks: Vec<&Arc<Task>> = self.tasks().collect();
        tasks.sort_by_key(|task| (task.created_at, &task.id));
        let streams = tasks.into_iter().flat_map(|task| {
            self.logs_of(task).filter_map(move |(container, log)| {
                Some(StreamOf { name: log?.stream(&task.id, container)?, task, container })
            })
        });
        streams.collect()
    }
}
