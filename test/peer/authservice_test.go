package peer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/test/system"
)

// saslService is what one auth service is told: where it listens for the MTA,
// whose that socket is, and its users; "" is a file that never was there.
type saslService struct {
	dir, socket string
	owner       int
	users       string
}

// saslServices are the two that an MTA asks.
func saslServices(dir, sockets string, owner int) map[string]saslService {
	return map[string]saslService{
		"users": {filepath.Join(dir, "users"), filepath.Join(sockets, "auth-users"), owner, saslUsers},
		"down":  {filepath.Join(dir, "down"), filepath.Join(sockets, "auth-down"), owner, ""},
	}
}

// dovecotSASL is Dovecot's own auth service.
func dovecotSASL(t *testing.T, s saslService) {
	t.Helper()
	d, err := system.StartDovecotAuth(s.dir, "2.3", s.users, fmt.Sprintf(`auth_mechanisms = plain login scram-sha-1 scram-sha-256 cram-md5 digest-md5 external anonymous
service auth {
  unix_listener %s {
    mode = 0666 # it knows no account by number
  }
}
`, s.socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Logf("end of Dovecot's log:\n%s", tail(d.Log(), 30))
		}
	})
	if err := d.Until("its socket", 10*time.Second, func() bool { return isSocket(s.socket) }); err != nil {
		t.Fatal(err)
	}
}

// culverSASL is the auth service of a Culver.
func culverSASL(t *testing.T, s saslService) *system.Culver {
	t.Helper()
	c, err := system.ConfigureCulver(s.dir, s.users, fmt.Sprintf(`auth_mechanisms = ["plain", "login", "scram-sha-1", "scram-sha-256", "cram-md5", "digest-md5", "external", "anonymous"]
auth_ssl_username_from_cert = yes
service auth {
  unix_listener %q {
    type = "auth"
    mode = 0600
    user = %d
  }
}
`, s.socket, s.owner))
	if err == nil && s.users == "" {
		err = os.Remove(c.Passwd)
	}
	if err == nil {
		err = c.Start(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, c)
	if err := c.Until("its socket", 10*time.Second, func() bool { return isSocket(s.socket) }); err != nil {
		t.Fatal(err)
	}
	return c
}

func isSocket(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode()&os.ModeSocket != 0
}

// killAuth ends the auth service of a Culver as a crash would.
func killAuth(t *testing.T, c *system.Culver) {
	t.Helper()
	if !killOne(rand.New(rand.NewPCG(1, 1)), c.PID, "auth") {
		t.Fatal("there is no auth process to kill")
	}
}

// checkDeaths: an MTA that meets a dead auth service says 4xx as well, so how often
// one died is counted.
func checkDeaths(t *testing.T, c *system.Culver, want int) {
	t.Helper()
	if got := strings.Count(strings.Join(c.Lines(), "\n"), "service died service=auth"); got != want {
		t.Errorf("the auth service of %s died %d times, want %d", c.Dir, got, want)
	}
}
