//! Connections, and what PostgreSQL's errors mean.

use std::{future::poll_fn, hash::BuildHasher, sync::Arc, time::Duration};

use connect_core::error::{Error, Result};
use connectors_jdbc::{
    connection::{Settings, cause, invalid},
    names::Quote,
};
use rustls::ClientConfig;
use tokio::{sync::watch, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Socket,
    config::{ChannelBinding, SslMode, TargetSessionAttrs},
    error::SqlState,
    tls::MakeTlsConnect,
};

use crate::{
    errors::{HANDSHAKE, error},
    session::Session,
    tls::{self, Mode, Tls},
};

const DEFAULT_PORT: u16 = 5432;
/// Seconds that a host may take for the TCP connection, as in pgjdbc.
const CONNECT_TIMEOUT: u64 = 10;
/// Seconds that a host may take for all of it: one that takes connections and then says nothing is not waited for.
const LOGIN_TIMEOUT: u64 = 60;
/// Idle time after which the kernel asks whether the server is still there, and how often it asks.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 6);

/// The driver's parameters that are honoured, and those that can be left aside without harm.
pub(crate) const PARAMETERS: &[&str] = &[
    "ApplicationName",
    "channelBinding",
    "connectTimeout",
    "currentSchema",
    "loadBalanceHosts",
    "loginTimeout",
    "options",
    "socketTimeout",
    "ssl",
    "sslcert",
    "sslfactory",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "targetServerType",
    "tcpKeepAlive",
    // Of the JVM's driver alone: how it prepares, fetches and batches.
    "adaptiveFetch",
    "adaptiveFetchMaximum",
    "adaptiveFetchMinimum",
    "allowEncodingChanges",
    "assumeMinServerVersion",
    "autosave",
    "binaryTransfer",
    "binaryTransferDisable",
    "binaryTransferEnable",
    "cancelSignalTimeout",
    "cleanupSavepoints",
    "databaseMetadataCacheFields",
    "databaseMetadataCacheFieldsMiB",
    "defaultRowFetchSize",
    "disableColumnSanitiser",
    "escapeSyntaxCallMode",
    "groupStartupParameters",
    "gssEncMode",
    "hideUnprivilegedObjects",
    "hostRecheckSeconds",
    "logServerErrorDetail",
    "logUnclosedConnections",
    "loggerFile",
    "loggerLevel",
    "maxResultBuffer",
    "preferQueryMode",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "prepareThreshold",
    "quoteReturningIdentifiers",
    "reWriteBatchedInserts",
    "readOnly",
    "readOnlyMode",
    "receiveBufferSize",
    "sendBufferSize",
    "sslResponseTimeout",
    "stringtype",
    "tcpNoDelay",
    "unknownLength",
];

/// Connects to the first of the URL's hosts that answers and is of the wanted kind.
pub(crate) async fn connect(settings: &Settings) -> Result<Session> {
    let plan = Plan::new(settings)?;
    let (client, connection) = settings.attempt(|| plan.connect()).await?;
    // The driver's own task: it moves bytes until the client is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to PostgreSQL ended");
        }
    });
    let schemas = settings.parameter("currentSchema");
    let session = Session::new(client, schemas);
    if let Some(schemas) = schemas {
        // What is no list of names shows here, and not as an error of what is read or written.
        let checked = session.run_alone("SELECT 1").await;
        checked.map_err(|e| {
            let e = error("setting up the session", e);
            if e.is_retriable() { e } else { Error::config(format!("Invalid value {schemas} for the connection's parameter currentSchema: a list of schemas expected")).with_source(e) }
        })?;
    }
    Ok(session)
}

/// Listens on a channel, on a connection of its own, which ends when nobody looks at the changes any more.
pub(crate) async fn listen(settings: &Settings, channel: &str) -> Result<watch::Receiver<()>> {
    let (client, mut connection) = Plan::new(settings)?.connect().await?;
    let (client, (told, changes)) = (Arc::new(client), watch::channel(()));
    // The driver's own task, and the one that keeps the client: without it the connection ends.
    let kept = Arc::clone(&client);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = told.closed() => break,
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => drop(told.send(())),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the connection that listens ended");
                        break;
                    }
                    None => break,
                },
            }
        }
        drop(kept);
    });
    let listen = format!("LISTEN {}", Quote::Double.always().identifier(channel));
    client.batch_execute(&listen).await.map_err(|e| error("listening", e))?;
    Ok(changes)
}

/// A client, and what moves its bytes.
type Opened = (Client, Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>);

/// Everything that the settings say, so that what is wrong with them shows before the first attempt.
struct Plan {
    hosts: Vec<Host>,
    config: Config,
    mode: Mode,
    target: Target,
    shuffled: bool,
    login: Option<Duration>,
}

struct Host {
    /// What the URL calls it.
    name: String,
    /// Where that leads.
    address: (String, u16),
    tls: Tls,
}

impl Plan {
    fn new(settings: &Settings) -> Result<Self> {
        let mode = Mode::of(settings)?;
        let config = tls::client_config(settings, mode)?;
        let host = |(index, address)| host(settings, (index, address), &config, mode);
        let addresses = settings.url.addresses(DEFAULT_PORT, &settings.resolve);
        Ok(Self {
            hosts: addresses.into_iter().enumerate().map(host).collect(),
            config: options(settings)?,
            mode,
            target: Target::of(settings)?,
            shuffled: settings.flag("loadBalanceHosts")?.unwrap_or(false),
            login: seconds(settings, "loginTimeout", Some(LOGIN_TIMEOUT))?,
        })
    }

    async fn connect(&self) -> Result<Opened> {
        let mut hosts: Vec<&Host> = self.hosts.iter().collect();
        if self.shuffled {
            // Each of these hashes differently, which is random enough to spread connections.
            let random = std::hash::RandomState::new();
            hosts.sort_by_key(|host| random.hash_one(&host.address));
        }
        let mut worst: Option<Error> = None;
        for wanted in self.target.passes() {
            for host in &hosts {
                let error = match self.open(host, *wanted).await {
                    Ok(opened) => return Ok(opened),
                    Err(error) => error,
                };
                tracing::debug!(%error, "a host cannot be used");
                // A refusal is what has to be seen to: the other hosts may be down for long.
                if worst.as_ref().is_none_or(Error::is_retriable) {
                    worst = Some(error);
                }
            }
        }
        Err(match (worst, self.target) {
            (None, _) => Error::config("connection.url names no host"),
            (Some(error), Target::Any) => error,
            (Some(error), target) => error.context("targetServerType", target.name()),
        })
    }

    /// Connects to one host, with and without TLS where the mode leaves that open.
    async fn open(&self, host: &Host, wanted: TargetSessionAttrs) -> Result<Opened> {
        let (first, second) = match self.mode {
            Mode::Disable => (SslMode::Disable, None),
            Mode::Allow => (SslMode::Disable, Some(SslMode::Require)),
            Mode::Prefer => (SslMode::Prefer, Some(SslMode::Disable)),
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => (SslMode::Require, None),
        };
        let failed = match self.once(host, wanted, first).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        let Some(second) = second.filter(|_| failed.may_be_the_encryption()) else {
            return Err(failed.at(host));
        };
        tracing::debug!(host = host.name, ?second, "trying with the other kind of encryption");
        match self.once(host, wanted, second).await {
            Ok(opened) => Ok(opened),
            // Neither way is allowed: the first is the one that was wanted.
            Err(again) if again.may_be_the_encryption() => Err(failed.at(host)),
            Err(again) => Err(again.at(host)),
        }
    }

    async fn once(
        &self,
        host: &Host,
        wanted: TargetSessionAttrs,
        ssl: SslMode,
    ) -> Result<Opened, Failed> {
        let mut config = self.config.clone();
        config.host(&host.address.0).port(host.address.1).ssl_mode(ssl);
        config.target_session_attrs(wanted);
        let connecting = config.connect(host.tls.clone());
        let connected = match self.login {
            None => connecting.await,
            Some(limit) => timeout(limit, connecting).await.map_err(|_| Failed::Late(limit))?,
        };
        connected.map_err(Failed::Driver)
    }
}

/// Why one attempt failed.
enum Failed {
    Driver(tokio_postgres::Error),
    Late(Duration),
}

impl Failed {
    /// Whether it may go better with, or without, TLS.
    fn may_be_the_encryption(&self) -> bool {
        let Self::Driver(error) = self else { return false };
        // "no pg_hba.conf entry ..., no encryption" has this code, a wrong password another.
        let code = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        code || cause::<rustls::Error>(error).is_some() || error.to_string().starts_with(HANDSHAKE)
    }

    fn at(self, host: &Host) -> Error {
        let error = match self {
            Self::Driver(e) => error("connecting", e),
            Self::Late(limit) => {
                let message = format!("PostgreSQL did not answer within {} s", limit.as_secs());
                Error::connection(message).context("doing", "connecting")
            }
        };
        error.context("host", format!("{}:{}", host.name, host.address.1))
    }
}

fn host(
    settings: &Settings,
    (index, address): (usize, (String, u16)),
    config: &ClientConfig,
    mode: Mode,
) -> Host {
    let name = settings.url.hosts.get(index).map_or(&address.0, |(name, _)| name).clone();
    Host { tls: Tls::new(config, &name, mode), name, address }
}

/// What is the same for all hosts.
fn options(settings: &Settings) -> Result<Config> {
    let mut config = Config::new();
    // Without a name the server takes the user's, as for the JVM.
    if !settings.url.database.is_empty() {
        config.dbname(&settings.url.database);
    }
    if let Some(user) = settings.user() {
        config.user(user);
    }
    if let Some(password) = settings.password() {
        config.password(password);
    }
    config.application_name(settings.parameter("ApplicationName").unwrap_or("ferrovia"));
    if let Some(limit) = seconds(settings, "connectTimeout", Some(CONNECT_TIMEOUT))? {
        config.connect_timeout(limit);
    }
    // A limit on unacknowledged bytes: it ends a connection that is dead, never a query that is slow.
    if let Some(limit) = seconds(settings, "socketTimeout", None)? {
        config.tcp_user_timeout(limit);
    }
    let (idle, interval, retries) = KEEPALIVE;
    config.keepalives(settings.flag("tcpKeepAlive")?.unwrap_or(true));
    config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
    config.channel_binding(channel_binding(settings)?);
    // Nothing of our own: a pooler may refuse it, or drop it without a word.
    if let Some(options) = settings.parameter("options") {
        config.options(options);
    }
    Ok(config)
}

/// Whether the password's proof is bound to the server's certificate, so that nobody can pass it on.
fn channel_binding(settings: &Settings) -> Result<ChannelBinding> {
    let Some(text) = settings.parameter("channelBinding") else {
        return Ok(ChannelBinding::Prefer);
    };
    Ok(match text.to_ascii_lowercase().as_str() {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => {
            let why = "one of disable, prefer, require expected";
            return Err(invalid("channelBinding", text, why));
        }
    })
}

/// A number of seconds; none for 0, which means "for ever" to the JVM's driver.
fn seconds(settings: &Settings, name: &str, default: Option<u64>) -> Result<Option<Duration>> {
    let seconds = settings.number(name)?.or(default);
    Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// Which kind of server is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Any,
    Primary,
    Secondary,
    PreferPrimary,
    PreferSecondary,
}

impl Target {
    fn of(settings: &Settings) -> Result<Self> {
        let Some(text) = settings.parameter("targetServerType") else { return Ok(Self::Any) };
        Ok(match text.to_ascii_lowercase().as_str() {
            "any" => Self::Any,
            "primary" | "master" => Self::Primary,
            "secondary" | "slave" => Self::Secondary,
            "preferprimary" => Self::PreferPrimary,
            "prefersecondary" | "preferslave" => Self::PreferSecondary,
            _ => {
                let kinds = "one of any, primary, secondary, preferPrimary, preferSecondary";
                return Err(invalid("targetServerType", text, &format!("{kinds} expected")));
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::PreferPrimary => "preferPrimary",
            Self::PreferSecondary => "preferSecondary",
        }
    }

    /// What is asked of all hosts, one after the other.
    fn passes(self) -> &'static [TargetSessionAttrs] {
        use TargetSessionAttrs::{Any, ReadOnly, ReadWrite};
        match self {
            Self::Any => &[Any],
            Self::Primary => &[ReadWrite],
            Self::Secondary => &[ReadOnly],
            Self::PreferPrimary => &[ReadWrite, Any],
            Self::PreferSecondary => &[ReadOnly, Any],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_once() {
        let mut names: Vec<_> = PARAMETERS.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PARAMETERS.len());
    }
}
