//! Choosing TCP ports for servers.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Lowest port that is ever chosen.
const LOWEST: u16 = 10_000;

/// A port of 127.0.0.1 that nobody listens on now.
///
/// It lies below the range from which the kernel takes ports for outgoing connections: a client that keeps trying to
/// reach a killed server there could otherwise be given that very port, connect to itself, and keep the server from coming back.
pub fn free_port() -> Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let upper = range.split_whitespace().next().and_then(|p| p.parse::<u16>().ok());
    let upper = upper.filter(|&p| p > LOWEST + 1000).unwrap_or(32_768);
    for _ in 0..1000 {
        let random = RandomState::new().build_hasher().finish();
        let port = LOWEST + (random % u64::from(upper - LOWEST)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free TCP port on 127.0.0.1 between {LOWEST} and {upper}")
}

/// Fails when something listens on `port` already, saying what the port was meant for.
pub fn must_be_free(port: u16, purpose: &str) -> Result<()> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port}, wanted for {purpose}, is not free ({error}): stop what listens there (`ss -ltnp` shows it) or choose another port"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_is_then_taken() {
        // A neighbour may be faster.
        let bound = |_| {
            let port = free_port().ok()?;
            Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?))
        };
        let (port, _held) = (0..10).find_map(bound).expect("a free port");
        let error = must_be_free(port, "the test").unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("the test"), "{error}");
    }
}
