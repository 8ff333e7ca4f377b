//! `order-center adapter …`: the business line's tool.

mod check;
mod live;
mod map;
mod new;
mod scrub;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use order_adapter::{Package, builtin_names};
use serde_json::json;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the adapters that come with the program.
    List,
    /// Maps files of a platform's records to canonical orders, one JSON document per line.
    ///
    /// A file may hold one order, an array of orders, or the platform's list envelope. The mapping runs in a process of
    /// its own with limits on time and memory. What cannot be mapped is one JSON line on standard error: the file, the
    /// number of the record in it (from 0), the JSON pointer into the canonical order, the value there, the rule it
    /// breaks, and where in the record that value stands; the command then ends with 1.
    Map {
        /// An adapter that `list` names, or a folder with an adapter.toml.
        name: String,
        /// The files; `-` reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// A setting of the source: NAME=VALUE.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
    },
    /// Measures the CPU that mapping takes, on recorded orders of the platform.
    Bench {
        /// An adapter that `list` names, or a folder with an adapter.toml.
        name: String,
        /// The files, as for `map`.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How many orders to map in all.
        #[arg(long, default_value_t = 5_000)]
        runs: usize,
        /// A setting of the source: NAME=VALUE.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
    },
    /// Keeps an adapter in the center's database, so that sources can run on it. Its contract tests must pass.
    Upload {
        /// An adapter's folder.
        folder: PathBuf,
        #[command(flatten)]
        settings: super::Settings,
    },
    /// Writes the beginning of an adapter: a folder that passes its own check.
    New {
        /// The adapter's name, which is its folder's: lower-case letters, digits and hyphens.
        name: String,
        /// Where the folder goes.
        #[arg(long = "in", value_name = "FOLDER", default_value = ".")]
        parent: PathBuf,
    },
    /// Reads one live page of a platform, or the orders named, and shows them normalized as a table.
    Try(live::Options),
    /// Keeps live orders as fixtures, with secrets and personal data masked. What is there already stays.
    Record(live::Options),
    /// Runs an adapter's contract tests and tells how much they cover.
    ///
    /// Every fixtures/NAME.json must map to what fixtures/NAME.expected.json says; GraphQL documents must be valid
    /// against the platform's schema, where one is given.
    Check(check::Options),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List => {
                for name in builtin_names() {
                    let manifest = Package::find(name)?.manifest;
                    super::print(&format!("{name:<16} {:<8} {}\n", manifest.version, manifest.title))?;
                }
                Ok(())
            }
            Self::Map { name, files, settings } => map::run(&name, &files, &settings).await,
            Self::Bench { name, files, runs, settings } => {
                let package = Package::find(&name)?;
                let settings = self::settings(&package, &settings)?;
                let documents = files.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
                Ok(crate::bench::mapping(&package, &settings, &documents, runs).await?)
            }
            Self::Upload { folder, settings } => upload(&folder, &settings).await,
            Self::New { name, parent } => new::run(&name, &parent),
            Self::Try(options) => live::try_out(&options).await,
            Self::Record(options) => live::record(&options).await,
            Self::Check(options) => check::run(&options).await,
        }
    }
}

/// Checks an adapter and keeps it.
async fn upload(folder: &Path, settings: &super::Settings) -> Result<(), Failure> {
    check::run(&check::Options::of(folder)).await?;
    let package = Package::load(folder)?;
    let files = package.paths().filter_map(|path| Some((path.to_owned(), package.file(path)?.to_owned()))).collect();
    let tools = super::source::open(settings).await?;
    let done = tools.catalog.upload(files, super::source::ACTOR).await;
    tools.database.close().await;
    let info = done?;
    super::print(&format!("{}  sha256 {}\n", info.adapter(), info.sha256))
}

/// The settings of one source from `--set NAME=VALUE` options.
fn settings(package: &Package, options: &[String]) -> Result<String, Failure> {
    let mut given = BTreeMap::new();
    for option in options {
        let (name, value) =
            option.split_once('=').ok_or_else(|| Failure(format!("--set wants NAME=VALUE, got {option}")))?;
        // `2` and `true` are what they look like; anything else is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        given.insert(name.to_owned(), value);
    }
    Ok(package.settings(&given)?)
}
