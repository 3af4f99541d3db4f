package system

import (
	"fmt"
	"path/filepath"

	"culver/internal/mailtest"
)

// Culver is the system under test, in one folder.
type Culver struct {
	*mailtest.Culver
	Port int // LMTP on 127.0.0.1, beside the socket
}

// Program is the path of a program that `make build` made.
func Program(name string) string { return filepath.Join(mailtest.Repository(), "bin", name) }

// StartCulver runs Culver in dir for these users; more is configuration text that
// is read last.
func StartCulver(dir string, users Users, more string) (*Culver, error) {
	c, err := ConfigureCulver(dir, users.Passwd(), more)
	if err != nil {
		return nil, err
	}
	return c, c.Start(false)
}

// ConfigureCulver writes the files and starts nothing. Everybody may use the
// socket: the tests' Postfix is not root.
func ConfigureCulver(dir, passwd, more string) (*Culver, error) {
	port, err := mailtest.FreePort()
	if err != nil {
		return nil, err
	}
	listeners := fmt.Sprintf(`service lmtp {
  unix_listener "lmtp" {
    mode = 0666
  }
  inet_listener "lmtp" {
    address = "127.0.0.1"
    port    = %d
  }
}
`, port)
	c, err := mailtest.Prepare(mailtest.Options{Dir: dir, Users: passwd, Extra: listeners + more})
	return &Culver{c, port}, err
}
