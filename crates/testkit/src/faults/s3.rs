//! A way to an S3 server on which requests and answers go wrong as rules say.
//!
//! It reads HTTP/1.1 as far as it must: heads, and bodies of a known length or in chunks. Heads are handed on as they came, so the
//! signature of the `Host` that the client saw still holds.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};

use super::tcp::{Door, drip, lock};

/// Longest head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server is not asked; this status and error code come back.
    Answer(u16, &'static str),
    /// The server does what it is asked, and its answer never comes.
    LoseAnswer,
    /// The server does what it is asked, and the connection is closed instead of an answer.
    CutAnswer,
    /// So many bytes of the body reach the server, then both connections are closed.
    CutRequest(u64),
    /// One bit of the answer's body, at this place, is another; the status is as it was.
    FlipBit(usize),
    /// Bodies move at so many bytes a second.
    Slow(u64),
}

/// A fault, and the requests that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The method; any when empty.
    pub method: &'static str,
    /// A text that the request's target holds.
    pub target: String,
    /// Requests that go wrong.
    pub times: u32,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// The next requests of a method, whatever their target.
    #[must_use]
    pub fn next(method: &'static str, times: u32, fault: Fault) -> Self {
        Self { method, target: String::new(), times, fault }
    }
}

/// One request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target, query included.
    pub target: String,
    /// What went wrong with it.
    pub fault: Option<Fault>,
}

/// A way to an S3 server. Dropping it closes every connection.
pub struct S3Proxy {
    door: Door,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
}

impl S3Proxy {
    /// Listens on a free port of this machine for requests to a server.
    ///
    /// # Panics
    /// When there is no port or thread to be had.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let working = Arc::clone(&shared);
        let door = Door::open(move |client| {
            let shared = Arc::clone(&working);
            async move { carry(client, server, &shared).await }
        });
        Self { door, shared }
    }

    /// The endpoint for a client's settings.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.door.address)
    }

    /// Adds a rule. The first one that fits decides.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// The requests so far, and forgets them.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.shared.seen))
    }
}

impl Shared {
    fn judge(&self, method: &str, target: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let fits = |rule: &&mut Rule| {
            rule.times > 0
                && (rule.method.is_empty() || rule.method == method)
                && target.contains(&rule.target)
        };
        let fault = rules.iter_mut().find(fits).map(|rule| {
            rule.times -= 1;
            rule.fault.clone()
        });
        let seen = Seen { method: method.to_owned(), target: target.to_owned(), fault: fault.clone() };
        lock(&self.seen).push(seen);
        fault
    }
}

/// A head of HTTP/1.1 (RFC 9112 section 2.1) as it came, with its end.
struct Head(Vec<u8>);

impl Head {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match from.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && head.is_empty() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("a head without end"));
            }
        }
        Ok(Some(Self(head)))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    fn field(&self, name: &str) -> Option<String> {
        self.text().lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        })
    }

    fn word(&self, number: usize) -> String {
        self.text().lines().next().and_then(|line| line.split(' ').nth(number)).unwrap_or_default().to_owned()
    }

    fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }
}

/// Reads a body as it comes over the line, chunk sizes included.
async fn body(head: &Head, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.field("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(from.read_u8().await?);
            }
            let text = String::from_utf8_lossy(&line);
            let size = text.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            body.extend_from_slice(&line);
            let read = from.take(size + 2).read_to_end(&mut body).await?;
            if size == 0 {
                return Ok(body);
            }
            if read as u64 != size + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    let length: u64 = head.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if from.take(length).read_to_end(&mut body).await? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

async fn carry(client: TcpStream, server: SocketAddr, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    let (mut client, mut server) = (BufStream::new(client), BufStream::new(upstream));
    while let Some(head) = Head::read(&mut client).await? {
        let fault = shared.judge(&head.word(0), &head.word(1));
        if head.field("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            client.flush().await?;
        }
        let request = body(&head, &mut client).await?;
        if let Some(Fault::Answer(status, code)) = fault {
            refuse(&mut client, &head, status, code).await?;
            continue;
        }
        server.write_all(&head.0).await?;
        if let Some(Fault::CutRequest(bytes)) = fault {
            let some = request.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            server.write_all(&request[..some]).await?;
            return server.flush().await;
        }
        give(&mut server, &request, &fault).await?;
        let (answer, mut content) = answer(&mut server, &head).await?;
        match fault {
            Some(Fault::LoseAnswer) => {
                std::future::pending::<()>().await;
            }
            Some(Fault::CutAnswer) => return Ok(()),
            Some(Fault::FlipBit(at)) if !content.is_empty() => {
                let at = at % content.len();
                content[at] ^= 1;
            }
            Some(_) | None => {}
        }
        client.write_all(&answer.0).await?;
        give(&mut client, &content, &fault).await?;
    }
    Ok(())
}

async fn give(to: &mut BufStream<TcpStream>, bytes: &[u8], fault: &Option<Fault>) -> io::Result<()> {
    to.flush().await?;
    match fault {
        Some(Fault::Slow(speed)) => drip(to.get_mut(), bytes, *speed).await,
        Some(_) | None => {
            to.write_all(bytes).await?;
            to.flush().await
        }
    }
}

/// The final answer of the server; interim ones (RFC 9110 section 15.2) are passed over.
async fn answer(server: &mut BufStream<TcpStream>, request: &Head) -> io::Result<(Head, Vec<u8>)> {
    loop {
        let head = Head::read(server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if (100..200).contains(&head.status()) {
            continue;
        }
        let has_body = request.word(0) != "HEAD" && !matches!(head.status(), 204 | 304);
        let content = if has_body { body(&head, server).await? } else { Vec::new() };
        return Ok((head, content));
    }
}

/// An error as S3 words it (Amazon S3 API reference, "Error responses").
async fn refuse(
    client: &mut BufStream<TcpStream>,
    request: &Head,
    status: u16,
    code: &str,
) -> io::Result<()> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as told</Message></Error>"
    );
    let head = format!(
        "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes()).await?;
    if request.word(0) != "HEAD" {
        client.write_all(text.as_bytes()).await?;
    }
    client.flush().await
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener as Listener,
        time::Duration,
    };

    use super::*;

    /// How long the client waits before it calls an answer lost.
    const SILENCE: Duration = Duration::from_millis(500);

    /// A server that answers each request with `abc`, and counts what it did.
    fn server() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
        let listener = Listener::bind(("127.0.0.1", 0)).unwrap();
        let (address, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                std::thread::spawn(move || {
                    let mut piece = [0; 4096];
                    while let Ok(length) = stream.read(&mut piece)
                        && length > 0
                    {
                        lock(&kept).extend_from_slice(&piece[..length]);
                        if piece[..length].ends_with(b"END") {
                            let answer =
                                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
                            stream.write_all(answer).unwrap();
                        }
                    }
                });
            }
        });
        (address, got)
    }

    fn put(proxy: &S3Proxy) -> Result<String, io::Error> {
        let mut stream = std::net::TcpStream::connect(proxy.door.address)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.write_all(b"PUT /bucket/key HTTP/1.1\r\nHost: signed\r\nContent-Length: 6\r\n\r\nxyzEND")?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let length = stream.read(&mut piece)?;
            answer.extend_from_slice(&piece[..length]);
            if length == 0 || answer.ends_with(b"0\r\n\r\n") || answer.ends_with(b"</Error>") {
                return Ok(String::from_utf8(answer).unwrap());
            }
        }
    }

    #[test]
    fn requests_go_wrong_as_the_rules_say() {
        let (address, got) = server();
        let proxy = S3Proxy::to(address);
        let taken = || std::mem::take(&mut *lock(&got));
        assert!(put(&proxy).unwrap().ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
        assert!(
            taken().starts_with(b"PUT /bucket/key HTTP/1.1\r\nHost: signed\r\n"),
            "heads stay as they are"
        );

        proxy.add(Rule::next("PUT", 1, Fault::Answer(503, "SlowDown")));
        assert!(put(&proxy).unwrap().contains("<Code>SlowDown</Code>"));
        assert!(taken().is_empty());
        proxy.add(Rule::next("PUT", 1, Fault::CutAnswer));
        assert_eq!(put(&proxy).unwrap(), "");
        assert!(taken().ends_with(b"END"));
        proxy.add(Rule::next("PUT", 1, Fault::LoseAnswer));
        assert_eq!(put(&proxy).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(taken().ends_with(b"END"));
        proxy.add(Rule::next("PUT", 1, Fault::CutRequest(2)));
        assert_eq!(put(&proxy).unwrap(), "");
        proxy.add(Rule::next("PUT", 1, Fault::FlipBit(3)));
        assert!(put(&proxy).unwrap().contains("3\r\n`bc"), "one bit of the body is another");
        proxy.add(Rule::next("GET", 1, Fault::CutAnswer));
        assert!(put(&proxy).unwrap().contains("abc"), "a rule for another method does not strike");
        assert_eq!(proxy.take_seen().iter().filter(|seen| seen.fault.is_some()).count(), 5);
    }
}
