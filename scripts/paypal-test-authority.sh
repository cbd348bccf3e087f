#!/usr/bin/env bash
# Makes the test authority anew: the certificates and the key that sign the PayPal webhooks of message
# files and of the demonstration. They are public and therefore worthless: no worker believes them
# unless it is told to. The root's key is thrown away, so nothing else can ever be signed with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../src/message/paypal/test_authority"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Message files may play at any time the contract knows, so these are valid at all of them.
dates=(-startdate 19700101000000Z -enddate 99991231235959Z)
: >"$work/index.txt"
cat >"$work/ca.cnf" <<CONF
[ca]
default_ca = test
[test]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:messageverificationcerts.sandbox.paypal.com
CONF
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/root.key"
openssl req -new -config "$work/ca.cnf" -key "$work/root.key" -subj "/CN=credit-ledger test authority (worthless)" -out "$work/root.csr"
openssl ca -batch -notext -config "$work/ca.cnf" -selfsign -keyfile "$work/root.key" -extensions root "${dates[@]}" \
  -in "$work/root.csr" -out root.pem
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem
openssl req -new -config "$work/ca.cnf" -key key.pem -subj "/CN=credit-ledger test webhooks (worthless)" -out "$work/leaf.csr"
openssl ca -batch -notext -config "$work/ca.cnf" -cert root.pem -keyfile "$work/root.key" -extensions leaf "${dates[@]}" \
  -in "$work/leaf.csr" -out certificate.pem
# Another program's signature, which a test compares with the library's own.
printf '69cd13f0-d67a-11e5-baa3-778b53f4ae55|2016-02-18T20:01:35Z|1JE4291016473214C|3421780262' |
  openssl dgst -sha256 -sign key.pem -hex | sed 's/.*= //' >../tests/vector.txt
