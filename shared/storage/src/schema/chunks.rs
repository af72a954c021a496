//! Compression of items that are too large for DynamoDB, and their chunks.
//!
//! `packed` is zlib (RFC 1950) over the length of `data` in eight bytes, little-endian, `data`, and
//! `body`.

use super::{Item, ItemError, Key, attribute, blob, key, take, take_bytes, text};
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use models::hash;
use std::io::{Read, Write};

/// Maximum size of an item that is put uncompressed. DynamoDB accepts 409,600 bytes; the rest is
/// for the attributes that [`super::stamp`] adds.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MAX_ITEM_BYTES: usize = 400_000;
/// Maximum size of `packed` in one item, which is a record or a chunk.
pub const MAX_CHUNK_BYTES: usize = 380_000;

/// Returns the size of an item as DynamoDB counts it: names and values, in bytes.
#[must_use]
pub fn size(item: &Item) -> usize {
    let attributes = item.iter();
    attributes
        .map(|(name, value)| name.len() + value_size(value))
        .sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 0,
    }
}

/// Makes an item fit: returns it as it is, compressed, or after its chunks.
pub(super) fn fit(mut item: Item) -> Vec<Item> {
    if size(&item) <= MAX_ITEM_BYTES {
        return vec![item];
    }
    let compressed = compress(&mut item);
    if compressed.len() <= MAX_CHUNK_BYTES {
        blob(&mut item, "packed", compressed);
        return vec![item];
    }
    let name = hash(&[&compressed]);
    let never_expires = item.contains_key("reason");
    let mut items = Vec::new();
    for (number, bytes) in compressed.chunks(MAX_CHUNK_BYTES).enumerate() {
        let key = chunk_key(&key(&item), &name, number);
        items.push(chunk(key, bytes, never_expires));
    }
    item.insert(
        "parts".to_owned(),
        AttributeValue::N(items.len().to_string()),
    );
    text(&mut item, "packedhash", name);
    items.push(item);
    items
}

fn chunk(key: Key, bytes: &[u8], never_expires: bool) -> Item {
    let mut item = Item::new();
    text(&mut item, "pk", key.pk);
    text(&mut item, "sk", key.sk);
    text(&mut item, "kind", CHUNK.to_owned());
    if never_expires {
        // Like the quarantined delivery that the chunk belongs to.
        text(&mut item, "stays", "quarantine".to_owned());
    }
    blob(&mut item, "packed", bytes.to_vec());
    item
}

/// The `kind` of a chunk. No other item has it.
const CHUNK: &str = "chunk";

/// Whether an item is a chunk of another one. That depends on its `kind` and not on its key: a
/// sender chooses subjects, and with them partition keys.
#[must_use]
pub fn is_chunk(item: &Item) -> bool {
    attribute(item, "kind") == Some(CHUNK)
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
    let mut from_the_end = chunk.sk.rsplitn(3, '#');
    let (Some(_number), Some(_hash), Some(sk)) = (
        from_the_end.next(),
        from_the_end.next(),
        from_the_end.next(),
    ) else {
        return false;
    };
    chunk.pk == chunks_pk(&owner.pk) && sk == owner.sk
}

/// Returns the keys of an item's chunks, in order. Empty for an item without chunks.
#[must_use]
pub fn chunk_keys(item: &Item) -> Vec<Key> {
    let hash = attribute(item, "packedhash").unwrap_or_default();
    let count = item
        .get("parts")
        .and_then(|parts| parts.as_n().ok()?.parse().ok())
        .unwrap_or(0);
    let owner = key(item);
    (0..count)
        .map(|number| chunk_key(&owner, hash, number))
        .collect()
}

fn compress(item: &mut Item) -> Vec<u8> {
    let data = take(item, "data").unwrap_or_default();
    let body = take_bytes(item, "body").unwrap_or_default();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let length = u64::try_from(data.len()).unwrap_or(u64::MAX).to_le_bytes();
    // Writing to memory does not fail.
    [&length, data.as_bytes(), &body]
        .into_iter()
        .try_for_each(|part| zlib.write_all(part))
        .ok();
    zlib.finish().unwrap_or_default()
}

/// Restores `data` and `body` of an item, from its own `packed` or from the `packed` of its chunks,
/// in order.
///
/// # Errors
/// [`ItemError::Attribute`]: the chunks are incomplete, or do not match the item.
pub fn decompress(item: &mut Item, chunks: Vec<Item>) -> Result<(), ItemError> {
    const BROKEN: ItemError = ItemError::Attribute("packed");
    if !item.contains_key("packed") && !item.contains_key("parts") {
        return Ok(());
    }
    let mut compressed = take_bytes(item, "packed").unwrap_or_default();
    for mut chunk in chunks {
        compressed.extend(take_bytes(&mut chunk, "packed")?);
    }
    if item.remove("parts").is_some() && hash(&[&compressed]) != take(item, "packedhash")? {
        return Err(BROKEN);
    }
    let mut bytes = Vec::new();
    ZlibDecoder::new(&*compressed)
        .read_to_end(&mut bytes)
        .map_err(|_| BROKEN)?;
    let (length, rest) = bytes.split_first_chunk().ok_or(BROKEN)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| BROKEN)?;
    let (data, body) = rest.split_at_checked(length).ok_or(BROKEN)?;
    if !data.is_empty() {
        text(
            item,
            "data",
            String::from_utf8(data.to_vec()).map_err(|_| BROKEN)?,
        );
    }
    if !body.is_empty() {
        blob(item, "body", body.to_vec());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{decode, encode, is_event};
    use models::{
        Body, Delivery, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, Origin, ParseError, Record, Timestamp,
    };
    use serde_json::json;

    /// Bytes that zlib cannot compress.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56).to_le_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn quarantined(body: Vec<u8>) -> Vec<Item> {
        let delivery = Delivery {
            body,
            content_type: None,
            arrival: Timestamp::from_epoch(1_795_255_200).unwrap(),
            request_id: "r-1".to_owned(),
        };
        let mut records = Record::from_delivery("closer", &delivery, Err(ParseError::NoEvent));
        encode(records.pop().unwrap())
    }

    fn body(mut items: Vec<Item>) -> Vec<u8> {
        let mut head = items.pop().unwrap();
        decompress(&mut head, items).unwrap();
        match decode(head).unwrap() {
            Record::Quarantined { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_item_of_any_size_fits_and_is_had_back() {
        let overhead = size(&quarantined(Vec::new())[0]);
        let whole = MAX_ITEM_BYTES - overhead;
        for (bytes, items) in [
            (0, 1),
            (whole, 1),
            (whole + 1, 3),
            (MAX_CHUNK_BYTES * 3, 5),
            (6_000_000, 17),
        ] {
            let stored = quarantined(noise(bytes));
            assert_eq!(stored.len(), items, "{bytes} bytes");
            assert!(
                stored.iter().all(|item| size(item) <= MAX_ITEM_BYTES),
                "{bytes} bytes"
            );
            assert_eq!(body(stored), noise(bytes), "{bytes} bytes");
        }
        let text = "{\"deal\":42}".repeat(400_000).into_bytes();
        let stored = quarantined(text.clone());
        assert_eq!(stored.len(), 1, "4.4 MB of text are packed into one item");
        assert!(stored[0].contains_key("packed") && !stored[0].contains_key("body"));
        assert_eq!(body(stored), text);
    }

    #[test]
    fn parts_stand_apart_and_before_what_they_belong_to() {
        let mut items = quarantined(noise(1_000_000));
        let head = items.pop().unwrap();
        assert!(!is_event(&head) && head.contains_key("reason"));
        assert!(items.iter().all(is_chunk) && !is_chunk(&head));
        let keys: Vec<Key> = items.iter().map(key).collect();
        assert_eq!(keys, chunk_keys(&head));
        assert_eq!(keys.len(), 3);
    }

    #[test]
    fn each_part_has_one_owner() {
        let mut items = quarantined(noise(1_000_000));
        let head = key(&items.pop().unwrap());
        let prefix = chunk_prefix(&head);
        for part in &items {
            let part = key(part);
            assert!(
                part.pk == prefix.pk && part.sk.starts_with(&prefix.sk),
                "a query for the parts finds {part:?}"
            );
            assert!(is_owned_by(&part, &head));
            for other in [
                Key {
                    sk: format!("{}#x", head.sk),
                    ..head.clone()
                },
                Key {
                    sk: head.sk.split_once('#').unwrap().0.to_owned(),
                    ..head.clone()
                },
                Key {
                    pk: format!("{}#x", head.pk),
                    ..head.clone()
                },
            ] {
                assert!(
                    !is_owned_by(&part, &other),
                    "{part:?} is no part of {other:?}"
                );
            }
        }
        assert!(!is_owned_by(&head, &head));
    }

    /// DynamoDB's limits for `pk` and `sk`, in bytes.
    ///
    /// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
    const MAX_PK_BYTES: usize = 2_048;
    const MAX_SK_BYTES: usize = 1_024;

    #[test]
    fn parts_of_the_longest_keys_have_keys_that_dynamodb_takes() {
        let id = "12345678-1234-1234-1234-123456789012";
        let event = json!({
            "specversion": "1.0", "id": id, "source": "s".repeat(MAX_SOURCE_BYTES), "type": "t",
            "subject": "s".repeat(MAX_SUBJECT_BYTES), "time": "2026-11-21T10:00:00.000000Z",
            "datacontenttype": "application/json", "originaltype": "T", "data": {},
        });
        let origin = Origin {
            arrival: Timestamp::from_epoch(1_795_255_200).unwrap(),
            request_id: "r-1".to_owned(),
            content_type: None,
        };
        let event = serde_json::from_str(&event.to_string()).unwrap();
        let mut items = encode(Record::Event {
            event,
            origin,
            body: Body::Here(noise(6_000_000)),
        });
        items.extend(quarantined(noise(6_000_000)));
        assert!(items.iter().filter(|item| is_chunk(item)).count() > 30);
        for key in items.iter().map(key) {
            let (pk, sk) = (key.pk.len(), key.sk.len());
            assert!(
                pk <= MAX_PK_BYTES && sk <= MAX_SK_BYTES,
                "{pk} and {sk} bytes"
            );
        }
    }

    #[test]
    fn what_is_not_whole_is_not_taken_for_it() {
        let mut items = quarantined(noise(1_000_000));
        let mut head = items.pop().unwrap();
        items.swap(0, 1);
        assert_eq!(
            decompress(&mut head.clone(), items.clone()),
            Err(ItemError::Attribute("packed"))
        );
        items.swap(0, 1);
        assert_eq!(
            decompress(&mut head.clone(), items[1..].to_vec()),
            Err(ItemError::Attribute("packed"))
        );
        assert_eq!(decompress(&mut head, items), Ok(()));
    }
}
