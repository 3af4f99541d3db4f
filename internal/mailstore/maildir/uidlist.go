package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	listName = "dovecot-uidlist"
	// maxListLine bounds one line: a file name and some fields of 255 bytes.
	maxListLine = 4096
	maxUID      = 1<<32 - 2
)

// ErrUIDList: the folder's uid list cannot be used. Nothing was changed: Resync
// mends it, and whoever removes it decides that all messages get new UIDs.
var ErrUIDList = errors.New("uid list is damaged")

// listHeader is the first line of a uid list.
type listHeader struct {
	version  int
	validity uint32
	next     uint32 // as of the last time that the list was written anew
	guid     string
	others   string // fields of letters that nobody here knows, each with its blank
}

// listRecord is one other line. Its slices are good until the parser goes on.
type listRecord struct {
	uid    uint32
	fields []byte // " W175 S167": each with its blank
	base   []byte
}

// listParser reads a uid list piece by piece: its lines need not be in memory
// together.
type listParser struct {
	header listHeader
	begun  bool   // the header was read
	last   uint32 // the last UID
	count  int    // of the records
	end    int64  // behind the last complete line
}

// next is the UID that a new message gets.
func (p *listParser) next() uint32 { return max(p.header.next, p.last+1) }

// parse takes complete lines from text and gives what is left of it: a line
// without its end is still being written.
func (p *listParser) parse(text []byte, f func(listRecord)) (rest []byte, err error) {
	for {
		at := bytes.IndexByte(text, '\n')
		if at < 0 {
			if len(text) > maxListLine {
				return text, p.broken("line is too long")
			}
			return text, nil
		}
		line := text[:at]
		if len(line) > maxListLine {
			return text, p.broken("line is too long")
		}
		if !p.begun {
			if p.header, err = parseListHeader(line); err != nil {
				return text, p.broken(err.Error())
			}
			p.begun = true
		} else {
			r, err := parseListRecord(line, p.header.version)
			switch {
			case err != nil:
				return text, p.broken(err.Error())
			case r.uid <= p.last:
				return text, p.broken("UIDs do not ascend")
			}
			p.last = r.uid
			p.count++
			f(r)
		}
		p.end += int64(at + 1)
		text = text[at+1:]
	}
}

func (p *listParser) broken(why string) error {
	line := 1
	if p.begun {
		line = p.count + 2
	}
	return fmt.Errorf("%w: %s record %d: %s (force-resync mends it)", ErrUIDList, listName, line-1, why)
}

var (
	errListHeader = errors.New("header is not of version 1 or 3")
	errListRecord = errors.New("not a UID, fields and a file name")
	errListName   = errors.New("impossible file name")
)

func parseListHeader(line []byte) (h listHeader, err error) {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(version) {
	case "1":
		h.version = 1
		validity, next, _ := bytes.Cut(rest, []byte(" "))
		var ok1, ok2 bool
		h.validity, ok1 = parseUint32(validity)
		h.next, ok2 = parseUint32(next)
		if !ok1 || !ok2 {
			return h, errListHeader
		}
	case "3":
		h.version = 3
		for field := range bytes.SplitSeq(rest, []byte(" ")) {
			if len(field) == 0 {
				continue
			}
			ok := true
			switch value := field[1:]; field[0] {
			case 'V':
				h.validity, ok = parseUint32(value)
			case 'N':
				h.next, ok = parseUint32(value)
			case 'G':
				h.guid, ok = string(value), isGUID128(value)
			default:
				h.others += " " + string(field)
			}
			if !ok {
				return h, errListHeader
			}
		}
	default:
		return h, errListHeader
	}
	if h.validity == 0 || h.next == 0 {
		return h, errListHeader
	}
	return h, nil
}

func parseListRecord(line []byte, version int) (r listRecord, err error) {
	i := 0
	for i < len(line) && line[i] >= '0' && line[i] <= '9' {
		i++
	}
	uid, ok := parseUint32(line[:i])
	if !ok || uid == 0 || uid > maxUID || i == len(line) || line[i] != ' ' {
		return r, errListRecord
	}
	r.uid = uid
	if version == 1 {
		r.base = line[i+1:]
	} else {
		begin := i
		for i+1 < len(line) && line[i+1] != ':' {
			if c := line[i+1]; c < 'A' || c > 'Z' {
				return r, errListRecord
			}
			n := bytes.IndexByte(line[i+1:], ' ')
			if n < 0 {
				return r, errListRecord
			}
			i += 1 + n
		}
		if i+1 >= len(line) {
			return r, errListRecord
		}
		r.fields, r.base = line[begin:i], line[i+2:]
	}
	// Dovecot's list has no flags; Courier's may.
	if c := bytes.IndexByte(r.base, ':'); c >= 0 {
		r.base = r.base[:c]
	}
	if len(r.base) == 0 || len(r.base) > 255 || bytes.IndexByte(r.base, '/') >= 0 || bytes.IndexByte(r.base, 0) >= 0 {
		return r, errListName
	}
	return r, nil
}

// parseUint32 reads digits and nothing else.
func parseUint32(b []byte) (uint32, bool) {
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<32 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), len(b) > 0 && n < 1<<32
}

func isGUID128(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(b) == 32
}

func (h *listHeader) text(next uint32) []byte {
	b := append([]byte("3 V"), strconv.FormatUint(uint64(h.validity), 10)...)
	b = append(b, " N"...)
	b = strconv.AppendUint(b, uint64(next), 10)
	b = append(b, " G"...)
	b = append(b, h.guid...)
	b = append(b, h.others...)
	return append(b, '\n')
}

func appendRecord(b []byte, uid uint32, fields, base string) []byte {
	b = strconv.AppendUint(b, uint64(uid), 10)
	b = append(b, fields...)
	b = append(b, " :"...)
	b = append(b, base...)
	return append(b, '\n')
}

// listField finds a record's field by its letter.
func listField(fields string, letter byte) (string, bool) {
	for len(fields) > 1 && fields[0] == ' ' {
		fields = fields[1:]
		end := len(fields)
		if i := bytes.IndexByte([]byte(fields), ' '); i >= 0 {
			end = i
		}
		if fields[0] == letter {
			return fields[1:end], true
		}
		fields = fields[end:]
	}
	return "", false
}

// uidList is the uid list of an open folder, as far as it was read.
type uidList struct {
	listParser
	fd   int // open for reading and appending; -1 where there is none
	torn bool
}

func (l *uidList) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}

// open opens the list that the directory has now, unless that is the one that
// is open. fresh says that it is another one, to be read from its beginning.
func (l *uidList) open(at int) (fresh bool, err error) {
	if l.fd >= 0 && sameFile(l.fd, at, listName) {
		return false, nil
	}
	l.close()
	l.listParser = listParser{}
	fd, _, err := regular(at, listName, unix.O_RDWR|unix.O_APPEND)
	if err != nil {
		return true, err
	}
	l.fd = fd
	return true, nil
}

// read goes on where the last read ended.
func (l *uidList) read(buf []byte, f func(listRecord)) error {
	l.torn = false
	at, have := l.end, 0
	for {
		n, err := again(func() (int, error) { return unix.Pread(l.fd, buf[have:], at) })
		if err != nil {
			return fmt.Errorf("read %s: %w", listName, err)
		}
		if n == 0 {
			break
		}
		at += int64(n)
		rest, err := l.parse(buf[:have+n], f)
		if err != nil {
			return err
		}
		have = copy(buf, rest)
	}
	l.torn = have > 0
	if !l.begun {
		return fmt.Errorf("%w: %s has no header (force-resync mends it)", ErrUIDList, listName)
	}
	return nil
}

// append adds complete lines and makes them durable. The caller holds the lock.
func (l *uidList) append(text []byte, sync bool) error {
	for rest := text; len(rest) > 0; {
		n, err := unix.Write(l.fd, rest)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			// Half a line would spoil what the next one appends.
			unix.Ftruncate(l.fd, l.end)
			return classed("write", listName, err)
		}
		rest = rest[n:]
	}
	if sync {
		if err := unix.Fdatasync(l.fd); err != nil {
			return classed("fdatasync", listName, err)
		}
	}
	return nil
}

// rewriteList writes the list anew in version 3, under the lock and with every
// record as it was, but for those that keep does not want; nil is all.
func (s *Store) rewriteList(at int, l *uidList, buf []byte, keep func(listRecord) bool) error {
	const aside = listName + ".tmp"
	unix.Unlinkat(at, aside, 0) // of one who died; we hold the lock
	fd, err := openAt(at, aside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return classed("create", aside, err)
	}
	defer unix.Close(fd)
	err = s.fillList(fd, at, l, buf, keep)
	if err == nil {
		err = unix.Renameat(at, aside, at, listName)
	}
	if err == nil {
		err = s.sync(at, listName)
	} else {
		unix.Unlinkat(at, aside, 0)
	}
	if err != nil {
		return classedOnce("write", listName, err)
	}
	return nil
}

func (s *Store) fillList(fd, at int, l *uidList, buf []byte, keep func(listRecord) bool) error {
	p, err := permOf(at)
	if err != nil {
		return err
	}
	if err := p.apply(fd, p.file, privateFile); err != nil {
		return err
	}
	w := lineWriter{fd: fd, buf: make([]byte, 0, 16<<10)}
	if err := w.put(l.header.text(l.next())); err != nil {
		return err
	}
	if l.fd >= 0 {
		copied := uidList{fd: l.fd}
		var failed error
		line := make([]byte, 0, 512)
		err := copied.read(buf, func(r listRecord) {
			if failed != nil || keep != nil && !keep(r) {
				return
			}
			line = appendRecord(line[:0], r.uid, string(r.fields), string(r.base))
			failed = w.put(line)
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if s.c.NoSync {
		return nil
	}
	return fsync(fd)
}
