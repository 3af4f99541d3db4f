package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"culver/internal/authproto"
)

// lmtpCost measures what a lookup adds to LMTP. The front's is the difference
// between a RCPT that is looked up and one that is refused just before that, for
// a parameter that there is not. The master's own lookup has the same client on
// the same protocol; here that client asks from this program.
func lmtpCost(p plan, dir string) error {
	all, err := start(dir, passwd(p.users))
	defer func() { stop(all) }()
	if err != nil {
		return err
	}
	culver := all[1]
	var with, without, client []took
	for range p.rounds {
		a, err := rcpts(culver, p, "", "250 ")
		if err != nil {
			return err
		}
		b, err := rcpts(culver, p, " X=1", "555 ")
		if err != nil {
			return err
		}
		c, err := asClient(culver, p)
		if err != nil {
			return err
		}
		with, without, client = append(with, a), append(without, b), append(client, c)
	}
	fmt.Printf("\nus of a lookup in LMTP, medians of %d rounds (in brackets CPU us of the auth process)\n", p.rounds)
	for _, row := range []struct {
		name string
		all  []took
	}{{"RCPT that is looked up", with}, {"RCPT refused before", without}, {"our client alone", client}} {
		fmt.Printf("%-28s %6.1f (%.1f)\n", row.name, median(row.all, took.wall), median(row.all, took.auth))
	}
	fmt.Printf("%-28s %6.1f\n", "the lookup in the front", median(with, took.wall)-median(without, took.wall))
	return nil
}

// took is what one of many took, in microseconds.
type took struct{ each, cpu float64 }

func (t took) wall() float64 { return t.each }
func (t took) auth() float64 { return t.cpu }

// rcpts has many RCPTs in one session, one after the other.
func rcpts(c contestant, p plan, param, want string) (took, error) {
	l, err := dial(c.lmtp)
	if err != nil {
		return took{}, err
	}
	defer l.close()
	talk := func(say, want string) error {
		if say != "" {
			if err := l.send([]byte(say + "\r\n")); err != nil {
				return err
			}
		}
		got, err := l.line()
		if err == nil && string(got[:min(len(want), len(got))]) != want {
			err = fmt.Errorf("%q: got %q, want %q", say, got, want)
		}
		return err
	}
	if err := talk("", "220 "); err != nil {
		return took{}, err
	}
	if err := l.send([]byte("LHLO bench\r\n")); err != nil {
		return took{}, err
	}
	if _, err := l.until("250 "); err != nil {
		return took{}, err
	}
	var all time.Duration
	n := 0
	auth := cpu(c.pid)
	for begin := time.Now(); time.Since(begin) < p.each; {
		if err := talk("MAIL FROM:<a@example.com>", "250 "); err != nil {
			return took{}, err
		}
		for range 20 {
			say := fmt.Sprintf("RCPT TO:<%s>%s", name(n%p.users+1), param)
			at := time.Now()
			if err := talk(say, want); err != nil {
				return took{}, err
			}
			all += time.Since(at)
			n++
		}
		if err := talk("RSET", "250 "); err != nil {
			return took{}, err
		}
	}
	return per(all, cpu(c.pid)-auth, n), nil
}

func asClient(c contestant, p plan) (took, error) {
	client := &authproto.Client{Dial: authproto.Path(c.lookup)}
	defer client.Close()
	ctx := context.Background()
	if _, err := client.Lookup(ctx, name(1), authproto.Params{Service: "lmtp"}); err != nil {
		return took{}, err
	}
	auth, n, begin := cpu(c.pid), 0, time.Now()
	for ; time.Since(begin) < p.each; n++ {
		if u, err := client.Lookup(ctx, name(n%p.users+1), authproto.Params{Service: "lmtp"}); err != nil || u.UID < 0 {
			fmt.Fprintln(os.Stderr, u)
			return took{}, err
		}
	}
	return per(time.Since(begin), cpu(c.pid)-auth, n), nil
}

func per(wall, cpu time.Duration, n int) took {
	f := float64(n) * 1000
	return took{float64(wall.Nanoseconds()) / f, float64(cpu.Nanoseconds()) / f}
}
