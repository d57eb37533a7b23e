use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::model::{
    ids::ClusterName,
    task::{Exit, NewTask, StopCode, TaskStatus},
    task_definition::TaskDefinition,
    tests::golden,
};

const STATUSES: [TaskStatus; 8] = [
    TaskStatus::Provisioning,
    TaskStatus::Pending,
    TaskStatus::Activating,
    TaskStatus::Running,
    TaskStatus::Deactivating,
    TaskStatus::Stopping,
    TaskStatus::Deprovisioning,
    TaskStatus::Stopped,
];
const STEPS: [Reached; 6] =
    [Reached::Attached, Reached::Preparing, Reached::Up, Reached::Stopping, Reached::Ended, Reached::Removed];
const PLACES: [ContainerStatus; 3] =
    [ContainerStatus::Pending, ContainerStatus::Running, ContainerStatus::Stopped];
const TURNS: [Turn; 5] = [Turn::Started, Turn::Restarting, Turn::Exited, Turn::Failed, Turn::Over];

fn name(text: &str) -> ContainerName {
    ContainerName::parse(text).unwrap()
}

/// A task of an essential `app` and an optional `sidecar`.
fn task() -> Task {
    let container = |name: &str, essential: bool| serde_json::json!({ "name": name, "image": "busybox", "essential": essential });
    let document = serde_json::json!({
        "family": "web", "networkMode": "awsvpc",
        "containerDefinitions": [container("app", true), container("sidecar", false)],
    });
    let definition = TaskDefinition::new(serde_json::from_value(document).unwrap(), 1, Timestamp(0));
    let cluster = ClusterName::parse("default").unwrap();
    Task::from(NewTask::of(TaskId::from_random([1; 16]), cluster, &definition, Timestamp(1)))
}

fn started(text: &str) -> Seen {
    Seen::ContainerStarted { container: name(text), pid: 42, restarts: 0 }
}

fn exited(text: &str, restarting: bool) -> Seen {
    Seen::ContainerExited { container: name(text), exit: Exit::Code(3), reason: None, restarting }
}

fn failed(text: &str) -> Seen {
    let reason = "CannotStartContainerError: no such file".to_owned();
    Seen::ContainerFailed { container: name(text), reason, exit: None }
}

fn stopping(code: StopCode) -> Seen {
    Seen::Stopping { request: StopRequest { code, reason: "why".to_owned() } }
}

/// The task after these facts, one a millisecond.
fn after(seen: &[Seen]) -> Task {
    let mut task = task();
    for (at, seen) in seen.iter().enumerate() {
        let number = at as u64 + 1;
        let fact =
            Fact { task: task.id.clone(), at: Timestamp(number), ledger: Some(number), seen: seen.clone() };
        task.take(&fact).unwrap();
    }
    task
}

#[test]
fn the_table_of_transitions_is_as_written() {
    let mut text = String::from("task\n");
    for from in STATUSES {
        for step in STEPS {
            let _ = writeln!(
                text,
                "  {:15} {:10} {:?}",
                format!("{from:?}"),
                format!("{step:?}"),
                from.after(step)
            );
        }
    }
    text.push_str("container\n");
    for from in PLACES {
        for turn in TURNS {
            let to = from.after(turn).map_or("-".to_owned(), |to| format!("{to:?}"));
            let _ = writeln!(text, "  {:15} {:10} {to}", format!("{from:?}"), format!("{turn:?}"));
        }
    }
    golden("src/model/lifecycle/table.txt", &text);
}

#[test]
fn a_status_only_moves_to_the_right() {
    for from in STATUSES {
        assert!(STEPS.iter().all(|&step| from.after(step) >= from));
    }
    for from in PLACES {
        assert!(TURNS.iter().filter_map(|&turn| from.after(turn)).all(|to| to >= from));
    }
}

#[test]
fn a_task_runs_once_every_container_has_started() {
    let early = after(&[Seen::PullStarted, Seen::PullStopped, Seen::ShimStarted, started("app")]);
    assert_eq!(early.known_status, TaskStatus::Activating);
    let up = after(&[Seen::PullStarted, started("app"), started("sidecar")]);
    assert_eq!(up.known_status, TaskStatus::Running);
    assert_eq!((up.times.started_at, up.ledger_seen, up.version), (Some(Timestamp(3)), 3, 4));
}

#[test]
fn a_task_runs_without_an_optional_container_but_not_without_an_essential_one() {
    assert_eq!(after(&[started("app"), failed("sidecar")]).known_status, TaskStatus::Running);
    let down = after(&[started("sidecar"), failed("app")]);
    assert_eq!(down.known_status, TaskStatus::Provisioning);
    assert_eq!(down.times.execution_stopped_at, None);
}

#[test]
fn an_essential_exit_is_when_execution_stopped() {
    let task = after(&[
        started("sidecar"),
        started("app"),
        exited("sidecar", false),
        exited("app", false),
        stopping(StopCode::EssentialContainerExited),
        Seen::AllStopped,
        Seen::Removed,
    ]);
    let times = task.times;
    assert_eq!(times.execution_stopped_at, Some(Timestamp(4)));
    assert_eq!((times.stopping_at, times.stopped_at), (Some(Timestamp(5)), Some(Timestamp(7))));
    assert_eq!(task.containers[0].exit, Some(Exit::Code(3)));
    assert!(task.is_stopped());
}

#[test]
fn a_restart_does_not_change_the_task() {
    let again = Seen::ContainerStarted { container: name("app"), pid: 43, restarts: 1 };
    let task = after(&[started("app"), started("sidecar"), exited("app", true), again]);
    assert_eq!(task.known_status, TaskStatus::Running);
    assert_eq!((task.containers[0].pid, task.containers[0].restarts), (Some(43), 1));
    assert_eq!(task.containers[0].exit, None);
}

#[test]
fn the_first_reason_to_stop_is_kept() {
    let task = after(&[stopping(StopCode::UserInitiated), stopping(StopCode::EssentialContainerExited)]);
    assert_eq!(task.stop.unwrap().code, StopCode::UserInitiated);
    assert_eq!(task.known_status, TaskStatus::Stopping);
}

#[test]
fn a_task_can_be_removed_from_anywhere() {
    let task = after(&[started("app"), Seen::Removed]);
    assert!(task.is_stopped());
    assert!(task.containers.iter().all(|container| container.known_status == ContainerStatus::Stopped));
    assert_eq!(task.containers[0].finished_at, Some(Timestamp(2)));
    assert_eq!(task.containers[1].finished_at, None, "it never ran");
}

#[test]
fn a_fact_counts_once_and_one_that_cannot_be_changes_nothing() {
    let mut task = after(&[started("app"), exited("app", false)]);
    let before = task.clone();
    let fact = |ledger, seen| Fact { task: before.id.clone(), at: Timestamp(9), ledger, seen };
    assert_eq!(task.take(&fact(Some(2), Seen::AllStopped)), Ok(false));
    let refused = task.take(&fact(Some(3), started("app"))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("container app of task {} is Stopped and cannot have started", before.id)
    );
    let stranger = task.take(&fact(Some(3), started("nobody"))).unwrap_err();
    assert_eq!(stranger.to_string(), format!("task {} has no container nobody", before.id));
    assert_eq!(task, before);
}

#[test]
fn the_health_of_a_task_is_that_of_its_essential_containers() {
    let healthy = |text: &str, health| Seen::HealthChanged { container: name(text), health };
    let up = [started("app"), started("sidecar")];
    let with = |more: &[Seen]| after(&[&up, more].concat()).health();
    assert_eq!(with(&[]), HealthStatus::Unknown);
    assert_eq!(with(&[healthy("app", HealthStatus::Healthy)]), HealthStatus::Healthy);
    let both = [healthy("app", HealthStatus::Healthy), healthy("sidecar", HealthStatus::Unhealthy)];
    assert_eq!(with(&both), HealthStatus::Healthy);
    assert_eq!(with(&[healthy("app", HealthStatus::Unhealthy)]), HealthStatus::Unhealthy);
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let which = || prop_oneof![Just("app"), Just("sidecar"), Just("nobody")];
    prop_oneof![
        Just(Seen::PullStarted),
        Just(Seen::PullStopped),
        Just(Seen::NetworkAttached { attachment: None }),
        Just(Seen::ShimStarted),
        which().prop_map(started),
        (which(), any::<bool>()).prop_map(|(text, restarting)| exited(text, restarting)),
        which().prop_map(failed),
        Just(stopping(StopCode::UserInitiated)),
        Just(Seen::AllStopped),
        proptest::bool::weighted(0.2).prop_map(|gone| if gone { Seen::Removed } else { Seen::PullStopped }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_seen_in_whatever_order_a_task_never_moves_back(
        facts in proptest::collection::vec((proptest::option::of(1u64..30), any_seen()), 0..40)
    ) {
        let mut task = task();
        for (at, (ledger, seen)) in facts.into_iter().enumerate() {
            let before = task.clone();
            let fact = Fact { task: before.id.clone(), at: Timestamp(at as u64), ledger, seen };
            if task.take(&fact) != Ok(true) {
                prop_assert_eq!(&task, &before);
            }
            prop_assert!(task.known_status >= before.known_status);
            prop_assert!(task.ledger_seen >= before.ledger_seen);
            prop_assert!(before.desired_status != DesiredStatus::Stopped || task.desired_status == before.desired_status);
            prop_assert!(before.stop.is_none() || task.stop == before.stop);
            for (now, then) in task.containers.iter().zip(&before.containers) {
                prop_assert!(now.known_status >= then.known_status);
                prop_assert!(now.pid.is_none() || now.known_status == ContainerStatus::Running);
            }
        }
    }
}
