//! Rounds of commands: each contender once a round, in turn, so that whatever else the host does falls on all alike.
//!
//! A step is a command, or one of a few words: `@wait` waits for the process whose number is in `{dir}/pid`, `@floor`,
//! `@floor-groups` and `@floor-network` are the kernel's own. `{id}` and `{dir}` in a command are the round's. A contender
//! that fails is told so and not asked again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use hythe::kernel::namespace::{self, Namespaces};
use hythe::kernel::process::set_subreaper;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::floor::{self, Floor};
use crate::{Failure, numbers};

#[derive(Deserialize)]
struct Request {
    rounds: usize,
    /// For the rounds' files.
    dir: PathBuf,
    /// The floor's lower layer and program.
    rootfs: PathBuf,
    program: Vec<String>,
    contenders: Vec<Contender>,
}

#[derive(Deserialize)]
struct Contender {
    name: String,
    steps: Vec<Vec<String>>,
    /// The mount namespace that its commands run in.
    mounts: Option<PathBuf>,
    /// Once after the rounds and after a failure, whatever comes of it.
    #[serde(default)]
    after: Vec<Vec<String>>,
}

type Outcome = Result<f64, String>;

/// Runs the rounds that the request asks for.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    // A container whose maker has left becomes our child, and how it ended is ours to learn.
    set_subreaper()?;
    fs::create_dir_all(&request.dir)?;
    let floor = Floor::new(&request.rootfs, &request.dir, &request.program)?;
    let mut runners: Vec<_> =
        request.contenders.into_iter().map(|one| Runner::new(one, &request.dir)).collect();
    let mut answer = Map::new();
    // The first round warms caches and is not counted.
    for round in 0..=request.rounds {
        for runner in runners.iter_mut().filter(|runner| runner.failed.is_none()) {
            match runner.once(&floor, round) {
                Ok(took) if round > 0 => runner.times.push(took),
                Ok(_) => {}
                Err(why) => runner.failed = Some(why),
            }
        }
    }
    for runner in runners {
        runner.finish(&floor);
        answer.insert(runner.name.clone(), json!({ "times": runner.times, "failed": runner.failed }));
    }
    numbers::answer(&Value::Object(answer))
}

struct Runner {
    name: String,
    steps: Vec<Vec<String>>,
    after: Vec<Vec<String>>,
    dir: PathBuf,
    times: Vec<f64>,
    failed: Option<String>,
    /// Where commands run that need another mount namespace: a thread that has gone there.
    elsewhere: Option<Elsewhere>,
}

type Elsewhere = (Sender<(Vec<String>, PathBuf)>, Receiver<Result<(), String>>);

impl Runner {
    fn new(contender: Contender, dir: &Path) -> Self {
        let Contender { name, steps, mounts, after } = contender;
        let elsewhere = mounts.map(go_elsewhere);
        Self { dir: dir.join(&name), name, steps, after, times: Vec::new(), failed: None, elsewhere }
    }

    fn once(&self, floor: &Floor, round: usize) -> Outcome {
        fs::create_dir_all(&self.dir).map_err(|err| err.to_string())?;
        let from = Instant::now();
        for step in &self.steps {
            self.step(floor, step, round)?;
        }
        Ok(numbers::since(from))
    }

    fn finish(&self, floor: &Floor) {
        for step in &self.after {
            let _ = self.step(floor, step, self.times.len());
        }
    }

    fn step(&self, floor: &Floor, step: &[String], round: usize) -> Result<(), String> {
        let said = |err: Failure| err.to_string();
        match step.first().map(String::as_str) {
            Some("@floor") => floor.container().map_err(said),
            Some("@floor-groups") => floor::groups(&step[1..]).map_err(said),
            Some("@floor-network") => floor::network().map_err(said),
            Some("@wait") => wait_for(&self.dir.join("pid")).map_err(said),
            Some(_) | None => {
                let id =
                    format!("bench-{}-{round}", self.name.replace(|one: char| !one.is_alphanumeric(), "-"));
                let dir = self.dir.to_string_lossy();
                let words: Vec<_> =
                    step.iter().map(|word| word.replace("{id}", &id).replace("{dir}", &dir)).collect();
                match &self.elsewhere {
                    None => execute(&words, &self.dir),
                    Some((orders, done)) => {
                        orders.send((words, self.dir.clone())).map_err(|err| err.to_string())?;
                        done.recv().map_err(|err| err.to_string())?
                    }
                }
            }
        }
    }
}

/// A thread in the mount namespace `mounts` that executes what it is told.
fn go_elsewhere(mounts: PathBuf) -> Elsewhere {
    let (orders, ordered) = channel::<(Vec<String>, PathBuf)>();
    let (tell, done) = channel();
    thread::spawn(move || {
        let gone = unshare(CloneFlags::CLONE_FS)
            .and_then(|()| namespace::open(&mounts))
            .and_then(|namespace| namespace::enter(namespace, Namespaces::MOUNT));
        for (words, dir) in ordered {
            let result = match gone {
                Ok(()) => execute(&words, &dir),
                Err(errno) => Err(format!("enter {}: {errno}", mounts.display())),
            };
            if tell.send(result).is_err() {
                return;
            }
        }
    });
    (orders, done)
}

fn execute(words: &[String], dir: &Path) -> Result<(), String> {
    let said = dir.join("said");
    let run = || {
        let errors = File::create(&said)?;
        Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .status()
    };
    match run() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let text = fs::read_to_string(&said).unwrap_or_default();
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word");
            Err(format!("{}: {status}: {last}", words.iter().take(4).cloned().collect::<Vec<_>>().join(" ")))
        }
        Err(err) => Err(format!("{}: {err}", words[0])),
    }
}

/// Waits for the end of a process that its maker has left to us.
fn wait_for(file: &Path) -> Result<(), Failure> {
    let pid: i32 = fs::read_to_string(file)?.trim().parse()?;
    waitpid(Pid::from_raw(pid), None)?;
    Ok(())
}
