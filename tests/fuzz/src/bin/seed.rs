//! Fills `corpus/<target>` with the seed inputs of the targets: our samples in `events/`, and the
//! bodies of real webhooks in the folder that `WEBHOOK_CORPUS` names, by provider. Real bodies
//! must not be published, so they are never committed.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::{Engine, engine::general_purpose::STANDARD};
use ingest::Payload;
// Instrumented code needs its runtime.
use libfuzzer_sys as _;
use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

/// Inputs of [`fuzz::stretch`] with more events, more fields, more levels and longer texts than are
/// stored. `\xfe` is replaced by the exponent.
const STRETCHED: [&[u8]; 8] = [
    b"\xffleads[add][][id]=1&\xff\x12\xfe",
    b"\xffleads[add][0][id]=1&leads[add][0][name]=x\xff\x00\xfe",
    b"\xffleads\xff\x00\xfe[add][0][id]=1",
    b"\xffleads[add][0][id]=1&a[b]\xff\x02\x05=1&a[][][][][][][][][][][][]=&\xff\x1b\xfe",
    b"\xff{\"leads\":{\"add\":[{\"id\":\"1\"}]},\"a\":[0,\xff\x01\xfe0]}",
    b"\xff{\"meta\":{\"entity\":\"x\xff\x00\xfe\",\"entity_id\":1,\"action\":\"change\"}}",
    b"\xff{\"meta\":{\"entity\":\"deal\",\"entity_id\":1,\"action\":\"change\"},\"data\":[0,\xff\x01\xfe0]}",
    b"\xff{\"eventType\":\"x\xff\x00\xfe\",\"customer\":{\"id\":1}}",
];

/// Targets that take a body.
const BODY: [&str; 3] = ["form", "parser", "handler"];

fn main() -> io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for provider in providers::ALL {
        for sample in files(&workspace.join("events").join(provider.name))? {
            seed(&["handler"], &sample)?;
            if let Ok(Payload(event)) = serde_json::from_slice(&sample) {
                seed_event(event)?;
            }
        }
        if let Some(corpus) = env::var_os("WEBHOOK_CORPUS") {
            for body in files(&workspace.join(corpus).join(provider.name))? {
                seed(&BODY, &body)?;
            }
        }
    }
    for stretched in STRETCHED {
        for exponent in [5, 9, 19] {
            let bytes = stretched.iter();
            let input = bytes.map(|byte| if *byte == 0xfe { exponent } else { *byte });
            seed(&BODY, &input.collect::<Vec<_>>())?;
        }
    }
    let secret = STANDARD.encode(fuzz::SECRET);
    let input = format!("Basic {secret}\nkey={}", fuzz::KEY);
    seed(&["authenticator"], input.as_bytes())
}

/// Seeds from the body and the credentials of a sample.
fn seed_event(event: ApiGatewayV2httpRequest) -> io::Result<()> {
    let body = event.body.unwrap_or_default();
    match STANDARD.decode(&body) {
        Ok(decoded) if event.is_base64_encoded => seed(&BODY, &decoded)?,
        _ => seed(&BODY, body.as_bytes())?,
    }
    let authorization = event.headers.get("authorization");
    let authorization = authorization.map_or(&b""[..], |value| value.as_bytes());
    let query = event.raw_query_string.unwrap_or_default();
    seed(
        &["authenticator"],
        &[authorization, b"\n", query.as_bytes()].concat(),
    )
}

fn seed(targets: &[&str], input: &[u8]) -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    for target in targets {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{:016x}", hasher.finish())), input)?;
    }
    Ok(())
}

/// The contents of a folder's files.
fn files(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries
        .into_iter()
        .map(|entry| fs::read(entry.path()))
        .collect()
}
