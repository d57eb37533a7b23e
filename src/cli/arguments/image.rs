//! What is typed after `hythe image`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageCommand {
    /// Bring images here
    Pull {
        /// [HOST/]NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Another platform than this host's, such as linux/arm64
        #[arg(long)]
        platform: Option<String>,
        /// Credentials for the registry [default: docker's config.json]
        #[arg(long, value_name = "NAME:PASSWORD")]
        creds: Option<String>,
        /// Speak plain HTTP to the registry
        #[arg(long)]
        plain_http: bool,
    },
    /// List images
    #[command(visible_alias = "list")]
    Ls,
    /// Show an image's configuration and layers
    Inspect {
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// Forget names of images, and images with their last name
    Rm {
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Even while a task uses it
        #[arg(long, short)]
        force: bool,
    },
    /// Remove what nothing refers to
    Prune {
        /// Named images too, when no task uses them
        #[arg(long, short)]
        all: bool,
    },
    /// Take in images from a layout or an archive
    Load {
        /// oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The name it gets [default: the name it carries]
        #[arg(long)]
        name: Option<String>,
    },
    /// Write an image to a layout or an archive
    Save {
        #[arg(value_name = "IMAGE")]
        image: String,
        /// oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Check the digests of what is stored
    Verify {
        /// Only this one
        #[arg(value_name = "IMAGE", conflicts_with = "all")]
        image: Option<String>,
        /// Everything that is stored, as without an image
        #[arg(long)]
        all: bool,
    },
}
