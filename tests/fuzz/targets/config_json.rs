//! Any bytes as a bundle's config.json: it is refused with a reason, or becomes a list of steps. No process is made.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use hythe::kernel::cgroup::{CgroupPath, Layout};
use hythe::runtime::steps::{Manner, Setting, plan};
use hythe::runtime::{Bundle, Host};
use libfuzzer_sys::fuzz_target;

/// A bundle's directory with an empty root filesystem.
static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let bundle = std::env::temp_dir().join(format!("hythe-fuzz-{}", std::process::id()));
    fs::create_dir_all(bundle.join("rootfs")).expect("make the bundle");
    bundle
});

static LAYOUT: LazyLock<Layout> = LazyLock::new(|| Layout::detect().expect("see the host's control groups"));

fuzz_target!(|data: &[u8]| {
    let Ok(spec) = serde_json::from_slice(data) else { return };
    let Ok(bundle) = Bundle::new(&BUNDLE, spec) else { return };
    let process = bundle.first_process();
    let host = Host::look(&LAYOUT, process);
    let cgroup = CgroupPath::parse("/fuzz").expect("a good path");
    let placement = LAYOUT.group(&cgroup).placement();
    let setting = Setting { host: &host, cgroup: &cgroup, placement: &placement, manner: Manner::default() };
    if let Ok(plan) = plan(&bundle, process, &setting) {
        assert!(!plan.steps.is_empty() && plan.marks[0] <= plan.marks[1] && plan.marks[1] <= plan.steps.len());
    }
});
