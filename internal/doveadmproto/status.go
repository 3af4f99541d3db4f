package doveadmproto

import (
	"errors"
	"strconv"
	"strings"
)

// The codes of a status line, which are exit codes of the command.
const (
	OK          = 0
	Changed     = 2  // the mailbox changed meanwhile
	Usage       = 64 // bad options or arguments
	DataErr     = 65 // not possible: it exists, its name is no name, it is not empty
	NoUser      = 67
	NotFound    = 68
	OverQuota   = 73
	TempFail    = 75
	Protocol    = 76
	NoPerm      = 77
	NoReplicate = 1001
	Referral    = 1002
	Expired     = 1003
)

// codes are those with a name, and the minors that know it.
var codes = [...]struct {
	code     int
	name     string
	from, to int
}{
	{Changed, "CHANGED", 3, MinorOwn},
	{Usage, "USAGE", 0, MinorOwn},
	{DataErr, "DATAERR", 0, MinorOwn},
	{NoUser, "NOUSER", 0, MinorOwn},
	{NotFound, "NOTFOUND", 0, MinorOwn},
	{TempFail, "TEMPFAIL", 0, MinorOwn},
	{Protocol, "PROTOCOL", 0, MinorOwn},
	{NoPerm, "NOPERM", 0, MinorOwn},
	{NoReplicate, "NOREPLICATE", 0, 2},
	{Expired, "EXPIRED", 3, MinorOwn},
}

// StatusText is the status line, without LF, for a client of that minor. A 2.3
// client takes a number for every code without a name; a 2.4 client does not,
// and gets what its own server would say.
func StatusText(code, minor int) string {
	if code == OK {
		return "+"
	}
	for _, c := range codes {
		if c.code == code && c.from <= minor && minor <= c.to {
			return "-" + c.name
		}
	}
	switch {
	case minor >= MinorOwn && code > 0:
		return "-" + strconv.Itoa(code)
	case minor < MinorNoColumn && code > 0 && code < 256:
		return "-" + strconv.Itoa(code)
	case code <= 0 || code >= 256:
		return "-TEMPFAIL" // an exit code has eight bits, and its lowest could be 0
	}
	return "-UNKNOWN"
}

// ErrStatus says that a server's status line is none.
var ErrStatus = errors.New("reply ends in no status line")

// ParseStatus reads a status line without its LF. What has no meaning for us is
// temporary.
func ParseStatus(line string) (code int, referral string, err error) {
	switch {
	case strings.HasPrefix(line, "+"):
		return OK, "", nil
	case !strings.HasPrefix(line, "-"):
		return TempFail, "", ErrStatus
	}
	word, rest, _ := strings.Cut(line[1:], " ")
	if word == "REFERRAL" {
		return Referral, rest, nil
	}
	for _, c := range codes {
		if c.name == word {
			return c.code, "", nil
		}
	}
	if n, err := strconv.ParseUint(word, 10, 16); err == nil && n > 0 {
		return int(n), "", nil
	}
	return TempFail, "", nil
}
