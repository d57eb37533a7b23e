//! The commands of a container's life, in the form that container managers give them, without clap.
//!
//! Before clap reads a command it describes all of them to itself: with that, each of the programs that a container
//! passes through takes half as long again. Whatever is not in exactly this form, mistakes above all, is clap's to read.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::arguments::Rootless;
use super::{Command, CreateArgs, DeleteArgs, Global, IdArg, LogFormat, Oci};
use crate::runtime::state::USUAL_ROOT;

/// A flag, and whether a value follows it.
type Flag = (&'static str, bool);

const OF_ALL: [Flag; 5] = [
    ("--root", true),
    ("--log", true),
    ("--log-format", true),
    ("--debug", false),
    ("--systemd-cgroup", false),
];

const OF_CREATE: [Flag; 5] = [
    ("--bundle", true),
    ("--pid-file", true),
    ("--console-socket", true),
    ("--no-pivot", false),
    ("--no-new-keyring", false),
];

const OF_DELETE: [Flag; 1] = [("--force", false)];

/// Reads the words after the program's name; nothing if they are another's to read.
pub(super) fn read(words: impl Iterator<Item = OsString>) -> Option<Oci> {
    let mut words = words;
    let (mut given, command) = flags(&mut words, &OF_ALL)?;
    let log_format = match given.take("--log-format") {
        None => LogFormat::Text,
        Some(format) if format == "text" => LogFormat::Text,
        Some(format) if format == "json" => LogFormat::Json,
        Some(_) => return None,
    };
    let global = Global {
        version: None,
        root: given.take("--root").map_or_else(|| USUAL_ROOT.into(), Into::into),
        log: given.take("--log").map(Into::into),
        log_format,
        debug: given.has("--debug"),
        systemd_cgroup: given.has("--systemd-cgroup"),
        rootless: Rootless::Auto,
        criu: None,
    };
    let command = match command.to_str()? {
        "create" => Command::Create(create(&mut words)?),
        "start" => Command::Start(IdArg { id: flags(&mut words, &[])?.1.into_string().ok()? }),
        "state" => Command::State(IdArg { id: flags(&mut words, &[])?.1.into_string().ok()? }),
        "delete" => {
            let (given, id) = flags(&mut words, &OF_DELETE)?;
            Command::Delete(DeleteArgs { force: given.has("--force"), id: id.into_string().ok()? })
        }
        _ => return None,
    };
    words.next().is_none().then_some(Oci { global, command })
}

fn create(words: &mut impl Iterator<Item = OsString>) -> Option<CreateArgs> {
    let (mut given, id) = flags(words, &OF_CREATE)?;
    Some(CreateArgs {
        bundle: given.take("--bundle").map_or_else(|| ".".into(), Into::into),
        console_socket: given.take("--console-socket").map(Into::into),
        pid_file: given.take("--pid-file").map(Into::into),
        preserve_fds: 0,
        no_pivot: given.has("--no-pivot"),
        no_new_keyring: given.has("--no-new-keyring"),
        id: id.into_string().ok()?,
    })
}

/// Flags that were given, each once, with their values.
struct Given(Vec<(&'static str, OsString)>);

impl Given {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| *given == name)
    }

    fn take(&mut self, name: &str) -> Option<OsString> {
        let at = self.0.iter().position(|(given, _)| *given == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Reads flags, and the first word after them.
fn flags(words: &mut impl Iterator<Item = OsString>, known: &[Flag]) -> Option<(Given, OsString)> {
    let mut given = Given(Vec::new());
    loop {
        let word = words.next()?;
        let Some((name, has_value)) = known.iter().find(|(name, _)| word == *name) else {
            return is_plain(&word).then_some((given, word));
        };
        let value = if *has_value { words.next().filter(|value| is_plain(value))? } else { OsString::new() };
        if given.has(name) {
            return None;
        }
        given.0.push((name, value));
    }
}

/// Whether a word is there and is no flag.
fn is_plain(word: &OsStr) -> bool {
    !matches!(word.as_bytes().first(), None | Some(b'-'))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;

    fn both(line: &[&str]) -> (Option<String>, Option<String>) {
        let words = || line.iter().map(OsString::from);
        let by_clap = Oci::try_parse_from([OsString::from("hythe oci")].into_iter().chain(words()));
        (read(words()).map(|oci| format!("{oci:?}")), by_clap.ok().map(|oci| format!("{oci:?}")))
    }

    #[test]
    fn what_container_managers_say_needs_no_clap() {
        for line in [
            "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --console-socket /c id",
            "create --no-pivot --no-new-keyring id",
            "--debug start id",
            "--root /r state id",
            "delete --force id",
            "delete id",
        ] {
            let (own, by_clap) = both(&line.split(' ').collect::<Vec<_>>());
            assert!(own.is_some(), "{line}");
            assert_eq!(own, by_clap, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_it_reads_clap_reads_the_same(
            line in prop::collection::vec(
                prop::sample::select(vec![
                    "--root", "--log", "--log-format", "json", "loud", "--debug", "--rootless", "true", "create", "start",
                    "state", "delete", "kill", "--bundle", "-b", "--pid-file", "--force", "-f", "id", "/a", "", "-", "--",
                    "--no-pivot", "--root=/a", "help", "--help",
                ]),
                0..8,
            )
        ) {
            let (own, by_clap) = both(&line);
            prop_assert!(own.is_none() || own == by_clap, "{own:?}\n{by_clap:?}");
        }
    }
}
