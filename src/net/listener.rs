//! Listening: from a bound socket to sessions, each in a task of its own and counted against the limits.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Connection;
use super::limits::{ConnectionLimits, LimitReached};
use super::proxy_protocol;
use super::tls::Tls;
use crate::mail::Network;

/// What is done with connections before they become sessions.
#[derive(Clone, Debug)]
pub struct Listener {
    /// A name for the log.
    pub name: String,
    /// TLS from the first octet on.
    pub implicit_tls: Option<Tls>,
    /// Who sends PROXY protocol headers.
    pub proxies: Vec<Network>,
    /// What the connections count against.
    pub limits: Arc<ConnectionLimits>,
    /// What a client is told when a limit is reached (unless TLS comes first).
    pub refusal: String,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
}

/// Binds a socket that listens. IPv6 sockets take IPv6 only, so that both can be bound to one port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// Accepts until `stop` is ready, then waits for the sessions, which have to hear of the stop by themselves. A
    /// session that panics is logged and ends alone. Dropped, it ends all sessions at once.
    pub async fn run<S, F>(self, socket: TcpListener, stop: impl Future<Output = ()>, session: S)
    where
        S: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = Arc::new(self);
        let mut stop = pin!(stop);
        let mut sessions = JoinSet::new();
        // Dropped at the stop, which ends what has not become a session yet.
        let (accepting, _) = watch::channel(());
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, _)) => listener.start(stream, &mut sessions, &session, accepting.subscribe()),
                    Err(error) => listener.accept_failed(&error).await,
                },
                Some(ended) = sessions.join_next() => listener.log_end(ended),
            }
        }
        drop((socket, accepting));
        while let Some(ended) = sessions.join_next().await {
            listener.log_end(ended);
        }
    }

    fn start<S, F>(
        self: &Arc<Self>,
        stream: TcpStream,
        sessions: &mut JoinSet<()>,
        session: &S,
        mut accepting: watch::Receiver<()>,
    ) where
        S: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        // A peer that has closed already leaves nothing to serve.
        let Ok(connection) = Connection::plain(stream) else { return };
        let listener = self.clone();
        let session = session.clone();
        sessions.spawn(async move {
            let mut prepare = Box::pin(listener.prepare(connection));
            let admitted = tokio::select! {
                admitted = &mut prepare => admitted,
                _ = accepting.changed() => None,
            };
            drop((prepare, accepting));
            drop(listener);
            if let Some(connection) = admitted {
                session(connection).await;
            }
        });
    }

    /// Limits, PROXY protocol header, TLS: what comes before the session.
    async fn prepare(&self, connection: Connection) -> Option<Connection> {
        let mut admission = match self.limits.admit() {
            Ok(admission) => admission,
            Err(reached) => return self.refuse(connection, reached).await,
        };
        let sender = connection.peer();
        let mut connection = if self.proxies.iter().any(|network| network.contains(sender.ip())) {
            match proxy_protocol::receive(connection).await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(listener = self.name, %sender, %error, "no valid PROXY protocol header");
                    return None;
                }
            }
        } else {
            connection
        };
        if let Err(reached) = admission.identify(connection.peer().ip()) {
            return self.refuse(connection, reached).await;
        }
        connection.admit(admission);
        let Some(tls) = &self.implicit_tls else { return Some(connection) };
        tls.accept(connection, self.handshake_time).await.ok()
    }

    async fn refuse<T>(&self, mut connection: Connection, reached: LimitReached) -> Option<T> {
        tracing::warn!(listener = self.name, peer = %connection.peer(), reason = %reached, "connection refused");
        if self.implicit_tls.is_none() {
            connection.write(self.refusal.as_bytes());
        }
        match reached {
            LimitReached::Client => connection.close(REFUSAL_TIME).await,
            // Beyond the total nothing may linger, or the total would be no limit.
            LimitReached::Total => drop(connection.flush(REFUSAL_TIME).await),
        }
        None
    }

    async fn accept_failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        // Out of descriptors or memory: what is open has to end first, and trying at once only burns the processor.
        tracing::error!(listener = self.name, %error, "accept failed");
        sleep(ACCEPT_PAUSE).await;
    }

    fn log_end(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(listener = self.name, %error, "session panicked");
        }
    }
}

const BACKLOG: i32 = 1024;
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<()>,
    }

    /// A listener whose sessions say who the peer is and then end with the peer's first line, or panic at `panic`.
    async fn start(limits: Arc<ConnectionLimits>, proxies: &[&str]) -> Running {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener {
            name: "test".into(),
            implicit_tls: None,
            proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
            limits,
            refusal: "go away\r\n".into(),
            handshake_time: LONG,
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let session = |mut connection: Connection| async move {
            let peer = connection.peer();
            connection.write(format!("{peer}\r\n").as_bytes());
            connection.flush(LONG).await.unwrap();
            let mut line = Vec::new();
            let _ = connection.read_line(&mut line, 100, LONG).await;
            assert_ne!(line, b"panic");
            connection.write(b"bye\r\n");
            connection.close(LONG).await;
        };
        let ended = tokio::spawn(listener.run(socket, stopped, session));
        Running { address, stop, ended }
    }

    async fn read_line(client: &mut TcpStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap()
    }

    #[tokio::test]
    async fn connections_beyond_the_limits_are_told_and_closed() {
        for (limits, what) in
            [(ConnectionLimits::new(1, 10, Vec::new()), "total"), (ConnectionLimits::new(10, 1, Vec::new()), "client")]
        {
            let server = start(limits.clone(), &[]).await;
            let mut first = TcpStream::connect(server.address).await.unwrap();
            read_line(&mut first).await;
            let mut second = TcpStream::connect(server.address).await.unwrap();
            let mut refusal = String::new();
            second.read_to_string(&mut refusal).await.unwrap();
            assert_eq!(refusal, "go away\r\n", "{what}");
            drop(second);
            first.write_all(b"end\r\n").await.unwrap();
            assert_eq!(read_line(&mut first).await, "bye\r\n");
            drop(first);
            server.stop.send(()).unwrap();
            server.ended.await.unwrap();
            assert_eq!(limits.open_connections(), 0, "{what}");
        }
    }

    #[tokio::test]
    async fn session_that_panics_ends_alone() {
        let limits = ConnectionLimits::new(10, 10, Vec::new());
        let server = start(limits.clone(), &[]).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        read_line(&mut first).await;
        let mut second = TcpStream::connect(server.address).await.unwrap();
        read_line(&mut second).await;
        first.write_all(b"panic\r\n").await.unwrap();
        assert_eq!(first.read(&mut [0; 8]).await.unwrap_or(0), 0);
        second.write_all(b"end\r\n").await.unwrap();
        assert_eq!(read_line(&mut second).await, "bye\r\n");
        drop(second);
        server.stop.send(()).unwrap();
        server.ended.await.unwrap();
        assert_eq!(limits.open_connections(), 0);
    }

    #[tokio::test]
    async fn stop_waits_for_sessions_and_takes_no_new_ones() {
        let server = start(ConnectionLimits::new(10, 10, Vec::new()), &[]).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        read_line(&mut client).await;
        server.stop.send(()).unwrap();
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!server.ended.is_finished());
        client.write_all(b"end\r\n").await.unwrap();
        assert_eq!(read_line(&mut client).await, "bye\r\n");
        drop(client);
        server.ended.await.unwrap();
    }

    #[tokio::test]
    async fn stop_does_not_wait_for_a_sender_that_owes_its_header() {
        let limits = ConnectionLimits::new(10, 10, Vec::new());
        let server = start(limits.clone(), &["127.0.0.1"]).await;
        let _client = TcpStream::connect(server.address).await.unwrap();
        while limits.open_connections() == 0 {
            tokio::task::yield_now().await;
        }
        server.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(2), server.ended).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn proxy_header_is_believed_from_listed_senders_only() {
        const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4242 25\r\n";
        for (proxies, greeting) in
            [(["127.0.0.0/8"].as_slice(), Some("192.0.2.7:4242\r\n")), (["192.0.2.0/24"].as_slice(), None)]
        {
            let server = start(ConnectionLimits::new(10, 10, Vec::new()), proxies).await;
            let mut client = TcpStream::connect(server.address).await.unwrap();
            let own = format!("{}\r\n", client.local_addr().unwrap());
            for part in HEADER.chunks(7) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(read_line(&mut client).await, greeting.unwrap_or(&own));
            // The header is the session's first line if the sender is not listed, and gone if it is.
            if greeting.is_some() {
                client.write_all(b"end\r\n").await.unwrap();
            }
            assert_eq!(read_line(&mut client).await, "bye\r\n");
        }
    }

    #[tokio::test]
    async fn listed_sender_without_a_header_is_closed() {
        let server = start(ConnectionLimits::new(10, 10, Vec::new()), &["127.0.0.1"]).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(b"EHLO client.example.test\r\n").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn clients_behind_a_proxy_are_limited_each_alone() {
        let server = start(ConnectionLimits::new(10, 1, Vec::new()), &["127.0.0.1"]).await;
        let mut clients = Vec::new();
        for (address, admitted) in [("192.0.2.1", true), ("192.0.2.2", true), ("192.0.2.1", false)] {
            let mut client = TcpStream::connect(server.address).await.unwrap();
            client.write_all(format!("PROXY TCP4 {address} 198.51.100.1 1 25\r\n").as_bytes()).await.unwrap();
            assert_eq!(read_line(&mut client).await != "go away\r\n", admitted, "{address}");
            clients.push(client);
        }
    }

    const LONG: Duration = Duration::from_secs(20);
}
