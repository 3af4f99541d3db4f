package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A player is a process that changes two folders at random and says on its
// standard output what was done:
//
//	has FOLDER UID ID   a message of this text has this UID there
//	drops ID            one copy of it is about to be expunged
const playerEnv = "MAILDIR_PLAYER"

var playerFolders = []string{"INBOX", "Foo"}

// startPlayer runs a player in a process of its own.
func startPlayer(t *testing.T, root, host string, ahead time.Duration, name, rounds int) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	c := exec.Command(self, "-test.run=^TestPlayer$")
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d %d", playerEnv, root, host, ahead, name, rounds))
	out, err := c.StdoutPipe()
	c.Stderr = os.Stderr
	must(t, err, c.Start())
	return c, bufio.NewReader(out)
}

// TestPlayer is the process of a player, and alone a short life of one.
func TestPlayer(t *testing.T) {
	root, host, ahead, name, rounds := filepath.Join(t.TempDir(), "Maildir"), "mx", 0, 1, 20
	if play := os.Getenv(playerEnv); play != "" {
		_, err := fmt.Sscan(play, &root, &host, &ahead, &name, &rounds)
		must(t, err)
	}
	p := player{t: t, random: rand.New(rand.NewPCG(uint64(name), 7)), name: name}
	p.s = newStore(t, Config{Root: root, Host: host, Auto: []AutoFolder{{Name: "Foo"}},
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead)) }, Warn: func(string) {}})
	inbox(t, p.s)
	for range rounds {
		p.round()
	}
}

type player struct {
	t      *testing.T
	s      *Store
	random *rand.Rand
	name   int
	n      int
}

func (p *player) say(format string, args ...any) {
	if os.Getenv(playerEnv) != "" {
		fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
}

func idOf(t *testing.T, m *Mailbox, i int) (id string, ok bool) {
	c, err := m.Content(i)
	if errors.Is(err, ErrGone) {
		return "", false
	}
	must(t, err)
	defer c.Close()
	text, err := io.ReadAll(c)
	must(t, err)
	_, id, _ = strings.Cut(strings.ReplaceAll(string(text), "\r", ""), "Subject: ")
	id, end, ok := strings.Cut(id, "\n")
	if !ok || !strings.HasSuffix(end, "the end\n") {
		t.Fatalf("message %q is not whole", text)
	}
	return id, true
}

func textOf(id string) string { return "Subject: " + id + "\n\nthe end\n" }

func (p *player) round() {
	p.n++
	t, at := p.t, p.random.IntN(2)
	here, there := playerFolders[at], playerFolders[1-at]
	id := fmt.Sprintf("%d-%d", p.name, p.n)
	m := open(t, p.s, here)
	defer m.Close()
	some := func() (which []int) {
		for range 3 {
			if m.Len() > 0 {
				which = append(which, p.random.IntN(m.Len()))
			}
		}
		return which
	}
	switch p.random.IntN(8) {
	case 0, 1:
		uid, err := m.Append(Appended{Body: strings.NewReader(textOf(id)), Flags: Flags(p.random.IntN(64))})
		must(t, err)
		p.say("has %s %d %s", here, uid, id)
	case 2:
		f, err := p.s.Folder(here, Create{})
		must(t, err)
		defer f.Close()
		_, err = f.Save(message(textOf(id)))
		must(t, err)
		p.say("has %s 0 %s", here, id)
	case 3, 4, 5:
		to := open(t, p.s, there)
		defer to.Close()
		which := some()
		ids := map[int]string{}
		for _, i := range which {
			ids[i], _ = idOf(t, m, i)
		}
		how := to.MoveAll
		if p.random.IntN(3) == 0 {
			how = to.CopyAll
		}
		must(t, how(m, which, func(i int, uid uint32) error { p.say("has %s %d %s", there, uid, ids[i]); return nil }))
	case 6:
		for _, i := range some() {
			err := m.SetFlags(i, Change{Add: Flags(p.random.IntN(64)), Remove: Flags(p.random.IntN(64)), AddKeywords: []string{"k" + strconv.Itoa(p.random.IntN(5))}})
			if err != nil && !errors.Is(err, ErrGone) {
				t.Fatal(err)
			}
		}
	case 7:
		for _, i := range some() {
			id, ok := idOf(t, m, i)
			if !ok {
				continue
			}
			p.say("drops %s", id)
			if err := m.Expunge(i); err != nil && !errors.Is(err, ErrGone) {
				t.Fatal(err)
			}
		}
	}
}

// said is what all players and peers claim.
type said struct {
	t       *testing.T
	uids    map[string]string // folder and UID: ID
	saved   map[string]bool   // IDs
	dropped map[string]bool
}

// hear takes what one player said; its last line may be cut.
func (s *said) hear(text string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(line, "\n"):
		case len(f) == 4 && f[0] == "has":
			s.saved[f[3]] = true
			key := f[1] + " " + f[2]
			if id, again := s.uids[key]; again && f[2] != "0" {
				s.t.Errorf("UID %s was given to %s and to %s", key, id, f[3])
			}
			s.uids[key] = f[3]
		case len(f) == 2 && f[0] == "drops":
			s.dropped[f[1]] = true
		case line != "PASS\n":
			s.t.Errorf("a player said %q", text)
			return
		}
	}
}

// check compares with what is there.
func (s *said) check(store *Store) {
	s.t.Helper()
	there := map[string]bool{}
	for _, name := range playerFolders {
		m := open(s.t, store, name)
		for i := range m.Len() {
			id, ok := idOf(s.t, m, i)
			if !ok {
				s.t.Fatalf("%s: UID %d is gone though nobody took it", name, m.Entry(i).UID)
			}
			there[id] = true
			if was, known := s.uids[fmt.Sprint(name, " ", m.Entry(i).UID)]; known && was != id {
				s.t.Errorf("%s: UID %d was %s and is %s", name, m.Entry(i).UID, was, id)
			}
		}
	}
	for id := range s.saved {
		if !there[id] && !s.dropped[id] {
			s.t.Errorf("message %s is lost", id)
		}
	}
	s.t.Logf("%d messages saved, %d dropped, %d there, %d UIDs", len(s.saved), len(s.dropped), len(there), len(s.uids))
}

// TestProcessesThatAreKilled: four processes change two folders, and each is
// killed at some moment, again and again. Nothing that was acknowledged is lost,
// no message is half there, and no UID means two messages. Their clock is ahead,
// so that the locks of the dead are old enough at once.
func TestProcessesThatAreKilled(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{Host: "mx", Auto: []AutoFolder{{Name: "Foo"}}, Warn: func(text string) {
		if strings.Contains(text, `""`) {
			t.Errorf("a lock without its text: %s", text)
		}
	},
		Now: func() time.Time { return time.Now().Add(lockDeadPID) }})
	inbox(t, s)
	claims := &said{t, map[string]string{}, map[string]bool{}, map[string]bool{}}
	for wave := range 6 {
		var all sync.WaitGroup
		heard := make([]strings.Builder, 4)
		for i := range heard {
			c, out := startPlayer(t, s.c.Root, "mx", lockDeadPID, wave*10+i, 1_000_000)
			lines := 10 + rand.IntN(30)
			all.Go(func() {
				for range lines {
					line, err := out.ReadString('\n')
					if err != nil {
						t.Errorf("a player ended before it was killed: %s", &heard[i])
						break
					}
					heard[i].WriteString(line)
				}
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // anywhere in what it does then
				c.Process.Kill()
				io.Copy(&heard[i], out)
				c.Wait()
			})
		}
		all.Wait()
		for i := range heard {
			claims.hear(heard[i].String())
		}
		claims.check(s)
	}
}

// stressBeside: three of our processes, an IMAP session that stores flags,
// copies and expunges, and Dovecot's deliveries, all at once on two folders.
func stressBeside(t *testing.T, p *peer, s *Store) {
	for _, name := range playerFolders[1:] {
		p.doveadm("", "mailbox", "create", name)
	}
	inbox(t, s)
	claims := &said{t, map[string]string{}, map[string]bool{}, map[string]bool{}}
	var all sync.WaitGroup
	heard := make([]string, 3)
	var playing atomic.Int32
	playing.Store(int32(len(heard)))
	for i := range heard {
		c, out := startPlayer(t, s.c.Root, s.c.Host, 0, i, 150)
		all.Go(func() {
			defer playing.Add(-1)
			text, err := io.ReadAll(out)
			if heard[i] = string(text); err != nil || c.Wait() != nil {
				t.Errorf("a player failed (%v): %s", err, text)
			}
		})
	}
	var delivered []string
	all.Go(func() {
		for n := 0; playing.Load() > 0 && n < 100; n++ {
			id := fmt.Sprint("lda-", n)
			c := p.command("/usr/lib/dovecot/dovecot-lda", "-m", playerFolders[n%2], "-f", "a@example.com")
			c.Stdin = strings.NewReader(textOf(id))
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("dovecot-lda: %v %s", err, out)
			}
			delivered = append(delivered, id)
		}
	})
	session := p.imap()
	steps := 0
	for ; playing.Load() > 0; steps++ {
		folder, other := playerFolders[steps/20%2], playerFolders[1-steps/20%2]
		if steps%20 == 0 {
			session.do("SELECT " + folder)
		}
		switch steps % 5 {
		case 0:
			session.try(fmt.Sprintf(`STORE %d +FLAGS (\Seen w%d)`, 1+rand.IntN(9), rand.IntN(3)))
		case 1:
			session.try(fmt.Sprintf("COPY %d %s", 1+rand.IntN(9), other))
		case 2:
			session.try(fmt.Sprintf("MOVE %d %s", 1+rand.IntN(9), other))
		default:
			session.do("NOOP")
		}
	}
	all.Wait()
	session.end()
	for _, text := range heard {
		claims.hear(text)
	}
	for _, id := range delivered {
		claims.saved[id] = true
	}
	for _, name := range playerFolders {
		p.same(s, name)
	}
	claims.check(s)
	t.Logf("%d steps of the session, %d deliveries", steps, len(delivered))
}

// try is do for what may rightly fail: the message may be gone.
func (s *session) try(command string) {
	s.n++
	tag := fmt.Sprintf("a%d ", s.n)
	fmt.Fprintf(s.in, "%s%s\r\n", tag, command)
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%s: %v %s", command, err, s.errs.String())
		}
		if rest, ok := strings.CutPrefix(line, tag); ok {
			if strings.HasPrefix(rest, "BAD") && !strings.Contains(rest, "Invalid messageset") {
				s.t.Errorf("%s: %s", command, line)
			}
			return
		}
	}
}
