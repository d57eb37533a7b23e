//! Ten thousand random histories of a service, and thousands of services on one host, on a virtual clock.
//!
//! Services are of both kinds. Time jumps from one happening to the next: a task starts, exits, fails its check or is gone; a plan wants to be
//! asked again; somebody deploys, scales, protects or stops; the daemon restarts; the wall clock is set. After each
//! the pass runs until it wants nothing, and every plan is held against the promises:
//!
//! - no start lifts the number of tasks above the ceiling, no stop leaves fewer healthy ones than the floor;
//! - a healthy deployment ends COMPLETED, a broken one with a circuit breaker in the revision before it;
//! - every task belongs to a deployment that the service knows;
//! - equal views give equal plans, and launches that fail become rare.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use proptest::prelude::*;

use self::world::{Conduct, Happening, World};
use super::sim::definition;
use crate::{
    model::service::{Breaker, RecordStatus, RolloutState, SchedulingStrategy, StopType},
    plan::random::tries,
};

mod world;

const HOUR: u64 = 3_600_000;

/// What happens to a service, and what is deployed at last.
#[derive(Clone, Debug)]
struct History {
    seed: u64,
    strategy: SchedulingStrategy,
    breaker: Breaker,
    happenings: Vec<Happening>,
    last: Conduct,
}

fn run(history: &History) {
    let definitions = [Arc::new(definition(false)), Arc::new(definition(true))];
    let mut world = World::new(history.seed, definitions);
    world.service.breaker = history.breaker;
    world.follow(history.strategy);
    world.deploy(Conduct::Runs);
    for happening in &history.happenings {
        world.happen(*happening);
    }
    world.calm();
    let last = world.deploy(history.last);
    let before = world.service.rollback_target(&last).cloned();
    world.run_until(world.now + HOUR);
    world.started = 0;
    world.run_until(world.now + HOUR);
    let (primary, record) = (world.service.primary(), world.service.record(&last).unwrap());
    let Breaker { enable, rollback, .. } = history.breaker;
    match (history.last.works(), enable, before.filter(|_| rollback)) {
        (true, _, _) => {
            assert_eq!((&primary.id, primary.rollout_state), (&last, RolloutState::Completed));
            assert_eq!((record.status, world.service.deployments.len()), (RecordStatus::Successful, 1));
            assert!(world.all_are_of(&last), "{:#?}", world.view());
        }
        // It was completed with no task at all, and is as broken as the last.
        (false, true, Some(before)) if !world.conduct[&before].works() => {
            assert_eq!((&primary.id, record.status), (&before, RecordStatus::RollbackFailed));
        }
        (false, true, Some(before)) => {
            assert_eq!((&primary.id, primary.rollout_state), (&before, RolloutState::Completed));
            assert_eq!(record.status, RecordStatus::RollbackSuccessful);
            assert!(world.all_are_of(&before), "{:#?}", world.view());
        }
        (false, true, None) => {
            assert_eq!((&primary.id, primary.rollout_state), (&last, RolloutState::Failed));
            assert_eq!((record.status, world.started), (RecordStatus::Stopped, 0));
        }
        (false, false, _) => {
            assert_eq!((&primary.id, primary.rollout_state), (&last, RolloutState::InProgress));
            let most = 6 * world.service.desired_count * world.service.bounds.maximum_percent / 100;
            assert!(world.started <= most, "{} launches in an hour", world.started);
        }
    }
}

fn conducts() -> impl Strategy<Value = Conduct> {
    prop_oneof![
        4 => Just(Conduct::Runs),
        4 => Just(Conduct::Passes),
        1 => Just(Conduct::NeverStarts),
        1 => Just(Conduct::Exits),
        1 => Just(Conduct::Fails),
    ]
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..120_000_u64).prop_map(Happening::Wait),
        3 => conducts().prop_map(Happening::Deploy),
        2 => (0..7_u32).prop_map(Happening::Scale),
        1 => (0..=100_u32, 100..=200_u32).prop_map(|(low, high)| Happening::Bounds(low, high)),
        2 => (0..8_usize).prop_map(Happening::Exit),
        1 => (0..8_usize).prop_map(Happening::StopTask),
        1 => (0..8_usize).prop_map(Happening::Sicken),
        1 => (0..8_usize, 1..600_000_u64).prop_map(|(index, millis)| Happening::Protect(index, millis)),
        1 => prop_oneof![Just(StopType::Abort), Just(StopType::Rollback)].prop_map(Happening::StopDeployment),
        1 => any::<bool>().prop_map(Happening::Drain),
        1 => (0..12_u32).prop_map(Happening::Room),
        1 => Just(Happening::RestartDaemon),
        1 => (-48 * 3_600_000..48 * 3_600_000_i64).prop_map(Happening::SetClock),
    ]
}

fn histories() -> impl Strategy<Value = History> {
    let breaker = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(enable, rollback, forgives)| {
        Breaker { enable, rollback, reset_on_healthy_task: forgives, ..Breaker::default() }
    });
    let strategy = prop_oneof![4 => Just(SchedulingStrategy::Replica), 1 => Just(SchedulingStrategy::Daemon)];
    (any::<u64>(), strategy, breaker, proptest::collection::vec(happenings(), 0..14), conducts()).prop_map(
        |(seed, strategy, breaker, happenings, last)| History { seed, strategy, breaker, happenings, last },
    )
}

#[test]
fn whatever_happens_every_promise_is_kept() {
    tries(10_000, histories(), |history| run(&history));
}

#[test]
fn thousands_of_services_share_a_host_and_each_gets_what_it_wants() {
    const SERVICES: usize = 2_000;
    const PLACES: usize = 2 * SERVICES + 100;
    let definitions = [Arc::new(definition(false)), Arc::new(definition(true))];
    let mut worlds: Vec<World> =
        (0..SERVICES as u64).map(|seed| World::new(seed, definitions.clone())).collect();
    let mut queue = BinaryHeap::new();
    let mut taken = 0;
    for (index, world) in worlds.iter_mut().enumerate() {
        world.deploy(if index % 3 == 0 { Conduct::Passes } else { Conduct::Runs });
        queue.push(Reverse((world.now + index as u64, index)));
    }
    let mut updated = vec![false; SERVICES];
    while let Some(Reverse((at, index))) = queue.pop() {
        let world = &mut worlds[index];
        world.now = world.now.max(at);
        taken -= world.tasks.len();
        let live = world.tasks.len();
        world.room = u32::try_from(PLACES - taken - live).unwrap_or(0).min(999);
        world.live();
        if world.service.primary().rollout_state == RolloutState::Completed && !updated[index] {
            updated[index] = true;
            world.deploy(Conduct::Runs);
        }
        world.settle();
        taken += world.tasks.len();
        assert!(taken <= PLACES, "{taken} tasks on a host for {PLACES}");
        let done = updated[index] && world.service.primary().rollout_state == RolloutState::Completed;
        if !done {
            let waits = world.next().unwrap_or(u64::MAX).min(world.now + 30_000).max(world.now + 1);
            queue.push(Reverse((waits, index)));
        }
    }
    for world in &worlds {
        assert!(world.all_are_of(&world.service.primary().id));
        assert_eq!(world.service.deployments.len(), 1);
    }
}
