package system

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// EximUID is the account of the Exim in scripts/install-exim.
const EximUID = 160

// Exim is Debian's, in a root of its own and with its files in one folder. Each
// session has a process of its own, as inetd would start it.
type Exim struct {
	dir, root, conf string
	sessions        sync.WaitGroup
}

// Its daemon's settings; authenticators are those of each mechanism, at a socket
// that the command line names.
const eximConf = `
primary_hostname = exim.example.net
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
acl_smtp_rcpt = accept
smtp_enforce_sync = false
begin authenticators
`

// PrepareExim makes the folder dir, for logins by these mechanisms. The sockets
// lie in it or beside it. Root only.
func PrepareExim(dir string, mechanisms ...string) (*Exim, error) {
	root, err := install("exim")
	if err != nil {
		return nil, err
	}
	x := &Exim{dir: dir, root: root, conf: filepath.Join(dir, "exim.conf")}
	conf := fmt.Sprintf(eximConf, dir)
	for _, m := range mechanisms {
		conf += fmt.Sprintf("%s:\n  driver = dovecot\n  public_name = %s\n  server_socket = AUTH\n  server_set_id = $auth1\n",
			strings.ToLower(strings.ReplaceAll(m, "-", "_")), m)
	}
	for _, d := range []string{"spool", "log"} {
		d = filepath.Join(dir, d)
		err = errors.Join(err, os.MkdirAll(d, 0o755), os.Chown(d, EximUID, EximUID))
	}
	return x, errors.Join(err, os.WriteFile(x.conf, []byte(conf), 0o644))
}

// Serve begins a session on conn, which it takes over, and asks the auth service
// at socket.
func (x *Exim) Serve(conn *net.TCPConn, socket string) error {
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return err
	}
	defer f.Close()
	command := within(x.root, filepath.Dir(x.dir), "/usr/sbin/exim4", "-C", x.conf, "-DAUTH="+socket, "-bs")
	c := exec.Command(command[0], command[1:]...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	c.Stdin, c.Stdout, c.Stderr = f, f, f
	if err := c.Start(); err != nil {
		return err
	}
	x.sessions.Go(func() { c.Wait() })
	return nil
}

// Wait waits for the ends of all sessions.
func (x *Exim) Wait() { x.sessions.Wait() }

// Log is what it wrote so far.
func (x *Exim) Log() string {
	var all strings.Builder
	for _, name := range []string{"main", "reject", "panic"} {
		text, _ := os.ReadFile(filepath.Join(x.dir, "log", name))
		all.Write(text)
	}
	return all.String()
}
