//! CPU and memory of a task, as ECS writes them: text with or without a unit.

use serde::{Deserialize, Serialize};

use crate::model::ids::BadName;

/// CPU units; 1024 are one processor. Read from `"256"`, `"1 vCPU"` or `".25 vcpu"`, written as `"256"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuUnits(pub u32);

/// Memory in MiB. Read from `"512"`, `"2GB"` or `".5 gb"`, written as `"512"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mebibytes(pub u32);

impl TryFrom<String> for CpuUnits {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        quantity(&text, "vcpu").map(Self).ok_or(BadName {
            what: "cpu",
            text,
            rule: "CPU units such as \"256\", or processors such as \"0.25 vCPU\"",
        })
    }
}

impl TryFrom<String> for Mebibytes {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        quantity(&text, "gb").map(Self).ok_or(BadName {
            what: "memory",
            text,
            rule: "MiB such as \"512\", or GB such as \"0.5 GB\"",
        })
    }
}

impl From<CpuUnits> for String {
    fn from(units: CpuUnits) -> String {
        units.0.to_string()
    }
}

impl From<Mebibytes> for String {
    fn from(memory: Mebibytes) -> String {
        memory.0.to_string()
    }
}

/// A whole number, or a decimal number of `unit`, each of which is 1024.
fn quantity(text: &str, unit: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let Some(number) = text.strip_suffix(unit) else {
        return text.parse().ok();
    };
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || fraction.len() > 9
    {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    u32::try_from(whole.checked_mul(1024)?.checked_add(fraction * 1024 / scale)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_processors_read_to_the_same_number() {
        for (text, units) in [("256", 256), (".25 vCPU", 256), ("1 vcpu", 1024), ("0.5vCPU", 512), ("2.", 0)]
        {
            let read = CpuUnits::try_from(text.to_owned());
            if units == 0 {
                assert!(read.is_err(), "{text}");
            } else {
                assert_eq!(read, Ok(CpuUnits(units)), "{text}");
            }
        }
        assert_eq!(Mebibytes::try_from(".5 gb".to_owned()), Ok(Mebibytes(512)));
        assert!(Mebibytes::try_from("lots".to_owned()).is_err());
        assert!(Mebibytes::try_from("99999999999 GB".to_owned()).is_err());
    }
}
