//! The loops with a host that obeys orders and a store in memory.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::*;
use crate::{
    daemon::facts,
    model::{
        cluster::Cluster,
        ids::{ClusterName, ContainerName, DeploymentId, InstanceId, ServiceName, TaskDefinitionId},
        resources::Resources,
        service::{
            Breaker, CrashLoop, DeploymentBounds, DeploymentStatus, RolloutState, SchedulingStrategy,
            Service, ServiceStatus,
        },
        task::{DesiredStatus, Exit, NewTask, Task, TaskOverride, TaskStatus},
        task_definition::{Document, TaskDefinition, TaskDefinitionStatus},
    },
};

/// A host whose tasks start at once, or fail where it is told to.
#[derive(Clone)]
struct Obedient {
    facts: UnboundedSender<Fact>,
    broken: Arc<Mutex<BTreeSet<String>>>,
    stuck_sweeps: Arc<Mutex<u32>>,
    forgotten: Arc<Mutex<Vec<TaskId>>>,
    swept: UnboundedSender<TaskId>,
}

impl Obedient {
    fn say(&self, task: &TaskId, seen: Seen) {
        let _ = self.facts.send(Fact { task: task.clone(), at: clock::wall(), ledger: None, seen });
    }

    /// A task whose end and whose word that it has let go are one commit.
    fn end_at_once(&self, task: &TaskId, request: StopRequest) {
        self.end(task, request);
        self.say(task, Seen::Removed);
    }

    fn end(&self, task: &TaskId, request: StopRequest) {
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

struct World {
    store: Store,
    host: Obedient,
    watch: Watch,
    swept: mpsc::UnboundedReceiver<TaskId>,
}

fn cluster() -> ClusterName {
    ClusterName::parse("default").unwrap()
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn definition(family: &str, memory: u32) -> TaskDefinition {
    let text = format!(
        r#"{{"family":"{family}","networkMode":"none",
            "containerDefinitions":[{{"name":"web","image":"i","memory":{memory}}}]}}"#
    );
    let document: Document = serde_json::from_str(&text).unwrap();
    TaskDefinition {
        id: TaskDefinitionId { family: document.family.clone(), revision: 1 },
        document,
        status: TaskDefinitionStatus::Active,
        registered_at: Timestamp(0),
        deregistered_at: None,
        tags: Vec::new(),
    }
}

fn service(name: &str, family: &str, desired_count: u32) -> Service {
    let id = DeploymentId::from_random(u64::from_be_bytes(random()[..8].try_into().unwrap()));
    let made_of = TaskDefinitionId::parse(&format!("{family}:1")).unwrap();
    let mut service = Service {
        cluster: cluster(),
        name: ServiceName::parse(name).unwrap(),
        status: ServiceStatus::Active,
        scheduling_strategy: SchedulingStrategy::Replica,
        desired_count,
        deployments: Vec::new(),
        bounds: DeploymentBounds { minimum_healthy_percent: 100, maximum_percent: 200 },
        breaker: Breaker::default(),
        history: Vec::new(),
        revisions: Vec::new(),
        crash_loop: CrashLoop::default(),
        events: Vec::new(),
        created_at: clock::wall(),
        tags: Vec::new(),
        extra: serde_json::Map::new(),
    };
    service.deploy(id, made_of, clock::wall());
    service
}

fn key(name: &str) -> ServiceKey {
    (cluster(), ServiceName::parse(name).unwrap())
}

impl World {
    /// A host with 1000 MiB, and the loops.
    async fn start() -> Self {
        let store = Store::memory();
        let watch = store.watch();
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
        let settings = Settings {
            healthy_after: Duration::from_millis(50),
            capacity: Capacity { registered: Resources { cpu: 2048, memory: 1000 }, ..Capacity::default() },
            history: HistoryConfig { keep: Duration::from_secs(3600), most_tasks: 20, most_bytes: 1 << 30 },
            seed: 1,
            random,
            is_ending: false,
        };
        tokio::spawn(facts::run(store.clone(), Arc::default(), facts_in, settings.healthy_after));
        let looping = Reconciler::new(store.clone(), host.clone(), sender, settings, HandsOf::default());
        tokio::spawn(looping.run(store.watch()));
        Self { store, host, watch, swept }
    }

    async fn put(&self, service: Service) {
        let written = self.store.write(move |draft| {
            draft.put_service(service);
            Ok::<_, Infallible>(())
        });
        written.await.unwrap();
    }

    async fn change(&self, name: &str, change: impl FnOnce(&mut Service) + Send + 'static) {
        let key = key(name);
        let written = self.store.write(move |draft| Ok::<_, Infallible>(draft.update_service(&key, change)));
        assert!(written.await.unwrap());
    }

    async fn run(&self, family: &str) -> TaskId {
        let id = TaskId::from_random(random());
        let definition = definition(family, 0);
        let task = Task::from(NewTask {
            id: id.clone(),
            cluster: cluster(),
            definition: &definition,
            owner: None,
            group: None,
            started_by: None,
            overrides: TaskOverride::default(),
            tags: Vec::new(),
            extra: serde_json::Map::new(),
            at: clock::wall(),
        });
        let written = self.store.write(move |draft| {
            draft.put_task(task);
            Ok::<_, Infallible>(())
        });
        written.await.unwrap();
        id
    }

    async fn stop(&self, id: &TaskId) {
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

    /// Waits until the state is as it should be.
    #[track_caller]
    fn until<'a>(
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

fn running(snapshot: &Snapshot, name: &str) -> usize {
    let key = key(name);
    let live = snapshot.live_tasks_of_service(&key);
    live.filter(|task| {
        task.known_status == TaskStatus::Running && task.desired_status == DesiredStatus::Running
    })
    .count()
}

fn told(snapshot: &Snapshot, name: &str, part: &str) -> usize {
    snapshot.service(&key(name)).unwrap().events.iter().filter(|event| event.message.contains(part)).count()
}

#[tokio::test]
async fn a_service_comes_up_is_steady_and_replaces_what_dies() {
    let mut world = World::start().await;
    world.put(service("web", "web", 3)).await;
    world.until("three tasks run", |now| running(now, "web") == 3).await;
    world.until("a steady state", |now| told(now, "web", "steady state") == 1).await;
    let snapshot = world.store.snapshot();
    assert_eq!(told(&snapshot, "web", "has started 3 tasks"), 1);
    let victim = snapshot.live_tasks_of_service(&key("web")).next().unwrap().id.clone();
    let reason = "Essential container in task exited".into();
    world.host.end(&victim, StopRequest { code: StopCode::EssentialContainerExited, reason });
    let lost = victim.clone();
    world
        .until("a replacement", move |now| {
            running(now, "web") == 3 && now.task(&lost).is_some_and(|task| task.is_stopped())
        })
        .await;
}

#[tokio::test]
async fn a_task_that_is_stopped_at_once_is_swept_after_that() {
    let mut world = World::start().await;
    let id = world.run("web").await;
    let run = id.clone();
    world.until("it runs", move |now| now.task(&run).unwrap().known_status == TaskStatus::Running).await;
    let reason = "Essential container in task exited".into();
    world.host.end_at_once(&id, StopRequest { code: StopCode::EssentialContainerExited, reason });
    let swept = tokio::time::timeout(Duration::from_secs(10), world.swept.recv()).await.unwrap();
    assert_eq!(swept.as_ref(), Some(&id));
    assert!(world.store.snapshot().task(&id).unwrap().is_stopped());
    assert!(world.swept.try_recv().is_err(), "once is enough");
}

#[tokio::test]
async fn a_service_scales_in_and_is_deleted() {
    let mut world = World::start().await;
    world.put(service("web", "web", 4)).await;
    world.until("four tasks run", |now| running(now, "web") == 4).await;
    world.change("web", |service| service.desired_count = 1).await;
    world.until("one is left", |now| now.live_tasks_of_service(&key("web")).count() == 1).await;
    world
        .change("web", |service| {
            service.desired_count = 0;
            service.status = ServiceStatus::Draining;
        })
        .await;
    world
        .until("it is INACTIVE and empty", |now| {
            now.service(&key("web")).unwrap().status == ServiceStatus::Inactive
                && now.live_tasks_of_service(&key("web")).count() == 0
        })
        .await;
}

#[tokio::test]
async fn a_rolling_update_ends_with_one_deployment() {
    let mut world = World::start().await;
    world.put(service("web", "web", 2)).await;
    world.until("it is steady", |now| told(now, "web", "steady state") == 1).await;
    world
        .change("web", |of| {
            of.deployments[0].status = DeploymentStatus::Active;
            let next = service("web", "web", 2).deployments.remove(0);
            of.deployments.insert(0, next);
        })
        .await;
    world
        .until("the update is through", |now| {
            let of = now.service(&key("web")).unwrap();
            of.deployments.len() == 1
                && of.primary().rollout_state == RolloutState::Completed
                && told(now, "web", "steady state") == 2
        })
        .await;
    let reason = world.store.snapshot().service(&key("web")).unwrap().primary().rollout_state_reason.clone();
    assert!(reason.ends_with("completed."), "{reason}");
}

#[tokio::test]
async fn a_broken_service_waits_and_disturbs_no_other() {
    let mut world = World::start().await;
    world.put(service("broken", "broken", 1)).await;
    world.put(service("web", "web", 2)).await;
    world.until("the sound one is steady", |now| told(now, "web", "steady state") == 1).await;
    world
        .until("the broken one failed three times", |now| {
            now.service(&key("broken")).unwrap().crash_loop.failures >= 3
        })
        .await;
    world.until("it says so", |now| told(now, "broken", "unable to consistently start") == 1).await;
}

#[tokio::test]
async fn a_standalone_task_is_not_started_again() {
    let mut world = World::start().await;
    let id = world.run("web").await;
    let task = id.clone();
    world.until("it runs", move |now| now.task(&task).unwrap().known_status == TaskStatus::Running).await;
    world.stop(&id).await;
    let task = id.clone();
    world.until("it is stopped", move |now| now.task(&task).unwrap().is_stopped()).await;
    assert_eq!(world.store.snapshot().tasks().count(), 1);
}

#[tokio::test]
async fn a_task_waits_for_memory_and_starts_when_it_is_free() {
    let mut world = World::start().await;
    let first = world.run("big").await;
    let one = first.clone();
    world
        .until("the first runs", move |now| now.task(&one).unwrap().known_status == TaskStatus::Running)
        .await;
    let second = world.run("big").await;
    let two = second.clone();
    assert_eq!(world.store.snapshot().task(&two).unwrap().known_status, TaskStatus::Pending);
    world.stop(&first).await;
    world
        .until("the second runs", move |now| now.task(&two).unwrap().known_status == TaskStatus::Running)
        .await;
}

#[tokio::test]
async fn a_service_that_does_not_fit_says_so_and_fills_up_later() {
    let mut world = World::start().await;
    let first = world.run("big").await;
    let one = first.clone();
    world
        .until("the first runs", move |now| now.task(&one).unwrap().known_status == TaskStatus::Running)
        .await;
    world.put(service("big", "big", 1)).await;
    world.until("it says so", |now| told(now, "big", "has insufficient memory available") == 1).await;
    world.stop(&first).await;
    world.until("it runs", |now| running(now, "big") == 1).await;
}

#[tokio::test]
async fn a_service_on_each_host_has_its_place_before_older_ones() {
    let mut world = World::start().await;
    let old = Service { created_at: Timestamp(1), ..service("old", "big", 1) };
    let bounds = DeploymentBounds { minimum_healthy_percent: 0, maximum_percent: 100 };
    let each =
        Service { scheduling_strategy: SchedulingStrategy::Daemon, bounds, ..service("each", "big", 1) };
    let written = world.store.write(move |draft| {
        draft.put_service(old);
        draft.put_service(each);
        Ok::<_, Infallible>(())
    });
    written.await.unwrap();
    world.until("the task of each host runs", |now| running(now, "each") == 1).await;
    world
        .until("the other has no room", |now| told(now, "old", "has insufficient memory available") == 1)
        .await;
    assert_eq!(world.store.snapshot().live_tasks_of_service(&key("old")).count(), 0);
}

#[tokio::test]
async fn a_task_that_can_never_fit_stops_with_the_reason() {
    let mut world = World::start().await;
    let id = world.run("huge").await;
    let task = id.clone();
    world.until("it is stopped", move |now| now.task(&task).unwrap().is_stopped()).await;
    let stop = world.store.snapshot().task(&id).unwrap().stop.clone().unwrap();
    assert_eq!(stop.code, StopCode::TaskFailedToStart);
    assert_eq!(
        stop.reason,
        "ResourceInitializationError: the task needs 5000 MiB of memory and this host has 1000"
    );
}

#[tokio::test]
async fn a_sweep_that_fails_is_tried_again_and_blocks_nobody() {
    let mut world = World::start().await;
    *world.host.stuck_sweeps.lock().unwrap() = 2;
    let id = world.run("web").await;
    let task = id.clone();
    world.until("it runs", move |now| now.task(&task).unwrap().known_status == TaskStatus::Running).await;
    world.stop(&id).await;
    world.put(service("web", "web", 2)).await;
    world.until("others run", |now| running(now, "web") == 2).await;
    world.until("it is stopped", move |now| now.task(&id).unwrap().is_stopped()).await;
}

#[tokio::test]
async fn what_is_over_is_forgotten_beyond_the_most_that_is_kept() {
    let mut world = World::start().await;
    for _ in 0..40 {
        let id = world.run("huge").await;
        world.until("it is stopped", move |now| now.task(&id).is_none_or(|task| task.is_stopped())).await;
    }
    world.until("few are kept", |now| now.tasks().count() <= 26).await;
    assert!(!world.host.forgotten.lock().unwrap().is_empty());
}
