//! A worker: it takes its limits upon itself, then runs the programs that the server sends until its input ends.

use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use order_adapter::{CompileError, MapError, Mapping, Value, json_of_xml};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::frame::{self, EvaluateHead, HEAD, Kind, RunHead};

/// The first argument that makes this program a worker; the second is its memory limit in bytes.
pub(super) const WORKER_COMMAND: &str = "mapping-worker";

/// Output kept back at most, so that small results share a write.
const BATCH_BYTES: usize = 64 << 10;

/// The third argument of a worker that has its memory limit.
const LIMITED: &str = "limited";

/// The whole life of this program if it was started as a worker. Whoever embeds the center asks this first: a worker is
/// one thread with limits of its own, so it must not begin with a server's runtime.
#[must_use]
pub fn as_worker() -> Option<ExitCode> {
    // Others may be any bytes: a worker's are not.
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let asked = arguments.next().is_some_and(|first| first == WORKER_COMMAND);
    asked.then(|| live(&arguments.next().unwrap_or_default(), arguments.next().as_deref() == Some(LIMITED)))
}

fn live(memory: &str, limited: bool) -> ExitCode {
    let lived = if limited { limit().and_then(|()| work()) } else { begin_again(memory) };
    match lived {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mapping worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// No more memory than this. The allocator has reserved address space already and would use it whatever the limit, so
/// this program starts once more under it.
fn begin_again(memory: &str) -> io::Result<()> {
    let most = memory.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    setrlimit(Resource::As, at_most(most))?;
    Err(Command::new(super::this_program()).args([WORKER_COMMAND, memory, LIMITED]).env_clear().exec())
}

/// No file or socket besides the three pipes, nothing written to disk.
fn limit() -> io::Result<()> {
    for (resource, amount) in [(Resource::Nofile, 3), (Resource::Fsize, 0), (Resource::Core, 0)] {
        setrlimit(resource, at_most(amount))?;
    }
    Ok(())
}

fn at_most(amount: u64) -> Rlimit {
    Rlimit { current: Some(amount), maximum: Some(amount) }
}

/// Ends this process when it takes more CPU from now on: also when the server is gone and nobody else would.
fn limit_cpu(seconds: u32) -> io::Result<()> {
    let spent = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or_default();
    let most = spent.saturating_add(u64::from(seconds)).saturating_add(1);
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum: None })?)
}

fn work() -> io::Result<()> {
    let mut input = BufReader::with_capacity(BATCH_BYTES, io::stdin().lock());
    let mut programs: Vec<Result<Mapping, CompileError>> = Vec::new();
    let mut expressions: Vec<Result<Mapping, CompileError>> = Vec::new();
    let mut held = None;
    let mut body = Vec::new();
    loop {
        let mut start = [0; HEAD];
        match input.read_exact(&mut start) {
            Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let (kind, length) = frame::head(start).ok_or(io::ErrorKind::InvalidData)?;
        body.resize(length, 0);
        input.read_exact(&mut body)?;
        match kind {
            Kind::Define | Kind::Express => {
                let text = String::from_utf8_lossy(&body);
                let (file, program) = text.split_once('\0').ok_or(io::ErrorKind::InvalidData)?;
                limit_cpu(10)?;
                match kind {
                    Kind::Define => programs.push(Mapping::compile_here(file, program)),
                    _ => expressions.push(Mapping::compile_expression(file, program)),
                }
                Output { pending: Vec::new(), step_by_step: true }.send(Kind::End, &[])?;
            }
            Kind::Run => run(&programs, &body)?,
            Kind::Evaluate => evaluate(&expressions, &body, &mut held)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Frames on their way to the server.
struct Output {
    pending: Vec<u8>,
    step_by_step: bool,
}

impl Output {
    fn send(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        frame::write(kind, parts, &mut self.pending);
        if self.step_by_step || kind == Kind::End || self.pending.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn error(&mut self, kind: Kind, error: &MapError) -> io::Result<()> {
        let (letter, text) = frame::error_body(error);
        self.send(kind, &[&[letter], text.as_bytes()])
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.pending)?;
        self.pending.clear();
        out.flush()
    }
}

/// Evaluates one expression. `held` is the input of the last one.
fn evaluate(expressions: &[Result<Mapping, CompileError>], body: &[u8], held: &mut Option<Value>) -> io::Result<()> {
    let head = EvaluateHead::of(body).ok_or(io::ErrorKind::InvalidData)?;
    let rest = &body[EvaluateHead::LENGTH..];
    let (variables, input) = rest.split_at_checked(head.variables as usize).ok_or(io::ErrorKind::InvalidData)?;
    limit_cpu(head.seconds)?;
    let mut out = Output { pending: Vec::new(), step_by_step: false };
    let evaluated = (|| {
        if head.same_input == 0 {
            // One that cannot be parsed must not leave the one before it in its place.
            *held = None;
            *held = Some(Value::parse(input)?);
        }
        let input = held.clone().ok_or(MapError::Results("none"))?;
        let variables = Value::parse(variables)?.items().unwrap_or_default();
        match expressions.get(head.expression as usize) {
            Some(Ok(expression)) => expression.evaluate(input, variables)?.iter().map(Value::to_json).collect(),
            Some(Err(error)) => Err(MapError::Program(error.to_string())),
            None => Err(MapError::Results("none")),
        }
    })();
    match evaluated {
        Ok(results) => {
            let results: Vec<Vec<u8>> = results;
            results.iter().try_for_each(|json| out.send(Kind::Result, &[json]))?;
        }
        Err(error) => out.error(Kind::Failure, &error)?,
    }
    out.send(Kind::End, &[])
}

fn run(programs: &[Result<Mapping, CompileError>], body: &[u8]) -> io::Result<()> {
    let head = RunHead::of(body).ok_or(io::ErrorKind::InvalidData)?;
    let rest = &body[RunHead::LENGTH..];
    let (settings, input) = rest.split_at_checked(head.settings as usize).ok_or(io::ErrorKind::InvalidData)?;
    limit_cpu(head.seconds)?;
    let mut out = Output { pending: Vec::new(), step_by_step: head.step_by_step != 0 };
    if let Err(error) = records(programs, head, settings, input, &mut out)? {
        out.error(Kind::Failure, &error)?;
    }
    out.send(Kind::End, &[])
}

/// Sends every record and what it maps to. The inner error is the document's.
fn records(
    programs: &[Result<Mapping, CompileError>],
    head: RunHead,
    settings: &[u8],
    input: &[u8],
    out: &mut Output,
) -> io::Result<Result<(), MapError>> {
    let program = |index: u32| match programs.get(index as usize) {
        Some(Ok(mapping)) => Ok(Some(mapping)),
        Some(Err(error)) => Err(MapError::Program(error.to_string())),
        None => Ok(None),
    };
    let prepared = (|| {
        let input = if head.xml == 0 { Value::parse(input) } else { Value::parse(&json_of_xml(input)?) };
        Ok((program(head.split)?, program(head.program)?, Value::parse(settings)?, input?))
    })();
    let (split, order, settings, input) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(error)),
    };
    let single = split.is_none().then(|| Ok(input.clone()));
    let several = split.map(|split| split.results(input, &settings));
    for record in single.into_iter().chain(several.into_iter().flatten()).skip(head.skip as usize) {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Ok(Err(error)),
        };
        if split.is_some() {
            match record.to_json() {
                Ok(json) => out.send(Kind::Record, &[&json])?,
                Err(error) => return Ok(Err(error)),
            }
        }
        let Some(order) = order else { continue };
        limit_cpu(head.seconds)?;
        match order.one(record, &settings).and_then(|order| order.to_json()) {
            Ok(json) => out.send(Kind::Result, &[&json])?,
            Err(error) => out.error(Kind::Error, &error)?,
        }
    }
    Ok(Ok(()))
}
