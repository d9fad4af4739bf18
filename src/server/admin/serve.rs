//! Serving the API: connections on the Unix socket and on TCP, bounded in number and time.
//!
//! The Unix socket takes the user the server runs as, and root, by the kernel's word; TCP takes whoever connects, and
//! each request then says by its credentials who asks. What is counted has a port of its own, if it is configured, on
//! which nobody is asked.

#[cfg(test)]
mod tests;
mod write_timeout;

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

use self::write_timeout::WriteTimeout;
use super::visitor::Visitor;
use super::{Actor, Admin, Token, metrics_router, router};
use crate::server::Shutdown;

/// Where the Unix socket of a data directory is.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Listens at `path` for the API; only our user may connect. A socket left by a stopped server is replaced: who calls
/// this holds the data directory. Inside the runtime only.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Between bind and here a connection of another user could only be refused by its peer credentials, and is.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the API on a Unix socket until the server stops.
pub async fn serve_unix(listener: UnixListener, admin: Arc<Admin>, shutdown: Shutdown) {
    let ours = rustix::process::geteuid().as_raw();
    let router = router(admin);
    let mut connections = Connections::new(shutdown, WRITE_TIME);
    while let Some(accepted) = connections.next(listener.accept()).await {
        match accepted.and_then(|(stream, _)| Ok((peer(&stream)?, stream))) {
            Ok((uid, stream)) if uid == ours || uid == 0 => {
                let actor = Actor::Unix { uid };
                connections.serve(stream, router.clone(), actor);
            }
            Ok((uid, _)) => tracing::warn!(uid, "admin connection of another user refused"),
            Err(error) => connections.failed(&error).await,
        }
    }
    connections.finish().await;
}

/// Serves the API on TCP, to requests with the bearer token or an account's credentials, until the server stops.
pub async fn serve_tcp(listener: TcpListener, token: Token, admin: Arc<Admin>, shutdown: Shutdown) {
    let router = router(admin);
    let mut connections = Connections::new(shutdown, WRITE_TIME);
    while let Some(accepted) = connections.next(listener.accept()).await {
        match accepted {
            Ok((stream, client)) => {
                connections.serve(stream, router.clone(), Visitor { token: token.clone(), client });
            }
            Err(error) => connections.failed(&error).await,
        }
    }
    connections.finish().await;
}

/// Serves what is counted, and nothing else, on TCP to whoever connects, until the server stops.
pub async fn serve_metrics(listener: TcpListener, admin: Arc<Admin>, shutdown: Shutdown) {
    let router = metrics_router(admin);
    let mut connections = Connections::new(shutdown, WRITE_TIME);
    while let Some(accepted) = connections.next(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => connections.serve(stream, router.clone(), ()),
            Err(error) => connections.failed(&error).await,
        }
    }
    connections.finish().await;
}

/// The connections of one listener.
struct Connections {
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    running: JoinSet<()>,
    /// How long a client may take nothing of an answer.
    write_time: Duration,
}

impl Connections {
    fn new(shutdown: Shutdown, write_time: Duration) -> Self {
        Self { shutdown, places: Arc::new(Semaphore::new(CONNECTIONS)), running: JoinSet::new(), write_time }
    }

    /// What comes next once there is a place for it; `None` when the server stops.
    async fn next<T>(&mut self, accept: impl Future<Output = T>) -> Option<T> {
        while self.running.try_join_next().is_some() {}
        let places = self.places.clone();
        let accept = async {
            // Taken for a moment only: `serve` takes it for good, and nobody else does in between.
            drop(places.acquire().await);
            accept.await
        };
        tokio::select! {
            accepted = accept => Some(accepted),
            () = self.shutdown.stopped() => None,
        }
    }

    /// Serves a connection; `who` is what is known of whoever connects, put into each of its requests.
    fn serve<S, W>(&mut self, stream: S, router: Router, who: W)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        W: Clone + Send + Sync + 'static,
    {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let shutdown = self.shutdown.clone();
        let stream = WriteTimeout::new(stream, self.write_time);
        self.running.spawn(async move {
            let _place = place;
            connection(stream, router, who, shutdown).await;
        });
    }

    /// Accepting fails for a while when the process is out of descriptors.
    async fn failed(&self, error: &io::Error) {
        tracing::warn!(%error, "HTTP connection not accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Waits for requests that are being answered.
    async fn finish(mut self) {
        let all = async { while self.running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH, all).await;
    }
}

async fn connection<S, W>(stream: S, router: Router, who: W, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    W: Clone + Send + Sync + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(who.clone());
        let answer = router.clone().call(request.map(Body::new));
        async move { answer.await as Result<Response, Infallible> }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // What a client does wrong at the level of HTTP is its own affair: hyper has answered or closed.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.stopped() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream.as_fd())?.uid.as_raw())
}

/// Connections of a listener at once.
const CONNECTIONS: usize = 64;

/// How long a client may take for a request's header, or be idle.
const HEADER_TIME: Duration = Duration::from_secs(30);

/// How long a client may take nothing of an answer that waits for it.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// How long requests may take to end when the server stops.
const FINISH: Duration = Duration::from_secs(10);

/// Octets of a request's header, and of what is read at once.
const BUFFER: usize = 64 << 10;
