//! Sample deliveries in `events/`: each file is an API Gateway event whose expected verdict is in
//! the file name (`events/README.md`).

use crate::workspace;
use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use providers::Provider;
use std::fs;

/// A sample.
#[derive(Debug)]
pub struct Sample {
    /// The file name without the extension.
    pub name: String,
    /// The content of the file.
    pub json: Vec<u8>,
    /// The event in the file.
    pub event: ApiGatewayV2httpRequest,
}

/// All samples of a provider, in the order of their names.
#[must_use]
pub fn samples(provider: &Provider) -> Vec<Sample> {
    let folder = workspace("events").join(provider.name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let sample = paths.into_iter().map(|path| {
        let json = fs::read(&path).unwrap();
        let event = serde_json::from_slice(&json);
        Sample {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            event: event.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            json,
        }
    });
    sample.collect()
}

impl Sample {
    /// The expected verdict: the name after the first dot.
    #[must_use]
    pub fn expected(&self) -> &str {
        let verdict = self.name.split_once('.').map(|(_, verdict)| verdict);
        verdict.unwrap_or_else(|| panic!("{} has no verdict in its name", self.name))
    }

    /// The body that the provider sent.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let text = self.event.body.as_deref().unwrap_or_default();
        match STANDARD.decode(text) {
            Ok(decoded) if self.event.is_base64_encoded => decoded,
            _ => text.as_bytes().to_vec(),
        }
    }
}
