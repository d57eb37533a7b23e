//! Conversations: what the API needs of the running daemon beyond state.

use std::{convert::Infallible, sync::Arc};

use futures_util::stream;
use serde_json::Value;
use tokio::{net::UnixStream, sync::mpsc};

use super::{config::Config, doctor::Doctor};
use crate::{
    agent::Agent,
    api::live::{
        Answer, DoctorReport, Explained, Foreseen, ImageFinding, ImageSummary, Lines, Live, LiveError,
        LiveErrorKind, LoadRequest, LogLine, LogQuery, PullEvent, PullRequest, RemovedImages, SaveRequest,
        Subject,
    },
    model::{exec::ExecRequest, ids::TaskId, service::Service},
    store::Store,
};

mod ahead;
mod exec;
mod images;
mod logs;
mod users;

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
        Box::pin(async move { logs::read(&self.store, &self.agent, query) })
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
        Box::pin(async move {
            let mut steps = Vec::new();
            let rehearsed = self.store.rehearse(|draft| {
                steps = ahead::foresee(draft, &self.config, &service);
                Ok::<(), Infallible>(())
            });
            rehearsed.map(|_| steps).map_err(|never| match never {})
        })
    }

    fn explain(&self, subject: Subject) -> Answer<'_, Vec<Explained>> {
        Box::pin(async move {
            let snapshot = self.store.snapshot();
            let mut list = ahead::explain(&snapshot, &self.config, &subject)?;
            if let Subject::Task(id) = &subject
                && let Some(task) = snapshot.task(id)
            {
                list.extend(users::explain(&self.agent, &snapshot, task).await);
            }
            Ok(list)
        })
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
