package master

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"culver/internal/settings"
	"culver/master/listen"
)

// begin brings the first generation to life.
func (m *Master) begin(cfg *settings.Config) error {
	fds, fresh, err := m.sockets.open(cfg)
	if err != nil {
		return classed(err)
	}
	gen, err := m.build(cfg, fds, nil)
	if err != nil {
		fresh.drop()
		return classed(err)
	}
	m.sockets.adopt(fresh)
	m.cfg, m.gen = cfg, gen
	m.startDaemons()
	return nil
}

// classed makes an error of the start ErrConfig, after which a supervisor does
// not try again, unless the same settings may do in a moment: a child of the
// last master still listens, an address is not up yet, the host is out of
// something.
func classed(err error) error {
	for _, passing := range []error{listen.ErrInUse, unix.EADDRINUSE, unix.EADDRNOTAVAIL,
		unix.EAGAIN, unix.ENOMEM, unix.ENOBUFS, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, passing) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrConfig, err)
}

// startDaemons starts what has no process, in the order of the list.
func (m *Master) startDaemons() {
	for _, d := range m.gen.daemons {
		m.start(d)
	}
	for _, w := range m.gen.pools {
		m.keepSpare(w)
	}
}

// reload reads the configuration again. A bad one changes nothing; a good one
// replaces only what it changes, and what is replaced finishes its sessions
// under the old one. Listeners that both have are never closed. The error has
// one line for each problem.
func (m *Master) reload() error {
	if m.stopping {
		return errStopping
	}
	if m.announced { // else READY=1 is checkReady's to say
		// Type=notify-reload takes a reload for begun only with its time.
		m.notify("RELOADING=1\n" + systemd.SdNotifyMonotonicUsec())
		defer m.notify("READY=1\nSTATUS=running")
	}
	m.log.Info("reloading")
	cfg, err := m.opts.Load()
	if err != nil {
		return m.refuse(err)
	}
	if was, is := m.cfg.Global["base_dir"], cfg.Global["base_dir"]; was != is {
		m.log.Warn("base_dir changes with the next start only", "setting", "base_dir", "was", was, "is", is)
	}
	fds, fresh, err := m.sockets.open(cfg)
	if err != nil {
		return m.refuse(err)
	}
	gen, err := m.build(cfg, fds, m.gen)
	if err != nil {
		fresh.drop()
		return m.refuse(err)
	}
	m.sockets.adopt(fresh)
	old := m.gen
	m.cfg, m.gen = cfg, gen
	var changed []string
	for _, d := range old.daemons {
		if !slices.Contains(gen.daemons, d) {
			changed = append(changed, d.name)
			m.retireDaemon(d)
		}
	}
	for name, w := range old.pools {
		if gen.pools[name] != w {
			changed = append(changed, name)
			w.retired = true
			m.retire(w)
		}
	}
	if old.users != gen.users {
		old.users.retire()
	}
	m.startDaemons()
	if err := m.sockets.settle(cfg); err != nil {
		m.log.Error("a listener kept its owner or mode", "err", err)
	}
	m.log.Info("reloaded", "changed", strings.Join(changed, " "))
	return nil
}

func (m *Master) refuse(err error) error {
	for line := range strings.Lines(err.Error()) {
		m.log.Error("reload: " + strings.TrimSpace(line))
	}
	m.log.Error("reload failed, the old configuration stays")
	return err
}

// errStopping says that it is too late for that.
var errStopping = errors.New("the system is about to stop")

// retireDaemon lets a daemon's process finish what it has and go.
func (m *Master) retireDaemon(d *daemon) {
	if d.retired {
		return
	}
	d.retired = true
	d.spawners.Close()
	if d.proc != nil {
		m.drain(d.proc)
	}
	for p := range d.inside {
		m.drain(p)
	}
}
