//! Frames on TCP connections, and links that connect again when a connection breaks.
//!
//! A frame is its length, four bytes little-endian, and its content. The first frame of a connection
//! says who calls; whoever is called says nothing before it has read that. A node says what its cluster has
//! the same in all nodes, too ([`Terms`]): whoever has something else answers with that, and hangs up.
//!
//! Between nodes a frame may be 256 MiB long: a state travels in one piece. What a client asks is at most
//! 1 MiB ([`wire::REQUEST_LEN_MAX`]), so that the message that passes on as many requests as a message
//! takes, 64, always fits. Were the two limits one, a request just under it would be taken on, and what
//! replicates it would be dropped again and again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::log;
use crate::env::{Address, NodeId};
use crate::wire;

/// The longest frame that a node sends, in bytes. What is longer is neither sent nor read.
pub(super) const FRAME_LEN_MAX: usize = 256 << 20;
/// The longest frame that is read from a client, in bytes. It is more than a request may have, so that a
/// client is told so; one that sends more is hung up on.
pub(super) const CLIENT_FRAME_LEN_MAX: usize = 16 << 20;
/// The longest first frame, in bytes: it comes from a stranger.
const GREETING_LEN_MAX: usize = 16 << 10;
/// So many bytes of a frame must go out while patience lasts.
const PIECE_LEN: usize = 1 << 20;
/// Messages that wait for one connection. What comes on top is dropped.
pub(super) const QUEUE_MAX: usize = 1024;
/// What the first frame of a connection begins with; the last byte is the version.
const MAGIC: &[u8; 8] = b"sgnet\0\0\x01";
/// How long connecting, the first frame, or writing one piece of a frame may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of how many nodes it is kept that they have something else.
const TOLD_MAX: usize = 256;
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Who opened a connection, and whom it takes the other end for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hello {
    /// A member of the cluster.
    Node {
        /// Its number.
        from: NodeId,
        /// The number of the node that it means to reach.
        to: NodeId,
        /// What all nodes of its cluster have the same, in words.
        charter: String,
    },
    /// A client, which knows nodes by their addresses only.
    Client,
}

/// What arrives at a node or client, and from whom.
pub(super) type Inbox = mpsc::Sender<(Address, Vec<u8>)>;

/// What a node has in common with everyone whom it talks to, and with whom it turned out not to.
#[derive(Debug)]
pub(super) struct Terms {
    id: NodeId,
    /// What all nodes of its cluster have the same, in words.
    charter: String,
    /// What others had instead, of whom that was said.
    told: RefCell<BTreeMap<NodeId, String>>,
}

impl Terms {
    pub(super) fn new(id: NodeId, charter: String) -> Rc<Terms> {
        Rc::new(Terms { id, charter, told: RefCell::default() })
    }

    /// Whether a node has what this one has. Where it has not, that is said once, until it has something else.
    pub(super) fn fit(&self, peer: NodeId, charter: &str) -> bool {
        let mut told = self.told.borrow_mut();
        if charter == self.charter {
            told.remove(&peer);
            return true;
        }
        let news = told.get(&peer).is_none_or(|known| known != charter);
        // Strangers may call themselves anything: not all that they say is kept.
        if news && (told.len() < TOLD_MAX || told.contains_key(&peer)) {
            told.insert(peer, charter.to_owned());
            let (id, own) = (self.id, &self.charter);
            let other = charter.escape_debug();
            log(format_args!(
                "{id} does not talk to {peer}: {id} has {own}, and {peer} has {other}; start all nodes of \
                 a cluster with the same mode, settings and first nodes"
            ));
        }
        false
    }
}

/// Who opens a connection.
#[derive(Debug)]
pub(super) enum Caller {
    /// A node, and what the other end must have the same.
    Node(Rc<Terms>),
    /// A client, and what it knows of the other end.
    Client(Rc<Cell<Heard>>),
}

/// What a client knows of a node that it asks, by what happened last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    /// It was not asked yet.
    Nothing,
    /// There is no connection.
    NoConnection,
    /// There is a connection, and no answer to what was sent last.
    NoAnswer,
    /// It answered what was sent last.
    Answer,
}

/// One end's way to send to an address. Connects when there is something to send.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the other end listens.
    pub(super) address: String,
    /// Who it is.
    pub(super) peer: NodeId,
    /// Who this end is.
    pub(super) caller: Caller,
    /// Where what the other end says goes.
    pub(super) inbox: Inbox,
}

impl Link {
    /// Sends what is queued, until nobody can queue anything any more.
    ///
    /// A message is lost where there is no connection, or the connection breaks: whoever sends must
    /// count on that anyway, and news that waited for long are no news.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Vec<u8>>) {
        let mut back_off = BACK_OFF_MIN;
        while let Some(first) = queue.recv().await {
            let began = Instant::now();
            // Why a connection ended makes no difference to what is done about it.
            let _ = self.talk(first, &mut queue).await;
            // A node that hangs up at once (it is not who it is taken for) must not be called
            // without a break.
            back_off = if began.elapsed() > BACK_OFF_MAX {
                BACK_OFF_MIN
            } else {
                (back_off * 2).min(BACK_OFF_MAX)
            };
            sleep(back_off).await;
            while queue.try_recv().is_ok() {}
        }
    }

    /// Connects, and sends until the connection breaks.
    async fn talk(&self, first: Vec<u8>, queue: &mut mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
        self.heard(Heard::NoConnection);
        let stream = patiently(TcpStream::connect(&self.address)).await?;
        // Where nothing listens on an address of this machine, the system may give that same address
        // to the caller, who then talks to itself, and keeps the node from ever listening there.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.heard(Heard::NoAnswer);
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        write_frame(&mut writer, &greeting(&self.hello())).await?;
        write_frame(&mut writer, &first).await?;
        // Reading ends when the other end does: without it, a broken connection would be noticed
        // one lost message later.
        tokio::select! {
            done = send_all(&mut writer, queue) => done,
            done = self.listen(&mut reader) => done,
        }
    }

    /// What is said first.
    fn hello(&self) -> Hello {
        match &self.caller {
            Caller::Node(terms) => {
                Hello::Node { from: terms.id, to: self.peer, charter: terms.charter.clone() }
            }
            Caller::Client(_) => Hello::Client,
        }
    }

    fn heard(&self, what: Heard) {
        if let Caller::Client(heard) = &self.caller {
            heard.set(what);
        }
    }

    /// Takes in what the other end says. To a node that calls, it says nothing but what it has that the
    /// caller has not: everything else goes over the connection that it opens itself.
    async fn listen(&self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let Caller::Node(terms) = &self.caller else {
            return receive_all(reader, Address::Node(self.peer), &self.inbox).await;
        };
        let charter = read_frame(reader, GREETING_LEN_MAX).await?;
        terms.fit(self.peer, &String::from_utf8_lossy(&charter));
        Ok(())
    }
}

/// Sends everything that is queued.
pub(super) async fn send_all(
    writer: &mut (impl AsyncWrite + Unpin),
    queue: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        write_frame(writer, &bytes).await?;
    }
    Ok(())
}

/// Takes in everything that arrives. A full inbox slows the sender down.
pub(super) async fn receive_all(
    reader: &mut (impl AsyncRead + Unpin),
    from: Address,
    inbox: &Inbox,
) -> io::Result<()> {
    let len_max = match from {
        Address::Node(_) => FRAME_LEN_MAX,
        Address::Client(_) => CLIENT_FRAME_LEN_MAX,
    };
    loop {
        let bytes = read_frame(reader, len_max).await?;
        if inbox.send((from, bytes)).await.is_err() {
            return Ok(());
        }
    }
}

/// Tells a node that called what this one has, and hangs up when the caller has, which it does when it has read
/// that. Were the connection closed while something of the caller's is unread, the system might break it
/// off, and the caller might never read why.
pub(super) async fn turn_away(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    terms: &Terms,
) -> io::Result<()> {
    write_frame(writer, terms.charter.as_bytes()).await?;
    writer.shutdown().await?;
    patiently(tokio::io::copy(reader, &mut tokio::io::sink())).await.map(drop)
}

/// Reads who opened a connection.
pub(super) async fn read_greeting(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Hello> {
    let stranger = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the caller speaks otherwise, or another version",
        )
    };
    let frame = patiently(read_frame(reader, GREETING_LEN_MAX)).await?;
    let hello = frame.strip_prefix(MAGIC).ok_or_else(stranger)?;
    wire::decode(hello).map_err(|_| stranger())
}

fn greeting(hello: &Hello) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    frame.extend_from_slice(&wire::encode(hello));
    frame
}

async fn write_frame(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    debug_assert!(bytes.len() <= FRAME_LEN_MAX, "whoever queues a message looks at its length");
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let (first, rest) = bytes.split_at(bytes.len().min(PIECE_LEN));
    let mut piece = Vec::with_capacity(4 + first.len());
    piece.extend_from_slice(&len.to_le_bytes());
    piece.extend_from_slice(first);
    patiently(writer.write_all(&piece)).await?;
    for piece in rest.chunks(PIECE_LEN) {
        patiently(writer.write_all(piece)).await?;
    }
    Ok(())
}

async fn read_frame(reader: &mut (impl AsyncRead + Unpin), len_max: usize) -> io::Result<Vec<u8>> {
    let len = reader.read_u32_le().await? as usize;
    if len > len_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    // The room grows with what arrives: nobody must get 256 MiB for four bytes.
    let mut bytes = Vec::new();
    reader.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
