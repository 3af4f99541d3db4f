package anvil

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
)

// sweepEvery is how often what is of no more use is looked for.
const sweepEvery = time.Minute

// Run is the life of the anvil process; it returns the exit code.
func Run(p *worker.Process) int {
	logf := func(l logline.Level, format string, args ...any) { logline.Print(l, "", "", format, args...) }
	s := &Server{Penalties: NewPenalties(), Now: time.Now, Logf: logf, Clients: int(p.Settings.Int("client_limit"))}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	signal.Ignore(syscall.SIGINT)
	listeners, err := s.listen(p)
	if err != nil {
		logf(logline.Fatal, "%v", err)
		return worker.ExitConfig
	}
	if err := p.Status(max(1, s.Clients), 0); err != nil {
		return 0 // the master is gone already
	}
	left := make(chan struct{})
	go func() { defer close(left); s.obey(p) }()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for ended := false; !ended; {
		select {
		case <-left:
			ended = true
		case <-end:
			ended = true
		case <-sweep.C:
			s.Penalties.Sweep(s.Now())
		}
	}
	for _, l := range listeners {
		l.Close()
	}
	s.Close()
	return 0
}

// listen starts to serve the listeners that came from the master.
func (s *Server) listen(p *worker.Process) ([]*net.UnixListener, error) {
	auth, err := strconv.Atoi(p.Settings["auth_uid"])
	if err != nil {
		auth = os.Getuid() // there is no auth here that could ask
	}
	rights := func(nc net.Conn) (Rights, error) {
		uid, err := peer(nc)
		return rightsOf(int(uid), os.Getuid(), auth), err
	}
	var all []*net.UnixListener
	for i, fd := range p.Listeners() {
		name := p.Settings[fmt.Sprintf("listener/%d/name", i)]
		file := os.NewFile(uintptr(fd), name)
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", name, err)
		}
		ul, ok := l.(*net.UnixListener)
		if !ok {
			return nil, fmt.Errorf("listener %q: anvil serves unix_listener only", name)
		}
		ul.SetUnlinkOnClose(false) // the path is the master's
		all = append(all, ul)
		go s.Serve(ul, rights)
	}
	return all, nil
}

// rightsOf says what a peer may do. The socket lets in all of the internal
// group, the fronts among them, and a front that was taken over must not make a
// stranger trusted, nor shut out a user.
func rightsOf(peer, self, auth int) Rights {
	owner := peer == 0 || peer == self
	return Rights{Count: owner || peer == auth, Administer: owner}
}

func peer(nc net.Conn) (uint32, error) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// obey does what the master says until it says Drain or is gone.
func (s *Server) obey(p *worker.Process) {
	for {
		m, fd, err := p.Next()
		if fd >= 0 {
			unix.Close(fd)
		}
		switch {
		case errors.Is(err, handoff.ErrMessage):
			s.Logf(logline.Error, "control: %v", err)
		case err != nil, m.Kind == handoff.KindDrain:
			return
		}
	}
}
