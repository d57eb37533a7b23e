mod contract;
mod crash;
mod property;
mod sample;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    backend::{Backend, memory::Memory, sqlite},
    record::{Change, Row},
    *,
};

/// Opens over rows in memory that outlive the store.
fn over_memory(memory: &Memory) -> Store {
    Store::over(Box::new(memory.clone()), Path::new(":memory:"), None).unwrap().store
}

#[tokio::test]
async fn every_store_keeps_the_contract() {
    let memory = Memory::default();
    contract::check(&|| over_memory(&memory)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/store.db");
    contract::check(&|| Store::open(&path).unwrap().store).await;
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_a_new_one_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    fs::write(&path, b"this was never a database, it only has the length of one".repeat(200)).unwrap();
    let opened = Store::open(&path).unwrap();
    let aside = opened.set_aside.unwrap();
    assert!(aside.path.to_string_lossy().contains("store.db.corrupt-"), "{aside:?}");
    assert!(aside.path.exists());
    sample::put(&opened.store, "web").await;
    drop(opened.store);
    assert!(Store::open(&path).unwrap().set_aside.is_none());
}

#[tokio::test]
async fn pages_that_went_bad_in_a_good_file_count_as_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = Store::open(&path).unwrap().store;
    for n in 0..40 {
        sample::put(&store, &format!("family-{n}")).await;
    }
    drop(store);
    sample::wait_until_free(&path);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[8192..middle].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let opened = Store::open(&path).unwrap();
    assert!(opened.set_aside.is_some());
    assert_eq!(opened.store.snapshot().task_definitions().count(), 40, "the copy has them all");
}

#[tokio::test]
async fn a_database_that_is_gone_or_empty_comes_back_from_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    for round in 0..2 {
        let store = Store::open(&path).unwrap().store;
        sample::put(&store, &format!("family-{round}")).await;
        drop(store);
        sample::wait_until_free(&path);
        if round == 0 {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, "").unwrap();
        }
        let _ = fs::remove_file(directory.path().join("store.db-wal"));
    }
    let opened = Store::open(&path).unwrap();
    assert_eq!(opened.store.snapshot().task_definitions().count(), 2);
}

#[tokio::test]
async fn a_row_that_nobody_understands_is_named_and_the_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = Store::open(&path).unwrap().store;
    sample::put(&store, "good").await;
    sample::put(&store, "bad").await;
    drop(store);
    sample::wait_until_free(&path);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("update task_definition set document = '{' where key = 'bad:1'", []).unwrap();
    drop(raw);
    let opened = Store::open(&path).unwrap();
    assert_eq!(opened.unreadable.len(), 1);
    assert!(opened.unreadable[0].starts_with("task_definition/bad:1: "), "{:?}", opened.unreadable);
    assert_eq!(opened.store.snapshot().task_definitions().count(), 1);
    drop(opened.store);
    assert!(Store::open(&path).unwrap().unreadable.is_empty());
}

#[test]
fn two_daemons_cannot_open_one_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let _first = Store::open(&path).unwrap();
    let second = Store::open(&path).err().unwrap();
    assert!(matches!(second, OpenError::Database { source: BackendError::InUse(_), .. }), "{second:?}");
}

#[test]
fn a_database_of_a_newer_release_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(Store::open(&path).unwrap());
    sample::wait_until_free(&path);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 1000).unwrap();
    drop(raw);
    let refused = Store::open(&path).err().unwrap();
    assert!(matches!(refused, OpenError::Database { source: BackendError::Newer { found: 1000, .. }, .. }));
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let (backend, _) = sqlite::open(&path).unwrap();
    backend.limit_pages(30).unwrap();
    let store = Store::over(Box::new(backend), &path, None).unwrap().store;
    let mut written = 0;
    let failure = loop {
        let before = store.snapshot();
        let name = format!("family-{written}");
        match store.write(sample::writing(name, 2000)).await {
            Ok(()) => written += 1,
            Err(failure) => {
                assert!(Arc::ptr_eq(&before, &store.snapshot()));
                break failure;
            }
        }
        assert!(written < 1000, "the limit was never met");
    };
    let WriteError::Commit(reason) = failure else { panic!("{failure:?}") };
    assert_eq!(reason.to_string(), format!("no space left for {}", path.display()));
    drop(store);
    sample::wait_until_free(&path);
    assert_eq!(Store::open(&path).unwrap().store.snapshot().task_definitions().count(), written);
}

/// Memory that refuses to commit while told so.
struct Failing {
    inner: Memory,
    fail: Arc<AtomicBool>,
}

impl Backend for Failing {
    fn load(&mut self) -> Result<Vec<Row>, BackendError> {
        self.inner.load()
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), BackendError> {
        if self.fail.load(Ordering::SeqCst) {
            return Err(BackendError::Newer { found: 0, known: 0 });
        }
        self.inner.commit(batch)
    }

    fn quarantine(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        self.inner.quarantine(rows)
    }
}

#[tokio::test]
async fn the_store_goes_on_after_a_commit_that_failed() {
    let fail = Arc::new(AtomicBool::new(true));
    let backend = Failing { inner: Memory::default(), fail: Arc::clone(&fail) };
    let store = Store::over(Box::new(backend), Path::new(":memory:"), None).unwrap().store;
    let mut watch = store.watch();
    let first = store.write(sample::writing("web".to_owned(), 0)).await;
    assert!(matches!(first, Err(WriteError::Commit(_))));
    assert_eq!(store.snapshot().revision(), 0);
    fail.store(false, Ordering::SeqCst);
    sample::put(&store, "web").await;
    let family = sample::family("web");
    assert_eq!(store.snapshot().last_revision(&family), 1, "the failed write took no revision");
    assert_eq!(watch.changed().await.task_definitions.len(), 1);
}

#[tokio::test]
async fn writers_that_wait_together_share_a_commit() {
    let store = Store::memory();
    let writes = (0..64).map(|n| {
        let store = store.clone();
        async move { sample::put(&store, &format!("family-{n}")).await }
    });
    futures_util::future::join_all(writes).await;
    let snapshot = store.snapshot();
    assert_eq!(snapshot.task_definitions().count(), 64);
    assert!(snapshot.revision() <= 64);
}
