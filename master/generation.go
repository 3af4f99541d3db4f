package master

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/settings"
	"culver/internal/settings/finished"
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
}

// workerPrograms are the per-user programs of the services that have a front.
var workerPrograms = map[string]string{"lmtp": "lmtp-deliver"}

// startOrder is the order of the first start: the log before everybody who has
// something to say, auth before those who ask.
var startOrder = []string{"log", "auth", "lmtp"}

// started tells whether this version has a program for a service.
func started(s settings.Service) bool { return slices.Contains(startOrder, s.Name) }

// build makes a generation of a checked configuration. It forks the spawners of
// what is new and nothing else.
func (m *Master) build(cfg *settings.Config, fds map[string][]int, old *generation) (*generation, error) {
	g := &generation{
		pools:           map[string]*workers{},
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
	d, err := m.newDaemon(cfg, s, fds, old)
	if err != nil {
		return err
	}
	g.daemons = append(g.daemons, d)
	if program, ok := workerPrograms[s.Name]; ok {
		w, err := m.newWorkers(cfg, s, program, g.births, old)
		if err != nil {
			return err
		}
		g.pools[program] = w
	}
	return nil
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

func (m *Master) newDaemon(cfg *settings.Config, s settings.Service, fds []int, old *generation) (*daemon, error) {
	v := cfg.Global
	bag := settings.For(cfg, s.Name)
	if err := m.complete(bag, cfg); err != nil {
		return nil, err
	}
	if s.Name == "lmtp" && frontDelivers(cfg) {
		if err := m.addDeliver(bag, cfg); err != nil {
			return nil, err
		}
	}
	who := m.identity(s)
	key := fingerprint(bag, s.Executable, s.Limits, who, fds, v.String("sandbox"), m.libexec(cfg))
	if old != nil {
		for _, d := range old.daemons {
			if d.name == s.Name && d.key == key {
				return d, nil
			}
		}
	}
	p := m.program(cfg, s, s.Executable, rootexec.FilterDaemon)
	p.Listeners, p.Spawners = fds, 1
	p.ReadOnly, p.ReadWrite = daemonPaths(cfg, s.Name)
	p.Env = append(p.Env, "GOMAXPROCS="+strconv.Itoa(daemonProcs(s.Name, s.Name == "lmtp" && frontDelivers(cfg))))
	d := &daemon{name: s.Name, key: key, identity: who}
	if workerPrograms[s.Name] != "" {
		d.class = s.Name // and vsz_limit is its workers': client_limit and spool_limit bound the front
	} else {
		p.VSZ = uint64(s.VSZ)
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
	limits := roster.Limits{Processes: s.Processes, MinAvail: s.MinAvail, PerUser: int(v.Int("lmtp_user_concurrency_limit"))}
	key := fingerprint(bag, s.Executable, s.Limits, limits, v.String("mail_root"), v.String("sandbox"),
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
		service:      program,
		logName:      s.Name,
		class:        s.Name,
		serviceCount: s.ServiceCount,
		idleKill:     s.IdleKill,
		queueLimit:   int(v.Int("worker_queue_limit")),
		queueTimeout: v.Duration("worker_queue_timeout"),
		accessLimit:  v.Duration("lmtp_delivery_timeout") + 5*time.Second,
		limits:       limits,
		procs:        map[*process]*post{},
		ofUser:       map[string]int{},
		holds:        map[string]*roster.Backoff{},
	}
	var err error
	w.spawners, err = openPool(p, bag)
	return w, err
}

// daemonProcs is how many threads of a daemon run Go at one time. The log has
// one writer. The others share the machine with the workers they cause, and a
// thread that is woken only to find nothing left to do costs more than it helps.
// A front that delivers itself waits for the disk as well, and holds a P each time.
func daemonProcs(service string, delivers bool) int {
	switch {
	case service == "log":
		return 1
	case delivers:
		return 2 * runtime.NumCPU()
	}
	return max(1, runtime.NumCPU()/2)
}

// fingerprint tells two sets of settings apart.
func fingerprint(bag finished.Bag, more ...any) string {
	h := sha256.New()
	h.Write(bag.Encode())
	fmt.Fprintf(h, "%+v", more)
	return string(h.Sum(nil))
}

// program is what every program of a service shares.
func (m *Master) program(cfg *settings.Config, s settings.Service, executable string, filter rootexec.Filter) rootexec.Program {
	return rootexec.Program{
		Service:    s.Name,
		Path:       filepath.Join(m.libexec(cfg), executable),
		Spawner:    filepath.Join(m.libexec(cfg), "culver-spawn"),
		SpawnerLog: m.stderr,
		Filter:     filter,
		Sandbox:    sandboxes[cfg.Global.String("sandbox")],
		Keep:       m.keep != nil,
		Logf:       func(format string, args ...any) { m.log.Warn(fmt.Sprintf(format, args...)) },
	}
}

var sandboxes = map[string]rootexec.Sandbox{
	"required":    rootexec.SandboxRequired,
	"best-effort": rootexec.SandboxBestEffort,
	"off":         rootexec.SandboxOff,
}

// libexec is libexec_dir, or the folder of the binary that runs.
func (m *Master) libexec(cfg *settings.Config) string {
	if dir := cfg.Global.String("libexec_dir"); dir != "" {
		return dir
	}
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(exe)
}

// identity is whom a daemon runs as.
func (m *Master) identity(s settings.Service) rootexec.Identity {
	if m.keep != nil {
		return *m.keep
	}
	return rootexec.Identity{UID: s.User.UID, GID: s.User.GID, Groups: s.Groups}
}

// complete adds what only the master can know.
func (m *Master) complete(bag finished.Bag, cfg *settings.Config) error {
	if name, ok := bag["hostname"]; ok && name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("hostname is not set, and the host has no name: %w", err)
		}
		bag["hostname"] = host
	}
	if zone, err := os.ReadFile("/etc/localtime"); err == nil && len(zone) < finished.MaxSize/4 {
		bag["zoneinfo"] = string(zone)
	} else {
		bag["zoneinfo"] = "" // UTC
	}
	if bag["ssl"] == "yes" || bag["ssl"] == "required" {
		for key, setting := range map[string]string{"ssl_cert_pem": "ssl_cert", "ssl_key_pem": "ssl_key"} {
			pem, err := os.ReadFile(cfg.Global.String(setting)) // as root; read here, parsed by the front
			if err != nil {
				return fmt.Errorf("%s: %w", setting, err)
			}
			bag[key] = string(pem)
		}
	}
	return nil
}

// daemonPaths are what a daemon may reach in the file system.
func daemonPaths(cfg *settings.Config, service string) (read, write []string) {
	base := cfg.Global.String("base_dir")
	switch service {
	case "log":
		for _, name := range []string{"log_path", "info_log_path", "debug_log_path"} {
			if path := cfg.Global.String(name); filepath.IsAbs(path) {
				write = append(write, filepath.Dir(path))
			}
		}
		return []string{"/dev/log", "/run/systemd/journal", "/etc/localtime", "/usr/share/zoneinfo"}, append(write, base)
	case "auth":
		read = []string{base, "/etc/passwd", "/etc/group", "/etc"}
		for _, db := range slices.Concat(cfg.Passdbs, cfg.Userdbs) {
			if path := db.Values["path"]; path != "" {
				read = append(read, filepath.Dir(path))
			}
		}
		return read, nil
	case "lmtp":
		read = []string{"/proc", "/etc/hosts", "/etc/resolv.conf", base}
		if path := foreignAuth(cfg); path != "" {
			read = append(read, filepath.Dir(path))
		}
		write = []string{cfg.Global.String("spool_dir")}
		if frontDelivers(cfg) {
			write = append(write, cfg.Global.String("mail_root"))
		}
		return read, write
	}
	return []string{base}, nil
}

// frontDelivers tells whether the front saves mail itself: lmtp_reproxy =
// uid-differs, for users of its own uid below mail_root. Anywhere else that
// setting means always.
func frontDelivers(cfg *settings.Config) bool {
	return cfg.Global.String("lmtp_reproxy") == "uid-differs" && cfg.Global.String("mail_root") != ""
}

// addDeliver gives such a front what a worker would have: under "deliver/".
func (m *Master) addDeliver(bag finished.Bag, cfg *settings.Config) error {
	deliver := settings.For(cfg, "lmtp-deliver")
	if err := m.complete(deliver, cfg); err != nil {
		return err
	}
	for k, v := range deliver {
		bag["deliver/"+k] = v
	}
	for _, name := range []string{"mail_location", "mail_root", "mail_home_create", "mail_mount_marker"} {
		bag[name] = cfg.Global.String(name)
	}
	return nil
}

// makeSpool makes spool_dir, the front's own and nobody else's. A directory
// that has something in it and is another's is left alone: a slip of the pen
// must not give /tmp or /var/mail to the front.
func makeSpool(path string, who rootexec.Identity) error {
	if err := os.Mkdir(path, 0700); err != nil && !os.IsExist(err) {
		return fmt.Errorf("spool_dir: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	if int(st.Uid) != who.UID {
		if inside, err := os.ReadDir(path); err != nil || len(inside) > 0 {
			return fmt.Errorf("spool_dir %s belongs to uid %d and is not empty: want uid %d or an empty directory", path, st.Uid, who.UID)
		}
	}
	if err := cmp.Or(unix.Fchmod(fd, 0700), unix.Fchown(fd, who.UID, who.GID)); err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	return nil
}

// openPool puts the settings on a sealed descriptor and starts the spawners.
func openPool(p rootexec.Program, bag finished.Bag) (*rootexec.Pool, error) {
	fd, err := sealed(bag.Encode())
	if err != nil {
		return nil, fmt.Errorf("service %s: settings: %w", p.Service, err)
	}
	defer unix.Close(fd)
	p.Settings = fd
	return rootexec.Open(p)
}

// sealed gives a descriptor of text that nobody can change any more: all the
// children of a service share it.
func sealed(text []byte) (int, error) {
	fd, err := unix.MemfdCreate("settings", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	for rest := text; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		rest = rest[n:]
	}
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
