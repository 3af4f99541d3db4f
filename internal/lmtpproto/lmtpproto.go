// Package lmtpproto reads and writes the lines of LMTP: commands, paths,
// parameters, replies, and the dots of the data phase.
//
// Runs as:   the lmtp front and the per-user workers; pure.
// Trusts:    nobody.
// Distrusts: both peers: every line has a limit before it has a buffer, and is
// parsed once into a typed value.
// Speaks:    RFC 2033, 5321 sections 2.3 and 4.1, 3030 (BDAT), 3461 section 4.2
// (ORCPT), 6531; XCLIENT (spec/lmtp.md 14); XFD, our own form of BDAT.
//
// It stays tiny, for a worker that lives for two milliseconds links it: no net,
// no crypto, no regular expressions.
package lmtpproto

import (
	"bufio"
	"errors"
	"io"
)

// Limits, by name, of what one line may hold.
const (
	MaxVerb       = 32   // bytes of a verb
	MaxArgs       = 4096 // bytes of a command's arguments (spec/lmtp.md 4)
	MaxLine       = MaxVerb + 1 + MaxArgs + 2
	MaxSkip       = 1 << 20 // bytes of a line that are skipped in search of its end
	MaxPath       = 512     // bytes between < and >; RFC 5321 section 4.5.3.1.3 asks for 256
	MaxParams     = 16      // parameters of one command
	MaxORCPT      = 500     // bytes, RFC 3461 section 4.2
	MaxReplyLine  = 1024
	MaxReplyLines = 64
)

var (
	// ErrLineTooLong says that a line broke its limit. It was skipped up to its
	// end, so that the next one can be read.
	ErrLineTooLong = errors.New("line too long")
	// ErrEndless says that a line went on for MaxSkip bytes: there is no next one.
	ErrEndless = errors.New("line without an end")
	// ErrSyntax says that a line is no command at all (500 5.5.2).
	ErrSyntax = errors.New("invalid command syntax")
	// ErrParam says that a command's arguments are malformed (501 5.5.4).
	ErrParam = errors.New("invalid parameters")
)

// ReadLine gives the next line without its line end, CRLF or bare LF. The bytes
// are valid until the next read. br's buffer must hold MaxLine bytes.
func ReadLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if err == bufio.ErrBufferFull || err == nil && len(line) > MaxLine {
		return nil, skipLine(br, err)
	}
	if err != nil {
		return nil, err // a line without its end was never sent: EOF
	}
	return trimEOL(line), nil
}

func skipLine(br *bufio.Reader, err error) error {
	for skipped := 0; err == bufio.ErrBufferFull; {
		if skipped > MaxSkip {
			return ErrEndless
		}
		var part []byte
		part, err = br.ReadSlice('\n')
		skipped += len(part)
	}
	if err != nil {
		return err
	}
	return ErrLineTooLong
}

func trimEOL(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// eofIsUnexpected makes the end of a stream in the middle of something an error
// of its own.
func eofIsUnexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
