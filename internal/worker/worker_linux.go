// Package worker is the first and last minutes of every child of the master:
// prove the identity, read the settings, say ready, drain.
//
// Runs as:   any child of the master, under the identity it was born with.
// Trusts:    the master, through descriptors 3 and 4.
// Distrusts: its own birth: an identity that is not the promised one, or that
// could be left again, ends the process before it reads anything.
// Speaks:    package handoff.
package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
)

// Exit codes, as spec/master.md 14 and style 2.9 have them.
const (
	ExitTempfail = 75
	ExitConfig   = 78
)

// Process is a child that has been checked.
type Process struct {
	Service  string
	Settings finished.Bag
	Control  *fdpass.Conn // SOCK_SEQPACKET; blocking in workers, see Begin
}

// Begin checks the identity, reads the settings and opens the control socket.
// poll makes the control socket wait in Go's poller, which a daemon with
// goroutines wants; a per-user worker blocks its one thread instead, and gives
// up for good what only its birth needed (seal). On any failure it logs why and
// exits 78.
func Begin(poll bool) *Process {
	p, err := begin(poll)
	if err != nil {
		logline.Print(logline.Fatal, "", "", "start: %v", err)
		os.Exit(ExitConfig)
	}
	return p
}

func begin(poll bool) (*Process, error) {
	// Another process of this uid must not read our memory or descriptors.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	if err := verifyIdentity(os.Getenv(handoff.EnvIdentity)); err != nil {
		return nil, err
	}
	if !poll {
		if err := seal(); err != nil {
			return nil, err
		}
	}
	text, err := readSettings(handoff.FDSettings)
	if err != nil {
		return nil, err
	}
	b, err := finished.Decode(text)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(handoff.FDControl, poll); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	unix.CloseOnExec(handoff.FDControl)
	c, err := fdpass.New(handoff.FDControl, "control")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Process{Service: os.Getenv(handoff.EnvService), Settings: b, Control: c}, nil
}

// verifyIdentity compares what the process is with what the master promised,
// and proves that the way back to root is shut.
func verifyIdentity(want string) error {
	uid, gid := syscall.Getuid(), syscall.Getgid()
	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("getgroups: %w", err)
	}
	slices.Sort(groups)
	if got := Identity(uid, gid, groups); got != want {
		return fmt.Errorf("identity is %s, want %s", got, want)
	}
	if syscall.Geteuid() != uid || syscall.Getegid() != gid {
		return errors.New("effective and real identity differ")
	}
	if uid == 0 {
		return nil // the master runs a service as root only where the settings say so
	}
	// Raw: the all-threads form costs a third of a millisecond, and one thread
	// that could become root is proof enough.
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETUID, 0, 0, 0); e == 0 {
		return fmt.Errorf("uid %d could become root again", uid)
	}
	return nil
}

// Identity is the text of handoff.EnvIdentity; groups are sorted.
func Identity(uid, gid int, groups []int) string {
	g := make([]string, len(groups))
	for i, n := range groups {
		g[i] = strconv.Itoa(n)
	}
	return fmt.Sprintf("%d:%d:%s", uid, gid, strings.Join(g, ","))
}

func readSettings(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if st.Size > finished.MaxSize {
		return nil, fmt.Errorf("settings: %d bytes, want at most %d", st.Size, finished.MaxSize)
	}
	text := make([]byte, st.Size)
	// Pread: the descriptor's offset is shared with every other child.
	for n := 0; n < len(text); {
		m, err := unix.Pread(fd, text[n:], int64(n))
		if m <= 0 {
			return nil, fmt.Errorf("settings: read %d of %d bytes: %v", n, len(text), err)
		}
		n += m
	}
	return text, nil
}

// Status tells the master how many more clients or accesses this process takes
// now, and how many it has finished. The first call is the readiness.
func (p *Process) Status(available, served int) error {
	m := handoff.Message{Kind: handoff.KindStatus, Available: uint64(available), Served: uint64(served)}
	return p.Control.Send(m.Append(nil), -1)
}

// Next waits for the master's next message and the descriptor with it, -1 when
// none came. io.EOF means that the master is gone or wants this process to end:
// finish what runs and exit 0.
func (p *Process) Next() (handoff.Message, int, error) {
	buf := make([]byte, handoff.MaxMessage)
	n, fd, err := p.Control.Recv(buf)
	if err != nil {
		return handoff.Message{}, -1, err
	}
	m, err := handoff.Parse(buf[:n])
	if err != nil && fd >= 0 {
		unix.Close(fd)
		fd = -1
	}
	return m, fd, err
}

// Serve is the life of a per-user worker: it calls access with each grant and the
// descriptor of its conversation, until service_count, a Drain or the master's end.
// It returns the exit code.
func (p *Process) Serve(access func(grant finished.Bag, fd int)) int {
	limit := int(p.Settings.Int("service_count"))
	if err := p.Status(1, 0); err != nil {
		return 0 // the master is gone
	}
	for served := 0; ; {
		m, fd, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return 0
		case err != nil:
			logline.Print(logline.Error, "", "", "control socket: %v", err)
			return ExitTempfail
		case m.Kind == handoff.KindDrain:
			return 0
		case m.Kind != handoff.KindAccess || fd < 0:
			logline.Print(logline.Error, "", "", "control socket: message %d is not for a worker", m.Kind)
			return ExitTempfail
		}
		grant, err := finished.Decode([]byte(m.Text))
		if err != nil {
			logline.Print(logline.Error, "", "", "grant: %v", err)
			return ExitTempfail
		}
		access(grant, fd)
		served++
		available := 1
		if limit > 0 && served >= limit {
			available = 0
		}
		if err := p.Status(available, served); err != nil || available == 0 {
			return 0
		}
	}
}

// Listeners gives the descriptors of the service's listeners, in the order of
// "listener/N" in the settings.
func (p *Process) Listeners() []int {
	fds := make([]int, p.Settings.Int("listener/count"))
	for i := range fds {
		fds[i] = handoff.FDListen + i
		unix.CloseOnExec(fds[i])
	}
	return fds
}
