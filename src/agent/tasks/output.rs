//! Where the output of a container goes, as its shim is told.

use super::build::Plot;
use super::secrets;
use crate::agent::drivers::Asked;
use crate::agent::failure::Failure;
use crate::image::store::Image;
use crate::model::task_definition::ContainerDefinition;
use crate::shim::spec::LogSpec;

impl Plot<'_> {
    /// Where it goes; none when it is thrown away. What is not as asked is added to `notes`.
    pub(super) fn log(
        &self,
        definition: &ContainerDefinition,
        image: &Image,
        notes: &mut Vec<String>,
    ) -> Result<Option<LogSpec>, Failure> {
        let (policy, name) = (&self.hands.config.containers, &definition.name);
        let secrets = secrets::of_log(self.hands, definition)?;
        let asked = Asked {
            task: &self.start.task,
            revision: &self.start.definition.id,
            definition,
            change: self.change(name),
            image_digest: &image.manifest_digest.to_string(),
            secrets: &secrets,
            hostname: &self.host.hostname,
            journal: &policy.journal,
            mode: self.start.log_mode,
        };
        let path = self.hands.places.log(self.task(), name);
        let usual =
            LogSpec { max_size: policy.log_max_size, max_files: policy.log_max_files, ..LogSpec::at(path) };
        let chosen = asked.choose(usual);
        notes.extend(chosen.notes);
        Ok(chosen.log)
    }
}
