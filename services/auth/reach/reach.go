// Package reach says how far a master user's leave goes: whose mail, by which
// commands, from where, and until when. It is data in the master user's entry.
//
// Runs as:   the auth service user; pure.
// Trusts:    the fields of the master user's own entry, and no other's.
// Distrusts: targets and commands: they are compared byte by byte, and whatever
// could mean something else to somebody who reads it later is out of reach. An
// entry with a part that is not understood gives leave for nothing.
// Speaks:    the fields allow_users, allow_commands, allow_nets, allow_real_nets
// and allow_until.
package reach

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/spelling"
	"culver/services/auth/field"
)

// maxMasks bounds the items of one field.
const maxMasks = 256

// bounds are the fields that it knows.
var bounds = [...]string{"allow_users", "allow_commands", "allow_nets", "allow_real_nets", "allow_until"}

// Reach is how far a leave goes. The zero value goes nowhere.
type Reach struct {
	parsed   bool
	users    []string    // in lower case; nil: everybody
	commands []string    // in lower case, with blanks between words; nil: no bound
	nets     []field.Net // nil: from anywhere
	until    time.Time
}

// All is the reach of an entry without bounds. Sending mail as another has to be
// named even there.
func All() Reach { return Reach{parsed: true} }

// Parse reads the fields of an entry. Those it knows nothing of are none of its
// business, unless their names begin as its own do or are a slip or two away from
// them: a misspelt bound is no bound.
func Parse(fields field.List) (Reach, error) {
	r := All()
	seen := map[string]bool{}
	for _, f := range fields {
		key := lower(f.Key)
		if !strings.HasPrefix(key, "allow") && spelling.Nearest(key, bounds[:]) == "" {
			continue
		}
		if seen[f.Key] {
			return Reach{}, fmt.Errorf("field %s is there twice: want it once, with commas", f.Key)
		}
		seen[f.Key] = true
		var err error
		switch f.Key {
		case "allow_users":
			r.users, err = users(f.Value)
		case "allow_commands":
			r.commands, err = commands(f.Value)
		case "allow_nets":
			r.nets, err = nets(f.Value)
		case "allow_real_nets": // the password sources' own: a ticket has no such address
		case "allow_until":
			r.until, err = moment(f.Value)
		default:
			err = fmt.Errorf("there is none of that name, want one of %s", strings.Join(bounds[:], ", "))
		}
		if err != nil {
			return Reach{}, fmt.Errorf("field %s=%q: %w", f.Key, f.Value, err)
		}
	}
	return r, nil
}

// Allows says whether the leave covers a command, or a login by the protocol of
// that name, for the target, a canonical user name. The error says which bound
// it was; it is for the log and for him whose leave it is.
func (r Reach) Allows(target, command, ip string, now time.Time) error {
	if err := r.AllowsNow(ip, now); err != nil {
		return err
	}
	if !r.AllowsUser(target) {
		return fmt.Errorf("allow_users does not cover %q", target)
	}
	if !r.AllowsCommand(command) {
		return fmt.Errorf("allow_commands does not cover %q", command)
	}
	return nil
}

// AllowsNow says whether the leave holds at all, at this time and from there.
func (r Reach) AllowsNow(ip string, now time.Time) error {
	switch {
	case !r.parsed:
		return errors.New("there is no leave")
	case !r.until.IsZero() && !now.Before(r.until):
		return fmt.Errorf("allow_until: the leave ended at %s", r.until.Format(time.RFC3339))
	case r.nets != nil && !slices.ContainsFunc(r.nets, func(n field.Net) bool { return n.Has(ip) }):
		return fmt.Errorf("allow_nets does not cover %q", ip)
	}
	return nil
}

// Bounded says whether there are users out of reach.
func (r Reach) Bounded() bool { return !r.parsed || r.users != nil }

// AllowsUser says whether the target is one of those in reach. A name that reads
// as a mask never is: somebody on the way might take it for one.
func (r Reach) AllowsUser(target string) bool {
	if !r.parsed || !authproto.ValidUser(target) || strings.ContainsAny(target, "*?") {
		return false
	}
	if r.users == nil {
		return true
	}
	name := lower(target)
	for _, mask := range r.users {
		if mask == "*" || whole(name) && match(mask, name) {
			return true
		}
	}
	return false
}

// whole says that a name with a domain has something on both sides of the "@".
// With a userdb's path made of the two, half a name is everybody's in there.
func whole(name string) bool { return name[0] != '@' && name[len(name)-1] != '@' }

// AllowsCommand says whether the command is one of those in reach. Commands have
// one spelling, that of the table of commands.
func (r Reach) AllowsCommand(command string) bool {
	if !r.parsed || !authproto.ValidCommand(command) {
		return false
	}
	if r.commands == nil {
		return !sends(command)
	}
	for _, mask := range r.commands {
		if covers(mask, command) {
			return true
		}
	}
	return false
}

// sends says whether who may do this can send mail in the target's name. Leave
// for that is nobody's unless it is written down.
func sends(command string) bool {
	return strings.HasPrefix(command, "smtp") || strings.HasPrefix(command, "submission")
}

// covers compares a command with a mask of allow_commands.
func covers(mask, command string) bool {
	words, more := strings.CutSuffix(mask, "*")
	switch {
	case !more:
		return command == mask
	case words == "":
		return !sends(command)
	case strings.HasSuffix(words, " "):
		return strings.HasPrefix(command, words)
	}
	return command == words || strings.HasPrefix(command, words+" ")
}

// match compares a name with a mask of allow_users. Neither "*" nor "?" stands
// for an "@": a mask has as many of them as the names it is for. It goes back to
// the last star only, so no mask takes more than len(mask)*len(name).
func match(mask, name string) bool {
	m, n := 0, 0
	star, from := -1, 0
	for n < len(name) {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, n
			m++
		case m < len(mask) && (mask[m] == name[n] || mask[m] == '?' && name[n] != '@'):
			m++
			n++
		case star >= 0 && name[from] != '@':
			from++
			m, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(mask[m:], "*") == ""
}

// lower changes ASCII letters only. By Unicode's rules the Kelvin sign would be
// a k, and a domain with it another domain's. Nor may bytes that are no UTF-8
// become all the same one, as strings.Map has it.
func lower(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}
