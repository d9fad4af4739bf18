//! Connections over sockets.

use std::net::Ipv4Addr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: usize = 1 << 20;

#[tokio::test]
async fn a_client_that_reads_no_answers_loses_its_place() {
    let stop = watch::Sender::new(false);
    let mut connections = Connections::new(Shutdown::new(stop.subscribe()), Duration::from_millis(200));
    let router = Router::new().route("/", get(|| async { "x".repeat(ANSWER) }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    connections.serve(listener.accept().await.unwrap().0, router.clone(), ());
    silent.write_all(&REQUEST.repeat(100)).await.unwrap();
    assert_eq!(connections.places.available_permits(), CONNECTIONS - 1);
    let ended = tokio::time::timeout(Duration::from_secs(20), connections.running.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(())))), "{ended:?}");
    assert_eq!(connections.places.available_permits(), CONNECTIONS);

    // Who reads is answered as before.
    let mut reader = TcpStream::connect(address).await.unwrap();
    connections.serve(listener.accept().await.unwrap().0, router, ());
    reader.write_all(REQUEST).await.unwrap();
    reader.shutdown().await.unwrap();
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > ANSWER, "{}", answer.len());
}
