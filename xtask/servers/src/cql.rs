//! As much of Cassandra's native protocol (version 4) as creating a table and reading a row need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const STARTUP: u8 = 0x01;
const OPTIONS: u8 = 0x05;
const QUERY: u8 = 0x07;
const ERROR: u8 = 0x00;
const SUPPORTED: u8 = 0x06;
const RESULT: u8 = 0x08;
/// A result with rows.
const ROWS: i32 = 2;
/// Flag of a result: the table's name is given once, not at every column.
const GLOBAL_TABLE: i32 = 1;
/// Flag of a result: there are more rows than these.
const MORE_PAGES: i32 = 2;

/// Whether a node on `port` of 127.0.0.1 answers its clients.
pub(crate) fn ready(port: u16) -> bool {
    let answer = connect(port).and_then(|mut node| exchange(&mut node, OPTIONS, &[]));
    answer.is_ok_and(|(kind, _)| kind == SUPPORTED)
}

/// Runs one statement and returns its rows, every value as text.
pub(crate) fn query(port: u16, statement: &str) -> Result<Vec<Vec<Option<String>>>> {
    let mut node = connect(port)?;
    let version: Vec<u8> =
        [&1_u16.to_be_bytes()[..], &string("CQL_VERSION"), &string("3.0.0")].concat();
    exchange(&mut node, STARTUP, &version)?;
    let length = u32::try_from(statement.len())?.to_be_bytes();
    // Consistency ONE, no flags.
    let body = [&length[..], statement.as_bytes(), &1_u16.to_be_bytes(), &[0]].concat();
    let (kind, body) = exchange(&mut node, QUERY, &body)?;
    ensure!(kind == RESULT, "an answer of kind {kind} where a result was due");
    let mut body = Body(&body);
    if body.int()? == ROWS { rows(&mut body) } else { Ok(Vec::new()) }
}

fn rows(body: &mut Body<'_>) -> Result<Vec<Vec<Option<String>>>> {
    let (flags, columns) = (body.int()?, body.int()?);
    ensure!(flags & MORE_PAGES == 0, "more rows than fit in one page");
    if flags & GLOBAL_TABLE != 0 {
        body.table()?;
    }
    for _ in 0..columns {
        if flags & GLOBAL_TABLE == 0 {
            body.table()?;
        }
        let name = body.string()?;
        // Simple types are one number; collections and the like nest further types.
        let kind = body.short()?;
        ensure!(kind < 0x20, "column {name} is of a type that is not read here ({kind:#x})");
    }
    let count = body.int()?;
    (0..count).map(|_| (0..columns).map(|_| body.value()).collect()).collect()
}

fn connect(port: u16) -> Result<TcpStream> {
    let node = TcpStream::connect(("127.0.0.1", port))?;
    node.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(node)
}

fn exchange(node: &mut TcpStream, opcode: u8, body: &[u8]) -> Result<(u8, Vec<u8>)> {
    let length = u32::try_from(body.len())?.to_be_bytes();
    node.write_all(&[&[4, 0, 0, 0, opcode][..], &length, body].concat())?;
    let mut header = [0; 9];
    node.read_exact(&mut header)?;
    let [_, _, _, _, kind, length @ ..] = header;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    node.read_exact(&mut answer)?;
    if kind == ERROR {
        let mut body = Body(&answer);
        let (code, message) = (body.int()?, body.string()?);
        bail!("{message} (code {code:#x})");
    }
    Ok((kind, answer))
}

fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

/// What is left to read of an answer.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("the answer ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn int(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.bytes(4)?.try_into()?))
    }

    fn short(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.bytes(2)?.try_into()?))
    }

    fn string(&mut self) -> Result<String> {
        let length = self.short()?;
        Ok(String::from_utf8_lossy(self.bytes(length.into())?).into_owned())
    }

    /// Skips the name of a keyspace and a table.
    fn table(&mut self) -> Result<()> {
        self.string()?;
        self.string().map(drop)
    }

    fn value(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(self.bytes(length)?).into_owned()))
    }
}
