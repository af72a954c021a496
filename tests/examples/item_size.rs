//! Prints the size of the items that are stored for a body, and the write units that a put costs:
//! the figures of `docs/costs-and-limits.md`.
//!
//! `cargo run --example item_size -- pipedrive FILE...`

use models::{Delivery, Record, Timestamp};
use std::{env, fs};
use storage::{
    Expiry,
    schema::{Item, encode, stamp},
};
use testkit::house::provider;

fn main() {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().expect("the name of a provider");
    let provider = provider(&name);
    println!(
        "{:>10} {:>14} {:>10} {:>11}",
        "body", "compress above", "items", "write units"
    );
    for file in arguments {
        let body = fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        for compress_above in [usize::MAX, 4096, 1024] {
            let items = items(&provider, body.clone(), compress_above);
            let bytes: usize = items.iter().map(size).sum();
            let units: usize = items.iter().map(write_units).sum();
            let above = match compress_above {
                usize::MAX => "never".to_owned(),
                bytes => bytes.to_string(),
            };
            println!("{:>10} {above:>14} {bytes:>10} {units:>11}", body.len());
        }
    }
}

fn items(provider: &providers::Provider, body: Vec<u8>, compress_above: usize) -> Vec<Item> {
    let now = Timestamp::from_epoch(1_795_255_200).expect("a time in range");
    let mut delivery = Delivery::new(body, now, "2f1b9c1e-6a0f-4c55-9a38-0d9f6f7a1f10");
    delivery.origin.gateway_id = Some("JKJaXmPLvHcESHA=".to_owned());
    delivery.origin.content_type = Some("application/json".to_owned());
    delivery.origin.credential = Some("main".to_owned());
    let parsed = (provider.parse)(&delivery);
    let records = Record::from_delivery(provider.name, &delivery, parsed).into_iter();
    let mut items: Vec<Item> = records
        .flat_map(|record| encode(record, Expiry::same(Some(1_826_791_200)), compress_above))
        .collect();
    for item in &mut items {
        stamp(item, now);
    }
    items
}

/// The size of an item as DynamoDB counts it: names and values, in bytes. A number takes a byte for
/// two digits, and one more.
fn size(item: &Item) -> usize {
    let attributes = item.iter();
    attributes
        .map(|(name, value)| {
            let value = match (value.as_s(), value.as_n(), value.as_b()) {
                (Ok(text), _, _) => text.len(),
                (_, Ok(digits), _) => digits.len().div_ceil(2) + 1,
                (_, _, Ok(bytes)) => bytes.as_ref().len(),
                _ => 1,
            };
            name.len() + value
        })
        .sum()
}

/// One write unit for each KB begun of an item, and one for an event's entry in the index.
fn write_units(item: &Item) -> usize {
    size(item).div_ceil(1024) + usize::from(item.contains_key("hourshard"))
}
