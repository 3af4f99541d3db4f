package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seen is what the kernel said of a process at the moment it opened a file.
type seen struct {
	pid     int
	name    string // of the program
	uids    string // real, effective, saved, file system
	groups  string
	noPrivs string // "1": it can gain no privilege by exec
	seccomp string // "2": a filter is on
	path    string // of the file
}

// watcher looks at every process that opens a file in some folders. As root it
// has the kernel hold the process until it has looked (fanotify's permission
// events), because a worker lives for a few milliseconds only.
type watcher struct {
	fd  int // open to the end: who waits for an answer would wait for ever
	mu  sync.Mutex
	all map[int]seen
}

// watch begins to look. An ordinary user cannot hold another process, and gets
// an error.
func watch(dirs []string) (*watcher, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	for _, dir := range dirs {
		if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, dir); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("fanotify on %s: %w", dir, err)
		}
	}
	w := &watcher{fd: fd, all: map[int]seen{}}
	go w.run()
	return w, nil
}

func (w *watcher) run() {
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(w.fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		for rest := buf[:n]; len(rest) >= int(unsafe.Sizeof(unix.FanotifyEventMetadata{})); {
			event := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&rest[0]))
			w.event(int(event.Pid), int(event.Fd))
			rest = rest[event.Event_len:]
		}
	}
}

// event looks at one process and lets it go on.
func (w *watcher) event(pid, file int) {
	if file < 0 {
		return
	}
	defer unix.Close(file)
	if pid != os.Getpid() {
		s := look(pid)
		s.path, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file))
		w.mu.Lock()
		w.all[pid] = s
		w.mu.Unlock()
	}
	answer := binary.NativeEndian.AppendUint32(nil, uint32(file))
	answer = binary.NativeEndian.AppendUint32(answer, unix.FAN_ALLOW)
	unix.Write(w.fd, answer)
}

// look reads what the kernel shows of a process.
func look(pid int) seen {
	s := seen{pid: pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		s.uids = "gone"
		return s
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.Join(strings.Fields(value), " ")
		switch key {
		case "Name":
			s.name = value
		case "Uid":
			s.uids = value
		case "Groups":
			s.groups = value
		case "NoNewPrivs":
			s.noPrivs = value
		case "Seccomp":
			s.seccomp = value
		}
	}
	return s
}

// result is what was seen so far, by pid.
func (w *watcher) result() map[int]seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]seen{}
	for pid, s := range w.all {
		out[pid] = s
	}
	return out
}
