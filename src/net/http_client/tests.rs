use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::super::Connection;
use super::super::tls::Tls;
use super::*;

const LIMITS: Limits = Limits { time: Duration::from_secs(20), octets: 1_000, excess: Excess::Fails };

fn client(keeps: usize) -> HttpClient {
    HttpClient::new(Names::System, RootCertStore::empty(), keeps).unwrap()
}

fn post(url: &str, body: &[u8]) -> Request {
    Request::post(url.parse().unwrap(), "application/json", body.to_vec()).with_field("X-Test", "yes")
}

/// Reads a request with its content, and gives all of it.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, content)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if content.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Answers each connection's requests one by one with these texts, and then closes; counts connections.
async fn server(answers: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                for answer in answers {
                    if request(&mut stream).await.is_none() {
                        return;
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn a_request_arrives_as_it_is_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let asked = request(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 202 Fine\r\nContent-Type: Text/Plain; x=y\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
        asked
    });
    let answer = client(0).ask(&post(&format!("http://{address}/hook?a=b"), b"{}"), LIMITS).await.unwrap();
    assert_eq!((answer.status, answer.media_type().as_str(), answer.body.as_slice()), (202, "text/plain", &b"ok"[..]));
    let asked = asked.await.unwrap();
    for line in [
        "POST /hook?a=b HTTP/1.1",
        &format!("host: {address}"),
        "content-type: application/json",
        "x-test: yes",
        "content-length: 2",
        "connection: close",
        "user-agent: posthouse",
    ] {
        assert!(asked.lines().any(|l| l == line), "{line} in {asked}");
    }
    assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
}

#[tokio::test]
async fn connections_are_kept_and_replaced_when_they_have_ended() {
    let (url, connections) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; 3]).await;
    let keeping = client(2);
    for n in 0..7 {
        let answer = keeping.ask(&post(&url, b"{}"), LIMITS).await.unwrap();
        assert_eq!(answer.body, b"ok", "{n}");
    }
    // Three requests a connection; of those that have ended under it the client tells nobody.
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    let parting = client(0);
    for _ in 0..3 {
        parting.ask(&post(&url, b"{}"), LIMITS).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn answers_of_every_kind() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n";
    let chunk: &'static str = Box::leak(format!("{LONG}{}\r\n0\r\n\r\n", "x".repeat(2_000)).into());
    let head: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)).into());
    for (case, answers, expected) in [
        ("redirect", vec!["HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"], Ok(302)),
        ("until the end", vec!["HTTP/1.1 500 No\r\n\r\nbroken"], Ok(500)),
        ("interim", vec!["HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 None\r\n\r\n"], Ok(204)),
        ("announced too long", vec!["HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"], Err("the answer is too long")),
        ("too long", vec![chunk], Err("the answer is too long")),
        ("cut short", vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"], Err("no answer in HTTP")),
        ("nothing", vec![""], Err("no answer in HTTP")),
        ("garbage", vec!["* OK IMAP4rev1 Service Ready\r\n"], Err("no answer in HTTP")),
        ("endless head", vec![head], Err("no answer in HTTP")),
    ] {
        let (url, _) = server(Box::leak(answers.into_boxed_slice())).await;
        let answer = client(1).ask(&post(&url, b"{}"), LIMITS).await;
        match (answer, expected) {
            (Ok(answer), Ok(status)) => assert_eq!(answer.status, status, "{case}"),
            (Err(error), Err(text)) => assert!(error.to_string().starts_with(text), "{case}: {error}"),
            (answer, _) => panic!("{case}: {answer:?}"),
        }
    }
    let (url, _) = server(Box::leak(vec![chunk].into_boxed_slice())).await;
    let cut = client(1).ask(&post(&url, b"{}"), Limits { excess: Excess::IsCut, ..LIMITS }).await.unwrap();
    assert_eq!((cut.status, cut.body.len()), (200, 1_000));
}

#[tokio::test]
async fn what_cannot_be_asked_fails_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", listener.local_addr().unwrap());
    let soon = Limits { time: Duration::from_millis(50), ..LIMITS };
    assert_eq!(client(0).ask(&post(&silent, b""), soon).await, Err(HttpError::TimedOut));
    let socket = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}/none", socket.path().display());
    assert!(matches!(client(0).ask(&post(&nobody, b""), LIMITS).await, Err(HttpError::Connect(_))));
    let bad = post(&silent, b"").with_field("X-Bad", "a\r\nb");
    assert_eq!(client(0).ask(&bad, LIMITS).await, Err(HttpError::Request));
}

#[tokio::test]
async fn a_unix_socket_is_asked_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hook.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let asked = request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 Fine\r\n\r\n").await.unwrap();
        asked
    });
    let url = format!("unix:{}:/check?x", path.display());
    assert_eq!(client(1).ask(&post(&url, b"body"), LIMITS).await.unwrap().status, 204);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /check?x HTTP/1.1\r\n") && asked.contains("host: localhost\r\n"), "{asked}");
}

#[tokio::test]
async fn a_host_must_prove_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(folder.path(), "hooks.example.test").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.path().join("self-signed.crt")).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let connection = Connection::plain(stream).unwrap();
                let Ok(mut connection) = tls.accept(connection, LIMITS.time).await else { return };
                connection.fill(LIMITS.time).await.unwrap();
                connection.write(b"HTTP/1.1 204 Fine\r\n\r\n");
                connection.close(LIMITS.time).await;
            });
        }
    });
    // The certificate is made for `localhost` too, and not for its address.
    for (host, roots, is_proven) in
        [("localhost", roots.clone(), true), ("127.0.0.1", roots, false), ("localhost", RootCertStore::empty(), false)]
    {
        let client = HttpClient::new(Names::System, roots, 0).unwrap().with_https_port(port);
        let answer = client.ask(&post(&format!("https://{host}/"), b""), LIMITS).await;
        match answer {
            Ok(answer) => assert!(is_proven && answer.status == 204, "{host}"),
            Err(HttpError::Tls(rustls::Error::InvalidCertificate(_))) => assert!(!is_proven, "{host}"),
            Err(error) => panic!("{host}: {error}"),
        }
    }
}

#[test]
fn what_is_near_is_told_from_the_internet() {
    for (address, want) in [
        ("127.0.0.1", true),
        ("127.255.0.9", true),
        ("0.0.0.0", true),
        ("0.1.2.3", true),
        ("10.0.0.1", true),
        ("172.16.0.1", true),
        ("172.32.0.1", false),
        ("192.168.1.1", true),
        ("169.254.169.254", true),
        ("100.64.0.1", true),
        ("100.128.0.1", false),
        ("224.0.0.1", true),
        ("255.255.255.255", true),
        ("9.9.9.9", false),
        ("::1", true),
        ("::", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:9.9.9.9", false),
        ("fe80::1", true),
        ("fd00::1", true),
        ("ff02::1", true),
        ("2620:fe::fe", false),
    ] {
        assert_eq!(is_near(address.parse().unwrap()), want, "{address}");
    }
}
