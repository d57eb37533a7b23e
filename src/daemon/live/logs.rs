//! The output of containers: of a task, of a service's tasks as they come and go, of a group.
//!
//! What a log driver has taken to somewhere else cannot be read here; whoever asks is told where it went.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::{WAITING, lines, not_found};
use crate::{
    agent::{self, Agent, LogOf},
    api::live::{Lines, LiveError, LiveErrorKind, LogLine, LogQuery, LogSource},
    daemon::clock,
    model::{
        ids::{ContainerName, TaskId},
        service::ServiceStatus,
        task::{Task, TaskStatus},
    },
    store::{Snapshot, Store},
};

/// Lines that somebody asks for.
pub(super) fn read(store: &Store, agent: &Agent, query: LogQuery) -> Result<Lines<LogLine>, LiveError> {
    let snapshot = store.snapshot();
    let mut meant = Meant::of(&snapshot, &query)?;
    let is_elsewhere = meant.kept.is_empty() && !meant.taken.is_empty();
    // Whoever follows is told too, and has nothing to wait for.
    if is_elsewhere && !query.follow {
        let sentences: Vec<String> = meant.taken.into_iter().map(|line| line.line).collect();
        return Err(LiveError::new(LiveErrorKind::Unsupported, sentences.join("; ")));
    }
    let (out, into) = mpsc::channel(WAITING);
    let (store, agent, taken) = (store.clone(), agent.clone(), std::mem::take(&mut meant.taken));
    tokio::spawn(async move {
        for line in taken {
            if out.send(line).await.is_err() {
                return;
            }
        }
        if query.follow && !is_elsewhere {
            follow(&store, &agent, &query, &out).await;
        } else {
            pass_on(agent.logs(agent_query(meant.kept, &query)), &out).await;
        }
    });
    Ok(lines(into, Ok))
}

/// The lines of what is there, and of what starts later. Ends with its tasks or with the reader.
///
/// A task is listened to from when the agent has taken it up: before that there is nothing to hear, and the agent
/// would take it for one that is over.
async fn follow(store: &Store, agent: &Agent, query: &LogQuery, out: &mpsc::Sender<LogLine>) {
    let mut watch = store.watch();
    let mut heard = BTreeSet::new();
    loop {
        let snapshot = store.snapshot();
        let mut kept = Meant::of(&snapshot, query).map(|meant| meant.kept).unwrap_or_default();
        kept.retain(|output| is_taken_up(&snapshot, &output.task) && heard.insert(output.clone()));
        if !kept.is_empty() {
            // Together, so that what they have said already comes in the order of time.
            let lines = agent.logs(agent_query(kept, query));
            let out = out.clone();
            tokio::spawn(async move { pass_on(lines, &out).await });
        }
        if hears_no_more(&snapshot, &query.source, &heard) {
            return;
        }
        tokio::select! {
            _ = watch.changed() => {}
            () = out.closed() => return,
        }
    }
}

fn is_taken_up(snapshot: &Snapshot, task: &TaskId) -> bool {
    snapshot.task(task).is_some_and(|task| task.known_status >= TaskStatus::Activating)
}

/// Whether nothing further will be listened to.
fn hears_no_more(snapshot: &Snapshot, source: &LogSource, heard: &BTreeSet<LogOf>) -> bool {
    let is_heard = |task: &TaskId| heard.iter().any(|output| output.task == *task);
    match source {
        LogSource::Task(task) => is_heard(task) || snapshot.task(task).is_none(),
        LogSource::Service(cluster, service) => snapshot
            .service(&(cluster.clone(), service.clone()))
            .is_none_or(|service| service.status == ServiceStatus::Inactive),
        // A stream is one container's; a group has no end.
        LogSource::Group(_, stream) => stream.is_some() && !heard.is_empty(),
    }
}

async fn pass_on(mut lines: mpsc::Receiver<agent::LogLine>, out: &mpsc::Sender<LogLine>) {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = out.closed() => None,
        };
        let Some(line) = line else { return };
        if out.send(log_line(line)).await.is_err() {
            return;
        }
    }
}

/// The outputs that are meant.
#[derive(Default)]
struct Meant {
    /// Those that are kept here.
    kept: Vec<LogOf>,
    /// A word for each other one.
    taken: Vec<LogLine>,
}

impl Meant {
    fn of(snapshot: &Snapshot, query: &LogQuery) -> Result<Self, LiveError> {
        let mut meant = Self::default();
        let wanted = query.container.as_ref();
        match &query.source {
            LogSource::Task(id) => {
                let task = snapshot.task(id).ok_or_else(|| not_found(format!("there is no task {id}")))?;
                meant.add(snapshot, task, wanted);
            }
            LogSource::Service(cluster, service) => {
                let key = (cluster.clone(), service.clone());
                if snapshot.service(&key).is_none() {
                    return Err(not_found(format!("there is no service {service} in cluster {cluster}")));
                }
                let mut tasks: Vec<_> = snapshot.tasks_of_service(&key).collect();
                tasks.sort_by_key(|task| (task.created_at, task.id.clone()));
                for task in tasks {
                    meant.add(snapshot, task, wanted);
                }
            }
            LogSource::Group(group, stream) => {
                let mut streams = snapshot.log_streams();
                streams.retain(|known| known.name.group == *group);
                if streams.is_empty() {
                    let why = "`hythe logs --groups` lists those that tasks have written to";
                    return Err(not_found(format!("there is no log group {group}: {why}")));
                }
                streams.retain(|known| stream.as_ref().is_none_or(|only| *only == known.name.stream));
                if let Some(stream) = stream.as_ref().filter(|_| streams.is_empty()) {
                    return Err(not_found(format!("log group {group} has no stream {stream}")));
                }
                streams.retain(|known| wanted.is_none_or(|only| only == known.container));
                let outputs = streams.into_iter();
                meant.kept = outputs.map(|one| LogOf::new(&one.task.id, one.container)).collect();
            }
        }
        Ok(meant)
    }

    fn add(&mut self, snapshot: &Snapshot, task: &Task, wanted: Option<&ContainerName>) {
        let is_wanted = |name: &ContainerName| wanted.is_none_or(|only| only == name);
        for (name, log) in snapshot.logs_of(task).filter(|(name, _)| is_wanted(name)) {
            match log.and_then(|log| log.taken_by()) {
                None => self.kept.push(LogOf::new(&task.id, name)),
                Some(driver) => self.taken.push(LogLine {
                    task: task.id.clone(),
                    container: name.clone(),
                    stream: "note".to_owned(),
                    time: clock::wall(),
                    line: whither(task, name, driver),
                }),
            }
        }
    }
}

/// Where a driver has taken the output of a container.
fn whither(task: &Task, container: &ContainerName, driver: &str) -> String {
    let name = format!("the output of container {container} of task {}", task.id.short());
    match driver {
        "none" => format!("{name} is thrown away: its log driver is none"),
        "journald" => {
            format!("{name} is in the host's journal: journalctl CONTAINER_ID_FULL={}-{container}", task.id)
        }
        driver => format!("{name} is not kept here: its log driver {driver} takes it away"),
    }
}

fn agent_query(outputs: Vec<LogOf>, query: &LogQuery) -> agent::LogQuery {
    agent::LogQuery {
        outputs,
        follow: query.follow,
        since: query.since,
        until: query.until,
        tail: query.tail,
    }
}

fn log_line(line: agent::LogLine) -> LogLine {
    LogLine {
        task: line.task,
        container: line.container,
        stream: line.stream.to_owned(),
        time: line.at,
        line: line.line,
    }
}
