//! Listeners as Connect writes them: `http://host:port`, an empty host for all interfaces.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, lookup_host};

/// Binds a listener.
///
/// # Errors
/// If the URI is not one of http, or the port is taken.
pub(crate) async fn bind(uri: &str) -> anyhow::Result<TcpListener> {
    let wrong = || format!("listeners: {uri:?} must be http://host:port");
    let (scheme, address) = uri.trim().split_once("://").with_context(wrong)?;
    if !scheme.eq_ignore_ascii_case("http") {
        bail!("{}; https is not supported by this version", wrong());
    }
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').with_context(wrong)?;
    let port: u16 = port.parse().with_context(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let addresses: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .with_context(|| format!("listeners: no such host {host}"))?
        .collect();
    let listener = TcpListener::bind(&addresses[..]).await;
    listener
        .with_context(|| format!("cannot listen on {address}: is another worker running there?"))
}
