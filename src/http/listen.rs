//! Connections: how many, how long a client may take to begin, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HttpConfig;

/// When connections end.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Nothing more is accepted, and each open connection ends after the request it is answering.
    pub(crate) draining: CancellationToken,
    /// Each open connection ends now.
    pub(crate) abandon: CancellationToken,
}

/// Accepts connections until `draining`. `connections` knows those that are open.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpConfig,
    ends: Ends,
    connections: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        // Without room nothing is accepted: the backlog of the system waits, and then clients do.
        let accepted = async {
            let permit = room.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let (accepted, permit) = tokio::select! {
            () = ends.draining.cancelled() => return,
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => return,
            },
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, router.clone(), limits.clone(), ends.clone(), permit));
            }
            Err(error) => {
                // Out of file descriptors, mostly: trying again at once would only burn a core.
                tracing::error!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, limits: HttpConfig, ends: Ends, permit: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true); // Only slower without.
    metrics::gauge!("http_server_connections").increment(1);
    let service = tower::ServiceExt::map_request(router, |request: http::Request<Incoming>| request.map(Body::new));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
        .max_buf_size(limits.head_bytes_max.max(8192))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::pin!(connection);
    // An error here is a client that left or broke the protocol: hyper has answered it where it could.
    let serving = async {
        tokio::select! {
            ended = &mut connection => return ended,
            () = ends.draining.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let _ = tokio::select! {
        ended = serving => ended,
        () = ends.abandon.cancelled() => Ok(()),
    };
    metrics::gauge!("http_server_connections").decrement(1);
    drop(permit);
}
