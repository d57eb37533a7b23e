//! A service on a virtual clock: what becomes of its tasks is rolled when they are born, and every plan is held
//! against the promises before it is carried out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::super::sim::HEALTHY_AFTER;
use crate::{
    model::{
        ids::{ClusterName, DeploymentId, ServiceName, TaskId},
        resources::Shortage,
        service::{DeploymentBounds, SchedulingStrategy, Service, ServiceStatus, StopType},
        task::{
            DesiredStatus, HealthStatus, NewTask, Protection, StopCode, StopRequest, Task, TaskOwner,
            TaskStatus,
        },
        task_definition::TaskDefinition,
        time::{Moment, Timestamp},
    },
    plan::{
        crash_loop,
        service::{
            Obstacle, Room, ServiceAction, ServicePlan, ServiceView, service, to_usize, view::Surroundings,
        },
    },
};

/// How the tasks of a deployment behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Runs,
    Passes,
    NeverStarts,
    Exits,
    Fails,
}

impl Conduct {
    pub(super) fn works(self) -> bool {
        match self {
            Self::Runs | Self::Passes => true,
            Self::NeverStarts | Self::Exits | Self::Fails => false,
        }
    }

    fn is_checked(self) -> bool {
        match self {
            Self::Passes | Self::Fails => true,
            Self::Runs | Self::NeverStarts | Self::Exits => false,
        }
    }
}

/// What will become of a task, decided at its birth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    starts: u64,
    fails_to_start: bool,
    exits: Option<u64>,
    verdict: Option<(u64, HealthStatus)>,
    stop_takes: u64,
}

/// What a user or the world does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Deploy(Conduct),
    Scale(u32),
    Bounds(u32, u32),
    Exit(usize),
    StopTask(usize),
    Sicken(usize),
    Protect(usize, u64),
    StopDeployment(StopType),
    Drain(bool),
    Room(u32),
    RestartDaemon,
    SetClock(i64),
    Wait(u64),
}

/// A service, its tasks and the clocks.
pub(super) struct World {
    pub(super) now: u64,
    offset: i64,
    dice: u64,
    moments: HashMap<u64, u64>,
    definitions: [Arc<TaskDefinition>; 2],
    pub(super) service: Service,
    pub(super) conduct: BTreeMap<DeploymentId, Conduct>,
    pub(super) tasks: BTreeMap<TaskId, (Arc<Task>, Fate)>,
    ended: BTreeMap<TaskId, u64>,
    wake: Option<u64>,
    is_draining: bool,
    pub(super) room: u32,
    serial: u64,
    pub(super) started: u32,
}

impl World {
    pub(super) fn new(seed: u64, definitions: [Arc<TaskDefinition>; 2]) -> Self {
        let service = Service::new(
            ClusterName::parse("default").unwrap(),
            ServiceName::parse("web").unwrap(),
            2,
            Timestamp(0),
        );
        Self {
            now: 360_000_000,
            offset: 3_600_000_000_000,
            dice: seed,
            moments: HashMap::new(),
            definitions,
            service,
            conduct: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ended: BTreeMap::new(),
            wake: None,
            is_draining: false,
            room: 1000,
            serial: 0,
            started: 0,
        }
    }

    /// Makes the service one of that kind. A DAEMON service has no count of its own, and stops before it starts.
    pub(super) fn follow(&mut self, strategy: SchedulingStrategy) {
        self.service.scheduling_strategy = strategy;
        if self.is_daemon() {
            self.service.desired_count = 1;
            self.bound(0, 100);
        }
    }

    fn is_daemon(&self) -> bool {
        self.service.scheduling_strategy == SchedulingStrategy::Daemon
    }

    fn bound(&mut self, minimum_healthy_percent: u32, maximum_percent: u32) {
        let maximum_percent = if self.is_daemon() { 100 } else { maximum_percent };
        self.service.bounds = DeploymentBounds { minimum_healthy_percent, maximum_percent };
    }

    /// A number below `most` (the generator is SplitMix64).
    fn roll(&mut self, most: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.offset))
    }

    pub(super) fn deploy(&mut self, conduct: Conduct) -> DeploymentId {
        self.serial += 1;
        let id = DeploymentId::from_random(self.serial);
        let made_of = self.definitions[usize::from(conduct.is_checked())].id.clone();
        self.service.deploy(id.clone(), made_of, self.wall());
        self.conduct.insert(id.clone(), conduct);
        id
    }

    /// Turns every wall time that the view will ask for into a moment, once, as the daemon does.
    fn meet_times(&mut self) {
        let (wall, now) = (self.wall().0, self.now);
        let of_tasks = self.tasks.values().flat_map(|(task, _)| {
            let healthy = task.containers[0].healthy_since;
            [Some(task.created_at), task.times.started_at, healthy].into_iter().flatten()
        });
        let of_service = self.service.deployments.iter().filter_map(|one| one.failed_at);
        for at in of_tasks.chain(of_service).chain([self.service.crash_loop.last]) {
            self.moments.entry(at.0).or_insert_with(|| now.saturating_sub(wall.saturating_sub(at.0)));
        }
    }

    pub(super) fn view(&mut self) -> ServiceView {
        self.meet_times();
        let document = |task: &Task| {
            self.definitions.iter().find(|one| one.id == task.task_definition).map(|one| &one.document)
        };
        let moment = |at: Timestamp| Moment(self.moments[&at.0]);
        let ahead = |at: Timestamp| Moment(self.now + at.0.saturating_sub(self.wall().0));
        let around = Surroundings {
            document: &document,
            moment: &moment,
            ahead: &ahead,
            now: Moment(self.now),
            healthy_after: HEALTHY_AFTER,
            room: Room {
                tasks: self.room,
                obstacle: (self.room < 1000).then_some(Obstacle::Lacks(Shortage::Memory)),
            },
            is_draining: self.is_draining,
            seed: 11,
        };
        ServiceView::of(&self.service, self.tasks.values().map(|(task, _)| task), &around)
    }

    /// Runs passes until one wants nothing.
    pub(super) fn settle(&mut self) {
        for _ in 0..50 {
            let view = self.view();
            let plan = service(&view, Moment(self.now));
            assert_eq!(plan, service(&view, Moment(self.now)), "equal views give equal plans");
            self.hold_to_promises(&view, &plan);
            let is_idle = plan.actions.is_empty();
            self.wake = plan.wake_at.map(|at| at.0);
            if is_idle {
                return;
            }
            for action in plan.actions {
                self.carry_out(action);
            }
            self.check_owners();
        }
        panic!("the plan does not come to rest: {:#?}", self.view());
    }

    fn hold_to_promises(&self, view: &ServiceView, plan: &ServicePlan) {
        let now = Moment(self.now);
        let (mut started, mut stopped) = (0, Vec::new());
        for action in &plan.actions {
            match action {
                ServiceAction::Start { count, .. } => started += to_usize(*count),
                ServiceAction::Stop { task, .. } => stopped.push(task),
                ServiceAction::Count(_)
                | ServiceAction::ForgetFailures(_)
                | ServiceAction::Complete(_)
                | ServiceAction::Fail { .. }
                | ServiceAction::RollBack { .. }
                | ServiceAction::GiveUpRollback(_)
                | ServiceAction::Drop(_)
                | ServiceAction::Retire => {}
            }
        }
        if started > 0 {
            assert!(view.tasks.len() + started <= to_usize(view.ceiling()), "above the ceiling: {plan:#?}");
            assert!(!view.is_draining, "a start on a draining host");
        }
        let healthy = || view.tasks.iter().filter(|task| view.is_healthy(task, now));
        let left = healthy().filter(|task| !stopped.contains(&&task.id)).count();
        if left < healthy().count() && view.status == ServiceStatus::Active {
            assert!(left >= to_usize(view.floor()), "below the floor: {plan:#?}\n{view:#?}");
        }
        for id in stopped {
            let (task, _) = &self.tasks[id];
            let unwell = task.containers[0].health == HealthStatus::Unhealthy;
            assert!(unwell || !task.is_protected(self.wall()), "a protected task is stopped: {plan:#?}");
        }
    }

    fn check_owners(&self) {
        for (task, _) in self.tasks.values() {
            let owner = &task.owner.as_ref().unwrap().deployment;
            let is_known = self.service.deployments.iter().any(|one| one.id == *owner);
            assert!(is_known, "task {} of {owner} belongs to nobody", task.id);
        }
        let primaries = self.service.deployments.iter();
        let primaries =
            primaries.filter(|one| one.status == crate::model::service::DeploymentStatus::Primary);
        assert_eq!(primaries.count(), 1);
    }

    fn carry_out(&mut self, action: ServiceAction) {
        let at = self.wall();
        match action {
            ServiceAction::Start { deployment, count } => {
                (0..count).for_each(|_| self.start(&deployment));
            }
            ServiceAction::Stop { task, request } => self.end(&task, request),
            ServiceAction::Count(count) => self.service.desired_count = count,
            ServiceAction::ForgetFailures(id) => self.service.forgive(&id, at),
            ServiceAction::Complete(id) => self.service.complete(&id, at),
            ServiceAction::Fail { deployment, reason, triggered } => {
                self.service.fail(&deployment, &reason, triggered, at);
            }
            ServiceAction::RollBack { from, to, reason } => self.service.roll_back(&from, &to, &reason, at),
            ServiceAction::GiveUpRollback(id) => self.service.rollback_failed(&id, "it failed", at),
            ServiceAction::Drop(id) => self.service.deployments.retain(|one| one.id != id),
            ServiceAction::Retire => self.service.status = ServiceStatus::Inactive,
        }
    }

    fn start(&mut self, deployment: &DeploymentId) {
        self.serial += 1;
        self.started += 1;
        self.room -= u32::from(self.room < 1000);
        let id = TaskId::from_random(u128::from(self.serial).to_be_bytes());
        let made_of =
            &self.service.deployments.iter().find(|one| one.id == *deployment).unwrap().task_definition;
        let made_of = self.definitions.iter().find(|one| one.id == *made_of).unwrap();
        let task = Task::from(NewTask {
            owner: Some(TaskOwner { service: self.service.name.clone(), deployment: deployment.clone() }),
            ..NewTask::of(id.clone(), self.service.cluster.clone(), made_of, self.wall())
        });
        let fate = self.fate(self.conduct[deployment]);
        self.tasks.insert(id, (Arc::new(task), fate));
    }

    fn fate(&mut self, conduct: Conduct) -> Fate {
        let slow = if self.roll(10) == 0 { 120_000 } else { 5_000 };
        let starts = self.now + 1 + self.roll(slow);
        let later = |world: &mut Self, most| Some(starts + 1 + world.roll(most));
        let verdict = match conduct {
            Conduct::Passes => later(self, 30_000).map(|at| (at, HealthStatus::Healthy)),
            Conduct::Fails => later(self, 60_000).map(|at| (at, HealthStatus::Unhealthy)),
            Conduct::Runs | Conduct::NeverStarts | Conduct::Exits => None,
        };
        Fate {
            starts,
            fails_to_start: conduct == Conduct::NeverStarts,
            exits: if conduct == Conduct::Exits { later(self, 39_000) } else { None },
            verdict,
            stop_takes: 1 + self.roll(30_000),
        }
    }

    fn end(&mut self, id: &TaskId, request: StopRequest) {
        let at = self.wall();
        let (task, fate) = self.tasks.get_mut(id).unwrap();
        if task.desired_status == DesiredStatus::Stopped {
            return;
        }
        let task = Arc::make_mut(task);
        task.desired_status = DesiredStatus::Stopped;
        task.stop = Some(request);
        task.times.stopping_at = Some(at);
        self.ended.insert(id.clone(), self.now + fate.stop_takes);
        let document = self.definitions.iter().find(|one| one.id == task.task_definition);
        let document = document.map(|one| &one.document);
        crash_loop::account(&mut self.service, task, document, at, HEALTHY_AFTER);
    }

    fn end_by(&mut self, id: &TaskId, code: StopCode) {
        self.end(id, StopRequest { code, reason: "it ended".into() });
    }

    /// When something happens next without anybody's doing.
    pub(super) fn next(&self) -> Option<u64> {
        let fates = self.tasks.iter().filter_map(|(id, (task, fate))| {
            if let Some(&gone) = self.ended.get(id) {
                return Some(gone);
            }
            match task.times.started_at {
                None => Some(fate.starts),
                Some(_) => fate.exits.into_iter().chain(fate.verdict.map(|(at, _)| at)).min(),
            }
        });
        fates.chain(self.wake).min()
    }

    /// Does what is due.
    pub(super) fn live(&mut self) {
        let (now, at) = (self.now, self.wall());
        let gone: Vec<TaskId> =
            self.ended.iter().filter(|&(_, &end)| end <= now).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.ended.remove(&id);
            self.tasks.remove(&id);
        }
        let mut over = Vec::new();
        for (id, (task, fate)) in &mut self.tasks {
            if self.ended.contains_key(id) {
                continue;
            }
            if task.times.started_at.is_none() && fate.starts <= now {
                if fate.fails_to_start {
                    over.push((id.clone(), StopCode::TaskFailedToStart));
                    continue;
                }
                let task = Arc::make_mut(task);
                task.known_status = TaskStatus::Running;
                task.times.started_at = Some(at);
            }
            if let Some((_, health)) = fate.verdict.filter(|&(due, _)| due <= now) {
                fate.verdict = None;
                let container = &mut Arc::make_mut(task).containers[0];
                container.health = health;
                if health == HealthStatus::Healthy {
                    container.healthy_since = Some(at);
                }
            }
            if fate.exits.is_some_and(|due| due <= now) {
                over.push((id.clone(), StopCode::EssentialContainerExited));
            }
        }
        for (id, code) in over {
            self.end_by(&id, code);
        }
    }

    pub(super) fn run_until(&mut self, end: u64) {
        self.live();
        self.settle();
        while let Some(next) = self.next().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.live();
            self.settle();
        }
        self.now = self.now.max(end);
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let nth = |world: &Self, index: usize| {
            let count = world.tasks.len();
            (count > 0).then(|| world.tasks.keys().nth(index % count).unwrap().clone())
        };
        match happening {
            Happening::Deploy(conduct) => {
                self.deploy(conduct);
            }
            Happening::Scale(desired) if !self.is_daemon() => self.service.desired_count = desired,
            Happening::Scale(_) => {}
            Happening::Bounds(low, high) => self.bound(low, high),
            Happening::Exit(index) => {
                if let Some(id) = nth(self, index) {
                    self.end_by(&id, StopCode::EssentialContainerExited);
                }
            }
            Happening::StopTask(index) => {
                if let Some(id) = nth(self, index) {
                    self.end_by(&id, StopCode::UserInitiated);
                }
            }
            Happening::Sicken(index) => {
                if let Some(id) = nth(self, index) {
                    let (task, _) = self.tasks.get_mut(&id).unwrap();
                    if task.containers[0].health == HealthStatus::Healthy {
                        Arc::make_mut(task).containers[0].health = HealthStatus::Unhealthy;
                    }
                }
            }
            Happening::Protect(index, millis) => {
                let expires_at = Timestamp(self.wall().0 + millis);
                if let Some(id) = nth(self, index) {
                    let (task, _) = self.tasks.get_mut(&id).unwrap();
                    Arc::make_mut(task).protection = Some(Protection { expires_at });
                }
            }
            Happening::StopDeployment(how) => {
                let id = self.service.current().unwrap().deployment.clone();
                let _ = self.service.ask_stop(&id, how, self.wall());
            }
            Happening::Drain(is_draining) => self.is_draining = is_draining,
            Happening::Room(room) => self.room = room,
            Happening::RestartDaemon => self.moments.clear(),
            Happening::SetClock(millis) => self.offset += millis,
            Happening::Wait(millis) => self.run_until(self.now + millis),
        }
        self.live();
        self.settle();
    }

    /// Nobody does anything any more, and what a service needs is there.
    pub(super) fn calm(&mut self) {
        self.is_draining = false;
        self.room = 1000;
        self.service.desired_count = self.service.desired_count.max(1);
        self.bound(if self.is_daemon() { 0 } else { 50 }, 200);
        for (task, _) in self.tasks.values_mut() {
            Arc::make_mut(task).protection = None;
        }
    }

    pub(super) fn all_are_of(&self, deployment: &DeploymentId) -> bool {
        self.tasks.len() == to_usize(self.service.desired_count)
            && self.tasks.values().all(|(task, _)| {
                task.known_status == TaskStatus::Running
                    && task.owner.as_ref().unwrap().deployment == *deployment
            })
    }
}
