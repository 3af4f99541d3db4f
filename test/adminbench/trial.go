package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"culver/test/system"
)

// step is one command, run over all users. first says that it finds mailboxes
// which no program has opened before: it begins with fresh copies.
type step struct {
	name  string
	first bool
	args  []string
}

// trial is a set of mailboxes and what is done with them.
type trial struct {
	name        string
	users       int
	messages    int
	steps       []step
	targets     []target
	contestants []string
}

// target is a promise: one server's seconds against another's, in these steps.
type target struct {
	name, than string
	faster     float64 // at least so many times as fast
	steps      []string
}

// spent is what one run of one command took.
type spent struct {
	wall, cpu float64 // seconds; cpu of the whole machine
	lines     int
}

func (t *trial) run(dir string, p plan) error {
	template, err := makeTemplate(dir+"/template", t.users, t.messages, p.size)
	if err != nil {
		return err
	}
	took := map[string]map[string][]spent{}
	for round := range p.rounds {
		for i, name := range t.contestants {
			fmt.Fprintf(os.Stderr, "round %d, %s: %s\n", round+1, t.name, name)
			c := contestant{name: name, base: fmt.Sprintf("%s/%d-%d", dir, round, i), users: t.users, template: template}
			if err := c.measure(t.steps, took); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return t.print(took)
}

// measure runs all steps on one server, which sees the mailboxes for the first
// time where a step says so.
func (c *contestant) measure(steps []step, took map[string]map[string][]spent) (err error) {
	defer func() {
		if serr := c.end(); err == nil {
			err = serr
		}
	}()
	for _, s := range steps {
		if s.first {
			if err := c.begin(); err != nil {
				return err
			}
		}
		before, err := busy()
		if err != nil {
			return err
		}
		start := time.Now()
		said, err := c.doveadm(s.args)
		wall := time.Since(start).Seconds()
		after, berr := busy()
		if err != nil || berr != nil || said.Code != 0 {
			return fmt.Errorf("%s: exit %d: %v %v\n%.2000s", s.name, said.Code, err, berr, said.Err)
		}
		if took[s.name] == nil {
			took[s.name] = map[string][]spent{}
		}
		took[s.name][c.name] = append(took[s.name][c.name], spent{wall, after - before, strings.Count(said.Out, "\n")})
	}
	return nil
}

// busy is the CPU time that the machine spent since it started, in seconds.
func busy() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	sum := 0.0
	for i, f := range strings.Fields(first)[1:] {
		var v float64
		fmt.Sscan(f, &v)
		if i < 7 && i != 3 && i != 4 { // not idle, not waiting, not stolen
			sum += v
		}
	}
	return sum / 100, nil
}

func (t *trial) print(took map[string]map[string][]spent) error {
	fmt.Printf("\n%s (medians; seconds, in brackets CPU seconds of the machine)\n", t.name)
	fmt.Printf("%-28s", "")
	for _, c := range t.contestants {
		fmt.Printf("  %-26.26s", c)
	}
	fmt.Println()
	for _, s := range t.steps {
		fmt.Printf("%-28s", s.name)
		for _, c := range t.contestants {
			r := took[s.name][c]
			fmt.Printf("  %-26s", fmt.Sprintf("%.2f (%.2f)", median(r, wall), median(r, cpu)))
			if n, want := r[0].lines, took[s.name][t.contestants[0]][0].lines; n != want {
				return fmt.Errorf("%s: %s printed %d lines, %s %d", s.name, c, n, t.contestants[0], want)
			}
		}
		fmt.Println()
	}
	for _, g := range t.targets {
		for _, name := range g.steps {
			fmt.Println(verdict(g, name, took[name]))
		}
	}
	return nil
}

func verdict(g target, name string, took map[string][]spent) string {
	a, b := took[g.name], took[g.than]
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = b[i].wall / a[i].wall
	}
	got := median(ratios, func(f float64) float64 { return f })
	word := "met"
	if got < g.faster {
		word = "MISSED"
	}
	return fmt.Sprintf("%s: %s is %.2f times as fast as %s (target: at least %.2g): %s", name, g.name, got, g.than, g.faster, word)
}

func wall(s spent) float64 { return s.wall }
func cpu(s spent) float64  { return s.cpu }

func median[T any](all []T, f func(T) float64) float64 {
	v := make([]float64, len(all))
	for i, x := range all {
		v[i] = f(x)
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// makeTemplate writes the mailboxes that all copies are linked from: the names
// tell the sizes, as both servers write them.
func makeTemplate(dir string, users, messages, size int) (system.Users, error) {
	u, err := system.MakeUsers(dir, users, firstUID)
	if err != nil {
		return u, err
	}
	begin := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := 1; i <= users; i++ {
		for n := range messages {
			at := begin.Add(time.Duration(n) * 100 * 24 * time.Hour / time.Duration(messages))
			text := message(i, n, at, size)
			virtual := len(text) + strings.Count(text, "\n")
			name := fmt.Sprintf("%d.M%dP1.bench,S=%d,W=%d", at.Unix(), n, len(text), virtual)
			path := filepath.Join(u.Maildir(i), "new", name)
			if n%2 == 0 {
				path = filepath.Join(u.Maildir(i), "cur", name+":2,S")
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return u, err
			}
			if err := os.Chown(path, u.UID(i), u.GID(i)); err != nil {
				return u, err
			}
			if err := os.Chtimes(path, at, at); err != nil {
				return u, err
			}
		}
	}
	return u, nil
}

func message(user, n int, at time.Time, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <sender%d@example.com>\nDelivered-To: user%d@example.org\nDate: %s\nFrom: Sender %d <sender%d@example.com>\nTo: user%d@example.org\n",
		n, user, at.Format(time.RFC1123Z), n, n, user)
	fmt.Fprintf(&b, "Subject: message %d about the weather\nMessage-ID: <%d.%d@example.com>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n", n, user, n)
	for line := 0; b.Len() < size; line++ {
		fmt.Fprintf(&b, "Line %d of message %d: the weather stays as it has been, more or less.\n", line, n)
		if line == 20 && n%10 == 0 {
			b.WriteString("A needle lies here.\n")
		}
	}
	return b.String()
}

// link makes a copy of the template's homes out of hard links.
func link(from system.Users, to string) error {
	out, err := exec.Command("cp", "-al", from.Home, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cp: %w\n%s", err, out)
	}
	return nil
}
