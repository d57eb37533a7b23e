//! The process of a bundle: what runs, as whom, where, with which environment and limits.

use oci_spec::runtime::{
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, User, UserBuilder,
};

use super::{BundleError, Recipe, security};
use crate::agent::environment::{self, Sources};
use crate::model::task_definition::Ulimit;

pub(super) fn process(recipe: &Recipe<'_>, options: &security::Options) -> Result<Process, BundleError> {
    let definition = recipe.definition;
    let mut builder = ProcessBuilder::default()
        .terminal(definition.pseudo_terminal.unwrap_or(false))
        .user(user(recipe)?)
        .args(arguments(recipe)?)
        .env(environment(recipe))
        .cwd(working_directory(recipe)?)
        .capabilities(security::capabilities(recipe)?)
        .no_new_privileges(options.no_new_privileges);
    let limits = limits(&definition.ulimits)?;
    if !limits.is_empty() {
        builder = builder.rlimits(limits);
    }
    if let Some(profile) = &options.apparmor_profile {
        builder = builder.apparmor_profile(profile.clone());
    }
    Ok(builder.build()?)
}

fn user(recipe: &Recipe<'_>) -> Result<User, BundleError> {
    let mut builder = UserBuilder::default().uid(recipe.user.uid).gid(recipe.user.gid);
    if !recipe.user.additional_gids.is_empty() {
        builder = builder.additional_gids(recipe.user.additional_gids.clone());
    }
    Ok(builder.build()?)
}

/// Docker's rules: an entry point of the definition also takes the image's command away; a command replaces only the
/// command.
fn arguments(recipe: &Recipe<'_>) -> Result<Vec<String>, BundleError> {
    let given = |list: Option<&Vec<String>>| list.filter(|list| !list.is_empty()).cloned();
    let definition = recipe.definition;
    let own_entry = given(definition.entry_point.as_ref());
    let command = given(recipe.change.and_then(|change| change.command.as_ref()))
        .or_else(|| given(definition.command.as_ref()))
        .or_else(|| if own_entry.is_none() { given(recipe.image.cmd().as_ref()) } else { None });
    let entry = own_entry.or_else(|| given(recipe.image.entrypoint().as_ref()));
    let arguments: Vec<String> = entry.into_iter().chain(command).flatten().collect();
    if arguments.is_empty() { Err(BundleError::NoCommand(definition.image.clone())) } else { Ok(arguments) }
}

fn environment(recipe: &Recipe<'_>) -> Vec<String> {
    environment::resolve(&Sources {
        hostname: recipe.hostname,
        home: Some(&recipe.user.home),
        terminal: recipe.definition.pseudo_terminal.unwrap_or(false),
        image: recipe.image.env().as_deref().unwrap_or_default(),
        files: recipe.files,
        definition: &recipe.definition.environment,
        changes: recipe.change.map(|change| change.environment.as_slice()).unwrap_or_default(),
        secrets: recipe.secrets,
        endpoint: recipe.endpoint,
    })
}

fn working_directory(recipe: &Recipe<'_>) -> Result<String, BundleError> {
    let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let own = given(recipe.definition.working_directory.as_ref());
    let directory =
        own.or_else(|| given(recipe.image.working_dir().as_ref())).unwrap_or_else(|| "/".to_owned());
    if directory.starts_with('/') { Ok(directory) } else { Err(BundleError::WorkingDirectory(directory)) }
}

fn limits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, BundleError> {
    let value = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX); // -1 is "none", RLIM_INFINITY
    let limit = |ulimit: &Ulimit| {
        let kind = limit_kind(&ulimit.name).ok_or_else(|| BundleError::Ulimit(ulimit.name.clone()))?;
        let (soft, hard) = (value(ulimit.soft_limit), value(ulimit.hard_limit));
        Ok(PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build()?)
    };
    ulimits.iter().map(limit).collect()
}

fn limit_kind(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as Kind;
    let kinds = [
        ("as", Kind::RlimitAs),
        ("core", Kind::RlimitCore),
        ("cpu", Kind::RlimitCpu),
        ("data", Kind::RlimitData),
        ("fsize", Kind::RlimitFsize),
        ("locks", Kind::RlimitLocks),
        ("memlock", Kind::RlimitMemlock),
        ("msgqueue", Kind::RlimitMsgqueue),
        ("nice", Kind::RlimitNice),
        ("nofile", Kind::RlimitNofile),
        ("nproc", Kind::RlimitNproc),
        ("rss", Kind::RlimitRss),
        ("rtprio", Kind::RlimitRtprio),
        ("rttime", Kind::RlimitRttime),
        ("sigpending", Kind::RlimitSigpending),
        ("stack", Kind::RlimitStack),
    ];
    kinds.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
}
