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

use std::{convert::Infallible, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        watch,
    },
};
use tracing::{error, info, warn};

use super::{
    adopt, clock,
    config::Config,
    doctor::Doctor,
    doors, facts,
    failure::DaemonError,
    hands::HandsOf,
    host,
    live::Conversations,
    lock::{self, StateLock},
    loops::{Loops, Told, until_told},
    network, notify,
    reconciler::{Reconciler, Settings},
    report::chain,
    services::Passes,
    system::System,
};
use crate::{
    agent::{self, Agent},
    api::{Api, Host},
    model::{fact::Fact, ids::ClusterName, time::Timestamp},
    store::{Opened, Store, Watch, WriteError},
};

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
        async move { doors::listen(&config.api).await }
    });
    let listeners = listening.await.unwrap_or(Err(DaemonError::LoopEnded("listening")))?;
    let (begun, learnt) = begin(&config).await?;
    let mut loops = Loops::default();
    let settings = Settings::of(&config);
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
    let serving = doors::serve(&callers, listeners, &api, &stopped);
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

    let what = "find this program's own file";
    let of_agent = config.agent().map_err(|source| DaemonError::System { what, source })?;
    let (network, trouble) = network::open(config.network.as_ref(), &config.state_dir);
    doctor.network = trouble;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let agent = Agent::open(of_agent, network, sender.clone())?;
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
        let passes = Passes::of(&settings);
        loops.add("fact", facts::run(self.store.clone(), waiting, receiver, passes.clone()));
        let (store, agent) = (self.store.clone(), self.agent.clone());
        loops.add("reconciler", Reconciler::new(store, agent, sender, settings, passes, hands).run(watch));
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
    let is_taken = missed.is_empty() || facts::try_commit(store, &missed, config.healthy_after, None).await;
    adopt::sweep_orphans(agent, &store.snapshot()).await;
    if is_taken { Arc::default() } else { missed }
}

/// Makes the cluster that calls without a name mean, and says since when there is one.
async fn default_cluster(store: &Store) -> Result<Timestamp, WriteError<Infallible>> {
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
