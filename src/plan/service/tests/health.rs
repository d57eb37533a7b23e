//! What a health check does to a service.

use std::sync::Arc;

use super::sim::{Conduct, Sim, definition};
use crate::{
    model::task::{DesiredStatus, HealthStatus, Task},
    plan::service::view::health,
};

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
fn a_failing_check_is_overlooked_in_the_grace_period() {
    let mut sim = Sim::new(1, 100, 200);
    sim.service.extra.insert("healthCheckGracePeriodSeconds".into(), 60.into());
    sim.deploy(Conduct::UnhealthyAfter(100));
    sim.run_for(59_000);
    assert_eq!((sim.started.len(), sim.service.primary().failed_tasks), (1, 0));
    sim.run_for(5_000);
    assert!(sim.started.len() > 1);
}
