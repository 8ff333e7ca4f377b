//! Reads a request's body within its limits of size and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode};

use super::reply::Refusal;

/// How much of a body that is too large is still read, and thrown away: a client that is busy sending does not read
/// our answer.
const DISCARD_MAX: usize = 32 * 1024 * 1024;

/// The whole body.
///
/// # Errors
/// 413 beyond `limit` bytes, 408 when it takes longer than `patience`, 400 when the connection breaks.
pub(crate) async fn read(
    body: Body,
    content_length: Option<&HeaderValue>,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Refusal> {
    let announced = content_length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut stream = body.into_data_stream();
    let reading = async {
        if announced.is_some_and(|announced| announced > limit as u64) {
            discard(&mut stream).await;
            return Err(Refusal::too_large("the body", limit));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Refusal::bad_request("the connection broke before the body was here"))?;
            if whole.len() + chunk.len() > limit {
                discard(&mut stream).await;
                return Err(Refusal::too_large("the body", limit));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(patience, reading).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} ms", patience.as_millis());
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message))
    })
}

async fn discard(stream: &mut BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        discarded += chunk.len();
        if discarded > DISCARD_MAX {
            return;
        }
    }
}
