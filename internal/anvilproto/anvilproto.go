// Package anvilproto is how the services ask anvil, which counts for all of
// them: its messages and limits, and the client end.
//
// Runs as:   auth, and whoever calls doveadm.
// Trusts:    anvil for its numbers.
// Distrusts: the form of all it sends, and that it answers at all.
// Speaks:    a line protocol of our own. Both ends say VERSION; then each
// request is a line and has an answer, in order. Fields as in package tabline.
//
//	PENALTY-BEFORE ip user checksum          OK milliseconds, or REFUSE
//	PENALTY-AFTER ip user checksum outcome   OK
//	PENALTY-LIST [net]                       ROW net penalty last-penalty last-update user ..., OK rows
//	PENALTY-CLEAR [net [user]]               OK entries
//
// What a server does not know or may not do it answers with FAIL and a reason,
// so that commands can be added within version 1.
package anvilproto

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"culver/internal/tabline"
)

// Limits of the protocol, for both ends.
const (
	Name         = "culver-anvil" // Dovecot's anvil says "anvil" and means another protocol
	MajorVersion = 1
	MinorVersion = 0

	MaxLine     = 1024 // with its line end: the longest user name, escaped, and room
	MaxUser     = 255
	MaxChecksum = 32
	MaxRows     = 1 << 18
)

// Commands.
const (
	Before = "PENALTY-BEFORE"
	After  = "PENALTY-AFTER"
	List   = "PENALTY-LIST"
	Clear  = "PENALTY-CLEAR"
)

// Answers.
const (
	OK     = "OK"
	Refuse = "REFUSE"
	Row    = "ROW"
	Fail   = "FAIL"
)

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "ok"
	Failed    Outcome = "failed"
	Undecided Outcome = "none" // a source was down, or the client left: nobody is to blame
)

// Attempt is one try of somebody to be a user.
type Attempt struct {
	IP       netip.Addr // the zero Addr where the client tells none
	User     string
	Checksum string // of user and password, under a key of the asker's; "" where there is none
}

// Fields gives the arguments of Before and After.
func (a Attempt) Fields() []string {
	ip := ""
	if a.IP.IsValid() {
		ip = a.IP.String()
	}
	return []string{ip, a.User, a.Checksum}
}

// errArguments is what is wrong with a request; what exactly, its sender knows.
var errArguments = errors.New("wrong arguments")

// ParseAttempt reads the arguments of Before, or the first three of After.
func ParseAttempt(args []string) (Attempt, error) {
	if len(args) < 3 || len(args[1]) > MaxUser || len(args[2]) > MaxChecksum {
		return Attempt{}, errArguments
	}
	// Copies: what is kept of a line must not keep the line.
	a := Attempt{User: strings.Clone(args[1]), Checksum: strings.Clone(args[2])}
	if args[0] == "" {
		return a, nil
	}
	ip, err := netip.ParseAddr(args[0])
	if err != nil {
		return Attempt{}, errArguments
	}
	a.IP = ip.Unmap().WithZone("")
	return a, nil
}

// ParseOutcome reads the last argument of After.
func ParseOutcome(text string) (Outcome, error) {
	switch o := Outcome(text); o {
	case Succeeded, Failed, Undecided:
		return o, nil
	}
	return "", errArguments
}

// Penalty is what anvil holds against a user's name from a network.
type Penalty struct {
	Net         netip.Prefix // the zero Prefix where clients told no address
	User        string       // "" for all users of a network that tried too many
	Level       int          // wrong passwords that are not forgotten yet
	LastPenalty time.Time    // of the last of them
	LastUpdate  time.Time    // of the last attempt
}

// Fields gives the arguments of Row.
func (p Penalty) Fields() []string {
	network := ""
	if p.Net.IsValid() {
		network = p.Net.String()
	}
	return []string{network, strconv.Itoa(p.Level), unix(p.LastPenalty), unix(p.LastUpdate), p.User}
}

func unix(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// ParsePenalty reads the arguments of Row.
func ParsePenalty(args []string) (p Penalty, err error) {
	if len(args) < 5 {
		return Penalty{}, errArguments
	}
	if args[0] != "" {
		if p.Net, err = netip.ParsePrefix(args[0]); err != nil {
			return Penalty{}, errArguments
		}
	}
	if p.Level, err = strconv.Atoi(args[1]); err != nil {
		return Penalty{}, errArguments
	}
	for i, to := range []*time.Time{&p.LastPenalty, &p.LastUpdate} {
		n, err := strconv.ParseInt(args[2+i], 10, 64)
		if err != nil {
			return Penalty{}, errArguments
		}
		if n != 0 {
			*to = time.Unix(n, 0)
		}
	}
	p.User = args[4]
	return p, nil
}

// ParseNet reads a network as IP or IP/BITS; "" is every one, and the zero Prefix.
func ParseNet(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address and no network as IP/BITS", text)
	}
	return p.Masked(), nil
}

// Version is the line that both ends begin with.
func Version() []byte {
	return Line("VERSION", Name, strconv.Itoa(MajorVersion), strconv.Itoa(MinorVersion))
}

// CheckVersion reads the other end's first line. Any minor will do.
func CheckVersion(line string) error {
	f := strings.Split(line, "\t")
	if len(f) != 4 || f[0] != "VERSION" || f[1] != Name || f[2] != strconv.Itoa(MajorVersion) {
		return fmt.Errorf("the other end does not speak %s %d", Name, MajorVersion)
	}
	return nil
}

// Line gives a line with its end.
func Line(fields ...string) []byte { return append(tabline.Append(nil, fields...), '\n') }
