//! A broker as it is in the field: SASL, TLS and ACLs on listeners of their own.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::port::free_port;

/// Listeners with SASL and TLS beside the plain one, whose users are anonymous and may do everything.
#[derive(Debug, Clone)]
pub struct KafkaSecurity {
    /// Port of the listener SASL_PLAINTEXT.
    pub sasl: u16,
    /// Port of the listener SSL, where clients need a certificate.
    pub tls: u16,
    /// Port of the listener SASL_SSL.
    pub sasl_tls: u16,
    /// The certificate by which clients are known, PEM.
    pub authority: String,
    /// The broker's certificate for `localhost`, PEM.
    pub certificate: String,
    /// Its key, PEM (PKCS8).
    pub key: String,
    /// Users and passwords, for PLAIN and for SCRAM. `admin` may do everything, as may the certificate `CN=client`; the others
    /// need ACLs.
    pub users: Vec<(String, String)>,
}

impl KafkaSecurity {
    /// Listeners on free ports.
    pub fn new(
        authority: &str,
        (certificate, key): (&str, &str),
        users: &[(&str, &str)],
    ) -> Result<Self> {
        let owned = |(user, password): &(&str, &str)| ((*user).to_owned(), (*password).to_owned());
        Ok(Self {
            sasl: free_port()?,
            tls: free_port()?,
            sasl_tls: free_port()?,
            authority: authority.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            users: users.iter().map(owned).collect(),
        })
    }

    /// The listeners, to be added to the plain one's.
    pub(super) fn listeners(&self) -> String {
        let Self { sasl, tls, sasl_tls, .. } = self;
        format!(
            "SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://localhost:{tls},SASL_SSL://localhost:{sasl_tls}"
        )
    }

    /// Writes the stores into `dir`, and returns the broker's properties.
    pub(super) fn properties(&self, dir: &Path) -> Result<String> {
        let (identity, authority) = (dir.join("identity.pem"), dir.join("authority.pem"));
        fs::write(&identity, format!("{}{}", self.key, self.certificate))?;
        fs::write(&authority, &self.authority)?;
        let common = "org.apache.kafka.common.security";
        let users: Vec<String> = self
            .users
            .iter()
            .map(|(user, password)| format!("user_{user}=\"{password}\""))
            .collect();
        let mut text = format!(
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
             SSL:SSL,SASL_SSL:SASL_SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             listener.name.ssl.ssl.client.auth=required\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:admin;User:ANONYMOUS;User:CN=client\n",
            identity.display(),
            authority.display(),
        );
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            text.push_str(&format!(
                "listener.name.{listener}.plain.sasl.jaas.config={common}.plain.PlainLoginModule required {};\n\
                 listener.name.{listener}.scram-sha-256.sasl.jaas.config={common}.scram.ScramLoginModule required;\n\
                 listener.name.{listener}.scram-sha-512.sasl.jaas.config={common}.scram.ScramLoginModule required;\n\
                 listener.name.{listener}.oauthbearer.sasl.jaas.config={common}.oauthbearer.OAuthBearerLoginModule \
                 required unsecuredLoginStringClaim_sub=\"broker\";\n",
                users.join(" "),
            ));
        }
        Ok(text)
    }

    /// Arguments of the storage tool that create the users for SCRAM.
    pub(super) fn format_arguments(&self) -> Vec<String> {
        let mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
        let credentials = self.users.iter().flat_map(|(user, password)| {
            mechanisms.map(|name| format!("{name}=[name={user},password={password}]"))
        });
        credentials.flat_map(|credential| ["--add-scram".to_owned(), credential]).collect()
    }
}
