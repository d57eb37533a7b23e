//! Where a container's output goes on this host: a file, whatever driver the definition names.

use super::Hands;
use crate::model::ids::TaskId;
use crate::model::task_definition::ContainerDefinition;
use crate::shim::spec::LogSpec;

/// The file, unless the definition wants none, and a sentence about a driver that is not on this host.
pub(super) fn log_spec(
    hands: &Hands,
    task: &TaskId,
    definition: &ContainerDefinition,
) -> (Option<LogSpec>, Option<String>) {
    let policy = &hands.config.policy;
    let mut log = LogSpec {
        path: hands.places.log(task, &definition.name),
        max_size: policy.log_max_size,
        max_files: policy.log_max_files,
    };
    let Some(wanted) = &definition.log_configuration else { return (Some(log), None) };
    let option = |name: &str| wanted.options.as_ref().and_then(|options| options.get(name));
    match wanted.log_driver.as_str() {
        "none" => (None, None),
        "json-file" | "local" => {
            log.max_size = option("max-size").and_then(|text| bytes(text)).unwrap_or(log.max_size);
            let files = option("max-file").and_then(|text| text.parse().ok()).filter(|files| *files > 0);
            log.max_files = files.unwrap_or(log.max_files);
            (Some(log), None)
        }
        driver => {
            let name = &definition.name;
            let note = format!(
                "container {name}: log driver {driver} is not on this host; its output goes to a file"
            );
            (Some(log), Some(note))
        }
    }
}

/// `10m`, `512k`, `1g` or plain bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (number, unit) = match text.chars().last()? {
        'k' => (&text[..text.len() - 1], 1 << 10),
        'm' => (&text[..text.len() - 1], 1 << 20),
        'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_read_as_docker_writes_them() {
        let texts = ["10m", "512K", "1g", "4096", "1mb", "", "m", "-1", "0"];
        let read = texts.map(bytes);
        let mib = 1 << 20;
        let expected =
            [Some(10 * mib), Some(1 << 19), Some(1 << 30), Some(4096), Some(mib), None, None, None, None];
        assert_eq!(read, expected);
    }
}
