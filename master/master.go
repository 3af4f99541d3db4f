// Package master is the life of the system: it reads the settings, opens the
// listeners, has children born, hands fronts their workers, and reaps, reloads
// and stops.
//
// Runs as:   ROOT, or an ordinary user, who then is everybody.
// Trusts:    its configuration; auth's answers about users, within the bounds of the settings.
// Distrusts: every child: a front's request is a name and nothing more; the
// programs of administrators, whose orders are one fixed form.
// Speaks:    package handoff to children, package authproto to auth, package
// masterproto to administrators, sd_notify to systemd.
//
// One goroutine, the loop, owns all state; others only wait for something and
// then call do. Text from the network is never parsed here.
package master

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"culver/internal/maillog"
	"culver/internal/settings"
	"culver/master/internal/rootexec"
)

// Options are what the command line decides.
type Options struct {
	// Load reads and checks the configuration, at the start and for each reload.
	// Its error has one line for each problem.
	Load func() (*settings.Config, error)
	// Notes says what a valid configuration gives up; it is logged.
	Notes  func(*settings.Config) []string
	Stderr *os.File
	// Ready is called once, when every service has said that it is ready.
	Ready func()
}

// ErrConfig says that the settings ask for what this host cannot give; no
// restart mends it.
var ErrConfig = errors.New("configuration cannot be carried out")

// Master is one running system.
type Master struct {
	opts    Options
	log     *slog.Logger
	journal *journal
	stderr  int
	loop    chan func()

	keep     *rootexec.Identity // non-root mode: everybody is this one
	cfg      *settings.Config
	gen      *generation
	sockets  sockets
	births   map[*process]struct{} // asked for, without a pid yet
	children map[int]*process      // by pid
	orphans  map[int]orphan
	requests map[requestKey]*request
	serving  map[requestKey]access // under way, by the request it came of
	tallies  map[string]*tally     // by service

	auth, logService *process
	unread           []unread

	announced bool // readiness was told
	stopping  bool
	ended     bool
}

// Run is the master's whole life. It returns nil after a clean stop.
func Run(opts Options) error {
	m := &Master{
		opts:     opts,
		stderr:   int(opts.Stderr.Fd()),
		loop:     make(chan func(), 256),
		births:   map[*process]struct{}{},
		children: map[int]*process{},
		orphans:  map[int]orphan{},
		requests: map[requestKey]*request{},
		serving:  map[requestKey]access{},
		tallies:  map[string]*tally{},
		sockets:  sockets{},
	}
	if os.Geteuid() != 0 {
		groups, err := os.Getgroups()
		if err != nil {
			return err
		}
		slices.Sort(groups)
		m.keep = &rootexec.Identity{UID: os.Getuid(), GID: os.Getgid(), Groups: groups}
	}
	cfg, err := opts.Load()
	if err != nil {
		return err
	}
	// One loop does the work, and what it wakes wakes it again: a second P is
	// mostly one thread waking the other (measured: a fifth of all CPU time).
	runtime.GOMAXPROCS(1)
	slackenTimers()
	unix.Umask(0077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	base := cfg.Global.String("base_dir")
	if err := makeBaseDir(base); err != nil {
		return err
	}
	pid, err := lockPIDFile(filepath.Join(base, "master.pid"))
	if err != nil {
		return err
	}
	defer pid.remove()
	if m.journal, err = newJournal(opts.Stderr); err != nil {
		return err
	}
	defer func() {
		m.journal.close(m.logService == nil || m.logService.gone)
		m.journal.stderr.flush(lastWords)
	}()
	m.log = slog.New(maillog.NewHandler(m.journal, nil))
	// Go drops what a full channel cannot take: a storm of deaths while the loop
	// reloads must not cost us the order to stop. One SIGCHLD reaps them all.
	signals, deaths := make(chan os.Signal, 64), make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGHUP, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	signal.Notify(deaths, unix.SIGCHLD)
	signal.Ignore(unix.SIGPIPE, unix.SIGALRM)
	control, err := openControl(base)
	if err != nil {
		return err
	}
	defer control.Close()
	if err := m.begin(cfg); err != nil {
		return err
	}
	go m.administrate(control)
	m.live(signals, deaths)
	return nil
}

// live is the loop.
func (m *Master) live(signals, deaths <-chan os.Signal) {
	for !m.ended {
		select {
		case f := <-m.loop:
			f()
		case <-deaths:
			m.reap()
		case s := <-signals:
			m.signalled(s.(unix.Signal))
		}
	}
	m.gen.discard(nil)
	m.sockets.close()
}

// do runs f in the loop. Only other goroutines may call it.
func (m *Master) do(f func()) { m.loop <- f }

// post is do for callbacks that may come from within the loop itself.
func (m *Master) post(f func()) {
	select {
	case m.loop <- f:
	default:
		go m.do(f)
	}
}

func (m *Master) signalled(s unix.Signal) {
	switch s {
	case unix.SIGHUP:
		m.reload()
	case unix.SIGUSR1:
		m.reopenLogs()
	case unix.SIGTERM, unix.SIGINT:
		m.stop("stopping: " + s.String())
	}
}

// makeBaseDir makes base_dir and refuses one that others could put things in.
func makeBaseDir(path string) error {
	if err := os.Mkdir(path, 0755); err == nil {
		err = os.Chmod(path, 0755) // whatever the umask: fronts and clients pass through
		if err != nil {
			return fmt.Errorf("base_dir: %w", err)
		}
	} else if !os.IsExist(err) {
		return fmt.Errorf("base_dir: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("base_dir %s: %w", path, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0022 != 0 {
		return fmt.Errorf("base_dir %s: owner %d, mode %04o: want it ours and writable by nobody else", path, st.Uid, st.Mode&07777)
	}
	return nil
}

// checkReady tells systemd and the caller once that every daemon has said that
// it is ready.
func (m *Master) checkReady() {
	if m.announced || m.stopping {
		return
	}
	for _, d := range m.gen.daemons {
		if !d.retired && (d.proc == nil || !d.proc.ready) { // one that an administrator stopped is not waited for
			return
		}
	}
	m.announced = true
	m.notify("READY=1\nSTATUS=running")
	m.log.Info("ready", "services", len(m.gen.daemons))
	if m.opts.Ready != nil {
		m.opts.Ready()
	}
}
