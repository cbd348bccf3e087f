//! Certificates for tests, each wrong in the one way its test is about.
//!
//! The unit tests and the fake PayPal of the integration tests share this file. The key that signs is
//! the test authority's, because RSA keys take seconds to make; authorities have keys of their own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// The key that signs webhooks, in PEM.
pub const KEY: &[u8] = include_bytes!("../test_authority/key.pem");
/// The name of the sandbox's certificate.
pub const SANDBOX: &str = "messageverificationcerts.sandbox.paypal.com";
/// The name of the live one.
pub const LIVE: &str = "messageverificationcerts.paypal.com";

/// What a certificate says.
#[derive(Clone)]
pub struct Terms {
    pub name: &'static str,
    /// Valid from the first day of this year.
    pub from: i32,
    /// Valid until the first day of this year.
    pub until: i32,
    pub usage: Vec<ExtendedKeyUsagePurpose>,
    /// An elliptic key instead of the RSA key that signs.
    pub elliptic: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { name: SANDBOX, from: 2020, until: 2099, usage: vec![ExtendedKeyUsagePurpose::ServerAuth], elliptic: false }
    }
}

impl Terms {
    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(vec![self.name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, self.name);
        (params.not_before, params.not_after) = (date_time_ymd(self.from, 1, 1), date_time_ymd(self.until, 1, 1));
        params.extended_key_usages.clone_from(&self.usage);
        params
    }

    fn key(&self) -> KeyPair {
        if self.elliptic {
            return KeyPair::generate().unwrap();
        }
        KeyPair::try_from(&PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap()
    }

    /// Signed by nobody but itself.
    pub fn self_signed(&self) -> String {
        pem(&self.params().self_signed(&self.key()).unwrap())
    }
}

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    /// A root of its own.
    pub fn root(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// An authority below this one.
    pub fn below(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(1990, 1, 1), date_time_ymd(4000, 1, 1));
        params
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// A certificate of this authority.
    pub fn issue(&self, terms: &Terms) -> String {
        pem(&terms.params().signed_by(&terms.key(), &self.issuer).unwrap())
    }
}

fn pem(certificate: &Certificate) -> String {
    let text = BASE64_STANDARD.encode(certificate.der());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
