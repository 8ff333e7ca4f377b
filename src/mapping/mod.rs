//! Mapping in processes that can be killed: the jq programs of adapters run in workers, which are this program started
//! again, and never in the server. So do the expressions of manifests that did not come with this program.
//!
//! It owns the pool of workers, the limits of one run and the pipe between. It refuses a program the environment, files,
//! sockets, and more time or memory than its limits: the worker ends, its record gets a clear error, and the next record
//! gets a new worker. That is so that an endless, greedy or crashing mapping costs its own record and nobody else's.

mod frame;
mod isolated;
mod pool;
mod process;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use order_adapter::{FixtureReport, MapError, Package, PackageError, check_fixture, fixtures};
use order_contract::{InvariantCheck, OrderSnapshot, Rounding, parse_snapshot};

pub use isolated::Isolated;
pub use pool::Pool;
pub use worker::as_worker;

use pool::{Output, Run};
use process::Program;

/// A document's mapping gives up after this many runs in a row that had to be killed.
const KILLS_MAX: usize = 3;

/// What one run of a mapping may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Worker processes; they start when they are needed and stay. One package never holds all of them.
    pub workers: usize,
    /// Address space of a worker, in bytes.
    pub memory_bytes: u64,
    /// Wall time for one record; each MiB of a document adds as much again.
    pub time: Duration,
    /// The largest record or document, in bytes.
    pub document_bytes: usize,
    /// The largest output of one run, in bytes.
    pub result_bytes: usize,
    /// The most records of one document.
    pub records: usize,
    /// The program to start as a worker: this one, unless a test runs the library in a program of its own.
    pub program: PathBuf,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            memory_bytes: 512 << 20,
            time: Duration::from_secs(2),
            document_bytes: 16 << 20,
            result_bytes: 64 << 20,
            records: 100_000,
            program: this_program(),
        }
    }
}

/// The running program, also when its file was replaced by a newer one meanwhile.
fn this_program() -> PathBuf {
    let linux = PathBuf::from("/proc/self/exe");
    if linux.exists() { linux } else { std::env::current_exe().unwrap_or_default() }
}

/// One record of a document and what it maps to.
#[derive(Debug)]
pub struct MappedRecord {
    /// The record as JSON, with the platform's own number literals.
    pub raw: Vec<u8>,
    /// The order, or why there is none.
    pub order: Result<Mapped, MapError>,
}

/// An order, and what its rounding rule changed on the way.
pub type Mapped = (OrderSnapshot, Vec<InvariantCheck>);

/// One adapter's mapping, ready to run in a pool.
#[derive(Clone, Debug)]
pub struct Mapper {
    pool: Pool,
    records: Program,
    order: Program,
    rounding: Rounding,
    xml: bool,
}

impl Mapper {
    /// The mapping of a package.
    #[must_use]
    pub fn new(pool: &Pool, package: &Package) -> Self {
        let map = &package.manifest.map;
        Self {
            pool: pool.clone(),
            records: Program::new("adapter.toml [map] records", &map.records),
            order: Program::new(&map.order, package.file(&map.order).unwrap_or_default()),
            rounding: map.rounding,
            xml: map.xml,
        }
    }

    /// The same with another rule for amounts of more than four fraction digits.
    #[must_use]
    pub fn rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// Maps one record. `settings` is the JSON of [`Package::settings`].
    ///
    /// # Errors
    /// [`MapError`]; [`MapError::Stopped`] when the mapping went beyond a limit.
    pub async fn map(&self, record: &[u8], settings: &str) -> Result<Mapped, MapError> {
        let run = Run {
            split: None,
            program: Some(&self.order),
            skip: 0,
            step_by_step: true,
            xml: false,
            settings,
            input: record,
        };
        let mut mapped = Err(MapError::Results("none"));
        self.pool
            .run(&run, &mut |output| {
                if let Output::Result(result) = output {
                    mapped = result;
                }
            })
            .await?;
        self.order(mapped)
    }

    /// The records of a document, each as JSON with the platform's own number literals.
    ///
    /// # Errors
    /// [`MapError`] when they cannot be told apart.
    pub async fn records(&self, document: &[u8]) -> Result<Vec<Vec<u8>>, MapError> {
        let run = Run {
            split: Some(&self.records),
            program: None,
            skip: 0,
            step_by_step: false,
            xml: self.xml,
            settings: "{}",
            input: document,
        };
        let mut records = Vec::new();
        self.pool
            .run(&run, &mut |output| {
                if let Output::Record(record) = output {
                    records.push(record);
                }
            })
            .await?;
        Ok(records)
    }

    /// Maps every record of a document: one order, a list, or the platform's list envelope. A record whose mapping had
    /// to be killed takes its own error; the others are mapped.
    ///
    /// # Errors
    /// [`MapError`] when the document's records cannot be told apart.
    pub async fn map_document(&self, document: &[u8], settings: &str) -> Result<Vec<MappedRecord>, MapError> {
        let mut mapped: Vec<MappedRecord> = Vec::new();
        let (mut step_by_step, mut kills) = (false, 0);
        loop {
            let before = mapped.len();
            let run = Run {
                split: Some(&self.records),
                program: Some(&self.order),
                skip: before,
                step_by_step,
                xml: self.xml,
                settings,
                input: document,
            };
            // While a record is mapped it stands here, without a result.
            let mut begun = None;
            let outcome = self
                .pool
                .run(&run, &mut |output| match output {
                    Output::Record(raw) => begun = Some(raw),
                    Output::Result(result) => {
                        let raw = begun.take().unwrap_or_default();
                        mapped.push(MappedRecord { raw, order: self.order(result) });
                    }
                })
                .await;
            match (outcome, begun) {
                (Ok(()), _) => return Ok(mapped),
                // Results are sent in batches, so the record at fault is known only in a second run, one by one.
                (Err(MapError::Stopped(_)), _) if !step_by_step => step_by_step = true,
                (Err(error @ MapError::Stopped(_)), Some(raw)) => {
                    kills = if mapped.len() == before { kills + 1 } else { 1 };
                    mapped.push(MappedRecord { raw, order: Err(error.clone()) });
                    if kills == KILLS_MAX {
                        return Err(error);
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Maps the fixtures of this mapping's package and compares each with what is expected of it.
    ///
    /// # Errors
    /// [`PackageError`] when the package's defaults are no settings.
    pub async fn check_fixtures(&self, package: &Package) -> Result<Vec<FixtureReport>, PackageError> {
        let settings = package.settings(&BTreeMap::new())?;
        let mut reports = Vec::new();
        for path in fixtures(package) {
            let document = package.file(path).unwrap_or_default().as_bytes();
            let mapped = self.map_document(document, &settings).await;
            let orders = |records: Vec<MappedRecord>| {
                records.into_iter().map(|record| record.order.map(|(order, _)| order)).collect()
            };
            reports.push(check_fixture(package, path, mapped.map(orders)));
        }
        Ok(reports)
    }

    fn order(&self, result: Result<Vec<u8>, MapError>) -> Result<Mapped, MapError> {
        parse_snapshot(&result?, self.rounding).map_err(MapError::Order)
    }
}
