package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"culver/test/system"
)

// The names of what is compared; targets refer to them.
const (
	dovecotOne  = "dovecot, service_count=1"
	dovecotMany = "dovecot, service_count=0"
	dovecotUID  = "dovecot, service_count=0, one uid"
	culverOne   = "culver, service_count=1"
	culverUID   = "culver, service_count=0, one uid"
	culverLocal = "culver, one uid, lmtp_reproxy=uid-differs"
	floorName   = "floor: the hops alone"
	rawName     = "raw: create, sync, rename"
)

// The uids of the benchmark's users: 1,000 from here on, and one for the
// single-uid sites.
const (
	firstUID  = 30001
	singleUID = 29999
)

// result is what is kept of one run; the field names are those of lmtp-load and floor.
type result struct {
	Rate    float64 `json:"deliveries_per_second"`
	CPUPer  float64 `json:"server_cpu_ms_per_delivery"`
	Session struct {
		P50 float64 `json:"p50_ms"`
		P95 float64 `json:"p95_ms"`
		P99 float64 `json:"p99_ms"`
	} `json:"session"`
	Errors map[string]int `json:"errors"`
	First  []string       `json:"first_failures"`
	where  shares         // of a server, by program
	steal  float64        // percent of the run that the host gave to others
}

// contestant is one thing to measure.
type contestant struct {
	name  string
	users system.Users
	pid   int // of a server's master
	run   func(context.Context, load) (result, error)
	stop  func() error
}

// contestants makes the users and starts the servers, all of which then wait
// idle for their turns. What was started is returned also with an error.
func contestants(p plan, dir string) (all []contestant, err error) {
	made := 0
	add := func(name string, single bool, begin func(c *contestant, dir string) error) {
		if err != nil || !p.only.MatchString(name) {
			return
		}
		made++
		sub := filepath.Join(dir, fmt.Sprint(made))
		c := contestant{name: name, stop: func() error { return nil }}
		if single {
			c.users, err = system.MakeSingle(sub, p.users, singleUID)
		} else {
			c.users, err = system.MakeUsers(sub, p.users, firstUID)
		}
		if err == nil {
			err = begin(&c, sub)
		}
		if errors.Is(err, errLeftOut) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			err = nil
			return
		}
		all = append(all, c)
	}
	dovecot := func(count int) func(*contestant, string) error {
		return func(c *contestant, sub string) error { return startDovecot(c, dir, sub, count) }
	}
	culver := func(more string) func(*contestant, string) error {
		return func(c *contestant, sub string) error { return startCulver(c, dir, sub, more) }
	}
	add(dovecotOne, false, dovecot(1))
	add(dovecotMany, false, dovecot(0))
	add(dovecotUID, true, dovecot(0))
	add(culverOne, false, culver(""))
	add(culverUID, true, culver("mail_root = \"%s\"\nservice lmtp {\n  service_count = 0\n}\n"))
	add(culverLocal, true, culver(fmt.Sprintf("lmtp_reproxy = uid-differs\nservice lmtp {\n  user = \"%d\"\n}\n", singleUID)+
		"mail_root = \"%s\"\nservice lmtp {\n  service_count = 0\n}\n"))
	add(floorName, false, func(c *contestant, _ string) error { return trial(c, dir, false) })
	add(rawName, false, func(c *contestant, _ string) error { return trial(c, dir, true) })
	return all, err
}

// errLeftOut is a contestant that this machine does not have.
var errLeftOut = errors.New("left out")

func startDovecot(c *contestant, dir, sub string, count int) error {
	if _, err := os.Stat("/usr/sbin/dovecot"); err != nil {
		return fmt.Errorf("%w: no dovecot here (install dovecot-lmtpd)", errLeftOut)
	}
	d, err := system.StartDovecot(filepath.Join(sub, "dovecot"), c.users, system.DovecotLimits{ServiceCount: count, ProcessLimit: 100})
	if err != nil {
		return err
	}
	c.stop, c.pid = d.Stop, d.PID
	c.run = func(ctx context.Context, l load) (result, error) { return lmtp(ctx, dir, d.Socket, d.PID, l, c.users) }
	return nil
}

// startCulver runs it with its defaults; more may ask for the folder of the homes.
func startCulver(c *contestant, dir, sub, more string) error {
	if _, err := os.Stat(system.Program("culver")); err != nil {
		return fmt.Errorf("%w: bin/culver is not built (make build)", errLeftOut)
	}
	if more != "" {
		more = fmt.Sprintf(more, c.users.Home)
	}
	s, err := system.StartCulver(filepath.Join(sub, "culver"), c.users, more)
	if err != nil {
		return err
	}
	c.stop, c.pid = s.Stop, s.PID
	c.run = func(ctx context.Context, l load) (result, error) { return lmtp(ctx, dir, s.Socket, s.PID, l, c.users) }
	return nil
}

// lmtp measures a server with the load generator.
func lmtp(ctx context.Context, dir, socket string, pid int, l load, u system.Users) (result, error) {
	return output(exec.CommandContext(ctx, filepath.Join(dir, "lmtp-load"), "--json", "--target=unix:"+socket,
		fmt.Sprint("--pid=", pid), fmt.Sprint("--total=", l.total), fmt.Sprint("--recipients=", l.recipients),
		fmt.Sprint("--sessions=", l.sessions), fmt.Sprint("--size=", l.size), fmt.Sprint("--users=", u.N)))
}

// trial measures the bare trial, or with raw the writes alone. Raw writes as root;
// the files are counted all the same.
func trial(c *contestant, dir string, raw bool) error {
	c.run = func(ctx context.Context, l load) (result, error) {
		args := []string{
			"--homes=" + c.users.Home, fmt.Sprint("--users=", c.users.N), fmt.Sprint("--total=", l.total),
			fmt.Sprint("--sessions=", l.sessions), fmt.Sprint("--size=", l.size), fmt.Sprint("--recipients=", l.recipients),
		}
		if raw {
			// The same number of files by as many writers, in one loop each.
			args = append(args, "--raw", fmt.Sprint("--total=", l.total*l.recipients), "--recipients=1")
		} else {
			args = append(args, "--worker="+filepath.Join(dir, "worker"), fmt.Sprint("--first-uid=", c.users.FirstUID))
		}
		return output(exec.CommandContext(ctx, filepath.Join(dir, "floor"), args...))
	}
	return nil
}

// output runs a program and reads the JSON it prints. lmtp-load exits 1 when
// something was refused, and then says what.
func output(c *exec.Cmd) (result, error) {
	c.Stderr = os.Stderr
	text, err := c.Output()
	var r result
	if jerr := json.Unmarshal(text, &r); jerr != nil {
		return r, errors.Join(err, jerr)
	}
	if err != nil {
		return r, fmt.Errorf("%w: errors %v, first %q", err, r.Errors, r.First)
	}
	return r, nil
}
