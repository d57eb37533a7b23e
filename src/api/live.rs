//! Conversations: what the API needs of the running daemon beyond state.
//!
//! Everything that can be written down goes through the store. Logs that go on, images that are being pulled and
//! what a host can and cannot do are none of that; for these the daemon supplies a [`Live`]. Streams are pulled by
//! the server as fast as the client reads, so a slow client slows only its own conversation.

use std::pin::Pin;

use futures_util::{Stream, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use tokio::net::UnixStream;

use crate::model::{
    exec::ExecRequest,
    ids::{ClusterName, ContainerName, ServiceName, TaskId},
    service::Service,
    time::Timestamp,
};

mod ahead;

pub use self::ahead::{Explained, Foreseen, Subject};

/// Why a conversation did not come about, or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LiveError {
    /// The kind, for programs.
    pub kind: LiveErrorKind,
    /// The whole sentence, for people.
    pub message: String,
}

/// Kinds of [`LiveError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveErrorKind {
    /// The thing that was named is not there.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// The thing is in use.
    InUse,
    /// A registry refused.
    AccessDenied,
    /// This host cannot do it.
    Unsupported,
    /// It failed.
    Failed,
}

impl LiveError {
    /// An error of that kind.
    pub fn new(kind: LiveErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// An answer that takes a while.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LiveError>>;

/// Lines of a conversation, ended by the first error.
pub type Lines<T> = Pin<Box<dyn Stream<Item = Result<T, LiveError>> + Send>>;

/// What the daemon supplies.
pub trait Live: Send + Sync {
    /// The output of containers.
    fn logs(&self, query: LogQuery) -> Answer<'_, Lines<LogLine>>;

    /// Runs a command in a container of a task. The stream carries the frames of [`crate::model::exec`].
    fn exec(&self, task: TaskId, request: ExecRequest) -> Answer<'_, UnixStream>;

    /// The images that are here.
    fn images(&self) -> Answer<'_, Vec<ImageSummary>>;

    /// One image: its configuration, layers and digests.
    fn inspect_image(&self, reference: String) -> Answer<'_, Value>;

    /// Forgets a name of an image, and the image with its last name.
    fn remove_image(&self, reference: String, force: bool) -> Answer<'_, RemovedImages>;

    /// Brings an image here. The last line is [`PullEvent::Done`].
    fn pull_image(&self, request: PullRequest) -> Answer<'_, Lines<PullEvent>>;

    /// Removes what no name and no task refers to; with `all`, named images too that no task uses.
    fn prune_images(&self, all: bool) -> Answer<'_, RemovedImages>;

    /// Takes in the images of a layout or an archive on this host. The last line is [`PullEvent::Done`].
    fn load_images(&self, request: LoadRequest) -> Answer<'_, Lines<PullEvent>>;

    /// Writes an image to a layout or an archive on this host.
    fn save_image(&self, request: SaveRequest) -> Answer<'_, ()>;

    /// Checks the digests of what is stored, of one image or of all; one finding a line.
    fn verify_images(&self, reference: Option<String>) -> Answer<'_, Lines<ImageFinding>>;

    /// What the daemon knows of its host.
    fn doctor(&self) -> Answer<'_, DoctorReport>;

    /// What would be done for a service if it were as this one is.
    fn foresee(&self, service: Box<Service>) -> Answer<'_, Vec<Foreseen>>;

    /// Why something is as it is.
    fn explain(&self, subject: Subject) -> Answer<'_, Vec<Explained>>;
}

/// Which output is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Of which tasks.
    pub source: LogSource,
    /// Of one container only.
    pub container: Option<ContainerName>,
    /// Whether to go on with what is written later, until the tasks have stopped.
    pub follow: bool,
    /// Nothing before this moment.
    pub since: Option<Timestamp>,
    /// Nothing after this moment.
    pub until: Option<Timestamp>,
    /// At most so many of the newest lines of each container.
    pub tail: Option<usize>,
}

/// Whose output is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// One task.
    Task(TaskId),
    /// The tasks of a service; those that start later too, when following.
    Service(ClusterName, ServiceName),
    /// The containers that write to a group with the driver `awslogs`, or to one stream of it.
    Group(String, Option<String>),
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// The task.
    pub task: TaskId,
    /// The container.
    pub container: ContainerName,
    /// `stdout`, `stderr` or `note`, which is about the output.
    pub stream: String,
    /// When it was read, in milliseconds since 1970.
    pub time: Timestamp,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub line: String,
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary {
    /// Its full name, `docker.io/library/busybox:latest`; none when only a digest is left.
    pub name: Option<String>,
    /// The digest of its manifest.
    pub digest: String,
    /// `linux/amd64`.
    pub platform: String,
    /// Bytes that its layers take on disk.
    pub size: u64,
    /// When it came here.
    pub pulled_at: Option<Timestamp>,
    /// When it was built, as its configuration says.
    pub created_at: Option<Timestamp>,
    /// How many live containers use it.
    pub used_by: u32,
}

/// What a removal removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedImages {
    /// Names that are gone.
    pub names: Vec<String>,
    /// Digests of manifests, layers and blobs that are gone.
    pub digests: Vec<String>,
    /// Bytes that are free now.
    pub freed: u64,
}

/// An image to bring here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullRequest {
    /// What to pull.
    pub reference: String,
    /// `linux/arm64/v8`; this host's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// `NAME:PASSWORD` for the registry; looked up in docker's configuration when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// Speak plain HTTP to this registry.
    #[serde(default)]
    pub plain_http: bool,
}

/// Images to take in from a file or a directory of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadRequest {
    /// `oci:DIR[:tag]`, `oci-archive:FILE` or `docker-archive:FILE`, with an absolute path.
    pub source: String,
    /// The name that it gets; the name it carries when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An image to write to a file or a directory of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaveRequest {
    /// What to write.
    pub reference: String,
    /// `oci:DIR[:tag]`, `oci-archive:FILE` or `docker-archive:FILE`, with an absolute path.
    pub target: String,
}

/// One step of a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum PullEvent {
    /// The name leads to this manifest, with these layers.
    #[serde(rename_all = "camelCase")]
    Resolved {
        /// The manifest's digest.
        digest: String,
        /// The layers' digests, lowest first.
        layers: Vec<String>,
    },
    /// A layer came further.
    #[serde(rename_all = "camelCase")]
    Layer {
        /// Its digest.
        digest: String,
        /// What is being done with it.
        state: LayerState,
        /// Bytes that are here.
        done: u64,
        /// Bytes in all, when known.
        total: Option<u64>,
    },
    /// All of it is here.
    #[serde(rename_all = "camelCase")]
    Done {
        /// Its full name.
        name: String,
        /// The manifest's digest.
        digest: String,
        /// Bytes that its layers take on disk.
        size: u64,
    },
}

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerState {
    /// It was here before.
    Exists,
    /// It waits for its turn, or for another pull that fetches it.
    Waiting,
    /// It is downloaded, and unpacked on the way.
    Downloading,
    /// It is written out and synced.
    Unpacking,
    /// It is here.
    Complete,
}

/// What a check of a stored image found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFinding {
    /// The image or the layer.
    pub subject: String,
    /// Whether it is as it should be.
    pub sound: bool,
    /// What is wrong with it, or what was checked.
    pub message: String,
}

/// What the daemon knows of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorReport {
    /// The release of the daemon.
    pub version: String,
    /// One line a question.
    pub findings: Vec<DoctorFinding>,
    /// Anything else that programs may want: paths, counters, layouts.
    #[serde(default)]
    pub details: serde_json::Map<String, Value>,
}

/// One answer of the doctor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorFinding {
    /// What was looked at, such as `cgroup` or `network`.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// One sentence.
    pub message: String,
    /// What would help, where something would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with less than was asked for.
    Degraded,
    /// It does not work.
    Broken,
}
