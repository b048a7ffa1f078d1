//! TLS of the REST API's listeners: keys and certificates from PEM or PKCS12, and clients' certificates if asked for.

use std::{fs, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use connect_core::config::Secret;
use p12_keystore::KeyStore;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::rest_config::RestConfig;

/// Most time that a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections whose handshake is done and that nobody has taken yet.
const READY: usize = 64;
/// Pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Accepts TLS connections. A client that is slow with its handshake keeps nobody waiting.
pub(crate) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (done, ready) = mpsc::channel(READY);
        let acceptor = TlsAcceptor::from(config);
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = done.closed() => return,
                    accepted = listener.accept() => accepted,
                };
                let (stream, client) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::error!(%error, "cannot accept a connection");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // Nobody takes it any more when the worker stops.
                        Ok(Ok(stream)) => drop(done.send((stream, client)).await),
                        Ok(Err(error)) => tracing::debug!(%client, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%client, "TLS handshake took too long"),
                    }
                });
            }
        });
        Ok(Self { address, ready })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The task above ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// What the configuration says of TLS.
///
/// # Errors
/// If a key is missing or wrong, or a file cannot be read.
pub(crate) fn server_config(config: &RestConfig) -> anyhow::Result<Arc<ServerConfig>> {
    let (chain, key) = identity(config)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match config.client_auth.to_ascii_lowercase().as_str() {
        "none" => builder.with_no_client_auth(),
        asked @ ("requested" | "required") => {
            let mut roots = RootCertStore::empty();
            for certificate in trusted(config)? {
                roots.add(certificate).context("the trust store has a bad certificate")?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match asked {
                "requested" => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
        other => bail!(
            "Invalid value {other} for configuration ssl.client.auth: String must be one of: required, requested, \
             none"
        ),
    };
    let config =
        builder.with_single_cert(chain, key).context("the key does not fit its certificate")?;
    Ok(Arc::new(config))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(config: &RestConfig) -> anyhow::Result<Identity> {
    if let (Some(chain), Some(key)) = (&config.certificate_chain, &config.key) {
        return pem_identity(chain.as_bytes(), key.expose().as_bytes());
    }
    let location = config.keystore_location.as_ref().context(
        "an https listener needs ssl.keystore.location, or ssl.keystore.certificate.chain and ssl.keystore.key",
    )?;
    let bytes =
        fs::read(location).with_context(|| format!("cannot read the key store {location}"))?;
    if is_pem(&bytes) {
        return pem_identity(&bytes, &bytes);
    }
    let store = pkcs12(&bytes, &config.keystore_password, "ssl.keystore", location)?;
    let (_, entry) = store
        .private_key_chain()
        .with_context(|| format!("the key store {location} has no private key"))?;
    let chain = entry.chain().iter().map(|c| CertificateDer::from(c.as_der().to_vec())).collect();
    let key = PrivatePkcs8KeyDer::from(entry.key().to_vec());
    Ok((chain, key.into()))
}

fn trusted(config: &RestConfig) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    if let Some(pem) = &config.truststore_certificates {
        return certificates(pem.as_bytes());
    }
    let location = config
        .truststore_location
        .as_ref()
        .context("ssl.client.auth needs ssl.truststore.location or ssl.truststore.certificates")?;
    let bytes =
        fs::read(location).with_context(|| format!("cannot read the trust store {location}"))?;
    if is_pem(&bytes) {
        return certificates(&bytes);
    }
    let store = pkcs12(&bytes, &config.truststore_password, "ssl.truststore", location)?;
    let mut trusted = Vec::new();
    for (_, entry) in store.entries() {
        if let p12_keystore::KeyStoreEntry::Certificate(certificate) = entry {
            trusted.push(CertificateDer::from(certificate.as_der().to_vec()));
        }
    }
    Ok(trusted)
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn pem_identity(chain: &[u8], key: &[u8]) -> anyhow::Result<Identity> {
    let key = PrivateKeyDer::from_pem_slice(key)
        .context("no private key in PEM that can be read; it must not be encrypted")?;
    Ok((certificates(chain)?, key))
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.context("a certificate in PEM cannot be read")?;
    if certificates.is_empty() {
        bail!("there is no certificate in the PEM text");
    }
    Ok(certificates)
}

fn pkcs12(
    bytes: &[u8],
    password: &Option<Secret>,
    key: &str,
    location: &str,
) -> anyhow::Result<KeyStore> {
    let password = password.as_ref().map(Secret::expose).unwrap_or_default();
    KeyStore::from_pkcs12(bytes, password).with_context(|| {
        format!(
            "{location} ({key}.location) is neither PEM nor PKCS12 that {key}.password opens; a JKS store is made \
             PKCS12 by keytool -importkeystore -deststoretype PKCS12"
        )
    })
}
