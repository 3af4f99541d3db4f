// Package ticket keeps the tickets that auth has given out: each is leave for one
// access to one user's mail, by the commands in it, once and soon.
//
// Runs as:   the auth service user; pure but for its clock and random bits.
// Trusts:    who issues; it has asked package reach.
// Distrusts: who redeems: a text is good for its own user only, and used up by
// the first who shows it, whatever becomes of that.
// Speaks:    128 random bits in hexadecimal.
package ticket

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"culver/internal/authproto"
)

// Limits of a book.
const (
	// Lifetime is how long a ticket is good: a front redeems it at once.
	Lifetime = 10 * time.Second
	// MaxOpen bounds all tickets that were neither used nor have expired.
	MaxOpen = 8192
	// MaxOpenOf bounds those of one principal, who starves no other so.
	MaxOpenOf = 1024
)

var (
	// ErrFull says that a bound is reached. It is temporary: tickets go out of use
	// within their lifetime.
	ErrFull = errors.New("too many tickets are out, try again in some seconds")
	// ErrNone says that a text is no ticket for that user: it was used before, has
	// expired, is another user's or was made up. Which of them is nobody's business.
	ErrNone = errors.New("no such ticket: it is used, expired, another user's or made up")
)

// Ticket is leave for one access.
type Ticket struct {
	Principal string // who acts
	User      string // whom it is for, canonical
	Mail      string // whose mail that is by the userdb: User, or whom its field user names
	Commands  []string
	Session   string // the principal's login, for the record
	RemoteIP  string
}

// Book has the tickets that are out. The zero value is an empty one.
type Book struct {
	Now func() time.Time // nil: time.Now

	mu   sync.Mutex
	open map[[sha256.Size]byte]entry // by the hash of the text: the time that a search takes tells nothing of a text
	of   map[string]int              // how many of each principal
	next time.Time                   // when expired ones are looked for again
}

type entry struct {
	Ticket
	text    string
	expires time.Time
}

// Issue gives a ticket out and returns its text.
func (b *Book) Issue(t Ticket) (string, error) {
	switch {
	case t.Principal == "" || !authproto.ValidUser(t.User):
		return "", fmt.Errorf("ticket for %q: want a principal and a user", t.User)
	case len(t.Commands) == 0 || len(t.Commands) > authproto.MaxCommands:
		return "", fmt.Errorf("ticket for %d commands, want 1 to %d", len(t.Commands), authproto.MaxCommands)
	}
	for _, c := range t.Commands {
		if !authproto.ValidCommand(c) {
			return "", fmt.Errorf("ticket for %q, which is no command", c)
		}
	}
	t.Commands = slices.Clone(t.Commands)
	var bits [16]byte
	rand.Read(bits[:]) // never fails
	text := hex.EncodeToString(bits[:])

	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !now.Before(b.next) {
		b.expire(now)
	}
	switch {
	case b.of[t.Principal] >= MaxOpenOf:
		return "", fmt.Errorf("%w: %d of %q", ErrFull, MaxOpenOf, t.Principal)
	case len(b.open) >= MaxOpen:
		return "", fmt.Errorf("%w: %d of all", ErrFull, MaxOpen)
	}
	if b.open == nil {
		b.open, b.of = map[[sha256.Size]byte]entry{}, map[string]int{}
	}
	b.open[sha256.Sum256([]byte(text))] = entry{t, text, now.Add(Lifetime)}
	b.of[t.Principal]++
	return text, nil
}

// Redeem uses a ticket up, and gives what it is worth if it is one for the user.
// Beside ErrNone there is the ticket too, if there was one, for the record.
func (b *Book) Redeem(text, user string) (Ticket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := sha256.Sum256([]byte(text))
	e, ok := b.open[key]
	if !ok {
		return Ticket{}, ErrNone
	}
	b.drop(key, e)
	same := subtle.ConstantTimeCompare([]byte(e.text), []byte(text))
	if same != 1 || e.User != user || !b.now().Before(e.expires) {
		return e.Ticket, ErrNone
	}
	return e.Ticket, nil
}

// expire drops what has expired. It looks at all of them, once a second at most.
func (b *Book) expire(now time.Time) {
	for key, e := range b.open {
		if !now.Before(e.expires) {
			b.drop(key, e)
		}
	}
	b.next = now.Add(time.Second)
}

func (b *Book) drop(key [sha256.Size]byte, e entry) {
	delete(b.open, key)
	if b.of[e.Principal]--; b.of[e.Principal] == 0 {
		delete(b.of, e.Principal)
	}
}

func (b *Book) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}
