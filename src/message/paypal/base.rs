//! Where PayPal answers, and the one form that a certificate's address may have.
//!
//! Owns the list of PayPal's hosts. Without it whoever sends a webhook would choose the key it is
//! verified with. An address is compared as text with what is allowed and never parsed, so no two
//! readers of it can disagree about its host.

/// Where PayPal keeps the certificates that sign webhooks.
const CERTIFICATES: &str = "/v1/notifications/certs/";
/// PayPal's names have about thirty characters.
const NAME_BYTES_MAX: usize = 128;
/// PayPal's own hosts, and whether money is real there.
const PAYPAL: [(&str, bool); 4] =
    [("api.paypal.com", true), ("api-m.paypal.com", true), ("api.sandbox.paypal.com", false), ("api-m.sandbox.paypal.com", false)];
/// Hosts that may be asked without TLS: nobody stands between.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

/// An address that stands for no host that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form https://host or https://host:port (http:// only for 127.0.0.1 and localhost)")]
pub struct BadBase(String);

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    text: String,
    is_tls: bool,
    host: String,
    port: u16,
    livemode: Option<bool>,
}

impl Base {
    /// Reads `https://host`, `https://host:port`, or the same with `http` for this machine.
    ///
    /// # Errors
    /// [`BadBase`] for anything else: no path, no user, no upper case.
    pub fn new(text: &str) -> Result<Self, BadBase> {
        let bad = || BadBase(text.chars().take(NAME_BYTES_MAX).collect());
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad()),
        };
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, port_of(port).ok_or_else(bad)?),
            None => (rest, if is_tls { 443 } else { 80 }),
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
        let is_host = (1..=253).contains(&host.len()) && host.bytes().all(plain);
        if !is_host || !(is_tls || LOOPBACK.contains(&host)) {
            return Err(bad());
        }
        let livemode = PAYPAL.into_iter().find(|(paypal, _)| is_tls && port == 443 && *paypal == host).map(|(_, live)| live);
        Ok(Self { text: text.to_owned(), is_tls, host: host.to_owned(), port, livemode })
    }

    /// Where PayPal's API is for webhooks whose certificates are here.
    #[must_use]
    pub fn api(&self) -> Self {
        let api = match self.livemode {
            Some(true) => Self::new("https://api-m.paypal.com"),
            Some(false) => Self::new("https://api-m.sandbox.paypal.com"),
            None => return self.clone(),
        };
        api.unwrap_or_else(|_| self.clone())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether money is real there; `None` for a host that is not PayPal's.
    #[must_use]
    pub fn livemode(&self) -> Option<bool> {
        self.livemode
    }
}

/// A port in its one spelling.
fn port_of(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok().filter(|port| *port > 0)?;
    (port.to_string() == text).then_some(port)
}

/// The address of a certificate that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateUrl {
    text: String,
    base: Base,
}

impl CertificateUrl {
    /// The base it is fetched from.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// What is asked for there.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.strip_prefix(self.base.as_str()).unwrap_or_default()
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads the address of a certificate: one of PayPal's hosts, or one of `extra`, and below
/// `/v1/notifications/certs/` a single name of letters, digits, `-`, `_` and `.`, which cannot spell a
/// user, a port, a query, a fragment, a dot segment or an encoded slash. `None` for anything else.
#[must_use]
pub fn certificate_url(text: &str, extra: &[Base]) -> Option<CertificateUrl> {
    let own = PAYPAL.into_iter().filter_map(|(host, _)| Base::new(&format!("https://{host}")).ok());
    let base = own.chain(extra.iter().cloned()).find(|base| name(text, base).is_some())?;
    Some(CertificateUrl { text: text.to_owned(), base })
}

fn name<'a>(text: &'a str, base: &Base) -> Option<&'a str> {
    let name = text.strip_prefix(base.as_str())?.strip_prefix(CERTIFICATES)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_paypals_hosts_are_fetched() {
        for (text, livemode) in [
            ("https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270", true),
            ("https://api-m.paypal.com/v1/notifications/certs/a", true),
            ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270", false),
            ("https://api-m.sandbox.paypal.com/v1/notifications/certs/cert_1.pem", false),
        ] {
            let url = certificate_url(text, &[]).unwrap();
            assert_eq!((url.as_str(), url.base().livemode()), (text, Some(livemode)));
            assert_eq!(format!("{}{}", url.base().as_str(), url.path()), text);
            assert!(url.base().is_tls() && url.base().port() == 443);
        }
    }

    #[test]
    fn no_other_address_is_fetched() {
        let long = format!("https://api.paypal.com/v1/notifications/certs/{}", "a".repeat(129));
        for text in [
            "",
            "https://api.paypal.com",
            "https://api.paypal.com/v1/notifications/certs/",
            "https://api.paypal.com/v1/notifications/certs",
            "http://api.paypal.com/v1/notifications/certs/a",
            "HTTPS://api.paypal.com/v1/notifications/certs/a",
            "https://API.paypal.com/v1/notifications/certs/a",
            " https://api.paypal.com/v1/notifications/certs/a",
            "https://api.paypal.com/v1/notifications/certs/a\n",
            "https://api.paypal.com.evil.example/v1/notifications/certs/a",
            "https://evil.example/https://api.paypal.com/v1/notifications/certs/a",
            "https://www.paypal.com/v1/notifications/certs/a",
            "https://xapi.paypal.com/v1/notifications/certs/a",
            "https://api.paypal.com@evil.example/v1/notifications/certs/a",
            "https://api.paypal.com:pass@evil.example/v1/notifications/certs/a",
            "https://user@api.paypal.com/v1/notifications/certs/a",
            "https://api.paypal.com:443/v1/notifications/certs/a",
            "https://api.paypal.com:8443/v1/notifications/certs/a",
            "https://api.paypal.com\\@evil.example/v1/notifications/certs/a",
            "https://api.paypal.com/v1/notifications/certs/../../../x",
            "https://api.paypal.com/v1/notifications/certs/..",
            "https://api.paypal.com/v1/notifications/certs/.hidden",
            "https://api.paypal.com/v1/notifications/certs/a/b",
            "https://api.paypal.com/v1/notifications/certs/a%2fb",
            "https://api.paypal.com/v1/notifications/certs/%2e%2e",
            "https://api.paypal.com/v1/notifications/certs/a?x=1",
            "https://api.paypal.com/v1/notifications/certs/a#x",
            "https://api.paypal.com/v1/notifications/certs/a;b",
            "https://api.paypal.com//v1/notifications/certs/a",
            "https://api.paypal.com/v2/notifications/certs/a",
            "file:///v1/notifications/certs/a",
            "https://127.0.0.1:4000/v1/notifications/certs/a",
            "https://api.paypal.com/v1/notifications/certs/ä",
            &long,
        ] {
            assert_eq!(certificate_url(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn another_base_counts_only_when_it_is_named() {
        let base = Base::new("http://127.0.0.1:4000").unwrap();
        let text = "http://127.0.0.1:4000/v1/notifications/certs/a";
        let url = certificate_url(text, std::slice::from_ref(&base)).unwrap();
        assert_eq!((url.base(), url.path()), (&base, "/v1/notifications/certs/a"));
        assert_eq!((base.host(), base.port(), base.is_tls(), base.livemode()), ("127.0.0.1", 4000, false, None));
        assert_eq!(certificate_url("http://127.0.0.1:40000/v1/notifications/certs/a", &[base]), None);
    }

    #[test]
    fn bases_are_hosts_and_nothing_else() {
        assert_eq!(Base::new("https://api-m.paypal.com").unwrap().livemode(), Some(true));
        assert_eq!(Base::new("https://api-m.paypal.com:8443").unwrap().livemode(), None, "another service of the host");
        assert_eq!(Base::new("https://test.invalid").unwrap().port(), 443);
        assert_eq!(Base::new("http://localhost").unwrap().port(), 80);
        for text in [
            "",
            "https://",
            "api.paypal.com",
            "http://api.paypal.com",
            "http://10.0.0.1:80",
            "https://a:0",
            "https://a:",
            "https://a:080",
            "https://a:+80",
            "https://a:65536",
            "https://a/",
            "https://u@a",
            "https://a b",
            "https://A",
            "ftp://127.0.0.1",
        ] {
            assert!(Base::new(text).is_err(), "{text}");
        }
    }
}
