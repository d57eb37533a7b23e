//! Rules of log configurations: each driver knows its options, and some of them only certain values.

use super::one_of;
use crate::model::{
    reading::{MemberPath, Refusal},
    size,
    task_definition::{BadLogPattern, LogConfiguration, LogPattern, LogTag},
};

/// The drivers that ECS knows, and `none`, with which nothing is kept.
const DRIVERS: [&str; 9] =
    ["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens", "none"];

/// The facilities of syslog; each stands at its number.
pub const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

/// What every driver takes.
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];

/// What every driver of Docker's takes besides.
const EXTRA: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];

/// What a driver takes for itself, as Docker documents it; none for drivers that hand on what they do not know.
fn own(driver: &str) -> Option<&'static [&'static str]> {
    match driver {
        "json-file" => Some(&["max-size", "max-file", "compress"]),
        "syslog" => Some(&[
            "syslog-address",
            "syslog-facility",
            "syslog-format",
            "syslog-tls-ca-cert",
            "syslog-tls-cert",
            "syslog-tls-key",
            "syslog-tls-skip-verify",
        ]),
        "journald" => Some(&[]),
        "gelf" => Some(&[
            "gelf-address",
            "gelf-compression-type",
            "gelf-compression-level",
            "gelf-tcp-max-reconnect",
            "gelf-tcp-reconnect-delay",
        ]),
        "fluentd" => Some(&[
            "fluentd-address",
            "fluentd-async",
            "fluentd-async-connect",
            "fluentd-async-reconnect-interval",
            "fluentd-buffer-limit",
            "fluentd-max-retries",
            "fluentd-read-timeout",
            "fluentd-request-ack",
            "fluentd-retry-wait",
            "fluentd-sub-second-precision",
            "fluentd-write-timeout",
        ]),
        "splunk" => Some(&[
            "splunk-token",
            "splunk-url",
            "splunk-source",
            "splunk-sourcetype",
            "splunk-index",
            "splunk-capath",
            "splunk-caname",
            "splunk-insecureskipverify",
            "splunk-format",
            "splunk-verify-connection",
            "splunk-gzip",
            "splunk-gzip-level",
            "splunk-index-acknowledgment",
        ]),
        _ => None,
    }
}

pub(super) fn check(log: &LogConfiguration, path: &MemberPath) -> Result<(), Refusal> {
    one_of(&log.log_driver, &DRIVERS, || path.member("logDriver"))?;
    let options = path.member("options");
    known(log, path)?;
    if let Some(mode) = log.option("mode") {
        one_of(mode, &["blocking", "non-blocking"], || options.member("mode"))?;
    }
    let is_size = |text: &str| size::bytes(text).is_some_and(|bytes| bytes > 0);
    let size = "is no size such as 10m";
    holds(log, &options, "max-buffer-size", size, is_size)?;
    for name in ["labels-regex", "env-regex"] {
        pattern(log, &options, name, LogPattern::parse)?;
    }
    match log.log_driver.as_str() {
        "awslogs" => awslogs(log, &options)?,
        "json-file" => {
            holds(log, &options, "max-size", size, |text| text == "-1" || is_size(text))?;
            let is_count = |text: &str| text.parse().is_ok_and(|count: u32| count > 0);
            holds(log, &options, "max-file", "is no number of files from 1", is_count)?;
            if let Some(compress) = log.option("compress") {
                one_of(compress, &["true", "false"], || options.member("compress"))?;
            }
            tag(log, &options)?;
        }
        "journald" => tag(log, &options)?,
        "syslog" => syslog(log, &options)?,
        _ => {}
    }
    secrets(log, path)
}

/// Refuses options that the driver does not have.
fn known(log: &LogConfiguration, path: &MemberPath) -> Result<(), Refusal> {
    let own = match log.log_driver.as_str() {
        "none" => &[],
        driver => match own(driver) {
            Some(own) => own,
            None => return Ok(()),
        },
    };
    let has_extra = log.log_driver != "none";
    let is_known =
        |name: &str| COMMON.contains(&name) || own.contains(&name) || has_extra && EXTRA.contains(&name);
    let given = log.options.iter().flat_map(|options| options.keys());
    let given = given.chain(log.secret_options.iter().map(|secret| &secret.name));
    let unknown: Vec<&str> = given.map(String::as_str).filter(|name| !is_known(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let message = format!("Log driver {} disallows options: {}", log.log_driver, unknown.join(", "));
    let of_secret = log.secret_options.iter().position(|secret| secret.name == unknown[0]);
    let path = match of_secret {
        Some(index) => path.member("secretOptions").element(index).member("name"),
        None => path.member("options"),
    };
    Err(Refusal::rule(path, message))
}

fn awslogs(log: &LogConfiguration, options: &MemberPath) -> Result<(), Refusal> {
    let required = ["awslogs-region", "awslogs-group"];
    let missing: Vec<&str> = required.into_iter().filter(|name| log.option(name).is_none()).collect();
    if !missing.is_empty() {
        let message = format!("Log driver awslogs requires options: {}", missing.join(", "));
        return Err(Refusal::rule(options.clone(), message));
    }
    let both = ["awslogs-datetime-format", "awslogs-multiline-pattern"];
    if both.into_iter().all(|name| log.option(name).is_some()) {
        let message = "Log driver awslogs takes either awslogs-datetime-format or awslogs-multiline-pattern.";
        return Err(Refusal::rule(options.clone(), message));
    }
    pattern(log, options, "awslogs-multiline-pattern", LogPattern::parse)?;
    pattern(log, options, "awslogs-datetime-format", LogPattern::of_time)
}

/// Refuses an option that is no pattern.
fn pattern(
    log: &LogConfiguration,
    options: &MemberPath,
    name: &str,
    read: fn(&str) -> Result<LogPattern, BadLogPattern>,
) -> Result<(), Refusal> {
    match log.option(name).map(|text| (text, read(text))) {
        Some((text, Err(bad))) => Err(Refusal::wrong(options.member(name), format!("'{text}' {bad}"))),
        Some((_, Ok(_))) | None => Ok(()),
    }
}

fn syslog(log: &LogConfiguration, options: &MemberPath) -> Result<(), Refusal> {
    if let Some(format) = log.option("syslog-format") {
        one_of(format, &["rfc3164", "rfc5424", "rfc5424micro"], || options.member("syslog-format"))?;
    }
    let is_facility =
        |text: &str| FACILITIES.contains(&text) || text.parse().is_ok_and(|number: u8| number < 24);
    holds(log, options, "syslog-facility", "is no facility such as daemon, or 0 to 23", is_facility)?;
    let is_address = |text: &str| match text.split_once("://") {
        Some(("udp" | "tcp" | "tcp+tls", host)) => !host.trim_start_matches(':').is_empty(),
        Some(("unix" | "unixgram", path)) => path.starts_with('/'),
        _ => text.is_empty(),
    };
    let what = "is no address such as udp://HOST:514, tcp://HOST:514, unix:///PATH or unixgram:///PATH";
    holds(log, options, "syslog-address", what, is_address)?;
    tag(log, options)
}

fn tag(log: &LogConfiguration, options: &MemberPath) -> Result<(), Refusal> {
    match log.option("tag").map(LogTag::parse) {
        Some(Err(bad)) => Err(Refusal::wrong(options.member("tag"), bad.to_string())),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn secrets(log: &LogConfiguration, path: &MemberPath) -> Result<(), Refusal> {
    for (index, secret) in log.secret_options.iter().enumerate() {
        let path = path.member("secretOptions").element(index);
        if secret.value_from.is_empty() {
            return Err(Refusal::wrong(
                path.member("valueFrom"),
                "the name of a secret is missing".to_owned(),
            ));
        }
        if log.option(&secret.name).is_some() {
            return Err(Refusal::wrong(
                path.member("name"),
                format!("'{}' is among the options too", secret.name),
            ));
        }
    }
    Ok(())
}

/// Refuses an option whose value does not hold.
fn holds(
    log: &LogConfiguration,
    options: &MemberPath,
    name: &str,
    what: &str,
    test: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    match log.option(name).filter(|value| !test(value)) {
        Some(value) => Err(Refusal::wrong(options.member(name), format!("'{value}' {what}"))),
        None => Ok(()),
    }
}
