//! Credentials in a file, in the form of AWS's own.

use std::path::Path;

use super::{Keys, RoleError};
use crate::agent::secrets::read_private;
use crate::model::credentials::{Fault, sections};

/// The credentials of a section of the file.
pub(super) fn read(file: &Path, profile: &str) -> Result<Keys, RoleError> {
    let text = read_private(file)?;
    let wrong = |Fault { line, why }| RoleError::Line { file: file.to_owned(), line, why };
    find(&text, profile)
        .map_err(wrong)?
        .ok_or_else(|| RoleError::Profile { file: file.to_owned(), profile: profile.to_owned() })
}

fn find(text: &str, profile: &str) -> Result<Option<Keys>, Fault> {
    let found = sections(text)?.into_iter().find(|section| section.name == profile);
    let keys = found.and_then(|section| {
        Some(Keys {
            id: section.id()?.to_owned(),
            secret: section.secret()?.to_owned(),
            token: section.token().map(str::to_owned),
            until: None,
        })
    });
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section_and_no_other() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=s\n[two]\naws_access_key_id=B\n\
                    aws_secret_access_key = t\naws_session_token = k\n[half]\naws_access_key_id = C\n";
        let found = |profile: &str| {
            find(text, profile).unwrap_or_default().map(|keys| (keys.id, keys.secret, keys.token))
        };
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some((id.to_owned(), secret.to_owned(), token.map(str::to_owned)))
        };
        assert_eq!(found("default"), keys("A", "s", None));
        assert_eq!(found("two"), keys("B", "t", Some("k")));
        assert_eq!((found("half"), found("none")), (None, None));
    }
}
