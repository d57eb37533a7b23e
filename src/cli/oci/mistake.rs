//! A command line that makes no sense: one line and exit code 1, where container managers look for every other error.
//!
//! They read the last line of the log that they have named, and know nothing of usage texts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::LogFormat;
use super::report::{FAILED, Log};

/// Flags before the command whose value may be the next word.
const WITH_VALUE: [&[u8]; 5] = [b"--root", b"--log", b"--log-format", b"--rootless", b"--criu"];

/// Tells what clap found in `words`, the first of which is the program's name. Help that was asked for is no mistake.
pub(super) fn tell(err: &clap::Error, words: &[OsString]) -> ExitCode {
    if !err.use_stderr() {
        // Nothing is left to say if standard output is closed.
        let _ = err.print();
        return ExitCode::SUCCESS;
    }
    let (file, format) = log_of(words.iter().skip(1));
    Log::new(file.as_deref(), format, false).error(&sentence(err));
    ExitCode::from(FAILED)
}

/// The first paragraph of what clap says, as one line.
fn sentence(err: &clap::Error) -> String {
    if err.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command is given; see --help".to_owned();
    }
    let said = err.render().to_string();
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    let lines: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("{}; see --help", lines.join(" "))
}

/// The log that was named before the command, and its format, as far as they can be read.
fn log_of<'a>(words: impl Iterator<Item = &'a OsString>) -> (Option<PathBuf>, LogFormat) {
    let (mut file, mut format) = (None, LogFormat::Text);
    let mut words = words.map(|word| word.as_bytes());
    while let Some(word) = words.next().filter(|word| word.starts_with(b"-")) {
        let mut parts = word.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        let is_followed = WITH_VALUE.contains(&name);
        let value = parts.next().or_else(|| if is_followed { words.next() } else { None });
        match (name, value) {
            (b"--log", Some(value)) => file = Some(PathBuf::from(OsStr::from_bytes(value))),
            (b"--log-format", Some(b"json")) => format = LogFormat::Json,
            _ => {}
        }
    }
    (file, format)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Oci;
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_mistake_is_one_line() {
        let said = |line| sentence(&Oci::try_parse_from(words(line)).unwrap_err());
        assert_eq!(said("oci state"), "the following required arguments were not provided: <ID>; see --help");
        assert_eq!(said("oci delete --hard id"), "unexpected argument '--hard' found; see --help");
        assert_eq!(said("oci stat id"), "unrecognized subcommand 'stat'; see --help");
        assert_eq!(said("oci state one two"), "unexpected argument 'two' found; see --help");
        assert_eq!(
            said("oci --log-format loud state id"),
            "invalid value 'loud' for '--log-format <FORMAT>' [possible values: text, json]; see --help"
        );
        assert_eq!(said("oci"), "no command is given; see --help");
    }

    #[test]
    fn the_log_is_found_among_the_words_before_the_command() {
        let found = |line: &str| {
            let (file, format) = log_of(words(line).iter());
            (file.map(|file| file.display().to_string()), format == LogFormat::Json)
        };
        let log = Some("/l".to_owned());
        assert_eq!(found("--root /r --log /l --log-format json stat id"), (log.clone(), true));
        assert_eq!(found("--debug --log=/l --log-format=json --nope"), (log.clone(), true));
        assert_eq!(found("--log /l state --log /other"), (log, false));
        assert_eq!(found("--root --log state"), (None, false));
        assert_eq!(found("--log"), (None, false));
    }
}
