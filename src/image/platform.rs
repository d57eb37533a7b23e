//! Which of the images in an index runs on this host.
//!
//! An index entry names an operating system, an architecture and, for ARM, a variant. A host takes its own variant
//! first and then the older ones it can still run (v7 takes v6 and v5). Entries without a variant count as the
//! architecture's usual one: v8 for arm64, v7 for arm, v1 for amd64.

use std::fmt;

use oci_spec::image::{Arch, Descriptor, Os};
use serde::{Deserialize, Serialize};

/// An operating system and processor, in the words of the image specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, `v8`, … where the architecture has variants.
    pub variant: Option<String>,
}

/// Text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("platform {0:?} is not os/architecture or os/architecture/variant")]
pub struct PlatformError(String);

impl Platform {
    /// This host, with the newest variant that its processor runs.
    pub fn host() -> Self {
        let mut host = Self::usual();
        if let Some(level) = processor_level() {
            host.variant = Some(format!("v{level}"));
        }
        host
    }

    /// This host's architecture in its usual variant: what an image for others like it is made for.
    pub fn usual() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some(if cfg!(target_feature = "v7") { "v7" } else { "v6" })),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(str::to_owned) }
    }

    /// Parses `linux/arm64/v8`.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        if parts.iter().any(|p| p.is_empty()) {
            return Err(PlatformError(text.to_owned()));
        }
        Ok(Self { os: os.into(), architecture: architecture.into(), variant: variant.map(str::to_owned) })
    }

    /// How well an image for `other` runs here: 0 is perfect, more is worse, nothing is not at all.
    fn distance(&self, os: &str, architecture: &str, variant: Option<&str>) -> Option<u32> {
        if self.os != os || self.architecture != architecture {
            return None;
        }
        let mine = level(architecture, self.variant.as_deref())?;
        mine.checked_sub(level(architecture, variant)?)
    }

    /// Whether an image made for this os and architecture runs here.
    #[must_use]
    pub fn runs(&self, os: &Os, architecture: &Arch, variant: Option<&str>) -> bool {
        self.distance(&os.to_string(), &architecture.to_string(), variant).is_some()
    }

    /// The entry of an index that suits best, the first of equals.
    pub fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let rated = entries.iter().filter_map(|entry| {
            let platform = entry.platform().as_ref()?;
            let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
            Some((self.distance(&os, &architecture, platform.variant().as_deref())?, entry))
        });
        rated.min_by_key(|(distance, _)| *distance).map(|(_, entry)| entry)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// The level of an x86-64 processor: what the compilers call x86-64-v2 and x86-64-v3.
#[cfg(target_arch = "x86_64")]
fn processor_level() -> Option<u32> {
    let is_second = is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("popcnt");
    let is_third = is_second
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("movbe");
    if is_third { Some(3) } else { is_second.then_some(2) }
}

/// Other processors name their variant at build time.
#[cfg(not(target_arch = "x86_64"))]
fn processor_level() -> Option<u32> {
    None
}

/// The number in a variant; an unknown word suits nobody.
fn level(architecture: &str, variant: Option<&str>) -> Option<u32> {
    let usual = match architecture {
        "arm64" => 8,
        "arm" => 7,
        _ => 1,
    };
    match variant {
        None | Some("") => Some(usual),
        Some(variant) => variant.strip_prefix('v')?.split('.').next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Descriptor {
        let platform = Platform::parse(text).unwrap();
        let json = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
            "digest": format!("sha256:{}", "0".repeat(64)),
            "platform": {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant},
        });
        serde_json::from_value(json).unwrap()
    }

    fn chosen(host: &str, entries: &[&str]) -> Option<usize> {
        let entries: Vec<Descriptor> = entries.iter().map(|e| entry(e)).collect();
        let chosen = Platform::parse(host).unwrap().choose(&entries)?.clone();
        entries.iter().position(|e| *e == chosen)
    }

    #[test]
    fn the_own_variant_wins_over_older_ones() {
        assert_eq!(
            chosen("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"]),
            Some(2)
        );
        assert_eq!(chosen("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"]), Some(1));
        assert_eq!(chosen("linux/arm64/v8", &["linux/amd64", "linux/arm64"]), Some(1));
    }

    #[test]
    fn an_image_for_the_usual_variant_runs_on_every_host() {
        let (host, usual) = (Platform::host(), Platform::usual());
        assert!(host.distance(&usual.os, &usual.architecture, usual.variant.as_deref()).is_some());
        assert_eq!(chosen("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]), Some(1));
    }

    #[test]
    fn another_system_or_processor_is_no_choice() {
        assert_eq!(chosen("linux/amd64", &["windows/amd64", "linux/arm64/v8", "unknown/unknown"]), None);
        assert_eq!(chosen("linux/arm/v6", &["linux/arm/v7"]), None);
    }
}
