//! The expressions of one manifest in a process of its own.
//!
//! The engine asks in the middle of its own work and waits for the answer, so that it is the same whether an expression
//! comes with this program or from anybody. An input is sent once, however many expressions look at it.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use order_adapter::engine::Evaluator;
use order_adapter::{MapError, Value};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use super::Limits;
use super::frame::{self, EvaluateHead, HEAD, Kind};
use super::process::{LAST_WORDS, PATIENCE, cause_of_death, command, too_long};

/// How long an expression that had to be stopped is not tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// Questions that wait at once. Each holds a thread, and other sources need some.
const WAITING_MAX: usize = 16;

/// Evaluates the expressions of one manifest, one at a time.
#[derive(Debug)]
pub struct Isolated {
    limits: Limits,
    state: Mutex<State>,
    room: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    worker: Option<Worker>,
    /// Expressions that were stopped, and when.
    stopped: HashMap<String, (Instant, String)>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    input: ChildStdin,
    output: Receiver<(Kind, Vec<u8>)>,
    errors: ChildStderr,
    expressions: HashMap<String, u32>,
    /// What the worker holds as its last input.
    held: Option<Value>,
}

/// Why an exchange with the worker came to nothing.
enum Broken {
    TimeUp,
    Ended,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

impl Isolated {
    /// The process starts with the first question.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), room: Semaphore::new(WAITING_MAX) }
    }

    fn ask(&self, place: &str, program: &str, input: &Value, variables: &[Value]) -> Result<Vec<Value>, MapError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, reason)) = state.stopped.get(program)
            && at.elapsed() < PAUSE
        {
            return Err(MapError::Stopped(reason.clone()));
        }
        let mut worker = match state.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&self.limits)
                .map_err(|e| MapError::Stopped(format!("could not start a worker process: {e}")))?,
        };
        match worker.evaluate(place, program, input, variables, &self.limits) {
            Ok(evaluated) => {
                state.worker = Some(worker);
                evaluated
            }
            Err(broken) => {
                let reason = worker.bury(&broken, &self.limits);
                tracing::warn!(place, reason, "an expression of a manifest was stopped");
                state.stopped.retain(|_, (at, _)| at.elapsed() < PAUSE);
                state.stopped.insert(program.to_owned(), (Instant::now(), reason.clone()));
                Err(MapError::Stopped(reason))
            }
        }
    }
}

impl Evaluator for Isolated {
    fn evaluate(&self, place: &str, program: &str, input: &Value, variables: &[Value]) -> Result<Vec<Value>, MapError> {
        let ask = || self.ask(place, program, input, variables);
        let crowded = "too many of this source's expressions wait to be evaluated: try again in a moment";
        let _place = self.room.try_acquire().map_err(|_| MapError::Stopped(crowded.to_owned()))?;
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            // Others go on meanwhile.
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(ask),
            _ => ask(),
        }
    }
}

impl Worker {
    fn start(limits: &Limits) -> io::Result<Self> {
        let mut child = command(limits).spawn()?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // A pipe has no time limit, a channel has. What is read ahead is little.
        let (send, receive) = sync_channel(16);
        let most = limits.result_bytes;
        std::thread::Builder::new().name("expressions".into()).spawn(move || {
            let mut output = output;
            while let Ok(frame) = read(&mut output, most) {
                if send.send(frame).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { child, input, output: receive, errors, expressions: HashMap::new(), held: None })
    }

    /// One question and its answer. The inner error is the expression's.
    fn evaluate(
        &mut self,
        place: &str,
        program: &str,
        input: &Value,
        variables: &[Value],
        limits: &Limits,
    ) -> Result<Result<Vec<Value>, MapError>, Broken> {
        let expression = match self.expressions.get(program) {
            Some(number) => *number,
            None => {
                self.send(Kind::Express, &[format!("adapter.toml {place}").as_bytes(), b"\0", program.as_bytes()])?;
                self.receive(PATIENCE)?;
                let number = u32::try_from(self.expressions.len()).unwrap_or(frame::NONE);
                self.expressions.insert(program.to_owned(), number);
                number
            }
        };
        let same = self.held.as_ref().is_some_and(|held| held.is_same(input));
        let written = || -> Result<(Vec<u8>, Vec<u8>), MapError> {
            let variables = variables.iter().map(Value::to_json).collect::<Result<Vec<_>, _>>()?;
            let variables = [b"[".as_slice(), &variables.join(&b','), b"]"].concat();
            Ok((variables, if same { Vec::new() } else { input.to_json()? }))
        };
        let (variables, json) = match written() {
            Ok(written) => written,
            Err(error) => return Ok(Err(error)),
        };
        let head = EvaluateHead {
            expression,
            seconds: u32::try_from(limits.time.as_secs()).unwrap_or(u32::MAX),
            same_input: u32::from(same),
            variables: u32::try_from(variables.len()).unwrap_or(u32::MAX),
        };
        self.held = Some(input.clone());
        self.send(Kind::Evaluate, &[&head.to_bytes(), &variables, &json])?;
        let mebibytes = u32::try_from(json.len() >> 20).unwrap_or(u32::MAX);
        let time = limits.time.saturating_mul(mebibytes.saturating_add(1));
        let mut results = Ok(Vec::new());
        loop {
            match self.receive(time)? {
                (Kind::End, _) => return Ok(results),
                (Kind::Failure, body) => results = Err(frame::error_of(&body)),
                (Kind::Result, body) => {
                    results = results.and_then(|mut results| {
                        results.push(Value::parse(&body)?);
                        Ok(results)
                    });
                }
                _ => return Err(Broken::Ended),
            }
        }
    }

    fn send(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD + parts.iter().map(|part| part.len()).sum::<usize>());
        frame::write(kind, parts, &mut bytes);
        self.input.write_all(&bytes)
    }

    fn receive(&mut self, time: Duration) -> Result<(Kind, Vec<u8>), Broken> {
        self.output.recv_timeout(time).map_err(|error| match error {
            RecvTimeoutError::Timeout => Broken::TimeUp,
            RecvTimeoutError::Disconnected => Broken::Ended,
        })
    }

    /// Ends the worker and says why.
    fn bury(mut self, broken: &Broken, limits: &Limits) -> String {
        // One that has ended already keeps what it ended by.
        let _ = self.child.kill();
        let Broken::Ended = broken else { return too_long(limits) };
        let mut words = Vec::new();
        let _ = (&mut self.errors).take(LAST_WORDS).read_to_end(&mut words);
        let unless_killed = cause_of_death(self.child.wait().ok(), &words, limits);
        unless_killed.unwrap_or_else(|| format!("it gave more than {} bytes, or was killed", limits.result_bytes))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A process that is gone already needs no killing; one that is not must be waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: &mut ChildStdout, most: usize) -> io::Result<(Kind, Vec<u8>)> {
    let mut start = [0; HEAD];
    output.read_exact(&mut start)?;
    let (kind, length) = frame::head(start).filter(|(_, length)| *length <= most).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    output.read_exact(&mut body)?;
    Ok((kind, body))
}
