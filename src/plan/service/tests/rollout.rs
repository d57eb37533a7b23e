//! From one deployment to the next, and back.

use super::sim::{Conduct, Sim};
use crate::model::{
    ids::TaskId,
    service::{Breaker, RecordStatus, RolloutState, StopType},
    task::{DesiredStatus, TaskStatus},
    time::Timestamp,
};

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
fn failures_between_tasks_that_became_healthy_are_counted_from_the_last_of_those() {
    let mut sim = Sim::new(2, 100, 200);
    let id = sim.deploy(Conduct::Runs);
    sim.run_for(50_000);
    sim.conduct.insert(id, Conduct::NeverStarts);
    sim.kill(0);
    sim.run_for(20_000);
    assert!(sim.service.primary().failed_tasks > 2, "the other one has been healthy for long");
}
