//! From the first lock to the last goodbye.
//!
//! ```text
//!   configuration -> lock -> store -> boot -> network -> agent -> adopt -> facts -> orphans
//!        -> serve, reconcile, keep the network -> READY=1
//!        -> SIGTERM: stop answering, leave every task running
//! ```
//!
//! [`down`](super::down) begins in the same way and ends otherwise.
//!
//! What can fail for good fails before READY=1, in a sentence. After that the loops contain their own failures.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        watch,
    },
    task::{JoinHandle, JoinSet},
};
use tracing::{error, info, warn};

use super::{
    adopt, clock,
    config::{Config, ConfigError, Signed},
    doctor::Doctor,
    facts,
    hands::HandsOf,
    host,
    live::Conversations,
    lock,
    lock::{LockError, StateLock},
    logging, network, notify,
    reconciler::{Reconciler, Settings},
    report::chain,
    system::{self, System},
};
use crate::{
    agent::{self, Agent, AgentConfig, AgentError, Policy, RegistryConfig},
    api::{self, Access, Api, Guard, Host, Keys, KeysError, ListenError, Listener, Tls, TlsError},
    model::{fact::Fact, ids::ClusterName, time::Timestamp},
    net::NetError,
    store::{OpenError, Opened, Store, Watch, WriteError},
};

/// Threads for work that waits for the kernel. Each takes some 70 KB, and most of what they wait for is one lock anyway.
const BLOCKING: usize = 64;

/// The same for callers, such as those who read logs.
const BLOCKING_FOR_CALLERS: usize = 16;

/// Wrong configuration: nothing that starting again would change.
const MISCONFIGURED: u8 = 2;

/// Why a daemon ended that nobody told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its directories cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store takes no write.
    #[error("write to the store")]
    Write(#[from] WriteError<std::convert::Infallible>),
    /// The agent cannot work.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Who is to make control groups does not.
    #[error(
        "[containers] has cgroup_driver = \"systemd\", and systemd makes no control groups here: {0}; run systemd with \
         dbus, or set cgroup_driver = \"files\""
    )]
    CgroupDriver(String),
    /// The keys of callers cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The API's sockets cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system does not give what every program gets.
    #[error("{what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The network cannot be taken away.
    #[error("remove the network of the tasks")]
    Network(#[from] NetError),
    /// Not every task could be stopped.
    #[error("{tasks} tasks are not stopped yet; the next `hythe daemon --down` goes on with them")]
    Unfinished {
        /// How many.
        tasks: usize,
    },
    /// A loop ended by itself.
    #[error("the {0} loop ended")]
    LoopEnded(&'static str),
}

/// The daemon's face: runs until SIGTERM or SIGINT, with the configuration in the file at `path`.
///
/// Each thread that works for tasks begins with `begin_thread`; those that answer callers stay as this one is.
#[must_use]
pub fn main(path: Option<&Path>, begin_thread: fn()) -> ExitCode {
    face(path, begin_thread, run)
}

/// The daemon's other face: stops every task, gives the host back what it lent, and ends.
#[must_use]
pub fn down(path: Option<&Path>) -> ExitCode {
    face(path, || (), |config, _| super::down::run(config))
}

fn face<Life>(path: Option<&Path>, begin_thread: fn(), life: impl FnOnce(Config, Handle) -> Life) -> ExitCode
where
    Life: Future<Output = Result<(), DaemonError>>,
{
    logging::start();
    let ended = Config::load(path).map_err(DaemonError::from).and_then(|config| {
        let tasks = threads("hythe", BLOCKING, begin_thread)?;
        // While many tasks begin, the threads that work for them have no time for anybody else.
        let callers = threads("hythe-api", BLOCKING_FOR_CALLERS, || ())?;
        let ended = tasks.block_on(life(config, callers.handle().clone()));
        // Work on blocking threads may wait for the kernel; nothing of it has to be finished.
        callers.shutdown_background();
        tasks.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let sentence = chain(&why);
            error!(error = %sentence, "daemon ended");
            notify::tell(&format!("STATUS={sentence}"));
            match why {
                DaemonError::Config(_) | DaemonError::Keys(_) | DaemonError::Tls(_) => {
                    ExitCode::from(MISCONFIGURED)
                }
                DaemonError::Lock(_)
                | DaemonError::Store(_)
                | DaemonError::Write(_)
                | DaemonError::Agent(_)
                | DaemonError::CgroupDriver(_)
                | DaemonError::Listen(_)
                | DaemonError::System { .. }
                | DaemonError::Network(_)
                | DaemonError::Unfinished { .. }
                | DaemonError::LoopEnded(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn threads(name: &str, blocking: usize, begin: fn()) -> Result<Runtime, DaemonError> {
    let what = "start the async runtime";
    let mut threads = Builder::new_multi_thread();
    threads.enable_all().thread_name(name).max_blocking_threads(blocking).on_thread_start(begin);
    threads.build().map_err(|source| DaemonError::System { what, source })
}

/// What every daemon has before its loops run, whatever it does then.
pub(super) struct Begun {
    pub(super) store: Store,
    pub(super) agent: Agent,
    doctor: Doctor,
    registered_at: Timestamp,
}

/// What was learnt of the tasks on the host, and where more of it comes from.
pub(super) struct Learnt {
    sender: UnboundedSender<Fact>,
    receiver: UnboundedReceiver<Fact>,
    waiting: Arc<[Fact]>,
    watch: Watch,
    hands: HandsOf,
}

/// Runs a daemon until it is told to stop; `callers` are the threads that answer.
pub async fn run(config: Config, callers: Handle) -> Result<(), DaemonError> {
    let config = Arc::new(config);
    let mut told = Told::listen()?;
    let _lock = hold(&config)?;
    agent::try_driver(config.containers.cgroup_driver).map_err(DaemonError::CgroupDriver)?;
    let listening = callers.spawn({
        let config = Arc::clone(&config);
        async move { listen(&config).await }
    });
    let listeners = listening.await.unwrap_or(Err(DaemonError::LoopEnded("listening")))?;
    let (begun, learnt) = begin(&config).await?;
    let mut loops = Loops::default();
    let settings = settings(&config);
    let capacity = settings.capacity.clone();
    begun.start(&mut loops, learnt, settings);
    let Begun { store, agent, doctor, registered_at } = begun;
    let api = Arc::new(Api {
        store: store.clone(),
        owner: config.owner.clone(),
        live: Arc::new(Conversations::new(store, agent.clone(), Arc::clone(&config), doctor)),
        source: Arc::new(System),
        host: Host {
            capacity,
            registered_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            logs: config.state_dir.join("logs"),
        },
    });
    tokio::spawn(network::keep(agent));
    let (stop, stopped) = watch::channel(false);
    let serving = serve(&callers, listeners, &api, &stopped);
    notify::tell(&format!("READY=1\nSTATUS=serving {}", config.api.socket.display()));
    info!(socket = %config.api.socket.display(), state = %config.state_dir.display(), "ready");

    let ended = until_told(&mut told, &mut loops).await;
    notify::tell("STOPPING=1");
    stop.send_replace(true);
    for server in serving {
        if let Err(broken) = server.await {
            warn!(error = %broken, "server broken off");
        }
    }
    // Nobody answers there any more; the lock on the state is still ours, so this is no other daemon's.
    let _ = std::fs::remove_file(&config.api.socket);
    ended
}

/// Takes the directories of an instance, which no other daemon may have.
pub(super) fn hold(config: &Config) -> Result<StateLock, DaemonError> {
    let lock = StateLock::take(&config.state_dir)?;
    lock::make_public(&config.runtime_dir)?;
    Ok(lock)
}

/// From the store to what the host's tasks did meanwhile.
pub(super) async fn begin(config: &Config) -> Result<(Begun, Learnt), DaemonError> {
    let mut doctor = Doctor::default();
    let store = open_store(config, &mut doctor)?;
    let is_new = store.snapshot().boot_id().is_none();
    let ended = adopt::cross_boot(&store, host::boot_id()).await?;
    if !ended.is_empty() {
        info!(tasks = ended.len(), "the host has restarted: its tasks ended with it");
    }
    let registered_at = default_cluster(&store).await?;

    let (network, trouble) = network::open(config.network.as_ref(), &config.state_dir);
    doctor.network = trouble;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let agent = Agent::open(agent_config(config)?, network, sender.clone())?;
    if is_new {
        restore(&store, &agent).await?;
    }
    let watch = store.watch();
    let hands = adopt::adopt(&agent, &store.snapshot(), &sender).await;
    let waiting = learn(&store, &agent, &mut receiver, config).await;
    let learnt = Learnt { sender, receiver, waiting, watch, hands };
    Ok((Begun { store, agent, doctor, registered_at }, learnt))
}

impl Begun {
    /// Starts the loops that no daemon can do without.
    pub(super) fn start(&self, loops: &mut Loops, learnt: Learnt, settings: Settings) {
        let Learnt { sender, receiver, waiting, watch, hands } = learnt;
        loops.add("fact", facts::run(self.store.clone(), waiting, receiver, settings.healthy_after));
        let (store, agent) = (self.store.clone(), self.agent.clone());
        loops.add("reconciler", Reconciler::new(store, agent, sender, settings, hands).run(watch));
    }
}

/// Waits for the signal, or for a loop that ends and should not.
pub(super) async fn until_told(told: &mut Told, loops: &mut Loops) -> Result<(), DaemonError> {
    tokio::select! {
        name = told.stop() => {
            info!(signal = name, "stopping; tasks go on");
            Ok(())
        }
        name = loops.ended() => Err(DaemonError::LoopEnded(name)),
    }
}

fn open_store(config: &Config, doctor: &mut Doctor) -> Result<Store, DaemonError> {
    let Opened { store, set_aside, unreadable } = Store::open(&config.state_dir.join("store.db"))?;
    if let Some(aside) = &set_aside {
        error!(path = %aside.path.display(), why = %aside.why, "damaged database set aside, a new one made");
        doctor.note_set_aside(aside);
    }
    for row in &unreadable {
        warn!(row, "row of the database left out");
    }
    Ok(store)
}

/// Takes tasks that the host holds and a new store does not know back into it.
async fn restore(store: &Store, agent: &Agent) -> Result<(), DaemonError> {
    let restored = adopt::restore(store, agent.kept()).await?;
    if restored > 0 {
        warn!(tasks = restored, "tasks found on the host that the store had lost");
    }
    Ok(())
}

/// Takes what adoption found out into the store, and removes what belongs to nobody.
///
/// Gives the facts that the store cannot take yet: a full disk does not keep the daemon from answering.
async fn learn(
    store: &Store,
    agent: &Agent,
    facts: &mut UnboundedReceiver<Fact>,
    config: &Config,
) -> Arc<[Fact]> {
    if let Err(failure) = agent.adopted().await {
        error!(error = %chain(&failure), "network tables not installed");
    }
    let mut missed = Vec::new();
    while let Ok(fact) = facts.try_recv() {
        missed.push(fact);
    }
    let missed: Arc<[Fact]> = missed.into();
    let is_taken = missed.is_empty() || facts::try_commit(store, &missed, config.healthy_after).await;
    adopt::sweep_orphans(agent, &store.snapshot()).await;
    if is_taken { Arc::default() } else { missed }
}

async fn listen(config: &Config) -> Result<Vec<Listener>, DaemonError> {
    let api = &config.api;
    let mut listeners = Vec::new();
    if let Some(address) = api.listen {
        let guard = match &api.signed {
            Signed::No => Guard::Loopback,
            Signed::With(path) => Guard::Keys(Arc::new(Keys::load(path)?)),
        };
        let tls = api.tls.as_ref().map(|(chain, key)| Tls::load(chain, key)).transpose()?;
        if tls.is_none() && !address.ip().is_loopback() {
            warn!(%address, "served without TLS: others on the way can read requests and answers");
        }
        listeners.push(Listener::tcp(address, guard, tls).await?);
    }
    // Last, as a socket is a file that a start that fails would leave.
    let access = Access { uids: api.allowed_uids.clone(), gid: api.group };
    listeners.push(Listener::unix(&api.socket, access)?);
    Ok(listeners)
}

fn serve(
    callers: &Handle,
    listeners: Vec<Listener>,
    api: &Arc<Api>,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let serve_one = |listener| {
        let mut stopped = stopped.clone();
        let stop = async move {
            let _ = stopped.wait_for(|&is_stopped| is_stopped).await;
        };
        callers.spawn(api::serve(listener, Arc::clone(api), stop))
    };
    listeners.into_iter().map(serve_one).collect()
}

/// Makes the cluster that calls without a name mean, and says since when there is one.
async fn default_cluster(store: &Store) -> Result<Timestamp, WriteError<std::convert::Infallible>> {
    let first = |store: &Store| store.snapshot().clusters().map(|cluster| cluster.created_at).min();
    if let Some(since) = first(store) {
        return Ok(since);
    }
    let now = clock::wall();
    let name = ClusterName::parse("default").expect("seven letters are a cluster name");
    let cluster = adopt::new_cluster(name, now);
    let made = store.write(move |draft| {
        draft.put_cluster(cluster);
        Ok(())
    });
    made.await?;
    Ok(now)
}

pub(super) fn settings(config: &Config) -> Settings {
    let mut hasher = DefaultHasher::new();
    (&config.state_dir, host::boot_id()).hash(&mut hasher);
    Settings {
        healthy_after: config.healthy_after,
        capacity: host::capacity(&config.host, &config.owner.region),
        history: config.history,
        seed: hasher.finish(),
        random: system::random,
        is_ending: false,
    }
}

fn agent_config(config: &Config) -> Result<AgentConfig, DaemonError> {
    let what = "find this program's own file";
    let executable: PathBuf =
        std::env::current_exe().map_err(|source| DaemonError::System { what, source })?;
    let containers = &config.containers;
    Ok(AgentConfig {
        owner: config.owner.clone(),
        state_dir: config.state_dir.clone(),
        runtime_dir: config.runtime_dir.clone(),
        cgroup_parent: config.cgroup_parent.clone(),
        cgroup_driver: containers.cgroup_driver,
        executable,
        image_pull_policy: config.images.pull_policy,
        publish_address: config.publish_address,
        ready_networks: config.ready_networks,
        registry: RegistryConfig {
            docker_config: config.images.docker_config.clone(),
            insecure_hosts: config.images.plain_http.clone(),
            ca_files: config.images.ca_files.clone(),
            parallel_layers: config.images.parallel_layers,
            pull_attempts: config.images.pull_attempts,
        },
        policy: Policy {
            allow_privileged: containers.allow_privileged,
            allow_new_privileges: containers.allow_new_privileges,
            user_namespaces: containers.user_namespaces,
            pids_limit: containers.pids_limit,
            stop_timeout: containers.stop_timeout,
            log_max_size: containers.log_max_size,
            log_max_files: containers.log_max_files,
            journal: containers.journal.clone(),
            first_project: containers.first_project,
        },
        local: config.local.clone(),
        roles: config.roles.clone(),
        api_socket: Some(config.api.socket.clone()),
    })
}

/// The signals that tell the daemon to stop.
pub(super) struct Told {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Told {
    pub(super) fn listen() -> Result<Self, DaemonError> {
        let heed = |kind| signal(kind).map_err(|source| DaemonError::System { what: "heed signals", source });
        Ok(Self { terminate: heed(SignalKind::terminate())?, interrupt: heed(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The loops that a daemon cannot do without.
#[derive(Default)]
pub(super) struct Loops {
    running: JoinSet<&'static str>,
}

impl Loops {
    fn add(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            work.await;
            name
        });
    }

    async fn ended(&mut self) -> &'static str {
        match self.running.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(panicked)) => {
                error!(error = %panicked, "loop broken");
                "broken"
            }
            None => "last",
        }
    }
}
