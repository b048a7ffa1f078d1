//! SASL: Java's mechanism and login module, as user and password for librdkafka or as a source of tokens.

use std::collections::BTreeMap;

use super::{Problem, jaas, tls};
use crate::oauth::{Endpoint, Login};

const MODULES: &str = "org.apache.kafka.common.security.";

/// What of SASL a client is given.
pub(super) enum Sasl {
    /// librdkafka's settings.
    Password(Vec<(&'static str, String)>),
    /// The tokens of OAUTHBEARER, which librdkafka is given one after the other.
    Tokens(Login),
}

/// Reads the keys `sasl.*`.
pub(super) fn read(properties: &BTreeMap<String, String>) -> Result<Sasl, Problem> {
    let given = |key: &str| properties.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let native = given("sasl.mechanisms");
    let mechanism = given("sasl.mechanism").or(native).unwrap_or("GSSAPI");
    match mechanism {
        "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {}
        "OAUTHBEARER" => return tokens(properties),
        other => {
            let why = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER expected; Kerberos (GSSAPI) is not supported";
            return Err(Problem::value("sasl.mechanism", other, why));
        }
    }
    let mut settings = vec![("sasl.mechanism", mechanism.to_owned())];
    if let Some(text) = given("sasl.jaas.config") {
        let entry = jaas::parse(text).map_err(|why| Problem::secret("sasl.jaas.config", &why))?;
        let known = ["plain.PlainLoginModule", "scram.ScramLoginModule"];
        let module = entry.module.strip_prefix(MODULES).unwrap_or(&entry.module);
        if !known.contains(&module) {
            return Err(other_module(&entry.module, mechanism));
        }
        if entry.options.get("tokenauth").is_some_and(|value| value == "true") {
            let why =
                "tokenauth (delegation tokens) is not supported; username and password expected";
            return Err(Problem::secret("sasl.jaas.config", why));
        }
        for (option, ours) in [("username", "sasl.username"), ("password", "sasl.password")] {
            let value = entry.options.get(option).ok_or_else(|| {
                Problem::secret("sasl.jaas.config", &format!("{option} is missing"))
            })?;
            settings.push((ours, value.clone()));
        }
    } else if given("sasl.username").is_none() {
        let why = format!(
            "it is missing, and sasl.mechanism={mechanism} needs it: {} required username=\"...\" password=\"...\"; \
             (a JAAS file of KAFKA_OPTS is not read for the Kafka clients)",
            example(mechanism)
        );
        return Err(Problem::secret("sasl.jaas.config", &why));
    }
    Ok(Sasl::Password(settings))
}

fn example(mechanism: &str) -> String {
    let module = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        "OAUTHBEARER" => "oauthbearer.OAuthBearerLoginModule",
        _ => "scram.ScramLoginModule",
    };
    format!("{MODULES}{module}")
}

fn other_module(module: &str, mechanism: &str) -> Problem {
    let why = format!(
        "the login module {module} cannot be loaded; for sasl.mechanism={mechanism} {} expected",
        example(mechanism)
    );
    Problem::secret("sasl.jaas.config", &why)
}

fn tokens(properties: &BTreeMap<String, String>) -> Result<Sasl, Problem> {
    let given =
        |key: &str| properties.get(key).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    let entry = match given("sasl.jaas.config") {
        Some(text) => {
            jaas::parse(&text).map_err(|why| Problem::secret("sasl.jaas.config", &why))?
        }
        None => jaas::Entry { module: example("OAUTHBEARER"), options: BTreeMap::new() },
    };
    if entry.module != example("OAUTHBEARER") {
        return Err(other_module(&entry.module, "OAUTHBEARER"));
    }
    let option = |name: &str| entry.options.get(name).cloned();
    let extensions = |prefix: &str| -> Vec<(String, String)> {
        let all = entry.options.iter();
        all.filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
    };
    let principal = given("sasl.oauthbearer.sub.claim.name").unwrap_or_else(|| "sub".into());
    let Some(url) = given("sasl.oauthbearer.token.endpoint.url") else {
        return unsecured(&entry.options).map(Sasl::Tokens);
    };
    if let Some(path) = url.strip_prefix("file:") {
        // file:/a and file:///a are one.
        let path = path.strip_prefix("//").unwrap_or(path).to_owned();
        return Ok(Sasl::Tokens(Login::File {
            path,
            principal,
            extensions: extensions("extension_"),
        }));
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        let why = "an http:, https: or file: URL expected";
        return Err(Problem::value("sasl.oauthbearer.token.endpoint.url", &url, why));
    }
    let client = |key: &str, name: &str| {
        given(key).or_else(|| option(name)).ok_or_else(|| {
            let why = format!(
                "it is missing, and so is {name} in sasl.jaas.config; the token endpoint needs it"
            );
            Problem::secret(key, &why)
        })
    };
    let millis = |key: &str, default: u64| match given(key) {
        None => Ok(default),
        Some(text) => {
            text.parse::<u64>().map_err(|_| Problem::value(key, &text, "Not a number of type LONG"))
        }
    };
    let trust = tls::authorities(&entry.options)?.or(tls::authorities(properties)?);
    let encode = given("sasl.oauthbearer.header.urlencode").is_some_and(|text| text == "true");
    Ok(Sasl::Tokens(Login::Endpoint(Box::new(Endpoint {
        url,
        client_id: client("sasl.oauthbearer.client.credentials.client.id", "clientId")?,
        client_secret: client("sasl.oauthbearer.client.credentials.client.secret", "clientSecret")?,
        scope: given("sasl.oauthbearer.scope").or_else(|| option("scope")),
        encode,
        principal,
        extensions: extensions("extension_"),
        trust,
        connect_ms: millis("sasl.login.connect.timeout.ms", 10_000)?,
        read_ms: millis("sasl.login.read.timeout.ms", 10_000)?,
        backoff_ms: millis("sasl.login.retry.backoff.ms", 100)?,
        longest_backoff_ms: millis("sasl.login.retry.backoff.max.ms", 10_000)?,
    }))))
}

/// `OAuthBearerUnsecuredLoginCallbackHandler`: claims that nobody signs, for tests and development.
fn unsecured(options: &BTreeMap<String, String>) -> Result<Login, Problem> {
    let wrong = |why: String| Problem::secret("sasl.jaas.config", &why);
    let mut claims = serde_json::Map::new();
    let mut extensions = Vec::new();
    let mut lifetime = 3600.0;
    let mut principal = "sub".to_owned();
    let number = |name: &str, text: &str| {
        text.parse::<f64>().map_err(|_| wrong(format!("{name} is not a number")))
    };
    for (name, value) in options {
        let Some(option) = name.strip_prefix("unsecuredLogin") else { continue };
        if let Some(claim) = option.strip_prefix("StringClaim_") {
            claims.insert(claim.to_owned(), value.clone().into());
        } else if let Some(claim) = option.strip_prefix("NumberClaim_") {
            claims.insert(claim.to_owned(), number(name, value)?.into());
        } else if let Some(claim) = option.strip_prefix("ListClaim_") {
            // The first character says what separates the values.
            let separator = value.chars().next().unwrap_or(',');
            let list: Vec<&str> =
                value[separator.len_utf8().min(value.len())..].split(separator).collect();
            claims.insert(claim.to_owned(), list.into());
        } else if let Some(extension) = option.strip_prefix("Extension_") {
            extensions.push((extension.to_owned(), value.clone()));
        } else if option == "LifetimeSeconds" {
            lifetime = number(name, value)?;
        } else if option == "PrincipalClaimName" {
            principal.clone_from(value);
        }
    }
    if !claims.contains_key(&principal) {
        return Err(wrong(format!(
            "it names no principal (unsecuredLoginStringClaim_{principal}), and sasl.oauthbearer.token.endpoint.url is not given"
        )));
    }
    Ok(Login::Unsecured { claims, principal, lifetime_ms: (lifetime * 1000.0) as i64, extensions })
}
