package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"culver/test/system"
)

// contestant is one server that runs.
type contestant struct {
	name   string
	users  string // its users file
	lookup string // socket for lookups
	login  string // socket for logins
	lmtp   string // Culver's LMTP socket
	pid    int    // of its auth process
	stop   func() error
}

const dovecotMore = "default_client_limit = 4096\nservice auth {\n  client_limit = 4096\n}\n"

// start runs both servers with the same users.
func start(dir, users string) (all []contestant, err error) {
	d, err := system.StartDovecotAuth(dir+"/dovecot", "2.3", users, dovecotMore)
	if err != nil {
		return nil, err
	}
	run := filepath.Dir(d.Auth)
	all = append(all, contestant{name: "dovecot", users: dir + "/dovecot/users", lookup: d.Auth, login: run + "/auth-client", stop: d.Stop})
	c, err := system.ConfigureCulver(dir+"/culver", users, "")
	if err == nil {
		err = c.Start(false)
	}
	if err != nil {
		return all, err
	}
	run = filepath.Dir(c.Socket)
	all = append(all, contestant{name: "culver", users: c.Passwd, lookup: run + "/auth-userdb", login: run + "/auth-client", lmtp: c.Socket, stop: c.Stop})
	for i := range all {
		if all[i].pid, err = authOf(all[i].lookup); err != nil {
			return all, fmt.Errorf("%s: %w", all[i].name, err)
		}
	}
	return all, nil
}

func stop(all []contestant) {
	for _, c := range all {
		if err := c.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
		}
	}
}

// startTime bounds a server's start.
const startTime = 20 * time.Second

// authOf waits for a server and asks it for its pid.
func authOf(socket string) (int, error) {
	var l *link
	var err error
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		if l, err = dial(socket); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	defer l.close()
	hello, err := l.hello()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(hello, "SPID\t")
	text, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(text)
}

// cpu is the CPU time of a process, all its threads together.
func cpu(pid int) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		var ns int64
		fmt.Sscan(string(text), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

// resident is a process's memory in KiB.
func resident(pid int) (kib int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fmt.Sscan(rest, &kib)
	return kib
}
