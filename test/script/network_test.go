package script

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
)

// The listeners that face a network, each on a port of its own.
const networkConf = `
ssl = yes
ssl_cert = "$DIR/cert.pem"
ssl_key = "$DIR/key.pem"
haproxy_trusted_networks = ["127.0.0.1"]
login_trusted_networks = ["127.0.0.1"]
service lmtp {
  inet_listener "plain" {
    address = "127.0.0.1"
    port = %d
  }
  inet_listener "tls" {
    address = "127.0.0.1"
    port = %d
    ssl = yes
  }
  inet_listener "proxied" {
    address = "127.0.0.1"
    port = %d
    haproxy = yes
  }
}
`

// network is a system with those listeners.
type network struct {
	*mailtest.Culver
	plain, tls, proxied string // addresses
	roots               *x509.CertPool
}

// startNetwork tries other ports where one was taken meanwhile.
func startNetwork(t *testing.T) network {
	t.Helper()
	for range 5 {
		n := network{roots: x509.NewCertPool()}
		var ports []any
		for _, at := range []*string{&n.plain, &n.tls, &n.proxied} {
			port, err := mailtest.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			*at = fmt.Sprint("127.0.0.1:", port)
			ports = append(ports, port)
		}
		var err error
		n.Culver, err = mailtest.Prepare(mailtest.Options{Dir: filepath.Join(scratch(t), "system"), Names: []string{"alice"},
			FirstUID: firstUID, Extra: fmt.Sprintf(networkConf, ports...)})
		if err != nil {
			t.Fatal(err)
		}
		certify(t, n.Dir, n.roots)
		if err = n.Start(false); err == nil {
			t.Cleanup(func() {
				if err := n.Stop(); err != nil || t.Failed() {
					t.Logf("stop: %v\n%s", err, n.Trouble())
				}
			})
			return n
		}
		if !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
	t.Fatal("no free ports in five tries")
	return network{}
}

// certify makes a certificate for mail.example.org that signs itself.
func certify(t *testing.T, dir string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(text)
	for name, text := range map[string][]byte{
		"cert.pem": text,
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// connect comes from one of this machine's own addresses.
func connect(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// received is the header of alice's last message.
func (n network) received(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.Users[0].Home, "Maildir", "new", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("alice has %d messages (%v), want 1", len(files), err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(files[0])
	head, _, _ := strings.Cut(string(text), "\n\n")
	return head
}

func (n network) wantReceived(t *testing.T, part string) {
	t.Helper()
	if head := n.received(t); !strings.Contains(head, part) {
		t.Errorf("no %q in the header:\n%s", part, head)
	}
}

// session is on a connection whose greeting is still to come.
func session(t *testing.T, conn net.Conn) *mailtest.Session {
	t.Helper()
	s, err := mailtest.Greeted(conn, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t *testing.T, s *mailtest.Session, line, want string) {
	t.Helper()
	if got, err := s.Command(line); err != nil || !strings.HasPrefix(got, want) {
		t.Fatalf("%s: got %q (%v), want %s", line, got, err, want)
	}
}

// What a front takes from a network, through listeners that the master opened. The
// parts share one system and one mailbox, one after the other.
func TestNetworkListeners(t *testing.T) {
	t.Parallel()
	n := startNetwork(t)
	config := &tls.Config{RootCAs: n.roots, ServerName: "mail.example.org"}

	t.Run("STARTTLS", func(t *testing.T) {
		conn := connect(t, "127.0.0.1", n.plain)
		s := session(t, conn)
		say(t, s, "LHLO client.example.org", "250")
		say(t, s, "STARTTLS", "220 ")
		deliver(t, mailtest.Over(tls.Client(conn, config), func(line string) { t.Log(line) }))
		n.wantReceived(t, "using TLSv1.3 with cipher ")
	})
	t.Run("TLS from the first byte", func(t *testing.T) {
		deliver(t, session(t, tls.Client(connect(t, "127.0.0.1", n.tls), config)))
		n.wantReceived(t, "using TLSv1.3 with cipher ")
	})
	t.Run("PROXY names the client", func(t *testing.T) {
		conn := connect(t, "127.0.0.1", n.proxied)
		fmt.Fprint(conn, "PROXY TCP4 192.0.2.77 192.0.2.1 4711 24\r\n")
		deliver(t, session(t, conn))
		n.wantReceived(t, "[192.0.2.77]")
		if _, err := n.AwaitLog(patience, "Connect from 192.0.2.77"); err != nil {
			t.Error(err)
		}
	})
	t.Run("PROXY is missing", func(t *testing.T) {
		conn := connect(t, "127.0.0.1", n.proxied)
		fmt.Fprint(conn, "LHLO client.example.org\r\n")
		silent(t, conn)
	})
	t.Run("PROXY from a stranger", func(t *testing.T) {
		conn := connect(t, "127.0.0.2", n.proxied)
		fmt.Fprint(conn, "PROXY TCP4 127.0.0.1 192.0.2.1 4711 24\r\n")
		silent(t, conn)
		if _, err := n.AwaitLog(patience, "127.0.0.2 is not in haproxy_trusted_networks"); err != nil {
			t.Error(err)
		}
	})
	t.Run("XCLIENT names the client", func(t *testing.T) {
		s := session(t, connect(t, "127.0.0.1", n.plain))
		say(t, s, "LHLO relay.example.org", "250")
		say(t, s, "XCLIENT ADDR=192.0.2.88 PROTO=LMTP", "220 ")
		deliver(t, s)
		n.wantReceived(t, "[192.0.2.88]")
	})
	t.Run("XCLIENT from a stranger", func(t *testing.T) {
		s := session(t, connect(t, "127.0.0.2", n.plain))
		say(t, s, "LHLO relay.example.org", "250")
		say(t, s, "XCLIENT ADDR=192.0.2.99", "5")
		deliver(t, s)
		n.wantReceived(t, "[127.0.0.2]")
	})
}

// silent wants the server to hang up without a word.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	text, err := io.ReadAll(bufio.NewReader(conn))
	if len(text) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %q (%v), want a closed connection", text, err)
	}
}
