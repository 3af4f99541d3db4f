package attempt

import (
	"strings"
	"testing"
	"time"

	"culver/internal/maillog/logline"
)

func TestRecordIsOneLine(t *testing.T) {
	t.Parallel()
	r := Record{
		Time:  time.Date(2027, 1, 15, 12, 0, 0, 5e6, time.FixedZone("", 3600)),
		Event: "ticket", Result: ResultOK, Principal: "admin@example.org", Target: "bob@example.org",
		Command: "search,mailbox list", RemoteIP: "192.0.2.1", Session: "abc", Service: "doveadm",
	}
	const want = `event=ticket result=ok time=2027-01-15T11:00:00.005Z principal="admin@example.org" target="bob@example.org" ` +
		`rip="192.0.2.1" service="doveadm" command="search,mailbox list" session="abc"`
	if got := r.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (Record{Event: "login", Result: ResultRefused}).String(); strings.Contains(got, "target") {
		t.Errorf("what is empty: got %s, want it left out", got)
	}
	for _, evil := range []string{
		"x\nevent=login result=ok", "x\r\n", `x" result="ok`, `x\" result="ok`, "x result=ok", "x\x00", "x\x1b[2J", "x\x01n",
		"x\u2028result=ok", "x\u0085", "x\u202e", "\xff\"", "x\t", strings.Repeat("\x00", 100000), strings.Repeat(`"`, 5000), `\`,
	} {
		for _, r := range []Record{
			{Event: "login", Result: ResultRefused, Principal: evil},
			{Event: "login", Result: ResultRefused, Target: evil},
			{Event: "login", Result: ResultRefused, Command: evil},
			{Event: "login", Result: ResultRefused, Service: evil},
			{Event: "login", Result: ResultRefused, RemoteIP: evil},
			{Event: "login", Result: ResultRefused, Session: evil},
			{Event: "login", Result: ResultRefused, Reason: evil},
		} {
			line := r.String()
			if !strings.HasPrefix(line, "event=login result=refused time=") {
				t.Errorf("%.40q: got %.80s", evil, line)
			}
			if strings.Trim(line, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
				t.Errorf("%.40q: got %q, want ASCII on one line", evil, line)
			}
			// Outside of quotes there is the one result.
			if got := strings.Count(unquoted(line), "result="); got != 1 {
				t.Errorf("%.40q: got %d results in %s", evil, got, line)
			}
			if len(line) > logline.MaxLine-100 {
				t.Errorf("%.40q: got %d bytes, want room for a line's frame", evil, len(line))
			}
		}
	}
}

// unquoted leaves out what is between quotes.
func unquoted(line string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(line); i++ {
		switch {
		case in && line[i] == '\\':
			i++
		case line[i] == '"':
			in = !in
		case !in:
			b.WriteByte(line[i])
		}
	}
	return b.String()
}
