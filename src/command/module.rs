//! `order-center module …`: for the team that writes a module.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::SecretRef;
use crate::conformance::{self, Options, WebhookOptions};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks a module against the Order Module Protocol and tells how to mend what fails.
    ///
    /// Without --input, it only reads and asks what would happen. With a sample input for `create`, it creates orders
    /// of its own and leads them through their life: point it at a test system then.
    Check(Check),
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Where the module's API begins.
    url: String,
    /// Its bearer token: env:NAME or file:PATH.
    #[arg(long, value_name = "REFERENCE", value_parser = reference)]
    token: Option<SecretRef>,
    /// Only GET: nothing is asked of any order, not even as a dry run.
    #[arg(long)]
    read_only: bool,
    /// A sample input of an action as a file with a JSON object: create=order.json. May be given several times.
    #[arg(long = "input", value_name = "ACTION=FILE", value_parser = pair)]
    inputs: Vec<(String, PathBuf)>,
    /// Where to receive the module's webhooks; it must be set up to send there.
    #[arg(long, value_name = "IP:PORT", requires = "webhook_secret")]
    webhook_listen: Option<SocketAddr>,
    /// The secret it signs them with: env:NAME or file:PATH.
    #[arg(long, value_name = "REFERENCE", value_parser = reference, requires = "webhook_listen")]
    webhook_secret: Option<SecretRef>,
    /// Seconds that one request may take.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Seconds that an accepted action or a webhook may take.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

fn reference(text: &str) -> Result<SecretRef, &'static str> {
    SecretRef::try_from(text.to_owned())
}

fn pair(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (action, file) = text.split_once('=').ok_or("write ACTION=FILE, for example create=order.json")?;
    Ok((action.to_owned(), file.into()))
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self::Check(check) = self;
        let json = check.json;
        let report = conformance::check(check.options()?).await?;
        super::print(&if json { format!("{:#}\n", report.to_json()) } else { format!("{report}\n") })?;
        match report.success() {
            true => Ok(()),
            false => Err(Failure("the module does not conform; each FAIL above says what would mend it".to_owned())),
        }
    }
}

impl Check {
    fn options(self) -> Result<Options, Failure> {
        let url = self.url.parse().map_err(|e| Failure(format!("{:?} is no URL: {e}", self.url)))?;
        let mut options = Options::new(url);
        options.token = self.token.map(|token| token.resolve()).transpose()?;
        options.read_only = self.read_only;
        options.inputs = self.inputs.into_iter().map(read_input).collect::<Result<BTreeMap<_, _>, _>>()?;
        if let (Some(listen), Some(secret)) = (self.webhook_listen, self.webhook_secret) {
            options.webhook = Some(WebhookOptions { listen, secret: secret.resolve()? });
        }
        options.timeout = Duration::from_secs(self.timeout);
        options.patience = Duration::from_secs(self.patience);
        Ok(options)
    }
}

fn read_input((action, file): (String, PathBuf)) -> Result<(String, Map<String, Value>), Failure> {
    let text = std::fs::read(&file).map_err(|e| Failure(format!("could not read {}: {e}", file.display())))?;
    let input = serde_json::from_slice(&text);
    let input = input.map_err(|e| Failure(format!("{} is not a JSON object: {e}", file.display())))?;
    Ok((action, input))
}
