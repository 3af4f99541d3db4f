package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Witness sees every process that opens something in the folders it watches, and
// looks at it while the kernel holds it there: what it notes was so at that
// moment, however short the process lives. Root only.
type Witness struct {
	fan   *os.File
	folds map[string]string // what it watches, and for whom
	// See is told of each process's first look at somebody's mail, which goes on
	// when See returns; it may kill or stop that process. Set it before the first.
	See func(pid int, who string)

	mu   sync.Mutex
	seen map[Seen]map[string]bool
	err  error
	done chan struct{}
}

// Seen is one process.
type Seen struct {
	PID     int
	Started string // in ticks since boot: a pid comes again
	Program string
	UIDs    string // real, effective, saved, of the file system
}

// NewWitness watches nothing yet.
func NewWitness() (*Witness, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_MARKS|unix.FAN_UNLIMITED_QUEUE,
		unix.O_RDONLY|unix.O_LARGEFILE|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	return &Witness{fan: os.NewFile(uintptr(fd), "fanotify"), folds: map[string]string{}, seen: map[Seen]map[string]bool{}, done: make(chan struct{})}, nil
}

// Watch adds a folder and what is directly in it; all come before Begin.
func (w *Witness) Watch(dir, who string) error {
	w.folds[dir] = who
	err := unix.FanotifyMark(int(w.fan.Fd()), unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD|unix.FAN_ONDIR, unix.AT_FDCWD, dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return nil
}

// Begin begins to look.
func (w *Witness) Begin() {
	go func() {
		defer close(w.done)
		const size = int(unsafe.Sizeof(unix.FanotifyEventMetadata{}))
		buf := make([]byte, 1000*size)
		for {
			n, err := w.fan.Read(buf)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			w.note(err)
			if err != nil {
				return
			}
			for at := 0; at+size <= n; {
				e := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&buf[at]))
				at += int(e.Event_len)
				w.event(e)
			}
		}
	}()
}

func (w *Witness) event(e *unix.FanotifyEventMetadata) {
	if e.Fd < 0 {
		w.note(errors.New("fanotify: events were lost"))
		return
	}
	if int(e.Pid) != os.Getpid() {
		w.note(w.look(int(e.Pid), int(e.Fd)))
	}
	answer := unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW}
	_, err := w.fan.Write((*[unsafe.Sizeof(answer)]byte)(unsafe.Pointer(&answer))[:])
	if !errors.Is(err, unix.ENOENT) { // killed meanwhile
		w.note(err)
	}
	unix.Close(int(e.Fd))
}

// look notes a process that is about to open what fd is.
func (w *Witness) look(pid, fd int) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	who, ok := w.folds[path]
	if !ok {
		who = w.folds[filepath.Dir(path)]
	}
	p, err := process(pid)
	if err != nil {
		return fmt.Errorf("%s was opened by %d: %w", path, pid, err)
	}
	w.mu.Lock()
	first := !w.seen[p][who]
	if w.seen[p] == nil {
		w.seen[p] = map[string]bool{}
	}
	w.seen[p][who] = true
	w.mu.Unlock()
	if first && w.See != nil {
		w.See(pid, who)
	}
	return nil
}

func process(pid int) (p Seen, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p, err
	}
	// proc_pid_stat(5): the name is in brackets and may hold any byte; field 22 is
	// the time it started, and the third comes next.
	left, right := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat[right+1:]))
	if left < 0 || right < left || len(fields) < 20 {
		return p, fmt.Errorf("/proc/%d/stat is %q", pid, stat)
	}
	_, uids, _ := strings.Cut(string(status), "\nUid:\t")
	uids, _, _ = strings.Cut(uids, "\n")
	return Seen{PID: pid, Started: fields[19], Program: string(stat[left+1 : right]), UIDs: uids}, nil
}

// UIDs is what Seen.UIDs says of a process that has this one alone.
func UIDs(uid int) string {
	s := strconv.Itoa(uid)
	return strings.Join([]string{s, s, s, s}, "\t")
}

func (w *Witness) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// End looks no more, and gives for each process whose mail it opened.
func (w *Witness) End() (map[Seen]map[string]bool, error) {
	w.fan.Close()
	<-w.done
	return w.seen, w.err
}
