//! What is given damaged input, and what it answers: a word about it, or the sentence of its refusal.

use std::{error::Error, fs, iter};

use hythe::{
    image::{
        manifest::{self, Document},
        unpack::{Deletions, Unpacker},
    },
    kernel::{
        cgroup::{CgroupPath, Layout},
        security::seccomp::Filter,
    },
    runtime::{
        Bundle, check_process,
        steps::{Host, Manner, Setting, plan},
    },
};
use oci_spec::runtime::{LinuxSeccomp, Process, Spec};

/// Every target.
pub const NAMES: [&str; 4] = ["config", "layer", "manifest", "seccomp"];

/// One of them.
pub enum Target {
    /// A bundle's `config.json`, up to the steps that a container would take.
    Config(Box<Ground>),
    /// A layer, unpacked into a directory that is looked at from outside.
    Layer(tempfile::TempDir),
    /// A manifest, an index or an image's configuration.
    Manifest,
    /// A filter of system calls, compiled.
    Seccomp,
}

/// What a bundle stands on.
pub struct Ground {
    place: tempfile::TempDir,
    layout: Layout,
    host: Host,
}

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<Self> {
        let place = || tempfile::tempdir().expect("a directory for the target");
        Some(match name {
            "config" => {
                let place = place();
                fs::create_dir(place.path().join("rootfs")).expect("a root for bundles");
                let layout = Layout::detect().expect("the host's control groups");
                let host = Host::look(&layout, &Process::default());
                Self::Config(Box::new(Ground { place, layout, host }))
            }
            "layer" => {
                let place = place();
                fs::write(place.path().join("outside"), "untouched").expect("a file to guard");
                Self::Layer(place)
            }
            "manifest" => Self::Manifest,
            "seccomp" => Self::Seccomp,
            _ => return None,
        })
    }

    /// Gives it one input.
    pub fn run(&mut self, input: &[u8]) -> String {
        match self {
            Self::Config(ground) => config(ground, input),
            Self::Layer(place) => layer(place, input),
            Self::Manifest => manifest(input),
            Self::Seccomp => seccomp(input),
        }
    }
}

fn config(ground: &Ground, input: &[u8]) -> String {
    let spec: Spec = match serde_json::from_slice(input) {
        Ok(spec) => spec,
        Err(error) => return error.to_string(),
    };
    let bundle = match Bundle::new(ground.place.path(), spec) {
        Ok(bundle) => bundle,
        Err(error) => return chain(&error),
    };
    let Some(process) = bundle.spec().process() else { return "no process".to_owned() };
    if let Err(error) = check_process(process) {
        return chain(&error);
    }
    let wanted = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let wanted = wanted.map_or_else(|| "box".to_owned(), |path| path.to_string_lossy().into_owned());
    let path = match CgroupPath::parse(&wanted) {
        Ok(path) => path,
        Err(error) => return chain(&error),
    };
    let placement = ground.layout.group(&path).placement();
    let manner = Manner::default();
    let setting = Setting { host: &ground.host, cgroup: &path, placement: &placement, manner };
    match plan(&bundle, process, &setting) {
        Ok(plan) => plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(error) => chain(&error),
    }
}

fn layer(place: &tempfile::TempDir, input: &[u8]) -> String {
    let root = place.path().join("root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root).expect("a directory to unpack into");
    let answer = match Unpacker::new(&root, Deletions::Marked, None) {
        Ok(unpacker) => match unpacker.unpack(input) {
            Ok(_) => format!("{} at the top", fs::read_dir(&root).into_iter().flatten().count()),
            Err(error) => chain(&error),
        },
        Err(error) => error.to_string(),
    };
    let outside = fs::read_dir(place.path()).into_iter().flatten().count();
    let guarded = fs::read_to_string(place.path().join("outside")).unwrap_or_default();
    assert!(outside == 2 && guarded == "untouched", "a layer reached out of its directory");
    answer
}

fn manifest(input: &[u8]) -> String {
    let config = manifest::parse_config(input);
    let document = match Document::parse(input) {
        Ok(document) => format!("{document:?}").chars().take_while(|letter| *letter != '(').collect(),
        Err(error) => chain(&error),
    };
    match config {
        Ok(config) => format!("{document}; {} layers", config.rootfs().diff_ids().len()),
        Err(error) => format!("{document}; {}", chain(&error)),
    }
}

fn seccomp(input: &[u8]) -> String {
    let profile: LinuxSeccomp = match serde_json::from_slice(input) {
        Ok(profile) => profile,
        Err(error) => return error.to_string(),
    };
    match Filter::compile(&profile) {
        Ok(filter) => {
            assert!(filter.length() <= 4096, "the kernel takes no more than 4096 instructions");
            format!("{} instructions, {}", filter.length() / 16, filter.is_listened_to())
        }
        Err(error) => error.to_string(),
    }
}

/// The whole chain on one line: `a: b: c`.
fn chain(error: &dyn Error) -> String {
    iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
