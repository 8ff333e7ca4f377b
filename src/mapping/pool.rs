//! The pool: who runs where, how many wait, and what is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use order_adapter::{MapError, check_depth};
use tokio::sync::Semaphore;

use super::frame::{self, Kind, RunHead};
use super::process::{Broken, Program, Worker};
use super::{Isolated, Limits};

/// A worker is replaced after this many runs, so that nothing that piles up in it can grow for long.
const RUNS_MAX: u32 = 20_000;
/// Starts of one run: again when somebody else killed the worker.
const TRIES: usize = 3;

/// A pool of workers. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    /// One permit per worker that may run.
    slots: Semaphore,
    /// One less for each mapping, so that no mapping ever holds every worker.
    shares: Mutex<HashMap<[u8; 32], Weak<Semaphore>>>,
    idle: Mutex<Vec<Worker>>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    /// Finds the records of a document; none when the input is one record.
    pub(super) split: Option<&'a Program>,
    /// Maps a record; none when only the records are wanted.
    pub(super) program: Option<&'a Program>,
    /// Records to leave out.
    pub(super) skip: usize,
    /// Whether each result is sent at once, so that the record that breaks the worker is known.
    pub(super) step_by_step: bool,
    /// Whether the input may be XML.
    pub(super) xml: bool,
    pub(super) settings: &'a str,
    pub(super) input: &'a [u8],
}

/// What a run gives, in this order for each record.
#[derive(Debug)]
pub(super) enum Output {
    /// A record of the document.
    Record(Vec<u8>),
    /// What it maps to.
    Result(Result<Vec<u8>, MapError>),
}

impl Pool {
    /// A pool; workers start when they are needed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let slots = Semaphore::new(limits.workers.max(1));
        Self(Arc::new(Inner { limits, slots, shares: Mutex::default(), idle: Mutex::default() }))
    }

    /// A process of its own for the expressions of one manifest, under the limits of this pool.
    #[must_use]
    pub fn isolated(&self) -> Isolated {
        Isolated::new(self.0.limits.clone())
    }

    /// The process ids of the workers that wait for work.
    #[must_use]
    pub fn idle_workers(&self) -> Vec<u32> {
        self.idle().iter().filter_map(Worker::id).collect()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The permits of one mapping.
    fn share(&self, program: &Program) -> Arc<Semaphore> {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&program.digest).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.0.limits.workers.saturating_sub(1).max(1)));
        shares.insert(program.digest, Arc::downgrade(&share));
        share
    }

    /// Runs programs in a worker and hands out what they give, as it comes.
    ///
    /// # Errors
    /// The document's error; [`MapError::Stopped`] when the worker had to be ended.
    pub(super) async fn run(&self, run: &Run<'_>, take: &mut (dyn FnMut(Output) + Send)) -> Result<(), MapError> {
        let limits = &self.0.limits;
        if run.input.len() > limits.document_bytes {
            let (size, most) = (run.input.len(), limits.document_bytes);
            return Err(MapError::Input(format!("it has {size} bytes, the limit is {most}; split it")));
        }
        // Before a worker is troubled: a parser that recurses is not to be led to the end of its stack.
        check_depth(run.input)?;
        let closed = |_| MapError::Stopped("the program is ending".into());
        let share = run.program.or(run.split).map(|program| self.share(program));
        let _share = match &share {
            Some(share) => Some(share.acquire().await.map_err(closed)?),
            None => None,
        };
        let _slot = self.0.slots.acquire().await.map_err(closed)?;
        for _ in 0..TRIES {
            let mut worker = match self.idle().pop() {
                Some(worker) => worker,
                None => Worker::start(limits)
                    .map_err(|e| MapError::Stopped(format!("could not start a worker process: {e}")))?,
            };
            let mut given = 0;
            match exchange(&mut worker, run, limits, &mut given, take).await {
                Ok(outcome) => {
                    if worker.runs < RUNS_MAX {
                        self.idle().push(worker);
                    }
                    return outcome;
                }
                Err(broken) => {
                    if let Some(error) = worker.bury(broken, limits).await {
                        return Err(error);
                    }
                    if given > 0 {
                        break;
                    }
                }
            }
        }
        Err(MapError::Stopped("its process was killed from outside".into()))
    }
}

/// One request and its whole answer. The inner error is the document's.
async fn exchange(
    worker: &mut Worker,
    run: &Run<'_>,
    limits: &Limits,
    given: &mut usize,
    take: &mut (dyn FnMut(Output) + Send),
) -> Result<Result<(), MapError>, Broken> {
    let mut number = |program: Option<&Program>| program.map_or(frame::NONE, |program| worker.define(program));
    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let head = RunHead {
        split: number(run.split),
        program: number(run.program),
        skip: word(run.skip),
        seconds: u32::try_from(limits.time.as_secs()).unwrap_or(u32::MAX),
        step_by_step: u32::from(run.step_by_step),
        xml: u32::from(run.xml),
        settings: word(run.settings.len()),
    };
    worker.send_definitions().await?;
    worker.send(&[&head.to_bytes(), run.settings.as_bytes(), run.input]).await?;
    // Before the first record the document is parsed.
    let mebibytes = word(run.input.len() >> 20);
    let mut time = limits.time.saturating_mul(mebibytes.saturating_add(1));
    let mut room = limits.result_bytes;
    let mut document = Ok(());
    loop {
        let (kind, body) = worker.receive(time, room).await?;
        (room, time) = (room - body.len(), limits.time);
        let output = match kind {
            Kind::Record => Output::Record(body),
            Kind::Result => Output::Result(Ok(body)),
            Kind::Error => Output::Result(Err(frame::error_of(&body))),
            Kind::Failure => {
                document = Err(frame::error_of(&body));
                continue;
            }
            Kind::End => return Ok(document),
            Kind::Define | Kind::Run | Kind::Express | Kind::Evaluate => return Err(Broken::Nonsense),
        };
        *given += 1;
        if *given > limits.records.saturating_mul(2) {
            return Err(Broken::Nonsense);
        }
        take(output);
    }
}
