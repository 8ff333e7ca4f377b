//! A proxy in front of a module that breaks what a network breaks: real TCP, one request per connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use order_contract::protocol::IDEMPOTENCY_KEY_HEADER;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What happens to one request.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Nothing: it is passed on, and so is the answer.
    Pass,
    /// The connection ends before the module sees it.
    Drop,
    /// The module does it; the connection ends without an answer.
    Lose,
    /// The module does it; the answer comes so much later.
    Stall(Duration),
    /// The module does it; half of the answer comes.
    Half,
    /// The module does it; this comes instead of its answer.
    Instead(&'static str, &'static str, &'static str),
    /// The module never sees it; this comes back: status line, headers, body.
    Answer(&'static str, &'static str, &'static str),
    /// The module does it; its JSON is changed on the way back.
    Edit(Arc<dyn Fn(&mut Value) + Send + Sync>),
}

/// An error page as a proxy sends it.
pub(crate) const HTML: (&str, &str, &str) =
    ("200 OK", "content-type: text/html\r\n", "<html><h1>502 Bad Gateway</h1></html>");
/// A server error without a word.
pub(crate) const ERROR_500: (&str, &str, &str) = ("500 Internal Server Error", "", "");

/// One request that came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
}

impl Asked {
    pub(crate) fn is_action(&self) -> bool {
        self.method == "POST"
    }

    pub(crate) fn is_descriptor(&self) -> bool {
        self.path.ends_with("/order-module")
    }
}

/// How many actions are under way at the module, and the most that ever were.
#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

type Plan = Box<dyn FnMut(&Asked) -> Fault + Send>;

/// The proxy. It ends with the value.
pub(crate) struct FaultProxy {
    pub(crate) base_url: String,
    plan: Arc<Mutex<Plan>>,
    seen: Arc<Mutex<Vec<Asked>>>,
    acting: Arc<AtOnce>,
    _stop: DropGuard,
}

impl FaultProxy {
    /// A proxy in front of `upstream` (`host:port`) that breaks nothing yet.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_: &Asked| Fault::Pass)));
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let acting: Arc<AtOnce> = Arc::default();
        let stop = CancellationToken::new();
        tokio::spawn({
            let (plan, seen, acting, stop) = (plan.clone(), seen.clone(), acting.clone(), stop.clone());
            async move {
                while let Some(Ok((client, _))) = stop.run_until_cancelled(listener.accept()).await {
                    let (plan, seen, acting, upstream) = (plan.clone(), seen.clone(), acting.clone(), upstream.clone());
                    tokio::spawn(async move {
                        // A side that hangs up is part of the game.
                        let _ = exchange(client, &upstream, &plan, &seen, &acting).await;
                    });
                }
            }
        });
        Self { base_url, plan, seen, acting, _stop: stop.drop_guard() }
    }

    /// Decides from now on what happens to each request.
    pub(crate) fn plan(&self, plan: impl FnMut(&Asked) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// The most actions that were ever under way at once.
    pub(crate) fn most_actions_at_once(&self) -> usize {
        self.acting.most.load(Ordering::SeqCst)
    }

    /// The requests that match, so far.
    pub(crate) fn count(&self, matches: impl Fn(&Asked) -> bool) -> usize {
        self.seen.lock().unwrap().iter().filter(|asked| matches(asked)).count()
    }
}

async fn exchange(
    mut client: TcpStream,
    upstream: &str,
    plan: &Mutex<Plan>,
    seen: &Mutex<Vec<Asked>>,
    acting: &AtOnce,
) -> std::io::Result<()> {
    let Some((head, body)) = read_request(&mut client).await? else { return Ok(()) };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let asked = Asked { method, path, key: header(&head, IDEMPOTENCY_KEY_HEADER).map(str::to_owned) };
    seen.lock().unwrap().push(asked.clone());
    let fault = (plan.lock().unwrap())(&asked);
    match &fault {
        Fault::Drop => return Ok(()),
        Fault::Answer(status, headers, body) => {
            return client.write_all(message(status, headers, body).as_bytes()).await;
        }
        _ => {}
    }

    if asked.is_action() {
        let now = acting.now.fetch_add(1, Ordering::SeqCst) + 1;
        acting.most.fetch_max(now, Ordering::SeqCst);
    }
    let mut module = TcpStream::connect(upstream).await?;
    module.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).await?;
    module.write_all(&body).await?;
    let mut answer = Vec::new();
    module.read_to_end(&mut answer).await?;
    if let Fault::Stall(pause) = &fault {
        tokio::time::sleep(*pause).await;
    }
    if asked.is_action() {
        acting.now.fetch_sub(1, Ordering::SeqCst);
    }
    match fault {
        Fault::Lose => {}
        Fault::Half => client.write_all(&answer[..answer.len() - answer.len() / 4]).await?,
        Fault::Instead(status, headers, body) => client.write_all(message(status, headers, body).as_bytes()).await?,
        Fault::Edit(change) => {
            let text = String::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let mut json: Value = serde_json::from_str(body).unwrap();
            change(&mut json);
            let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
            let (head, body) = (kept.collect::<Vec<_>>().join("\r\n"), json.to_string());
            client.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        }
        Fault::Pass | Fault::Stall(_) | Fault::Drop | Fault::Answer(..) => client.write_all(&answer).await?,
    }
    client.shutdown().await
}

fn message(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The head with its blank line, and the body; nothing when the client hung up.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end + 4].to_vec()).unwrap();
            let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = bytes[end + 4..].to_vec();
            while body.len() < length {
                if client.read_buf(&mut body).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((head, body)));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}
