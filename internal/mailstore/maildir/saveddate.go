package maildir

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// When a message came into its folder is known to nobody but Dovecot's index:
// the file's time of change moves with every flag. So culver-saved remembers
// it, beside the uid list and under its lock: a line with the UIDVALIDITY, then
// one for each UID. It is never keyed by file name, as a message that leaves and
// returns may have its old one.
//
// A record that is missing costs nothing but that the message counts as younger
// than it is; so nothing here is synced. A line that a crash cut would be worse:
// lines have a fixed length, and others are not looked at.
const (
	savedName      = "culver-saved"
	savedLine      = "%010d %012d\n" // UID and seconds
	savedLineSize  = 24
	savedSlack     = 1000 // more records than messages, before it is compacted
	savedUnwritten = 4096 // at most so many that were found are lost with the process
	savedLockWait  = time.Second
	maxSavedHeader = 64
	maxSaved       = 256 << 20 // bytes that are read: ten million records
)

// savedDates are the dates of one folder. Their zero value has not been read.
type savedDates struct {
	read    bool
	good    bool    // the file is of this UIDVALIDITY
	records int     // in the file
	dates   []int64 // by message; 0 is unknown
	found   []int   // the messages whose dates the file does not have yet
}

// Saved is when message i came into this folder. Where nobody wrote that down,
// it is the file's time of change, which is never earlier; and from then on it
// stays.
func (m *Mailbox) Saved(i int) (time.Time, error) {
	if err := m.readSaved(); err != nil {
		return time.Time{}, err
	}
	d := &m.saved
	if d.dates[i] == 0 {
		st, err := m.stat(i)
		if err != nil {
			return time.Time{}, err
		}
		d.dates[i] = max(st.Ctim.Sec, 1)
		if d.found = append(d.found, i); len(d.found)%savedUnwritten == 0 {
			m.keepSavedDates(0)
		}
	}
	return time.Unix(d.dates[i], 0), nil
}

func (m *Mailbox) readSaved() error {
	d := &m.saved
	if d.read {
		return nil
	}
	d.dates = make([]int64, len(m.entries))
	fd, _, err := regular(m.control, savedName, unix.O_RDONLY)
	if err == unix.ENOENT {
		d.read = true
		return nil
	}
	if err != nil {
		return classed("open", savedName, err)
	}
	defer unix.Close(fd)
	next := 0 // records are mostly in the order of the messages
	d.good, d.records, err = eachSaved(fd, m.UIDValidity(), m.buf, func(uid uint32, date int64) {
		i := next
		if i >= len(m.entries) || m.entries[i].uid != uid {
			var ok bool
			if i, ok = m.Find(uid); !ok {
				return
			}
		}
		next = i + 1
		if d.dates[i] == 0 { // the first one is the oldest
			d.dates[i] = date
		}
	})
	if err != nil {
		return classed("read", savedName, err)
	}
	d.read = true
	return nil
}

// eachSaved reads the records of a file of this UIDVALIDITY.
func eachSaved(fd int, validity uint32, buf []byte, f func(uid uint32, date int64)) (good bool, n int, err error) {
	have, at, begun := 0, int64(0), false
	for {
		got, err := again(func() (int, error) { return unix.Pread(fd, buf[have:], at) })
		if err != nil || got == 0 || at > maxSaved {
			return good, n, err
		}
		at += int64(got)
		rest := buf[:have+got]
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			line := rest[:end]
			rest = rest[end+1:]
			if !begun {
				begun, good = true, string(line) == savedHeader(validity)
				if !good {
					return false, 0, nil
				}
				continue
			}
			if uid, date, ok := parseSaved(line); ok {
				n++
				f(uid, date)
			}
		}
		if !begun && len(rest) > maxSavedHeader {
			return false, 0, nil
		}
		if len(rest) > savedLineSize && begun {
			rest = rest[len(rest)-savedLineSize:] // no line of ours: its end will not be one either
		}
		have = copy(buf, rest)
	}
}

func savedHeader(validity uint32) string {
	return "1 " + strconv.FormatUint(uint64(validity), 10)
}

func parseSaved(line []byte) (uid uint32, date int64, ok bool) {
	if len(line) != savedLineSize-1 || line[10] != ' ' {
		return 0, 0, false
	}
	uid, ok = parseUint32(line[:10])
	for _, c := range line[11:] {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		date = date*10 + int64(c-'0')
	}
	return uid, date, ok && uid > 0 && date > 0
}

// keepSavedDates writes down what Saved found out. It is not worth a long wait:
// the next one finds the same, or later dates.
func (m *Mailbox) keepSavedDates(wait time.Duration) {
	d := &m.saved
	var lines []byte
	for _, i := range d.found {
		if e := &m.entries[i]; e.pass != passGone {
			lines = fmt.Appendf(lines, savedLine, e.uid, d.dates[i])
		}
	}
	if len(lines) == 0 {
		return
	}
	lock, err := m.s.lockListFor(m.control, wait)
	if err != nil {
		return
	}
	defer lock.release()
	if m.readList() == nil {
		m.writeSaved(lines)
		d.found = nil
	}
}

// addSaved records messages that just got their UIDs; the lock is held.
func (m *Mailbox) addSaved(uids []uint32, now time.Time) {
	var lines []byte
	for _, uid := range uids {
		lines = fmt.Appendf(lines, savedLine, uid, max(now.Unix(), 1))
	}
	m.writeSaved(lines)
}

func (m *Mailbox) writeSaved(lines []byte) {
	if err := m.tryWriteSaved(lines); err != nil {
		m.s.warnf("%s: %s: %v", m.Folder.Name, savedName, err)
	}
}

func (m *Mailbox) tryWriteSaved(lines []byte) error {
	fd, st, err := regular(m.control, savedName, unix.O_RDWR|unix.O_APPEND)
	if err == unix.ENOENT {
		return m.replaceSaved(-1, lines)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	head := []byte(savedHeader(m.UIDValidity()) + "\n")
	begin := make([]byte, len(head))
	if n, _ := unix.Pread(fd, begin, 0); n != len(head) || !bytes.Equal(begin, head) {
		return m.replaceSaved(-1, lines)
	}
	if m.loaded && st.Size/savedLineSize > 2*int64(len(m.entries))+savedSlack {
		return m.replaceSaved(fd, lines)
	}
	var last [1]byte
	if _, err := unix.Pread(fd, last[:], st.Size-1); err == nil && last[0] != '\n' {
		lines = append([]byte("\n"), lines...)
	}
	if n, err := unix.Write(fd, lines); err != nil {
		return err
	} else if n != len(lines) {
		return unix.ENOSPC
	}
	return nil
}

// replaceSaved writes the file anew, with those records of the old one whose
// messages may still be there: those that came after this Mailbox was opened
// among them.
func (m *Mailbox) replaceSaved(old int, lines []byte) error {
	text := []byte(savedHeader(m.UIDValidity()) + "\n")
	if old >= 0 {
		var newest uint32
		if n := len(m.entries); n > 0 {
			newest = m.entries[n-1].uid
		}
		_, _, err := eachSaved(old, m.UIDValidity(), m.buf, func(uid uint32, date int64) {
			if i, ok := m.Find(uid); uid > newest || ok && m.entries[i].pass != passGone {
				text = fmt.Appendf(text, savedLine, uid, date)
			}
		})
		if err != nil {
			return err
		}
	}
	fd, err := m.s.replace(m.control, savedName, append(text, lines...))
	if err != nil {
		return err
	}
	unix.Close(fd)
	return nil
}
