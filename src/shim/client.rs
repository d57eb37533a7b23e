//! The daemon's end: starts shims, finds them again, takes their facts.
//!
//! A shim is this program once more, started with three open files and nothing else: the task's network namespace (on the
//! host's network the socket of its metadata) as its standard input, one end of a socket pair as its standard output, which is the first connection, and a file in
//! the task's directory as its standard error. So a start needs no second round to connect, and a shim that cannot
//! begin says why on the connection that is there already.
//!
//! A [`Connection`] gives facts in their order and without a gap: when the shim is gone, what it had not sent is read
//! from its ledger before the connection ends.

use std::{
    collections::VecDeque,
    ffi::CString,
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

use super::{
    alive,
    ledger::{LedgerError, read_ledger},
    protocol::{Credentials, LINE_MAX, Order, Report},
    spec::{SpecError, TaskSpec},
};
use crate::{
    kernel::{
        cgroup::{CgroupPath, Layout},
        mount::clone_closed,
        process::{Child, Spawn, SpawnError, spawn as spawn_process},
        readiness::Readable,
    },
    model::{
        exec::{ExecRequest, ExecUser},
        fact::{Fact, Seen},
        ids::{ContainerName, TaskId},
        task::StopRequest,
    },
};

/// How long a shim may take to say that it is there.
const HELLO: Duration = Duration::from_secs(10);

/// The pause before a shim that does not listen yet is looked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// What is needed to start a shim.
#[derive(Debug)]
pub struct Launch {
    /// This program.
    pub program: PathBuf,
    /// The task's directory, with its `spec.json`.
    pub directory: PathBuf,
    /// The task's network namespace, see [`super::spec::Network::Inherited`]; on the host's network the socket at which
    /// the task asks about itself.
    pub network: Option<OwnedFd>,
    /// The credentials of the task's role, which the shim has before it starts a container.
    pub credentials: Option<Credentials>,
}

/// A shim that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: it has ended, or never began.
    #[error("the shim of task {0} is gone")]
    Gone(TaskId),
    /// The program could not be executed.
    #[error(transparent)]
    Execute(#[from] SpawnError),
    /// What the program needs could not be made.
    #[error("prepare to start {} as a shim", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It said why it cannot begin.
    #[error("{0}")]
    Refused(String),
    /// It said nothing in time.
    #[error("the shim of task {0} does not answer")]
    Silent(TaskId),
    /// It speaks another language.
    #[error("the shim of task {task} said something else than its welcome")]
    Confused {
        /// Whose shim.
        task: TaskId,
    },
    /// The command is longer than the shim reads.
    #[error("a command of {length} bytes, with its variables, is too long for the shim of task {task}")]
    TooLong {
        /// Whose shim.
        task: TaskId,
        /// Its bytes.
        length: usize,
    },
    /// The socket failed.
    #[error("talk to the shim of task {task}")]
    Talk {
        /// Whose shim.
        task: TaskId,
        /// Why.
        source: io::Error,
    },
    /// The task's directory has no usable spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The shim is gone and its ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Where a shim is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose shim.
    pub task: TaskId,
    /// Where it listens.
    pub socket: PathBuf,
    /// Where it keeps its facts.
    pub ledger: PathBuf,
}

impl From<&TaskSpec> for Address {
    fn from(spec: &TaskSpec) -> Self {
        Self { task: spec.task.clone(), socket: spec.socket.clone(), ledger: spec.ledger.clone() }
    }
}

/// A conversation with one shim.
#[derive(Debug)]
pub struct Connection {
    task: TaskId,
    ledger: PathBuf,
    stream: UnixStream,
    /// Bytes of lines that are not whole yet.
    heard: Vec<u8>,
    /// The number of the fact that comes next.
    next: u64,
    /// What was read from the ledger of a shim that is gone.
    left: Option<VecDeque<Fact>>,
    finished: bool,
}

/// Starts the shim of the task in `launch.directory`, and returns once it has answered.
pub async fn spawn(launch: Launch) -> Result<Connection, ClientError> {
    let spec = TaskSpec::load(&launch.directory)?;
    // A scope is made by systemd, around the shim.
    let group = spec.systemd.is_none().then(|| spec.shim_cgroup.clone());
    let (ours, child) = tokio::task::spawn_blocking(move || execute(&launch, group.as_deref()))
        .await
        .map_err(|_| ClientError::Gone(spec.task.clone()))??;
    reap(child);
    let stream =
        UnixStream::from_std(ours).map_err(|source| ClientError::Talk { task: spec.task.clone(), source })?;
    Connection::first(&(&spec).into(), stream).await
}

/// Finds the shim at `address`, and asks for its facts from number `from` on.
pub async fn connect(address: &Address, from: u64) -> Result<Connection, ClientError> {
    let mut connection = Connection::new(address, call(address).await?, from);
    connection.greet().await?;
    Ok(connection)
}

/// Has a command run in a container of the task. What goes over the stream are the frames of [`crate::model::exec`].
pub async fn exec(
    address: &Address,
    container: &ContainerName,
    request: ExecRequest,
    user: Option<ExecUser>,
) -> Result<UnixStream, ClientError> {
    let talk = |source| ClientError::Talk { task: address.task.clone(), source };
    let order = Order::Exec { container: container.clone(), request: Box::new(request), user };
    let mut line = serde_json::to_vec(&order).map_err(|error| talk(error.into()))?;
    if line.len() >= LINE_MAX {
        return Err(ClientError::TooLong { task: address.task.clone(), length: line.len() });
    }
    line.push(b'\n');
    let mut stream = call(address).await?;
    stream.write_all(&line).await.map_err(talk)?;
    Ok(stream)
}

/// Connects to the shim of the task.
async fn call(address: &Address) -> Result<UnixStream, ClientError> {
    let talk = |source: io::Error| {
        let is_gone = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        let task = address.task.clone();
        if is_gone { ClientError::Gone(task) } else { ClientError::Talk { task, source } }
    };
    // The address of a socket has room for 107 bytes; a path through an open directory always fits.
    let (folder, name) = split(&address.socket).map_err(talk)?;
    let folder = File::open(folder).map_err(talk)?;
    let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    match timeout(HELLO, UnixStream::connect(path)).await {
        Ok(stream) => stream.map_err(talk),
        Err(_) => Err(ClientError::Silent(address.task.clone())),
    }
}

/// Like [`connect`], but a shim that lives and does not listen yet is given the time to: whoever started it may have
/// ended before it was there. `directory` is the task's.
pub async fn find(address: &Address, directory: &Path, from: u64) -> Result<Connection, ClientError> {
    let until = tokio::time::Instant::now() + HELLO;
    loop {
        // Asked before, because a shim that ends between the two has had its chance.
        let is_alive = alive::is_alive(directory).unwrap_or(false);
        match connect(address, from).await {
            Err(ClientError::Gone(task)) if is_alive => {
                if tokio::time::Instant::now() >= until {
                    return Err(ClientError::Silent(task));
                }
                tokio::time::sleep(AGAIN).await;
            }
            found => return found,
        }
    }
}

/// The directory of a socket and its name in there.
pub(super) fn split(socket: &Path) -> io::Result<(&Path, &str)> {
    let name = socket.file_name().and_then(|name| name.to_str());
    socket.parent().zip(name).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Executes the program and keeps the other end of its standard output.
fn execute(launch: &Launch, group: Option<&Path>) -> Result<(StdUnixStream, Child), ClientError> {
    let failed = |source| ClientError::Spawn { program: launch.program.clone(), source };
    let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
    if let Some(credentials) = &launch.credentials {
        let order = Order::Credentials { credentials: Box::new(credentials.clone()) };
        // A socket holds more than the longest credentials before anybody reads.
        line_of(&order).and_then(|line| (&ours).write_all(&line)).map_err(failed)?;
    }
    ours.set_nonblocking(true).map_err(failed)?;
    let errors = alive::claim(&launch.directory).map_err(failed)?;
    let mut fds = vec![(theirs.as_fd(), 1), (errors.as_fd(), 2)];
    fds.extend(launch.network.as_ref().map(|network| (network.as_fd(), 0)));
    let args = ["hythe".into(), "shim".into(), launch.directory.clone().into_os_string()];
    // Where systemd is asked, and where to die, in tests; nothing else of our environment is the shim's business.
    let passed = |name: &str| std::env::var_os(name).map(|value| (name.into(), value));
    let env: Vec<_> = ["DBUS_SYSTEM_BUS_ADDRESS", "HYTHE_KILL_AT"].into_iter().filter_map(passed).collect();
    let born_in = group.and_then(group_of_shims);
    // What a container gets to execute the shim's own program by leads to this mount, through which nothing is written.
    let closed = CString::new(launch.program.as_os_str().as_bytes()).ok();
    let closed = closed.and_then(|program| clone_closed(&program).ok());
    let by_number = closed.as_ref().map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    let child = spawn_process(&Spawn {
        program: by_number.as_deref().or(Some(&launch.program)),
        args: &args,
        env: &env,
        fds: &fds,
        dir: Some(Path::new("/")),
        new_session: true,
        cgroup: born_in.as_ref().map(AsFd::as_fd),
    })?;
    Ok((ours, child))
}

/// The version 2 control group that shims are born in. Without one the shim moves there itself, and it is the shim that
/// tells when it cannot.
fn group_of_shims(group: &Path) -> Option<OwnedFd> {
    let layout = Layout::detect().ok()?;
    let path = CgroupPath::parse(&group.to_string_lossy()).ok()?;
    let directory = layout.group(&path).unified_dir()?;
    if !directory.is_dir() {
        layout.create(&path).ok()?;
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(&directory, flags, Mode::empty()).ok()
}

/// An order as a line.
fn line_of(order: &Order) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    Ok(line)
}

/// Waits for the end of a shim that this process started, so that it does not stay behind as a zombie.
fn reap(child: Child) {
    tokio::spawn(async move {
        let Ok(ended) = Readable::register(child.pidfd.as_fd()) else { return };
        while let Ok(None) = child.pidfd.try_wait() {
            if ended.wait().await.is_err() {
                return;
            }
        }
    });
}

impl Connection {
    fn new(address: &Address, stream: UnixStream, from: u64) -> Self {
        Self {
            task: address.task.clone(),
            ledger: address.ledger.clone(),
            stream,
            heard: Vec::new(),
            next: from.max(1),
            left: None,
            finished: false,
        }
    }

    /// The first conversation. A short task can be over before its shim was greeted; what it saw is in its ledger.
    async fn first(address: &Address, stream: UnixStream) -> Result<Self, ClientError> {
        let mut connection = Self::new(address, stream, 1);
        match connection.greet().await {
            Err(ClientError::Gone(task)) => {
                let left = read_ledger(&address.ledger, connection.next)?;
                if left.is_empty() {
                    return Err(ClientError::Gone(task));
                }
                connection.left = Some(left.into());
            }
            greeted => greeted?,
        }
        Ok(connection)
    }

    /// Says hello and waits for the welcome.
    async fn greet(&mut self) -> Result<(), ClientError> {
        let task = self.task.clone();
        let hello = async {
            // A shim that cannot begin has said why, and may be gone before it could be greeted.
            let said = self.say(&Order::Hello { from: self.next }).await;
            match self.hear().await {
                Ok(None) => said.map(|()| None),
                Ok(report) => Ok(report),
                Err(source) => Err(ClientError::Talk { task: task.clone(), source }),
            }
        };
        match timeout(HELLO, hello).await {
            Err(_) => Err(ClientError::Silent(task)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) => Err(ClientError::Gone(task)),
            Ok(Ok(Some(Report::Failed { reason }))) => Err(ClientError::Refused(reason)),
            Ok(Ok(Some(Report::Welcome { task: other, .. }))) if other == task => Ok(()),
            Ok(Ok(Some(Report::Welcome { .. } | Report::Fact { .. } | Report::Unknown))) => {
                Err(ClientError::Confused { task })
            }
        }
    }

    /// The next fact. None when the shim is gone and everything it saw has been told.
    ///
    /// Nothing is lost when the future is dropped half-way.
    pub async fn next(&mut self) -> Result<Option<Fact>, ClientError> {
        while self.left.is_none() {
            match self.hear().await {
                Ok(Some(Report::Fact { fact })) => return Ok(Some(self.took(fact))),
                Ok(Some(Report::Welcome { .. } | Report::Failed { .. } | Report::Unknown)) => {}
                Ok(None) | Err(_) => self.left = Some(read_ledger(&self.ledger, self.next)?.into()),
            }
        }
        let fact = self.left.as_mut().and_then(VecDeque::pop_front);
        Ok(fact.map(|fact| self.took(fact)))
    }

    /// Whether the shim has said that every container has ended. When [`Self::next`] gave none and this is false,
    /// the shim was killed, and its containers with it.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Tells the task to stop.
    pub async fn stop(&mut self, request: &StopRequest) -> Result<(), ClientError> {
        self.say(&Order::Stop { request: request.clone() }).await
    }

    /// Sends a signal to the first process of a container.
    pub async fn signal(&mut self, container: &ContainerName, signal: i32) -> Result<(), ClientError> {
        self.say(&Order::Signal { container: container.clone(), signal }).await
    }

    /// Brings the credentials of the task's role.
    pub async fn credentials(&mut self, credentials: Credentials) -> Result<(), ClientError> {
        self.say(&Order::Credentials { credentials: Box::new(credentials) }).await
    }

    fn took(&mut self, fact: Fact) -> Fact {
        self.next = fact.ledger.map_or(self.next, |number| number + 1);
        self.finished |= fact.seen == Seen::AllStopped;
        fact
    }

    async fn say(&mut self, order: &Order) -> Result<(), ClientError> {
        let said = async { self.stream.write_all(&line_of(order)?).await };
        said.await.map_err(|source| {
            let is_gone = matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
            let task = self.task.clone();
            if is_gone { ClientError::Gone(task) } else { ClientError::Talk { task, source } }
        })
    }

    /// The next line, or none at the end of the stream.
    async fn hear(&mut self) -> io::Result<Option<Report>> {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let report = serde_json::from_slice(&self.heard[..end]);
                self.heard.drain(..=end);
                return Ok(Some(report?));
            }
            if self.heard.len() > LINE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.heard) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It went away with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::time::Timestamp, shim::ledger::Ledger};

    #[tokio::test]
    async fn a_task_that_was_over_before_its_shim_was_greeted_has_told_its_ledger() {
        let place = tempfile::tempdir().unwrap();
        let task = TaskId::from_random([7; 16]);
        let address = Address {
            task: task.clone(),
            socket: place.path().join("socket"),
            ledger: place.path().join("ledger"),
        };
        let first = async || {
            let (ours, shim) = UnixStream::pair().unwrap();
            drop(shim);
            Connection::first(&address, ours).await
        };
        let mut ledger = Ledger::open(&address.ledger).unwrap();
        assert!(matches!(first().await, Err(ClientError::Gone(_))), "it had not begun");
        for seen in [Seen::ShimStarted, Seen::AllStopped] {
            ledger.append(Fact { task: task.clone(), at: Timestamp(1), ledger: None, seen });
        }
        ledger.write();
        let mut connection = first().await.unwrap();
        let mut told = Vec::new();
        while let Some(fact) = connection.next().await.unwrap() {
            told.push(fact.seen);
        }
        assert_eq!(told, [Seen::ShimStarted, Seen::AllStopped]);
        assert!(connection.is_finished());
    }
}
