//! A host that obeys orders, and a store in memory.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::{
    agent::StartTask,
    daemon::{
        clock,
        config::HistoryConfig,
        doer::Doer,
        facts,
        hands::HandsOf,
        reconciler::{Reconciler, Settings},
        services::Passes,
    },
    model::{
        cluster::Cluster,
        fact::{Fact, Seen},
        ids::{ClusterName, ContainerName, DeploymentId, InstanceId, ServiceName, TaskDefinitionId, TaskId},
        resources::{Capacity, Resources},
        service::Service,
        task::{DesiredStatus, Exit, NewTask, StopCode, StopRequest, Task, TaskStatus},
        task_definition::{Document, TaskDefinition},
        time::Timestamp,
    },
    store::{ServiceKey, Snapshot, Store, Watch},
};

/// A host whose tasks start at once, or fail where it is told to.
#[derive(Clone)]
pub(super) struct Obedient {
    pub(super) facts: UnboundedSender<Fact>,
    pub(super) broken: Arc<Mutex<BTreeSet<String>>>,
    pub(super) stuck_sweeps: Arc<Mutex<u32>>,
    pub(super) forgotten: Arc<Mutex<Vec<TaskId>>>,
    pub(super) swept: UnboundedSender<TaskId>,
}

impl Obedient {
    pub(super) fn say(&self, task: &TaskId, seen: Seen) {
        let _ = self.facts.send(Fact { task: task.clone(), at: clock::wall(), ledger: None, seen });
    }

    /// A task whose end and whose word that it has let go are one commit.
    pub(super) fn end_at_once(&self, task: &TaskId, request: StopRequest) {
        self.end(task, request);
        self.say(task, Seen::Removed);
    }

    pub(super) fn end(&self, task: &TaskId, request: StopRequest) {
        let container = ContainerName::parse("web").unwrap();
        self.say(task, Seen::Stopping { request });
        let exit = Exit::Signal(9);
        self.say(task, Seen::ContainerExited { container, exit, reason: None, restarting: false });
        self.say(task, Seen::AllStopped);
    }
}

impl Doer for Obedient {
    fn start(&self, task: StartTask) {
        let id = &task.task.id;
        self.say(id, Seen::PullStarted);
        if self.broken.lock().unwrap().contains(task.definition.id.family.as_str()) {
            let reason = "CannotPullContainerError: no such image".into();
            self.say(
                id,
                Seen::Stopping { request: StopRequest { code: StopCode::TaskFailedToStart, reason } },
            );
            return self.say(id, Seen::AllStopped);
        }
        let container = ContainerName::parse("web").unwrap();
        self.say(id, Seen::ContainerStarted { container, pid: 1, restarts: 0 });
    }

    fn stop(&self, task: &TaskId, request: &StopRequest) {
        self.end(task, request.clone());
    }

    fn sweep(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>> {
        let host = self.clone();
        Box::pin(async move {
            let mut stuck = host.stuck_sweeps.lock().unwrap();
            if *stuck > 0 {
                *stuck -= 1;
                return Err("busy".into());
            }
            host.say(&task, Seen::Removed);
            let _ = host.swept.send(task);
            Ok(())
        })
    }

    fn forget(&self, task: TaskId) -> BoxFuture<'static, Result<(), String>> {
        self.forgotten.lock().unwrap().push(task);
        Box::pin(async { Ok(()) })
    }

    fn log_bytes(&self, tasks: Vec<TaskId>) -> BoxFuture<'static, Vec<u64>> {
        Box::pin(async move { vec![0; tasks.len()] })
    }
}

pub(super) struct World {
    pub(super) store: Store,
    pub(super) host: Obedient,
    pub(super) watch: Watch,
    pub(super) swept: mpsc::UnboundedReceiver<TaskId>,
}

pub(super) fn cluster() -> ClusterName {
    ClusterName::parse("default").unwrap()
}

pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(super) fn definition(family: &str, memory: u32) -> TaskDefinition {
    let text = format!(
        r#"{{"family":"{family}","networkMode":"none",
            "containerDefinitions":[{{"name":"web","image":"i","memory":{memory}}}]}}"#
    );
    let document: Document = serde_json::from_str(&text).unwrap();
    TaskDefinition::new(document, 1, Timestamp(0))
}

pub(super) fn service(name: &str, family: &str, desired_count: u32) -> Service {
    let id = DeploymentId::from_random(u64::from_be_bytes(random()[..8].try_into().unwrap()));
    let made_of = TaskDefinitionId::parse(&format!("{family}:1")).unwrap();
    let mut service =
        Service::new(cluster(), ServiceName::parse(name).unwrap(), desired_count, clock::wall());
    service.deploy(id, made_of, clock::wall());
    service
}

pub(super) fn key(name: &str) -> ServiceKey {
    (cluster(), ServiceName::parse(name).unwrap())
}

/// A cluster, and what tasks can be made of.
pub(super) async fn store() -> Store {
    let store = Store::memory();
    store
        .write(|draft| {
            draft.put_cluster(Cluster::new(cluster(), InstanceId::from_random([7; 16]), Timestamp(0)));
            for (family, memory) in [("web", 10), ("big", 600), ("huge", 5000), ("broken", 10)] {
                draft.put_task_definition(definition(family, memory));
            }
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    store
}

/// Those of a host with 1000 MiB.
pub(super) fn settings() -> Settings {
    Settings {
        healthy_after: Duration::from_millis(50),
        capacity: Capacity { registered: Resources { cpu: 2048, memory: 1000 }, ..Capacity::default() },
        history: HistoryConfig { keep: Duration::from_secs(3600), most_tasks: 20, most_bytes: 1 << 30 },
        seed: 1,
        random,
        is_ending: false,
    }
}

impl World {
    /// A host with 1000 MiB, and the loops.
    pub(super) async fn start() -> Self {
        let store = store().await;
        let watch = store.watch();
        let (sender, facts_in) = mpsc::unbounded_channel();
        let (tell_swept, swept) = mpsc::unbounded_channel();
        let host = Obedient {
            facts: sender.clone(),
            swept: tell_swept,
            broken: Arc::default(),
            stuck_sweeps: Arc::default(),
            forgotten: Arc::default(),
        };
        host.broken.lock().unwrap().insert("broken".into());
        let settings = settings();
        let passes = Passes::of(&settings);
        tokio::spawn(facts::run(store.clone(), Arc::default(), facts_in, passes.clone()));
        let looping =
            Reconciler::new(store.clone(), host.clone(), sender, settings, passes, HandsOf::default());
        tokio::spawn(looping.run(store.watch()));
        Self { store, host, watch, swept }
    }

    pub(super) async fn put(&self, service: Service) {
        let written = self.store.write(move |draft| {
            draft.put_service(service);
            Ok::<_, Infallible>(())
        });
        written.await.unwrap();
    }

    pub(super) async fn change(&self, name: &str, change: impl FnOnce(&mut Service) + Send + 'static) {
        let key = key(name);
        let written = self.store.write(move |draft| Ok::<_, Infallible>(draft.update_service(&key, change)));
        assert!(written.await.unwrap());
    }

    pub(super) async fn run(&self, family: &str) -> TaskId {
        let id = TaskId::from_random(random());
        let definition = definition(family, 0);
        let task = Task::from(NewTask::of(id.clone(), cluster(), &definition, clock::wall()));
        let written = self.store.write(move |draft| {
            draft.put_task(task);
            Ok::<_, Infallible>(())
        });
        written.await.unwrap();
        id
    }

    pub(super) async fn stop(&self, id: &TaskId) {
        let id = id.clone();
        let written = self.store.write(move |draft| {
            Ok::<_, Infallible>(draft.update_task(&id, |task| {
                task.desired_status = DesiredStatus::Stopped;
                let reason = "Task stopped by user".into();
                task.stop = Some(StopRequest { code: StopCode::UserInitiated, reason });
            }))
        });
        assert!(written.await.unwrap());
    }

    /// A task of a family that runs.
    pub(super) async fn running(&mut self, family: &str) -> TaskId {
        let id = self.run(family).await;
        self.until_it_is(&id, TaskStatus::Running).await;
        id
    }

    /// Waits until a task is as far as that.
    pub(super) async fn until_it_is(&mut self, id: &TaskId, status: TaskStatus) {
        let id = id.clone();
        self.until("a task's status", move |now| now.task(&id).unwrap().known_status == status).await;
    }

    /// Waits until the state is as it should be.
    #[track_caller]
    pub(super) fn until<'a>(
        &'a mut self,
        what: &'static str,
        is_so: impl Fn(&Snapshot) -> bool + Send + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let waiting = async {
                while !is_so(&self.store.snapshot()) {
                    self.watch.changed().await;
                }
            };
            let limit = Duration::from_secs(10);
            assert!(
                tokio::time::timeout(limit, waiting).await.is_ok(),
                "{caller}: never came: {what}\n{:#?}",
                self.store.snapshot().tasks().collect::<Vec<_>>()
            );
        }
    }
}

pub(super) fn running(snapshot: &Snapshot, name: &str) -> usize {
    let key = key(name);
    let live = snapshot.live_tasks_of_service(&key);
    live.filter(|task| {
        task.known_status == TaskStatus::Running && task.desired_status == DesiredStatus::Running
    })
    .count()
}

pub(super) fn told(snapshot: &Snapshot, name: &str, part: &str) -> usize {
    snapshot.service(&key(name)).unwrap().events.iter().filter(|event| event.message.contains(part)).count()
}
