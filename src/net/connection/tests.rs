use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (Connection::plain(server).unwrap(), client)
}

async fn line(connection: &mut Connection, max: usize) -> Result<Vec<u8>, ReadError> {
    let mut line = Vec::new();
    connection.read_line(&mut line, max, LONG).await.map(|()| line)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lines as one reading from the front to the back finds them; an overlong one is `None`.
fn expected(mut input: &[u8], max: usize) -> Vec<Option<Vec<u8>>> {
    let mut lines = Vec::new();
    while let Some(end) = input.windows(2).position(|w| w == b"\r\n") {
        lines.push((end <= max).then(|| input[..end].to_vec()));
        input = &input[end + 2..];
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_are_the_same_however_the_input_is_split(
        pieces in proptest::collection::vec("[ab\r\n]{0,12}|\r\n|[a-z]{20,40}", 1..12),
    ) {
        const MAX: usize = 16;
        let whole = pieces.concat() + "\r\n";
        let found = runtime().block_on(async {
            let (mut connection, mut client) = pair().await;
            let sender = async {
                for piece in &pieces {
                    client.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.write_all(b"\r\n").await.unwrap();
                client.shutdown().await.unwrap();
            };
            let reader = async {
                let mut found = Vec::new();
                let mut overlong = false;
                loop {
                    match line(&mut connection, MAX).await {
                        Ok(_) if overlong => {
                            found.push(None);
                            overlong = false;
                        }
                        Ok(line) => found.push(Some(line)),
                        Err(ReadError::LineTooLong) => overlong = true,
                        Err(ReadError::Closed) => return found,
                        Err(ReadError::TimedOut) => panic!("timed out"),
                    }
                }
            };
            tokio::join!(sender, reader).1
        });
        prop_assert_eq!(found, expected(whole.as_bytes(), MAX));
    }

    #[test]
    fn search_goes_on_where_it_stopped(input in "[ab\r\n]{0,40}", cut in 0_usize..40, max in 0_usize..40) {
        let input = input.as_bytes();
        let first = &input[..cut.min(input.len())];
        if find_line(first, 0, max) == Search::Incomplete {
            let searched = first.len().saturating_sub(1);
            prop_assert_eq!(find_line(input, searched, max), find_line(input, 0, max));
        }
    }
}

#[test]
fn line_limit_table() {
    for (input, max, expected) in [
        ("abc\r\n", 3, Search::Line(3)),
        ("abcd\r\n", 3, Search::TooLong(4)),
        ("abc\r", 3, Search::Incomplete),
        ("abc", 3, Search::Incomplete),
        ("abcd", 3, Search::TooLong(4)),
        ("abcd\r", 3, Search::TooLong(4)),
        ("\r\n", 0, Search::Line(0)),
        ("a\nb\r\n", 9, Search::Line(3)),
        ("a\rb\r\n", 9, Search::Line(3)),
        ("a\r\r\n", 9, Search::Line(2)),
        ("", 0, Search::Incomplete),
    ] {
        assert_eq!(find_line(input.as_bytes(), 0, max), expected, "{input:?} with {max}");
    }
}

#[tokio::test]
async fn line_may_come_slowly_but_not_too_slowly() {
    let (mut connection, mut client) = pair().await;
    client.write_all(b"half").await.unwrap();
    let mut got = b"kept ".to_vec();
    assert_eq!(connection.read_line(&mut got, 100, SHORT).await, Err(ReadError::TimedOut));
    assert_eq!(got, b"kept ");
    client.write_all(b" and half\r\nnext").await.unwrap();
    connection.read_line(&mut got, 100, LONG).await.unwrap();
    assert_eq!(got, b"kept half and half");
    while connection.buffered().len() < 4 {
        connection.fill(LONG).await.unwrap();
    }
    assert_eq!(connection.buffered(), b"next");
}

#[tokio::test]
async fn end_of_input_is_an_end() {
    let (mut connection, mut client) = pair().await;
    client.write_all(b"no end").await.unwrap();
    drop(client);
    assert_eq!(line(&mut connection, 100).await, Err(ReadError::Closed));
}

#[tokio::test]
async fn idle_connection_holds_no_buffers() {
    let (mut connection, mut client) = pair().await;
    let much = vec![b'x'; 300 << 10];
    let send = async {
        client.write_all(&much).await.unwrap();
        let mut back = vec![0; much.len()];
        client.read_exact(&mut back).await.unwrap();
        client
    };
    let receive = async {
        let mut got = 0;
        while got < much.len() {
            connection.fill(LONG).await.unwrap();
            assert!(connection.buffered().len() <= READ_MAX);
            got += connection.buffered().len();
            connection.consume(usize::MAX);
        }
        connection.write_owned(much.clone());
        connection.flush(LONG).await.unwrap();
        connection
    };
    let (client, mut connection) = tokio::join!(send, receive);
    assert_eq!(connection.unsent(), 0);
    assert!(connection.output.capacity() <= BUFFER_KEPT);
    assert_eq!(connection.fill(SHORT).await, Err(ReadError::TimedOut));
    assert_eq!(connection.input.capacity(), 0);
    drop(client);
}

#[tokio::test]
async fn output_keeps_its_order() {
    let (mut connection, mut client) = pair().await;
    connection.write(b"one ");
    connection.write_owned(b"two ".to_vec());
    connection.send(b"three ", LONG).await.unwrap();
    connection.write_owned(b"four".to_vec());
    connection.close(SHORT).await;
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "one two three four");
}

#[tokio::test]
async fn peer_that_does_not_read_is_given_up() {
    let (mut connection, _client) = pair().await;
    connection.write_owned(vec![0; 64 << 20]);
    assert_eq!(connection.flush(SHORT).await, Err(ReadError::TimedOut));
}

#[tokio::test]
async fn last_reply_arrives_though_the_peer_still_sends() {
    let (mut connection, mut client) = pair().await;
    client.write_all(&[b'x'; 100 << 10]).await.unwrap();
    connection.fill(LONG).await.unwrap();
    connection.write(b"421 enough\r\n");
    let close = tokio::spawn(connection.close(LONG));
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "421 enough\r\n");
    drop(client);
    close.await.unwrap();
}
