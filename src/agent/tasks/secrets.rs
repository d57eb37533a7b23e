//! The secrets that a task's containers name: looked up before anything is made, told in ECS's words when missing.

use super::Hands;
use crate::agent::failure::{Failure, Kind, sentence};
use crate::agent::secrets::{SecretError, SecretStore};
use crate::image::credentials::Login;
use crate::model::ids::ContainerName;
use crate::model::task_definition::{ContainerDefinition, Secret};

/// The values of `secrets`, in their order.
pub(super) fn of(
    hands: &Hands,
    container: &ContainerName,
    secrets: &[Secret],
) -> Result<Vec<(String, String)>, Failure> {
    let store = SecretStore::new(&hands.config.local.secrets);
    let value = |secret: &Secret| {
        let found = store.value(&secret.value_from);
        let found = found.map_err(|err| refused(container, &format!("secret {}", secret.name), &err))?;
        Ok((secret.name.clone(), found))
    };
    secrets.iter().map(value).collect()
}

/// The values of the secret options of the container's log driver.
pub(super) fn of_log(
    hands: &Hands,
    definition: &ContainerDefinition,
) -> Result<Vec<(String, String)>, Failure> {
    let named = definition.log_configuration.as_ref().map(|log| log.secret_options.as_slice());
    of(hands, &definition.name, named.unwrap_or_default())
}

/// Who the container's registry is told to be asked by; none where the definition names no credentials.
pub(super) fn login(hands: &Hands, definition: &ContainerDefinition) -> Result<Option<Login>, Failure> {
    let named = definition.repository_credentials.as_ref();
    let Some(parameter) = named.and_then(|named| named["credentialsParameter"].as_str()) else {
        return Ok(None);
    };
    let found = SecretStore::new(&hands.config.local.secrets).login(parameter);
    found.map(Some).map_err(|err| refused(&definition.name, "repositoryCredentials", &err))
}

fn refused(container: &ContainerName, what: &str, error: &SecretError) -> Failure {
    let why = sentence(error);
    let text = format!("unable to pull secrets or registry auth: {what} of container {container}: {why}");
    Failure::said(container, Kind::Resource, &text)
}
