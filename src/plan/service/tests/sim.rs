//! A service on a virtual clock: tasks that obey orders (start after a while, crash, fail their health check) and the same
//! pass that the daemon runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    model::{
        ids::{ClusterName, DeploymentId, InstanceId, ServiceName, TaskId},
        resources::Shortage,
        service::{Deployment, DeploymentBounds, Service, ServiceEvent, ServiceStatus},
        task::{DesiredStatus, HealthStatus, NewTask, StopCode, StopRequest, Task, TaskOwner, TaskStatus},
        task_definition::{Document, TaskDefinition},
        time::{Moment, Timestamp},
    },
    plan::{
        Plan, crash_loop, history,
        history::News,
        service::view::Surroundings,
        service::{Obstacle, Room, ServiceAction, ServiceNote, ServiceView, service},
    },
};

pub(super) const HEALTHY_AFTER: Duration = Duration::from_secs(40);

/// How the tasks of a deployment behave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conduct {
    Runs,
    NeverStarts,
    CrashesAfter(u64),
    UnhealthyAfter(u64),
    Checked,
}

/// A service and a host that does what it is told.
pub(super) struct Sim {
    pub(super) now: u64,
    pub(super) service: Service,
    pub(super) tasks: BTreeMap<TaskId, Arc<Task>>,
    pub(super) conduct: BTreeMap<DeploymentId, Conduct>,
    pub(super) definition: [TaskDefinition; 2],
    pub(super) start_takes: u64,
    pub(super) stop_takes: u64,
    pub(super) room: u32,
    pub(super) is_draining: bool,
    pub(super) serial: u64,
    pub(super) started: Vec<u64>,
    pub(super) highest: usize,
}

pub(super) fn definition(checked: bool) -> TaskDefinition {
    let check = if checked { r#","healthCheck":{"command":["CMD","true"]}"# } else { "" };
    let text = format!(
        r#"{{"family":"web","networkMode":"none","containerDefinitions":[{{"name":"web","image":"i"{check}}}]}}"#
    );
    let document: Document = serde_json::from_str(&text).unwrap();
    TaskDefinition::new(document, 1 + u32::from(checked), Timestamp(0))
}

impl Sim {
    pub(super) fn new(desired: u32, minimum: u32, maximum: u32) -> Self {
        let service = Service {
            bounds: DeploymentBounds { minimum_healthy_percent: minimum, maximum_percent: maximum },
            ..Service::new(
                ClusterName::parse("default").unwrap(),
                ServiceName::parse("web").unwrap(),
                desired,
                Timestamp(0),
            )
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

    pub(super) fn running(desired: u32, minimum: u32, maximum: u32) -> Self {
        let mut sim = Self::new(desired, minimum, maximum);
        sim.deploy(Conduct::Runs);
        sim.run_for(60_000);
        assert_eq!(sim.count(TaskStatus::Running), desired as usize);
        sim.started.clear();
        sim
    }

    pub(super) fn deploy(&mut self, conduct: Conduct) -> DeploymentId {
        self.serial += 1;
        let id = DeploymentId::from_random(self.serial);
        let checked = matches!(conduct, Conduct::Checked | Conduct::UnhealthyAfter(_));
        let made_of = self.definition[usize::from(checked)].id.clone();
        self.service.deploy(id.clone(), made_of, Timestamp(self.now));
        self.conduct.insert(id.clone(), conduct);
        id
    }

    pub(super) fn view(&self) -> ServiceView {
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
    pub(super) fn settle(&mut self) -> Option<u64> {
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

    pub(super) fn check_ceiling(&mut self) {
        let alive = self.tasks.values().filter(|task| task.known_status < TaskStatus::Deprovisioning).count();
        self.highest = self.highest.max(alive);
    }

    pub(super) fn carry_out(&mut self, plan: Plan<ServiceAction, ServiceNote>) {
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

    pub(super) fn deployment(&mut self, id: &DeploymentId) -> &mut Deployment {
        self.service.deployments.iter_mut().find(|one| one.id == *id).unwrap()
    }

    pub(super) fn start(&mut self, deployment: &DeploymentId) -> TaskId {
        self.serial += 1;
        let id = TaskId::from_random(u128::from(self.serial).to_be_bytes());
        let owner = TaskOwner { service: self.service.name.clone(), deployment: deployment.clone() };
        let made_of = self.deployment(deployment).task_definition.clone();
        let definition = self.definition.iter().find(|one| one.id == made_of).unwrap();
        let task = Task::from(NewTask {
            owner: Some(owner),
            ..NewTask::of(id.clone(), self.service.cluster.clone(), definition, Timestamp(self.now))
        });
        self.tasks.insert(id.clone(), Arc::new(task));
        self.started.push(self.now);
        id
    }

    pub(super) fn end(&mut self, id: &TaskId, request: StopRequest) {
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

    pub(super) fn end_by_itself(&mut self, id: &TaskId, code: StopCode) {
        self.end(id, StopRequest { code, reason: "it ended".into() });
    }

    /// What the host does to each task by now.
    pub(super) fn live(&mut self) {
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

    pub(super) fn grow_old(&mut self, id: &TaskId, conduct: Conduct, ran: u64) {
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

    pub(super) fn run_for(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.live();
            self.settle();
            self.now += 50;
        }
    }

    pub(super) fn count(&self, known: TaskStatus) -> usize {
        let wanted = |task: &&Arc<Task>| task.desired_status == DesiredStatus::Running;
        self.tasks.values().filter(wanted).filter(|task| task.known_status == known).count()
    }

    pub(super) fn kill(&mut self, index: usize) {
        let id = self.tasks.keys().nth(index).unwrap().clone();
        self.end_by_itself(&id, StopCode::EssentialContainerExited);
    }

    pub(super) fn told(&self, part: &str) -> usize {
        self.service.events.iter().filter(|event| event.message.contains(part)).count()
    }
}
