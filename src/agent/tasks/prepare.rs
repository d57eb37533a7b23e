//! From a task that is wanted to a shim that runs.
//!
//! The address and ports are reserved first. Then the network is made while images are pulled and bundles written,
//! because neither needs the other. A stop is looked for everywhere: a pull is left at once, a step on a thread is told
//! that nobody wants it and waited for, so that nothing goes on behind the back of whoever cleans up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use tokio::task::{JoinHandle, spawn_blocking};

use super::build::Plot;
use super::metadata::Settled;
use super::publish::publish;
use super::reserve::{DirectoryError, reserve};
use super::turns::Turn;
use super::{Hands, Reins, credentials, secrets};
use crate::agent::StartTask;
use crate::agent::facts::{Timer, now};
use crate::agent::failure::{Failure, Kind, sentence};
use crate::agent::images::{Pulled, Wanted};
use crate::agent::kill_point::kill_point;
use crate::agent::names::HostNames;
use crate::agent::network::Record;
use crate::agent::{storage, users};
use crate::model::fact::Seen;
use crate::model::task::StopRequest;
use crate::model::task_definition::{ContainerDefinition, NetworkMode};
use crate::shim::client::{self, Connection, Launch};
use crate::shim::metadata::document::KnownRole;
use crate::shim::protocol::Credentials;

/// Why a start came to nothing.
enum Halt {
    Stopped(StopRequest),
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The network on its way, and the namespace once it is there.
type Making = JoinHandle<Result<(Option<OwnedFd>, Timer), Failure>>;

/// Starts a task and stays with it to the end.
pub(super) async fn run(hands: Arc<Hands>, start: StartTask, mut reins: Reins) {
    let task = start.task.id.clone();
    let prepared = prepare(&hands, &start, &mut reins).await;
    let halt = match prepared {
        Ok((connection, turn)) => {
            super::converse::converse(&hands, &start.task, connection, Some(turn), &mut reins).await;
            return;
        }
        Err(halt) => halt,
    };
    match halt {
        Halt::Stopped(request) => hands.teller.tell(&task, Seen::Stopping { request }),
        Halt::Failed(failure) => {
            tracing::warn!(%task, reason = failure.reason, "task not started");
            failure.facts().for_each(|seen| hands.teller.tell(&task, seen));
        }
    }
    if let Err(err) = hands.clear(&task).await {
        // The sweep tries again and tells.
        tracing::warn!(%task, error = sentence(&err), "task not cleared");
    }
    hands.teller.tell(&task, Seen::AllStopped);
}

async fn prepare(
    hands: &Arc<Hands>,
    start: &StartTask,
    reins: &mut Reins,
) -> Result<(Connection, Turn), Halt> {
    let task = &start.task.id;
    let begun_us = since_boot();
    let mut timer = Timer::start();
    // Whatever an earlier attempt left would only be in the way. Its directory came first and goes last.
    if hands.places.task(task).exists() {
        hands.clear(task).await.map_err(|err| Failure::of_task(Kind::Create, &err))?;
    }
    let record = reserve(hands, start).await?;
    kill_point("task-reserved");
    let making = make_network(hands, start, record.clone(), timer.fork());
    let door = door(hands, start);
    let address = door.as_ref().and_then(|door| door.local_addr().ok());
    let built = pull_and_build(hands, start, reins, (&record, address), begun_us, &mut timer).await;
    // Awaited in any case: what is half made cannot be removed.
    let made = making.await.unwrap_or(Err(Failure::of_task(Kind::Network, &DirectoryError::Broken)));
    let (role, turn) = built?;
    let (network, network_timer) = made?;
    timer.join(network_timer);
    publish(hands, start, &record).await?;
    kill_point("task-built");
    if reins.is_stopped() {
        return Err(Halt::Stopped(reins.stopped().await));
    }
    let credentials = credentials_of(hands, role.as_ref(), reins).await?;
    let from = Instant::now();
    let launch = Launch {
        program: hands.config.executable.clone(),
        directory: hands.places.task(task),
        network: network.or(door.map(OwnedFd::from)),
        credentials,
    };
    let connection = client::spawn(launch).await.map_err(|err| Failure::of_task(Kind::Start, &err))?;
    kill_point("shim-started");
    timer.note("shim", None, from);
    hands.fill_networks();
    hands.teller.tell(task, Seen::Timed { spans: timer.finish() });
    Ok((connection, turn))
}

fn make_network(hands: &Arc<Hands>, start: &StartTask, record: Record, mut timer: Timer) -> Making {
    let (hands, task) = (Arc::clone(hands), start.task.id.clone());
    let mode = start.definition.document.network_mode();
    spawn_blocking(move || {
        let from = Instant::now();
        let users = users::of(&hands.places.task(&task));
        let netns = hands.networks.make(&task, mode, &record, users);
        let netns = netns.map_err(|err| Failure::of_task(Kind::Network, &err))?;
        timer.note("network", None, from);
        kill_point("network-attached");
        hands.teller.tell(&task, Seen::NetworkAttached { attachment: record.attachment });
        Ok((netns, timer))
    })
}

/// The socket at which a task on the host's network asks about itself; its shim gets it.
fn door(hands: &Hands, start: &StartTask) -> Option<TcpListener> {
    if start.definition.document.network_mode() != NetworkMode::Host {
        return None;
    }
    let made = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|door| {
        door.set_nonblocking(true)?;
        Ok(door)
    });
    let tell = |err: &io::Error| {
        let what = format!("the task's metadata endpoint: listen on the host's loopback: {err}");
        hands.teller.tell(&start.task.id, Seen::NotEnforced { what });
    };
    made.inspect_err(tell).ok()
}

async fn pull_and_build(
    hands: &Arc<Hands>,
    start: &StartTask,
    reins: &mut Reins,
    (record, door): (&Record, Option<SocketAddr>),
    begun_us: u64,
    timer: &mut Timer,
) -> Result<(Option<KnownRole>, Turn), Halt> {
    let task = &start.task.id;
    let wanted = wanted(hands, start)?;
    let role = credentials::role(hands, start).unwrap_or_else(|what| {
        hands.teller.tell(task, Seen::NotEnforced { what });
        None
    });
    // Those that cannot be had are found before anything is pulled.
    credentials_of(hands, role.as_ref(), reins).await?;
    let pull_started = now();
    hands.teller.tell(task, Seen::PullStarted);
    let found = |pulled: &Pulled| {
        let digest = &pulled.image.manifest_digest;
        hands.images.hold(task, digest);
        let (container, digest) = (pulled.container.clone(), digest.to_string());
        hands.teller.tell(task, Seen::ImageResolved { container, digest });
    };
    let pulled = tokio::select! {
        biased;
        request = reins.stopped() => return Err(Halt::Stopped(request)),
        pulled = hands.images.bring(&wanted, timer, found) => pulled,
    };
    hands.teller.tell(task, Seen::PullStopped);
    let pulled = pulled?;
    let pull_stopped = now();
    kill_point("images-pulled");
    let turn = tokio::select! {
        biased;
        request = reins.stopped() => return Err(Halt::Stopped(request)),
        turn = hands.turns.next() => turn,
    };
    let settled = Settled { begun_us, pull_started, pull_stopped, role: role.clone(), door };
    let notes = build(hands, start, reins, pulled, record, settled, timer).await?;
    for what in notes {
        hands.teller.tell(task, Seen::NotEnforced { what });
    }
    Ok((role, turn))
}

/// The credentials of the task's role, if it has one.
async fn credentials_of(
    hands: &Hands,
    role: Option<&KnownRole>,
    reins: &mut Reins,
) -> Result<Option<Credentials>, Halt> {
    let Some(role) = role else { return Ok(None) };
    tokio::select! {
        biased;
        request = reins.stopped() => Err(Halt::Stopped(request)),
        first = credentials::first(hands, role) => Ok(Some(first?)),
    }
}

/// The image of each container. A secret that is missing is found before anything is pulled.
fn wanted(hands: &Hands, start: &StartTask) -> Result<Vec<Wanted>, Failure> {
    let want = |container: &ContainerDefinition| {
        secrets::of(hands, &container.name, &container.secrets)?;
        secrets::of_log(hands, container)?;
        let digest = start.task.container(&container.name).and_then(|known| known.image_digest.as_deref());
        let image = hands.images.pinned(&container.image, digest);
        Ok(Wanted { container: container.name.clone(), image, login: secrets::login(hands, container)? })
    };
    start.definition.document.container_definitions.iter().map(want).collect()
}

/// Builds on a thread; a stop makes the thread end early, and is waited for.
async fn build(
    hands: &Arc<Hands>,
    start: &StartTask,
    reins: &mut Reins,
    pulled: Vec<Pulled>,
    record: &Record,
    settled: Settled,
    timer: &mut Timer,
) -> Result<Vec<String>, Halt> {
    let is_wanted = Arc::new(AtomicBool::new(true));
    let mut own_timer = timer.fork();
    let work = {
        let (hands, start, record) = (Arc::clone(hands), start.clone(), record.clone());
        let is_wanted = Arc::clone(&is_wanted);
        move || {
            let is_wanted = || is_wanted.load(Ordering::Relaxed);
            let plot = Plot {
                hands: &hands,
                start: &start,
                pulled: &pulled,
                record: &record,
                settled,
                host: HostNames::read(),
                users: users::of(&hands.places.task(&start.task.id)),
                project: storage::of(&hands.places, &start.task.id),
                is_wanted: &is_wanted,
            };
            plot.build(&mut own_timer).map(|notes| (notes, own_timer))
        }
    };
    let mut building = spawn_blocking(work);
    let (built, stopped) = tokio::select! {
        biased;
        request = reins.stopped() => {
            is_wanted.store(false, Ordering::Relaxed);
            ((&mut building).await, Some(request))
        }
        built = &mut building => (built, None),
    };
    if let Some(request) = stopped {
        return Err(Halt::Stopped(request));
    }
    let broken = || Failure::of_task(Kind::Create, &DirectoryError::Broken);
    let (notes, build_timer) = built.map_err(|_| broken())??;
    timer.join(build_timer);
    Ok(notes)
}

/// Microseconds since the host booted, suspend included.
fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
