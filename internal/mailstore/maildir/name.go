package maildir

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxHost keeps a base name below 200 bytes, so that flags and keywords have
// room in the 255 of a file name (spec/maildir.md 3). The rest of the name
// needs at most 20+2+6+1+10+1+20+1 and twice 3+19 bytes.
const maxHost = 90

// cleanHost makes a host name fit for file names: no slash, no colon (where
// the flags begin), no comma (where the sizes do), no control byte.
func cleanHost(host string) string {
	var b strings.Builder
	for i := 0; i < len(host) && b.Len() < maxHost-4; i++ {
		switch c := host[i]; {
		case c == '/':
			b.WriteString(`\057`)
		case c == ':':
			b.WriteString(`\072`)
		case c == ',':
			b.WriteString(`\054`)
		case c <= ' ' || c == 0x7f:
			b.WriteByte('_')
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return "localhost"
	}
	return b.String()
}

// Names is what a process remembers of the names it gave. A process has one,
// whatever number of Stores it opens: the clock may be set back between two.
type Names struct {
	mu   sync.Mutex // a front that delivers itself does so on several threads
	last int64      // the time in the last name, in microseconds
	seq  uint64     // the Q of the last name
}

// uniqueName gives a name that nobody used and nobody will: time, process,
// counter, host. It begins with the time, because readers number messages they
// find together in that order.
func (s *Store) uniqueName() string {
	names := s.c.Names
	names.mu.Lock()
	defer names.mu.Unlock()
	now := max(s.c.Now().UnixMicro(), names.last+1)
	names.last = now
	names.seq++
	b := make([]byte, 0, 160)
	b = strconv.AppendInt(b, now/1e6, 10)
	b = append(b, ".M"...)
	b = strconv.AppendInt(b, now%1e6, 10)
	b = append(b, 'P')
	b = strconv.AppendInt(b, int64(unix.Getpid()), 10)
	b = append(b, 'Q')
	b = strconv.AppendUint(b, names.seq, 10)
	b = append(b, '.')
	b = append(b, s.c.Host...)
	return string(b)
}

// sizedName adds the sizes, which Dovecot believes without a look at the file.
func sizedName(base string, size, virtual int64) string {
	return base + ",S=" + strconv.FormatInt(size, 10) + ",W=" + strconv.FormatInt(virtual, 10)
}

// sizeInName finds the ,S= of a message's name.
func sizeInName(name string) (int64, bool) {
	base, _, _ := strings.Cut(name, ":")
	_, s, ok := strings.Cut(base, ",S=")
	if !ok {
		return 0, false
	}
	s, _, _ = strings.Cut(s, ",")
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}
