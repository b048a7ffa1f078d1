//! TLS to MySQL and MariaDB: what `sslMode` and its companions ask for, by rustls.

use std::{fs, io, net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use connect_core::error::{Error, Result};
use connectors_jdbc::connection::{Settings, cause, invalid};
use mysql_async::{ClientIdentity, SslOpts};
use p12_keystore::{KeyStore, KeyStoreEntry};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// Where an authority's certificates are named: the parameter, and the one with its password.
const TRUST: &[(&str, &str)] = &[
    ("trustCertificateKeyStoreUrl", "trustCertificateKeyStorePassword"),
    ("trustStore", "trustStorePassword"),
    ("serverSslCert", "trustStorePassword"),
];
/// Where our own certificate and key are named.
const IDENTITY: &[(&str, &str)] = &[
    ("clientCertificateKeyStoreUrl", "clientCertificateKeyStorePassword"),
    ("keyStore", "keyStorePassword"),
];
/// The bit by which a server says, and a client asks, that TLS follows.
const CLIENT_SSL: u32 = 1 << 11;
/// That and what every server since 4.1 has: protocol 4.1, and passwords that are hashed with a challenge.
const CAPABILITIES: u32 = CLIENT_SSL | 1 << 9 | 1 << 15;

/// How much TLS is wanted, as `sslMode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// None.
    Disabled,
    /// Where the server can.
    Preferred,
    /// Always, with whatever certificate.
    Required,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for the host of the URL.
    VerifyIdentity,
}

impl Mode {
    /// What `sslMode` and the older parameters say, as the driver of the URL's protocol reads them.
    fn of(settings: &Settings) -> Result<Self> {
        if let Some(text) = settings.parameter("sslMode") {
            return Self::parse(text);
        }
        let on = |name| Ok::<_, Error>(settings.flag(name)? == Some(true));
        // One name to us, which knows no case: useSsl of MariaDB's driver and useSSL of MySQL's.
        let wanted = settings.flag("useSSL")?;
        if settings.url.protocol == "mariadb" {
            return Ok(match wanted {
                Some(true) if on("trustServerCertificate")? => Self::Required,
                Some(true) if on("disableSslHostnameVerification")? => Self::VerifyCa,
                Some(true) => Self::VerifyIdentity,
                _ => Self::Disabled,
            });
        }
        Ok(match wanted {
            Some(false) => Self::Disabled,
            _ if on("verifyServerCertificate")? => Self::VerifyCa,
            _ if on("requireSSL")? => Self::Required,
            _ => Self::Preferred,
        })
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" | "disable" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" | "trust" => Self::Required,
            "verify-ca" => Self::VerifyCa,
            "verify-identity" | "verify-full" => Self::VerifyIdentity,
            _ => {
                let modes = "one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY, or of MariaDB's driver \
                             disable, trust, verify-ca, verify-full";
                return Err(invalid("sslMode", text, &format!("{modes} expected")));
            }
        })
    }
}

/// TLS to all hosts of a URL.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) mode: Mode,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<ClientIdentity>,
}

impl Tls {
    /// What the settings ask for.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) where a file is missing or not what it
    /// should be.
    pub(crate) fn of(settings: &Settings) -> Result<Self> {
        let mode = Mode::of(settings)?;
        let (mut roots, mut own) = (Vec::new(), None);
        if mode != Mode::Disabled {
            use_ring();
            own = identity(settings)?;
        }
        if matches!(mode, Mode::VerifyCa | Mode::VerifyIdentity) {
            roots = authorities(settings)?;
        }
        Ok(Self { mode, roots, identity: own })
    }

    /// The driver's options for a host whose certificate must be for this name.
    pub(crate) fn options(&self, name: &str) -> SslOpts {
        let verifies = matches!(self.mode, Mode::VerifyCa | Mode::VerifyIdentity);
        // The driver needs some authority even where it asks none.
        SslOpts::default()
            .with_client_identity(self.identity.clone())
            .with_disable_built_in_roots(verifies)
            .with_root_certs(self.roots.iter().map(|root| root.to_vec().into()).collect())
            .with_danger_accept_invalid_certs(!verifies)
            .with_danger_tls_hostname_override(Some(name.to_owned()))
    }

    /// A name that the server's certificate holds, and the address of that server: what VERIFY_CA makes the driver look
    /// for. mysql_async 0.37.1 checks the name even when told not to (its issue 404), and takes no verifier of ours.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](connect_core::error::ErrorKind::Refused) where the authority is another, or there is no
    /// name.
    pub(crate) async fn certified(&self, host: (&str, u16)) -> Result<(IpAddr, String)> {
        let unreachable = |e: io::Error| match cause::<rustls::Error>(&e) {
            Some(cause) => Error::refused(format!("No TLS connection to MySQL: {cause}")),
            None => Error::connection("cannot reach MySQL").with_source(e),
        };
        let mut stream = TcpStream::connect(host).await.map_err(unreachable)?;
        let ip = stream.peer_addr().map_err(unreachable)?.ip();
        ask_for_tls(&mut stream).await.map_err(unreachable)?.then_some(()).ok_or_else(no_tls)?;
        let connector = TlsConnector::from(Arc::new(self.nameless()?));
        let stream = connector.connect(ip.into(), stream).await.map_err(unreachable)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(<[_]>::first);
        let name = certificate.and_then(|certificate| name_in(certificate)).ok_or_else(|| {
            Error::refused(
                "No TLS connection to MySQL: its certificate has no subjectAltName, without which VERIFY_CA is not \
                 possible here; issue one with the server's name, or use sslMode=REQUIRED on a network that is safe",
            )
        })?;
        Ok((ip, name))
    }

    /// A handshake that asks for the authority alone.
    fn nameless(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.roots.iter().cloned());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|e| {
            Error::config(format!("None of the authorities' certificates can be used: {e}"))
        })?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?;
        let verifier = Arc::new(Nameless(verifier));
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }
}

/// That the server has no TLS and we insist.
pub(crate) fn no_tls() -> Error {
    Error::refused(
        "MySQL offers no TLS, and the connection's sslMode asks for it; PREFERRED or DISABLED would do without",
    )
}

/// The driver takes the process's provider, which rustls chooses itself only while just one is compiled in.
fn use_ring() {
    if CryptoProvider::get_default().is_none()
        && ring::default_provider().install_default().is_err()
    {
        tracing::debug!("another thread has set the provider of cryptography already");
    }
}

/// Reads the server's greeting and answers that TLS follows, if the server can.
async fn ask_for_tls(stream: &mut TcpStream) -> io::Result<bool> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    // A greeting has about a hundred bytes; what is much longer is not one.
    let mut greeting = vec![0; length.min(4096) as usize];
    stream.read_exact(&mut greeting).await?;
    let odd = || io::Error::other("the server's greeting is not that of MySQL");
    if greeting.first() != Some(&10) {
        return Err(odd());
    }
    // Protocol, version up to a zero, thread, eight bytes of challenge, a filler: then what it can.
    let version = greeting.iter().skip(1).position(|byte| *byte == 0).ok_or_else(odd)?;
    let at = 1 + version + 1 + 4 + 8 + 1;
    let low = greeting.get(at..at + 2).ok_or_else(odd)?;
    if u32::from(u16::from_le_bytes([low[0], low[1]])) & CLIENT_SSL == 0 {
        return Ok(false);
    }
    let mut request = vec![32, 0, 0, header[3].wrapping_add(1)];
    request.extend(CAPABILITIES.to_le_bytes());
    request.extend((1_u32 << 24).to_le_bytes());
    // utf8mb4_general_ci.
    request.push(45);
    request.resize(4 + 32, 0);
    stream.write_all(&request).await?;
    Ok(true)
}

/// A name or address in the certificate; for `*.example.com` one that it stands for.
fn name_in(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten()?;
    let mut names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(match name.strip_prefix("*.") {
            Some(domain) => format!("any.{domain}"),
            None => (*name).to_owned(),
        }),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
        },
        _ => None,
    });
    names.find(|name| ServerName::try_from(name.as_str()).is_ok())
}

/// Checks the authority, not the name.
#[derive(Debug)]
struct Nameless(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Nameless {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is looked at last: the rest is as it should be.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The authorities that the settings name, or those of the system.
fn authorities(settings: &Settings) -> Result<Vec<CertificateDer<'static>>> {
    let Some((key, value, password)) = named(settings, TRUST) else {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a certificate of the system cannot be read");
        }
        if system.certs.is_empty() {
            return Err(Error::config(
                "The connection's sslMode verifies the server's certificate, but there is no authority to verify it \
                 by: name its certificate in trustCertificateKeyStoreUrl (MySQL) or serverSslCert (MariaDB), or \
                 install the package ca-certificates",
            ));
        }
        return Ok(system.certs);
    };
    let bytes = read(key, value)?;
    if is_pem(&bytes) {
        return certificates(key, value, &bytes);
    }
    if parse_x509_certificate(&bytes).is_ok() {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let store = store(key, value, &bytes, password)?;
    let mut found = Vec::new();
    for (_, entry) in store.entries() {
        if let KeyStoreEntry::Certificate(certificate) = entry {
            found.push(CertificateDer::from(certificate.as_der().to_vec()));
        }
    }
    if found.is_empty() {
        return Err(wrong(key, value, "there is no trusted certificate in it"));
    }
    Ok(found)
}

/// Our own certificate and key, as the driver takes them: in PEM.
fn identity(settings: &Settings) -> Result<Option<ClientIdentity>> {
    let Some((key, value, password)) = named(settings, IDENTITY) else { return Ok(None) };
    let bytes = read(key, value)?;
    if is_pem(&bytes) {
        certificates(key, value, &bytes)?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
            let why = "there is no private key in it, or an encrypted one; certificate and key expected, in PEM or \
                       PKCS12";
            wrong(key, value, why)
        })?;
        return Ok(Some(ClientIdentity::new(bytes.clone().into(), bytes.into())));
    }
    let store = store(key, value, &bytes, password)?;
    let Some((_, entry)) = store.private_key_chain() else {
        return Err(wrong(key, value, "there is no private key in it"));
    };
    let chain: String = entry.chain().iter().map(|c| pem("CERTIFICATE", c.as_der())).collect();
    let private = pem("PRIVATE KEY", entry.key());
    Ok(Some(ClientIdentity::new(chain.into_bytes().into(), private.into_bytes().into())))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    // 64 characters a line, all of one byte.
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The first of the parameters that is given, its value and its password.
fn named<'a>(
    settings: &'a Settings,
    parameters: &[(&'static str, &'static str)],
) -> Option<(&'static str, &'a str, &'a str)> {
    parameters.iter().find_map(|(key, password)| {
        let value = settings.parameter(key).filter(|value| !value.is_empty())?;
        Some((*key, value, settings.parameter(password).unwrap_or_default()))
    })
}

/// The bytes of a file that is named by URL or path, or the text itself where it is PEM.
fn read(key: &str, value: &str) -> Result<Vec<u8>> {
    if is_pem(value.as_bytes()) {
        return Ok(value.as_bytes().to_vec());
    }
    let path = match value.strip_prefix("file:") {
        // file:/a and file:///a are one.
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None => value,
    };
    fs::read(path).map_err(|e| {
        wrong(key, value, &format!("the file cannot be read: {e}; a path or file: URL expected"))
    })
}

fn store(key: &str, value: &str, bytes: &[u8], password: &str) -> Result<KeyStore> {
    KeyStore::from_pkcs12(bytes, password).map_err(|_| {
        let why = if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) { "it is JKS" } else { "it is neither" };
        wrong(
            key,
            value,
            &format!(
                "PEM expected, or PKCS12 with AES that its password opens; {why}. A JKS or older store is converted by \
                 keytool -importkeystore -srckeystore STORE -destkeystore STORE.p12 -deststoretype PKCS12"
            ),
        )
    })
}

/// A file that cannot be used; a PEM text in place of its name may be a private key, and is not repeated.
fn wrong(key: &str, value: &str, why: &str) -> Error {
    invalid(key, if is_pem(value.as_bytes()) { "(a PEM text)" } else { value }, why)
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn certificates(key: &str, value: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| wrong(key, value, &e.to_string()))?;
    if found.is_empty() {
        return Err(wrong(key, value, "there is no certificate in it; PEM or PKCS12 expected"));
    }
    Ok(found)
}
