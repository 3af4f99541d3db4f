package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every
// architecture that Go runs Linux on.
const tick = 10 * time.Millisecond

// process is what one line of /proc/PID/stat says about CPU time.
type process struct {
	pid, parent int
	cpu         time.Duration // its own, and that of the children it has waited for
}

// treeCPU sums the CPU time of root, its living descendants, and all that these
// have waited for. A child that ends between two readings moves from the living
// to what its parent has waited for, so the difference of two sums is right,
// as long as parents wait (a master does).
func treeCPU(proc string, root int) (time.Duration, error) {
	all, err := processes(proc)
	if err != nil {
		return 0, err
	}
	if _, ok := all[root]; !ok {
		return 0, fmt.Errorf("no process %d", root)
	}
	var sum time.Duration
	for _, p := range all {
		if descends(all, p.pid, root) {
			sum += p.cpu
		}
	}
	return sum, nil
}

// descends follows the parents up. The list was not read in one instant, so
// a reused pid could make a ring: the number of steps is bounded.
func descends(all map[int]process, pid, root int) bool {
	for range 64 {
		if pid == root {
			return true
		}
		p, ok := all[pid]
		if !ok || p.parent == 0 {
			return false
		}
		pid = p.parent
	}
	return false
}

func processes(proc string) (map[int]process, error) {
	dirs, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	all := map[int]process{}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(proc, d.Name(), "stat"))
		if err != nil {
			continue // ended since the directory was read
		}
		p, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		all[pid] = p
	}
	return all, nil
}

// parseStat reads one /proc/PID/stat. The name in parentheses may hold blanks
// and parentheses of its own, so fields are counted after the last one.
func parseStat(text []byte) (process, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return process{}, errors.New("stat without a name")
	}
	f := strings.Fields(string(text[end+1:]))
	const parent, utime, cstime = 1, 11, 14 // proc(5) fields 4, 14 to 17
	if len(f) <= cstime {
		return process{}, errors.New("stat is too short")
	}
	var p process
	var err error
	if p.pid, err = strconv.Atoi(strings.TrimSpace(string(text[:open]))); err != nil {
		return p, err
	}
	if p.parent, err = strconv.Atoi(f[parent]); err != nil {
		return p, err
	}
	for _, s := range f[utime : cstime+1] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return p, err
		}
		p.cpu += time.Duration(n) * tick
	}
	return p, nil
}

// cgroupCPU reads the CPU time of a cgroup: cpu.stat of version 2, or
// cpuacct.usage of version 1.
func cgroupCPU(dir string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
	if err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(n), err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if text, err = os.ReadFile(filepath.Join(dir, "cpu.stat")); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if s, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s: no usage_usec in cpu.stat", dir)
}

// settled reads until the server has gone quiet, so that workers which end just
// after their last reply are paid for, or until two seconds have gone.
func settled(read func() (time.Duration, error)) (time.Duration, error) {
	last, err := read()
	for range 20 {
		if err != nil {
			return 0, err
		}
		time.Sleep(100 * time.Millisecond)
		var now time.Duration
		if now, err = read(); err == nil && now-last < tick {
			return now, nil
		}
		last = now
	}
	return last, err
}
