package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/servertls"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

// Options are the front's settings, typed.
type Options struct {
	Network       bool        // it serves the network: nobody is believed who has not logged in
	Single        bool        // it serves one connection and ends: who takes it over finds one principal in it
	AuthSocket    string      // where auth judges who logs in, and gives tickets; "": nobody can
	TLS           *tls.Config // nil: none is spoken
	TLSRequired   bool        // nobody logs in without it
	Allowed       []string
	AuthTimeout   time.Duration
	WorkerTimeout time.Duration // silence that ends a worker
	ClientLimit   int
	QueueLimit    int           // worker_queue_limit
	StopGrace     time.Duration // what runs may go on that long after Stop, and is cancelled then
	Debug         bool

	strangerRest time.Duration // what a client has to say who it is where others wait to
	drainRest    time.Duration
	clientStall  time.Duration
	inputSilence time.Duration
}

const (
	// clientStall is how long a client may not read what we write. It is long:
	// a client that prints for one user keeps its other connections waiting.
	clientStall = 30 * time.Minute
	// inputSilence is how long a client may not send anything of a message.
	inputSilence = 5 * time.Minute
	// idleLimit is how long a client may rest between commands.
	idleLimit = time.Hour
	// maxAuthLine bounds a line of a client that has not shown who it is.
	maxAuthLine = 4 << 10
)

// OptionsOf reads the finished settings.
func OptionsOf(b finished.Bag) (Options, error) {
	o := Options{
		Network:       b["class"] != "local",
		Single:        b["class"] != "local",
		AuthSocket:    b["auth_doveadm_path"],
		Allowed:       b.List("doveadm_allowed_commands"),
		AuthTimeout:   b.Duration("doveadm_auth_timeout"),
		WorkerTimeout: b.Duration("doveadm_worker_timeout"),
		ClientLimit:   int(b.Int("client_limit")),
		QueueLimit:    int(b.Int("worker_queue_limit")),
		StopGrace:     b.Duration("shutdown_timeout") / 2,
		Debug:         b.Bool("log_debug"),
		TLSRequired:   b["ssl"] == "required",
	}
	var err error
	if o.TLS, err = servertls.Config(b, doveadmproto.ALPN); o.TLS != nil {
		o.TLS.SessionTicketsDisabled = true // their key ends with the process, which takes one client
	}
	return o, err
}

// Listener is one that the master opened.
type Listener struct {
	net.Listener
	// Private says that its socket file has mode 0600: with Owner, who may come
	// in without a password.
	Private bool
	Owner   uint32
	// SSL says that TLS begins at once.
	SSL bool
}

// ListenersOf takes over the listeners that the process was born with.
func ListenersOf(p *worker.Process) ([]Listener, error) {
	var out []Listener
	for i, fd := range p.Listeners() {
		b := p.Settings.Sub("listener/" + strconv.Itoa(i) + "/")
		if b["kind"] == "fifo" {
			continue
		}
		file := os.NewFile(uintptr(fd), b["name"])
		l, err := net.FileListener(file) // a copy; its Close leaves the master's own open
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", b["name"], err)
		}
		out = append(out, Listener{Listener: l, Private: b["kind"] == "unix" && b["mode"] == private, Owner: ownerOf(b["uid"]), SSL: b["ssl"] == "yes"})
	}
	return out, nil
}

// private is mode 0600 as settings have it.
var private = strconv.Itoa(0o600)

// ownerOf is whose a socket is: where the settings name nobody, whoever started
// the daemon. Root did, or we have its uid.
func ownerOf(uid string) uint32 {
	if n, err := strconv.ParseUint(uid, 10, 32); err == nil {
		return uint32(n)
	}
	return uint32(os.Getuid())
}
