//! TLS in front of the embedded DynamoDB, with a certificate authority of our own.

use crate::runtime_api::Environment;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivateKeyDer},
};

/// Root certificates that Linux distributions trust.
const SYSTEMS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS terminator that forwards the data of its connections to another port.
#[derive(Debug)]
pub struct Terminator {
    endpoint: String,
    folder: TempDir,
    connections: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Terminator {
    /// Starts a terminator in front of a port on 127.0.0.1.
    pub async fn start(port: u16) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL would consider certificates with the same name self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();

        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        let systems = fs::read_to_string(SYSTEMS).unwrap_or_default();
        fs::write(
            folder.path().join("systems.pem"),
            systems + &authority.pem(),
        )
        .unwrap();

        let chain = vec![certificate.der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let connections = Arc::<AtomicUsize>::default();
        let opened = connections.clone();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    client.set_nodelay(true).ok();
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
                    else {
                        return;
                    };
                    server.set_nodelay(true).ok();
                    io::copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        Self {
            endpoint,
            folder,
            connections,
            server,
        }
    }

    /// Its endpoint: `https://localhost:8443`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The certificate of its certificate authority, in PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Environment in which all functions use and trust it: those that support `AWS_CA_BUNDLE`,
    /// Node, and those that read the system's certificates. The number of these is unchanged.
    pub(super) fn trusted_by(&self, environment: Environment) -> Environment {
        let path = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        environment
            .with("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint)
            .with("AWS_CA_BUNDLE", path("authority.pem"))
            .with("NODE_EXTRA_CA_CERTS", path("authority.pem"))
            .with("SSL_CERT_FILE", path("systems.pem"))
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
