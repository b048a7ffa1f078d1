//! TLS: Java's key and trust stores as the PEM that OpenSSL reads.

use std::{collections::BTreeMap, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p12_keystore::{KeyStore, KeyStoreEntry};

use super::Problem;

/// How a JKS file begins, and a JCEKS file.
const JKS: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];

/// librdkafka's settings for the keys `ssl.*` that belong together.
pub(super) fn read(
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let given = |key: &str| properties.get(key).filter(|value| !value.trim().is_empty());
    let mut settings = Vec::new();
    if let Some(pem) = authorities(properties)? {
        settings.push(("ssl.ca.pem", pem));
    } else if given("ssl.ca.location").is_none() && given("ssl.ca.pem").is_none() {
        // OpenSSL is our own and knows no place: librdkafka looks where systems have their certificates.
        settings.push(("ssl.ca.location", "probe".to_owned()));
    }
    let password = given("ssl.key.password");
    match (given("ssl.keystore.key"), given("ssl.keystore.certificate.chain")) {
        (Some(key), Some(chain)) => {
            settings.push(("ssl.key.pem", pem_text(key)));
            settings.push(("ssl.certificate.pem", pem_text(chain)));
        }
        (None, None) => settings.extend(identity(properties)?),
        (key, _) => {
            let (missing, other) = match key {
                None => ("ssl.keystore.key", "ssl.keystore.certificate.chain"),
                Some(_) => ("ssl.keystore.certificate.chain", "ssl.keystore.key"),
            };
            return Err(Problem::secret(missing, &format!("it is missing, and {other} needs it")));
        }
    }
    settings.extend(password.map(|password| ("ssl.key.password", password.clone())));
    Ok(settings)
}

/// The certificates of `ssl.truststore.*` as PEM; none where there is no trust store.
pub(super) fn authorities(
    properties: &BTreeMap<String, String>,
) -> Result<Option<String>, Problem> {
    if let Some(pem) = properties.get("ssl.truststore.certificates") {
        return Ok(Some(pem_text(pem)));
    }
    let key = "ssl.truststore.location";
    let Some((location, bytes)) = file(properties, key)? else { return Ok(None) };
    if let Some(pem) = as_pem(&bytes) {
        return Ok(Some(pem));
    }
    let store = store(properties, key, location, &bytes, "ssl.truststore.password")?;
    let mut all = String::new();
    for (_, entry) in store.entries() {
        if let KeyStoreEntry::Certificate(certificate) = entry {
            all.push_str(&pem("CERTIFICATE", certificate.as_der()));
        }
    }
    match all.is_empty() {
        true => Err(Problem::value(key, location, "there is no trusted certificate in it")),
        false => Ok(Some(all)),
    }
}

/// Key and certificates of `ssl.keystore.location`.
fn identity(properties: &BTreeMap<String, String>) -> Result<Vec<(&'static str, String)>, Problem> {
    let key = "ssl.keystore.location";
    let Some((location, bytes)) = file(properties, key)? else { return Ok(Vec::new()) };
    let both = |private: String, chain: String| {
        vec![("ssl.key.pem", private), ("ssl.certificate.pem", chain)]
    };
    if let Some(pem) = as_pem(&bytes) {
        return Ok(both(pem.clone(), pem));
    }
    let store = store(properties, key, location, &bytes, "ssl.keystore.password")?;
    let Some((_, entry)) = store.private_key_chain() else {
        return Err(Problem::value(key, location, "there is no private key in it"));
    };
    let chain: String = entry.chain().iter().map(|c| pem("CERTIFICATE", c.as_der())).collect();
    Ok(both(pem("PRIVATE KEY", entry.key()), chain))
}

fn file<'a>(
    properties: &'a BTreeMap<String, String>,
    key: &str,
) -> Result<Option<(&'a str, Vec<u8>)>, Problem> {
    let location = properties.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let Some(location) = location else { return Ok(None) };
    match fs::read(location) {
        Ok(bytes) => Ok(Some((location, bytes))),
        Err(error) => {
            Err(Problem::value(key, location, &format!("the file cannot be read: {error}")))
        }
    }
}

fn store(
    properties: &BTreeMap<String, String>,
    key: &str,
    location: &str,
    bytes: &[u8],
    password_key: &str,
) -> Result<KeyStore, Problem> {
    let convert =
        "keytool -importkeystore -srckeystore STORE -destkeystore STORE.p12 -deststoretype PKCS12";
    if JKS.iter().any(|magic| bytes.starts_with(magic)) {
        let why = format!("it is JKS; PEM or PKCS12 expected. Convert it: {convert}");
        return Err(Problem::value(key, location, &why));
    }
    let password = properties.get(password_key).map(String::as_str).unwrap_or_default();
    KeyStore::from_pkcs12(bytes, password).map_err(|_| {
        let why = format!(
            "it is neither PEM nor PKCS12 that {password_key} opens; an old PKCS12 file is made new by {convert}"
        );
        Problem::value(key, location, &why)
    })
}

fn as_pem(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.contains("-----BEGIN ").then(|| text.to_owned())
}

/// A PEM text as properties carry it: Java takes one whose lines are joined by spaces
/// (`org.apache.kafka.common.security.ssl.DefaultSslEngineFactory.PemParser`), OpenSSL does not.
fn pem_text(text: &str) -> String {
    if text.trim().contains('\n') {
        return text.to_owned();
    }
    let mut lines = String::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (Some((label, body)), true) = (begun.split_once("-----"), begun.contains("-----END "))
        else {
            break;
        };
        let Some((body, after)) = body.split_once("-----END ") else { break };
        lines.push_str(&format!("-----BEGIN {label}-----\n"));
        for line in body.split_whitespace() {
            lines.push_str(line);
            lines.push('\n');
        }
        lines.push_str(&format!("-----END {label}-----\n"));
        rest = after.split_once("-----").map_or("", |(_, rest)| rest);
    }
    // What is no PEM is left as it is, for OpenSSL to refuse.
    if lines.is_empty() { text.to_owned() } else { lines }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    // 64 characters a line, all of one byte.
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_pem_text_on_one_line_gets_its_lines_back() {
        let one = "-----BEGIN CERTIFICATE----- QUJD REVG -----END CERTIFICATE-----";
        let lines = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n";
        assert_eq!(pem_text(one), lines);
        assert_eq!(pem_text(&format!("{one} {one}")), format!("{lines}{lines}"));
        assert_eq!(pem_text(lines), lines);
        assert_eq!(pem_text("nothing"), "nothing");
    }

    #[test]
    fn a_jks_store_is_refused_with_the_command_that_converts_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.jks");
        fs::write(&path, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
        let path = path.to_str().unwrap();
        let wrong = authorities(&properties(&[("ssl.truststore.location", path)])).unwrap_err();
        let message = wrong.message();
        assert!(
            message.contains("keytool") && message.contains("ssl.truststore.location"),
            "{message}"
        );
        let wrong = read(&properties(&[("ssl.keystore.location", "/none/such")])).unwrap_err();
        assert!(wrong.message().contains("/none/such"), "{}", wrong.message());
    }

    #[test]
    fn half_an_identity_is_refused() {
        let wrong = read(&properties(&[("ssl.keystore.key", "s3cret")])).unwrap_err();
        let message = wrong.message();
        assert!(message.contains("ssl.keystore.certificate.chain") && !message.contains("s3cret"));
    }
}
