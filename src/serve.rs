//! The running center: everything above, wired together, started and stopped in the right order.
//!
//! It owns which part gets which and the order of start and stop. It refuses to start on what it would fail at later: a
//! database that takes no writes, an open server beyond loopback, a secret that is not there. That is so that a center
//! that has started works, and one that stops loses nothing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use order_contract::SourceKey;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{Catalog, CatalogError};
use crate::config::{Config, ConfigError, DatabaseUrl};
use crate::database::{Database, DatabaseError};
use crate::graphql::Services;
use crate::http::{ApiKeys, App, Behind, KeyError, listen, measure, router};
use crate::index::Index;
use crate::ingest::{Clock, Ingest};
use crate::mapping::Pool;
use crate::operation::Operations;
use crate::source::{Factory, PlugError, Registry, Source};
use crate::upkeep::Upkeep;

/// How long workers may take to reach a safe point. What they leave is taken up at the next start.
const WORKERS_PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a worker that died is started again.
const WORKER_PAUSE: Duration = Duration::from_secs(1);

/// Why the center does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A source cannot be plugged in.
    #[error("could not plug in the source {0}")]
    Source(SourceKey, #[source] Box<PlugError>),
    /// The database cannot be opened.
    #[error("could not open the database {0}: check that it exists and that this user may read and write it")]
    Database(DatabaseUrl, #[source] DatabaseError),
    /// The database can be read only.
    #[error("the database {0} takes no writes: check permissions and free space, or give another with --database")]
    ReadOnly(DatabaseUrl, #[source] DatabaseError),
    /// The registered sources cannot be read.
    #[error("could not read the registered sources")]
    Catalog(#[source] CatalogError),
    /// The keys cannot be read.
    #[error("could not look for API keys")]
    Keys(#[source] KeyError),
    /// Anyone could do anything.
    #[error(
        "{0} can be reached from elsewhere and there is no API key: create one with `order-center key create --name \
         NAME --role admin`, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The address cannot be listened on.
    #[error("could not listen on {0}: {hint}", hint = bind_hint(.1))]
    Bind(SocketAddr, #[source] io::Error),
}

fn bind_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "something else does; stop it, or give another port with --listen",
        io::ErrorKind::PermissionDenied => "this user may not; give a port above 1023 with --listen",
        _ => "the address is not of this machine; give another with --listen",
    }
}

/// A center that runs. Dropping it without [`Self::shutdown`] leaves its tasks to the runtime.
pub struct Center {
    address: SocketAddr,
    open: bool,
    database: Database,
    services: Services,
    draining: CancellationToken,
    abandon: CancellationToken,
    stopping: CancellationToken,
    server: JoinHandle<()>,
    connections: TaskTracker,
    tasks: TaskTracker,
    workers: TaskTracker,
    drain_timeout: Duration,
}

/// Starts a center and returns when it answers.
///
/// # Errors
/// [`StartError`] says what to do; nothing is left running.
#[must_use]
pub fn start(config: Config) -> BoxFuture<'static, Result<Center, StartError>> {
    // Boxed, the whole center is compiled here, and not again in every program that embeds it.
    Box::pin(begin(config))
}

async fn begin(config: Config) -> Result<Center, StartError> {
    let workers = Pool::new(config.mapping_limits());
    let registry = plug_in(&config, &workers)?;
    let database = open(&config).await?;
    let started = start_on(config, registry, database.clone(), &workers).await;
    if started.is_err() {
        database.close().await;
    }
    started
}

fn plug_in(config: &Config, workers: &Pool) -> Result<Registry, StartError> {
    let factory = Factory::new(workers.clone());
    let sources = config.sources.iter().map(|source| {
        let plug = source.plug()?;
        Ok(Source {
            key: source.key.clone(),
            title: source.title.clone().unwrap_or_else(|| source.key.to_string()),
            adapter: source.adapter.clone(),
            mapping: source.mapping(&plug.adapter.address()),
            port: factory.plug(plug).map_err(|error| StartError::Source(source.key.clone(), Box::new(error)))?,
        })
    });
    Ok(Registry::new(sources.collect::<Result<Vec<_>, StartError>>()?))
}

/// What a command on the database works with, without a running center.
pub struct Tools {
    /// The database.
    pub database: Database,
    /// Every source.
    pub registry: Registry,
    /// Reads and quarantine.
    pub ingest: Ingest,
    /// Registered sources, adapters and runs.
    pub catalog: Catalog,
    /// Works runs off.
    pub upkeep: Upkeep,
}

impl Tools {
    /// Opens the configured database and plugs in every source.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let workers = Pool::new(config.mapping_limits());
        let registry = plug_in(config, &workers)?;
        let database = open(config).await?;
        let index = Index::new(database.clone());
        Self::over(config, registry, database, index, &workers).await
    }

    async fn over(
        config: &Config,
        registry: Registry,
        database: Database,
        index: Index,
        workers: &Pool,
    ) -> Result<Self, StartError> {
        let clock: Clock = Arc::new(chrono::Utc::now);
        let ingest = Ingest::new(database.clone(), index, registry.clone(), clock.clone(), config.ingest_limits());
        let catalog = Catalog::new(database.clone(), registry.clone(), clock.clone(), config.catalog(workers)?);
        catalog.converge().await.map_err(StartError::Catalog)?;
        let upkeep = Upkeep::new(
            database.clone(),
            catalog.clone(),
            ingest.clone(),
            registry.clone(),
            clock,
            config.upkeep_limits(),
        );
        Ok(Self { database, registry, ingest, catalog, upkeep })
    }
}

/// The configured database, open, up to date and proved to take writes.
///
/// # Errors
/// [`StartError::Database`] or [`StartError::ReadOnly`].
pub async fn open(config: &Config) -> Result<Database, StartError> {
    let url = &config.database.url;
    let refuse = |error: DatabaseError| match error.is_read_only() {
        true => StartError::ReadOnly(url.clone(), error),
        false => StartError::Database(url.clone(), error),
    };
    let database = Database::open(url.resolve()?.expose_secret(), config.pool_limits()).await.map_err(refuse)?;
    database.check_writable().await.map_err(refuse)?;
    Ok(database)
}

async fn start_on(
    config: Config,
    registry: Registry,
    database: Database,
    workers: &Pool,
) -> Result<Center, StartError> {
    let loopback = config.http.listen.ip().to_canonical().is_loopback();
    let open = !ApiKeys::new(database.clone()).any().await.map_err(StartError::Keys)?;
    if open && !loopback {
        return Err(StartError::Open(config.http.listen));
    }
    let refused = |error| StartError::Bind(config.http.listen, error);
    let listener = TcpListener::bind(config.http.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;

    measure::recorder();
    let clock: Clock = Arc::new(chrono::Utc::now);
    let limits = config.graphql_limits();
    let index = Index::new(database.clone());
    let tools = Tools::over(&config, registry.clone(), database.clone(), index.clone(), workers).await?;
    let Tools { ingest, catalog, upkeep, .. } = tools;
    let operations =
        Operations::new(database.clone(), ingest.clone(), registry.clone(), clock, config.operation_limits());
    let services = Services { index, ingest, operations, catalog, registry };
    let schema = crate::graphql::schema(services.clone(), limits);

    let (draining, abandon, stopping) = Default::default();
    let (connections, tasks, workers) = (TaskTracker::new(), TaskTracker::new(), TaskTracker::new());
    let behind = Behind {
        sdl: crate::graphql::sdl(),
        schema,
        database: database.clone(),
        ingest: services.ingest.clone(),
        registry: services.registry.clone(),
        limits,
        loopback,
    };
    let drain_timeout = Duration::from_millis(config.http.drain_timeout_ms);
    let app =
        App::new(behind, config.http.clone(), config.websocket, CancellationToken::clone(&draining), tasks.clone());
    let ends =
        listen::Ends { draining: CancellationToken::clone(&draining), abandon: CancellationToken::clone(&abandon) };
    let server = listen::serve(listener, router(Arc::new(app)), config.http, ends, connections.clone());
    let server = tokio::spawn(server);

    let (ingest, operations, catalog) =
        (services.ingest.clone(), services.operations.clone(), services.catalog.clone());
    supervise("measurements", &workers, &stopping, measure::keep);
    supervise("ingest", &workers, &stopping, move |stop| ingest.clone().run(stop));
    supervise("operations", &workers, &stopping, move |stop| operations.clone().run(stop));
    supervise("catalog", &workers, &stopping, move |stop| catalog.clone().follow(stop));
    supervise("upkeep", &workers, &stopping, move |stop| upkeep.clone().run(stop));
    Ok(Center {
        address,
        open,
        database,
        services,
        draining,
        abandon,
        stopping,
        server,
        connections,
        tasks,
        workers,
        drain_timeout,
    })
}

/// Keeps a worker running until it is told to stop. A worker ends otherwise only by a bug, and a center that looks
/// healthy while nothing is synchronized would be worse than one that tries again and says so.
fn supervise<F>(
    name: &'static str,
    workers: &TaskTracker,
    stopping: &CancellationToken,
    run: impl Fn(CancellationToken) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let stopping = stopping.clone();
    workers.spawn(async move {
        while !stopping.is_cancelled() {
            let ended = tokio::spawn(run(stopping.clone())).await;
            if stopping.is_cancelled() {
                return;
            }
            tracing::error!(worker = name, panicked = ended.is_err(), "a worker ended; starting it again");
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(WORKER_PAUSE) => {}
            }
        }
    });
}

impl Center {
    /// Where it listens; the port is the real one where 0 was configured.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether anyone on this machine may do anything: no API key was ever created.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What its schema works with, for programs that embed it.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Its database, for programs that embed it: the demonstration creates keys and reads totals.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Becomes unready, accepts nothing more, lets requests and mutations in flight end within the drain limit, stops
    /// the workers at a safe point and closes the database.
    #[must_use]
    pub fn shutdown(self) -> BoxFuture<'static, ()> {
        Box::pin(self.stop())
    }

    async fn stop(self) {
        tracing::info!("shutting down");
        self.draining.cancel();
        let deadline = Instant::now() + self.drain_timeout;
        let _ = self.server.await; // Ends at once; a panic in it was logged.
        for tracker in [&self.connections, &self.tasks] {
            tracker.close();
        }
        let drained = async {
            self.connections.wait().await;
            self.tasks.wait().await;
        };
        if timeout_at(deadline, drained).await.is_err() {
            let (connections, tasks) = (self.connections.len(), self.tasks.len());
            tracing::warn!(connections, tasks, "not all requests ended in time; leaving them");
            self.abandon.cancel();
        }
        self.stopping.cancel();
        self.workers.close();
        if tokio::time::timeout(WORKERS_PATIENCE, self.workers.wait()).await.is_err() {
            tracing::warn!("a worker did not stop in time; its leases will run out");
        }
        if tokio::time::timeout(WORKERS_PATIENCE, self.database.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        tracing::info!("stopped");
    }
}
