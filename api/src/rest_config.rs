//! Keys of the worker that the REST API reads (`org.apache.kafka.connect.runtime.rest.RestServerConfig`).

use connect_core::config::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

fn methods() -> String {
    String::new()
}

fn no_client_auth() -> String {
    "none".into()
}

/// Who may ask, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct RestConfig {
    /// Listeners of the loggers alone: then they are on no other. An empty list switches them off; without the key they
    /// are on the normal listeners.
    #[serde(rename = "admin.listeners")]
    pub(crate) admin_listeners: Option<Vec<String>>,
    /// Origins that a browser may ask from, as a list of regular expressions; `*` is all. Nothing switches CORS off.
    #[serde(rename = "access.control.allow.origin", default)]
    pub(crate) allow_origin: Vec<String>,
    /// Methods that a browser may use from another origin; GET, POST and HEAD, if not given.
    #[serde(rename = "access.control.allow.methods", default = "methods")]
    pub(crate) allow_methods: String,
    /// Headers to add to every answer: `add X-Frame-Options: DENY, set ...`.
    #[serde(rename = "response.http.headers.config", default)]
    pub(crate) response_headers: String,
    /// Extensions. The only one that is known is BasicAuthSecurityRestExtension.
    #[serde(rename = "rest.extension.classes", default)]
    pub(crate) extensions: Vec<String>,
    /// File of `user=password` lines for basic authentication; without it the file that the JAAS configuration names.
    #[serde(rename = "rest.basic.auth.file")]
    pub(crate) auth_file: Option<String>,
    /// Key and certificate of the https listeners: a file in PEM or PKCS12, which tells its type itself.
    #[serde(rename = "ssl.keystore.location")]
    pub(crate) keystore_location: Option<String>,
    /// Password of the key store.
    #[serde(rename = "ssl.keystore.password")]
    pub(crate) keystore_password: Option<Secret>,
    /// Certificate chain in PEM, in place of a file.
    #[serde(rename = "ssl.keystore.certificate.chain")]
    pub(crate) certificate_chain: Option<String>,
    /// Private key in PEM, in place of a file.
    #[serde(rename = "ssl.keystore.key")]
    pub(crate) key: Option<Secret>,
    /// Certificates of those who may connect, for ssl.client.auth.
    #[serde(rename = "ssl.truststore.location")]
    pub(crate) truststore_location: Option<String>,
    /// Certificates of those who may connect, in PEM, in place of a file.
    #[serde(rename = "ssl.truststore.certificates")]
    pub(crate) truststore_certificates: Option<String>,
    /// Password of the trust store.
    #[serde(rename = "ssl.truststore.password")]
    pub(crate) truststore_password: Option<Secret>,
    /// none, requested or required.
    #[serde(rename = "ssl.client.auth", default = "no_client_auth")]
    pub(crate) client_auth: String,
}
