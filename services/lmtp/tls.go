package lmtp

import (
	"crypto/tls"
	"fmt"
	"strings"

	"culver/internal/settings/finished"
)

// tlsConfig gives nil when ssl is off or there is no certificate: the master
// has read and checked the files, the front never sees their paths.
func tlsConfig(b finished.Bag) (*tls.Config, error) {
	if b.String("ssl") == "no" || b["ssl_cert_pem"] == "" {
		return nil, nil
	}
	cert, err := tls.X509KeyPair([]byte(b["ssl_cert_pem"]), []byte(b["ssl_key_pem"]))
	if err != nil {
		return nil, fmt.Errorf("ssl_cert, ssl_key: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	switch b.String("ssl_min_protocol") {
	case "TLSv1":
		c.MinVersion = tls.VersionTLS10
	case "TLSv1.1":
		c.MinVersion = tls.VersionTLS11
	case "TLSv1.3":
		c.MinVersion = tls.VersionTLS13
	}
	return c, nil
}

// tlsDetail is Received's line about the connection.
func tlsDetail(s tls.ConnectionState) string {
	name := tls.CipherSuiteName(s.CipherSuite)
	bits := "256/256"
	if strings.Contains(name, "AES_128") {
		bits = "128/128"
	}
	version := strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1)
	return fmt.Sprintf("(using %s with cipher %s (%s bits))", version, name, bits)
}
