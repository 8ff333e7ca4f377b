//! One worker as the server sees it: a child process, its pipes, and what it died of.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use order_adapter::MapError;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Limits;
use super::frame::{self, HEAD, Kind};
use super::worker::WORKER_COMMAND;

/// Time for a worker to start and compile, and to die.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a dying worker's last words is read.
pub(super) const LAST_WORDS: u64 = 4096;

/// A program, known by its content.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) digest: [u8; 32],
    body: Arc<[u8]>,
}

impl Program {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let body = [file.as_bytes(), b"\0", text.as_bytes()].concat();
        Self { digest: Sha256::digest(&body).into(), body: body.into() }
    }
}

/// Why an exchange with a worker came to nothing.
#[derive(Debug)]
pub(super) enum Broken {
    /// The worker did not answer in time; it still runs.
    TimeUp,
    /// It answered with what it must not.
    Nonsense,
    /// The pipe ended: the worker is dead or dying.
    Ended,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: ChildStderr,
    programs: HashMap<[u8; 32], u32>,
    /// Programs that the worker has not been sent yet.
    new: Vec<Program>,
    /// Requests so far.
    pub(super) runs: u32,
}

impl Worker {
    pub(super) fn start(limits: &Limits) -> io::Result<Self> {
        let mut child = Command::from(command(limits)).kill_on_drop(true).spawn()?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self {
            child,
            input,
            output: BufReader::with_capacity(64 << 10, output),
            errors,
            programs: HashMap::new(),
            new: Vec::new(),
            runs: 0,
        })
    }

    /// The process id, as long as it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The worker's number of a program, which it learns before the next request.
    pub(super) fn define(&mut self, program: &Program) -> u32 {
        let next = u32::try_from(self.programs.len()).unwrap_or(frame::NONE);
        *self.programs.entry(program.digest).or_insert_with(|| {
            self.new.push(program.clone());
            next
        })
    }

    /// Sends the programs that are new and waits until they are compiled.
    pub(super) async fn send_definitions(&mut self) -> Result<(), Broken> {
        for program in std::mem::take(&mut self.new) {
            self.write(Kind::Define, &[&program.body]).await?;
            self.receive(PATIENCE, 0).await?;
        }
        Ok(())
    }

    /// Sends a request.
    pub(super) async fn send(&mut self, parts: &[&[u8]]) -> Result<(), Broken> {
        self.runs += 1;
        self.write(Kind::Run, parts).await
    }

    async fn write(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), Broken> {
        let mut bytes = Vec::with_capacity(HEAD + parts.iter().map(|part| part.len()).sum::<usize>());
        frame::write(kind, parts, &mut bytes);
        Ok(timeout(PATIENCE, self.input.write_all(&bytes)).await.map_err(|_| Broken::TimeUp)??)
    }

    /// The next frame of the answer.
    pub(super) async fn receive(&mut self, time: Duration, most: usize) -> Result<(Kind, Vec<u8>), Broken> {
        let reading = async {
            let mut start = [0; HEAD];
            self.output.read_exact(&mut start).await?;
            let (kind, length) = frame::head(start).filter(|(_, length)| *length <= most).ok_or(Broken::Nonsense)?;
            let mut body = vec![0; length];
            self.output.read_exact(&mut body).await?;
            Ok((kind, body))
        };
        timeout(time, reading).await.map_err(|_| Broken::TimeUp)?
    }

    /// Ends the worker and says why; none when somebody else killed it and the run may be tried again.
    pub(super) async fn bury(mut self, broken: Broken, limits: &Limits) -> Option<MapError> {
        let reason = match broken {
            Broken::TimeUp => too_long(limits),
            Broken::Nonsense => format!("its result is larger than {} bytes", limits.result_bytes),
            Broken::Ended => return self.autopsy(limits).await,
        };
        // A process that is gone already needs no killing.
        let _ = self.child.start_kill();
        let _ = timeout(PATIENCE, self.child.wait()).await;
        Some(MapError::Stopped(reason))
    }

    async fn autopsy(mut self, limits: &Limits) -> Option<MapError> {
        let mut words = Vec::new();
        let _ = timeout(PATIENCE, (&mut self.errors).take(LAST_WORDS).read_to_end(&mut words)).await;
        let status = timeout(PATIENCE, self.child.wait()).await.ok().and_then(Result::ok);
        cause_of_death(status, &words, limits).map(MapError::Stopped)
    }
}

/// A worker that is to be started.
pub(super) fn command(limits: &Limits) -> std::process::Command {
    let mut command = std::process::Command::new(&limits.program);
    command.arg0("order-center mapping worker").arg(WORKER_COMMAND).arg(limits.memory_bytes.to_string());
    command.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a worker died of, by its status and last words; none when somebody else killed it.
pub(super) fn cause_of_death(status: Option<ExitStatus>, words: &[u8], limits: &Limits) -> Option<String> {
    let words = String::from_utf8_lossy(words);
    let signal = status.and_then(|status| status.signal());
    if words.contains("memory allocation of") {
        Some(format!("it needed more than {} MiB of memory", limits.memory_bytes >> 20))
    } else if words.contains("overflowed its stack") {
        Some("it recursed too deeply".to_owned())
    } else if signal == Some(rustix::process::Signal::XCPU.as_raw()) {
        Some(too_long(limits))
    } else if signal == Some(rustix::process::Signal::KILL.as_raw()) {
        None
    } else {
        let first = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Some(format!("its process ended: {first}"))
    }
}

pub(super) fn too_long(limits: &Limits) -> String {
    format!("it took longer than {} ms", limits.time.as_millis())
}
