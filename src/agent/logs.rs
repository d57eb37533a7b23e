//! The output of tasks as one stream of lines.
//!
//! What is there already comes in the order of time across containers; what follows comes as it is written. Following
//! ends with the task: once nothing more happens with it, what its files still hold is read to the end.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::agent::failure::sentence;
use crate::agent::tasks::Hands;
use crate::model::ids::{ContainerName, TaskId};
use crate::model::task::LastLine;
use crate::model::time::Timestamp;
use crate::shim::logs::{Reader, Record, Selection, Stream};

/// A line longer than this is given in parts.
const LONGEST: usize = 256 << 10;
/// Lines of a container that stay when everything else is gone, and their bytes, as a shim keeps them.
const LAST: usize = 20;
const LAST_BYTES: usize = 4 << 10;
/// Lines that wait for a slow reader.
const WAITING: usize = 256;

/// The output of one container of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogOf {
    /// The task.
    pub task: TaskId,
    /// Its container.
    pub container: ContainerName,
}

impl LogOf {
    /// The output of this container of this task.
    #[must_use]
    pub fn new(task: &TaskId, container: &ContainerName) -> Self {
        Self { task: task.clone(), container: container.clone() }
    }
}

/// Which lines of the logs.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Of which containers.
    pub outputs: Vec<LogOf>,
    /// Whether to wait for more.
    pub follow: bool,
    /// No older lines.
    pub since: Option<Timestamp>,
    /// No newer lines.
    pub until: Option<Timestamp>,
    /// No more than this many last lines of each container.
    pub tail: Option<usize>,
}

/// One line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The task.
    pub task: TaskId,
    /// The container.
    pub container: ContainerName,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// When it was written.
    pub at: Timestamp,
    /// The text without its line end.
    pub line: String,
}

/// One container's output being read.
struct Source {
    task: TaskId,
    container: ContainerName,
    reader: Reader,
    /// The beginnings of lines of stdout, stderr and notes.
    begun: [Vec<u8>; 3],
    ready: Option<LogLine>,
}

/// Starts reading. Dropping the receiver ends it.
pub(crate) fn read(hands: &Arc<Hands>, query: LogQuery) -> mpsc::Receiver<LogLine> {
    let (lines, receiver) = mpsc::channel(WAITING);
    let hands = Arc::clone(hands);
    tokio::spawn(async move {
        let mut sources = open(&hands, &query);
        if backlog(&mut sources, &lines).await.is_none() || !query.follow {
            return;
        }
        for source in sources {
            tokio::spawn(follow(Arc::clone(&hands), source, lines.clone()));
        }
    });
    receiver
}

fn open(hands: &Hands, query: &LogQuery) -> Vec<Source> {
    let mut sources = Vec::new();
    for LogOf { task, container } in &query.outputs {
        let follow =
            query.follow && !hands.is_over(task) && fs::create_dir_all(hands.places.logs(task)).is_ok();
        let selection = Selection { since: query.since, until: query.until, tail: query.tail, follow };
        match Reader::open(&hands.places.log(task, container), &selection) {
            Ok(reader) => sources.push(Source::new(task, container.clone(), reader)),
            Err(err) => {
                tracing::warn!(%task, %container, error = sentence(&err), "log not read");
            }
        }
    }
    sources
}

/// The last lines of a container that could not give them itself, from its files.
pub(crate) async fn last_lines(hands: &Hands, task: &TaskId, container: &ContainerName) -> Vec<LastLine> {
    let selection = Selection { tail: Some(LAST), ..Selection::default() };
    let Ok(reader) = Reader::open(&hands.places.log(task, container), &selection) else { return Vec::new() };
    let mut source = Source::new(task, container.clone(), reader);
    let mut lines = Vec::new();
    while let Some(LogLine { at, stream, mut line, .. }) = source.next().await {
        let end = (0..=LAST_BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or_default());
        lines.push(LastLine { at, stream: stream.to_owned(), line });
    }
    let mut left = LAST_BYTES;
    let fits = |line: &&LastLine| {
        let rest = left.checked_sub(line.line.len());
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    let first = lines.len() - lines.iter().rev().take_while(fits).count();
    lines.split_off(first)
}

/// The bytes of the files in a directory of logs.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| Some(fs::metadata(file.path()).ok()?.len())).sum()
}

/// Sends what is there, oldest first; none when nobody listens any more.
async fn backlog(sources: &mut [Source], lines: &mpsc::Sender<LogLine>) -> Option<()> {
    loop {
        for source in sources.iter_mut().filter(|source| source.ready.is_none()) {
            source.ready = source.next().now_or_never().flatten();
        }
        let waiting = sources.iter_mut().filter(|source| source.ready.is_some());
        let oldest = waiting.min_by_key(|source| source.ready.as_ref().map(|line| line.at));
        let Some(line) = oldest.and_then(|source| source.ready.take()) else { return Some(()) };
        lines.send(line).await.ok()?;
    }
}

/// Sends what comes, until the task is over and its output read.
async fn follow(hands: Arc<Hands>, mut source: Source, lines: mpsc::Sender<LogLine>) {
    let task = source.task.clone();
    let mut is_over = false;
    loop {
        let next = tokio::select! {
            biased;
            () = lines.closed() => return,
            line = source.next() => line,
            () = hands.over(&task), if !is_over => {
                is_over = true;
                source.reader.finish();
                continue;
            }
        };
        match next {
            Some(line) => {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            None => return,
        }
    }
}

impl Source {
    fn new(task: &TaskId, container: ContainerName, reader: Reader) -> Self {
        Self { task: task.clone(), container, reader, begun: Default::default(), ready: None }
    }

    /// The next whole line; none at the end. Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            match self.reader.next().await {
                Ok(Some(record)) => {
                    if let Some(line) = self.take(&record) {
                        return Some(line);
                    }
                }
                Ok(None) => return self.rest(),
                Err(err) => {
                    tracing::warn!(task = %self.task, container = %self.container, error = sentence(&err), "log cut");
                    return self.rest();
                }
            }
        }
    }

    fn take(&mut self, record: &Record) -> Option<LogLine> {
        let begun = &mut self.begun[place(record.stream)];
        begun.extend_from_slice(&record.bytes);
        if !record.whole && begun.len() < LONGEST {
            return None;
        }
        let bytes = std::mem::take(begun);
        Some(self.line(record.stream, record.at(), &bytes))
    }

    /// A line that never ended.
    fn rest(&mut self) -> Option<LogLine> {
        let streams = [Stream::Stdout, Stream::Stderr, Stream::Note];
        let stream = streams.into_iter().find(|stream| !self.begun[place(*stream)].is_empty())?;
        let bytes = std::mem::take(&mut self.begun[place(stream)]);
        Some(self.line(stream, crate::agent::facts::now(), &bytes))
    }

    fn line(&self, stream: Stream, at: Timestamp, bytes: &[u8]) -> LogLine {
        LogLine {
            task: self.task.clone(),
            container: self.container.clone(),
            stream: stream.name(),
            at,
            line: String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

fn place(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Note => 2,
    }
}
