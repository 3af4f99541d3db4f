// Package penalty asks anvil how long an attempt to log in has to wait, and
// tells it how the attempt ended.
//
// Runs as:   the auth service user.
// Trusts:    anvil's numbers, up to what the client waits for.
// Distrusts: that anvil answers: without it logins go on, and nobody waits for it.
// Speaks:    package anvilproto.
package penalty

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"sync"
	"time"

	"culver/internal/anvilproto"
	"culver/internal/maillog/logline"
)

// Times.
const (
	// Limit is how long anvil may take. It answers in microseconds or is not there.
	Limit = 200 * time.Millisecond
	// pause is how long it is left alone after it did not answer: else each login
	// would wait for Limit.
	pause = time.Second
	// rest is what a client's patience must have left for the lookups and for the
	// half second by which failure delays differ.
	rest = 1500 * time.Millisecond
)

// Who is one attempt. The same value goes to Before and to what settles it.
type Who struct {
	IP       string // "" where the client told none
	User     string // canonical
	Checksum string // see Client.Checksum; "" where no password was sent
	// Patience is how long the client waits for an answer, delays and all; 0 is
	// longer than any penalty.
	Patience time.Duration
}

// attempt is what anvil takes, whatever the client has sent: a name that anvil
// refused would look as if anvil were gone.
func (w Who) attempt() anvilproto.Attempt {
	ip, _ := netip.ParseAddr(w.IP) // what is no address counts as none
	return anvilproto.Attempt{IP: ip.Unmap().WithZone(""), User: cut(w.User, anvilproto.MaxUser), Checksum: cut(w.Checksum, anvilproto.MaxChecksum)}
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// Client is a process's way to anvil. A nil one counts nothing.
type Client struct {
	FailureDelay time.Duration // auth_failure_delay: what a wrong password costs besides
	Logf         func(l logline.Level, user, format string, args ...any)
	Now          func() time.Time

	anvil asker
	key   []byte

	mu   sync.Mutex
	away time.Time // when it was found missing; zero while it answers
}

type asker interface {
	Before(context.Context, anvilproto.Attempt) (time.Duration, bool, error)
	After(context.Context, anvilproto.Attempt, anvilproto.Outcome) error
}

// New makes a Client for anvil's socket.
func New(path string) *Client {
	c := &Client{Now: time.Now, anvil: anvilproto.NewClient(path), key: make([]byte, sha256.Size)}
	rand.Read(c.key)
	return c
}

// Checksum tells anvil's counts whether a password was tried before, and says
// nothing of it to who does not have this process's key.
func (c *Client) Checksum(user, password string) string {
	if c == nil {
		return ""
	}
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(user))
	h.Write([]byte{0})
	h.Write([]byte(password))
	return hex.EncodeToString(h.Sum(nil)[:anvilproto.MaxChecksum/4])
}

// Before announces an attempt and gives how long it has to wait: with the delay
// of a failure and the lookups no longer than the client's patience. refuse says
// that it is one too many: the answer is a failure, now, and the password is not
// looked at. Every attempt that was not refused is to be settled by After or Abandon.
func (c *Client) Before(ctx context.Context, w Who) (delay time.Duration, refuse bool) {
	c.ask(ctx, func(ctx context.Context) (err error) {
		delay, refuse, err = c.anvil.Before(ctx, w.attempt())
		return err
	})
	if w.Patience > 0 && c != nil {
		delay = max(0, min(delay, w.Patience-c.FailureDelay-rest))
	}
	return delay, refuse
}

// After settles an attempt: the user proved who he is, or did not.
func (c *Client) After(ctx context.Context, w Who, ok bool) {
	o := anvilproto.Failed
	if ok {
		o = anvilproto.Succeeded
	}
	c.settle(ctx, w, o)
}

// Abandon settles an attempt of which nobody knows: a source failed, or the
// client left.
func (c *Client) Abandon(ctx context.Context, w Who) { c.settle(ctx, w, anvilproto.Undecided) }

func (c *Client) settle(ctx context.Context, w Who, o anvilproto.Outcome) {
	// A client that leaves before it hears of its failure has failed as well.
	ctx = context.WithoutCancel(ctx)
	c.ask(ctx, func(ctx context.Context) error { return c.anvil.After(ctx, w.attempt(), o) })
}

// ask bounds one question, and asks nothing while anvil is away.
func (c *Client) ask(ctx context.Context, question func(context.Context) error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	resting := !c.away.IsZero() && c.Now().Sub(c.away) < pause
	c.mu.Unlock()
	if resting {
		return
	}
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	err := question(limited)
	if err != nil && ctx.Err() != nil {
		return // it was our client that left
	}
	c.mu.Lock()
	was := c.away
	c.away = time.Time{}
	if err != nil {
		c.away = c.Now()
	}
	c.mu.Unlock()
	switch {
	case err != nil && was.IsZero():
		c.Logf(logline.Error, "", "%v: logins go on without penalties", err)
	case err == nil && !was.IsZero():
		c.Logf(logline.Info, "", "anvil answers again: wrong passwords are counted")
	}
}
