package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is one that signs certificates for tests.
type Authority struct {
	Dir   string
	PEM   string // its own certificate
	Roots *x509.CertPool

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificate is a pair of files, and what is in them.
type Certificate struct{ CertFile, KeyFile, Cert, Key string }

// NewAuthority writes its certificate to ca.pem in dir.
func NewAuthority(t testing.TB, dir string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{Dir: dir, Roots: x509.NewCertPool(), t: t, key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	a.cert.Subject.CommonName = "authority of a test"
	der := a.sign(a.cert, a.cert, key)
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.Roots.AddCert(a.cert)
	a.write("ca.pem", a.PEM, 0o644)
	return a
}

// Issue makes a certificate for a host, by name or address, which is good up to
// that moment, in the files name.pem and name.key.
func (a *Authority) Issue(name, host string, until time.Time) Certificate {
	a.t.Helper()
	return a.issue(name, host, until, a.cert, a.key)
}

// SelfSigned makes one that no authority stands for.
func (a *Authority) SelfSigned(name, host string) Certificate {
	a.t.Helper()
	return a.issue(name, host, time.Now().Add(time.Hour), nil, nil)
}

func (a *Authority) issue(name, host string, until time.Time, parent *x509.Certificate, by *ecdsa.PrivateKey) Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	c.Subject.CommonName = host
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	if parent == nil {
		parent, by = c, key
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	made := Certificate{
		Cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.signFor(c, parent, key, by)})),
		Key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
	made.CertFile, made.KeyFile = a.write(name+".pem", made.Cert, 0o644), a.write(name+".key", made.Key, 0o600)
	return made
}

func (a *Authority) sign(c, parent *x509.Certificate, by *ecdsa.PrivateKey) []byte {
	return a.signFor(c, parent, by, by)
}

func (a *Authority) signFor(c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func (a *Authority) write(name, text string, mode os.FileMode) string {
	a.t.Helper()
	path := filepath.Join(a.Dir, name)
	if err := errors.Join(os.MkdirAll(a.Dir, 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		a.t.Fatal(err)
	}
	return path
}
