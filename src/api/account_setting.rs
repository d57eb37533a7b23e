//! PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting, ListAccountSettings.
//!
//! Tools ask for these before they do anything else. What somebody sets is kept and shown; of what it means in the
//! cloud, `containerInsights` gives the value that new clusters begin with, and `defaultLogDriverMode` says whether a
//! container waits for whoever takes its output, where its definition does not.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, input, page::Page, refused::Refused};
use crate::store::Snapshot;

/// A setting: its name, its value where nobody set one, and the values it can have; any number where that is empty.
struct Setting {
    name: &'static str,
    usual: &'static str,
    values: &'static [&'static str],
}

const SWITCH: &[&str] = &["enabled", "disabled", "on", "off"];

/// The settings that there are, by name.
const SETTINGS: [Setting; 11] = [
    Setting { name: "awsvpcTrunking", usual: "disabled", values: SWITCH },
    Setting {
        name: "containerInsights",
        usual: "disabled",
        values: &["enhanced", "enabled", "disabled", "on", "off"],
    },
    Setting { name: "containerInstanceLongArnFormat", usual: "enabled", values: &["enabled", "on"] },
    Setting { name: "defaultLogDriverMode", usual: "non-blocking", values: &["blocking", "non-blocking"] },
    Setting { name: "fargateEventWindows", usual: "disabled", values: SWITCH },
    Setting { name: "fargateFIPSMode", usual: "disabled", values: SWITCH },
    Setting { name: "fargateTaskRetirementWaitPeriod", usual: "7", values: &["0", "7", "14"] },
    Setting { name: "guardDutyActivate", usual: "off", values: SWITCH },
    Setting { name: "serviceLongArnFormat", usual: "enabled", values: &["enabled", "on"] },
    Setting { name: "tagResourceAuthorization", usual: "on", values: &["on", "off"] },
    Setting { name: "taskLongArnFormat", usual: "enabled", values: &["enabled", "on"] },
];

fn setting(name: &str) -> Result<&'static Setting, Refused> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let names = SETTINGS.map(|setting| setting.name);
        let nearest = crate::model::reading::nearest_word(name, names);
        let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
        Refused::parameter(format!("name: `{name}` is not one of {}{hint}", names.join(", ")))
    })
}

/// The account's own principal: settings of it hold for all that have none of their own.
fn root(api: &Api) -> String {
    format!("arn:aws:iam::{}:root", api.owner.account)
}

fn principal(api: &Api, given: Option<String>) -> Result<String, Refused> {
    let Some(arn) = given else { return Ok(root(api)) };
    let is_principal = arn.strip_prefix("arn:aws:iam::").is_some_and(|rest| {
        let (account, name) = rest.split_once(':').unwrap_or((rest, ""));
        account == api.owner.account
            && !name.is_empty()
            && name.len() <= 512
            && !name.contains(char::is_whitespace)
    });
    if is_principal {
        return Ok(arn);
    }
    Err(Refused::parameter(format!(
        "principalArn: '{arn}' is not a user, a role or the root of account {}.",
        api.owner.account
    )))
}

fn document(name: &str, value: &str, principal: &str) -> Value {
    let kind = if name == "guardDutyActivate" { "aws_managed" } else { "user" };
    json!({"name": name, "value": value, "principalArn": principal, "type": kind})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PutAccountSetting {
    name: String,
    value: String,
    principal_arn: Option<String>,
}

pub(super) async fn put(api: &Api, value: Value) -> Answer {
    let PutAccountSetting { name, value, principal_arn } = input(value)?;
    let setting = setting(&name)?;
    let principal = principal(api, principal_arn)?;
    if name == "guardDutyActivate" {
        return Err(Refused::parameter("guardDutyActivate is not for users to set."));
    }
    if !setting.values.contains(&value.as_str()) {
        return Err(Refused::parameter(format!(
            "value: `{value}` is not one of {}, the values of {name} here",
            setting.values.join(", ")
        )));
    }
    let shown = document(&name, &value, &principal);
    api.store
        .write(move |draft| {
            draft.put_account_setting(&principal, &name, value);
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(json!({"setting": shown}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteAccountSetting {
    name: String,
    principal_arn: Option<String>,
}

pub(super) async fn delete(api: &Api, value: Value) -> Answer {
    let DeleteAccountSetting { name, principal_arn } = input(value)?;
    let usual = setting(&name)?.usual;
    let principal = principal(api, principal_arn)?;
    let (of, what) = (principal.clone(), name.clone());
    let was =
        api.store.write(move |draft| Ok::<_, Refused>(draft.remove_account_setting(&of, &what))).await?;
    Ok(json!({"setting": document(&name, was.as_deref().unwrap_or(usual), &principal)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListAccountSettings {
    name: Option<String>,
    value: Option<String>,
    principal_arn: Option<String>,
    #[serde(default)]
    effective_settings: bool,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListAccountSettings = input(value)?;
    if let Some(name) = &input.name {
        setting(name)?;
    }
    if let Some(value) = input.value.as_deref().filter(|_| input.name.is_none()) {
        let message = "To list by value, name the setting too.";
        return Err(Refused::parameter(message).about("value", value));
    }
    let principal = principal(api, input.principal_arn)?;
    let snapshot = api.store.snapshot();
    let mut values = set_by(&snapshot, &principal);
    if input.effective_settings {
        for (name, value) in set_by(&snapshot, &root(api)) {
            values.entry(name).or_insert(value);
        }
        for Setting { name, usual, .. } in SETTINGS {
            values.entry(name.to_owned()).or_insert_with(|| usual.to_owned());
        }
    }
    let is_wanted = |name: &str, value: &str| {
        input.name.as_deref().is_none_or(|wanted| wanted == name)
            && input.value.as_deref().is_none_or(|wanted| wanted == value)
    };
    let all = values.into_iter().filter(|(name, value)| is_wanted(name, value)).map(|(name, value)| {
        let shown = document(&name, &value, &principal);
        (name, shown)
    });
    let page = Page { max_results: input.max_results, next_token: input.next_token.clone() };
    let listed =
        page.of_at_most(10, all, 10, |text| Some(text.to_owned()), |name: &String, seen| name > seen)?;
    Ok(listed.under("settings"))
}

fn set_by(snapshot: &Snapshot, principal: &str) -> BTreeMap<String, String> {
    let mine = snapshot.account_settings().filter(|(of, _, _)| *of == principal);
    mine.map(|(_, name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The value of `containerInsights` that new clusters begin with.
pub(super) fn container_insights(api: &Api, snapshot: &Snapshot) -> &'static str {
    match set_by(snapshot, &root(api)).get("containerInsights").map(String::as_str) {
        Some("enhanced") => "enhanced",
        Some("enabled" | "on") => "enabled",
        Some(_) | None => "disabled",
    }
}
