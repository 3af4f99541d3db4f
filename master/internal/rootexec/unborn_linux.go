package rootexec

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// findStopped gives pidfds of the children of this process that have the uid,
// still run the spawner's program, and are stopped: forked, and held by their
// user before their exec. A worker that has just had its exec after all may be
// hit by a hair's breadth of time; its user stops children and its delivery is
// tried again.
func findStopped(uid, spawner int) (fds []int) {
	var program unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/exe", spawner), &program) != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// The descriptor first: what is checked is then what is killed, even if
		// the number is given to another process in between.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if isStopped(pid, uid, program) {
			fds = append(fds, fd)
		} else {
			unix.Close(fd)
		}
	}
	return fds
}

func isStopped(pid, uid int, program unix.Stat_t) bool {
	st, err := status(pid)
	if err != nil || st.state != 'T' || st.parent != os.Getpid() || st.uid != uid {
		return false
	}
	var exe unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d/exe", pid), &exe) == nil && exe.Dev == program.Dev && exe.Ino == program.Ino
}

// proc is a process's state letter, parent and real uid.
type proc struct {
	state       byte
	parent, uid int
}

func status(pid int) (p proc, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p, err
	}
	p.parent, p.uid = -1, -1
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch string(f[0]) {
		case "State:":
			p.state = f[1][0]
		case "PPid:":
			p.parent, err = strconv.Atoi(string(f[1]))
		case "Uid:":
			p.uid, err = strconv.Atoi(string(f[1]))
		}
		if err != nil {
			return proc{}, err
		}
	}
	return p, nil
}
