//! Log drivers: what a definition says about a container's output, as its shim is told.
//!
//! Everything is decided here, once, when a task is prepared: secrets are looked up, names become addresses, tags and
//! extra fields become text. Drivers whose servers are not spoken to from here keep their output in files, and that is
//! said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::ids::TaskDefinitionId;
use crate::model::size;
use crate::model::task::{ContainerOverride, Task};
use crate::model::task_definition::{
    ContainerDefinition, LogConfiguration, LogMode, LogPattern, LogTag, LogWords,
};
use crate::shim::logs::check_tls;
use crate::shim::spec::{Delivery, Driver, LogSpec};

mod extra;
mod syslog;

/// Bytes of lines that wait for a slow taker where nobody says.
const BUFFER: u64 = 10 << 20;

/// What is known of a container when its output is given a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Its task.
    pub task: &'a Task,
    /// The revision that the task is made of.
    pub revision: &'a TaskDefinitionId,
    /// The container.
    pub definition: &'a ContainerDefinition,
    /// What this run changes of it.
    pub change: Option<&'a ContainerOverride>,
    /// The digest of its image.
    pub image_digest: &'a str,
    /// The values of its `secretOptions`.
    pub secrets: &'a [(String, String)],
    /// The name of this host.
    pub hostname: &'a str,
    /// Where the host's journal listens.
    pub journal: &'a Path,
    /// What holds for a slow taker where the definition does not say.
    pub mode: LogMode,
}

/// Where the output goes; none when it is thrown away. Each note is a sentence about what is not as asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Chosen {
    pub log: Option<LogSpec>,
    pub notes: Vec<String>,
}

impl Asked<'_> {
    /// Where the output goes; `usual` is what holds for files where the definition does not say.
    pub(crate) fn choose(&self, usual: LogSpec) -> Chosen {
        let Some(wanted) = &self.definition.log_configuration else {
            return Chosen { log: Some(usual), notes: Vec::new() };
        };
        let options = Options::of(wanted, self.secrets);
        let mut notes = Vec::new();
        let log = match wanted.log_driver.as_str() {
            "none" => None,
            "awslogs" => Some(awslogs(&options, usual, &mut notes)),
            "json-file" => Some(self.json_file(&options, usual)),
            "journald" => Some(LogSpec { driver: self.journald(&options), ..usual }),
            "syslog" => Some(LogSpec { driver: self.syslog(&options, &mut notes), ..usual }),
            driver => {
                notes.push(format!(
                    "log driver {driver} is not spoken to from this host: its output is in files"
                ));
                Some(usual)
            }
        };
        let name = &self.definition.name;
        let notes = notes.into_iter().map(|note| format!("container {name}: {note}")).collect();
        Chosen { log, notes }
    }

    fn json_file(&self, options: &Options<'_>, usual: LogSpec) -> LogSpec {
        let mut attributes = extra::of(self, options);
        if options.get("tag").is_some() {
            attributes.insert("tag".to_owned(), self.tag(options));
        }
        let compress = options.get("compress") == Some("true");
        let max_size = options.get("max-size").and_then(size::bytes).unwrap_or(usual.max_size);
        let max_files = options.get("max-file").and_then(|text| text.parse().ok()).unwrap_or(usual.max_files);
        LogSpec { max_size, max_files, driver: Driver::JsonFile { attributes, compress }, ..usual }
    }

    fn journald(&self, options: &Options<'_>) -> Driver {
        let tag = self.tag(options);
        let id = self.id();
        let short: String = id.chars().take(12).collect();
        let fields = [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", id),
            ("CONTAINER_NAME", self.definition.name.to_string()),
            ("CONTAINER_TAG", tag.clone()),
            ("IMAGE_NAME", self.definition.image.clone()),
            ("SYSLOG_IDENTIFIER", tag),
        ];
        let mut fields: Vec<(String, String)> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let extra = extra::of(self, options).into_iter();
        fields.extend(
            extra.map(|(name, value)| (extra::field(&name), value)).filter(|(name, _)| !name.is_empty()),
        );
        Driver::Journald { socket: PathBuf::from(self.journal), fields, delivery: self.delivery(options) }
    }

    fn syslog(&self, options: &Options<'_>, notes: &mut Vec<String>) -> Driver {
        let targets = syslog::targets(options.get("syslog-address").unwrap_or_default());
        if targets.is_empty() {
            let note =
                "the host of its syslog-address has no address now: its output is dropped until it has one";
            notes.push(note.to_owned());
        }
        let server = syslog::server(options, targets, self.tag(options), self.hostname);
        if let Some(Err(why)) = server.tls.as_ref().map(check_tls) {
            notes.push(format!("log driver syslog has no TLS, and its output is dropped: {why}"));
        }
        Driver::Syslog { server, delivery: self.delivery(options) }
    }

    fn delivery(&self, options: &Options<'_>) -> Delivery {
        let mode = options.get("mode").and_then(LogMode::parse).unwrap_or(self.mode);
        let most = options.get("max-buffer-size").and_then(size::bytes).unwrap_or(BUFFER);
        Delivery { blocking: mode == LogMode::Blocking, most }
    }

    fn tag(&self, options: &Options<'_>) -> String {
        // A tag that says nothing was refused when it was registered, unless it is a secret.
        let tag = options.get("tag").and_then(|text| LogTag::parse(text).ok()).unwrap_or_else(LogTag::usual);
        let image_id = self.image_digest.rsplit(':').next().unwrap_or_default();
        let (id, name) = (&self.id(), self.definition.name.as_str());
        tag.render(LogWords { id, name, image_id, image: &self.definition.image })
    }

    /// The container as its runtime calls it.
    fn id(&self) -> String {
        format!("{}-{}", self.task.id, self.definition.name)
    }
}

/// Files, in which the lines of an event are one entry where the options say how one begins.
fn awslogs(options: &Options<'_>, usual: LogSpec, notes: &mut Vec<String>) -> LogSpec {
    let (multiline, datetime) =
        (options.get("awslogs-multiline-pattern"), options.get("awslogs-datetime-format"));
    match LogPattern::of_events(multiline, datetime) {
        Ok(None) => usual,
        Ok(Some(begin)) => LogSpec { driver: Driver::Events { begin: begin.as_str().to_owned() }, ..usual },
        // Refused when it was registered, unless it is a secret: what it says is told to nobody.
        Err(_) => {
            notes.push("the pattern that begins its events cannot be read: each line is one".to_owned());
            usual
        }
    }
}

/// The options of a driver, secret ones included.
#[derive(Debug)]
pub(crate) struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn of(wanted: &'a LogConfiguration, secrets: &'a [(String, String)]) -> Self {
        let open = wanted.options.iter().flatten();
        let all = open.chain(secrets.iter().map(|(name, value)| (name, value)));
        Self(all.map(|(name, value)| (name.as_str(), value.as_str())).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests;
