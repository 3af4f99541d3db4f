package rootexec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/worker"
	"culver/master/internal/rootexec"
	"culver/master/spawn"
)

// TestMain lets the test binary play the spawner and the child.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case "play-spawner":
		spawn.Main()
		os.Exit(0)
	case "play-child":
		os.Exit(playChild())
	case "play-worker": // as the real ones begin
		p := worker.Begin(false)
		code := playChild()
		runtime.KeepAlive(p) // its control socket
		os.Exit(code)
	case "play-nothing":
		os.Exit(0)
	case "play-poor":
		os.Exit(playPoor())
	case "play-stopper":
		os.Exit(playStopper())
	}
	slacken()
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// slacken gives this process the timer slack that the master has: its spawners
// inherit it, and it decides how soon they see that an opening hangs.
func slacken() {
	const slack = 5_000_000
	unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", []byte(strconv.Itoa(slack)), 0)
	}
}

// tried is what a child tells of itself.
type tried struct {
	Identity string
	FDs      []string
	Env      []string
	Dir      string
	Session  bool
	Umask    int
	Data     uint64
	Core     uint64
	NoNew    bool
	Answers  map[string]string // what was tried: "" or the error
}

// playChild reads one line of tab-separated orders from the control socket and
// answers with what came of them.
func playChild() int {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(handoff.FDControl, buf)
	if err != nil || n == 0 {
		return 0
	}
	out, err := json.Marshal(lookAround(strings.Split(string(buf[:n]), "\t")))
	if err != nil {
		out = []byte(err.Error())
	}
	unix.Write(handoff.FDControl, out)
	return 0
}

func lookAround(orders []string) tried {
	var t tried
	g, _ := syscall.Getgroups()
	t.Identity = fmt.Sprint(syscall.Getuid(), syscall.Geteuid(), syscall.Getgid(), syscall.Getegid(), g)
	for fd := range 64 { // /proc is outside the box
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			t.FDs = append(t.FDs, strconv.Itoa(fd)+":"+map[uint32]string{unix.S_IFSOCK: "socket", unix.S_IFCHR: "char",
				unix.S_IFREG: "file", unix.S_IFIFO: "pipe", unix.S_IFDIR: "dir"}[st.Mode&unix.S_IFMT])
		}
	}
	t.Env, _ = os.Environ(), 0
	t.Dir, _ = os.Getwd()
	sid, _ := unix.Getsid(0)
	t.Session = sid == os.Getpid()
	t.Umask = unix.Umask(0o77)
	var l unix.Rlimit
	unix.Prlimit(0, unix.RLIMIT_DATA, nil, &l)
	t.Data = l.Max
	unix.Prlimit(0, unix.RLIMIT_CORE, nil, &l)
	t.Core = l.Max
	t.Answers = map[string]string{}
	for _, o := range orders {
		verb, arg, _ := strings.Cut(o, " ")
		answer := ""
		if err := attempt(verb, arg); err != nil {
			answer = err.Error()
		}
		t.Answers[o] = answer
	}
	return t
}

// attempt tries one thing that a worker gone bad may try; arg is a path, or two.
func attempt(verb, arg string) error {
	one, two, _ := strings.Cut(arg, " ")
	own := time.Unix(1, 0)
	switch verb {
	case "open":
		f, err := os.Open(one)
		if err == nil {
			f.Close()
		}
		return err
	case "write":
		return os.WriteFile(one, []byte("x"), 0o600)
	case "chmod":
		return os.Chmod(one, 0o777)
	case "fchmodat2":
		_, _, e := unix.Syscall6(unix.SYS_FCHMODAT2, ^uintptr(99), ptr(one), 0o777, 0, 0, 0)
		return errno(e)
	case "chown":
		return os.Lchown(one, os.Getuid(), os.Getgid())
	case "chown-empty-path": // O_PATH is not Landlock's business
		fd, err := unix.Open(one, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchownat(fd, "", os.Getuid(), os.Getgid(), unix.AT_EMPTY_PATH)
	case "fchmod-opath":
		fd, err := unix.Open(one, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchmod(fd, 0o777)
	case "utimes":
		return os.Chtimes(one, own, own)
	case "futimens-opath":
		fd, err := unix.Open(one, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, 0, 0, 0, 0)
		return errno(e)
	case "setxattr":
		return unix.Setxattr(one, "user.x", []byte("x"), 0)
	case "setxattrat":
		var args struct {
			value       uint64
			size, flags uint32
		}
		_, _, e := unix.Syscall6(463, ^uintptr(99), ptr(one), 0, ptr("user.x"), uintptr(pointer(&args)), 16)
		return errno(e)
	case "truncate":
		return os.Truncate(one, 0)
	case "open-truncate":
		f, err := os.OpenFile(one, os.O_RDONLY|os.O_TRUNC, 0)
		if err == nil {
			f.Close()
		}
		return err
	case "rename":
		return os.Rename(one, two)
	case "link":
		return os.Link(one, two)
	case "symlink":
		return os.Symlink(one, two)
	case "remove":
		return os.Remove(one)
	case "mkdir":
		return os.Mkdir(one, 0o700)
	case "socket":
		_, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	case "ptrace":
		return unix.PtraceAttach(os.Getppid())
	case "kill":
		return unix.Kill(os.Getppid(), 0)
	case "unshare":
		_, _, e := unix.RawSyscall(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0)
		return errno(e)
	case "newuser":
		_, _, e := unix.RawSyscall(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0)
		return errno(e)
	case "fork":
		return fork(uintptr(unix.SIGCHLD))
	case "fork-parent":
		return fork(unix.CLONE_PARENT | uintptr(unix.SIGCHLD))
	case "spawner-fork": // the one fork that the spawner's filter lets through
		pid, err := syscall.ForkExec(one, []string{"play-nothing"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT}})
		if pid > 0 {
			syscall.Wait4(pid, nil, syscall.WALL, nil)
		}
		return err
	case "threads":
		return threads()
	case "preempt":
		return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGURG)
	case "tgkill-kill":
		return tgkill(one, unix.SIGKILL)
	case "tgkill-stop":
		return tgkill(one, unix.SIGSTOP)
	case "setown": // SIGIO, or whatever F_SETSIG says, to another process
		pid, err := strconv.Atoi(one)
		if err == nil {
			_, err = unix.FcntlInt(handoff.FDControl, unix.F_SETOWN, pid)
		}
		return err
	case "filter":
		_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, 0)
		return errno(e)
	case "panic":
		panic("as ordered")
	case "panic-core": // ends by a signal to itself
		debug.SetTraceback("crash")
		panic("as ordered")
	case "fault":
		_ = *(*byte)(nil)
	case "terminate":
		return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTERM)
	case "root":
		_, _, e := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0)
		return errno(e)
	case "exec":
		return syscall.Exec(one, []string{one}, nil)
	case "save": // a Maildir delivery in small
		return deliver(one)
	}
	return errors.New("no such order")
}

// fork makes a process that exits at once.
func fork(flags uintptr) error {
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if e != 0 {
		return e
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	syscall.Wait4(int(pid), nil, syscall.WALL, nil)
	return nil
}

func tgkill(pid string, sig syscall.Signal) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	return unix.Tgkill(n, n, sig)
}

// threads has eight goroutines on threads of their own at the same time.
func threads() error {
	var up, done sync.WaitGroup
	up.Add(8)
	for range 8 {
		done.Go(func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			up.Done()
			up.Wait()
		})
	}
	done.Wait()
	runtime.GC()
	return nil
}

func deliver(home string) error {
	for _, d := range []string{"", "tmp", "new"} {
		if err := os.MkdirAll(filepath.Join(home, "Maildir", d), 0o700); err != nil {
			return err
		}
	}
	tmp := filepath.Join(home, "Maildir/tmp/m")
	if err := os.WriteFile(tmp, []byte("mail"), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, 0, 0, 0, 0)
	if err := errors.Join(f.Chmod(0o640), f.Chown(-1, os.Getgid()), errno(e), f.Truncate(3), f.Sync()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(home, "Maildir/new/m"))
}

func errno(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// playStopper stops everything of its uid, over and over.
func playStopper() int {
	parent := os.Getppid()
	unix.Write(1, []byte("ready\n"))
	for os.Getppid() == parent { // not for ever, if the test is killed
		unix.Kill(-1, unix.SIGSTOP)
	}
	return 0
}

// nursery is a Pool under test, with the ends of its children.
type nursery struct {
	t    testing.TB
	pool *rootexec.Pool
	mu   sync.Mutex
	said []string
}

// open starts a Pool of this test binary; change may be nil.
func open(t testing.TB, change func(*rootexec.Program)) *nursery {
	t.Helper()
	n := &nursery{t: t}
	settings, err := unix.MemfdCreate("settings", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(settings)
	// What a worker needs of its machine when the tests are not static.
	shared := []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}
	prog := rootexec.Program{Service: "test", Path: thisProgram(t), Args: []string{"play-child"}, Settings: settings,
		Env: []string{"GOMAXPROCS=1"}, Spawner: thisProgram(t), SpawnerArgs: []string{"play-spawner"}, SpawnerLog: 2,
		Libraries: shared, Keep: os.Getuid() != 0, Logf: n.logf}
	if change != nil {
		change(&prog)
	}
	if n.pool, err = rootexec.Open(prog); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.pool.Close)
	return n
}

func (n *nursery) logf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, fmt.Sprintf(format, args...))
}

// thisProgram gives a copy of this program that every user may execute; built once.
func thisProgram(t testing.TB) string {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var program = sync.OnceValues(func() (string, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "rootexec-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "rootexec.test")
	return path, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, self, 0o755))
})

// start asks for a child and waits for the result; control is our end.
func (n *nursery) start(c rootexec.Child) (r rootexec.Result, control *fdpass.Conn) {
	n.t.Helper()
	result, conn := n.begin(c)
	return <-result, conn
}

func (n *nursery) begin(c rootexec.Child) (chan rootexec.Result, *fdpass.Conn) {
	n.t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	conn, err := fdpass.New(ours, "control")
	if err != nil {
		n.t.Fatal(err)
	}
	c.Control = theirs
	if c.Log == 0 {
		c.Log, err = unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	result := make(chan rootexec.Result, 1)
	n.pool.Start(c, func(r rootexec.Result) { result <- r })
	return result, conn
}

// ask starts a child, has it try the orders, and reaps it.
func (n *nursery) ask(c rootexec.Child, orders ...string) tried {
	n.t.Helper()
	r, control := n.start(c)
	if r.Err != nil {
		n.t.Fatalf("start: class %d: %v", r.Class, r.Err)
	}
	if err := control.Send([]byte(strings.Join(append(orders, "root"), "\t")), -1); err != nil {
		n.t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	m, _, err := control.Recv(buf)
	if err != nil {
		n.t.Fatalf("child %d: %v (%s)", r.PID, err, reap(r.PID))
	}
	var t tried
	if err := json.Unmarshal(buf[:m], &t); err != nil {
		n.t.Fatalf("child said %q", buf[:m])
	}
	if s := reap(r.PID); s != "exit 0" {
		n.t.Errorf("child ended with %s", s)
	}
	return t
}

func reap(pid int) string {
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil {
		return err.Error()
	}
	if ws.Signaled() {
		return ws.Signal().String()
	}
	return "exit " + strconv.Itoa(ws.ExitStatus())
}

func me() rootexec.Identity {
	g, _ := syscall.Getgroups()
	return rootexec.Identity{UID: os.Getuid(), GID: os.Getgid(), Groups: g}
}
