//! Credentials in a file, in the form of AWS's own.
//!
//! ```text
//!   [default]
//!   aws_access_key_id = AKIDEXAMPLE
//!   aws_secret_access_key = …
//!   aws_session_token = …
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use super::{Keys, RoleError};
use crate::agent::secrets::read_private;

/// The credentials of a section of the file.
pub(super) fn read(file: &Path, profile: &str) -> Result<Keys, RoleError> {
    let text = read_private(file)?;
    find(&text, profile)
        .ok_or_else(|| RoleError::Profile { file: file.to_owned(), profile: profile.to_owned() })
}

fn find(text: &str, profile: &str) -> Option<Keys> {
    let mut values = BTreeMap::new();
    let mut is_it = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_it = name.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_it) {
            values.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut value = |name: &str| values.remove(name).filter(|value| !value.is_empty());
    Some(Keys {
        id: value("aws_access_key_id")?,
        secret: value("aws_secret_access_key")?,
        token: value("aws_session_token"),
        until: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section_and_no_other() {
        let text = "aws_access_key_id = Z\n# x\n[default]\naws_access_key_id = A\naws_secret_access_key=s=1\n\
                    [ two ]\nAWS_ACCESS_KEY_ID=B\naws_secret_access_key = t\naws_session_token = k\n\
                    [half]\naws_access_key_id = C\naws_secret_access_key =\n";
        let found = |profile: &str| find(text, profile).map(|keys| (keys.id, keys.secret, keys.token));
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some((id.to_owned(), secret.to_owned(), token.map(str::to_owned)))
        };
        assert_eq!(found("default"), keys("A", "s=1", None));
        assert_eq!(found("two"), keys("B", "t", Some("k")));
        assert_eq!((found("half"), found("none")), (None, None));
    }
}
