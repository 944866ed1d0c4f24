//! Bytes to packets and back.

pub use super::decode::decode;
pub use super::encode::{
    PublishHeader, encode, encode_publish, encode_publish_with, encode_subscribe, encode_unsubscribe,
};

/// The largest packet that the protocol can express: 268,435,455 bytes of content and a header of 5.
pub const MAX_PACKET: u32 = 268_435_460;

/// Who sent the bytes: a packet that this side never sends is an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Sender {
    Client,
    Server,
}
