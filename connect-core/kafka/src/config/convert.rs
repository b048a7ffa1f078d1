//! Values of the Java clients as librdkafka takes them.

use super::table::Settings;

/// librdkafka's most for a time-out of a socket.
const MOST_SOCKET_TIMEOUT: i64 = 300_000;
/// librdkafka's most between two looks at the metadata.
const MOST_METADATA_AGE: i64 = 3_600_000;
/// librdkafka's most between two attempts.
const MOST_BACKOFF: i64 = 300_000;
/// The topics that Kafka keeps for itself (`org.apache.kafka.common.internals.Topic`).
const INTERNAL: &str = "^__consumer_offsets$,^__transaction_state$,^__share_group_state$";

fn number(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| "Not a number".to_owned())
}

fn set(key: &'static str, value: impl ToString) -> Settings {
    Ok(vec![(key, value.to_string())])
}

/// A negative number means never, which is 0 here.
pub(super) fn idle(value: &str) -> Settings {
    set("connections.max.idle.ms", number(value)?.max(0))
}

pub(super) fn metadata_age(value: &str) -> Settings {
    set("topic.metadata.refresh.interval.ms", number(value)?.clamp(1, MOST_METADATA_AGE))
}

pub(super) fn recovery(value: &str) -> Settings {
    set("metadata.recovery.strategy", value.to_ascii_lowercase())
}

/// -1 is the system's default, which is 0 here.
pub(super) fn receive_buffer(value: &str) -> Settings {
    set("socket.receive.buffer.bytes", number(value)?.max(0))
}

/// -1 is the system's default, which is 0 here.
pub(super) fn send_buffer(value: &str) -> Settings {
    set("socket.send.buffer.bytes", number(value)?.max(0))
}

/// How long the brokers may take to acknowledge, and a request to be answered.
pub(super) fn acknowledged(value: &str) -> Settings {
    let mut both = answered(value)?;
    both.push(("request.timeout.ms", number(value)?.max(1).to_string()));
    Ok(both)
}

pub(super) fn answered(value: &str) -> Settings {
    set("socket.timeout.ms", number(value)?.clamp(10, MOST_SOCKET_TIMEOUT))
}

pub(super) fn backoff(value: &str) -> Settings {
    set("retry.backoff.ms", number(value)?.clamp(1, MOST_BACKOFF))
}

pub(super) fn backoff_max(value: &str) -> Settings {
    set("retry.backoff.max.ms", number(value)?.clamp(1, MOST_BACKOFF))
}

pub(super) fn setup_timeout(value: &str) -> Settings {
    set("socket.connection.setup.timeout.ms", number(value)?.clamp(1000, i64::from(i32::MAX)))
}

pub(super) fn batch(value: &str) -> Settings {
    match number(value)? {
        0 => set("batch.num.messages", 1),
        bytes => set("batch.size", bytes),
    }
}

pub(super) fn buffer(value: &str) -> Settings {
    set("queue.buffering.max.kbytes", (number(value)? / 1024).clamp(1, i64::from(i32::MAX)))
}

/// librdkafka knows for ever as 0.
pub(super) fn delivery(value: &str) -> Settings {
    let timeout = number(value)?;
    set("message.timeout.ms", if timeout == i64::from(i32::MAX) { 0 } else { timeout })
}

pub(super) fn reset(value: &str) -> Settings {
    match value.to_ascii_lowercase().as_str() {
        "none" => set("auto.offset.reset", "error"),
        // by_duration of KIP-1106 among them.
        other if other.starts_with("by_duration") => {
            Err("by_duration is not supported; earliest, latest or none expected".into())
        }
        other => set("auto.offset.reset", other),
    }
}

pub(super) fn internal_topics(value: &str) -> Settings {
    match value.to_ascii_lowercase().as_str() {
        "true" => set("topic.blacklist", INTERNAL),
        "false" => set("topic.blacklist", ""),
        _ => Err("Expected value to be either true or false".into()),
    }
}

/// The eager ones; a group that has a sticky one beside them works with these.
pub(super) fn assignors(value: &str) -> Settings {
    const KNOWN: &[(&str, Option<&str>)] = &[
        ("RangeAssignor", Some("range")),
        ("range", Some("range")),
        ("RoundRobinAssignor", Some("roundrobin")),
        ("roundrobin", Some("roundrobin")),
        ("StickyAssignor", None),
        ("CooperativeStickyAssignor", None),
        ("cooperative-sticky", None),
    ];
    let mut names = Vec::new();
    for class in items(value) {
        let short = class.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(class);
        let Some((_, name)) = KNOWN.iter().find(|(known, _)| *known == short) else {
            return Err(format!(
                "{class} cannot be loaded; RangeAssignor or RoundRobinAssignor of org.apache.kafka.clients.consumer expected"
            ));
        };
        names.extend(*name);
    }
    if names.is_empty() {
        names.push("range");
    }
    set("partition.assignment.strategy", names.join(","))
}

/// Those that only measure are left out; others may change records.
pub(super) fn interceptors(value: &str) -> Settings {
    let measures = |class: &&str| class.starts_with("io.confluent.monitoring.clients.interceptor.");
    match items(value).find(|class| !measures(class)) {
        None => Ok(Vec::new()),
        Some(class) => Err(format!(
            "{class} is a class of Java's, which cannot be loaded; a transformation of the connector can change records"
        )),
    }
}

pub(super) fn identification(value: &str) -> Settings {
    let name = value.to_ascii_lowercase();
    set("ssl.endpoint.identification.algorithm", if name.is_empty() { "none".into() } else { name })
}

/// OpenSSL takes what broker and client have in common of TLS 1.2 and 1.3; neither can be turned off.
pub(super) fn protocols(value: &str) -> Settings {
    let names: Vec<&str> = items(value).collect();
    let has = |name: &str| names.contains(&name);
    match (names.is_empty(), has("TLSv1.2"), has("TLSv1.3")) {
        (true, ..) | (_, true, _) => Ok(Vec::new()),
        (_, false, true) => Err("TLSv1.2 cannot be turned off on this side; say TLSv1.2,TLSv1.3 here, and TLSv1.3 in the brokers' \
                                 ssl.enabled.protocols"
            .into()),
        _ => Err("TLSv1.2 or TLSv1.2,TLSv1.3 expected: older ones are not safe".into()),
    }
}

/// From IANA's names to OpenSSL's; names that are OpenSSL's already stay.
pub(super) fn ciphers(value: &str) -> Settings {
    let names: Vec<String> = items(value).filter_map(cipher).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    set("ssl.cipher.suites", names.join(":"))
}

fn cipher(name: &str) -> Option<String> {
    let Some(rest) = name.strip_prefix("TLS_").or_else(|| name.strip_prefix("SSL_")) else {
        return Some(name.to_owned());
    };
    // A suite of TLS 1.3 names no key exchange.
    let (exchange, rest) = rest.split_once("_WITH_")?;
    let bulk = match rest {
        "CHACHA20_POLY1305_SHA256" => "CHACHA20-POLY1305".to_owned(),
        "3DES_EDE_CBC_SHA" => "DES-CBC3-SHA".to_owned(),
        _ => rest.replace("_CBC", "").replace("AES_", "AES").replace('_', "-"),
    };
    Some(match exchange {
        "RSA" => bulk,
        _ => format!("{}-{bulk}", exchange.replace('_', "-")),
    })
}

/// A list of Java's: by comma, trimmed.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_suites_get_openssls_names() {
        let java = "TLS_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_256_CBC_SHA256,\
                    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,ECDHE-RSA-AES256-SHA";
        let ours = "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-SHA";
        assert_eq!(ciphers(java).unwrap(), [("ssl.cipher.suites", ours.to_owned())]);
        assert_eq!(ciphers("TLS_AES_256_GCM_SHA384").unwrap(), []);
    }

    #[test]
    fn what_java_says_otherwise_is_said_librdkafkas_way() {
        assert_eq!(delivery("2147483647").unwrap(), [("message.timeout.ms", "0".to_owned())]);
        assert_eq!(batch("0").unwrap(), [("batch.num.messages", "1".to_owned())]);
        assert_eq!(reset("NONE").unwrap(), [("auto.offset.reset", "error".to_owned())]);
        assert_eq!(receive_buffer("-1").unwrap()[0].1, "0");
        let java = "org.apache.kafka.clients.consumer.RangeAssignor,org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(assignors(java).unwrap()[0].1, "range");
        assert!(assignors("com.example.Mine").unwrap_err().contains("com.example.Mine"));
        assert!(interceptors("com.example.Audit").unwrap_err().contains("com.example.Audit"));
        assert!(protocols("TLSv1.3").is_err() && protocols("TLSv1").is_err());
    }
}
