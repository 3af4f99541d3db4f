// Package servertls is how a front speaks TLS to its clients.
//
// Runs as:   the fronts, each its own user.
// Trusts:    the master, which has read the certificate and the key: a front never
// sees where they lie.
// Distrusts: clients.
// Speaks:    TLS 1.2 and later (RFC 5246, 8446), ALPN (RFC 7301).
package servertls

import (
	"crypto/tls"
	"fmt"
	"strings"

	"culver/internal/settings/finished"
)

// Config gives nil where ssl is off or there is no certificate. A client that
// names protocols by ALPN must name one of these.
func Config(b finished.Bag, protocols ...string) (*tls.Config, error) {
	if b["ssl"] == "" || b["ssl"] == "no" || b["ssl_cert_pem"] == "" {
		return nil, nil
	}
	cert, err := tls.X509KeyPair([]byte(b["ssl_cert_pem"]), []byte(b["ssl_key_pem"]))
	if err != nil {
		return nil, fmt.Errorf("ssl_cert, ssl_key: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: protocols}
	if b["ssl_min_protocol"] == "TLSv1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	return c, nil
}

// Detail is what a connection speaks, as Received and Dovecot's log have it.
func Detail(s tls.ConnectionState) string {
	name := tls.CipherSuiteName(s.CipherSuite)
	bits := "256/256"
	if strings.Contains(name, "AES_128") {
		bits = "128/128"
	}
	version := strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1)
	return fmt.Sprintf("%s with cipher %s (%s bits)", version, name, bits)
}
