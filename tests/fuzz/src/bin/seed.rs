//! Fills `corpus/<target>` with the seed inputs of the targets: our samples in `events/`, and the
//! bodies of real webhooks in the folder that `WEBHOOK_CORPUS` names, by provider. Real bodies
//! must not be published, so they are never committed.

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

/// What [`fuzz::stretch`] makes long, to the power that stands for `\xfe`: more events, more fields, deeper, wider and
/// longer than is kept as such.
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

fn main() -> io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for provider in providers::ALL.map(|provider| provider.name) {
        for sample in files(&workspace.join("events").join(provider))? {
            seed(&["handler"], &sample)?;
            let Ok(Payload(event)) = serde_json::from_slice(&sample) else {
                continue;
            };
            let body = event.body.unwrap_or_default();
            let decoded = event
                .is_base64_encoded
                .then(|| STANDARD.decode(&body).ok())
                .flatten();
            seed(&of(provider), &decoded.unwrap_or_else(|| body.into_bytes()))?;
            let shown = event
                .headers
                .get("authorization")
                .map_or(&b""[..], |value| value.as_bytes());
            seed(
                &["gate"],
                &[
                    shown,
                    b"\n",
                    event.raw_query_string.unwrap_or_default().as_bytes(),
                ]
                .concat(),
            )?;
        }
        if let Some(corpus) = env::var_os("WEBHOOK_CORPUS") {
            for body in files(&workspace.join(corpus).join(provider))? {
                seed(&of(provider), &body)?;
            }
        }
    }
    for (stretched, power) in STRETCHED
        .iter()
        .flat_map(|stretched| [5, 9, 19].map(|power| (stretched, power)))
    {
        let input: Vec<u8> = stretched
            .iter()
            .map(|byte| if *byte == 0xfe { power } else { *byte })
            .collect();
        seed(
            &["form", "pipedrive", "amocrm", "closer", "handler"],
            &input,
        )?;
    }
    let secret = STANDARD.encode(fuzz::SECRET);
    seed(
        &["gate"],
        format!("Basic {secret}\nkey={}", fuzz::KEY).as_bytes(),
    )
}

/// The targets that take a provider's bodies.
fn of(provider: &'static str) -> Vec<&'static str> {
    if provider == "amocrm" {
        vec!["form", "amocrm", "handler"]
    } else {
        vec![provider, "handler"]
    }
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
