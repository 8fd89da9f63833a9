//! A file over HTTP: resumed where it stopped, and believed only if its SHA-256 is right.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use striate::{Error, ErrorKind, Result};
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::progress::Transfer;
use crate::stop;

const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
const PIECE: usize = 1 << 16;
// A connection that breaks is taken up again so many times.
const ATTEMPTS: u32 = 4;

/// Where something is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A web address.
    Url(String),
}

impl Source {
    /// What the user gave, else the mirror that `STRIATE_MIRROR` names, else the address itself.
    pub fn of(given: Option<&str>, url: &str) -> Result<Self> {
        if let Some(from) = given {
            return Self::parse(from);
        }
        match std::env::var("STRIATE_MIRROR") {
            Ok(mirror) if !mirror.is_empty() => {
                let path =
                    url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
                Self::parse(&format!("{}/{path}", mirror.trim_end_matches('/'))).map_err(|e| e.within("STRIATE_MIRROR"))
            }
            _ => Self::parse(url),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text.split_once("://") {
            None => Ok(Self::File(text.into())),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("http" | "https", _)) => Ok(Self::Url(text.into())),
            Some((other, _)) => Err(Error::argument(format!("'{other}://' is not a way to fetch '{text}'"))
                .with_help("give an address that begins with https:// or http://, or a file")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// What must come.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    /// Its length.
    pub bytes: u64,
    /// Its checksum, 64 hex digits.
    pub sha256: &'static str,
}

/// The SHA-256 of these bytes, as 64 hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The SHA-256 of a file.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    std::fs::read(path).map(|bytes| sha256(&bytes))
}

/// The content of a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let broken = |e: &io::Error| Error::io(path, "read", e);
    let file = File::open(path).map_err(|e| broken(&e))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(path, format!("it is larger than the {limit} bytes that were expected")));
    }
    Ok(bytes)
}

/// What `url` gives. What has come is kept in the file `part` until all is there, and a later call goes on from it.
pub fn url(url: &str, part: &Path, expect: &Expect, title: &str) -> Result<Vec<u8>> {
    let mut file = open(part)?;
    let agent = agent()?;
    let mut show = Transfer::new(title, expect.bytes);
    let mut attempt = 1;
    loop {
        let have = file.seek(SeekFrom::End(0)).map_err(|e| Error::io(part, "read", &e))?;
        match have.cmp(&expect.bytes) {
            Ordering::Equal => break,
            // Something else was left there.
            Ordering::Greater => {
                file.set_len(0).map_err(|e| Error::io(part, "write", &e))?;
                continue;
            }
            Ordering::Less => {}
        }
        match receive(&agent, url, &mut file, have, expect, &mut show) {
            Ok(()) => {}
            Err(Broken::Connection(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(Duration::from_millis(200 * u64::from(attempt)));
            }
            Err(Broken::Connection(what)) => return Err(interrupted(url, &what, part)),
            Err(Broken::ForGood(error)) => return Err(error),
            Err(Broken::Disk(e)) => return Err(Error::io(part, "write", &e)),
        }
    }
    show.finish();
    let bytes = read(part, expect.bytes)?;
    let found = sha256(&bytes);
    if found != expect.sha256 {
        // Going on from bytes that are wrong would never end well.
        let _ = std::fs::remove_file(part);
        return Err(Error::new(
            ErrorKind::Format,
            format!("{url} gave {} bytes with the SHA-256 {found}, and {} was expected", bytes.len(), expect.sha256),
        )
        .with_help("what came was thrown away; a proxy or mirror may have changed it"));
    }
    Ok(bytes)
}

// The file that is being filled, and nobody else's.
fn open(part: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(part);
    let file = file.map_err(|e| Error::io(part, "write", &e))?;
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::argument(format!("{} is being downloaded by another process", part.display()))
                .with_help("wait until it is done"))
        }
        // Some file systems know no locks.
        _ => Ok(file),
    }
}

fn interrupted(url: &str, what: &str, part: &Path) -> Error {
    let have = std::fs::metadata(part).map_or(0, |m| m.len());
    let error = Error::new(ErrorKind::Io, format!("{url}: {what}"));
    if have == 0 {
        error
    } else {
        error.with_help(format!("{have} bytes are kept, and the next try goes on from there"))
    }
}

enum Broken {
    /// Another try may help.
    Connection(String),
    /// It will not.
    ForGood(Error),
    Disk(io::Error),
}

// One request, for what is still missing.
fn receive(
    agent: &Agent,
    url: &str,
    file: &mut File,
    have: u64,
    expect: &Expect,
    show: &mut Transfer,
) -> Result<(), Broken> {
    let request = agent.get(url);
    let request = if have > 0 { request.header("Range", format!("bytes={have}-")) } else { request };
    let response = request.call().map_err(|e| broken(url, e))?;
    let have = start(url, &response, file, have)?;
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; PIECE];
    let mut done = have;
    show.start(done);
    while done < expect.bytes {
        if stop::asked() {
            let help = "the same command goes on from what has come";
            let stopped = Error::new(ErrorKind::Stopped, format!("stopped after {done} of {} bytes", expect.bytes));
            return Err(Broken::ForGood(stopped.with_help(help)));
        }
        let n = reader.read(&mut buffer).map_err(|e| Broken::Connection(format!("the connection broke: {e}")))?;
        if n == 0 {
            return Err(Broken::Connection(format!("the connection ended after {done} of {} bytes", expect.bytes)));
        }
        let n = n.min((expect.bytes - done) as usize);
        file.write_all(&buffer[..n]).map_err(Broken::Disk)?;
        done += n as u64;
        show.show(done);
    }
    Ok(())
}

// From which byte on the answer is; a server that knows no ranges begins anew.
fn start(url: &str, response: &Response<Body>, file: &mut File, have: u64) -> Result<u64, Broken> {
    let status = response.status().as_u16();
    let range = response.headers().get("content-range").and_then(|v| v.to_str().ok()).unwrap_or_default();
    match status {
        206 if range.starts_with(&format!("bytes {have}-")) => Ok(have),
        200 | 206 | 416 if have > 0 || status == 200 => {
            file.set_len(0).map_err(Broken::Disk)?;
            if status == 200 { Ok(0) } else { Err(Broken::Connection(format!("the answer {status} does not go on"))) }
        }
        500..=599 | 429 => Err(Broken::Connection(format!("the server answers {status}"))),
        _ => Err(Broken::ForGood(Error::new(ErrorKind::Io, format!("{url}: the server answers {status}")))),
    }
}

fn broken(url: &str, error: ureq::Error) -> Broken {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Broken::ForGood(Error::argument(format!("'{url}' is not a web address: {error}")))
        }
        // A certificate that is not believed today will not be in a second.
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            let error = Error::new(ErrorKind::Io, format!("{url}: the connection is not secure: {error}"));
            Broken::ForGood(error.with_help("behind a proxy with a certificate of its own, set SSL_CERT_FILE to it"))
        }
        other => Broken::Connection(other.to_string()),
    }
}

// Proxies are those of the environment (HTTPS_PROXY and its kin); so is an additional certificate file.
fn agent() -> Result<Agent> {
    let roots = match std::env::var_os("SSL_CERT_FILE").filter(|v| !v.is_empty()) {
        Some(file) => certificates(Path::new(&file))?,
        None => RootCerts::WebPki,
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .user_agent(concat!("striate/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    Ok(config.build().into())
}

fn certificates(path: &Path) -> Result<RootCerts> {
    let pem = std::fs::read(path).map_err(|e| Error::io(path, "read", &e).within("SSL_CERT_FILE"))?;
    let items = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<Certificate<'static>> = items.collect();
    if found.is_empty() {
        return Err(Error::format(path, "it holds no certificate").within("SSL_CERT_FILE"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
pub mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A folder that goes away with the value.
    pub struct Folder(PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("striate-fetch-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// What a server does wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        None,
        /// It hangs up after so many bytes of each answer.
        Cut(usize),
        /// It knows no ranges.
        NoRange,
        Status(u16),
    }

    /// A server on this machine that has one file.
    pub struct Server {
        port: u16,
        ranges: Arc<Mutex<Vec<Option<usize>>>>,
    }

    impl Server {
        pub fn new(content: Vec<u8>) -> Self {
            Self::with(content, Fault::None)
        }

        pub fn with(content: Vec<u8>, fault: Fault) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let ranges = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&ranges);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    answer(stream, &content, fault, &log);
                }
            });
            Self { port, ranges }
        }

        pub fn url(&self, name: &str) -> String {
            format!("http://127.0.0.1:{}/files/{name}", self.port)
        }

        /// From which byte on each request asked, in order.
        pub fn requests(&self) -> Vec<Option<usize>> {
            self.ranges.lock().unwrap().clone()
        }
    }

    fn answer(mut stream: TcpStream, content: &[u8], fault: Fault, log: &Mutex<Vec<Option<usize>>>) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
        let range = head.iter().find_map(|line| {
            let value = line.to_ascii_lowercase();
            value.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
        });
        log.lock().unwrap().push(range);
        let from = range.filter(|_| fault != Fault::NoRange);
        let body = &content[from.unwrap_or(0).min(content.len())..];
        let status = match (fault, from) {
            (Fault::Status(code), _) => format!("{code} No\r\nContent-Length: 0\r\n"),
            (_, Some(from)) => {
                let (last, all) = (content.len() - 1, content.len());
                format!("206 Partial\r\nContent-Range: bytes {from}-{last}/{all}\r\nContent-Length: {}\r\n", body.len())
            }
            _ => format!("200 OK\r\nContent-Length: {}\r\n", body.len()),
        };
        let body = match fault {
            Fault::Cut(n) => &body[..n.min(body.len())],
            Fault::Status(_) => &[],
            _ => body,
        };
        let head = format!("HTTP/1.1 {status}Connection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    }

    fn content() -> Vec<u8> {
        (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    fn expect(bytes: &[u8]) -> Expect {
        Expect { bytes: bytes.len() as u64, sha256: Box::leak(sha256(bytes).into_boxed_str()) }
    }

    fn get(server: &Server, part: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
        url(&server.url("x"), part, &expect(bytes), "x")
    }

    #[test]
    fn a_whole_file() {
        let (folder, content) = (Folder::new("whole"), content());
        let server = Server::new(content.clone());
        assert!(get(&server, &folder.path().join("p"), &content).unwrap() == content);
        assert_eq!(server.requests(), [None]);
    }

    #[test]
    fn a_broken_connection_is_taken_up_again() {
        let (folder, content) = (Folder::new("broken"), content());
        let server = Server::with(content.clone(), Fault::Cut(120_000));
        assert!(get(&server, &folder.path().join("p"), &content).unwrap() == content);
        assert_eq!(server.requests(), [None, Some(120_000), Some(240_000)]);
    }

    #[test]
    fn what_has_come_is_kept_for_the_next_time() {
        let (folder, content) = (Folder::new("kept"), content());
        let part = folder.path().join("p");
        let server = Server::with(content.clone(), Fault::Cut(50_000));
        let e = get(&server, &part, &content).unwrap_err();
        assert!(e.help().unwrap().contains("200000 bytes are kept"), "{e}");
        let server = Server::new(content.clone());
        assert!(get(&server, &part, &content).unwrap() == content);
        assert_eq!(server.requests(), [Some(200_000)]);
        // All is there: nobody is asked.
        assert!(get(&server, &part, &content).unwrap() == content);
        assert_eq!(server.requests().len(), 1);
        // Too much is there: it is something else.
        std::fs::write(&part, vec![7; content.len() + 1]).unwrap();
        assert!(get(&server, &part, &content).unwrap() == content);
    }

    #[test]
    fn a_server_that_knows_no_ranges_begins_anew() {
        let (folder, content) = (Folder::new("anew"), content());
        let part = folder.path().join("p");
        std::fs::write(&part, &content[..1000]).unwrap();
        let server = Server::with(content.clone(), Fault::NoRange);
        assert!(get(&server, &part, &content).unwrap() == content);
        assert_eq!(server.requests(), [Some(1000)]);
    }

    #[test]
    fn wrong_bytes_are_thrown_away() {
        let (folder, content) = (Folder::new("wrong"), content());
        let part = folder.path().join("p");
        let mut other = content.clone();
        other[77] ^= 1;
        let e = get(&Server::new(other), &part, &content).unwrap_err().to_string();
        assert!(e.contains("SHA-256") && e.contains(&sha256(&content)), "{e}");
        assert!(!part.exists());
        // A part that was damaged is found at the end, and the next try begins anew.
        std::fs::write(&part, vec![0; 1000]).unwrap();
        let server = Server::new(content.clone());
        assert!(get(&server, &part, &content).is_err());
        assert!(get(&server, &part, &content).unwrap() == content);
    }

    #[test]
    fn servers_that_have_nothing() {
        let (folder, content) = (Folder::new("nothing"), content());
        let part = folder.path().join("p");
        let server = Server::with(content.clone(), Fault::Status(404));
        let e = get(&server, &part, &content).unwrap_err().to_string();
        assert!(e.contains("the server answers 404") && server.requests().len() == 1, "{e}");
        let server = Server::with(content.clone(), Fault::Status(503));
        assert!(get(&server, &part, &content).unwrap_err().to_string().contains("503"));
        assert_eq!(server.requests().len(), 4, "it may be a matter of moments");
        // A port where nobody listens.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let e = url(&format!("http://127.0.0.1:{free}/x"), &part, &expect(&content), "x").unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains(&free.to_string()), "{e}");
        let e = url("http://", &part, &expect(&content), "x").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Argument, "{e}");
    }

    #[test]
    fn two_at_once_do_not_mix() {
        let (folder, content) = (Folder::new("two"), content());
        let part = folder.path().join("p");
        let _mine = open(&part).unwrap();
        let e = get(&Server::new(content.clone()), &part, &content).unwrap_err().to_string();
        assert!(e.contains("another process"), "{e}");
    }

    #[test]
    fn sources_are_told_apart() {
        let parse = |text: &str| Source::parse(text).map(|s| s.to_string()).map_err(|e| e.to_string());
        assert_eq!(Source::parse("a/b.whl").unwrap(), Source::File("a/b.whl".into()));
        assert_eq!(Source::parse("file:///a/b").unwrap(), Source::File("/a/b".into()));
        assert_eq!(parse("https://x/y").unwrap(), "https://x/y");
        assert!(parse("ftp://x/y").unwrap_err().contains("'ftp://'"));
    }

    #[test]
    fn the_checksum_is_sha_256() {
        assert!(sha256(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
