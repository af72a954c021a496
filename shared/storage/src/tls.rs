//! Root certificates we trust for AWS endpoints.
//!
//! The default is the five roots of [Amazon Trust
//! Services](https://www.amazontrust.com/repository/), which are parsed in 0.2 ms; the system's 144
//! take 4 ms of a cold start. A change of AWS's certificate authority must not cause an outage. If
//! a server's certificate has none of these roots, the next attempt uses the system's roots, and so
//! do all later ones.
//!
//! As in other AWS tools, `AWS_CA_BUNDLE` is the path of a file with other roots, which replace
//! both.

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use rustls::CertificateError::UnknownIssuer;
use std::{
    env,
    error::Error,
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const AMAZON: &str = include_str!("amazon.pem");

/// HTTP client over the network, with a maximum number of idle connections per host.
#[must_use]
pub fn network(idle_connections: usize) -> SharedHttpClient {
    let client = |roots| {
        let context = TlsContext::builder()
            .with_trust_store(roots)
            .build()
            .unwrap_or_default();
        Builder::new()
            .pool_max_idle_per_host(idle_connections)
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context)
            .build_https()
    };
    match bundle() {
        Some(Ok(bundle)) => client(TrustStore::empty().with_pem_certificate(bundle)),
        // `Settings::from_env` has already returned this error.
        Some(Err(_)) => client(TrustStore::empty()),
        None => SharedHttpClient::new(Trusting {
            amazons: client(TrustStore::empty().with_pem_certificate(AMAZON)),
            systems: client(TrustStore::default()),
            needs_systems: Arc::default(),
        }),
    }
}

/// Reads the file that `AWS_CA_BUNDLE` names, if it is set: certificates in PEM.
pub(crate) fn bundle() -> Option<io::Result<String>> {
    let path = env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty())?;
    Some(fs::read_to_string(path).and_then(|pem| {
        let is_pem = pem.contains("-----BEGIN CERTIFICATE-----");
        if is_pem {
            Ok(pem)
        } else {
            Err(io::Error::other("it has no certificate in PEM"))
        }
    }))
}

/// Client that trusts Amazon's roots, and the system's roots after those were not enough.
#[derive(Debug, Clone)]
struct Trusting {
    amazons: SharedHttpClient,
    /// Reads the system's roots at the first use.
    systems: SharedHttpClient,
    needs_systems: Arc<AtomicBool>,
}

impl HttpClient for Trusting {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        if self.needs_systems.load(Ordering::Relaxed) {
            return self.systems.http_connector(settings, components);
        }
        let amazons = self.amazons.http_connector(settings, components);
        SharedHttpConnector::new(Connector {
            amazons,
            needs_systems: self.needs_systems.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.amazons.connector_metadata()
    }
}

#[derive(Debug)]
struct Connector {
    amazons: SharedHttpConnector,
    needs_systems: Arc<AtomicBool>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.amazons.call(request);
        let needs_systems = self.needs_systems.clone();
        HttpConnectorFuture::new(async move {
            call.await.map_err(|error| {
                if !is_of_unknown_issuer(&error) {
                    return error;
                }
                needs_systems.store(true, Ordering::Relaxed);
                // The SDK retries this kind of error, and the retry uses the system's roots.
                ConnectorError::io(error.into())
            })
        })
    }
}

/// Whether a call failed because the server's certificate has no root that we trust.
fn is_of_unknown_issuer(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return *error == rustls::Error::InvalidCertificate(UnknownIssuer);
        }
        // An `io::Error` returns the error that it wraps only from `get_ref`.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = inner
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| error.source());
    }
    false
}
