package brain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

// oneRow answers with one row of a search.
func oneRow(a *asked) int {
	a.reply.Value("guid-of-" + a.User)
	a.reply.Value("1")
	a.reply.Row()
	return 0
}

func sorted(text string) string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(all)
	return strings.Join(all, "|")
}

func TestOneUsersRowsHaveNoNames(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, oneRow)
	got := doveadm(t, Global{}, "search", "-S", s.socket, "-u", "alice", "mailbox", "INBOX", "all")
	if want := (ran{0, "guid-of-alice 1\n", ""}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := "search -u alice -- mailbox INBOX all"; s.args[0] != want {
		t.Errorf("sent %q, want %q", s.args[0], want)
	}
}

func TestUsersOfEveryChoice(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	os.WriteFile(users, []byte("alice\ttimed out yesterday\nbob\r\n"), 0o600)
	auth := fakeAuth(t, names("alice", "bob"))
	for _, tt := range []struct {
		name  string
		words []string
		in    string
	}{
		{"everybody", []string{"-A"}, ""},
		{"a mask", []string{"-u", "*"}, ""},
		{"a file, whose reasons are for people", []string{"-F", users}, ""},
		{"standard input, its last line without an end", []string{"-F", "-"}, "alice\nbob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t, oneRow)
			g := Global{Settings: Settings{Auth: auth, Socket: s.socket}, In: strings.NewReader(tt.in)}
			got := doveadm(t, g, append(append([]string{"search"}, tt.words...), "all")...)
			if want := "alice guid-of-alice 1|bob guid-of-bob 1"; sorted(got.out) != want || got.code != 0 {
				t.Errorf("got %+v, want %q", got, want)
			}
			if !strings.HasPrefix(got.errs, "doveadm: 2 users ok, 0 failed, 0 skipped; 0 messages; ") {
				t.Errorf("summary is %q", got.errs)
			}
			for _, args := range s.args {
				if args != "search -- all" {
					t.Errorf("sent %q: the choice of users is not the server's affair", args)
				}
			}
		})
	}
}

func TestUsersFromAPipeAreReadOnce(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "users")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(pipe, []byte("alice\nbob\n"), 0o600)
	s := newFakeServer(t, oneRow)
	// The progress wants to know how many they are.
	got := doveadm(t, Global{Settings: Settings{Socket: s.socket}}, "search", "-F", pipe, "--progress=ndjson", "all")
	if want := "alice guid-of-alice 1|bob guid-of-bob 1"; sorted(got.out) != want || got.code != 0 {
		t.Errorf("got %+v, want %q", got, want)
	}
	got = doveadm(t, Global{Settings: Settings{Socket: s.socket}}, "search", "-F", os.DevNull, "--journal", pipe+".journal", "all")
	if got.code != 64 {
		t.Errorf("a journal of users who cannot be read again: got %+v, want 64", got)
	}
}

func TestNothingIsTouchedWhereTheCommandIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	os.WriteFile(there, nil, 0o600)
	for _, tt := range []struct {
		name  string
		words []string
		code  int
		part  string
	}{
		{"unknown search key", []string{"search", "-A", "mailbx", "INBOX"}, 75, "mailbx"},
		{"expunge without a mailbox", []string{"expunge", "-A", "all"}, 64, "MAILBOX in all search branches"},
		{"unknown formatter", []string{"-f", "search", "-A", "all"}, 75, "unknown formatter"},
		{"a search in a batch", []string{"batch", "-A", ":", "search", "nonsense"}, 75, "nonsense"},
		{"users file missing", []string{"search", "-F", filepath.Join(dir, "no"), "all"}, 75, "no such file"},
		{"message missing", []string{"save", "-A", filepath.Join(dir, "no")}, 75, "no such file"},
		{"progress of no kind", []string{"search", "-A", "--progress", "x", "all"}, 64, "--progress"},
		{"journal there already", []string{"search", "-A", "--journal", there, "all"}, 64, "is there already"},
		{"journal of users from standard input", []string{"search", "-F", "-", "--journal", filepath.Join(dir, "j"), "all"}, 64, "cannot be resumed"},
		{"journal of a message from standard input", []string{"save", "-A", "--journal", filepath.Join(dir, "j")}, 64, "name a file"},
		{"plan of another user's mail", []string{"move", "-u", "a", "--dry-run", "--plan", filepath.Join(dir, "p"), "Trash", "user", "b", "mailbox", "x", "all"}, 64, "--plan is for the mail of the user"},
		{"no such journal", []string{"resume", filepath.Join(dir, "no")}, 75, "no such file"},
		{"a journal that is none", []string{"resume", there}, 65, "there is no header"},
		{"a plan that is none", []string{"apply", there}, 65, "there is no header"},
		{"a server without a port", []string{"search", "-S", "localhost", "-A", "all"}, 64, "has no port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t, oneRow)
			g := Global{Settings: Settings{Auth: fakeAuth(t, names("alice")), Socket: s.socket}, In: strings.NewReader("alice\n")}
			words := tt.words
			if words[0] == "-f" {
				g.Formatter, words = "nonsense", words[1:]
			}
			got := doveadm(t, g, words...)
			if got.code != tt.code || !strings.Contains(got.errs, tt.part) {
				t.Errorf("got %d %q, want %d with %q", got.code, got.errs, tt.code, tt.part)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.users) > 0 {
				t.Errorf("users %v were touched", s.users)
			}
		})
	}
}

func TestWithoutConfiguration(t *testing.T) {
	t.Parallel()
	settings, err := LoadSettings("/nonexistent/culver.conf", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := doveadm(t, Global{Settings: settings}, "search", "-u", "alice", "all")
	want := ran{75, "", "doveadm: the configuration /nonexistent/culver.conf cannot be read (no such file or directory), and the server is not named with -S: give -c FILE, or -o doveadm_socket_path=VALUE\n"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	settings, err = LoadSettings("/nonexistent/culver.conf", []string{"doveadm_socket_path=/x/y", "doveadm_worker_count=7"})
	if err != nil || settings.Socket != "/x/y" || settings.Workers != 7 {
		t.Errorf("got %+v, %v", settings, err)
	}
	if _, err = LoadSettings("/nonexistent/culver.conf", []string{"mail_location=x"}); Code(err) != 64 {
		t.Errorf("got %v, want wrong usage", err)
	}
}

func TestServerThatIsNotThereLeavesAllAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	failed := filepath.Join(dir, "failed")
	os.WriteFile(failed, []byte("alice\n"), 0o600)
	got := doveadm(t, Global{}, "search", "-S", filepath.Join(dir, "s"), "-F", failed, "--failed-file", failed, "--journal", filepath.Join(dir, "journal"), "all")
	if got.code != 75 || !strings.HasPrefix(got.errs, "doveadm: server ") {
		t.Errorf("got %+v", got)
	}
	if text, _ := os.ReadFile(failed); string(text) != "alice\n" {
		t.Errorf("the failed file of the run before is %q now", text)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("files were left: %v", all)
	}
}

func TestServerThatGoesAwayIsNamedOnce(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	failed := filepath.Join(t.TempDir(), "failed")
	s := newFakeServer(t, func(a *asked) int { return hangUp })
	g := Global{Settings: Settings{Socket: s.socket, Workers: 2}, In: strings.NewReader("alice\nbob\ncarol\ndave\n")}
	g.dial = func(next func(context.Context) (link, error)) func(context.Context) (link, error) {
		return func(ctx context.Context) (link, error) {
			if dials.Add(1) > 1 {
				return nil, doveadmproto.ErrAuth // which is final
			}
			return next(ctx)
		}
	}
	got := doveadm(t, g, "search", "-F", "-", "--failed-file", failed, "all")
	list, _ := os.ReadFile(failed)
	if got.code != 75 || strings.Count(string(list), "\n") != 4 || strings.Count(got.errs, "refused the password") != 1 {
		t.Errorf("got %+v, failed file %q", got, list)
	}
}

func TestInterruptWhileTheListIsAwaited(t *testing.T) {
	t.Parallel()
	interrupt := make(chan struct{}, 1)
	r, w := io.Pipe()
	defer w.Close()
	s := newFakeServer(t, func(a *asked) int { interrupt <- struct{}{}; return oneRow(a) })
	go io.WriteString(w, "alice\nbob") // and nothing more
	got := doveadm(t, Global{Settings: Settings{Socket: s.socket}, In: r, Interrupt: interrupt}, "search", "-F", "-", "all")
	if got.code != 75 || !strings.Contains(got.errs, "1 users ok, 0 failed, 0 skipped") {
		t.Errorf("got %+v", got)
	}
}

func TestOneUsersFailureIsHisAlone(t *testing.T) {
	t.Parallel()
	failed := filepath.Join(t.TempDir(), "failed")
	s := newFakeServer(t, func(a *asked) int {
		switch a.User {
		case "nosuch":
			a.log(doveadmproto.LogError, "doveadm(nosuch): User doesn't exist")
			return doveadmproto.NoUser
		case "full":
			return doveadmproto.OverQuota
		case "short":
			a.reply.Value("guid")
			return 0
		case "evil":
			a.log(doveadmproto.LogError, "\x1b[2J\xff")
			return doveadmproto.NotFound
		}
		return oneRow(a)
	})
	g := Global{Settings: Settings{Socket: s.socket, Workers: 1}, In: strings.NewReader("alice\nnosuch\nfull\n\nshort\nevil\nbob\n")}
	got := doveadm(t, g, "search", "-F", "-", "--failed-file", failed, "all")
	if got.code != doveadmproto.NoUser {
		t.Errorf("status %d, want that of the first two who failed", got.code)
	}
	if want := "alice guid-of-alice 1\nshort guid \nbob guid-of-bob 1\n"; got.out != want {
		t.Errorf("printed %q, want %q", got.out, want)
	}
	list, _ := os.ReadFile(failed)
	want := "\tthis is no user name|evil\t\\x1b[2J\\xff|full\tover quota|nosuch\tUser doesn't exist|short\ta row of the result is not complete"
	if sorted(string(list)) != want {
		t.Errorf("failed file is %q, want %q", list, want)
	}
	for _, line := range []string{
		"doveadm(nosuch): Error: User doesn't exist\n",
		"doveadm(full): Error: over quota\n",
		"doveadm(evil): Error: \\x1b[2J\\xff\n",
		"doveadm: 2 users ok, 5 failed, 0 skipped;",
	} {
		if !strings.Contains(got.errs, line) {
			t.Errorf("standard error lacks %q: %q", line, got.errs)
		}
	}
	if s.conns != 1 {
		t.Errorf("%d connections, want one for all users", s.conns)
	}
}

func TestLaterFailuresAndTheExitStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		codes []int
		want  int
	}{
		{"all well", []int{0, 0}, 0},
		{"the first stays", []int{0, 68, 67}, 68},
		{"75 overrides", []int{68, 75, 67}, 75},
		{"what a shell cannot show is 75", []int{0, 1001}, 75},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := 0
			for _, c := range tt.codes {
				got = worse(got, c)
			}
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestListThatEndsEarlyIsAFailure(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, oneRow)
	auth := fakeAuth(t, func(yield func(string) bool) bool { yield("alice"); return false })
	got := doveadm(t, Global{Settings: Settings{Auth: auth, Socket: s.socket}}, "search", "-A", "all")
	if got.code != 75 || got.out != "alice guid-of-alice 1\n" || !strings.Contains(got.errs, "the list of users is not complete") {
		t.Errorf("got %+v", got)
	}
}

func TestServerThatDropsConnections(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words []string
		rows  bool // some are sent before
		want  string
		sent  int
		ok    bool
	}{
		{"a search is sent again", []string{"search", "all"}, false, "", 2, true},
		{"a search whose rows were printed is not", []string{"search", "all"}, true, "connection lost", 1, false},
		{"a copy is not", []string{"copy", "Trash", "mailbox", "INBOX", "all"}, false, unknown, 1, false},
		{"an expunge is sent again", []string{"expunge", "mailbox", "Trash", "uid", "1:5"}, false, "", 2, true},
		{"an expunge of the first message is not", []string{"expunge", "mailbox", "Trash", "1"}, false, unknown, 1, false},
		{"nor one of the last", []string{"expunge", "mailbox", "Trash", "uid", "*"}, false, unknown, 1, false},
		{"a dry run is", []string{"copy", "--dry-run", "Trash", "mailbox", "INBOX", "all"}, false, "", 2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			s := newFakeServer(t, func(a *asked) int {
				if tries.Add(1) > 1 {
					return 0
				}
				if tt.rows {
					oneRow(a)
				}
				return hangUp
			})
			words := append([]string{tt.words[0], "-u", "alice", "-S", s.socket}, tt.words[1:]...)
			got := doveadm(t, Global{}, words...)
			if ok := got.code == 0; ok != tt.ok || !strings.Contains(got.errs, tt.want) || int(tries.Load()) != tt.sent {
				t.Errorf("got %+v after %d tries, want %q after %d", got, tries.Load(), tt.want, tt.sent)
			}
		})
	}
}

func TestOrderedPrintsTheListsOrder(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	var begun atomic.Int32
	s := newFakeServer(t, func(a *asked) int {
		if a.User == "u000" {
			<-gate
		} else if begun.Add(1) == 3 {
			close(gate) // only when others are long done
		}
		return oneRow(a)
	})
	var list, want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&list, "u%03d\n", i)
		fmt.Fprintf(&want, "u%03d guid-of-u%03d 1\n", i, i)
	}
	g := Global{Settings: Settings{Socket: s.socket}, In: strings.NewReader(list.String())}
	got := doveadm(t, g, "search", "-F", "-", "--ordered", "all")
	if got.out != want.String() || got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestOneMessageForEveryUser(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	inputs := map[string]string{}
	s := newFakeServer(t, func(a *asked) int {
		mu.Lock()
		defer mu.Unlock()
		inputs[a.User] = a.input
		return 0
	})
	s.reads = true
	users := filepath.Join(t.TempDir(), "users")
	os.WriteFile(users, []byte("alice\nbob\ncarol\n"), 0o600)
	g := Global{Settings: Settings{Socket: s.socket, Workers: 2}, In: strings.NewReader("Subject: x\n\n.dot\n")}
	if got := doveadm(t, g, "save", "-F", users); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	for _, u := range []string{"alice", "bob", "carol"} {
		if want := "Subject: x\r\n\r\n.dot\r\n"; inputs[u] != want {
			t.Errorf("%s got %q, want %q", u, inputs[u], want)
		}
	}
}

func TestOneUserHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const users = 200
	big := strings.Repeat("x", 100<<10) // of all together far more than memory takes
	for _, tt := range []struct {
		name  string
		extra []string
	}{
		{"as they finish", nil},
		{"in the order of the list", []string{"--ordered"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var others sync.WaitGroup
			others.Add(users)
			release := make(chan struct{})
			out := &seenOut{printed: make(chan struct{})}
			s := newFakeServer(t, func(a *asked) int {
				if a.User == "u000" {
					oneRow(a)
					a.reply.Flush()
					<-release
					return oneRow(a)
				}
				for range 2 {
					a.reply.Value(big)
					a.reply.Value(a.User)
					a.reply.Row()
				}
				return 0
			})
			var list, want strings.Builder
			list.WriteString("u000\n")
			want.WriteString("u000 guid-of-u000 1\nu000 guid-of-u000 1\n")
			for i := 1; i <= users; i++ {
				fmt.Fprintf(&list, "u%03d\n", i)
				row := fmt.Sprintf("u%03d %s u%03d\n", i, big, i)
				want.WriteString(row + row)
			}
			in, feed := io.Pipe()
			go func() {
				first, rest, _ := strings.Cut(list.String(), "\n")
				io.WriteString(feed, first+"\n")
				<-out.printed
				io.WriteString(feed, rest)
				feed.Close()
			}()
			events := &countEnds{line: []byte(`{"event":"user"`), done: others.Done, left: users}
			go func() { others.Wait(); close(release) }()
			g := Global{Settings: Settings{Socket: s.socket}, In: in, Out: out, Err: events}
			got := doveadm(t, g, append(append([]string{"search", "-F", "-", "--progress=ndjson"}, tt.extra...), "all")...)
			lines := strings.SplitAfter(out.b.String(), "\n")
			if tt.extra == nil {
				slices.Sort(lines[2 : len(lines)-1])
			}
			if strings.Join(lines, "") != want.String() || got.code != 0 {
				t.Errorf("status %d, %d lines of %d bytes, want %d bytes", got.code, len(lines)-1, out.b.Len(), want.Len())
			}
		})
	}
}

// seenOut tells when something was printed.
type seenOut struct {
	once    sync.Once
	printed chan struct{}
	b       bytes.Buffer
}

func (o *seenOut) Write(p []byte) (int, error) {
	o.once.Do(func() { close(o.printed) })
	return o.b.Write(p)
}

// countEnds hears of users who are done.
type countEnds struct {
	line []byte
	done func()
	left int
}

func (c *countEnds) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, c.line) && c.left > 0 {
		c.left--
		c.done()
	}
	return len(p), nil
}

func TestUsersWhoseWorkerNeverBeganAreSkipped(t *testing.T) {
	t.Parallel()
	interrupt := make(chan struct{}, 1)
	failed := filepath.Join(t.TempDir(), "failed")
	s := newFakeServer(t, func(a *asked) int {
		interrupt <- struct{}{}
		<-a.stop
		a.log(doveadmproto.LogError, "doveadm(alice): "+doveadmproto.NotBegun)
		return doveadmproto.TempFail
	})
	g := Global{Settings: Settings{Socket: s.socket, Workers: 1}, In: strings.NewReader("alice\n"), Interrupt: interrupt}
	got := doveadm(t, g, "expunge", "-F", "-", "--failed-file", failed, "mailbox", "Trash", "all")
	if got.code != 75 || !strings.Contains(got.errs, "0 users ok, 0 failed, 1 skipped;") || strings.Contains(got.errs, "Error") {
		t.Errorf("got %+v", got)
	}
	if list, _ := os.ReadFile(failed); string(list) != "alice\tnot begun\n" {
		t.Errorf("failed file is %q", list)
	}
}

func TestCountsStayTheMostThereIs(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(a *asked) int {
		a.raw.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChTouched, fmt.Append(nil, uint64(math.MaxInt64))))
		return 0
	})
	g := Global{Settings: Settings{Socket: s.socket}, In: strings.NewReader("alice\nbob\n")}
	got := doveadm(t, g, "expunge", "-F", "-", "mailbox", "Trash", "all")
	if want := fmt.Sprintf("0 skipped; %d messages;", math.MaxInt64); !strings.Contains(got.errs, want) {
		t.Errorf("got %+v, want %q", got, want)
	}
}

func TestInterruptStopsAtAMessage(t *testing.T) {
	t.Parallel()
	interrupt := make(chan struct{}, 1)
	failed := filepath.Join(t.TempDir(), "failed")
	s := newFakeServer(t, func(a *asked) int {
		if a.User == "first" {
			a.touched(1)
			return 0
		}
		interrupt <- struct{}{}
		<-a.stop
		a.touched(7)
		a.log(doveadmproto.LogError, "stopped after 7 of 9 messages")
		return doveadmproto.TempFail
	})
	g := Global{Settings: Settings{Socket: s.socket, Workers: 1}, In: strings.NewReader("first\nalice\nbob\ncarol\n"), Interrupt: interrupt}
	got := doveadm(t, g, "expunge", "-F", "-", "--failed-file", failed, "mailbox", "Trash", "all")
	if got.code != 75 {
		t.Errorf("status %d, want 75", got.code)
	}
	for _, part := range []string{"doveadm(alice): Error: stopped after 7 of 9 messages\n", "1 users ok, 1 failed, 2 skipped; 8 messages;", "; stopped before the end"} {
		if !strings.Contains(got.errs, part) {
			t.Errorf("standard error lacks %q: %q", part, got.errs)
		}
	}
	list, _ := os.ReadFile(failed)
	if want := "alice\tstopped after 7 of 9 messages|bob\tnot begun|carol\tnot begun"; sorted(string(list)) != want {
		t.Errorf("failed file is %q, want %q", list, want)
	}
}

type brokenOut struct{}

func (brokenOut) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestStdoutThatIsGoneStopsTheRun(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, oneRow)
	endless := func(yield func(string) bool) bool {
		for i := 0; yield(fmt.Sprintf("u%d", i)); i++ {
		}
		return false
	}
	g := Global{Settings: Settings{Auth: fakeAuth(t, endless), Socket: s.socket}, Out: brokenOut{}}
	got := doveadm(t, g, "search", "-A", "all")
	if got.code != 75 || !strings.Contains(got.errs, "standard output: broken pipe") {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(got.errs, "connection lost") {
		t.Errorf("the server is blamed for our standard output: %s", got.errs)
	}
}

func TestEventsForPrograms(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(a *asked) int {
		a.touched(3)
		if a.User == "bob" {
			a.log(doveadmproto.LogError, "no such mailbox")
			return doveadmproto.NotFound
		}
		return 0
	})
	g := Global{Settings: Settings{Socket: s.socket, Workers: 1}, In: strings.NewReader("alice\nbob\n")}
	got := doveadm(t, g, "expunge", "-F", "-", "--progress=ndjson", "mailbox", "Trash", "all")
	for _, part := range []string{
		`{"event":"user","user":"alice","status":0,"messages":3,`,
		`{"event":"log","user":"bob","level":"Error","text":"no such mailbox"}`,
		`{"event":"user","user":"bob","status":68,"reason":"no such mailbox","messages":3,`,
		`{"event":"progress","users":1,`,
		`{"event":"summary","status":68,"messages":6,`,
	} {
		if !strings.Contains(strings.ReplaceAll(got.errs, "\n", "\n"), part) {
			t.Errorf("standard error lacks %q:\n%s", part, got.errs)
		}
	}
	for line := range strings.Lines(got.errs) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("%q is no event", line)
		}
	}
}

// fakeLink is a connection whose commands are drawn.
type fakeLink struct {
	run func(user string, to doveadmproto.Sink) (int, error)
}

func (l *fakeLink) Run(_ context.Context, cmd doveadmproto.Command, _ io.Reader, to doveadmproto.Sink) (int, error) {
	return l.run(cmd.User, to)
}
func (l *fakeLink) Minor() int       { return 3 }
func (l *fakeLink) Referral() string { return "" }
func (l *fakeLink) Cancel() error    { return nil }
func (l *fakeLink) Close() error     { return nil }

func TestEveryUserOnceWhateverTheServerDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		users := rapid.IntRange(0, 30).Draw(rt, "users")
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		again := rapid.Bool().Draw(rt, "again")
		ordered := rapid.Bool().Draw(rt, "ordered")
		// What each attempt to connect, and each command, comes to.
		refused := rapid.SliceOf(rapid.Bool()).Draw(rt, "refused")
		fates := rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "ok", "fail", "drop", "rows and drop"}), 1, 80).Draw(rt, "fates")

		var mu sync.Mutex
		var dials, runs int
		sent := map[string]int{}
		fate := func(user string) string {
			mu.Lock()
			defer mu.Unlock()
			runs++
			sent[user]++
			return fates[runs%len(fates)]
		}
		dial := func(context.Context) (link, error) {
			mu.Lock()
			defer mu.Unlock()
			dials++
			if dials > 1 && len(refused) > 0 && refused[dials%len(refused)] && dials < 40 {
				return nil, errors.New("refused")
			}
			return &fakeLink{func(user string, to doveadmproto.Sink) (int, error) {
				switch f := fate(user); f {
				case "drop":
					return 75, doveadmproto.ErrClosed
				case "rows and drop":
					to.Cell([]byte("row"), true)
					to.Cell([]byte("of "+user), true)
					to.Cell([]byte("half"), true)
					return 75, doveadmproto.ErrClosed
				case "fail":
					return doveadmproto.NotFound, nil
				}
				for range 2 {
					to.Cell([]byte("ro"), false)
					to.Cell([]byte("w"), true)
					to.Cell([]byte("of "+user), true)
				}
				return 0, nil
			}}, nil
		}
		var out, errs locked
		printer, err := format.New("flow", &out, []command.Column{{Key: "x", Hide: true}, {Key: "y", Hide: true}}, format.Options{Users: true})
		if err != nil {
			rt.Fatal(err)
		}
		var now atomic.Int64
		events := newEvents(io.Discard)
		seen := &seenUsers{display: events, users: map[string]int{}}
		r := &run{
			g: &Global{Err: &errs}, name: "search", again: again, many: true,
			out:   newOutput(printer, 2, newTurns(ordered, room{100, 20, 200}, 8)),
			tally: &tally{began: time.Now()}, show: seen,
			links: map[link]bool{}, begun: map[int64]string{}, stopping: make(chan struct{}),
		}
		r.first = r.newLane(&server{dial: dial, now: func() time.Time { return time.Unix(now.Load(), 0) },
			wait: func(context.Context, time.Duration) { now.Add(1) }}, workers)
		r.feed = func(_ context.Context, each func(job) error) error {
			for i := range users {
				if err := each(job{user: fmt.Sprintf("u%02d", i), steps: []step{{}}}); err != nil {
					return err
				}
			}
			return nil
		}
		if err := r.connect(t.Context()); err != nil {
			rt.Fatal(err)
		}
		code := r.run(t.Context())
		s := r.tally.sum()
		if s.ok+s.bad != int64(users) || len(seen.users) != users || s.skipped != 0 {
			rt.Fatalf("%d users: %d ok, %d failed, %d skipped, %d seen", users, s.ok, s.bad, s.skipped, len(seen.users))
		}
		if (code == 0) != (s.bad == 0) {
			rt.Fatalf("status %d with %d failures", code, s.bad)
		}
		for user, n := range seen.users {
			if n != 1 {
				rt.Fatalf("%s is reported %d times", user, n)
			}
		}
		for user, n := range sent {
			if n > maxTries || !again && n > 1 {
				rt.Fatalf("%s was sent %d times", user, n)
			}
		}
		var printed []string
		rows := map[string]int{}
		for line := range strings.Lines(out.String()) {
			name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			switch rest {
			case "row of " + name:
				rows[name]++
			case "half ": // the rest was lost with the connection
			default:
				rt.Fatalf("line %q is not one user's", line)
			}
			printed = append(printed, name)
		}
		for name, n := range rows {
			if n > 2 {
				rt.Fatalf("%s has %d rows, want 2 at most", name, n)
			}
		}
		blocks := slices.Compact(printed)
		if ordered && !slices.IsSorted(blocks) {
			rt.Fatalf("printed %v, want the list's order", blocks)
		}
		slices.Sort(blocks)
		if n := len(blocks); len(slices.Compact(blocks)) != n {
			rt.Fatalf("a user's rows stand in two places: %v", printed)
		}
	})
}

// seenUsers counts what a display is told.
type seenUsers struct {
	display
	mu    sync.Mutex
	users map[string]int
}

func (s *seenUsers) user(user string, res *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[user]++
}
