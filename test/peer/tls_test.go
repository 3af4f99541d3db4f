package peer

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// tlsListener is a listener of ours that begins with TLS, beside the one that the
// harness makes; no password is taken in the clear.
const tlsListener = `
ssl = required
ssl_cert = %q
ssl_key = %q
service doveadm {
  inet_listener "doveadms" {
    address = "127.0.0.1"
    port    = %d
    ssl     = yes
  }
}
`

// overTLS are the ways in which a client protects a connection, of either
// release and of ours.
var overTLS = []string{"ssl", "starttls"}

// clientTLS has a client speak TLS. Dovecot's takes no notice of doveadm_ssl where
// doveadm_port is 0.
func clientTLS(mode, authority string, port int) []string {
	return []string{"-o", "doveadm_ssl=" + mode, "-o", "ssl_client_ca_file=" + authority, "-o", fmt.Sprint("doveadm_port=", port)}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := mailtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestDovecotsDoveadmDrivesOursOverTLS: from the first byte and by STARTTLS. Nothing
// but TLS gets through; and a certificate of another host, or of a stranger, ends it
// on the client's side.
func TestDovecotsDoveadmDrivesOursOverTLS(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, r := range releases {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, 1)
			a := mailtest.NewAuthority(t, filepath.Join(dir, "tls"))
			cert, stranger := a.Issue("server", "127.0.0.1", time.Now().Add(time.Hour)), a.SelfSigned("stranger", "127.0.0.1")
			port := freePort(t)
			c := startCulver(t, dir, users, fmt.Sprintf(tlsListener, cert.CertFile, cert.KeyFile, port))
			d := r.start(t, dir, users)
			ca := filepath.Join(a.Dir, "ca.pem")
			ask := func(at int, options ...string) (system.Said, error) {
				return d.Doveadm("", append(options, "mailbox", "list", "-S", fmt.Sprint("127.0.0.1:", at), "-u", users.Name(1))...)
			}
			for _, mode := range overTLS {
				at := map[string]int{"ssl": port, "starttls": c.AdminPort}[mode]
				if said, err := ask(at, clientTLS(mode, ca, at)...); err != nil || said.Code != 0 || strings.TrimSpace(said.Out) != "INBOX" {
					t.Errorf("%s: got %+v (%v), want INBOX", mode, said, err)
				}
				if said, _ := ask(at, clientTLS(mode, stranger.CertFile, at)...); said.Code == 0 {
					t.Errorf("%s with another authority: got %+v", mode, said)
				}
			}
			if _, err := c.AwaitLog(20*time.Second, "logged in as doveadm, TLSv1."); err != nil {
				t.Error(err)
			}
			if said, _ := ask(c.AdminPort); said.Code == 0 {
				t.Errorf("without TLS: got %+v", said)
			}
			if _, err := c.AwaitLog(20*time.Second, "a password without TLS"); err != nil {
				t.Error(err)
			}
		})
	}
}

const dovecot23TLS = `
ssl = yes
ssl_cert = <%[1]s
ssl_key = <%[2]s
service doveadm {
  inet_listener tls {
    port = %[3]d
    ssl = yes
  }
}
`

const dovecot24TLS = `
ssl = yes
ssl_server_cert_file = %[1]s
ssl_server_key_file = %[2]s
service doveadm {
  inet_listener tls {
    port = %[3]d
    ssl = yes
  }
}
`

// TestOurDoveadmDrivesDovecotOverTLS: both ways with both releases; and with a
// certificate that is not what it should be the password stays here.
func TestOurDoveadmDrivesDovecotOverTLS(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, r := range []struct {
		name  string
		start func(*testing.T, string, system.Users, string) *system.Dovecot
		conf  string
	}{{"2.3", startDovecotWith, dovecot23TLS}, {"2.4", startDovecot24With, dovecot24TLS}} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, 1)
			a := mailtest.NewAuthority(t, filepath.Join(dir, "tls"))
			cert, stranger := a.Issue("server", "127.0.0.1", time.Now().Add(time.Hour)), a.SelfSigned("stranger", "127.0.0.1")
			port := freePort(t)
			d := r.start(t, dir, users, fmt.Sprintf(r.conf, cert.CertFile, cert.KeyFile, port))
			client, err := system.Client(dir+"/client", d.Auth)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range overTLS {
				at := map[string]int{"ssl": port, "starttls": d.AdminPort}[mode]
				for _, tt := range []struct {
					host, authority string
					code            int
					blame           string
				}{
					{"127.0.0.1", filepath.Join(a.Dir, "ca.pem"), 0, ""},
					{"127.0.0.1", stranger.CertFile, 75, "certificate"},
					{"localhost", filepath.Join(a.Dir, "ca.pem"), 75, "certificate"},
				} {
					said, err := client("", "-o", "doveadm_ssl="+mode, "-o", "ssl_client_ca_file="+tt.authority,
						"mailbox", "list", "-S", fmt.Sprintf("%s:%d", tt.host, at), "-u", users.Name(1))
					if err != nil || said.Code != tt.code || (said.Code == 0) != (strings.TrimSpace(said.Out) == "INBOX") || !strings.Contains(said.Err, tt.blame) {
						t.Errorf("%s to %s: got %+v (%v), want %d, %q", mode, tt.host, said, err, tt.code, tt.blame)
					}
				}
			}
		})
	}
}

// startDovecot24With has configuration text that is read last.
func startDovecot24With(t *testing.T, dir string, users system.Users, more string) *system.Dovecot {
	t.Helper()
	mailtest.NeedProgram(t, "mmdebstrap", "mmdebstrap")
	d, err := system.StartDovecot24(filepath.Join(dir, "dovecot24"), users, more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	return d
}
