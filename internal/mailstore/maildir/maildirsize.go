package maildir

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
)

// maxSizeFile is where everybody recalculates (spec/maildir.md 19).
const maxSizeFile = 5120

var errSizeFile = errors.New("maildirsize is damaged")

// sizeFile is the content of maildirsize.
type sizeFile struct {
	limits limits
	counts counts
	lines  int // after the first
}

// parseSizeFile reads the complete lines; one that is still being written has
// no line end yet.
func parseSizeFile(data []byte) (f sizeFile, err error) {
	end := bytes.LastIndexByte(data, '\n')
	if end < 0 {
		return f, errSizeFile
	}
	// The limits come first: they may stand nowhere else, and hold for the file
	// that is made anew.
	first, rest, _ := strings.Cut(string(data[:end]), "\n")
	if f.limits, err = parseSizeLimits(first); err != nil {
		return f, err
	}
	if len(data) >= maxSizeFile || bytes.IndexByte(data, 0) >= 0 {
		return f, errSizeFile
	}
	for line := range strings.SplitSeq(rest, "\n") {
		if rest == "" {
			break
		}
		c, ok := parseSizeLine(line)
		if !ok {
			return f, errSizeFile
		}
		f.counts.bytes += c.bytes
		f.counts.messages += c.messages
		f.lines++
	}
	if f.counts.bytes < 0 || f.counts.messages < 0 {
		return f, errSizeFile
	}
	return f, nil
}

func parseSizeLimits(line string) (l limits, err error) {
	line = strings.TrimRight(line, " \r")
	for part := range strings.SplitSeq(line, ",") {
		if part == "" {
			return l, errSizeFile
		}
		n, err := strconv.ParseUint(part[:len(part)-1], 10, 60)
		if err != nil {
			return l, errSizeFile
		}
		switch part[len(part)-1] {
		case 'S':
			l.bytes = int64(n)
		case 'C':
			l.messages = int64(n)
		default: // another program's kind of limit
		}
	}
	return l, nil
}

// parseSizeLine reads "BYTES MESSAGES"; Courier pads with blanks.
func parseSizeLine(line string) (c counts, ok bool) {
	f := strings.Fields(line)
	if len(f) != 2 {
		return c, false
	}
	b, err1 := strconv.ParseInt(f[0], 10, 64)
	m, err2 := strconv.ParseInt(f[1], 10, 64)
	// 5120 bytes hold less than 2600 lines: sums of these cannot overflow.
	if err1 != nil || err2 != nil || b > math.MaxInt64>>13 || b < -math.MaxInt64>>13 || m > math.MaxInt64>>13 || m < -math.MaxInt64>>13 {
		return c, false
	}
	return counts{b, m}, true
}

// text gives the file with its differences summed up.
func (f sizeFile) text() []byte {
	var b []byte
	if f.limits.bytes > 0 || f.limits.messages == 0 {
		b = append(strconv.AppendInt(b, f.limits.bytes, 10), 'S')
	}
	if f.limits.messages > 0 {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(b, f.limits.messages, 10), 'C')
	}
	return appendSizeLine(append(b, '\n'), f.counts)
}

func appendSizeLine(b []byte, c counts) []byte {
	b = append(strconv.AppendInt(b, c.bytes, 10), ' ')
	return append(strconv.AppendInt(b, c.messages, 10), '\n')
}
