//! `health`: is a worker ready?
//!
//! Owns one plain HTTP request. Prints the worker's own words.

use super::{BadInput, print};
use anyhow::{Context as _, bail};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a worker may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The worker's address; without it, `CREDITS_HTTP_BIND` on this machine.
    #[arg(long, env = "HTTP_URL", value_name = "URL")]
    http_url: Option<String>,
    /// Where a worker on this machine listens.
    #[arg(long, env = "CREDITS_HTTP_BIND", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    http_bind: String,
}

pub async fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let (address, base) = target(args)?;
    let asked = tokio::time::timeout(DEADLINE, ask(&address, &base));
    let (status, body) = asked.await.with_context(|| format!("no answer from {address} within {} s", DEADLINE.as_secs()))??;
    print(body.trim())?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Host and port, and the path in front of `/readyz`.
fn target(args: &HealthArgs) -> anyhow::Result<(String, String)> {
    let Some(url) = args.http_url.as_deref().filter(|url| !url.is_empty()) else {
        let Some((_, port)) = args.http_bind.rsplit_once(':') else {
            return Err(BadInput::new(format!("{:?} is no HOST:PORT; set CREDITS_HTTP_BIND as the worker has it", args.http_bind)));
        };
        return Ok((format!("127.0.0.1:{port}"), String::new()));
    };
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(BadInput::new("the worker's address must begin with http://; for TLS ask through the proxy that ends it"));
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let path = path.trim_end_matches('/');
    Ok((address, if path.is_empty() { String::new() } else { format!("/{path}") }))
}

async fn ask(address: &str, base: &str) -> anyhow::Result<(u16, String)> {
    let connected = TcpStream::connect(address).await;
    let mut stream = connected.with_context(|| format!("nobody answers at {address}; check that the worker runs and the address"))?;
    let request = format!("GET {base}/readyz HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { bail!("what listens at {address} does not speak HTTP; check the address") };
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let target = |url: Option<&str>, bind: &str| {
            target(&HealthArgs { http_url: url.map(ToOwned::to_owned), http_bind: bind.into() }).map_err(|error| error.to_string())
        };
        let pair = |host: &str, path: &str| Ok((host.to_owned(), path.to_owned()));
        assert_eq!(target(None, "0.0.0.0:9000"), pair("127.0.0.1:9000", ""));
        assert_eq!(target(Some("http://worker"), ""), pair("worker:80", ""));
        assert_eq!(target(Some("http://worker:1/base/"), ""), pair("worker:1", "/base"));
        assert!(target(Some("https://worker"), "").is_err());
        assert!(target(None, "8080").is_err());
    }
}
