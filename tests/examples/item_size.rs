//! Prints the size of the items that are stored for a Pipedrive deal, the write units of a put, and
//! the price of a million events: the figures of `docs/costs-and-limits.md`.
//!
//! `cargo run --example item_size`

use models::{Delivery, Record, Timestamp};
use providers::PIPEDRIVE;
use storage::{
    Expiry,
    schema::{Item, encode, stamp},
};
use testkit::deal;

/// Dollars a million: a write unit, and everything that does not depend on the size (API Gateway,
/// Lambda, logs).
const WRITE_UNIT: f64 = 0.625;
const THE_REST: f64 = 1.73;

fn main() {
    println!(
        "| webhook | body | `CompressAboveBytes` | stored item | write units | DynamoDB | in all |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let sizes = [1_000, 2_000, 3_000, 7_000, 28_000, 100_000];
    let v1 = sizes.map(|bytes| ("v1", deal::v1_of_size(bytes)));
    let v2 = sizes.map(|bytes| ("v2", deal::of_size(bytes)));
    for (version, body) in v1.into_iter().chain(v2) {
        for compress_above in [4096, 1024] {
            let items = items(&body, compress_above);
            let size: usize = items.iter().map(size).sum();
            let units: usize = items.iter().map(write_units).sum();
            let dynamodb = f64::from(u32::try_from(units).expect("few units")) * WRITE_UNIT;
            println!(
                "| {version} | {:.1} KB | {compress_above} | {:.1} KB | {} + 1 | ${dynamodb:.2} | **${:.2}** |",
                kilobytes(body.len()),
                kilobytes(size),
                units - 1,
                dynamodb + THE_REST
            );
        }
    }
}

fn kilobytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).expect("a few bytes")) / 1_000.0
}

fn items(body: &str, compress_above: usize) -> Vec<Item> {
    let now = Timestamp::from_epoch(1_795_255_200).expect("a time in range");
    let mut delivery = Delivery::new(body.into(), now, "JKJaXmPLvHcESHA=");
    delivery.origin.gateway_id = Some("JKJaXmPLvHcESHA=".to_owned());
    delivery.origin.content_type = Some("application/json".to_owned());
    delivery.origin.credential = Some("main".to_owned());
    let parsed = (PIPEDRIVE.parse)(&delivery);
    let records = Record::from_delivery(PIPEDRIVE.name, &delivery, parsed).into_iter();
    let mut items: Vec<Item> = records
        .flat_map(|record| encode(record, Expiry::same(None), compress_above))
        .collect();
    for item in &mut items {
        stamp(item, now);
    }
    items
}

/// The size of an item as DynamoDB counts it: names and values, in bytes. A number takes a byte for
/// two digits, and one more.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn size(item: &Item) -> usize {
    let mut bytes = 0;
    for (name, value) in item {
        bytes += name.len();
        bytes += match (value.as_s(), value.as_n(), value.as_b()) {
            (Ok(text), _, _) => text.len(),
            (_, Ok(digits), _) => digits.len().div_ceil(2) + 1,
            (_, _, Ok(bytes)) => bytes.as_ref().len(),
            _ => 1,
        };
    }
    bytes
}

/// One write unit for each KB begun of an item, and one for an event's entry in the index.
fn write_units(item: &Item) -> usize {
    size(item).div_ceil(1024) + usize::from(item.contains_key("hourshard"))
}
