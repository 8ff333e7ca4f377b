//! The demonstration from start to stop: module filled, center started, orders pulled, sums compared.
//!
//! It owns the order of things and what is said meanwhile. It refuses to call a difference a success: when the center's
//! sums are not the file's, the start fails and says where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use order_center::config::{Config, SecretRef, SourceConfig};
use order_center::serve::{self, StartError};
use order_contract::SourceKey;
use order_modules::retail::RetailError;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::center::{Cancelable, Center, CenterError};
use crate::folder::{self, Folder, FolderError};
use crate::invoices::{InvoiceError, Invoices, Survey};
use crate::ledger::Ledger;
use crate::module::{self, ModuleError};
use crate::orders::Orders;
use crate::report::{self, grouped};

/// The source's key in the center; it is part of every order id.
const SOURCE: &str = "retail";
/// Pause between two looks at how far the center has come.
const LOOK: Duration = Duration::from_millis(200);
/// How long the center may make no progress before the start is given up.
const STALLED: Duration = Duration::from_secs(120);

/// Why the demonstration did not start or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] InvoiceError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The module cannot be filled or served.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The port is taken.
    #[error("port {0} cannot be listened on: stop what does, or give another with --port (0 takes a free one)")]
    Port(u16, #[source] std::io::Error),
    /// The center does not start.
    #[error(transparent)]
    Start(StartError),
    /// The center does not answer.
    #[error(transparent)]
    Center(#[from] CenterError),
    /// `--fresh` with a database that is not ours to empty.
    #[error("--fresh does not empty a PostgreSQL database: drop and create it, then start with --fresh again")]
    FreshDatabase,
    /// Lines were lost or counted twice.
    #[error("the orders, reversals and left-overs do not add up to the file: please report this")]
    Unbalanced,
    /// The module did not take some orders; the first ten.
    #[error("the retail module refused orders:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
    /// The center stopped pulling.
    #[error("the center has {pulled} of {expected} orders and gets no further{}", .reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Stalled {
        /// Orders it has.
        pulled: u64,
        /// Orders in the module.
        expected: u64,
        /// What it says of it.
        reason: Option<String>,
    },
    /// The center's sums are not the file's.
    #[error("THE CENTER'S SUMS ARE NOT THE FILE'S:\n  {}", .0.join("\n  "))]
    Different(Vec<String>),
    /// The module ended by itself.
    #[error("the retail module ended")]
    ModuleEnded(#[source] Option<RetailError>),
}

/// What the user chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// The center's port; 0 takes a free one.
    pub port: u16,
    /// The file; the sample when absent.
    pub data: Option<PathBuf>,
    /// The center's database; a SQLite file in the folder when absent.
    pub database: Option<String>,
    /// Whether to start over.
    pub fresh: bool,
    /// Where everything is kept.
    pub data_dir: PathBuf,
}

/// Where the demonstration says what it does.
pub trait Screen: Sync {
    /// A finished line or paragraph.
    fn say(&self, text: &str);
    /// How far something has come; at `of` it is done.
    fn progress(&self, what: &'static str, done: u64, of: u64);
}

/// A running demonstration.
pub struct Demo {
    center: Center,
    cancelable: Option<Cancelable>,
    serving: serve::Center,
    _folder: Folder,
    module: Option<JoinHandle<Result<(), RetailError>>>,
    shutdown: CancellationToken,
}

/// The sample that comes with the project.
#[must_use]
pub fn sample() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/online_retail_sample.csv.gz"))
}

impl Demo {
    /// Starts everything and returns when the center has all orders and its sums are the file's.
    ///
    /// # Errors
    /// [`DemoError`]; nothing is left running.
    pub async fn start(options: &Options, screen: &dyn Screen) -> Result<Self, DemoError> {
        let shutdown = CancellationToken::new();
        // Whatever fails on the way, the module that may run already is stopped.
        let guard = shutdown.clone().drop_guard();
        let demo = Self::start_until(options, screen, shutdown).await?;
        guard.disarm();
        Ok(demo)
    }

    async fn start_until(
        options: &Options,
        screen: &dyn Screen,
        shutdown: CancellationToken,
    ) -> Result<Self, DemoError> {
        let file = options.data.clone().unwrap_or_else(sample);
        let survey = Survey::of(&file)?;
        let name = options
            .data
            .as_ref()
            .map_or("The sample of the Online Retail data set".into(), |f| f.display().to_string());
        screen.say(&format!("{name}: {} lines, {} invoices", grouped(survey.lines), grouped(survey.invoices() as u64)));
        let ledger = Ledger::of(Invoices::open(&file, &survey)?)?;
        if !ledger.balances(&survey) {
            return Err(DemoError::Unbalanced);
        }
        let database = if options.fresh { own_file(options.database.as_deref())? } else { None };
        let mut folder = Folder::open(&options.data_dir, options.fresh, &survey)?;
        if let Some(database) = database {
            folder::remove(&database)?;
        }
        let first = !folder.imported();
        if first {
            fill(&mut folder, &file, &survey, &ledger, screen).await?;
        } else {
            screen.say(&format!(
                "The retail module continues with what {} holds (--fresh starts over)",
                options.data_dir.display()
            ));
        }

        let listener = module::listen().await?;
        let module_url = format!("http://{}", listener.local_addr().map_err(ModuleError::Listen)?);
        let serving = serve::start(config(options, &folder, module_url)).await.map_err(|error| match error {
            StartError::Bind(_, io) => DemoError::Port(options.port, io),
            other => DemoError::Start(other),
        })?;
        let webhook = format!("http://{}/webhooks/{SOURCE}", serving.address());
        let module = module::serve(&folder, listener, webhook, shutdown.clone()).await?;
        let center = Center::new(format!("http://{}/graphql", serving.address()));
        let mut demo = Self { center, cancelable: None, serving, _folder: folder, module: Some(module), shutdown };
        match demo.show(&survey, &ledger, first, screen).await {
            Ok(()) => Ok(demo),
            Err(error) => {
                demo.stop().await;
                Err(error)
            }
        }
    }

    /// Waits for the center to have everything and compares the sums.
    async fn show(
        &mut self,
        survey: &Survey,
        ledger: &Ledger,
        first: bool,
        screen: &dyn Screen,
    ) -> Result<(), DemoError> {
        let expected = ledger.total().orders;
        let (mut before, mut moved) = (None, Instant::now());
        loop {
            let pulled = self.center.pulled().await?;
            screen.progress("pulling orders into the center", pulled.orders.min(expected), expected);
            if pulled.orders >= expected {
                break;
            }
            if before.as_ref().is_none_or(|before| *before != pulled.orders) {
                (before, moved) = (Some(pulled.orders), Instant::now());
            } else if moved.elapsed() > STALLED || pulled.orders + pulled.quarantined >= expected {
                let quarantined = (pulled.quarantined > 0).then(|| format!("{} are in quarantine", pulled.quarantined));
                let reason = quarantined.or(pulled.error);
                return Err(DemoError::Stalled { pulled: pulled.orders, expected, reason });
            }
            if self.module.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(self.module_ended().await);
            }
            tokio::time::sleep(LOOK).await;
        }
        let countries = self.center.countries().await?;
        // Later starts come after mutations by hand, which may have given more money back.
        let different = report::differences(ledger, &countries, first);
        screen.say(&report::countries(&countries));
        if !different.is_empty() {
            return Err(DemoError::Different(different));
        }
        screen.say(&format!(
            "Equal to the sums of the file, to the penny, country by country ({}).\n\n{}",
            countries.len(),
            report::left_over(survey, ledger)
        ));
        self.cancelable = self.center.cancelable().await?;
        Ok(())
    }

    /// The center as a client sees it.
    #[must_use]
    pub fn center(&self) -> &Center {
        &self.center
    }

    /// An order that can be canceled, for the first mutation.
    #[must_use]
    pub fn cancelable(&self) -> Option<&Cancelable> {
        self.cancelable.as_ref()
    }

    /// Waits until the module ends by itself, which it should not.
    pub async fn module_ended(&mut self) -> DemoError {
        let ended = match &mut self.module {
            Some(module) => module.await,
            None => Ok(Ok(())),
        };
        self.module = None;
        DemoError::ModuleEnded(ended.ok().and_then(Result::err))
    }

    /// Ends the center and then the module; returns when both have finished what was under way.
    pub async fn stop(self) {
        self.serving.shutdown().await;
        self.shutdown.cancel();
        if let Some(module) = self.module {
            let _ = module.await; // An error at the end of a demonstration changes nothing; a panic was logged.
        }
    }
}

/// Fills the module with the file's orders.
async fn fill(
    folder: &mut Folder,
    file: &Path,
    survey: &Survey,
    ledger: &Ledger,
    screen: &dyn Screen,
) -> Result<(), DemoError> {
    let expected = ledger.total().orders;
    let orders = Orders::new(Invoices::open(file, survey)?, ledger, survey.newest_day);
    let imported =
        module::import(folder, orders, |done| screen.progress("loading the retail module", done, expected)).await?;
    if !imported.refused.is_empty() {
        let refused = imported.refused.iter().map(|(number, why)| format!("order {number}: {why}"));
        return Err(DemoError::Refused(refused.take(10).collect()));
    }
    screen.say(&format!(
        "The retail module has {} orders in {}",
        grouped((imported.orders + imported.known) as u64),
        folder.module_database().display()
    ));
    Ok(folder.set_imported()?)
}

/// The center of the demonstration: open on loopback, one source.
fn config(options: &Options, folder: &Folder, module_url: String) -> Config {
    let mut config = Config::default();
    let own = || format!("sqlite:{}", folder.center_database().display());
    config.database.url = options.database.clone().unwrap_or_else(own).into();
    config.http.listen.set_port(options.port);
    config.sources = vec![SourceConfig {
        title: Some("Retail orders".to_owned()),
        token: Some(SecretRef::Given(folder.token())),
        webhook_secrets: vec![SecretRef::Given(folder.webhook_secret())],
        ..SourceConfig::new(SourceKey::try_new(SOURCE).expect("lower-case letters"), module_url)
    }];
    config
}

/// The SQLite file that the center of an earlier demonstration was told to use, for who starts over.
fn own_file(database: Option<&str>) -> Result<Option<PathBuf>, DemoError> {
    let Some(url) = database else { return Ok(None) };
    let path = url.strip_prefix("sqlite:").ok_or(DemoError::FreshDatabase)?;
    Ok(Some(path.trim_start_matches("//").into()))
}
