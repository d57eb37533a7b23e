//! A store with a long history: `fill DATABASE COUNT FAMILY`, tasks that ended a moment ago.

use std::convert::Infallible;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hythe::model::ids::{ClusterName, Family, TaskId};
use hythe::model::task::{
    ContainerStatus, DesiredStatus, Exit, NewTask, StopCode, StopRequest, Task, TaskStatus,
};
use hythe::model::time::Timestamp;
use hythe::store::Store;

use crate::Failure;

/// How many are written at a time.
const AT_ONCE: u32 = 1000;

/// Writes the tasks.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let [database, count, family] = words else { return Err("fill DATABASE COUNT FAMILY".into()) };
    let (count, family): (u32, _) = (count.parse()?, Family::parse(family)?);
    let store = Store::open(Path::new(database))?.store;
    let definition = store.snapshot().latest_active(&family).cloned().ok_or("no such family")?;
    let cluster = ClusterName::parse("default")?;
    let millis = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for first in (0..count).step_by(AT_ONCE as usize) {
        let (definition, cluster) = (definition.clone(), cluster.clone());
        let written = store.write(move |draft| {
            for number in first..(first + AT_ONCE).min(count) {
                let mut random = [7_u8; 16];
                random[..4].copy_from_slice(&number.to_be_bytes());
                let mut task = Task::from(NewTask::of(
                    TaskId::from_random(random),
                    cluster.clone(),
                    &definition,
                    Timestamp(millis),
                ));
                end(&mut task, millis);
                draft.put_task(task);
            }
            Ok::<_, Infallible>(())
        });
        runtime.block_on(written)?;
    }
    Ok(())
}

fn end(task: &mut Task, millis: u64) {
    task.desired_status = DesiredStatus::Stopped;
    task.known_status = TaskStatus::Stopped;
    let reason = "Essential container in task exited".to_owned();
    task.stop = Some(StopRequest { code: StopCode::EssentialContainerExited, reason });
    for container in &mut task.containers {
        container.known_status = ContainerStatus::Stopped;
        container.exit = Some(Exit::Code(0));
    }
    task.times.started_at = Some(Timestamp(millis));
    task.times.stopped_at = Some(Timestamp(millis));
}
