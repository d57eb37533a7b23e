//! What every store promises, whatever it keeps its rows in.

use std::{convert::Infallible, time::Duration};

use super::sample;
use crate::{
    model::{
        ids::TaskDefinitionId,
        network::Protocol,
        resources::Resources,
        service::ServiceStatus,
        task::{DesiredStatus, TaskStatus},
        task_definition::TaskDefinitionStatus,
        time::Timestamp,
    },
    store::{ClientToken, Counts, Retention, Store, WriteError},
};

/// SQLite lets go of the file a moment after a store is dropped, and opening waits for that.
type Open<'a> = &'a dyn Fn() -> Store;

/// Checks every promise, one after the other, each on the store that the one before left.
pub(super) async fn check(open: Open<'_>) {
    a_write_is_seen_when_it_returned_and_after_opening_again(open).await;
    a_write_that_refuses_changes_nothing(open).await;
    a_revision_is_never_given_out_twice(open).await;
    a_snapshot_stays_as_it_was(open).await;
    tasks_are_counted_and_found_by_what_owns_them(open).await;
    changes_gather_until_they_are_asked_for(open).await;
    an_expired_token_makes_room_for_a_new_one(open).await;
    what_is_over_is_forgotten_oldest_first(open).await;
    a_deleted_definition_stays_while_it_is_used(open).await;
}

async fn a_write_is_seen_when_it_returned_and_after_opening_again(open: Open<'_>) {
    let store = open();
    store
        .write(|draft| {
            draft.put_cluster(sample::cluster());
            draft.set_boot_id("boot-1");
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert!(store.snapshot().cluster(&sample::cluster_name()).is_some());
    drop(store);
    let again = open();
    assert_eq!(again.snapshot().boot_id(), Some("boot-1"));
    assert_eq!(**again.snapshot().cluster(&sample::cluster_name()).unwrap(), sample::cluster());
}

async fn a_write_that_refuses_changes_nothing(open: Open<'_>) {
    let store = open();
    let before = store.snapshot();
    let refused = store
        .write(|draft| {
            sample::define(draft, "refused", 0);
            assert!(
                draft.latest_active(&sample::family("refused")).is_some(),
                "a draft sees its own changes"
            );
            Err::<(), _>("no")
        })
        .await;
    assert!(matches!(refused, Err(WriteError::Refused("no"))));
    assert!(store.snapshot().latest_active(&sample::family("refused")).is_none());
    assert_eq!(store.snapshot().revision(), before.revision());
}

async fn a_revision_is_never_given_out_twice(open: Open<'_>) {
    let store = open();
    let family = sample::family("counted");
    sample::put(&store, "counted").await;
    sample::put(&store, "counted").await;
    let all = family.clone();
    store
        .write(move |draft| {
            for revision in 1..=2 {
                draft.remove_task_definition(&TaskDefinitionId { family: all.clone(), revision });
            }
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.snapshot().task_definitions_of(&family).count(), 0);
    sample::put(&store, "counted").await;
    assert_eq!(store.snapshot().latest_active(&family).unwrap().id.revision, 3);
}

async fn a_snapshot_stays_as_it_was(open: Open<'_>) {
    let store = open();
    let before = store.snapshot();
    let count = before.task_definitions().count();
    sample::put(&store, "later").await;
    assert_eq!(before.task_definitions().count(), count);
    assert_eq!(store.snapshot().task_definitions().count(), count + 1);
}

async fn tasks_are_counted_and_found_by_what_owns_them(open: Open<'_>) {
    let store = open();
    sample::put(&store, "web").await;
    store
        .write(|draft| {
            let owned = sample::task(draft, 1, "web", Some(("site", 5)));
            let alone = sample::task(draft, 2, "web", None);
            draft.put_task(owned);
            draft.put_task(alone);
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    let key = (sample::cluster_name(), sample::service_name("site"));
    let check = |store: &Store, counts: Counts| {
        let snapshot = store.snapshot();
        assert_eq!(snapshot.tasks_of_service(&key).count(), 1);
        assert_eq!(snapshot.tasks_of_cluster(&key.0).count(), 2);
        assert_eq!(snapshot.counts_of_service(&key), counts);
        assert_eq!(snapshot.counts_of_deployment(&sample::deployment(5)), counts);
        let live = u64::from(snapshot.counts().live());
        assert_eq!(snapshot.taken().resources, Resources { cpu: 10 * live, memory: 20 * live });
        assert_eq!(snapshot.taken().has((Protocol::Tcp, 8080)), live > 0);
    };
    check(&store, Counts { pending: 1, wanted: 1, ..Counts::default() });
    move_task(&store, 1, TaskStatus::Running, DesiredStatus::Running).await;
    check(&store, Counts { running: 1, wanted: 1, ..Counts::default() });
    move_task(&store, 1, TaskStatus::Stopping, DesiredStatus::Stopped).await;
    check(&store, Counts { stopping: 1, ..Counts::default() });
    drop(store);
    let store = open();
    check(&store, Counts { stopping: 1, ..Counts::default() });
    assert_eq!(store.snapshot().task(&sample::task_id(1)).unwrap().version, 3);
    move_task(&store, 1, TaskStatus::Stopped, DesiredStatus::Stopped).await;
    check(&store, Counts::default());
    assert_eq!(store.snapshot().live_tasks_of_service(&key).count(), 0);
    move_task(&store, 2, TaskStatus::Stopped, DesiredStatus::Stopped).await;
    check(&store, Counts::default());
}

async fn move_task(store: &Store, number: u8, known: TaskStatus, desired: DesiredStatus) {
    let there = store
        .write(move |draft| {
            Ok::<_, Infallible>(draft.update_task(&sample::task_id(number), |task| {
                task.known_status = known;
                task.desired_status = desired;
                if known == TaskStatus::Stopped {
                    task.times.stopped_at = Some(Timestamp(100 + u64::from(number)));
                }
            }))
        })
        .await
        .unwrap();
    assert!(there);
}

async fn changes_gather_until_they_are_asked_for(open: Open<'_>) {
    let store = open();
    let mut watch = store.watch();
    let quiet = tokio::time::timeout(Duration::from_millis(10), watch.changed()).await;
    assert!(quiet.is_err(), "a new watch hears nothing of the past");
    for _ in 0..3 {
        sample::put(&store, "watched").await;
    }
    let changes = watch.changed().await;
    assert_eq!(changes.task_definitions.len(), 3);
    assert!(changes.tasks.is_empty());
}

async fn an_expired_token_makes_room_for_a_new_one(open: Open<'_>) {
    let store = open();
    let put = async |key: &str, expires: u64, now: u64| {
        let token = ClientToken {
            key: key.into(),
            fingerprint: "f".into(),
            tasks: vec![sample::task_id(1)],
            expires_at: Timestamp(expires),
        };
        store
            .write(move |draft| {
                draft.put_client_token(token, Timestamp(now));
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
    };
    put("a", 10, 0).await;
    put("b", 20, 0).await;
    put("c", 30, 15).await;
    drop(store);
    let snapshot = open().snapshot();
    assert!(snapshot.client_token("a").is_none());
    assert_eq!(snapshot.client_token("b").unwrap().tasks, [sample::task_id(1)]);
    assert!(snapshot.client_token("c").is_some());
}

async fn what_is_over_is_forgotten_oldest_first(open: Open<'_>) {
    let store = open();
    let prune = async |before, most_stopped_tasks| {
        let retention = Retention { before: Timestamp(before), most_stopped_tasks };
        store.write(move |draft| Ok::<_, Infallible>(draft.prune(retention))).await.unwrap()
    };
    assert!(prune(50, 10).await.is_empty());
    assert_eq!(prune(50, 1).await, [sample::task_id(1)]);
    assert_eq!(prune(500, 10).await, [sample::task_id(2)]);
    assert_eq!(store.snapshot().tasks().count(), 0);
    drop(store);
    assert_eq!(open().snapshot().tasks().count(), 0);
}

async fn a_deleted_definition_stays_while_it_is_used(open: Open<'_>) {
    let store = open();
    let id = TaskDefinitionId { family: sample::family("web"), revision: 1 };
    let key = (sample::cluster_name(), sample::service_name("site"));
    let (made_of, retention) = (id.clone(), Retention { before: Timestamp(0), most_stopped_tasks: 10 });
    store
        .write(move |draft| {
            let mut definition = (**draft.task_definition(&made_of).unwrap()).clone();
            definition.status = TaskDefinitionStatus::DeleteInProgress;
            draft.put_task_definition(definition);
            draft.put_service(sample::service("site", &made_of, 5));
            draft.prune(retention);
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert!(store.snapshot().task_definition(&id).is_some());
    store
        .write(move |draft| {
            draft.update_service(&key, |service| service.status = ServiceStatus::Inactive);
            draft.prune(retention);
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert!(store.snapshot().task_definition(&id).is_none());
}
