package master

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"culver/internal/settings"
	"culver/master/internal/rootexec"
	"culver/master/roster"
)

// generation is all that one configuration brings to life. A reload builds the
// next one whole and then keeps of the old what has not changed.
type generation struct {
	daemons         []*daemon
	pools           map[string]*workers // by the name that fronts ask for
	births          births
	lookupTimeout   time.Duration
	shutdownTimeout time.Duration
	users           *authLink
	stopped         map[string]bool // services that an administrator stopped
}

// workerPrograms are the per-user programs of the services that have a front.
var workerPrograms = map[string]string{"lmtp": "lmtp-deliver", "doveadm": "doveadm-worker"}

// startOrder is the order of the first start: the log before everybody who has
// something to say, auth before those who ask, and anvil, whom auth asks.
var startOrder = []string{"log", "anvil", "auth", "lmtp", "doveadm"}

// started tells whether this version has a program for a service.
func started(s settings.Service) bool { return slices.Contains(startOrder, s.Name) }

// build makes a generation of a checked configuration. It forks the spawners of
// what is new and nothing else.
func (m *Master) build(cfg *settings.Config, fds map[string][]int, old *generation) (*generation, error) {
	g := &generation{
		pools:           map[string]*workers{},
		stopped:         map[string]bool{},
		lookupTimeout:   cfg.Global.Duration("auth_lookup_timeout"),
		shutdownTimeout: cfg.Global.Duration("shutdown_timeout"),
	}
	var err error
	if g.births, err = newBirths(cfg, m.keep); err != nil {
		return nil, err
	}
	socket := foreignAuth(cfg)
	if old != nil && old.users.socket == socket {
		g.users = old.users
	} else {
		g.users = m.newAuthLink(socket)
	}
	for _, note := range m.opts.Notes(cfg) {
		m.log.Warn(note)
	}
	for _, name := range startOrder {
		s, ok := cfg.Service(name)
		if !ok {
			continue
		}
		if err = m.addService(g, cfg, s, fds[name], old); err != nil {
			g.discard(old)
			return nil, err
		}
	}
	return g, nil
}

func (m *Master) addService(g *generation, cfg *settings.Config, s settings.Service, fds []int, old *generation) error {
	for _, part := range parts(cfg.Listeners(s), fds) {
		d, err := m.newDaemon(cfg, s, part, old)
		if err != nil {
			return err
		}
		g.daemons = append(g.daemons, d)
	}
	if program, ok := workerPrograms[s.Name]; ok {
		w, err := m.newWorkers(cfg, s, program, g.births, old)
		if err != nil {
			return err
		}
		g.pools[program] = w
	}
	return nil
}

// part is what one daemon of a service has of its listeners.
type part struct {
	class string
	fds   []int
}

// parts gives one daemon each class of listeners, which most services have one
// of, and those without listeners as well.
func parts(all []settings.Listener, fds []int) (out []part) {
	for i, l := range all {
		at := slices.IndexFunc(out, func(p part) bool { return p.class == l.Class })
		if at < 0 {
			at = len(out)
			out = append(out, part{class: l.Class})
		}
		out[at].fds = append(out[at].fds, fds[i])
	}
	if out == nil {
		out = []part{{}}
	}
	return out
}

// discard closes what a generation does not share with the one that stays.
func (g *generation) discard(stays *generation) {
	for _, d := range g.daemons {
		if stays == nil || !slices.Contains(stays.daemons, d) {
			d.spawners.Close()
		}
	}
	for name, w := range g.pools {
		if stays == nil || stays.pools[name] != w {
			w.spawners.Close()
		}
	}
}

// foreignAuth is the socket of an auth that is not ours, or "".
func foreignAuth(cfg *settings.Config) string {
	path := cfg.Global.String("auth_socket_path")
	if !filepath.IsAbs(path) {
		path = filepath.Join(cfg.Global.String("base_dir"), path)
	}
	s, _ := cfg.Service("auth")
	for _, l := range s.Unix {
		if l.Path == path {
			return ""
		}
	}
	return path
}

func (m *Master) newDaemon(cfg *settings.Config, s settings.Service, part part, old *generation) (*daemon, error) {
	v := cfg.Global
	bag := settings.ForClass(cfg, s.Front(), part.class)
	if err := m.complete(bag, cfg); err != nil {
		return nil, err
	}
	switch {
	case part.class == settings.ClassNetwork:
		bag["auth_doveadm_path"] = cfg.TicketSocket()
	case s.Name == "auth" && cfg.Remote():
		// Auth alone knows the password: a front that was taken over shall not.
		var err error
		if bag["doveadm_password"], err = readPassword(v.String("doveadm_password_file")); err != nil {
			return nil, err
		}
	}
	if s.Name == "auth" {
		var err error
		if bag["auth_secret"], err = authSecret(v.String("base_dir")); err != nil {
			return nil, err
		}
	}
	if s.Name == "lmtp" && frontDelivers(cfg) {
		if err := m.addDeliver(bag, cfg); err != nil {
			return nil, err
		}
	}
	who := m.identity(s)
	key := fingerprint(bag, s.Executable, s.Limits, who, part.fds, v.String("sandbox"), m.libexec(cfg))
	if old != nil {
		for _, d := range old.daemons {
			if d.name == s.Name && d.key == key && !d.retired {
				return d, nil
			}
		}
	}
	p := m.program(cfg, s, s.Executable, rootexec.FilterDaemon)
	p.Listeners, p.Spawners = part.fds, 1
	p.ReadOnly, p.ReadWrite = daemonPaths(cfg, s.Name)
	p.Env = append(p.Env, "GOMAXPROCS="+strconv.Itoa(daemonProcs(s.Name, s.Name == "lmtp" && frontDelivers(cfg))))
	d := &daemon{name: s.Name, key: key, identity: who}
	if workerPrograms[s.Name] != "" {
		d.class = s.Name // and vsz_limit is its workers': client_limit and spool_limit bound the front
	} else {
		p.VSZ = uint64(s.VSZ)
	}
	if part.class == settings.ClassNetwork {
		// Each connection runs a command at a time, so more of them than there can be
		// workers would only wait.
		d.network, d.doors = true, newDoors(s.Processes)
	}
	if s.Name == "lmtp" {
		if err := makeSpool(bag.String("spool_dir"), who); err != nil {
			return nil, err
		}
	}
	var err error
	d.spawners, err = openPool(p, bag)
	return d, err
}

func (m *Master) newWorkers(cfg *settings.Config, s settings.Service, program string, b births, old *generation) (*workers, error) {
	v := cfg.Global
	bag := settings.For(cfg, program)
	if err := m.complete(bag, cfg); err != nil {
		return nil, err
	}
	limits, accessLimit := roster.Limits{Processes: s.Processes, MinAvail: s.MinAvail}, v.Duration("doveadm_command_timeout")
	if s.Name == "lmtp" {
		limits.PerUser, accessLimit = int(v.Int("lmtp_user_concurrency_limit")), v.Duration("lmtp_delivery_timeout")
	}
	key := fingerprint(bag, s.Executable, s.Limits, limits, accessLimit, v.String("mail_root"), v.String("sandbox"),
		v.String("worker_queue_limit"), v.String("worker_queue_timeout"), m.libexec(cfg))
	if s.MinAvail > 0 {
		who, ok := b.only() // spares of another identity would serve nobody, and hold their places
		key = fingerprint(bag, key, who, ok)
	}
	if old != nil && old.pools[program] != nil && old.pools[program].key == key {
		return old.pools[program], nil
	}
	p := m.program(cfg, s, program, rootexec.FilterWorker)
	p.VSZ = uint64(s.VSZ)
	p.Env = append(p.Env, "GOMAXPROCS=1")
	if s.VSZ > 0 {
		// The collector works harder before the hard limit kills the process.
		p.Env = append(p.Env, "GOMEMLIMIT="+strconv.FormatInt(s.VSZ/10*9, 10))
	}
	w := &workers{
		key:          key,
		logName:      s.Name,
		class:        s.Name,
		serviceCount: s.ServiceCount,
		idleKill:     s.IdleKill,
		queueLimit:   int(v.Int("worker_queue_limit")),
		queueTimeout: v.Duration("worker_queue_timeout"),
		accessLimit:  accessLimit + 5*time.Second,
		limits:       limits,
		procs:        map[*process]*post{},
		ofUser:       map[string]int{},
		holds:        map[string]*roster.Backoff{},
	}
	var err error
	w.spawners, err = openPool(p, bag)
	return w, err
}
