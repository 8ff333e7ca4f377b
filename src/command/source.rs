//! `order-center source …`: what administrators do with sources, on the database itself. Running centers follow within
//! a second.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use crate::catalog::{GivenSecret, NewSource, Registered, RunKind, RunRequest, SourceChange};
use crate::serve::{self, Tools};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use order_contract::{IdError, SourceKey};
use serde_json::{Map, Value, json};

use super::{Failure, Settings};

/// How it stands in the events of a source.
pub(super) const ACTOR: &str = "command line";
/// How often a run that a running center works on is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists every source with its adapter, state and lag.
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Registers a source. It must answer, and its changed-since filter must filter.
    Register {
        /// Its key, 1 to 40 of a-z, 0-9 and '-'. It never changes: every order id contains it.
        #[arg(value_parser = key)]
        key: SourceKey,
        /// Where its API begins.
        url: String,
        /// What speaks to it: `protocol`, or an adapter as NAME (its newest version) or NAME@VERSION.
        #[arg(long, default_value = "protocol")]
        adapter: String,
        /// Read what changed since then (RFC 3339) instead of everything.
        #[arg(long)]
        since: Option<DateTime<Utc>>,
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        settings: Settings,
    },
    /// Changes a registered source; another adapter version is promoted with this.
    Update {
        /// Its key.
        #[arg(value_parser = key)]
        key: SourceKey,
        /// Where its API begins now. At another host, its secrets must be given again.
        #[arg(long)]
        url: Option<String>,
        /// Another adapter, or another version of it.
        #[arg(long)]
        adapter: Option<String>,
        /// A secret that is removed. May be given several times.
        #[arg(long, value_name = "NAME")]
        remove_secret: Vec<String>,
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        settings: Settings,
    },
    /// Unplugs a registered source and forgets its secrets; its orders stay.
    Remove(Named),
    /// Stops polling a source.
    Pause(Named),
    /// Polls a paused source again.
    Resume(Named),
    /// Reads what a source changed in a range of time once more.
    Backfill {
        #[command(flatten)]
        of: Named,
        /// Changed at or after (RFC 3339).
        #[arg(long)]
        since: Option<DateTime<Utc>>,
        /// Changed before (RFC 3339).
        #[arg(long)]
        until: Option<DateTime<Utc>>,
    },
    /// Compares the index with a source and repairs what is missing, stale or deleted.
    Reconcile {
        #[command(flatten)]
        of: Named,
        /// Only orders changed at or after (RFC 3339).
        #[arg(long)]
        since: Option<DateTime<Utc>>,
    },
    /// Tells what another adapter version or other settings would change, and changes nothing.
    Try {
        #[command(flatten)]
        of: Named,
        /// The adapter as NAME or NAME@VERSION; the source's own unless told.
        #[arg(long)]
        adapter: Option<String>,
        /// A setting to try: NAME=VALUE. With one, all that differ from the adapter's defaults must be given.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
    },
    /// Maps everything the source sent anew.
    Remap(Named),
    /// Tries quarantined inputs of a source again.
    Replay(Named),
    /// Lays quarantined inputs aside for good.
    Discard {
        /// Their ids, as `quarantine` of the API shows them.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The source's key.
    #[arg(value_parser = key)]
    key: SourceKey,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub(crate) struct Parts {
    /// Its name for people.
    #[arg(long)]
    title: Option<String>,
    /// A setting of the adapter: NAME=VALUE. May be given several times; of an update, all of them.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A secret by reference: NAME=env:VARIABLE or NAME=file:PATH. May be given several times.
    #[arg(long = "secret", value_name = "NAME=REFERENCE", value_parser = pair)]
    secrets: Vec<(String, String)>,
    /// Reads this secret from standard input and seals it.
    #[arg(long, value_name = "NAME")]
    secret_stdin: Option<String>,
    /// Does not call the source.
    #[arg(long)]
    no_check: bool,
}

fn key(text: &str) -> Result<SourceKey, IdError> {
    SourceKey::try_new(text)
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `2` and `true` are what they look like; anything else is text.
fn values(set: Vec<(String, String)>) -> Map<String, Value> {
    let value = |text: String| serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
    set.into_iter().map(|(name, text)| (name, value(text))).collect()
}

impl Parts {
    fn secrets(&self) -> Result<BTreeMap<String, GivenSecret>, Failure> {
        let mut secrets: BTreeMap<_, _> = self
            .secrets
            .iter()
            .map(|(name, reference)| (name.clone(), GivenSecret::Reference(reference.clone())))
            .collect();
        if let Some(name) = &self.secret_stdin {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            secrets.insert(name.clone(), GivenSecret::Value(text.trim_end_matches(['\r', '\n']).into()));
        }
        Ok(secrets)
    }
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let tools = Tools::open(&self.settings().load(None)?).await?;
        let done = self.run_with(&tools).await;
        tools.database.close().await;
        done
    }

    fn settings(&self) -> &Settings {
        match self {
            Self::List { settings }
            | Self::Register { settings, .. }
            | Self::Update { settings, .. }
            | Self::Discard { settings, .. } => settings,
            Self::Remove(of) | Self::Pause(of) | Self::Resume(of) | Self::Remap(of) | Self::Replay(of) => &of.settings,
            Self::Backfill { of, .. } | Self::Reconcile { of, .. } | Self::Try { of, .. } => &of.settings,
        }
    }

    async fn run_with(self, tools: &Tools) -> Result<(), Failure> {
        let catalog = &tools.catalog;
        match self {
            Self::List { .. } => list(tools).await,
            Self::Register { key, url, adapter, since, parts, .. } => {
                let secrets = parts.secrets()?;
                let settings = values(parts.set);
                let new = NewSource { key, title: parts.title, adapter, url, settings, secrets, since };
                show(&catalog.register(new, !parts.no_check, ACTOR).await?)
            }
            Self::Update { key, url, adapter, remove_secret, parts, .. } => {
                let given = parts.secrets()?.into_iter().map(|(name, secret)| (name, Some(secret)));
                let secrets = given.chain(remove_secret.into_iter().map(|name| (name, None))).collect();
                let settings = (!parts.set.is_empty()).then(|| values(parts.set));
                let change =
                    SourceChange { title: parts.title, adapter, url, settings, secrets, expected_version: None };
                show(&catalog.update(&key, change, !parts.no_check, ACTOR).await?)
            }
            Self::Remove(of) => {
                catalog.remove(&of.key, ACTOR).await?;
                super::print(&format!("removed {}; its orders stay\n", of.key))
            }
            Self::Pause(of) => {
                catalog.set_paused(&of.key, true, ACTOR).await?;
                super::print(&format!("paused {}\n", of.key))
            }
            Self::Resume(of) => {
                catalog.set_paused(&of.key, false, ACTOR).await?;
                super::print(&format!("resumed {}\n", of.key))
            }
            Self::Backfill { of, since, until } => {
                let request = RunRequest { since, until, ..RunRequest::default() };
                work(tools, &of.key, RunKind::Backfill, request).await
            }
            Self::Reconcile { of, since } => {
                let request = RunRequest { since, ..RunRequest::default() };
                work(tools, &of.key, RunKind::Reconcile, request).await
            }
            Self::Try { of, adapter, set } => {
                let settings = (!set.is_empty()).then(|| values(set));
                let request = RunRequest { adapter, settings, ..RunRequest::default() };
                work(tools, &of.key, RunKind::Trial, request).await
            }
            Self::Remap(of) => work(tools, &of.key, RunKind::Remap, RunRequest::default()).await,
            Self::Replay(of) => {
                let resolved = tools.ingest.replay_quarantine(&of.key, &[]).await?;
                super::print(&format!("{resolved} inputs are understood now\n"))
            }
            Self::Discard { ids, .. } => {
                for id in &ids {
                    let open = tools.ingest.discard_quarantined(id).await?;
                    super::print(&format!("{id}  {}\n", if open { "laid aside" } else { "was not open" }))?;
                }
                Ok(())
            }
        }
    }
}

async fn list(tools: &Tools) -> Result<(), Failure> {
    let registered: Vec<SourceKey> = tools.catalog.registered().await?.into_iter().map(|source| source.key).collect();
    for (key, source) in &*tools.registry.now() {
        let sync = tools.ingest.sync_state(key).await?;
        let origin = if registered.contains(key) { "registered" } else { "configuration file" };
        let state = match (&sync.last_error, sync.paused, sync.high_water) {
            (_, true, _) => "paused".to_owned(),
            (Some(error), ..) => format!("failing: {error}"),
            (None, false, None) => "not read yet".to_owned(),
            (None, false, Some(at)) => format!("{} s behind", (Utc::now() - at).num_seconds().max(0)),
        };
        super::print(&format!("{key:<20} {:<24} {origin:<18}  {state}\n", source.adapter))?;
    }
    Ok(())
}

fn show(source: &Registered) -> Result<(), Failure> {
    let secrets = source.secrets.iter().map(|(name, stored)| {
        let shown = if stored.starts_with("sealed:") { "sealed" } else { stored.as_str() };
        (name.clone(), Value::from(shown))
    });
    let shown = json!({
        "key": source.key, "title": source.title, "adapter": source.adapter, "url": source.url,
        "settings": source.settings, "secrets": Value::Object(secrets.collect()), "version": source.version,
    });
    super::print(&format!("{shown:#}\n"))
}

/// Works a run off here, unless a running center has it; then waits for that.
async fn work(tools: &Tools, key: &SourceKey, kind: RunKind, request: RunRequest) -> Result<(), Failure> {
    let asked = tools.catalog.ask(key, kind, request, ACTOR).await?;
    let mut told = None;
    loop {
        let Some(run) = tools.catalog.run(&asked.id).await? else {
            return Err(Failure("the run is gone".to_owned()));
        };
        if run.state.is_final() {
            let report = run.report.unwrap_or_else(|| json!({}));
            super::print(&format!("{report:#}\n"))?;
            return match run.error {
                None => Ok(()),
                Some(error) => Err(Failure(error)),
            };
        }
        if run.error.is_some() && run.error != told {
            eprintln!("{}; trying again", run.error.as_deref().unwrap_or_default());
            told.clone_from(&run.error);
        }
        if !tools.upkeep.work_if_free(run).await {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Opens what a command works with.
pub(super) async fn open(settings: &Settings) -> Result<Tools, Failure> {
    Ok(serve::Tools::open(&settings.load(None)?).await?)
}
