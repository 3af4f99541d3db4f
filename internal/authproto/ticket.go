package authproto

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of tickets (design 5), for both ends.
const (
	MaxTicket   = 64 // bytes of a ticket
	MaxCommands = 64 // commands that one ticket is for
	MaxCommand  = 64 // bytes of a command's name
)

// CodeTicket is the code of a FAIL that is about the ticket: it is used, expired
// or another user's, or there never was one.
const CodeTicket = "bad_ticket"

// ErrTicket says that auth answered, and that the ticket is no good. There is no
// second try: the first one uses a ticket up, whatever becomes of it.
var ErrTicket = errors.New("auth does not know the ticket: it is used, expired, another user's or made up")

// Ticket is auth's leave for one access: a worker of User that does the commands
// it was asked for, and no others.
type Ticket struct {
	Text string
	User string // canonical
}

// Ticket asks for leave to have commands done on the mail of target, on behalf
// of who logged in by the given id. The error is ErrNotFound, a *Refused whose
// reason says what is out of reach, or an ErrTempfail.
func (l *Login) Ticket(ctx context.Context, id uint32, target string, commands []string) (Ticket, error) {
	if !ValidUser(target) {
		return Ticket{}, ErrNotFound // no entry can name such a one
	}
	var t Ticket
	err := l.exclusive(ctx, func() error {
		own := l.next()
		if err := l.write(append([]string{"TICKET", own, strconv.FormatUint(uint64(id), 10), target}, commands...)...); err != nil {
			return err
		}
		f, err := l.replyTo(own)
		if err != nil {
			return err
		}
		switch f[0] {
		case "TICKET":
			t, err = parseTicket(f[2:])
			return err
		case "NOTFOUND":
			return ErrNotFound
		case "FAIL":
			return refused(f[2:])
		}
		return fmt.Errorf("unexpected reply %q", Clean(f[0]))
	})
	return t, err
}

// Ended tells auth what became of an access, for its record. There is no answer.
func (l *Login) Ended(ctx context.Context, id uint32, user string, code int, commands []string) error {
	return l.exclusive(ctx, func() error {
		return l.write(append([]string{"ENDED", l.next(), strconv.FormatUint(uint64(id), 10), user, strconv.Itoa(code)}, commands...)...)
	})
}

func parseTicket(args []string) (Ticket, error) {
	if len(args) < 2 || args[0] == "" || len(args[0]) > MaxTicket {
		return Ticket{}, fmt.Errorf("%w: TICKET", errLine)
	}
	user, ok := strings.CutPrefix(args[1], "user=")
	if !ok || !ValidUser(user) {
		return Ticket{}, errors.New("ticket without a usable user name")
	}
	return Ticket{args[0], user}, nil
}

// Redeemed is what a ticket that was good is worth.
type Redeemed struct {
	User
	Principal string   // on whose behalf
	Commands  []string // what the worker may be asked for; never empty
}

// Redeem uses up a ticket for a worker of user. Only the connection that the
// master itself has made takes it. The error is ErrNotFound, ErrTicket or an
// ErrTempfail.
func (c *Client) Redeem(ctx context.Context, ticket, user string, p Params) (Redeemed, error) {
	if ticket == "" || len(ticket) > MaxTicket || Clean(ticket) != ticket {
		return Redeemed{}, ErrTicket
	}
	if !ValidUser(user) {
		return Redeemed{}, ErrNotFound
	}
	args, err := c.request(ctx, "REDEEM", "REDEEM", append([]string{ticket, user}, p.fields()...)...)
	if told := new(Tempfail); errors.As(err, &told) && told.badTicket {
		return Redeemed{}, ErrTicket
	}
	if err != nil {
		return Redeemed{}, err
	}
	r, err := parseRedeemed(args)
	if err != nil {
		return Redeemed{}, &Tempfail{Err: err}
	}
	return r, nil
}

// parseRedeemed reads principal, commands with commas between them, and then what
// USER has.
func parseRedeemed(args []string) (Redeemed, error) {
	if len(args) < 3 || !ValidUser(args[0]) {
		return Redeemed{}, errors.New("reply without a usable principal")
	}
	r := Redeemed{Principal: args[0], Commands: strings.Split(args[1], ",")}
	if len(r.Commands) > MaxCommands {
		return Redeemed{}, errors.New("ticket for too many commands")
	}
	for _, c := range r.Commands {
		if !ValidCommand(c) {
			return Redeemed{}, fmt.Errorf("ticket for %q, which is no command", Clean(c))
		}
	}
	var err error
	r.User, err = parseUser(args[2:])
	return r, err
}

// ValidCommand says whether name can be a command's: words of small letters,
// digits and "-", with one blank between them.
func ValidCommand(name string) bool {
	if name == "" || len(name) > MaxCommand {
		return false
	}
	for word := range strings.SplitSeq(name, " ") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
