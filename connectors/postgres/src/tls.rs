//! TLS to PostgreSQL: what `sslmode` and its companions ask for, by rustls.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use connect_core::error::{Error, Result};
use connectors_jdbc::connection::{Settings, invalid};
use p12_keystore::KeyStore;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject,
    },
};
use tokio_postgres::{Socket, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The name for a server that has none a certificate could hold; it is used only where no name is checked.
const NAMELESS: &str = "postgresql.invalid";

/// How much TLS is wanted, as `sslmode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// None.
    Disable,
    /// Only where the server insists.
    Allow,
    /// Where the server can.
    Prefer,
    /// Always, with whatever certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for the host of the URL.
    VerifyFull,
}

impl Mode {
    /// What `sslmode`, `ssl` and `sslfactory` say together, as pgjdbc reads them.
    pub(crate) fn of(settings: &Settings) -> Result<Self> {
        let unverified = is_non_validating(settings)?;
        let mode = match settings.parameter("sslmode") {
            Some(text) => Self::parse(text)?,
            None if settings.flag("ssl")? == Some(true) => Self::VerifyFull,
            None if unverified => Self::Require,
            None => Self::Prefer,
        };
        Ok(if unverified && mode.verifies() { Self::Require } else { mode })
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let modes = "one of disable, allow, prefer, require, verify-ca, verify-full";
                return Err(invalid("sslmode", text, &format!("{modes} expected")));
            }
        })
    }

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

fn is_non_validating(settings: &Settings) -> Result<bool> {
    let Some(class) = settings.parameter("sslfactory") else { return Ok(false) };
    match class.rsplit('.').next().unwrap_or(class) {
        "NonValidatingFactory" => Ok(true),
        "LibPQFactory" | "DefaultJavaSSLFactory" => Ok(false),
        _ => Err(invalid(
            "sslfactory",
            class,
            "a class of Java has no meaning here; drop it and name the authority's certificate in sslrootcert",
        )),
    }
}

/// TLS to one host, whose certificate is for the name in the URL wherever the connection leads.
#[derive(Clone)]
pub(crate) struct Tls {
    inner: MakeRustlsConnect,
    name: String,
}

impl Tls {
    /// TLS to the host that the URL calls `name`.
    pub(crate) fn new(config: &ClientConfig, name: &str, mode: Mode) -> Self {
        let unusable = mode != Mode::VerifyFull && ServerName::try_from(name).is_err();
        let name = if unusable { NAMELESS } else { name };
        Self { inner: MakeRustlsConnect::new(config.clone()), name: name.to_owned() }
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    // The driver says where it connected to, which is not the name of the URL where `resolve` leads elsewhere.
    fn make_tls_connect(&mut self, _: &str) -> Result<Self::TlsConnect, Self::Error> {
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.inner, &self.name)
    }
}

/// What rustls has to know for the mode.
///
/// # Errors
/// Of kind [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) where a file is missing or not what it should
/// be.
pub(crate) fn client_config(settings: &Settings, mode: Mode) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let authorities = if mode.verifies() { Some(roots(settings)?) } else { None };
    let authorities = authorities.map(|roots| {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        verifier.build().map_err(|e| Error::config(format!("sslrootcert cannot be used: {e}")))
    });
    let verifier = Verifier {
        authorities: authorities.transpose()?,
        named: mode == Mode::VerifyFull,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match identity(settings)? {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| Error::config(format!("sslkey does not fit sslcert: {e}"))),
    }
}

/// Checks as much of the server's certificate as the mode asks for; always that the server has its key, without which
/// the channel binding of SCRAM would bind to nothing.
#[derive(Debug)]
struct Verifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    named: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        match authorities.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is looked at last: the rest is as it should be.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.named => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Authorities of `sslrootcert`, of libpq's place for them, or those of the system.
fn roots(settings: &Settings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let named = settings.parameter("sslrootcert").filter(|name| *name != "system");
    if let Some(path) = named.map(PathBuf::from).or_else(|| existing("root.crt")) {
        for certificate in certificates("sslrootcert", &path, &read("sslrootcert", &path)?)? {
            roots.add(certificate).map_err(|e| wrong("sslrootcert", &path, &e.to_string()))?;
        }
        return Ok(roots);
    }
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    for error in system.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    if added == 0 {
        return Err(Error::config(
            "The connection's sslmode verifies the server's certificate, but there is no authority to verify it by: \
             name its certificate in sslrootcert, or install the package ca-certificates",
        ));
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Our own certificate, of `sslcert` and `sslkey` or of libpq's places for them.
fn identity(settings: &Settings) -> Result<Option<Identity>> {
    let place = |name: &str, default: &str| {
        settings.parameter(name).map(PathBuf::from).or_else(|| existing(default))
    };
    let certificate = place("sslcert", "postgresql.crt");
    let Some(path) = place("sslkey", "postgresql.pk8") else {
        return match settings.parameter("sslcert") {
            Some(path) => Err(invalid("sslcert", path, "it needs its private key in sslkey")),
            None => Ok(None),
        };
    };
    let bytes = read("sslkey", &path)?;
    let chain = |key: PrivateKeyDer<'static>| match &certificate {
        None => Err(wrong("sslkey", &path, "it needs its certificate in sslcert")),
        Some(path) => {
            let chain = certificates("sslcert", path, &read("sslcert", path)?)?;
            Ok(Some((chain, key)))
        }
    };
    if is_pem(&bytes) {
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| encrypted(&path))?;
        return chain(key);
    }
    if !is_pkcs12(&bytes) {
        let key = PrivateKeyDer::try_from(bytes).map_err(|_| encrypted(&path))?;
        return chain(key);
    }
    let password = settings.parameter("sslpassword").unwrap_or_default();
    let store = KeyStore::from_pkcs12(&bytes, password).map_err(|_| encrypted(&path))?;
    let (_, entry) =
        store.private_key_chain().ok_or_else(|| wrong("sslkey", &path, "it has no private key"))?;
    let chain = entry.chain().iter().map(|c| CertificateDer::from(c.as_der().to_vec())).collect();
    Ok(Some((chain, PrivatePkcs8KeyDer::from(entry.key().to_vec()).into())))
}

fn encrypted(path: &Path) -> Error {
    let file = path.display();
    wrong(
        "sslkey",
        path,
        &format!(
            "it is neither an unencrypted key (PEM, or DER as in .pk8) nor PKCS12 with AES that sslpassword opens; an \
             encrypted key is converted by openssl pkcs8 -in {file} -out key.pem (with -inform DER for .pk8), PKCS12 of \
             an old kind by openssl pkcs12 -legacy -nodes -in {file} -out key.pem, which goes into sslcert too"
        ),
    )
}

/// Whether a sequence begins with the number 3: PKCS12's version, which a bare key does not have.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let length = match bytes {
        [0x30, long, ..] if *long > 0x80 => usize::from(long & 0x7f),
        [0x30, _, ..] => 0,
        _ => return false,
    };
    bytes.get(2 + length..).is_some_and(|content| content.starts_with(&[2, 1, 3]))
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

/// The certificates of a file, in PEM or one in DER.
fn certificates(
    key: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>> {
    if !is_pem(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| wrong(key, path, &e.to_string()))?;
    if found.is_empty() {
        return Err(wrong(key, path, "there is no certificate in it; PEM or DER expected"));
    }
    Ok(found)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| wrong(key, path, &format!("the file cannot be read: {e}")))
}

fn wrong(key: &'static str, path: &Path, why: &str) -> Error {
    invalid(key, &path.display().to_string(), why)
}

/// A file where libpq and pgjdbc look when they are told nothing.
fn existing(name: &str) -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".postgresql").join(name)).filter(|path| path.exists())
}
