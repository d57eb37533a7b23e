//! The loops with a host that obeys orders and a store in memory.

mod world;

use std::{convert::Infallible, time::Duration};

use crate::{
    daemon::{clock, facts, services::Passes},
    model::{
        fact::{Fact, Seen},
        ids::ContainerName,
        service::{
            DeploymentBounds, DeploymentStatus, RolloutState, SchedulingStrategy, Service, ServiceStatus,
        },
        task::{DesiredStatus, StopCode, StopRequest, TaskStatus},
        time::Timestamp,
    },
};
use world::{World, key, running, service, told};

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
async fn what_ends_by_itself_and_what_replaces_it_are_one_commit() {
    let (store, passes) = (world::store().await, Passes::of(&world::settings()));
    let first = passes.clone();
    let made = store.write(move |draft| {
        draft.put_service(service("web", "web", 1));
        first.follow(draft, &key("web"));
        Ok::<_, Infallible>(draft.live_tasks_of_service(&key("web")).next().unwrap().id.clone())
    });
    let victim = made.await.unwrap();
    let container = ContainerName::parse("web").unwrap();
    let reason = "Essential container in task exited".into();
    let request = StopRequest { code: StopCode::EssentialContainerExited, reason };
    let (ended, began) = (clock::wall(), Timestamp(clock::wall().0 - 10_000));
    let seen = [
        (began, Seen::ContainerStarted { container, pid: 1, restarts: 0 }),
        (ended, Seen::Stopping { request }),
    ];
    let batch = seen.map(|(at, seen)| Fact { task: victim.clone(), at, ledger: None, seen }).into();
    assert!(facts::try_commit(&store, &batch, passes.healthy_after, Some(&passes)).await);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.task(&victim).unwrap().desired_status, DesiredStatus::Stopped);
    let of = key("web");
    let replacement = snapshot.live_tasks_of_service(&of).find(|task| task.id != victim);
    assert_eq!(replacement.map(|task| task.desired_status), Some(DesiredStatus::Running));
    assert_eq!(told(&snapshot, "web", "has started 1 tasks"), 2);
}

#[tokio::test]
async fn a_task_that_is_stopped_at_once_is_swept_after_that() {
    let mut world = World::start().await;
    let id = world.running("web").await;
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
    let id = world.running("web").await;
    world.stop(&id).await;
    world.until_it_is(&id, TaskStatus::Stopped).await;
    assert_eq!(world.store.snapshot().tasks().count(), 1);
}

#[tokio::test]
async fn a_task_waits_for_memory_and_starts_when_it_is_free() {
    let mut world = World::start().await;
    let first = world.running("big").await;
    let second = world.run("big").await;
    assert_eq!(world.store.snapshot().task(&second).unwrap().known_status, TaskStatus::Pending);
    world.stop(&first).await;
    world.until_it_is(&second, TaskStatus::Running).await;
}

#[tokio::test]
async fn a_service_that_does_not_fit_says_so_and_fills_up_later() {
    let mut world = World::start().await;
    let first = world.running("big").await;
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
    world.until_it_is(&id, TaskStatus::Stopped).await;
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
    let id = world.running("web").await;
    world.stop(&id).await;
    world.put(service("web", "web", 2)).await;
    world.until("others run", |now| running(now, "web") == 2).await;
    world.until_it_is(&id, TaskStatus::Stopped).await;
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
