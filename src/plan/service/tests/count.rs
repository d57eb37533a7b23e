//! How many tasks there are: starts, deaths, scaling, room on the host.

use std::sync::Arc;

use super::sim::{Conduct, Sim};
use crate::model::{
    service::{RolloutState, SchedulingStrategy, ServiceStatus},
    task::{DesiredStatus, Protection, StopCode, TaskStatus},
    time::Timestamp,
};

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
