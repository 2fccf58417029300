//! What clients and nodes say to each other, and how it becomes bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::ClientId;
use crate::kv::{Command, Reply};

/// The most that a client may ask at once, in bytes: all keys and values of a command together, and the
/// few bytes that say what they are. More is refused with [`Reply::TooLong`], by the client library before
/// anything is sent, and by a node that is sent it all the same.
pub const REQUEST_LEN_MAX: usize = 1 << 20;

/// Whether a command is more than a client may ask at once.
pub fn is_too_long(command: &Command) -> bool {
    encode(command).len() > REQUEST_LEN_MAX
}

/// What a client asks of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The client's session, or 0 where it asks for one to be opened.
    pub session: u64,
    /// The number of the request in its session, from 1 on. A retry carries the same number, and
    /// the store applies it once.
    pub sequence: u64,
    /// How far the client has seen: the greatest position of the answers that it got; 0 before the
    /// first.
    pub seen: u64,
    /// What is asked.
    pub command: Command,
}

/// Everything that travels, between nodes (`M` is the protocol's message) and to and from clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame<M> {
    /// From node to node.
    Peer(M),
    /// From node to node: an answer for a client of the receiver.
    Relay {
        /// The client, as the receiver knows it.
        client: ClientId,
        /// The request that is answered.
        sequence: u64,
        /// The answer.
        reply: Reply,
        /// How far in the order of the mode it goes.
        position: u64,
    },
    /// From client to node.
    Request(Request),
    /// From node to client.
    Response {
        /// The request that is answered.
        sequence: u64,
        /// The answer.
        reply: Reply,
        /// How far in the order of the mode it goes.
        position: u64,
    },
}

/// Turns a frame into bytes.
///
/// # Panics
/// Never for the types of this crate: they all have a length that is known beforehand.
pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    postcard::to_stdvec(frame).expect("frames contain no types that postcard refuses")
}

/// Reads a frame.
///
/// # Errors
/// Where the bytes are not exactly one frame of this type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    let (frame, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(frame) } else { Err(postcard::Error::DeserializeUnexpectedEnd) }
}

/// Several texts of bytes, each written and read as a whole and not byte by byte; the bytes are the same.
pub(crate) mod each {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    pub(crate) fn serialize<'a, T, S>(texts: &'a T, serializer: S) -> Result<S::Ok, S::Error>
    where
        &'a T: IntoIterator<Item = &'a Vec<u8>, IntoIter: ExactSizeIterator>,
        S: Serializer,
    {
        serializer.collect_seq(texts.into_iter().map(|text| Bytes::new(text)))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromIterator<Vec<u8>>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<ByteBuf>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(ByteBuf::into_vec).collect())
    }
}
