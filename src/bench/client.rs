//! Sends requests from a process of its own, so that its CPU time is not taken for the server's.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::BenchError;

/// The hidden command that [`client`] runs under.
const COMMAND: &str = "bench-client";
/// Connections that send at once.
const CONNECTIONS: usize = 4;

/// What to send.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    address: SocketAddr,
    /// Whole HTTP requests.
    requests: Vec<String>,
    total: usize,
}

/// What came back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

impl Plan {
    /// Sends `total` requests, going through the given ones again and again.
    pub(super) fn new(address: SocketAddr, requests: impl Iterator<Item = String>, total: usize) -> Self {
        Self { address, requests: requests.collect(), total }
    }

    /// Sends it all from a child process.
    pub(super) async fn send(&self) -> Result<Received, BenchError> {
        let io = |what| move |e| BenchError::Io(what, e);
        let program = std::env::current_exe().map_err(io("find this program"))?;
        let mut child = tokio::process::Command::new(program)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("start the client"))?;
        let plan = serde_json::to_vec(self).map_err(|e| BenchError::Answer(e.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&plan).await.map_err(io("tell the client"))?;
        }
        let output = child.wait_with_output().await.map_err(io("wait for the client"))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|e| BenchError::Answer(format!("{e}: {}", String::from_utf8_lossy(&output.stdout))))
    }
}

/// The client's side: a plan on standard input, what came back on standard output.
///
/// # Errors
/// [`BenchError::Io`] or [`BenchError::Answer`].
pub fn client() -> Result<(), BenchError> {
    let plan: Plan =
        serde_json::from_reader(io::stdin().lock()).map_err(|e| BenchError::Answer(format!("no plan: {e}")))?;
    let bytes: Result<u64, BenchError> = std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn({
                    let plan = &plan;
                    move || talk(plan, connection)
                })
            })
            .collect();
        connections.into_iter().map(|c| c.join().unwrap_or_else(|_| Err(BenchError::Answer("a panic".into())))).sum()
    });
    let received = Received { requests: plan.total as u64, bytes: bytes? };
    println!("{}", serde_json::to_string(&received).map_err(|e| BenchError::Answer(e.to_string()))?);
    Ok(())
}

/// Sends every fourth request over one connection; returns the bytes of all bodies.
fn talk(plan: &Plan, connection: usize) -> Result<u64, BenchError> {
    let io = |e| BenchError::Io("talk to the server", e);
    let mut stream = TcpStream::connect(plan.address).map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(io)?);
    let (mut bytes, mut body) = (0, Vec::new());
    for i in (connection..plan.total).step_by(CONNECTIONS) {
        stream.write_all(plan.requests[i % plan.requests.len()].as_bytes()).map_err(io)?;
        let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
        loop {
            line.clear();
            reader.read_line(&mut line).map_err(io)?;
            let head = line.trim_end().to_ascii_lowercase();
            if status.is_empty() {
                status = head;
            } else if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| BenchError::Answer(line.clone()))?;
            } else if head.is_empty() {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).map_err(io)?;
        if !status.ends_with("200 ok") || body.is_empty() || body.starts_with(b"{\"errors\"") {
            let start = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(BenchError::Answer(format!("{status}: {start}")));
        }
        bytes += body.len() as u64;
    }
    Ok(bytes)
}
