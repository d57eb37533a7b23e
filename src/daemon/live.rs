//! Conversations: what the API needs of the running daemon beyond state.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::stream;
use serde_json::Value;
use tokio::{net::UnixStream, sync::mpsc};

use super::{config::Config, doctor::Doctor};
use crate::{
    agent::{self, Agent},
    api::live::{
        Answer, DoctorReport, Explained, Foreseen, ImageFinding, ImageSummary, Lines, Live, LiveError,
        LiveErrorKind, LoadRequest, LogLine, LogQuery, LogSource, PullEvent, PullRequest, RemovedImages,
        SaveRequest, Subject,
    },
    model::{
        exec::ExecRequest,
        ids::TaskId,
        service::{Service, ServiceStatus},
        task::TaskStatus,
    },
    store::{ServiceKey, Snapshot, Store},
};

mod ahead;
mod exec;
mod images;

/// Lines that wait for a reader before their source does.
const WAITING: usize = 256;

/// The daemon's side of every conversation.
pub struct Conversations {
    store: Store,
    agent: Agent,
    config: Arc<Config>,
    doctor: Doctor,
}

impl Conversations {
    /// Conversations about this store and this host.
    #[must_use]
    pub fn new(store: Store, agent: Agent, config: Arc<Config>, doctor: Doctor) -> Self {
        Self { store, agent, config, doctor }
    }
}

impl Live for Conversations {
    fn logs(&self, query: LogQuery) -> Answer<'_, Lines<LogLine>> {
        Box::pin(async move {
            let snapshot = self.store.snapshot();
            match &query.source {
                LogSource::Task(task) if snapshot.task(task).is_none() => {
                    return Err(not_found(format!("there is no task {task}")));
                }
                LogSource::Service(cluster, service)
                    if snapshot.service(&(cluster.clone(), service.clone())).is_none() =>
                {
                    return Err(not_found(format!("there is no service {service} in cluster {cluster}")));
                }
                LogSource::Task(_) | LogSource::Service(..) => {}
            }
            let source = if query.follow {
                self.follow(query)
            } else {
                self.agent.logs(agent_query(followed(&snapshot, &query.source), &query, false))
            };
            Ok(lines(source, |line| Ok(log_line(line))))
        })
    }

    fn exec(&self, task: TaskId, request: ExecRequest) -> Answer<'_, UnixStream> {
        Box::pin(async move { exec::begin(&self.store.snapshot(), &self.agent, &task, request).await })
    }

    fn images(&self) -> Answer<'_, Vec<ImageSummary>> {
        Box::pin(images::list(&self.agent))
    }

    fn inspect_image(&self, reference: String) -> Answer<'_, Value> {
        Box::pin(images::inspect(&self.agent, reference))
    }

    fn remove_image(&self, reference: String, force: bool) -> Answer<'_, RemovedImages> {
        Box::pin(images::remove(&self.agent, reference, force))
    }

    fn pull_image(&self, request: PullRequest) -> Answer<'_, Lines<PullEvent>> {
        Box::pin(async move { Ok(images::pull(&self.agent, request)) })
    }

    fn prune_images(&self, all: bool) -> Answer<'_, RemovedImages> {
        Box::pin(images::prune(&self.agent, all))
    }

    fn load_images(&self, request: LoadRequest) -> Answer<'_, Lines<PullEvent>> {
        Box::pin(async move { Ok(images::load(&self.agent, request)) })
    }

    fn save_image(&self, request: SaveRequest) -> Answer<'_, ()> {
        Box::pin(images::save(&self.agent, request))
    }

    fn verify_images(&self, reference: Option<String>) -> Answer<'_, Lines<ImageFinding>> {
        Box::pin(images::verify(&self.agent, reference))
    }

    fn foresee(&self, service: Box<Service>) -> Answer<'_, Vec<Foreseen>> {
        Box::pin(async move { Ok(ahead::foresee(&self.store.snapshot(), &self.config, &service)) })
    }

    fn explain(&self, subject: Subject) -> Answer<'_, Vec<Explained>> {
        Box::pin(async move { ahead::explain(&self.store.snapshot(), &self.config, &subject) })
    }

    fn doctor(&self) -> Answer<'_, DoctorReport> {
        Box::pin(async move {
            let (doctor, config) = (self.doctor.clone(), Arc::clone(&self.config));
            let (agent, snapshot) = (self.agent.clone(), self.store.snapshot());
            let looking = tokio::task::spawn_blocking(move || doctor.report(&config, &agent, &snapshot));
            looking.await.map_err(|_| LiveError::new(LiveErrorKind::Failed, "the examination was broken off"))
        })
    }
}

impl Conversations {
    /// The lines of a task, or of a service's tasks and those that start later. Ends with them or with the reader.
    ///
    /// A task is listened to from when the agent has taken it up: before that there is nothing to hear, and the
    /// agent would take it for one that is over.
    fn follow(&self, query: LogQuery) -> mpsc::Receiver<agent::LogLine> {
        let (out, into) = mpsc::channel(WAITING);
        let (store, agent) = (self.store.clone(), self.agent.clone());
        tokio::spawn(async move {
            let mut watch = store.watch();
            let mut heard = BTreeSet::new();
            loop {
                let snapshot = store.snapshot();
                let taken_up = followed(&snapshot, &query.source).into_iter().filter(|task| {
                    snapshot.task(task).is_some_and(|task| task.known_status >= TaskStatus::Activating)
                });
                for task in taken_up {
                    if heard.insert(task.clone()) {
                        let lines = agent.logs(agent_query(vec![task], &query, true));
                        tokio::spawn(pass_on(lines, out.clone()));
                    }
                }
                if hears_no_more(&snapshot, &query.source, &heard) {
                    return;
                }
                tokio::select! {
                    _ = watch.changed() => {}
                    () = out.closed() => return,
                }
            }
        });
        into
    }
}

/// The tasks that are meant.
fn followed(snapshot: &Snapshot, source: &LogSource) -> Vec<TaskId> {
    match source {
        LogSource::Task(task) => vec![task.clone()],
        LogSource::Service(cluster, service) => tasks_of(snapshot, &(cluster.clone(), service.clone())),
    }
}

/// Whether no further task will be listened to.
fn hears_no_more(snapshot: &Snapshot, source: &LogSource, heard: &BTreeSet<TaskId>) -> bool {
    match source {
        LogSource::Task(task) => heard.contains(task) || snapshot.task(task).is_none(),
        LogSource::Service(cluster, service) => snapshot
            .service(&(cluster.clone(), service.clone()))
            .is_none_or(|service| service.status == ServiceStatus::Inactive),
    }
}

async fn pass_on(mut lines: mpsc::Receiver<agent::LogLine>, out: mpsc::Sender<agent::LogLine>) {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = out.closed() => None,
        };
        let Some(line) = line else { return };
        if out.send(line).await.is_err() {
            return;
        }
    }
}

fn tasks_of(snapshot: &Snapshot, key: &ServiceKey) -> Vec<TaskId> {
    let mut tasks: Vec<_> = snapshot.tasks_of_service(key).collect();
    tasks.sort_by_key(|task| (task.created_at, task.id.clone()));
    tasks.into_iter().map(|task| task.id.clone()).collect()
}

fn agent_query(tasks: Vec<TaskId>, query: &LogQuery, follow: bool) -> agent::LogQuery {
    agent::LogQuery {
        tasks,
        container: query.container.clone(),
        follow,
        since: query.since,
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

fn not_found(message: String) -> LiveError {
    LiveError::new(LiveErrorKind::NotFound, message)
}

/// A channel as the lines of a conversation.
fn lines<F: Send + 'static, T: Send + 'static>(
    source: mpsc::Receiver<F>,
    convert: impl Fn(F) -> Result<T, LiveError> + Clone + Send + 'static,
) -> Lines<T> {
    Box::pin(stream::unfold(source, move |mut source| {
        let convert = convert.clone();
        async move { source.recv().await.map(|line| (convert(line), source)) }
    }))
}
