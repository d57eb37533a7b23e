//! A service on a virtual clock: tasks that obey orders (start after a while, crash, fail their health check) and
//! the same pass that the daemon runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Obstacle, Room, ServiceAction, ServiceNote, ServiceView, service,
    view::{Surroundings, health},
};
use crate::{
    model::{
        ids::{ClusterName, DeploymentId, InstanceId, ServiceName, TaskDefinitionId, TaskId},
        resources::Shortage,
        service::{
            Breaker, CrashLoop, Deployment, DeploymentBounds, RecordStatus, RolloutState, SchedulingStrategy,
            Service, ServiceEvent, ServiceStatus, StopType,
        },
        task::{
            DesiredStatus, HealthStatus, NewTask, Protection, StopCode, StopRequest, Task, TaskOverride,
            TaskOwner, TaskStatus,
        },
        task_definition::{Document, TaskDefinition, TaskDefinitionStatus},
        time::{Moment, Timestamp},
    },
    plan::{Plan, crash_loop, history, history::News},
};

mod histories;

const HEALTHY_AFTER: Duration = Duration::from_secs(40);

/// How the tasks of a deployment behave.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Runs,
    NeverStarts,
    CrashesAfter(u64),
    UnhealthyAfter(u64),
    Checked,
}

/// A service and a host that does what it is told.
struct Sim {
    now: u64,
    service: Service,
    tasks: BTreeMap<TaskId, Arc<Task>>,
    conduct: BTreeMap<DeploymentId, Conduct>,
    definition: [TaskDefinition; 2],
    start_takes: u64,
    stop_takes: u64,
    room: u32,
    is_draining: bool,
    serial: u64,
    started: Vec<u64>,
    highest: usize,
}

fn definition(checked: bool) -> TaskDefinition {
    let check = if checked { r#","healthCheck":{"command":["CMD","true"]}"# } else { "" };
    let text = format!(
        r#"{{"family":"web","networkMode":"none","containerDefinitions":[{{"name":"web","image":"i"{check}}}]}}"#
    );
    let document: Document = serde_json::from_str(&text).unwrap();
    TaskDefinition {
        id: TaskDefinitionId { family: document.family.clone(), revision: 1 + u32::from(checked) },
        document,
        status: TaskDefinitionStatus::Active,
        registered_at: Timestamp(0),
        deregistered_at: None,
        tags: Vec::new(),
    }
}

impl Sim {
    fn new(desired: u32, minimum: u32, maximum: u32) -> Self {
        let service = Service {
            cluster: ClusterName::parse("default").unwrap(),
            name: ServiceName::parse("web").unwrap(),
            status: ServiceStatus::Active,
            scheduling_strategy: SchedulingStrategy::Replica,
            desired_count: desired,
            deployments: Vec::new(),
            bounds: DeploymentBounds { minimum_healthy_percent: minimum, maximum_percent: maximum },
            breaker: Breaker::default(),
            history: Vec::new(),
            revisions: Vec::new(),
            crash_loop: CrashLoop::default(),
            events: Vec::new(),
            created_at: Timestamp(0),
            tags: Vec::new(),
            extra: serde_json::Map::new(),
        };
        Self {
            now: 1_000_000,
            service,
            tasks: BTreeMap::new(),
            conduct: BTreeMap::new(),
            definition: [definition(false), definition(true)],
            start_takes: 100,
            stop_takes: 200,
            room: 1000,
            is_draining: false,
            serial: 0,
            started: Vec::new(),
            highest: 0,
        }
    }

    fn running(desired: u32, minimum: u32, maximum: u32) -> Self {
        let mut sim = Self::new(desired, minimum, maximum);
        sim.deploy(Conduct::Runs);
        sim.run_for(60_000);
        assert_eq!(sim.count(TaskStatus::Running), desired as usize);
        sim.started.clear();
        sim
    }

    fn deploy(&mut self, conduct: Conduct) -> DeploymentId {
        self.serial += 1;
        let id = DeploymentId::from_random(self.serial);
        let checked = matches!(conduct, Conduct::Checked | Conduct::UnhealthyAfter(_));
        let made_of = self.definition[usize::from(checked)].id.clone();
        self.service.deploy(id.clone(), made_of, Timestamp(self.now));
        self.conduct.insert(id.clone(), conduct);
        id
    }

    fn view(&self) -> ServiceView {
        let document = |task: &Task| {
            self.definition.iter().find(|one| one.id == task.task_definition).map(|one| &one.document)
        };
        let obstacle = (self.room == 0).then_some(Obstacle::Lacks(Shortage::Memory));
        let around = Surroundings {
            document: &document,
            moment: &|at| Moment(at.0),
            ahead: &|at| Moment(at.0),
            now: Moment(self.now),
            is_draining: self.is_draining,
            healthy_after: HEALTHY_AFTER,
            room: Room { tasks: self.room, obstacle },
            seed: 11,
        };
        ServiceView::of(&self.service, self.tasks.values(), &around)
    }

    /// Runs passes until one wants nothing; gives when it wants to be asked again.
    fn settle(&mut self) -> Option<u64> {
        for _ in 0..50 {
            let view = self.view();
            let plan = service(&view, Moment(self.now));
            assert_eq!(plan, service(&view, Moment(self.now)), "equal views give equal plans");
            let idle = plan.actions.is_empty();
            let wake_at = plan.wake_at;
            self.carry_out(plan);
            self.check_ceiling();
            if idle {
                return wake_at.map(|moment| moment.0);
            }
        }
        panic!("the plan does not come to rest at {}: {:#?}", self.now, self.view());
    }

    fn check_ceiling(&mut self) {
        let alive = self.tasks.values().filter(|task| task.known_status < TaskStatus::Deprovisioning).count();
        self.highest = self.highest.max(alive);
    }

    fn carry_out(&mut self, plan: Plan<ServiceAction, ServiceNote>) {
        let (mut started, mut stopped) = (Vec::new(), Vec::new());
        for action in plan.actions {
            match action {
                ServiceAction::Start { deployment, count } => {
                    started.extend((0..count).map(|_| self.start(&deployment)));
                }
                ServiceAction::Stop { task, request } => {
                    self.end(&task, request);
                    stopped.push(task);
                }
                ServiceAction::Count(count) => self.service.desired_count = count,
                ServiceAction::ForgetFailures(id) => self.service.forgive(&id, Timestamp(self.now)),
                ServiceAction::Complete(id) => self.service.complete(&id, Timestamp(self.now)),
                ServiceAction::Fail { deployment, reason, triggered } => {
                    self.service.fail(&deployment, &reason, triggered, Timestamp(self.now));
                }
                ServiceAction::RollBack { from, to, reason } => {
                    self.service.roll_back(&from, &to, &reason, Timestamp(self.now));
                }
                ServiceAction::GiveUpRollback(id) => {
                    self.service.rollback_failed(&id, "it failed", Timestamp(self.now));
                }
                ServiceAction::Drop(id) => self.service.deployments.retain(|one| one.id != id),
                ServiceAction::Retire => self.service.status = ServiceStatus::Inactive,
            }
        }
        let doings = [(started, News::Started as fn(_) -> _), (stopped, News::Stopped as fn(_) -> _)];
        let doings = doings.into_iter().filter(|(tasks, _)| !tasks.is_empty()).map(|(ids, news)| news(ids));
        for news in doings.chain(plan.notes.into_iter().map(News::Note)) {
            let text = news.text(&self.service.name, &InstanceId::from_random([1; 16]));
            if !news.is_told(&self.service.events, &text, Timestamp(self.now)) {
                let event =
                    ServiceEvent { id: String::new(), created_at: Timestamp(self.now), message: text };
                history::push(&mut self.service.events, event);
            }
        }
    }

    fn deployment(&mut self, id: &DeploymentId) -> &mut Deployment {
        self.service.deployments.iter_mut().find(|one| one.id == *id).unwrap()
    }

    fn start(&mut self, deployment: &DeploymentId) -> TaskId {
        self.serial += 1;
        let id = TaskId::from_random(u128::from(self.serial).to_be_bytes());
        let owner = TaskOwner { service: self.service.name.clone(), deployment: deployment.clone() };
        let made_of = self.deployment(deployment).task_definition.clone();
        let definition = self.definition.iter().find(|one| one.id == made_of).unwrap();
        let task = Task::from(NewTask {
            id: id.clone(),
            cluster: self.service.cluster.clone(),
            definition,
            owner: Some(owner),
            group: None,
            started_by: None,
            overrides: TaskOverride::default(),
            tags: Vec::new(),
            extra: serde_json::Map::new(),
            at: Timestamp(self.now),
        });
        self.tasks.insert(id.clone(), Arc::new(task));
        self.started.push(self.now);
        id
    }

    fn end(&mut self, id: &TaskId, request: StopRequest) {
        let now = Timestamp(self.now);
        let task = Arc::make_mut(self.tasks.get_mut(id).unwrap());
        if task.desired_status == DesiredStatus::Running {
            task.desired_status = DesiredStatus::Stopped;
            task.stop = Some(request);
            task.times.stopping_at = Some(now);
            let document = self.definition.iter().find(|one| one.id == task.task_definition);
            let document = document.map(|one| &one.document);
            crash_loop::account(&mut self.service, task, document, now, HEALTHY_AFTER);
        }
    }

    fn end_by_itself(&mut self, id: &TaskId, code: StopCode) {
        self.end(id, StopRequest { code, reason: "it ended".into() });
    }

    /// What the host does to each task by now.
    fn live(&mut self) {
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for id in ids {
            let task = Arc::clone(&self.tasks[&id]);
            let conduct = self.conduct[&task.owner.as_ref().unwrap().deployment];
            if task.desired_status == DesiredStatus::Stopped {
                if self.now >= task.times.stopping_at.unwrap().0 + self.stop_takes {
                    self.tasks.remove(&id);
                }
                continue;
            }
            match task.times.started_at {
                None if self.now >= task.created_at.0 + self.start_takes => {
                    if matches!(conduct, Conduct::NeverStarts) {
                        self.end_by_itself(&id, StopCode::TaskFailedToStart);
                    } else {
                        let task = Arc::make_mut(self.tasks.get_mut(&id).unwrap());
                        task.known_status = TaskStatus::Running;
                        task.times.started_at = Some(Timestamp(self.now));
                    }
                }
                None => {}
                Some(started) => self.grow_old(&id, conduct, self.now - started.0),
            }
        }
    }

    fn grow_old(&mut self, id: &TaskId, conduct: Conduct, ran: u64) {
        let now = Timestamp(self.now);
        let verdict = |task: &mut Arc<Task>, health| {
            let container = &mut Arc::make_mut(task).containers[0];
            container.health = health;
            if health == HealthStatus::Healthy {
                container.healthy_since.get_or_insert(now);
            }
        };
        let task = self.tasks.get_mut(id).unwrap();
        match conduct {
            Conduct::CrashesAfter(after) if ran >= after => {
                self.end_by_itself(id, StopCode::EssentialContainerExited);
            }
            Conduct::UnhealthyAfter(after) if ran >= after => verdict(task, HealthStatus::Unhealthy),
            Conduct::UnhealthyAfter(_) | Conduct::Checked if ran >= 50 => {
                verdict(task, HealthStatus::Healthy);
            }
            Conduct::Runs
            | Conduct::NeverStarts
            | Conduct::CrashesAfter(_)
            | Conduct::UnhealthyAfter(_)
            | Conduct::Checked => {}
        }
    }

    fn run_for(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.live();
            self.settle();
            self.now += 50;
        }
    }

    fn count(&self, known: TaskStatus) -> usize {
        let wanted = |task: &&Arc<Task>| task.desired_status == DesiredStatus::Running;
        self.tasks.values().filter(wanted).filter(|task| task.known_status == known).count()
    }

    fn kill(&mut self, index: usize) {
        let id = self.tasks.keys().nth(index).unwrap().clone();
        self.end_by_itself(&id, StopCode::EssentialContainerExited);
    }

    fn told(&self, part: &str) -> usize {
        self.service.events.iter().filter(|event| event.message.contains(part)).count()
    }
}

#[test]
fn a_new_service_starts_its_tasks_and_reaches_a_steady_state() {
    let sim = Sim::running(3, 100, 200);
    assert_eq!(sim.told("has started 3 tasks"), 1);
    assert_eq!(sim.told("deployment completed"), 1);
    assert_eq!(sim.told("has reached a steady state"), 1);
    assert_eq!(sim.service.primary().rollout_state, RolloutState::Completed);
}

#[test]
fn a_task_that_dies_is_replaced_in_the_same_pass() {
    let mut sim = Sim::running(3, 100, 200);
    sim.kill(1);
    sim.settle();
    assert_eq!(sim.started, [sim.now]);
    sim.run_for(60_000);
    assert_eq!(sim.count(TaskStatus::Running), 3);
    assert_eq!(sim.told("has reached a steady state"), 2);
}

#[test]
fn a_crash_loop_waits_longer_each_time_and_says_so_once() {
    for conduct in [Conduct::NeverStarts, Conduct::CrashesAfter(300)] {
        let mut sim = Sim::new(1, 100, 200);
        sim.deploy(conduct);
        sim.run_for(3 * 3600 * 1000);
        let waits: Vec<u64> = sim.started.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits[0] < 1000, "the first failure is replaced at once: {waits:?}");
        for (index, wait) in waits.iter().enumerate().skip(1) {
            let whole = (1000_u64 << (index - 1).min(20)).min(900_000);
            assert!((whole * 3 / 4..whole + 500).contains(wait), "{conduct:?} {index}: {waits:?}");
        }
        assert!(waits.len() > 18);
        assert_eq!(sim.told("unable to consistently start"), 1, "{conduct:?}");
    }
}

#[test]
fn tasks_that_were_launched_together_fail_once() {
    let mut sim = Sim::new(5, 100, 200);
    sim.deploy(Conduct::NeverStarts);
    sim.run_for(1000);
    assert_eq!(sim.service.crash_loop.failures, 2);
    assert_eq!(sim.service.primary().failed_tasks, 10);
}

#[test]
fn a_stable_run_ends_a_crash_loop() {
    let mut sim = Sim::new(1, 100, 200);
    let id = sim.deploy(Conduct::CrashesAfter(300));
    sim.run_for(20_000);
    assert!(sim.service.crash_loop.failures > 3);
    sim.conduct.insert(id, Conduct::Runs);
    sim.run_for(120_000);
    sim.started.clear();
    sim.kill(0);
    sim.settle();
    assert_eq!(sim.started, [sim.now]);
    assert_eq!((sim.service.crash_loop.failures, sim.service.primary().failed_tasks), (0, 0));
}

#[test]
fn a_new_deployment_is_not_held_back_by_the_failures_of_the_last() {
    let mut sim = Sim::new(2, 100, 200);
    sim.deploy(Conduct::NeverStarts);
    sim.run_for(120_000);
    sim.started.clear();
    sim.deploy(Conduct::Runs);
    sim.settle();
    assert_eq!(sim.started, [sim.now, sim.now]);
    sim.run_for(60_000);
    assert_eq!(sim.count(TaskStatus::Running), 2);
}

#[test]
fn scaling_in_stops_the_newest_and_those_that_do_not_run_first() {
    let mut sim = Sim::running(2, 100, 200);
    let oldest = sim.tasks.values().next().unwrap().created_at;
    sim.service.desired_count = 4;
    sim.run_for(50_000);
    sim.service.desired_count = 5;
    sim.settle();
    sim.service.desired_count = 1;
    sim.settle();
    let left: Vec<_> =
        sim.tasks.values().filter(|task| task.desired_status == DesiredStatus::Running).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].created_at, oldest);
    let stop = sim.tasks.values().find_map(|task| task.stop.clone()).unwrap();
    let deployment = &sim.service.primary().id;
    assert_eq!(stop.code, StopCode::ServiceSchedulerInitiated);
    assert_eq!(stop.reason, format!("Scaling activity initiated by (deployment {deployment})"));
}

#[test]
fn a_deleted_service_drains_and_is_inactive() {
    let mut sim = Sim::running(3, 100, 200);
    sim.service.desired_count = 0;
    sim.service.status = ServiceStatus::Draining;
    sim.settle();
    assert_eq!(sim.service.status, ServiceStatus::Inactive);
    sim.run_for(1000);
    assert!(sim.tasks.is_empty());
    assert_eq!(sim.told("has stopped 3 running tasks"), 1);
}

#[test]
fn a_rolling_update_never_leaves_fewer_healthy_tasks_than_the_floor() {
    let mut sim = Sim::running(4, 50, 100);
    sim.deploy(Conduct::Runs);
    sim.settle();
    assert_eq!(sim.count(TaskStatus::Running), 2, "two may be stopped first");
    sim.run_for(150_000);
    assert_eq!(sim.service.deployments.len(), 1);
    assert_eq!(sim.count(TaskStatus::Running), 4);
    assert_eq!(sim.highest, 4);
}

#[test]
fn a_single_task_is_replaced_only_after_its_successor_is_healthy() {
    let mut sim = Sim::running(1, 100, 200);
    sim.deploy(Conduct::Runs);
    sim.run_for(39_000);
    assert_eq!(sim.count(TaskStatus::Running), 2);
    sim.run_for(3_000);
    assert_eq!((sim.count(TaskStatus::Running), sim.service.deployments.len()), (1, 1));
}

#[test]
fn stop_then_start_has_never_two() {
    let mut sim = Sim::running(1, 0, 100);
    sim.deploy(Conduct::Runs);
    sim.run_for(100_000);
    assert_eq!((sim.highest, sim.count(TaskStatus::Running)), (1, 1));
    assert_eq!(sim.service.deployments.len(), 1);
}

#[test]
fn bounds_that_allow_nothing_are_told() {
    let mut sim = Sim::running(2, 100, 100);
    sim.deploy(Conduct::Runs);
    sim.run_for(100_000);
    assert_eq!(sim.told("was unable to stop or start tasks during a deployment"), 1);
    assert_eq!(sim.service.deployments.len(), 2);
}

#[test]
fn a_revision_that_does_not_start_leaves_the_old_one_serving() {
    let mut sim = Sim::running(3, 100, 200);
    sim.deploy(Conduct::CrashesAfter(100));
    sim.run_for(30_000);
    let old: Vec<_> = (0..sim.tasks.len()).collect();
    assert!(old.len() >= 3);
    sim.kill(0);
    sim.run_for(10_000);
    let first = sim.service.deployments[1].id.clone();
    let kept = sim.tasks.values().filter(|task| task.owner.as_ref().unwrap().deployment == first);
    assert_eq!(kept.filter(|task| task.desired_status == DesiredStatus::Running).count(), 3);
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_is_stopped() {
    let mut sim = Sim::new(2, 100, 200);
    sim.deploy(Conduct::Checked);
    sim.run_for(10_000);
    let id = sim.tasks.keys().next().unwrap().clone();
    sim.conduct.insert(sim.service.primary().id.clone(), Conduct::Runs);
    Arc::make_mut(sim.tasks.get_mut(&id).unwrap()).containers[0].health = HealthStatus::Unhealthy;
    sim.settle();
    assert_eq!(sim.tasks[&id].desired_status, DesiredStatus::Running);
    sim.conduct.insert(sim.service.primary().id.clone(), Conduct::Checked);
    Arc::make_mut(sim.tasks.get_mut(&id).unwrap()).containers[0].health = HealthStatus::Unhealthy;
    sim.live();
    Arc::make_mut(sim.tasks.get_mut(&id).unwrap()).containers[0].health = HealthStatus::Unhealthy;
    sim.now += 100;
    sim.live();
    Arc::make_mut(sim.tasks.get_mut(&id).unwrap()).containers[0].health = HealthStatus::Unhealthy;
    sim.settle();
    let stop = sim.tasks[&id].stop.clone().unwrap();
    assert_eq!(stop.reason, "Task failed container health checks");
}

#[test]
fn unhealthy_tasks_go_one_at_a_time_where_no_other_can_start() {
    let mut sim = Sim::new(2, 50, 100);
    sim.deploy(Conduct::UnhealthyAfter(60_000));
    sim.run_for(60_150);
    sim.settle();
    let stopping = sim.tasks.values().filter(|task| task.desired_status == DesiredStatus::Stopped).count();
    assert_eq!(stopping, 1);
    assert_eq!(sim.highest, 2);
}

#[test]
fn a_full_host_is_told_once_and_used_when_there_is_room() {
    let mut sim = Sim::new(2, 100, 200);
    sim.room = 0;
    sim.deploy(Conduct::Runs);
    sim.run_for(5_000);
    assert_eq!(sim.told("has insufficient memory available"), 1);
    sim.room = 10;
    sim.run_for(60_000);
    assert_eq!(sim.count(TaskStatus::Running), 2);
}

#[test]
fn a_daemon_service_runs_one_task_whatever_it_desires() {
    let mut sim = Sim::new(0, 0, 100);
    sim.service.scheduling_strategy = SchedulingStrategy::Daemon;
    sim.deploy(Conduct::Runs);
    sim.run_for(1_000);
    assert_eq!(sim.count(TaskStatus::Running), 1);
}

#[test]
fn a_task_is_as_healthy_as_its_worst_essential_container() {
    let definition = definition(true);
    let mut sim = Sim::new(1, 100, 200);
    sim.deploy(Conduct::Checked);
    sim.settle();
    let mut task = Task::clone(sim.tasks.values().next().unwrap());
    assert_eq!(health(&task, &definition.document), Some(HealthStatus::Unknown));
    task.containers[0].health = HealthStatus::Unhealthy;
    assert_eq!(health(&task, &definition.document), Some(HealthStatus::Unhealthy));
    assert_eq!(health(&task, &self::definition(false).document), None);
}

#[test]
fn a_broken_deployment_is_taken_back_and_nobody_noticed() {
    for conduct in [Conduct::NeverStarts, Conduct::CrashesAfter(300), Conduct::UnhealthyAfter(50)] {
        let mut sim = Sim::running(3, 100, 200);
        let good = sim.service.primary().id.clone();
        let before: Vec<TaskId> = sim.tasks.keys().cloned().collect();
        sim.service.breaker = Breaker { enable: true, rollback: true, ..Breaker::default() };
        let bad = sim.deploy(conduct);
        sim.run_for(120_000);
        assert_eq!(sim.service.deployments.len(), 1, "{conduct:?}");
        assert_eq!(sim.service.primary().id, good);
        assert_eq!(sim.tasks.keys().cloned().collect::<Vec<_>>(), before, "the old tasks were left in peace");
        assert_eq!(sim.service.record(&bad).unwrap().status, RecordStatus::RollbackSuccessful);
        assert_eq!(sim.told(&format!("rolling back to deployment {good}.")), 1);
        assert_eq!(sim.told(&format!("(deployment {bad}) deployment failed: tasks failed to start.")), 1);
        assert!(sim.service.events[0].message.ends_with("has reached a steady state."));
    }
}

#[test]
fn a_broken_deployment_that_stops_first_is_taken_back_with_new_tasks() {
    let mut sim = Sim::running(2, 0, 100);
    let good = sim.service.primary().id.clone();
    sim.service.breaker = Breaker { enable: true, rollback: true, ..Breaker::default() };
    sim.deploy(Conduct::NeverStarts);
    sim.run_for(120_000);
    assert_eq!((&sim.service.primary().id, sim.service.deployments.len()), (&good, 1));
    assert_eq!((sim.count(TaskStatus::Running), sim.highest), (2, 2));
}

#[test]
fn without_rollback_a_broken_deployment_stays_failed_and_the_old_tasks_stay() {
    for minimum in [100, 0] {
        let mut sim = Sim::running(3, minimum, 200);
        sim.service.breaker = Breaker { enable: true, ..Breaker::default() };
        let bad = sim.deploy(Conduct::NeverStarts);
        sim.run_for(5_000);
        let kept = sim.count(TaskStatus::Running);
        sim.started.clear();
        sim.run_for(100_000);
        assert_eq!(sim.service.primary().rollout_state, RolloutState::Failed);
        assert_eq!(sim.service.record(&bad).unwrap().status, RecordStatus::Stopped);
        assert_eq!((sim.count(TaskStatus::Running), sim.started.len()), (kept, 0));
    }
}

#[test]
fn a_first_deployment_that_fails_has_nothing_to_go_back_to() {
    let mut sim = Sim::new(1, 100, 200);
    sim.service.breaker = Breaker { enable: true, rollback: true, ..Breaker::default() };
    sim.deploy(Conduct::NeverStarts);
    sim.run_for(100_000);
    assert_eq!(sim.service.primary().rollout_state, RolloutState::Failed);
    assert_eq!(sim.started.len(), 3, "three failures are enough");
}

#[test]
fn a_deployment_can_be_stopped_and_taken_back_by_hand() {
    let mut sim = Sim::running(2, 100, 200);
    let good = sim.service.primary().id.clone();
    let second = sim.deploy(Conduct::Runs);
    sim.run_for(1_000);
    sim.service.ask_stop(&second, StopType::Rollback, Timestamp(sim.now)).unwrap();
    sim.run_for(60_000);
    assert_eq!((&sim.service.primary().id, sim.service.deployments.len()), (&good, 1));
    assert_eq!(sim.service.record(&second).unwrap().status, RecordStatus::RollbackSuccessful);
    let third = sim.deploy(Conduct::Runs);
    sim.run_for(1_000);
    sim.service.ask_stop(&third, StopType::Abort, Timestamp(sim.now)).unwrap();
    sim.run_for(100_000);
    assert_eq!(sim.service.record(&third).unwrap().status, RecordStatus::Stopped);
    assert_eq!(sim.service.deployments.len(), 2, "an aborted deployment leaves things as they are");
    assert_eq!(sim.count(TaskStatus::Running), 4);
}

#[test]
fn a_protected_task_outlives_scaling_in_and_deployments_until_its_time_is_over() {
    let mut sim = Sim::running(3, 100, 200);
    let kept = sim.tasks.keys().next_back().unwrap().clone();
    let until = sim.now + 600_000;
    let protect = Protection { expires_at: Timestamp(until) };
    Arc::make_mut(sim.tasks.get_mut(&kept).unwrap()).protection = Some(protect);
    sim.service.desired_count = 1;
    sim.run_for(1_000);
    assert!(sim.tasks.contains_key(&kept), "the newest goes first, but not while it is protected");
    assert_eq!(sim.tasks.len(), 1);
    sim.deploy(Conduct::Runs);
    sim.run_for(100_000);
    assert_eq!((sim.tasks.len(), sim.service.deployments.len()), (2, 2));
    assert!(sim.tasks.contains_key(&kept));
    sim.run_for(600_000);
    assert!(!sim.tasks.contains_key(&kept));
    assert_eq!(sim.service.deployments.len(), 1);
}

#[test]
fn too_many_protected_tasks_are_told() {
    let mut sim = Sim::running(2, 100, 200);
    for task in sim.tasks.values_mut() {
        Arc::make_mut(task).protection = Some(Protection { expires_at: Timestamp(u64::MAX) });
    }
    sim.service.desired_count = 1;
    sim.run_for(1_000);
    assert_eq!(sim.told("was unable to scale in"), 1);
    assert_eq!(sim.tasks.len(), 2);
}

#[test]
fn a_draining_host_is_emptied_as_far_as_the_floor_allows() {
    let mut sim = Sim::running(4, 50, 200);
    sim.is_draining = true;
    sim.run_for(10_000);
    assert_eq!(sim.count(TaskStatus::Running), 2);
    assert_eq!(sim.told("No Container Instances were found in your cluster"), 1);
    sim.is_draining = false;
    sim.run_for(60_000);
    assert_eq!(sim.count(TaskStatus::Running), 4);
    let mut daemon = Sim::new(0, 0, 100);
    daemon.service.scheduling_strategy = SchedulingStrategy::Daemon;
    daemon.deploy(Conduct::Runs);
    daemon.run_for(1_000);
    daemon.is_draining = true;
    daemon.run_for(1_000);
    assert!(daemon.tasks.is_empty());
}

#[test]
fn a_steady_service_says_so_every_six_hours() {
    let mut sim = Sim::running(1, 100, 200);
    for _ in 0..3 {
        sim.now += 6 * 3600 * 1000;
        sim.settle();
        sim.settle();
    }
    assert_eq!(sim.told("has reached a steady state"), 4);
}

#[test]
fn a_failing_check_is_overlooked_in_the_grace_period() {
    let mut sim = Sim::new(1, 100, 200);
    sim.service.extra.insert("healthCheckGracePeriodSeconds".into(), 60.into());
    sim.deploy(Conduct::UnhealthyAfter(100));
    sim.run_for(59_000);
    assert_eq!((sim.started.len(), sim.service.primary().failed_tasks), (1, 0));
    sim.run_for(5_000);
    assert!(sim.started.len() > 1);
}

#[test]
fn failures_between_tasks_that_became_healthy_are_counted_from_the_last_of_those() {
    let mut sim = Sim::new(2, 100, 200);
    let id = sim.deploy(Conduct::Runs);
    sim.run_for(50_000);
    sim.conduct.insert(id, Conduct::NeverStarts);
    sim.kill(0);
    sim.run_for(20_000);
    assert!(sim.service.primary().failed_tasks > 2, "the other one has been healthy for long");
}
