//! The API over a real unix socket, with a store in memory and conversations that were written down beforehand.

#![allow(clippy::unwrap_used)]

mod beside;
mod botocore;
mod clusters;
mod door;
mod instances;
mod placement;
mod rudeness;
mod services;
mod settings;
mod task_definitions;
mod tasks;

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use hythe::{
    api::{
        Access, Api, Host, Listener, Source,
        client::{Client, ClientError},
        live::{
            Answer, DoctorReport, Explained, Foreseen, ImageFinding, ImageSummary, LayerState, Lines, Live,
            LiveError, LiveErrorKind, LoadRequest, LogLine, LogQuery, LogSource, PullEvent, PullRequest,
            RemovedImages, SaveRequest, Subject,
        },
        serve,
    },
    model::{
        arn::Owner,
        exec::ExecRequest,
        ids::{ContainerName, TaskId},
        resources::{Capacity, Resources},
        service::Service,
        task::Task,
        time::Timestamp,
    },
    store::Store,
};
use serde_json::{Value, json};
use tokio::{net::UnixStream, sync::oneshot};

/// A clock that moves by a second each time it is read, and bytes that count up.
#[derive(Default)]
struct Counter(AtomicU64);

impl Source for Counter {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst) * 1000)
    }

    fn random(&self) -> [u8; 16] {
        let number = u128::from(self.0.fetch_add(1, Ordering::SeqCst)) + 1;
        // Spread, so that ids do not all begin with the same digits.
        (number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)).to_be_bytes()
    }
}

/// Conversations that were written down beforehand.
struct Script;

impl Live for Script {
    fn logs(&self, query: LogQuery) -> Answer<'_, Lines<LogLine>> {
        async move {
            let LogSource::Task(task) = query.source else {
                return Err(LiveError::new(LiveErrorKind::Unsupported, "only tasks speak here"));
            };
            let line = move |number: u32| {
                Ok(LogLine {
                    task: task.clone(),
                    container: ContainerName::parse("web").unwrap(),
                    stream: "stdout".into(),
                    time: Timestamp(u64::from(number)),
                    line: format!("line {number}"),
                })
            };
            let lines = stream::iter(0..u32::try_from(query.tail.unwrap_or(3)).unwrap()).map(line);
            let end = stream::once(async { Err(LiveError::new(LiveErrorKind::Failed, "the log is gone")) });
            Ok(lines.chain(end).boxed())
        }
        .boxed()
    }

    fn exec(&self, task: TaskId, _request: ExecRequest) -> Answer<'_, UnixStream> {
        async move { Err(LiveError::new(LiveErrorKind::Invalid, format!("nothing runs in task {task}"))) }
            .boxed()
    }

    fn images(&self) -> Answer<'_, Vec<ImageSummary>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn inspect_image(&self, reference: String) -> Answer<'_, Value> {
        async move { Err(LiveError::new(LiveErrorKind::NotFound, format!("no image {reference}"))) }.boxed()
    }

    fn remove_image(&self, reference: String, force: bool) -> Answer<'_, RemovedImages> {
        async move {
            if force {
                Ok(RemovedImages { names: vec![reference], ..RemovedImages::default() })
            } else {
                Err(LiveError::new(LiveErrorKind::InUse, format!("{reference} is in use")))
            }
        }
        .boxed()
    }

    fn pull_image(&self, request: PullRequest) -> Answer<'_, Lines<PullEvent>> {
        async move {
            let layer = PullEvent::Layer {
                digest: "sha256:1".into(),
                state: LayerState::Complete,
                done: 1,
                total: None,
            };
            let done = PullEvent::Done { name: request.reference, digest: "sha256:2".into(), size: 1 };
            Ok(stream::iter([Ok(layer), Ok(done)]).boxed())
        }
        .boxed()
    }

    fn foresee(&self, service: Box<Service>) -> Answer<'_, Vec<Foreseen>> {
        async move {
            let made_of = service.primary().task_definition.to_string();
            let why = format!("{} are wanted", service.desired_count);
            let (action, count) = ("start".into(), 1);
            Ok(vec![Foreseen {
                after_seconds: 0,
                action,
                count,
                task_definition: Some(made_of),
                tasks: Vec::new(),
                why,
            }])
        }
        .boxed()
    }

    fn explain(&self, subject: Subject) -> Answer<'_, Vec<Explained>> {
        async move { Err(LiveError::new(LiveErrorKind::Failed, format!("{subject:?}"))) }.boxed()
    }

    fn prune_images(&self, all: bool) -> Answer<'_, RemovedImages> {
        async move { Ok(RemovedImages { freed: u64::from(all), ..RemovedImages::default() }) }.boxed()
    }

    fn load_images(&self, _: LoadRequest) -> Answer<'_, Lines<PullEvent>> {
        async { Ok(stream::empty().boxed()) }.boxed()
    }

    fn save_image(&self, _: SaveRequest) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn verify_images(&self, _: Option<String>) -> Answer<'_, Lines<ImageFinding>> {
        async { Ok(stream::empty().boxed()) }.boxed()
    }

    fn doctor(&self) -> Answer<'_, DoctorReport> {
        async { Ok(DoctorReport { version: "0".into(), ..DoctorReport::default() }) }.boxed()
    }
}

/// A server with a client, gone with the value.
struct Fixture {
    api: Arc<Api>,
    client: Client,
    _stop: oneshot::Sender<()>,
    _directory: tempfile::TempDir,
}

/// A host with room for some tasks of Fargate, of which each has 512 MiB at least.
const LARGE: Resources = Resources { cpu: 2048, memory: 4096 };

/// What the host of the tests has.
const HOST: Resources = Resources { cpu: 2048, memory: 1000 };

async fn fixture() -> Fixture {
    fixture_on(HOST).await
}

/// The same on a host of another size.
async fn fixture_on(registered: Resources) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("hythe.sock");
    let api = Arc::new(Api {
        store: Store::memory(),
        owner: Owner { region: "us-east-1".into(), account: "000000000000".into() },
        live: Arc::new(Script),
        source: Arc::new(Counter::default()),
        host: Host {
            capacity: Capacity { registered, ..Capacity::default() },
            registered_at: Timestamp(1),
            version: "0.1.0".into(),
            logs: PathBuf::from("/logs"),
        },
    });
    api.ensure_default_cluster().await.unwrap();
    let listener = Listener::unix(&socket, Access::default()).unwrap();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(serve(listener, Arc::clone(&api), async { drop(stopped.await) }));
    Fixture { api, client: Client::new(&socket), _stop: stop, _directory: directory }
}

impl Fixture {
    async fn ok(&self, operation: &str, input: Value) -> Value {
        self.client.call(operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// The error's name and sentence.
    async fn refused(&self, operation: &str, input: Value) -> (String, String) {
        refusal(self.client.call(operation, input).await)
    }

    /// Registers the next revision of `family`.
    async fn register(&self, family: &str, more: Value) -> Value {
        let mut input = json!({
            "family": family,
            "containerDefinitions": [{"name": "web", "image": "busybox", "cpu": 100, "memory": 64}],
        });
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        self.ok("RegisterTaskDefinition", input).await["taskDefinition"].take()
    }

    /// What the host's hands would report.
    async fn change(&self, id: &TaskId, change: impl FnOnce(&mut Task) + Send + 'static) {
        let id = id.clone();
        let write = self.api.store.write(move |draft| Ok::<_, Infallible>(draft.update_task(&id, change)));
        assert!(write.await.unwrap());
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (String, String) {
    match result {
        Err(ClientError::Refused { code, message }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

/// The last part of an ARN.
fn id(arn: &Value) -> &str {
    arn.as_str().unwrap().rsplit('/').next().unwrap()
}
