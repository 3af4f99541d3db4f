package lmtpproto

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Command is one command line: the verb in upper case, and what follows its
// blank.
type Command struct {
	Verb string // "" for an empty line
	Args string
}

// ParseCommand reads a line without its end. ErrSyntax: a control byte (a CR
// that is not part of the line end among them), bytes that are not UTF-8, two
// blanks after the verb. ErrLineTooLong: the arguments are. Trailing blanks are
// ignored.
func ParseCommand(line []byte) (Command, error) {
	if !utf8.Valid(line) {
		return Command{}, ErrSyntax
	}
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return Command{}, ErrSyntax
		}
	}
	verb, args, found := strings.Cut(strings.TrimRight(string(line), " "), " ")
	if len(verb) > MaxVerb || !alnum(verb) || found && args[0] == ' ' {
		return Command{}, ErrSyntax
	}
	if len(args) > MaxArgs {
		return Command{}, ErrLineTooLong
	}
	return Command{strings.ToUpper(verb), args}, nil
}

func alnum(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// ParseBDAT reads the arguments of BDAT (RFC 3030 section 2): "n" or "n LAST".
func ParseBDAT(args string) (size int64, last bool, err error) {
	n, word, found := strings.Cut(args, " ")
	if found {
		if !strings.EqualFold(word, "LAST") {
			return 0, false, ErrParam
		}
		last = true
	}
	size, err = parseSize(n)
	return size, last, err
}

// ParseXFD reads the arguments of XFD: "n LAST". The message is the first n
// bytes of the descriptor that came with the commands, without dot-stuffing;
// LAST leaves room for a form in pieces.
func ParseXFD(args string) (size int64, err error) {
	size, last, err := ParseBDAT(args)
	if err == nil && !last {
		err = ErrParam
	}
	return size, err
}

func parseSize(s string) (int64, error) {
	// Up to 20 digits are SIZE's form in RFC 1870; what does not fit is no size
	// we could ever take.
	if s == "" || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return 0, ErrParam
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, ErrParam
	}
	return n, nil
}
