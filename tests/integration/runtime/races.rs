//! Places that change while they are being mounted on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use super::container::Container;
use crate::harness::require;

/// Exchanges two names, as fast as it can, until it is dropped.
struct Exchange {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Exchange {
    fn of(one: PathBuf, other: PathBuf) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = is_over.clone();
        let exchange = move || {
            let mut count = 0;
            while !flag.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                count += 1;
            }
            count
        };
        Self { is_over, thread: Some(thread::spawn(exchange)) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let count = self.thread.take().unwrap().join().unwrap();
        println!("{count} exchanges");
    }
}

#[test]
fn a_directory_that_becomes_a_link_while_it_is_mounted_on_does_not_lead_out() {
    require!(root, busybox);
    let mut container = Container::new();
    let [outer, inner, treasure] = ["outer", "inner", "treasure"].map(|name| container.path(name));
    for dir in [&outer, &inner, &treasure, &outer.join("d")] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(treasure.join("word"), "the treasure\n").unwrap();
    fs::write(inner.join("word"), "forged\n").unwrap();
    std::os::unix::fs::symlink(&treasure, outer.join("link")).unwrap();
    // Where the second mount is led out to the third one's source, the third shows what is in the second.
    let bind = |at: &str, source: &Path| json!({"destination": at, "type": "bind", "source": source, "options": ["rbind"]});
    container.config["mounts"].as_array_mut().unwrap().extend([
        bind("/v", &outer),
        bind("/v/d", &inner),
        bind("/v/d/made", &inner),
        bind("/z", &treasure),
    ]);
    container.config["root"]["readonly"] = json!(false);
    container.script("cat /z/word");
    let exchange = Exchange::of(outer.join("d"), outer.join("link"));
    let mut count = 0;
    for _ in 0..40 {
        let ran = container.run();
        // A root file system may have been left without what a link in it leads to; that is said, and nothing is run.
        assert!(ran.out == "the treasure" || ran.code != 0 && ran.out.is_empty(), "{ran:?}");
        count += i32::from(ran.code == 0);
        let names: Vec<_> =
            fs::read_dir(&treasure).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["word"], "nothing was made outside");
    }
    drop(exchange);
    assert!(count > 0, "some of them ran");
}
