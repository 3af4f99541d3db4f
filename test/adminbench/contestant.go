package main

import (
	"fmt"
	"os"
	"os/exec"

	"culver/test/system"
)

// The names of what is compared; targets refer to them.
const (
	dovecotRoot   = "dovecot, one root process"
	dovecotWorker = "dovecot, one worker"
	culverOne     = "culver, service_count=1"
	culverUID     = "culver, count=0, one uid"
)

var (
	manyContestants  = []string{dovecotRoot, dovecotWorker, culverOne, culverUID}
	largeContestants = []string{dovecotRoot, culverOne, culverUID}
)

const (
	firstUID  = 30001
	singleUID = 29999
)

// What is asked, in this order: the first of each name finds mailboxes that
// nobody has opened yet.
var manySteps = []step{
	{"mailbox status, first", true, []string{"mailbox", "status", "-A", "messages vsize", "INBOX"}},
	{"mailbox status, again", false, []string{"mailbox", "status", "-A", "messages vsize", "INBOX"}},
	{"search by date, first", true, []string{"search", "-A", "mailbox", "INBOX", "before", "2022-02-20"}},
	{"search by date, again", false, []string{"search", "-A", "mailbox", "INBOX", "before", "2022-02-20"}},
	{"search by subject", false, []string{"search", "-A", "mailbox", "INBOX", "subject", "message 7"}},
	{"search in bodies", false, []string{"search", "-A", "mailbox", "INBOX", "body", "needle"}},
	{"fetch of three fields", false, []string{"-f", "tab", "fetch", "-A", "uid hdr.subject size.virtual", "mailbox", "INBOX", "all"}},
	{"expunge of half", false, []string{"expunge", "-A", "mailbox", "INBOX", "before", "2022-02-20"}},
}

var largeSteps = []step{
	{"mailbox status, first", true, []string{"mailbox", "status", "-A", "messages", "INBOX"}},
	{"search by date", false, []string{"search", "-A", "mailbox", "INBOX", "before", "2022-01-02"}},
	{"search by date, again", false, []string{"search", "-A", "mailbox", "INBOX", "before", "2022-01-02"}},
	{"fetch of a UID", false, []string{"-f", "tab", "fetch", "-A", "uid hdr.subject", "mailbox", "INBOX", "uid", "777"}},
	{"expunge of a UID", false, []string{"expunge", "-A", "mailbox", "INBOX", "uid", "778"}},
}

var (
	cold = []string{"mailbox status, first", "search by date, first"}
	warm = []string{"mailbox status, again", "search by date, again"}

	manyTargets = []target{
		{culverOne, dovecotWorker, 4, cold},
		{culverOne, dovecotWorker, 1.6, warm},
		{culverOne, dovecotRoot, 1, []string{"search by date, first", "search by subject", "expunge of half"}},
		{culverOne, dovecotRoot, 2, []string{"search in bodies"}},
		{culverUID, dovecotRoot, 1.5, names(manySteps)},
	}
	largeTargets = []target{
		{culverOne, dovecotRoot, 0.5, []string{"search by date, again", "fetch of a UID", "expunge of a UID"}},
	}
)

func names(steps []step) (all []string) {
	for _, s := range steps {
		all = append(all, s.name)
	}
	return all
}

// contestant is one server at one time.
type contestant struct {
	name     string
	base     string // above all that it makes
	begun    int
	dir      string // of the server that runs, below base
	users    int
	template system.Users

	dovecot *system.Dovecot
	culver  *system.Culver
}

// begin starts the server with mailboxes that nobody has opened. What it had
// before stays until the benchmark ends: without a journal ext4 looks for minutes
// at each inode that was freed before it makes a file, and whoever comes after a
// removal would pay for it.
func (c *contestant) begin() error {
	if err := c.end(); err != nil {
		return err
	}
	c.begun++
	c.dir = fmt.Sprintf("%s-%d", c.base, c.begun)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	u, from := c.template, c.template
	if c.name == culverUID {
		var err error
		if from, err = single(c.template); err != nil {
			return err
		}
		u.FirstUID, u.Single = singleUID, true
	}
	u.Home = c.dir + "/homes"
	if err := link(from, u.Home); err != nil {
		return err
	}
	more := "service doveadm {\n  process_limit = 100\n}\n"
	if c.name == culverUID {
		more = fmt.Sprintf("service doveadm {\n  service_count = 0\n}\nmail_root = %q\nfirst_valid_uid = %d\nlast_valid_uid = %[2]d\nfirst_valid_gid = %[2]d\nlast_valid_gid = %[2]d\n", u.Home, singleUID)
	}
	var err error
	switch c.name {
	case dovecotRoot, dovecotWorker:
		c.dovecot, err = system.StartDovecot(c.dir+"/server", u, system.DovecotLimits{ProcessLimit: 100})
	default:
		c.culver, err = system.StartCulver(c.dir+"/server", u, more)
	}
	return err
}

// single gives the template's mail to one uid, in a second template: links of the
// first would take it away from its owners.
func single(from system.Users) (system.Users, error) {
	to := from
	to.Home += "-single"
	if _, err := os.Stat(to.Home); err == nil {
		return to, nil
	}
	out, err := exec.Command("sh", "-ec", fmt.Sprintf("cp -a %[1]s %[2]s.new; chown -R %[3]d:%[3]d %[2]s.new; mv %[2]s.new %[2]s", from.Home, to.Home, singleUID)).CombinedOutput()
	if err != nil {
		return to, fmt.Errorf("copy: %w\n%s", err, out)
	}
	return to, nil
}

func (c *contestant) end() (err error) {
	if c.dovecot != nil {
		err = c.dovecot.Stop()
	}
	if c.culver != nil {
		err = c.culver.Stop()
	}
	c.dovecot, c.culver = nil, nil
	return err
}

func (c *contestant) doveadm(args []string) (system.Said, error) {
	switch c.name {
	case dovecotRoot:
		return c.dovecot.Doveadm("", args...)
	case dovecotWorker:
		return c.dovecot.Doveadm("", append([]string{"-o", "doveadm_worker_count=1"}, args...)...)
	}
	return c.culver.Doveadm("", args...)
}
