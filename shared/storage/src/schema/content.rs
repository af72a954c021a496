//! The texts of an item: an event's `data`, and the exact bytes of a `body`.
//!
//! A text above a size is compressed: `compressed` is `data` as zlib (RFC 1950), `compressedbody`
//! is `body` as zlib. If an item would be too large for DynamoDB, both are compressed, whatever
//! their size, and are in chunks: `compressed` and after it `compressedbody`, cut into pieces. For
//! an item without `data`, the first is the compressed empty text. The item then has `chunks`, their number, and `chunkhash`, the hash in their keys. It is put after
//! all of its chunks, so that an incomplete record is not visible.
//!
//! A chunk belongs to one item and to one sequence of bytes. Two writers of one record with
//! different bytes (a retry with different white space) never mix their chunks, and removing a
//! record finds the chunks of every writer in one partition.

use super::{ChunkItem, Head, Item, ItemError, Key, Kind, attribute, from_item, key, to_item};
use flate2::{Compression, bufread::ZlibDecoder, write::ZlibEncoder};
use models::{Timestamp, hash};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::io::{Read, Write};

/// Maximum size of an item's texts in bytes. DynamoDB accepts items of 409,600 bytes; the rest is
/// for the other attributes.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub(super) const MAX_CONTENT_BYTES: usize = 390_000;
/// Size in bytes above which a text is compressed fast: several megabytes must not use up the time
/// for a response. The result is at most a third larger.
const FAST_ABOVE_BYTES: usize = 100_000;
/// Maximum size of a decompressed text in bytes. Lambda accepts a request of 6 MB, and JSON writes a
/// byte of it as six at most.
const MAX_TEXT_BYTES: u64 = 40_000_000;
/// Maximum size of the bytes in one chunk.
pub const MAX_CHUNK_BYTES: usize = 380_000;

/// The texts of a record.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) data: Option<String>,
    pub(super) body: Option<Vec<u8>>,
}

impl Texts {
    pub(super) fn from_body(bytes: Vec<u8>) -> Self {
        Self {
            data: None,
            body: Some(bytes),
        }
    }
}

/// The attributes that hold the texts of an item, or say where they are.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compressed: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compressedbody: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunkhash: Option<String>,
}

impl Content {
    /// Makes texts fit into an item: as they are, compressed, or in chunks, which are returned
    /// too.
    pub(super) fn new(
        texts: Texts,
        owner: &Key,
        arrival: Timestamp,
        expires: Option<i64>,
        compress_above: usize,
    ) -> (Vec<Item>, Self) {
        let mut content = Self {
            data: texts.data,
            body: texts.body.map(ByteBuf::from),
            ..Self::default()
        };
        content.compress_above(compress_above);
        if content.len() > MAX_CONTENT_BYTES {
            content.compress_above(0);
        }
        if content.len() <= MAX_CONTENT_BYTES {
            return (Vec::new(), content);
        }
        let data = content.compressed.map(ByteBuf::into_vec);
        let mut bytes = data.unwrap_or_else(|| compress(b""));
        bytes.extend(content.compressedbody.unwrap_or_default().into_vec());
        let hash = hash(&[&bytes]);
        let chunks: Vec<Item> = bytes
            .chunks(MAX_CHUNK_BYTES)
            .enumerate()
            .map(|(number, bytes)| {
                to_item(&ChunkItem {
                    head: Head::new(chunk_key(owner, &hash, number), Kind::Chunk, expires),
                    arrival: Some(arrival),
                    compressed: ByteBuf::from(bytes),
                })
            })
            .collect();
        let content = Self {
            chunks: Some(chunks.len()),
            chunkhash: Some(hash),
            ..Self::default()
        };
        (chunks, content)
    }

    fn compress_above(&mut self, limit: usize) {
        if let Some(data) = self.data.take_if(|data| data.len() > limit) {
            self.compressed = Some(ByteBuf::from(compress(data.as_bytes())));
        }
        if let Some(body) = self.body.take_if(|body| body.len() > limit) {
            self.compressedbody = Some(ByteBuf::from(compress(&body)));
        }
    }

    /// The size of the texts as they are stored, in bytes.
    fn len(&self) -> usize {
        let bytes = [&self.compressed, &self.body, &self.compressedbody];
        let bytes: usize = bytes.into_iter().flatten().map(|bytes| bytes.len()).sum();
        bytes + self.data.as_ref().map_or(0, String::len)
    }

    /// Restores the texts. `chunks` are the item's chunks in order, if it has any.
    ///
    /// # Errors
    /// [`ItemError::Chunks`] and [`ItemError::Malformed`].
    pub(super) fn into_texts(self, chunks: Vec<Item>) -> Result<Texts, ItemError> {
        if let Some(hash) = self.chunkhash {
            return from_chunks(&hash, chunks);
        }
        let data = match self.compressed {
            Some(compressed) => Some(utf8(decompress(&mut &compressed[..])?)?),
            None => self.data,
        };
        let body = match self.compressedbody {
            Some(compressed) => Some(decompress(&mut &compressed[..])?),
            None => self.body.map(ByteBuf::into_vec),
        };
        Ok(Texts { data, body })
    }

    /// Restores `data`, if it is not in chunks and not longer than a limit in bytes. Decompresses no
    /// more than the limit.
    ///
    /// # Errors
    /// [`ItemError::Malformed`].
    pub(super) fn into_data_up_to(self, limit: usize) -> Result<Option<String>, ItemError> {
        if self.chunkhash.is_some() {
            return Ok(None);
        }
        let Some(compressed) = self.compressed else {
            let data = self.data.ok_or(ItemError::Malformed)?;
            return Ok(Some(data).filter(|data| data.len() <= limit));
        };
        let data = decompress_up_to(limit as u64 + 1, &mut &compressed[..])?;
        let data = Some(data).filter(|data| data.len() <= limit);
        data.map(utf8).transpose()
    }
}

/// Restores the texts from chunks: `data`, and after it `body` if the item has one.
fn from_chunks(hash_in_keys: &str, chunks: Vec<Item>) -> Result<Texts, ItemError> {
    let mut bytes = Vec::new();
    for item in chunks {
        let chunk: ChunkItem = from_item(item)?;
        bytes.extend(chunk.compressed.into_vec());
    }
    if hash(&[&bytes]) != hash_in_keys {
        return Err(ItemError::Chunks);
    }
    let mut rest = &*bytes;
    let data = Some(utf8(decompress(&mut rest)?)?);
    let body = if rest.is_empty() {
        None
    } else {
        Some(decompress(&mut rest)?)
    };
    Ok(Texts { data, body })
}

/// Whether an item is a chunk of another one.
#[must_use]
pub fn is_chunk(item: &Item) -> bool {
    Kind::of(item) == Ok(Kind::Chunk)
}

/// Returns the partition key of all chunks of all items in a partition.
fn chunks_pk(pk: &str) -> String {
    format!("{pk}#chunks")
}

/// Returns the key of one chunk of an item. Neither a hash nor a number contains `#`, so each
/// chunk's key has one owner.
fn chunk_key(owner: &Key, hash: &str, number: usize) -> Key {
    Key {
        pk: chunks_pk(&owner.pk),
        sk: format!("{}#{hash}#{number:04}", owner.sk),
    }
}

/// Returns the partition key of all chunks that any writer put for an item, and the prefix of their
/// sort keys.
#[must_use]
pub fn chunk_prefix(owner: &Key) -> Key {
    Key {
        pk: chunks_pk(&owner.pk),
        sk: format!("{}#", owner.sk),
    }
}

/// Whether the key of a chunk belongs to the item with the key `owner`.
#[must_use]
pub fn is_owned_by(chunk: &Key, owner: &Key) -> bool {
    chunk_owner(chunk).as_ref() == Some(owner)
}

/// Returns the key of the item that a chunk belongs to. `None` for a key of another form.
#[must_use]
pub fn chunk_owner(chunk: &Key) -> Option<Key> {
    let (with_hash, _number) = chunk.sk.rsplit_once('#')?;
    let (sk, _hash) = with_hash.rsplit_once('#')?;
    Some(Key {
        pk: chunk.pk.strip_suffix("#chunks")?.to_owned(),
        sk: sk.to_owned(),
    })
}

/// Returns the keys of an item's chunks, in order. Empty for an item without chunks.
#[must_use]
pub fn chunk_keys(item: &Item) -> Vec<Key> {
    let Some(hash) = attribute(item, "chunkhash") else {
        return Vec::new();
    };
    let count = item.get("chunks").and_then(|count| count.as_n().ok());
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let owner = key(item);
    (0..count)
        .map(|number| chunk_key(&owner, hash, number))
        .collect()
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let level = if bytes.len() > FAST_ABOVE_BYTES {
        Compression::fast()
    } else {
        Compression::default()
    };
    let mut zlib = ZlibEncoder::new(Vec::new(), level);
    // Writing to memory does not fail.
    zlib.write_all(bytes).ok();
    zlib.finish().unwrap_or_default()
}

/// Decompresses one zlib stream, and leaves what is behind it.
fn decompress(bytes: &mut &[u8]) -> Result<Vec<u8>, ItemError> {
    decompress_up_to(MAX_TEXT_BYTES, bytes)
}

/// Decompresses the first bytes of one zlib stream.
fn decompress_up_to(limit: u64, bytes: &mut &[u8]) -> Result<Vec<u8>, ItemError> {
    let mut text = Vec::new();
    ZlibDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut text)
        .map_err(|_| ItemError::Malformed)?;
    Ok(text)
}

fn utf8(bytes: Vec<u8>) -> Result<String, ItemError> {
    String::from_utf8(bytes).map_err(|_| ItemError::Malformed)
}
