//! Listeners as Connect writes them: `http://host:port`, an empty host for all interfaces.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, lookup_host};

/// Binds a listener; true if it is to speak TLS.
///
/// # Errors
/// If the URI is not one of http or https, or the port is taken.
pub(crate) async fn bind(uri: &str) -> anyhow::Result<(TcpListener, bool)> {
    let wrong = || format!("listeners: {uri:?} must be http://host:port or https://host:port");
    let (scheme, address) = uri.trim().split_once("://").with_context(wrong)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => bail!(wrong()),
    };
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').with_context(wrong)?;
    let port: u16 = port.parse().with_context(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let addresses: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .with_context(|| format!("listeners: no such host {host}"))?
        .collect();
    let listener = TcpListener::bind(&addresses[..]).await;
    let listener = listener
        .with_context(|| format!("cannot listen on {address}: is another worker running there?"))?;
    Ok((listener, tls))
}
