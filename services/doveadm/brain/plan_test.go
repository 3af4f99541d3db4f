package brain

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/search"
)

const (
	guidA = "0123456789abcdef0123456789abcdef"
	guidB = "fedcba9876543210fedcba9876543210"
)

func dryRows(a *asked, rows ...string) int {
	for _, row := range rows {
		for _, cell := range strings.Fields(row) {
			a.reply.Value(cell)
		}
	}
	return 0
}

// dryServer says what an expunge would take.
func dryServer(a *asked) int {
	switch a.User {
	case "alice":
		return dryRows(a,
			"Trash "+guidA+" 7 1 100 expunge", "Trash "+guidA+" 7 2 100 expunge",
			"Trash "+guidA+" 7 9 100 expunge", "Junk "+guidB+" 8 3 50 expunge")
	case "bob":
		dryRows(a, "Trash "+guidB+" 1 5 10 expunge")
		return doveadmproto.TempFail
	}
	return 0
}

const planText = `{"doveadm-plan":1,"command":"expunge","made":"2026-11-24T00:00:00Z"}
{"user":"alice","mailbox":"Trash","mailbox-guid":"` + guidA + `","uidvalidity":7,"uids":"1:2,9"}
{"user":"alice","mailbox":"Junk","mailbox-guid":"` + guidB + `","uidvalidity":8,"uids":"3"}
`

func TestPlanOfADryRun(t *testing.T) {
	t.Parallel()
	plan := filepath.Join(t.TempDir(), "plan")
	s := newFakeServer(t, dryServer)
	g := Global{Settings: Settings{Socket: s.socket, Auth: fakeAuth(t, names("alice", "bob", "carol"))}}
	got := doveadm(t, g, "expunge", "-A", "--dry-run", "--plan", plan, "mailbox", "Trash", "all")
	if got.code != 75 || got.out != "" {
		t.Errorf("got %+v", got)
	}
	for _, part := range []string{"doveadm(alice): Info: dry run: expunge would touch 4 messages, 350 bytes\n", "2 users ok, 1 failed, 0 skipped; 5 messages, 360 bytes;"} {
		if !strings.Contains(got.errs, part) {
			t.Errorf("standard error lacks %q: %q", part, got.errs)
		}
	}
	text, _ := os.ReadFile(plan)
	if string(text) != planText {
		t.Errorf("plan is\n%swant\n%s", text, planText)
	}
}

func TestDryRunPrintsWhatWouldBeDone(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, dryServer)
	got := doveadm(t, Global{}, "expunge", "-u", "alice", "-S", s.socket, "--dry-run", "mailbox", "Trash", "all")
	if want := "Trash mailbox-guid=" + guidA + " uidvalidity=7 uid=1 size=100 action=expunge\n"; !strings.HasPrefix(got.out, want) || got.code != 0 {
		t.Errorf("got %+v, want %q first", got, want)
	}
}

func TestApplyDoesWhatThePlanSays(t *testing.T) {
	t.Parallel()
	plan := filepath.Join(t.TempDir(), "plan")
	os.WriteFile(plan, []byte(planText+`{"user":"bob","mailbox":"Trash","mailbox-guid":"`+guidA+`","uidvalidity":9,"uids":"4"}`+"\n"), 0o600)
	s := newFakeServer(t, func(a *asked) int {
		switch {
		case a.User == "bob":
			a.log(doveadmproto.LogError, "Trash has UIDVALIDITY 10, not 9")
			return doveadmproto.DataErr
		case slices.Contains(a.Args, "1:2,9"):
			a.touched(2)
		default:
			a.touched(1)
		}
		return 0
	})
	got := doveadm(t, Global{Settings: Settings{Socket: s.socket, Workers: 1}}, "apply", plan)
	want := []string{
		"expunge --if-uidvalidity 7 -- mailbox Trash mailbox-guid " + guidA + " uid 1:2,9",
		"expunge --if-uidvalidity 8 -- mailbox Junk mailbox-guid " + guidB + " uid 3",
		"expunge --if-uidvalidity 9 -- mailbox Trash mailbox-guid " + guidA + " uid 4",
	}
	if !slices.Equal(s.args, want) {
		t.Errorf("sent %q, want %q", s.args, want)
	}
	if got.code != doveadmproto.DataErr {
		t.Errorf("status %d", got.code)
	}
	for _, part := range []string{
		"doveadm(alice): Warning: 1 of 3 planned messages had vanished\n",
		"doveadm(bob): Error: Trash has UIDVALIDITY 10, not 9\n",
		"1 users ok, 1 failed, 0 skipped; 3 messages, 1 had vanished;",
	} {
		if !strings.Contains(got.errs, part) {
			t.Errorf("standard error lacks %q: %q", part, got.errs)
		}
	}
}

func TestNameWithWildcardsReachesNoOtherMailbox(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"*", "a%", "a*b"} {
		text := strings.ReplaceAll(planText, `"Trash"`, `"`+name+`"`)
		p, err := newPlanReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, s, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		// A query's terms all have to match.
		want := []string{"--if-uidvalidity", "7", "--", "mailbox", name, "mailbox-guid", guidA, "uid", "1:2,9"}
		if !slices.Equal(s.args, want) {
			t.Errorf("%q: sent %q, want %q", name, s.args, want)
		}
		// And the words of the name are no more of the query.
		q, err := search.Parse(s.args[3:], search.Env{})
		if err != nil || q.Root.Key != search.And || len(q.Root.Kids) != 3 || q.Root.Kids[1].Key != search.MailboxGUID {
			t.Errorf("%q: the query is %+v (%v), want a GUID in it that all have", name, q, err)
		}
	}
}

func TestPlansThatAreWrong(t *testing.T) {
	t.Parallel()
	head := planText[:strings.Index(planText, "\n")+1]
	for _, tt := range []struct {
		name, text, want string
	}{
		{"another version", `{"doveadm-plan":2,"command":"expunge","made":""}` + "\n", "version 2 of plans"},
		{"another command", `{"doveadm-plan":1,"command":"mailbox delete","made":""}` + "\n", "of expunge, or of move"},
		{"a move to nowhere", `{"doveadm-plan":1,"command":"move","made":""}` + "\n", "with its destination"},
		{"cut off", head + `{"user":"alice","mailb`, "line 2: it is cut off"},
		{"an unknown field", head + `{"user":"alice","query":"all"}` + "\n", `unknown field "query"`},
		{"a set with a star", head + `{"user":"alice","mailbox":"x","mailbox-guid":"` + guidA + `","uidvalidity":1,"uids":"1:*"}` + "\n", "not a fixed set"},
		{"no set", head + `{"user":"alice","mailbox":"x","mailbox-guid":"` + guidA + `","uidvalidity":1,"uids":"all"}` + "\n", "no set of UIDs"},
		{"a mailbox without a GUID", head + `{"user":"alice","mailbox":"x","mailbox-guid":"1","uidvalidity":1,"uids":"1"}` + "\n", "names no mailbox"},
		{"a user that is none", head + `{"user":"a\tb","mailbox":"x","mailbox-guid":"` + guidA + `","uidvalidity":1,"uids":"1"}` + "\n", "no user name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := filepath.Join(t.TempDir(), "plan")
			os.WriteFile(plan, []byte(tt.text), 0o600)
			s := newFakeServer(t, dryServer)
			got := doveadm(t, Global{}, "apply", "-S", s.socket, plan)
			if got.code != 65 || !strings.Contains(got.errs, tt.want) || len(s.users) > 0 {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

func TestSetsOfAPlanAreCut(t *testing.T) {
	t.Parallel()
	var p planned
	count := 0
	for uid := 1; uid < 100_000; uid += 2 {
		cells := [dryCells][]byte{[]byte("Trash"), []byte(guidA), []byte("7"), []byte(strconv.Itoa(uid)), []byte("1"), []byte("expunge")}
		if err := p.add(cells); err != nil {
			t.Fatal(err)
		}
		count++
	}
	p.end()
	got := 0
	for _, l := range p.lines {
		if len(l.UIDs) > maxSet {
			t.Errorf("a set has %d bytes", len(l.UIDs))
		}
		got += strings.Count(l.UIDs, ",") + 1
	}
	if got != count || len(p.lines) < 2 {
		t.Errorf("%d UIDs in %d lines, want %d in several", got, len(p.lines), count)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(planText)
	f.Add(`{"doveadm-plan":1,"command":"move","destination":"Old","made":""}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := newPlanReader(strings.NewReader(text))
		if err != nil {
			return
		}
		for {
			user, s, err := p.next()
			if err != nil {
				if err == io.EOF && user != "" {
					t.Error("a user at the end")
				}
				return
			}
			if s.planned < 1 || len(s.args) < 7 || strings.ContainsAny(user, "\t\n") {
				t.Errorf("%q: %+v", user, s)
			}
		}
	})
}
