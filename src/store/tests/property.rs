//! The store beside a simpler model of it: plain lists that are counted anew each time.

use std::{collections::BTreeMap, convert::Infallible};

use proptest::prelude::*;

use super::{over_memory, sample};
use crate::{
    model::{
        ids::TaskId,
        task::{DesiredStatus, Task, TaskStatus},
        time::Timestamp,
    },
    store::{Counts, Retention, Snapshot, backend::memory::Memory},
};

#[derive(Clone, Debug)]
enum Step {
    Put { number: u8, service: Option<u8> },
    Move { number: u8, known: TaskStatus, wanted: bool },
    Remove { number: u8 },
    Prune { most: usize },
    Refuse { number: u8 },
    Reopen,
}

fn status() -> impl Strategy<Value = TaskStatus> {
    prop_oneof![
        Just(TaskStatus::Pending),
        Just(TaskStatus::Running),
        Just(TaskStatus::Stopping),
        Just(TaskStatus::Stopped),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..12_u8;
    prop_oneof![
        4 => (number.clone(), prop::option::of(0..3_u8)).prop_map(|(number, service)| Step::Put { number, service }),
        6 => (number.clone(), status(), any::<bool>())
            .prop_map(|(number, known, wanted)| Step::Move { number, known, wanted }),
        1 => number.clone().prop_map(|number| Step::Remove { number }),
        1 => (0..4_usize).prop_map(|most| Step::Prune { most }),
        1 => number.prop_map(|number| Step::Refuse { number }),
        1 => Just(Step::Reopen),
    ]
}

fn owner(service: u8) -> (String, u64) {
    (format!("service-{service}"), u64::from(service))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn indexes_are_what_counting_anew_would_give(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let memory = Memory::default();
            let mut store = over_memory(&memory);
            sample::put(&store, "web").await;
            let mut model: BTreeMap<TaskId, Task> = BTreeMap::new();
            for (moment, step) in steps.into_iter().enumerate() {
                let at = Timestamp(moment as u64 + 1);
                if matches!(step, Step::Reopen) {
                    drop(store);
                    store = over_memory(&memory);
                } else {
                    let refuse = matches!(step, Step::Refuse { .. });
                    let done = store.write(move |draft| {
                        perform(draft, &step, at);
                        let tasks = draft.tasks().map(|task| (task.id.clone(), Task::clone(task))).collect();
                        if refuse { Err(()) } else { Ok(tasks) }
                    }).await;
                    if let Ok(tasks) = done {
                        model = tasks;
                    }
                }
                compare(&store.snapshot(), &model);
            }
            Ok::<_, Infallible>(())
        }).unwrap();
    }
}

fn perform(draft: &mut crate::store::Draft, step: &Step, at: Timestamp) {
    match *step {
        Step::Put { number, service } => {
            let owner = service.map(owner);
            let owner = owner.as_ref().map(|(name, number)| (name.as_str(), *number));
            let task = sample::task(draft, number, "web", owner);
            draft.put_task(task);
        }
        Step::Move { number, known, wanted } => {
            draft.update_task(&sample::task_id(number), |task| {
                task.known_status = known;
                task.desired_status = if wanted { DesiredStatus::Running } else { DesiredStatus::Stopped };
                task.times.stopped_at = (known == TaskStatus::Stopped).then_some(at);
            });
        }
        Step::Remove { number } | Step::Refuse { number } => draft.remove_task(&sample::task_id(number)),
        Step::Prune { most } => {
            draft.prune(Retention { before: Timestamp(0), most_stopped_tasks: most });
            assert!(draft.tasks().filter(|task| task.is_stopped()).count() <= most);
        }
        Step::Reopen => {}
    }
}

fn compare(snapshot: &Snapshot, model: &BTreeMap<TaskId, Task>) {
    let found: BTreeMap<_, _> = snapshot.tasks().map(|task| (task.id.clone(), Task::clone(task))).collect();
    assert_eq!(found, *model);
    assert_eq!(snapshot.counts(), count(model.values()));
    assert_eq!(snapshot.counts_of_cluster(&sample::cluster_name()), count(model.values()));
    let live = model.values().filter(|task| !task.is_stopped()).count() as u64;
    assert_eq!(snapshot.taken().resources.cpu, live * 10);
    assert_eq!(snapshot.taken().ports().count(), usize::from(live > 0));
    let stays = |task: &&Task| !task.is_stopped() && task.desired_status == DesiredStatus::Running;
    assert_eq!(snapshot.wanted().resources.cpu, model.values().filter(stays).count() as u64 * 10);
    let by_id: Vec<_> = snapshot.tasks_of_cluster(&sample::cluster_name()).map(|task| &task.id).collect();
    assert_eq!(by_id, model.keys().collect::<Vec<_>>());
    for service in 0..3 {
        let (name, number) = owner(service);
        let key = (sample::cluster_name(), sample::service_name(&name));
        let of_service = |task: &&Task| task.owner.as_ref().is_some_and(|owner| owner.service == key.1);
        let expected = count(model.values().filter(of_service));
        assert_eq!(snapshot.counts_of_service(&key), expected);
        assert_eq!(snapshot.counts_of_deployment(&sample::deployment(number)), expected);
        assert_eq!(snapshot.tasks_of_service(&key).count(), model.values().filter(of_service).count());
    }
}

fn count<'a>(tasks: impl Iterator<Item = &'a Task>) -> Counts {
    let mut counts = Counts::default();
    for task in tasks {
        match task.known_status {
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => counts.pending += 1,
            TaskStatus::Running => counts.running += 1,
            TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning => {
                counts.stopping += 1;
            }
            TaskStatus::Stopped => continue,
        }
        counts.wanted += u32::from(task.desired_status == DesiredStatus::Running);
    }
    counts
}
