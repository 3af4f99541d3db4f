package script

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
)

const doveadmTLS = `
ssl = yes
ssl_cert = "$DIR/server.pem"
ssl_key = "$DIR/server.key"
auth_allow_cleartext = no
`

// overTLS is a system whose doveadm listens for STARTTLS, and whose auth wants a
// protected line; its authority has signed for 127.0.0.1.
func overTLS(t *testing.T, more string) (c *mailtest.Culver, a *mailtest.Authority, address string) {
	t.Helper()
	extra, address := doveadmOnTheNetwork(t, scratch(t))
	c = prepared(t, mailtest.Options{Names: []string{"x@example.org", "y@example.org", "x@other.org"}, Extra: adminConf + doveadmTLS + extra + more})
	a = mailtest.NewAuthority(t, c.Dir)
	a.Issue("server", "127.0.0.1", time.Now().Add(time.Hour))
	if err := os.WriteFile(filepath.Join(c.Dir, "admins"), []byte(adminLine), 0o644); err != nil {
		t.Fatal(err)
	}
	started(t, c)
	return c, a, address
}

// With auth_allow_cleartext = no a right password counts over TLS only.
func TestAuthKnowsThatDoveadmSpeaksTLS(t *testing.T) {
	t.Parallel()
	_, a, address := overTLS(t, "")
	for name, password := range map[string]string{"admin@example.org": "adminpw", "doveadm": "secret"} {
		doveadm := remote(t, address, name, password)
		words := []string{"search", "-S", address, "-u", "x@example.org", "all"}
		if code, _, said := doveadm(words...); code == 0 {
			t.Errorf("%s in the clear: got %d, %q", name, code, said)
		}
		if code, _, said := doveadm(append([]string{"-o", "doveadm_ssl=starttls", "-o", "ssl_client_ca_file=" + filepath.Join(a.Dir, "ca.pem")}, words...)...); code != 0 {
			t.Errorf("%s over TLS: got %d, %q", name, code, said)
		}
	}
}

// A renewed certificate counts for those who come after a reload.
func TestARenewedCertificateIsTakenUpByAReload(t *testing.T) {
	t.Parallel()
	port, err := mailtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	c, a, _ := overTLS(t, fmt.Sprintf("service doveadm {\n  inet_listener \"tls\" {\n    address = \"127.0.0.1\"\n    port = %d\n    ssl = yes\n  }\n}\n", port))
	shown := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", port), &tls.Config{RootCAs: a.Roots, NextProtos: []string{"doveadm"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	first := shown().SerialNumber
	conn, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", port), &tls.Config{RootCAs: a.Roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	renewed := a.Issue("server", "127.0.0.1", time.Now().Add(30*time.Minute))
	admin := administrator(t, c)
	if err := admin.Reload(); err != nil {
		t.Fatal(err)
	}
	err = mailtest.Await("the new certificate", patience, func() bool { return shown().SerialNumber.Cmp(first) != 0 })
	if err != nil {
		t.Error(err)
	}
	fmt.Fprint(conn, "VERSION\tdoveadm-server\t1\t2\n")
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "VERSION") {
		t.Errorf("who came before the reload got %q, %v", buf[:n], err)
	}
	// A key of another certificate is a bad configuration, and the old one stays.
	err = errors.Join(os.WriteFile(renewed.KeyFile, []byte("nothing of a key\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Reload(); err == nil {
		t.Error("a reload took a key that is none")
	}
	shown()
}

// Somebody with no account here, and nothing but the name of a server, a password
// and an authority.
func TestAMasterUserFromOutside(t *testing.T) {
	t.Parallel()
	c, a, address := overTLS(t, "")
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("adminpw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := []string{"-c", "/nonexistent", "-o", "doveadm_ssl=starttls", "-o", "ssl_client_ca_file=" + filepath.Join(a.Dir, "ca.pem"), "--as", "admin@example.org"}
	search := func(user string) []string { return []string{"search", "-S", address, "-u", user, "all"} }
	for _, tt := range []struct {
		name  string
		env   string
		args  []string
		code  int
		blame string
	}{
		{"by a file", "", slices.Concat(secure, search("x@example.org"), []string{"--password-file", password}), 0, ""},
		{"by a command", "", slices.Concat(secure, []string{"--password-command", "cat " + password}, search("x@example.org")), 0, ""},
		{"by the environment", "adminpw", slices.Concat(secure, search("x@example.org")), 0, ""},
		{"out of reach", "adminpw", slices.Concat(secure, search("x@other.org")), 77, "x@other.org"},
		{"a wrong password", "wrong", slices.Concat(secure, search("x@example.org")), 77, "server refused the password of admin@example.org"},
		{"no password", "", slices.Concat(secure, search("x@example.org")), 64, "--as wants a password"},
		{"the socket of this host, which trusts its owner", "adminpw", slices.Concat(secure, []string{"search", "-u", "x@example.org", "-S",
			filepath.Join(filepath.Dir(c.Socket), "doveadm-server"), "all"}), 64, "wants no password"},
		{"a command that is not on mail", "adminpw", slices.Concat(secure, []string{"who"}), 64, "--as is for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(filepath.Join(mailtest.Repository(), "bin", "doveadm"), tt.args...)
			if cmd.Env = []string{"PATH=" + os.Getenv("PATH")}; tt.env != "" {
				cmd.Env = append(cmd.Env, "CULVER_DOVEADM_PASSWORD="+tt.env)
			}
			said, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(said), tt.blame) {
				t.Errorf("got %d, %s, want %d, %q", code, said, tt.code, tt.blame)
			}
		})
	}
}
