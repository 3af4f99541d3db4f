package rootexec

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// killUnborn kills the children of this process that have the uid and still
// run the spawner's program: forked, and held before their exec. A worker that
// has just had its exec after all may be hit by a hair's breadth of time; its
// user stops children and its delivery is tried again.
func killUnborn(uid, spawner int, spawners map[int]bool) {
	var program unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/exe", spawner), &program) != nil {
		return
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && !spawners[pid] {
			killIfUnborn(pid, uid, program)
		}
	}
}

func killIfUnborn(pid, uid int, program unix.Stat_t) {
	// The descriptor first: what is checked is then what is killed, even if
	// the number is given to another process in between.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	parent, real, err := status(pid)
	if err != nil || parent != os.Getpid() || real != uid {
		return
	}
	var exe unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/exe", pid), &exe) != nil || exe.Dev != program.Dev || exe.Ino != program.Ino {
		return
	}
	unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// status reads a process's parent and its real uid.
func status(pid int) (parent, uid int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	parent, uid = -1, -1
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch string(f[0]) {
		case "PPid:":
			parent, err = strconv.Atoi(string(f[1]))
		case "Uid:":
			uid, err = strconv.Atoi(string(f[1]))
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return parent, uid, nil
}
