//! An HTTP hook that answers at once, or after the milliseconds of its argument: what `benches/hooks` measures against.
//! It prints its port and runs until it is killed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: &str = r#"{"verdict":"accept"}"#;

fn main() {
    let pause = std::env::args().find_map(|argument| argument.parse().ok()).map(Duration::from_millis);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        println!("{}", listener.local_addr().expect("an address").port());
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, pause));
        }
    });
}

/// Answers each request with the same.
async fn serve(mut stream: TcpStream, pause: Option<Duration>) {
    let _ = stream.set_nodelay(true);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
    let (mut buffer, mut have) = (vec![0; 1 << 20], 0);
    loop {
        while let Some(length) = request(&buffer[..have]) {
            buffer.copy_within(length..have, 0);
            have -= length;
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut buffer[have..]).await {
            Ok(read) if read > 0 => have += read,
            _ => return,
        }
    }
}

/// Octets of the first whole request.
fn request(octets: &[u8]) -> Option<usize> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
    let length = head.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse::<usize>().ok()?;
    (octets.len() >= end + length).then_some(end + length)
}
