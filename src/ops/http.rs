//! The admin listener: a few read-only pages over HTTP/1, on one thread that gives way to all others.
//!
//! Invariants: connections, headers and time are bounded, and the oldest connection gives way to a new
//! one, so that a client that sends or reads slowly keeps nobody out; only `GET` (and `HEAD`) is
//! answered; no page takes anything from a request but its path and the formats it accepts.

use super::View;
use super::metrics::{Format, render};
use crate::sys::thread;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Connections at a time. The oldest is closed for one more.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's head.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Fields of a request's head.
const FIELDS_MAX: usize = 64;
/// Time from a connection, or from an answer, to a complete head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection lives at most so long, whatever it does.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// After a failed accept, which is want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener whose address is taken and that nobody serves yet.
pub struct Listening {
    listener: TcpListener,
}

/// The running thread. It ends when this is dropped.
pub struct Server {
    /// Dropped to end the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Takes the address.
    ///
    /// # Errors
    /// As the operating system tells.
    pub fn bind(address: SocketAddr) -> io::Result<Listening> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Listening { listener })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// As the operating system tells.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves pages on a thread of its own, on `core` where one is given.
    ///
    /// # Errors
    /// Where the operating system refuses a thread or a descriptor.
    pub fn serve(self, view: View, core: Option<usize>) -> io::Result<Server> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            if let Some(core) = core {
                thread::pin("http", core);
            }
            thread::give_way();
            runtime.block_on(async move {
                let accepting = tokio::spawn(accept(self.listener, view));
                // Either end of the channel may go first; both mean that it is over.
                let _ = ended.await;
                accepting.abort();
            });
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(run)?;
        Ok(Server { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told on stderr and concerns no order.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, view: View) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener does not work");
            return;
        }
    };
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection| !connection.is_finished());
                if connections.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                let view = view.clone();
                let task = tokio::spawn(tokio::time::timeout(CONNECTION_MAX, talk(stream, view)));
                connections.push_back(task.abort_handle());
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, view: View) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = page(&request, &view);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin listener ended");
    }
}

/// The answer to a request.
fn page(request: &Request<Incoming>, view: &View) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/health" | "/metrics" | "/lanes" | "/stats") {
        return text(StatusCode::NOT_FOUND, "pages: /health /metrics /lanes /stats\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/health" => {
            let health = view.health();
            let good = health.state.takes_orders();
            json(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
        }
        "/lanes" => json(StatusCode::OK, &view.lanes_and_queues()),
        "/stats" => json(StatusCode::OK, &view.flow()),
        _ => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::of_accept(accept.unwrap_or_default());
            answer(StatusCode::OK, format.media_type(), render(view, format))
        }
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut body = serde_json::to_string(value).expect("reports are plain data");
    body.push('\n');
    answer(status, "application/json", body)
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body.to_owned())
}

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
