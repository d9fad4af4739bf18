//! What is listened on: bound before anything is served, named in a file, then served.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::{StartError, listeners_file};
use crate::config::{Config, Listener, Protocol, TlsMode};
use crate::net::limits::ConnectionLimits;
use crate::net::listener;
use crate::server::admin::{self, Admin, Token};
use crate::server::{Services, Shutdown, imap, smtp};

/// Everything that is listened on.
pub(super) struct Bound {
    sockets: Vec<(Listener, TcpListener)>,
    metrics: Option<TcpListener>,
    admin: UnixListener,
}

impl Bound {
    /// Binds all that the configuration wants, or nothing stays bound.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let mut sockets = Vec::with_capacity(config.listeners.len());
        for (at, listener) in config.listeners.iter().enumerate() {
            let socket = listener::bind(listener.bind).map_err(|cause| StartError::Bind {
                number: at.saturating_add(1),
                protocol: listener.protocol,
                address: listener.bind,
                cause,
            })?;
            sockets.push((listener.clone(), socket));
        }
        let metrics = config.metrics.map(bind_metrics).transpose()?;
        let path = admin::socket_path(&config.data_dir);
        let admin = admin::bind_unix(&path).map_err(|cause| StartError::DataDir { path, cause })?;
        Ok(Self { sockets, metrics, admin })
    }

    /// Serves what is bound until `shutdown`; the tasks end then.
    pub async fn start(
        self,
        config: &Config,
        services: &Arc<Services>,
        shutdown: Shutdown,
    ) -> Result<JoinSet<()>, StartError> {
        write_listeners(&config.data_dir, &self)?;
        let admin = Admin::new(services.clone());
        let limits = &config.connections;
        let limits = ConnectionLimits::new(limits.total, limits.per_address, limits.exempt.clone());
        let mut tasks = JoinSet::new();
        for (listener, socket) in self.sockets {
            let (services, shutdown) = (services.clone(), shutdown.clone());
            if listener.protocol == Protocol::Admin {
                let token = Token::open(&config.data_dir)
                    .map_err(|cause| StartError::DataDir { path: config.data_dir.join("admin.token"), cause })?;
                tasks.spawn(admin::serve_tcp(socket, token, admin.clone(), shutdown));
            } else {
                let front = front(&listener, &services, limits.clone(), config.tls_handshake);
                tasks.spawn(run_listener(listener, front, socket, services, shutdown));
            }
        }
        if let Some(socket) = self.metrics {
            tasks.spawn(admin::serve_metrics(socket, admin.clone(), shutdown.clone()));
        }
        tasks.spawn(admin::serve_unix(self.admin, admin.clone(), shutdown));
        // Not among the tasks: a stop does not wait for it, the next start goes on with it.
        tokio::spawn(admin.clone().watch_relays());
        tokio::spawn(admin.clone().keep_published());
        tokio::spawn(async move {
            admin.hold_suspended().await;
            admin.finish_removals().await;
        });
        Ok(tasks)
    }
}

fn bind_metrics(address: SocketAddr) -> Result<TcpListener, StartError> {
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            %address,
            "metrics.bind is no loopback address: whoever reaches it reads what is counted, with the names of hooks and webhooks"
        );
    }
    listener::bind(address).map_err(|cause| StartError::BindMetrics { address, cause })
}

/// Names what is bound, one JSON object for each line, in the order of the configuration.
fn write_listeners(data_dir: &Path, bound: &Bound) -> Result<(), StartError> {
    let path = listeners_file(data_dir);
    let written = || {
        let mut lines = String::new();
        let mail = bound.sockets.iter().map(|(listener, socket)| (listener.protocol.name(), listener.tls, socket));
        let metrics = bound.metrics.iter().map(|socket| ("metrics", TlsMode::None, socket));
        for (protocol, tls, socket) in mail.chain(metrics) {
            let (address, tls) = (socket.local_addr()?, tls.name());
            tracing::info!(protocol, %address, tls, "listening");
            let line = json!({ "protocol": protocol, "address": address, "tls": tls });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let partial = path.with_extension("json.new");
        std::fs::write(&partial, lines)?;
        std::fs::rename(&partial, &path)
    };
    written().map_err(|cause| StartError::DataDir { path: path.clone(), cause })
}

fn front(
    listener: &Listener,
    services: &Services,
    limits: Arc<ConnectionLimits>,
    handshake_time: Duration,
) -> listener::Listener {
    listener::Listener {
        name: listener.protocol.name().to_owned(),
        implicit_tls: (listener.tls == TlsMode::Implicit).then(|| services.tls.clone()).flatten(),
        proxies: listener.proxy_protocol.clone(),
        limits,
        refusal: match listener.protocol {
            // RFC 3501 §7.1.5, RFC 5321 §3.8
            Protocol::Imap | Protocol::Imaps => "* BYE Too many connections\r\n".to_owned(),
            _ => format!("421 4.7.0 {} Too many connections, try again later\r\n", services.hostname),
        },
        handshake_time,
    }
}

async fn run_listener(
    listener: Listener,
    front: listener::Listener,
    socket: TcpListener,
    services: Arc<Services>,
    shutdown: Shutdown,
) {
    let mut stop = shutdown.clone();
    let stop = async move { stop.stopped().await };
    let (starttls, name) = (listener.tls == TlsMode::Starttls, listener.protocol.name());
    let allow_plaintext_auth = listener.allow_plaintext_auth;
    let role = match listener.protocol {
        Protocol::Smtp => smtp::Role::Relay,
        Protocol::Submission | Protocol::Submissions => smtp::Role::Submission,
        // POP3 is refused by the configuration, and the admin API has a server of its own.
        Protocol::Imap | Protocol::Imaps | Protocol::Pop3 | Protocol::Pop3s | Protocol::Admin => {
            let port = imap::Port { starttls, allow_plaintext_auth };
            let session = move |connection| {
                let session = imap::serve(connection, port, services.clone(), shutdown.clone());
                during(services.metrics.session(name), session)
            };
            return front.run(socket, stop, session).await;
        }
    };
    let port = smtp::Port { role, starttls, allow_plaintext_auth };
    let session = move |connection| {
        let session = smtp::serve(connection, port, services.clone(), shutdown.clone());
        during(services.metrics.session(name), session)
    };
    front.run(socket, stop, session).await;
}

/// Runs a session, which is counted for as long.
async fn during<Count>(counted: Count, session: impl Future<Output = ()>) {
    session.await;
    drop(counted);
}
