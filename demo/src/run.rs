//! The demonstration from start to stop: modules filled, center started, orders pulled, sums compared.
//!
//! It owns the order of things and what is said meanwhile. It refuses to call a difference a success: when the center's
//! sums are not the file's, the start fails and says where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use order_center::config::{Config, SecretRef, SourceConfig};
use order_center::serve::{self, StartError};
use order_contract::SourceKey;
use order_modules::Line;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::center::{Cancelable, Center, CenterError, Newest, Pulled};
use crate::folder::{self, Folder, FolderError};
use crate::invoices::{InvoiceError, Invoices, Survey};
use crate::ledger::Ledger;
use crate::module::{self, ModuleError};
use crate::orders::Orders;
use crate::report::{self, grouped};

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
    /// A module cannot be filled or served.
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
        /// Orders in the retail module.
        expected: u64,
        /// What it says of it.
        reason: Option<String>,
    },
    /// The center's sums are not the file's.
    #[error("THE CENTER'S SUMS ARE NOT THE FILE'S:\n  {}", .0.join("\n  "))]
    Different(Vec<String>),
    /// A module ended by itself.
    #[error("the {} module ended", .0.map_or("last", Line::name))]
    ModuleEnded(Option<Line>, #[source] Option<Box<order_modules::ModuleError>>),
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
    newest: Vec<Newest>,
    serving: serve::Center,
    _folder: Folder,
    modules: JoinSet<(Line, Result<(), order_modules::ModuleError>)>,
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
        // Whatever fails on the way, the modules that may run already are stopped.
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
        let first = !folder.is_filled(Line::Retail);
        if first {
            fill(&mut folder, &file, &survey, &ledger, screen).await?;
        }
        for line in [Line::Digital, Line::Booking] {
            if !folder.is_filled(line) {
                let written = module::live(&folder, line).await?;
                folder.set_filled(line)?;
                screen.say(&format!(
                    "The {} module has lived {} orders of the past days, and refused {} asks",
                    line.name(),
                    written.orders,
                    written.refused
                ));
            }
        }
        if !first {
            let path = options.data_dir.display();
            screen.say(&format!("The modules continue with what {path} holds (--fresh starts over)"));
        }

        let mut listeners = Vec::new();
        for line in Line::ALL {
            listeners.push((*line, module::listen().await?));
        }
        let serving = serve::start(config(options, &folder, &listeners)?).await.map_err(|error| match error {
            StartError::Bind(_, io) => DemoError::Port(options.port, io),
            other => DemoError::Start(other),
        })?;
        let mut modules = JoinSet::new();
        for (line, listener) in listeners {
            let webhook = format!("http://{}/webhooks/{}", serving.address(), line.name());
            let (module, stop) = (module::open(&folder, line, Some(webhook)).await?, shutdown.clone());
            modules.spawn(async move { (line, module.serve(listener, stop).await) });
        }
        let center = Center::new(format!("http://{}/graphql", serving.address()));
        let (cancelable, newest) = (None, Vec::new());
        let mut demo = Self { center, cancelable, newest, serving, _folder: folder, modules, shutdown };
        match demo.show(&survey, &ledger, screen).await {
            Ok(()) => Ok(demo),
            Err(error) => {
                demo.stop().await;
                Err(error)
            }
        }
    }

    /// Waits for the center to have everything and compares the sums.
    async fn show(&mut self, survey: &Survey, ledger: &Ledger, screen: &dyn Screen) -> Result<(), DemoError> {
        let expected = ledger.total().orders;
        let (mut before, mut moved) = (Pulled::default(), Instant::now());
        loop {
            let pulled = self.center.pulled().await?;
            screen.progress("pulling orders into the center", pulled.file.min(expected), expected);
            if pulled.file >= expected && pulled.complete == Line::ALL.len() {
                break;
            }
            if before != pulled {
                (before, moved) = (pulled, Instant::now());
            } else if moved.elapsed() > STALLED
                || pulled.file + pulled.quarantined >= expected && pulled.quarantined > 0
            {
                let quarantined = (pulled.quarantined > 0).then(|| format!("{} are in quarantine", pulled.quarantined));
                let reason = quarantined.or(pulled.error);
                return Err(DemoError::Stalled { pulled: pulled.file, expected, reason });
            }
            if let Some(ended) = self.modules.try_join_next() {
                return Err(module_ended(Some(ended)));
            }
            tokio::time::sleep(LOOK).await;
        }
        let countries = self.center.countries().await?;
        // Mutations by hand, in an earlier start or while this one was loading, may have given more money back.
        let untouched = self.center.is_untouched().await?;
        let different = report::differences(ledger, &countries, untouched);
        screen.say(&report::countries(&countries));
        if !different.is_empty() {
            return Err(DemoError::Different(different));
        }
        screen.say(&format!(
            "Equal to the sums of the file, to the penny, country by country ({}).\n\n{}",
            countries.len(),
            report::left_over(survey, ledger)
        ));
        screen.say(&report::sources(&self.center.statuses().await?));
        self.cancelable = self.center.cancelable().await?;
        for line in [Line::Digital, Line::Booking] {
            self.newest.extend(self.center.newest(line.name()).await?);
        }
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

    /// One order of each other kind, to begin with.
    #[must_use]
    pub fn newest(&self) -> &[Newest] {
        &self.newest
    }

    /// Waits until a module ends by itself, which it should not.
    pub async fn module_ended(&mut self) -> DemoError {
        module_ended(self.modules.join_next().await)
    }

    /// Ends the center and then the modules; returns when all have finished what was under way.
    pub async fn stop(mut self) {
        self.serving.shutdown().await;
        self.shutdown.cancel();
        // An error at the end of a demonstration changes nothing; a panic was logged.
        while self.modules.join_next().await.is_some() {}
    }
}

type Ended = Result<(Line, Result<(), order_modules::ModuleError>), tokio::task::JoinError>;

fn module_ended(ended: Option<Ended>) -> DemoError {
    match ended {
        Some(Ok((line, ended))) => DemoError::ModuleEnded(Some(line), ended.err().map(Box::new)),
        Some(Err(_)) | None => DemoError::ModuleEnded(None, None),
    }
}

/// Fills the retail module with the file's orders.
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
        folder.module_database(Line::Retail).display()
    ));
    Ok(folder.set_filled(Line::Retail)?)
}

/// The center of the demonstration: open on loopback, one source for each line.
fn config(options: &Options, folder: &Folder, modules: &[(Line, TcpListener)]) -> Result<Config, DemoError> {
    let mut config = Config::default();
    let own = || format!("sqlite:{}", folder.center_database().display());
    config.database.url = options.database.clone().unwrap_or_else(own).into();
    config.http.listen.set_port(options.port);
    for (line, listener) in modules {
        let url = format!("http://{}", listener.local_addr().map_err(ModuleError::Listen)?);
        config.sources.push(SourceConfig {
            title: Some(line.title().to_owned()),
            token: Some(SecretRef::Given(folder.token())),
            webhook_secrets: vec![SecretRef::Given(folder.webhook_secret())],
            ..SourceConfig::new(SourceKey::try_new(line.name()).expect("lower-case letters"), url)
        });
    }
    Ok(config)
}

/// The SQLite file that the center of an earlier demonstration was told to use, for who starts over.
fn own_file(database: Option<&str>) -> Result<Option<PathBuf>, DemoError> {
    let Some(url) = database else { return Ok(None) };
    let path = url.strip_prefix("sqlite:").ok_or(DemoError::FreshDatabase)?;
    Ok(Some(path.trim_start_matches("//").into()))
}
